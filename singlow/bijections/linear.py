"""Linear mixing of channels: the invertible 1x1 convolution, permutations and flips."""

import random
from typing import Any, Self

import keras
import numpy as np
import scipy.linalg
from keras import ops

from singlow.bijections.base import InvertibleLayer, Shape, Tensor, count_frames


@keras.saving.register_keras_serializable("singlow")
class InvertibleConv(InvertibleLayer):
    """`z_t = W x_t`, an invertible matrix over channels, started as a random rotation.

    With `form="plu"`, `W = P L (U + diag(sign * exp(log_diagonal)))` with `P` and `sign` fixed,
    `L` unit lower and `U` strictly upper triangular, so `log |det| = frames * sum log_diagonal`:
    never singular, and no determinant is computed. With `form="plain"`, `W` is a free matrix and
    `log |det|` comes from its `slogdet` (TensorFlow's XLA has none).

    Args:
        form: `"plu"` or `"plain"`.

    Raises:
        ValueError: `form` is neither.

    References:
        Kingma and Dhariwal, Glow: Generative Flow with Invertible 1x1 Convolutions, 2018,
        https://arxiv.org/abs/1807.03039
    """

    def __init__(self, form: str = "plu", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if form not in ("plu", "plain"):
            raise ValueError(f"Expected form 'plu' or 'plain'. Received: form={form!r}.")
        self.form = form

    def build(self, x_shape: Shape, condition_shape: Shape | None = None) -> None:
        channels = x_shape[-1]
        rotation = _random_rotation(channels)
        if self.form == "plain":
            self.kernel = self._add_given("kernel", rotation, trainable=True)
            return
        permutation, lower, upper = scipy.linalg.lu(rotation)
        diagonal = np.diag(upper)
        self.permutation = self._add_given("permutation", permutation, trainable=False)
        self.sign = self._add_given("sign", np.sign(diagonal), trainable=False)
        self.lower = self._add_given("lower", np.tril(lower, -1), trainable=True)
        self.upper = self._add_given("upper", np.triu(upper, 1), trainable=True)
        self.log_diagonal = self._add_given(
            "log_diagonal", np.log(np.abs(diagonal)), trainable=True
        )

    def _forward(
        self, x: Tensor, condition: Tensor | None, frame_mask: Tensor | None, training: bool | None
    ) -> tuple[Tensor, Tensor]:
        if self.form == "plain":
            matrix, log_det = self.kernel, ops.slogdet(self.kernel)[1]
        else:
            lower, upper = self._triangles()
            matrix = ops.matmul(ops.matmul(self.permutation, lower), upper)
            log_det = ops.sum(self.log_diagonal)
        return _mix(x, matrix), count_frames(x, frame_mask) * log_det

    def _inverse(
        self, z: Tensor, condition: Tensor | None, frame_mask: Tensor | None, training: bool | None
    ) -> tuple[Tensor, Tensor]:
        if self.form == "plain":
            kernel, log_det = self.kernel, ops.slogdet(self.kernel)[1]
            matrix = ops.linalg.inv(kernel)
        else:
            lower, upper = self._triangles()
            kernel = ops.matmul(ops.matmul(self.permutation, lower), upper)
            unpermuted = ops.transpose(self.permutation)
            half = ops.linalg.solve_triangular(lower, unpermuted, lower=True)
            matrix = ops.linalg.solve_triangular(upper, half, lower=False)
            log_det = ops.sum(self.log_diagonal)
        # One Newton step, so that rounding in the inverse costs z -> x -> z nothing.
        one = ops.eye(kernel.shape[0], dtype=self.compute_dtype)
        matrix = matrix + ops.matmul(matrix, one - ops.matmul(kernel, matrix))
        return _mix(z, matrix), -count_frames(z, frame_mask) * log_det

    def as_linear(self) -> tuple[np.ndarray, np.ndarray]:
        """The matrix and the shift of the whole layer, in float64."""
        if self.form == "plain":
            return _exact(self.kernel), np.zeros(self.kernel.shape[0])
        lower, upper = np.tril(_exact(self.lower), -1), np.triu(_exact(self.upper), 1)
        lower += np.eye(len(lower))
        upper += np.diag(_exact(self.sign) * np.exp(_exact(self.log_diagonal)))
        return _exact(self.permutation) @ lower @ upper, np.zeros(len(lower))

    def _triangles(self) -> tuple[Tensor, Tensor]:
        one = ops.eye(self.lower.shape[0], dtype=self.compute_dtype)
        below = ops.tril(ops.ones_like(one), -1)
        lower = self.lower * below + one
        upper = self.upper * ops.transpose(below) + one * (self.sign * ops.exp(self.log_diagonal))
        return lower, upper

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "form": self.form}


@keras.saving.register_keras_serializable("singlow")
class Permutation(InvertibleLayer):
    """`z_c = x_(order(c))`: a fixed permutation of channels; `log |det| = 0`.

    Args:
        order: the permutation as a list; `None` draws one when the layer is built and saves it.

    Raises:
        ValueError: `order` is not a permutation of the channels.
    """

    def __init__(self, order: list[int] | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.order = None if order is None else [int(c) for c in order]

    def build(self, x_shape: Shape, condition_shape: Shape | None = None) -> None:
        channels = x_shape[-1]
        order = _drawn().permutation(channels) if self.order is None else np.array(self.order)
        if sorted(order.tolist()) != list(range(channels)):
            raise ValueError(
                f"Expected a permutation of 0..{channels - 1}. Received: order={self.order}."
            )
        self.indices = self.add_weight(
            name="indices",
            shape=(channels,),
            dtype="int32",
            initializer=lambda shape, dtype=None: ops.convert_to_tensor(order, dtype="int32"),
            trainable=False,
        )

    def _forward(
        self, x: Tensor, condition: Tensor | None, frame_mask: Tensor | None, training: bool | None
    ) -> tuple[Tensor, Tensor]:
        return ops.take(x, self.indices, axis=-1), 0.0 * count_frames(x)

    def _inverse(
        self, z: Tensor, condition: Tensor | None, frame_mask: Tensor | None, training: bool | None
    ) -> tuple[Tensor, Tensor]:
        return ops.take(z, ops.argsort(self.indices), axis=-1), 0.0 * count_frames(z)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "order": self.order}


@keras.saving.register_keras_serializable("singlow")
class Flip(InvertibleLayer):
    """`z_c = x_(channels - 1 - c)`: channels in reverse order; `log |det| = 0`."""

    def _forward(
        self, x: Tensor, condition: Tensor | None, frame_mask: Tensor | None, training: bool | None
    ) -> tuple[Tensor, Tensor]:
        return ops.flip(x, axis=-1), 0.0 * count_frames(x)

    _inverse = _forward


@keras.saving.register_keras_serializable("singlow")
class FixedLinear(InvertibleLayer):
    """`z_t = W x_t + shift` with the inverse of `W` and its log-determinant stored.

    What `for_inference` makes of an ActNorm and the mixing of channels that follows it.
    """

    def build(self, x_shape: Shape, condition_shape: Shape | None = None) -> None:
        one = np.eye(x_shape[-1])
        self.matrix = self._add_given("matrix", one, trainable=False)
        self.inverse_matrix = self._add_given("inverse_matrix", one, trainable=False)
        self.shift = self._add_given("shift", np.zeros(x_shape[-1]), trainable=False)
        self.log_det = self._add_given("log_det", np.zeros(()), trainable=False)

    @classmethod
    def of(cls, matrix: np.ndarray, shift: np.ndarray, **kwargs: Any) -> Self:
        """The layer with this matrix and shift."""
        layer = cls(**kwargs)
        layer.build((None, None, len(shift)))
        layer.matrix.assign(matrix)
        layer.inverse_matrix.assign(np.linalg.inv(matrix))
        layer.shift.assign(shift)
        layer.log_det.assign(np.linalg.slogdet(matrix)[1])
        return layer

    def _forward(
        self, x: Tensor, condition: Tensor | None, frame_mask: Tensor | None, training: bool | None
    ) -> tuple[Tensor, Tensor]:
        return _mix(x, self.matrix) + self.shift, count_frames(x, frame_mask) * self.log_det

    def _inverse(
        self, z: Tensor, condition: Tensor | None, frame_mask: Tensor | None, training: bool | None
    ) -> tuple[Tensor, Tensor]:
        x = _mix(z - self.shift, self.inverse_matrix)
        return x, -count_frames(z, frame_mask) * self.log_det


def _mix(x: Tensor, matrix: Tensor) -> Tensor:
    return ops.matmul(x, ops.transpose(matrix))


def _exact(variable: keras.Variable) -> np.ndarray:
    return ops.convert_to_numpy(variable).astype(np.float64)


def _drawn() -> np.random.Generator:
    """A generator that `keras.utils.set_random_seed` seeds, on either backend."""
    return np.random.default_rng(random.randrange(2**32))


def _random_rotation(channels: int) -> np.ndarray:
    q, r = np.linalg.qr(_drawn().standard_normal((channels, channels)))
    q = q * np.sign(np.diag(r))
    if np.linalg.det(q) < 0:
        q[:, 0] = -q[:, 0]
    return q
