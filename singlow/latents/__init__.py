"""Operations on the latents of recordings: migration, interpolation and projection."""
