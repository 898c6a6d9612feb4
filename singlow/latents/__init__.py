"""Work on the latents of recordings: migration, interpolation, projection."""
