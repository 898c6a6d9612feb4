"""A shift computed from the condition."""

from typing import Any

import keras
from keras import ops

from singlow.bijections.base import InvertibleLayer
from singlow.bijections.conditions import Condition, at_positions, require_one
from singlow.ops.masks import count_frames
from singlow.ops.tensors import Shape, Tensor


@keras.saving.register_keras_serializable("singlow")
class ConditionalShift(InvertibleLayer):
    """`z_t = x_t + A c_t` with a learned matrix `A` and a condition `c`; `log |det| = 0`.

    It starts as the identity. It has no bias, since an ActNorm usually follows.

    Raises:
        ValueError: the condition is missing, or is a sequence or a mapping.
    """

    def build(self, x_shape: Shape, condition_shape: Any = None) -> None:
        require_one(self.name, condition_shape)
        shape = (condition_shape[-1], x_shape[-1])
        self.kernel = self.add_weight(name="kernel", shape=shape, initializer="zeros")

    def _forward(
        self, x: Tensor, condition: Condition, frame_mask: Tensor | None, training: bool | None
    ) -> tuple[Tensor, Tensor]:
        return x + self._shift(condition, len(x.shape)), 0.0 * count_frames(x)

    def _inverse(
        self, z: Tensor, condition: Condition, frame_mask: Tensor | None, training: bool | None
    ) -> tuple[Tensor, Tensor]:
        return z - self._shift(condition, len(z.shape)), 0.0 * count_frames(z)

    def _shift(self, condition: Condition, rank: int) -> Tensor:
        require_one(self.name, condition)
        shift = ops.matmul(ops.cast(condition, self.compute_dtype), self.kernel)
        return at_positions(shift, rank)
