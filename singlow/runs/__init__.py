"""Runs: the settings, the data, the checkpoints and the events of a run, and loading it."""
