"""The verbs of `python3 -m singlow`, one file each, and how flags are read."""
