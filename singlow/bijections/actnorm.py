"""Unconditional affine maps: one per channel, initialised from data, and one per position."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from singlow.bijections.affine import bound
from singlow.bijections.base import InvertibleLayer
from singlow.bijections.conditions import Condition
from singlow.bijections.linear import Affine, diagonal
from singlow.ops.masks import count_frames, sum_frames
from singlow.ops.stateless import read
from singlow.ops.tensors import Shape, Tensor, require_frames

_EPSILON = 1e-6


@keras.saving.register_keras_serializable("singlow")
class ActNorm(InvertibleLayer):
    """`z = (x + shift) * exp(log_scale)` with a shift and a scale for each channel.

    `log |det| = positions * sum_c log_scale_c`, where positions are frames, or pixels of an image.
    `adapt` sets both so that every channel of `z` has mean zero and variance one on the given data.
    A saved weight records that a layer has adapted, so a reloaded layer does not adapt again.

    References:
        Kingma and Dhariwal, Glow: Generative Flow with Invertible 1x1 Convolutions, 2018,
        https://arxiv.org/abs/1807.03039
    """

    def build(self, x_shape: Shape, condition_shape: Any = None) -> None:
        channels = (x_shape[-1],)
        self.shift = self.add_weight(name="shift", shape=channels, initializer="zeros")
        self.log_scale = self.add_weight(name="log_scale", shape=channels, initializer="zeros")
        self.adapted = self.add_weight(
            name="adapted", shape=(), initializer="zeros", trainable=False
        )

    def _forward(
        self, x: Tensor, condition: Condition, frame_mask: Tensor | None, training: bool | None
    ) -> tuple[Tensor, Tensor]:
        z = (x + self.shift) * ops.exp(self.log_scale)
        return z, count_frames(x, frame_mask) * ops.sum(self.log_scale)

    def _inverse(
        self, z: Tensor, condition: Condition, frame_mask: Tensor | None, training: bool | None
    ) -> tuple[Tensor, Tensor]:
        x = z * ops.exp(-self.log_scale) - self.shift
        return x, -count_frames(z, frame_mask) * ops.sum(self.log_scale)

    def adapt(
        self, x: Tensor, condition: Condition = None, frame_mask: Tensor | None = None
    ) -> Tensor:
        x = ops.convert_to_tensor(x, dtype=self.compute_dtype)
        if not self.built:
            self.build(tuple(x.shape))
        axes = tuple(range(len(x.shape) - 1))
        weight = ops.ones_like(x[..., :1])
        if frame_mask is not None:
            weight = weight * ops.cast(frame_mask, x.dtype)[..., None]
        count = ops.sum(weight)
        mean = ops.sum(weight * x, axis=axes) / count
        variance = ops.sum(weight * ops.square(x - mean), axis=axes) / count
        known = read(self.adapted) > 0
        log_scale = -ops.log(ops.sqrt(variance) + _EPSILON)
        self.shift.assign(ops.where(known, read(self.shift), -mean))
        self.log_scale.assign(ops.where(known, read(self.log_scale), log_scale))
        self.adapted.assign(1.0)
        return self(x, frame_mask=frame_mask)[0]

    def affine(self, value: Callable[[keras.Variable], Tensor]) -> Affine:
        """This layer as an affine map of channels; `value` as for `InvertibleLayer.folded`."""
        shift, log_scale = value(self.shift), value(self.log_scale)
        scale = ops.exp(log_scale)
        return Affine(
            diagonal(scale), diagonal(1.0 / scale), scale * shift, ops.sum(log_scale, axis=-1)
        )


@keras.saving.register_keras_serializable("singlow")
class PositionalAffine(InvertibleLayer):
    """`z_t = (x_t - shift_(t mod period)) * exp(-log_scale_(t mod period))`.

    The layer learns a mean and a deviation for each position and channel, as the prior of a model
    that is trained on windows of one length. For other lengths they repeat every `period` frames.
    The layer starts as the identity. The log-scale is bounded to (-2, 2).

    Args:
        period: number of frames after which the positions repeat; at least 1.

    Raises:
        ValueError: `period` is below 1, or `x` is an image.
    """

    def __init__(self, period: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if period < 1:
            raise ValueError(f"Expected a period of at least 1. Received: period={period}.")
        self.period = period

    def build(self, x_shape: Shape, condition_shape: Any = None) -> None:
        require_frames(self.name, x_shape)
        shape = (self.period, x_shape[-1])
        self.shift = self.add_weight(name="shift", shape=shape, initializer="zeros")
        self.log_scale = self.add_weight(name="log_scale", shape=shape, initializer="zeros")

    def _forward(
        self, x: Tensor, condition: Condition, frame_mask: Tensor | None, training: bool | None
    ) -> tuple[Tensor, Tensor]:
        shift, log_scale = self._at_positions(x)
        return (x - shift) * ops.exp(-log_scale), -sum_frames(log_scale, frame_mask)

    def _inverse(
        self, z: Tensor, condition: Condition, frame_mask: Tensor | None, training: bool | None
    ) -> tuple[Tensor, Tensor]:
        shift, log_scale = self._at_positions(z)
        return z * ops.exp(log_scale) + shift, sum_frames(log_scale, frame_mask)

    def _at_positions(self, x: Tensor) -> tuple[Tensor, Tensor]:
        position = ops.arange(ops.shape(x)[1], dtype="int32") % self.period
        shift = ops.take(self.shift, position, axis=0) + ops.zeros_like(x)
        return shift, bound(ops.take(self.log_scale, position, axis=0)) + ops.zeros_like(x)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "period": self.period}
