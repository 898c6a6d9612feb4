"""The built-in synthetic singers and their corpus."""
