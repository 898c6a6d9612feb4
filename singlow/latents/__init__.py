"""Recordings as latents."""
