"""Linear layers that follow each other, as one."""

import functools
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from singlow.bijections.base import Fold, InvertibleLayer, Shape, Tensor, count_frames
from singlow.bijections.bound import Bindings
from singlow.bijections.loop import identity, product


class Affine(NamedTuple):
    """`z_t = matrix x_t + shift`, or many such maps along leading axes.

    Attributes:
        matrix: `(..., channels, channels)`.
        inverse: of the matrix.
        shift: `(..., channels)`.
        log_det: of the matrix, `(...)`.
    """

    matrix: Tensor
    inverse: Tensor
    shift: Tensor
    log_det: Tensor

    def then(self, after: "Affine") -> "Affine":
        """This map and `after` it."""
        return Affine(
            product(after.matrix, self.matrix),
            product(self.inverse, after.inverse),
            product(after.matrix, self.shift[..., None])[..., 0] + after.shift,
            self.log_det + after.log_det,
        )

    def refined(self) -> "Affine":
        """The inverse after a Newton step, so that its rounding costs z -> x -> z nothing."""
        one = identity(self.matrix.shape[-1], self.matrix.dtype)
        left = one - product(self.matrix, self.inverse)
        return self._replace(inverse=self.inverse + product(self.inverse, left))


@keras.saving.register_keras_serializable("singlow")
class FoldedLinear(InvertibleLayer):
    """`z_t = W x_t + shift` with the inverse of `W` and its log-determinant as weights beside it.

    What a mixing of channels, with the ActNorm before it, is folded into. The four belong together:
    they are given, by `folded`, and not trained.
    """

    def build(self, x_shape: Shape, condition_shape: Shape | None = None) -> None:
        one = np.eye(x_shape[-1])
        self.matrix = self._add_given("matrix", one, trainable=True)
        self.inverse_matrix = self._add_given("inverse_matrix", one, trainable=False)
        self.shift = self._add_given("shift", np.zeros(x_shape[-1]), trainable=True)
        self.log_det = self._add_given("log_det", np.zeros(()), trainable=True)

    def affine(self, value: Any) -> Affine:
        """This layer as one affine map; see `InvertibleLayer.folded`."""
        weights = (self.matrix, self.inverse_matrix, self.shift, self.log_det)
        return Affine(*(value(weight) for weight in weights))

    def _forward(
        self, x: Tensor, condition: Tensor | None, frame_mask: Tensor | None, training: bool | None
    ) -> tuple[Tensor, Tensor]:
        return mixed(x, self.matrix) + self.shift, count_frames(x, frame_mask) * self.log_det

    def _inverse(
        self, z: Tensor, condition: Tensor | None, frame_mask: Tensor | None, training: bool | None
    ) -> tuple[Tensor, Tensor]:
        x = mixed(z - self.shift, self.inverse_matrix)
        return x, -count_frames(z, frame_mask) * self.log_det


def merged(layers: list[Any]) -> tuple[InvertibleLayer, Fold]:
    """Layers that have `affine`, in the order data passes through them, folded into one."""
    name = "_".join(layer.name for layer in layers)
    one = FoldedLinear(name=name, dtype=layers[0].dtype_policy.name)
    one.build((None, None, layers[0].weights[0].shape[-1]))

    def fold(value: Any) -> Bindings:
        maps = (layer.affine(value) for layer in layers)
        affine = functools.reduce(Affine.then, maps).refined()
        return list(zip(one.affine(lambda variable: variable), affine, strict=True))

    return one, fold


def mixed(x: Tensor, matrix: Tensor) -> Tensor:
    """`matrix x_t` for every frame: `(..., channels)` -> `(..., channels)`."""
    return product(x, ops.transpose(matrix))


def transposed(matrix: Tensor) -> Tensor:
    """The last two axes exchanged."""
    return ops.swapaxes(matrix, -1, -2)


def diagonal(values: Tensor) -> Tensor:
    """Diagonal matrices: `(..., channels)` -> `(..., channels, channels)`."""
    return identity(values.shape[-1], values.dtype) * values[..., None, :]
