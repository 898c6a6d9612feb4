"""Voices: who a recording sounds like, another voice for it, and new voices for a trained run."""
