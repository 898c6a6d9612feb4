"""A shift that is read off the condition."""

import keras
from keras import ops

from singlow.bijections.base import InvertibleLayer
from singlow.ops.masks import count_frames
from singlow.ops.tensors import Shape, Tensor


@keras.saving.register_keras_serializable("singlow")
class ConditionalShift(InvertibleLayer):
    """`z_t = x_t + A c_t`, one learned matrix from the condition to the channels; `log |det| = 0`.

    It starts as the identity. It has no bias: an ActNorm after it has one.

    Raises:
        ValueError: the condition is missing.
    """

    def build(self, x_shape: Shape, condition_shape: Shape | None = None) -> None:
        if condition_shape is None:
            raise ValueError(f"Expected a condition for {self.name}. Received: condition=None.")
        shape = (condition_shape[-1], x_shape[-1])
        self.kernel = self.add_weight(name="kernel", shape=shape, initializer="zeros")

    def _forward(
        self, x: Tensor, condition: Tensor | None, frame_mask: Tensor | None, training: bool | None
    ) -> tuple[Tensor, Tensor]:
        return x + self._shift(condition), 0.0 * count_frames(x)

    def _inverse(
        self, z: Tensor, condition: Tensor | None, frame_mask: Tensor | None, training: bool | None
    ) -> tuple[Tensor, Tensor]:
        return z - self._shift(condition), 0.0 * count_frames(z)

    def _shift(self, condition: Tensor | None) -> Tensor:
        if condition is None:
            raise ValueError(f"Expected a condition for {self.name}. Received: condition=None.")
        return ops.matmul(ops.cast(condition, self.compute_dtype), self.kernel)
