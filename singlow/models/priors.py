"""Distributions of latents, for the likelihood and for sampling."""

import math
from collections.abc import Sequence
from typing import Any, Protocol

import keras
import numpy as np
from keras import ops

from singlow.ops.masks import sum_frames
from singlow.ops.tensors import Tensor


class Prior(Protocol):
    """The distribution of the latents of a batch: a list of tensors, the finest level first."""

    def log_prob(self, z: Sequence[Tensor], masks: Sequence[Tensor | None]) -> Tensor:
        """Return the natural logarithm of the density `p(z)` of each item, without padded frames.

        Args:
            z: latents, each `(batch, time, channels)` or `(batch, height, width, channels)`.
            masks: for each latent, a frame mask `(batch, time)`, or `None` if no frame is padded.

        Returns:
            `(batch,)`.
        """
        ...

    def sample(
        self, rng: np.random.Generator, shapes: Sequence[tuple[int, ...]], temperature: float
    ) -> list[Any]:
        """Draw one latent of each shape, at random.

        Args:
            rng: the source of randomness.
            shapes: the shape of each latent.
            temperature: factor of the deviation from the mean; 0 returns the mean.
        """
        ...


@keras.saving.register_keras_serializable("singlow")
class StandardNormal:
    """A Gaussian of mean 0 and variance 1 for every value of the latents.

        log p(z) = -(z^2 + log 2 pi) / 2        z = temperature u

    `u` is standard normal noise.
    """

    def log_prob(self, z: Sequence[Tensor], masks: Sequence[Tensor | None]) -> Tensor:
        return sum(
            sum_frames(-0.5 * (ops.square(latent) + math.log(2.0 * math.pi)), mask)
            for latent, mask in zip(z, masks, strict=True)
        )

    def sample(
        self, rng: np.random.Generator, shapes: Sequence[tuple[int, ...]], temperature: float
    ) -> list[Any]:
        return [temperature * rng.standard_normal(shape) for shape in shapes]

    def get_config(self) -> dict[str, Any]:
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "StandardNormal":
        return cls(**config)


class Gaussian:
    """A Gaussian with a mean and a standard deviation for every value of the latents.

        log p(z) = -((z - m)^2 exp(-2 s) + 2 s + log 2 pi) / 2        z = m + temperature exp(s) u

    `u` is standard normal noise.

    Args:
        means: one tensor `m` for each latent, in a shape that broadcasts to the latent's.
        log_scales: one tensor `s` for each latent, the logarithm of the standard deviation, in
            such a shape; zeros when `None`.
    """

    def __init__(self, means: Sequence[Tensor], log_scales: Sequence[Tensor] | None = None) -> None:
        self.means = list(means)
        self.log_scales = list(log_scales or [0.0 * mean for mean in means])

    def log_prob(self, z: Sequence[Tensor], masks: Sequence[Tensor | None]) -> Tensor:
        total = 0.0
        for latent, mask, mean, log_scale in zip(
            z, masks, self.means, self.log_scales, strict=True
        ):
            squares = ops.square(latent - mean) * ops.exp(-2.0 * log_scale)
            values = -0.5 * (squares + 2.0 * log_scale + math.log(2.0 * math.pi))
            total = total + sum_frames(values, mask)
        return total

    def sample(
        self, rng: np.random.Generator, shapes: Sequence[tuple[int, ...]], temperature: float
    ) -> list[Any]:
        latents = []
        for shape, mean, log_scale in zip(shapes, self.means, self.log_scales, strict=True):
            noise = ops.convert_to_tensor(rng.standard_normal(shape), dtype=mean.dtype)
            latents.append(mean + temperature * ops.exp(log_scale) * noise)
        return latents
