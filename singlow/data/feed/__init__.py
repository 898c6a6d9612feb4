"""Feeding: read batches of windows for training, and labelled recordings for other tasks."""
