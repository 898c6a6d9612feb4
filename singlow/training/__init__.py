"""Training: `train` and `fit`, callbacks, the optimizer, samples and reports."""

from singlow.training.fit import train

__all__ = ["train"]
