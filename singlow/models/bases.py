"""Distributions that latents are measured by and drawn from."""

import math

import numpy as np
from keras import ops

from singlow.ops.masks import sum_frames
from singlow.ops.tensors import Tensor


class StandardNormal:
    """`log p(z) = -(z^2 + log 2 pi) / 2` for every dimension.

    A base needs two methods: `log_prob` of one latent and `sample` of its noise.
    """

    def log_prob(self, z: Tensor, frame_mask: Tensor | None = None) -> Tensor:
        """Log density of a latent `(batch, time, channels)` without its padding: `(batch,)`."""
        return sum_frames(-0.5 * (ops.square(z) + math.log(2.0 * math.pi)), frame_mask)

    def sample(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        """Draw one latent of `shape`."""
        return rng.standard_normal(shape)
