"""Feeding: batches of windows for training, and labelled recordings for everything else."""
