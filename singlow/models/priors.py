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


class GaussianMixture:
    """A mixture of Gaussians for every value of the latents, with weights that all values share.

        log p(z) = log sum_k w_k N(z; m_k, exp(s_k))

    Each value is drawn from a component of its own, as its density is. A sample is
    `m + temperature (u - m)` for the mean `m = sum_k w_k m_k` and a draw `u` of the mixture.

    Args:
        weights: `w`, `(batch, components)`, which add up to 1.
        means: `m`, `(batch, channels, components)`, the same for all frames.
        log_scales: `s`, of the shape of `means`.
    """

    def __init__(self, weights: Tensor, means: Tensor, log_scales: Tensor) -> None:
        self.weights = weights
        self.means = means
        self.log_scales = log_scales

    def log_prob(self, z: Sequence[Tensor], masks: Sequence[Tensor | None]) -> Tensor:
        means, log_scales = self.means[:, None], self.log_scales[:, None]
        total = 0.0
        for latent, mask in zip(z, masks, strict=True):
            squares = ops.square(latent[..., None] - means) * ops.exp(-2.0 * log_scales)
            values = -0.5 * (squares + 2.0 * log_scales + math.log(2.0 * math.pi))
            values = values + ops.log(self.weights)[:, None, None]
            total = total + sum_frames(ops.logsumexp(values, axis=-1), mask)
        return total

    def sample(
        self, rng: np.random.Generator, shapes: Sequence[tuple[int, ...]], temperature: float
    ) -> list[Any]:
        weights = ops.convert_to_numpy(self.weights).astype(np.float64)
        means, scales = ops.convert_to_numpy(self.means), ops.convert_to_numpy(self.log_scales)
        scales, ends = np.exp(scales), np.cumsum(weights, axis=1)
        centre = (weights[:, None] * means).sum(axis=-1)[:, None]
        latents = []
        for shape in shapes:
            uniform = rng.random(shape)[..., None] * ends[:, None, None, -1:]
            chosen = (uniform >= ends[:, None, None, :-1]).sum(axis=-1, keepdims=True)
            mean = np.take_along_axis(
                np.broadcast_to(means[:, None], (*shape, means.shape[-1])), chosen, -1
            )
            scale = np.take_along_axis(
                np.broadcast_to(scales[:, None], (*shape, means.shape[-1])), chosen, -1
            )
            drawn = (mean + scale * rng.standard_normal((*shape, 1)))[..., 0]
            latents.append(centre + temperature * (drawn - centre))
        return latents
