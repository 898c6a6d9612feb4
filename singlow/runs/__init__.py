"""The directory of a run: its settings, data, checkpoints and events, and opening it."""
