"""How good a trained run is, in figures."""
