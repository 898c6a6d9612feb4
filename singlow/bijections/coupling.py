"""Coupling: half of the channels decide an affine map of the other half."""

from typing import Any, Self

import keras
from keras import ops

from singlow.bijections.base import (
    InvertibleLayer,
    Shape,
    Tensor,
    deserialize,
    halves,
    masked,
    serialize,
    sum_frames,
)

SCALES = ("bounded", "sigmoid", "exp", "additive")


@keras.saving.register_keras_serializable("singlow")
class AffineCoupling(InvertibleLayer):
    """`[a, b] -> [a, b * exp(s) + t]` with `(h, t) = network(a, condition)` and `s = scale(h)`.

        forward   a' = a,  b' = b * exp(s) + t        log |det| =  sum s
        inverse   a = a',  b = (b' - t) * exp(-s)     log |det| = -sum s

    `a` is the first half of the channels, the larger one when their number is odd.

    Args:
        network: from `(batch, time, channels of a)` to `channels of b` times `2` outputs (`1` when
            additive); called as `network(a, condition, frame_mask, training=training)`. Its
            `channels` are set here when they are `None`.
        scale: `"bounded"`, `s = 2 tanh(h / 2)`, so that the inverse cannot explode; `"sigmoid"`,
            `s = log sigmoid(h + 2)`; `"exp"`, `s = h`; `"additive"`, `s = 0`.

    Raises:
        ValueError: `scale` is unknown, or there is a single channel.

    References:
        Dinh, Sohl-Dickstein and Bengio, Density Estimation Using Real NVP, 2017,
        https://arxiv.org/abs/1605.08803
    """

    def __init__(self, network: keras.layers.Layer, scale: str = "bounded", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if scale not in SCALES:
            raise ValueError(f"Expected scale to be one of {SCALES}. Received: scale={scale!r}.")
        self.network = network
        self.scale = scale

    def build(self, x_shape: Shape, condition_shape: Shape | None = None) -> None:
        moved = x_shape[-1] // 2
        if not moved:
            raise ValueError(
                f"Expected at least two channels for {self.name}. Received: x of shape {x_shape}."
            )
        if not self.network.built:
            if self.network.channels is None:
                self.network.channels = moved * (1 if self.scale == "additive" else 2)
            self.network.build((*x_shape[:-1], x_shape[-1] - moved), condition_shape)

    def _forward(
        self, x: Tensor, condition: Tensor | None, frame_mask: Tensor | None, training: bool | None
    ) -> tuple[Tensor, Tensor]:
        a, b = halves(x)
        log_scale, shift = self._parameters(a, condition, frame_mask, training)
        if log_scale is None:
            return ops.concatenate([a, b + shift], axis=-1), 0.0 * sum_frames(shift)
        moved = b * ops.exp(log_scale) + shift
        return ops.concatenate([a, moved], axis=-1), sum_frames(log_scale)

    def _inverse(
        self, z: Tensor, condition: Tensor | None, frame_mask: Tensor | None, training: bool | None
    ) -> tuple[Tensor, Tensor]:
        a, moved = halves(z)
        log_scale, shift = self._parameters(a, condition, frame_mask, training)
        if log_scale is None:
            return ops.concatenate([a, moved - shift], axis=-1), 0.0 * sum_frames(shift)
        b = (moved - shift) * ops.exp(-log_scale)
        return ops.concatenate([a, b], axis=-1), -sum_frames(log_scale)

    def adapt(
        self, x: Tensor, condition: Tensor | None = None, frame_mask: Tensor | None = None
    ) -> Tensor:
        if not self.built:
            self.build(tuple(x.shape), None if condition is None else tuple(condition.shape))
        if hasattr(self.network, "adapt"):
            self.network.adapt(halves(ops.convert_to_tensor(x))[0], condition, frame_mask)
        return super().adapt(x, condition, frame_mask)

    def _parameters(
        self, a: Tensor, condition: Tensor | None, frame_mask: Tensor | None, training: bool | None
    ) -> tuple[Tensor | None, Tensor]:
        """Log-scale (`None` when additive) and shift, both zero in padded frames."""
        parameters = self.network(a, condition, frame_mask, training=training)
        parameters = masked(ops.cast(parameters, self.compute_dtype), frame_mask)
        if self.scale == "additive":
            return None, parameters
        log_scale, shift = ops.split(parameters, 2, axis=-1)
        if self.scale == "bounded":
            log_scale = bound(log_scale)
        elif self.scale == "sigmoid":
            log_scale = masked(ops.log_sigmoid(log_scale + 2.0), frame_mask)
        return log_scale, shift

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "network": serialize(self.network), "scale": self.scale}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(**{**config, "network": deserialize(config["network"])})


def bound(log_scale: Tensor, limit: float = 2.0) -> Tensor:
    """`limit * tanh(h / limit)`: between `-limit` and `limit`, with slope 1 at zero.

    Written with a sigmoid because `keras.ops.tanh` turns float64 into float32.
    """
    return limit * (2.0 * ops.sigmoid(log_scale * (2.0 / limit)) - 1.0)
