"""Preparation: recordings are decoded and written as a dataset, or a dataset is repaired."""
