"""Linear maps of channels: the invertible 1x1 convolution, permutations, flips, folded maps."""

import functools
import random
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np
import scipy.linalg
from keras import ops

from singlow.bijections.base import Fold, InvertibleLayer
from singlow.bijections.conditions import Condition
from singlow.ops.masks import count_frames, halves
from singlow.ops.stateless import Bindings, read
from singlow.ops.tensors import Shape, Tensor, identity, product


class Affine(NamedTuple):
    """`z_t = matrix x_t + shift`, or a stack of such maps along leading axes.

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
        """The composition of this map and then `after`."""
        return Affine(
            product(after.matrix, self.matrix),
            product(self.inverse, after.inverse),
            product(after.matrix, self.shift[..., None])[..., 0] + after.shift,
            self.log_det + after.log_det,
        )

    def refined(self) -> "Affine":
        """The same map with its inverse improved to rounding error by one Newton step."""
        one = identity(self.matrix.shape[-1], self.matrix.dtype)
        residual = one - product(self.matrix, self.inverse)
        return self._replace(inverse=self.inverse + product(self.inverse, residual))


@keras.saving.register_keras_serializable("singlow")
class InvertibleConv(InvertibleLayer):
    """`z_t = W x_t`, an invertible matrix over channels, initialised as a random rotation.

    With `form="plu"`, `W = P L (U + diag(sign * exp(log_diagonal)))` with `P` and `sign` fixed,
    `L` unit lower and `U` strictly upper triangular, so `log |det| = positions * sum log_diagonal`.
    `W` is never singular, and no determinant is computed. With `form="plain"`, `W` is an arbitrary
    matrix and `log |det|` is computed by `slogdet`, which TensorFlow's XLA does not support.

    With `group_size=n` the channels are divided into groups of `n`, which share one matrix
    `(n, n)`: a group has `n / 2` neighbouring channels of the first half and those at the same
    places in the second half, so that both halves are mixed.

    Args:
        form: `"plu"` or `"plain"`.
        group_size: channels of a group, an even number that divides the channels; one group of all
            channels when `None`.

    Raises:
        ValueError: `form` is neither, or `group_size` is odd or does not divide the channels.

    References:
        Kingma and Dhariwal, Glow: Generative Flow with Invertible 1x1 Convolutions, 2018,
        https://arxiv.org/abs/1807.03039; Kim, Kim, Kong and Yoon, Glow-TTS, 2020 (groups),
        https://arxiv.org/abs/2005.11129
    """

    def __init__(self, form: str = "plu", group_size: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if form not in ("plu", "plain"):
            raise ValueError(f"Expected form 'plu' or 'plain'. Received: form={form!r}.")
        self.form = form
        self.group_size = group_size

    def build(self, x_shape: Shape, condition_shape: Any = None) -> None:
        self.groups, size = 1, x_shape[-1]
        if self.group_size is not None:
            if self.group_size < 2 or self.group_size % 2 or size % self.group_size:
                raise ValueError(
                    f"Expected an even group_size that divides the {size} channels. "
                    f"Received: group_size={self.group_size}."
                )
            self.groups, size = size // self.group_size, self.group_size
        rotation = _random_rotation(size)
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
        self, x: Tensor, condition: Condition, frame_mask: Tensor | None, training: bool | None
    ) -> tuple[Tensor, Tensor]:
        affine = self.affine(read)
        return mixed(x, affine.matrix), count_frames(x, frame_mask) * affine.log_det

    def _inverse(
        self, z: Tensor, condition: Condition, frame_mask: Tensor | None, training: bool | None
    ) -> tuple[Tensor, Tensor]:
        affine = self.affine(read).refined()
        return mixed(z, affine.inverse), -count_frames(z, frame_mask) * affine.log_det

    def affine(self, value: Callable[[keras.Variable], Tensor]) -> Affine:
        """This layer as an affine map of channels; `value` as for `InvertibleLayer.folded`."""
        if self.form == "plain":
            matrix = value(self.kernel)
            inverse, log_det = ops.linalg.inv(matrix), ops.slogdet(matrix)[1]
        else:
            matrix, inverse = self._plu(value)
            log_det = ops.sum(value(self.log_diagonal), axis=-1)
        if self.group_size is not None:
            matrix, inverse = (_for_groups(each, self.groups) for each in (matrix, inverse))
            log_det = self.groups * log_det
        return Affine(matrix, inverse, ops.zeros_like(matrix[..., 0]), log_det)

    def folded(
        self, tile: int | None = None, precision: str | None = None
    ) -> tuple[InvertibleLayer, Fold]:
        return merged([self])

    def _plu(self, value: Callable[[keras.Variable], Tensor]) -> tuple[Tensor, Tensor]:
        """The matrix and its inverse."""
        permutation, below = value(self.permutation), value(self.lower)
        one = identity(below.shape[-1], below.dtype)
        mask = ops.cast(np.tri(below.shape[-1], k=-1, dtype="float32"), below.dtype)
        lower = below * mask + one
        signed = value(self.sign) * ops.exp(value(self.log_diagonal))
        upper = value(self.upper) * ops.transpose(mask) + diagonal(signed)
        half = ops.linalg.solve_triangular(lower, transposed(permutation), lower=True)
        inverse = ops.linalg.solve_triangular(upper, half, lower=False)
        return product(product(permutation, lower), upper), inverse

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "form": self.form, "group_size": self.group_size}


@keras.saving.register_keras_serializable("singlow")
class Permutation(InvertibleLayer):
    """`z_c = x_(order(c))`: a fixed permutation of channels; `log |det| = 0`.

    Args:
        order: the permutation as a list; when `None`, `build` draws one, which is saved.

    Raises:
        ValueError: `order` is not a permutation of the channels.
    """

    def __init__(self, order: list[int] | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.order = None if order is None else [int(c) for c in order]

    def build(self, x_shape: Shape, condition_shape: Any = None) -> None:
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
        self, x: Tensor, condition: Condition, frame_mask: Tensor | None, training: bool | None
    ) -> tuple[Tensor, Tensor]:
        return ops.take(x, self.indices, axis=-1), 0.0 * count_frames(x)

    def _inverse(
        self, z: Tensor, condition: Condition, frame_mask: Tensor | None, training: bool | None
    ) -> tuple[Tensor, Tensor]:
        return ops.take(z, ops.argsort(self.indices), axis=-1), 0.0 * count_frames(z)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "order": self.order}


@keras.saving.register_keras_serializable("singlow")
class Flip(InvertibleLayer):
    """`z_c = x_(channels - 1 - c)`: channels in reverse order; `log |det| = 0`."""

    def _forward(
        self, x: Tensor, condition: Condition, frame_mask: Tensor | None, training: bool | None
    ) -> tuple[Tensor, Tensor]:
        return ops.flip(x, axis=-1), 0.0 * count_frames(x)

    _inverse = _forward


@keras.saving.register_keras_serializable("singlow")
class Swap(InvertibleLayer):
    """`[a, b] -> [b, a]` for the two halves of the channels; `log |det| = 0`.

    Raises:
        ValueError: on `build`, when the number of channels is odd.
    """

    def build(self, x_shape: Shape, condition_shape: Any = None) -> None:
        if x_shape[-1] % 2:
            raise ValueError(
                f"Expected an even number of channels for {self.name}. Received: {x_shape[-1]}."
            )

    def _forward(
        self, x: Tensor, condition: Condition, frame_mask: Tensor | None, training: bool | None
    ) -> tuple[Tensor, Tensor]:
        a, b = halves(x)
        return ops.concatenate([b, a], axis=-1), 0.0 * count_frames(x)

    _inverse = _forward


@keras.saving.register_keras_serializable("singlow")
class FoldedLinear(InvertibleLayer):
    """`z_t = W x_t + shift`, with the inverse and the log-determinant of `W` as further weights.

    Adjacent 1x1 convolutions and ActNorms are folded into one such layer. Its four weights depend
    on each other, so they are set together and not trained.
    """

    def build(self, x_shape: Shape, condition_shape: Any = None) -> None:
        one = np.eye(x_shape[-1])
        self.matrix = self._add_given("matrix", one, trainable=True)
        self.inverse_matrix = self._add_given("inverse_matrix", one, trainable=False)
        self.shift = self._add_given("shift", np.zeros(x_shape[-1]), trainable=True)
        self.log_det = self._add_given("log_det", np.zeros(()), trainable=True)

    def affine(self, value: Any) -> Affine:
        """This layer as an affine map of channels; `value` as for `InvertibleLayer.folded`."""
        weights = (self.matrix, self.inverse_matrix, self.shift, self.log_det)
        return Affine(*(value(weight) for weight in weights))

    def _forward(
        self, x: Tensor, condition: Condition, frame_mask: Tensor | None, training: bool | None
    ) -> tuple[Tensor, Tensor]:
        return mixed(x, self.matrix) + self.shift, count_frames(x, frame_mask) * self.log_det

    def _inverse(
        self, z: Tensor, condition: Condition, frame_mask: Tensor | None, training: bool | None
    ) -> tuple[Tensor, Tensor]:
        x = mixed(z - self.shift, self.inverse_matrix)
        return x, -count_frames(z, frame_mask) * self.log_det


def merged(layers: list[Any]) -> tuple[InvertibleLayer, Fold]:
    """Fold layers that have a method `affine`, in forward order, into one `FoldedLinear`."""
    name = "_".join(layer.name for layer in layers)
    one = FoldedLinear(name=name, dtype=layers[0].dtype_policy.name)
    channels = layers[0].weights[0].shape[-1] * getattr(layers[0], "groups", 1)
    one.build((None, None, channels))

    def fold(value: Any) -> Bindings:
        maps = (layer.affine(value) for layer in layers)
        affine = functools.reduce(Affine.then, maps).refined()
        return list(zip(one.affine(lambda variable: variable), affine, strict=True))

    return one, fold


def _for_groups(matrix: Tensor, groups: int) -> Tensor:
    """The matrix over all channels that applies `matrix` to each group of channels.

    Args:
        matrix: `(..., n, n)`.
        groups: number of groups.

    Returns:
        `(..., groups * n, groups * n)`.
    """
    *stack, size, _ = matrix.shape
    half = size // 2
    blocks = ops.reshape(matrix, (*stack, 2, 1, half, 2, 1, half))
    own = ops.reshape(identity(groups, matrix.dtype), (1, groups, 1, 1, groups, 1))
    return ops.reshape(blocks * own, (*stack, groups * size, groups * size))


def mixed(x: Tensor, matrix: Tensor) -> Tensor:
    """`matrix x_t` at every position: `(..., channels)` -> `(..., channels)`."""
    return product(x, ops.transpose(matrix))


def transposed(matrix: Tensor) -> Tensor:
    """Exchange the last two axes."""
    return ops.swapaxes(matrix, -1, -2)


def diagonal(values: Tensor) -> Tensor:
    """Diagonal matrices: `(..., channels)` -> `(..., channels, channels)`."""
    return identity(values.shape[-1], values.dtype) * values[..., None, :]


def _drawn() -> np.random.Generator:
    """Create a random generator that depends on `keras.utils.set_random_seed` on both backends."""
    return np.random.default_rng(random.randrange(2**32))


def _random_rotation(channels: int) -> np.ndarray:
    q, r = np.linalg.qr(_drawn().standard_normal((channels, channels)))
    q = q * np.sign(np.diag(r))
    if np.linalg.det(q) < 0:
        q[:, 0] = -q[:, 0]
    return q
