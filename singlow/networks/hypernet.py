"""Blow's network: a convolution whose weights are computed from the condition."""

from typing import Any

import keras
from keras import ops

from singlow.bijections.conditions import Condition, is_item
from singlow.networks.base import Network
from singlow.networks.weightnorm import Convolution
from singlow.ops.masks import masked
from singlow.ops.tensors import Shape, Tensor, identity, relu, require_frames, split_at

_TAPS = 3


@keras.saving.register_keras_serializable("singlow")
class HyperNet(Network):
    """A convolution with weights computed from the condition, then two ordinary ones.

        [K, b] = A e + a                            e: the condition, K: (3, inputs, width / inputs)
        h_1    = relu(b + sum_k x_(t + k - 1) K_k)  each input feeds width / inputs outputs
        h_2    = relu(conv_1x1(h_1))
        y      = conv_3(h_2), which starts at zero

    The first layer is computed as a product of `x`, shifted by -1, 0 and 1, with a block-diagonal
    matrix for each item of the batch, without a grouped convolution.

    Args:
        width: hidden channels; a multiple of the inputs.
        weight_norm: whether to normalise the two ordinary convolutions.
        channels: output channels; when `None`, the coupling sets them.

    Raises:
        ValueError: `width` is not a multiple of the inputs, `x` is an image, or the condition is
            not a single item condition.

    References:
        Serra, Pascual and Segura, Blow: a single-scale hyperconditioned flow for non-parallel
        raw-audio voice conversion, 2019, https://arxiv.org/abs/1906.00794
    """

    def __init__(
        self,
        width: int = 512,
        weight_norm: bool = True,
        channels: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(channels, **kwargs)
        self.width = width
        self.weight_norm = weight_norm
        self.hidden = self._convolution(width, 1, "hidden")

    @property
    def receptive_field(self) -> tuple[int, int]:
        return 2 * (_TAPS // 2), 2 * (_TAPS // 2)

    def build(self, x_shape: Shape, condition_shape: Any = None) -> None:
        inputs = x_shape[-1]
        if self.width % inputs:
            raise ValueError(
                f"Expected width to be a multiple of the {inputs} channels that {self.name} reads. "
                f"Received: width={self.width}."
            )
        require_frames(self.name, x_shape)
        if condition_shape is None or not is_item(condition_shape):
            raise ValueError(
                f"Expected a condition of shape (batch, features) for {self.name}. "
                f"Received: {condition_shape}."
            )
        self.conditioned = True
        self.adapter = keras.layers.Dense(
            (_TAPS + 1) * self.width,
            kernel_initializer=_uniform(condition_shape[-1]),
            bias_initializer=_uniform(condition_shape[-1]),
            name="adapter",
            dtype=self.dtype_policy,
        )
        self.last = self._convolution(self._output_channels(x_shape), _TAPS, "last", zero=True)
        self.adapter.build(tuple(condition_shape))
        self.hidden.build((*x_shape[:-1], self.width))
        self.last.build((*x_shape[:-1], self.width))

    def _convolution(self, filters: int, taps: int, name: str, **kwargs: Any) -> Convolution:
        return Convolution(
            filters,
            taps,
            weight_norm=self.weight_norm,
            name=name,
            dtype=self.dtype_policy,
            **kwargs,
        )

    def _run(
        self, x: Tensor, condition: Condition, frame_mask: Tensor | None, training: bool | None
    ) -> Tensor:
        first = self._first_matrix(condition, x.shape[-1])
        hidden = relu(ops.matmul(_taps(masked(x, frame_mask)), first))
        hidden = relu(self.hidden(hidden))
        return self.last(masked(hidden, frame_mask))

    def _first_matrix(self, condition: Tensor, inputs: int) -> Tensor:
        """The matrix of the first layer and its bias as the last row: `(batch, rows, width)`."""
        kernel, bias = split_at(self.adapter(condition), _TAPS * self.width)
        kernel = ops.reshape(kernel, (-1, _TAPS, inputs, 1, self.width // inputs))
        diagonal = identity(inputs, kernel.dtype)[..., None]
        matrix = ops.reshape(kernel * diagonal, (-1, _TAPS * inputs, self.width))
        return ops.concatenate([matrix, bias[:, None]], axis=-2)

    def get_config(self) -> dict[str, Any]:
        own = {"width": self.width, "weight_norm": self.weight_norm}
        return {**super().get_config(), **own}


def _uniform(inputs: int) -> keras.initializers.Initializer:
    """Initialise so that taps computed from a standard normal condition have variance 1 / 3."""
    return keras.initializers.RandomUniform(-(inputs**-0.5), inputs**-0.5)


def _taps(x: Tensor) -> Tensor:
    """`x_(t-1), x_t, x_(t+1), 1` side by side: `(batch, time, 3 * channels + 1)`."""
    padded, one = ops.pad(x, ((0, 0), (1, 1), (0, 0))), ops.ones_like(x[..., :1])
    return ops.concatenate([padded[:, :-2], x, padded[:, 2:], one], axis=-1)
