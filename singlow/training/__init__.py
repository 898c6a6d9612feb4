"""Training: `train` and `fit`, their callbacks, the optimizer, samples and reports."""

from singlow.training.fit import train

__all__ = ["train"]
