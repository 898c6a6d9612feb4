"""Preparation: decode recordings, write them as a dataset, and repair damaged datasets."""
