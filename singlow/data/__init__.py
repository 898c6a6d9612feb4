"""Data: from recordings to records, and from records to batches."""
