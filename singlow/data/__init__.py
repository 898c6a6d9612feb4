"""Data: convert recordings to records, and read batches from records."""
