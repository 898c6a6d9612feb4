"""Recordings, records of them, and windows cut from records; see the modules."""
