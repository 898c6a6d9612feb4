"""A convolution over time whose weights may be normalised."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from singlow.ops.tensors import Shape, Tensor, add_bias

_WIDE = 16  # narrower rows are slower than what the copy costs
_NARROW = 12  # taps times channels up to which one product beats a convolution


@keras.saving.register_keras_serializable("singlow")
class Convolution(keras.layers.Layer):
    """`y_t = sum_k x_(t + dilation * (k - centre)) W_k + bias`, zeros beyond the ends.

    With `weight_norm`, `W = gain * V / ||V||`, the norm over all but the last axis: length and
    direction are learned apart.

    Args:
        filters: output channels.
        kernel_size: taps.
        dilation: frames between taps.
        causal: read the present and the past only.
        weight_norm: learn `gain` and `V` instead of `W`.
        zero: start with zero output, so that what follows starts as if nothing were said.
        use_bias: add a bias.

    Input shape: `(batch, time, channels)`.
    Output shape: `(batch, time, filters)`.

    Raises:
        ValueError: a size is below 1.

    References:
        Salimans and Kingma, Weight Normalization, 2016, https://arxiv.org/abs/1602.07868
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int = 1,
        dilation: int = 1,
        causal: bool = False,
        weight_norm: bool = True,
        zero: bool = False,
        use_bias: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if min(filters, kernel_size, dilation) < 1:
            raise ValueError(
                "Expected filters, kernel_size and dilation of at least 1. Received: "
                f"filters={filters}, kernel_size={kernel_size}, dilation={dilation}."
            )
        self.filters = filters
        self.kernel_size = kernel_size
        self.dilation = dilation
        self.causal = causal
        self.weight_norm = weight_norm
        self.zero = zero
        self.use_bias = use_bias

    @property
    def receptive_field(self) -> tuple[int, int]:
        """How many frames before and after its own an output frame depends on."""
        reach = self.dilation * (self.kernel_size - 1)
        return (reach, 0) if self.causal else (reach // 2, reach - reach // 2)

    def build(self, x_shape: Shape) -> None:
        shape = (self.kernel_size, x_shape[-1], self.filters)
        start = "zeros" if self.zero and not self.weight_norm else "he_normal"
        self.kernel = self.add_weight(name="kernel", shape=shape, initializer=start)
        if self.weight_norm:
            gain = 0.0 if self.zero else _norm(self.kernel.value)[0, 0]
            self.gain = self.add_weight(
                name="gain",
                shape=(self.filters,),
                initializer=lambda shape, dtype=None: ops.broadcast_to(
                    ops.convert_to_tensor(gain, dtype=dtype), shape
                ),
            )
        if self.use_bias:
            self.bias = self.add_weight(name="bias", shape=(self.filters,), initializer="zeros")

    def call(self, x: Tensor) -> Tensor:
        y = self._convolved(x, self._weight())
        return add_bias(y, ops.cast(self.bias, y.dtype)) if self.use_bias else y

    def _convolved(self, x: Tensor, weight: Tensor) -> Tensor:
        if self.kernel_size == 1:
            return ops.matmul(x, weight[0])
        if self.kernel_size * x.shape[-1] <= _NARROW:
            taps = ops.concatenate(self._shifted(x), axis=-1)
            return ops.matmul(taps, ops.reshape(weight, (-1, self.filters)))
        if self.kernel_size * self.filters <= _NARROW:
            products = ops.matmul(x, ops.concatenate(ops.unstack(weight, self.kernel_size), -1))
            own = [slice(k * self.filters, (k + 1) * self.filters) for k in range(self.kernel_size)]
            return sum(y[..., k] for y, k in zip(self._shifted(products), own, strict=True))
        before, after = self.receptive_field
        if before == after and self._wraps(x.shape[1]):
            return self._in_rows(x, weight)
        if before == after:
            return ops.conv(x, weight, padding="same", dilation_rate=self.dilation)
        padded = ops.pad(x, ((0, 0), (before, after), (0, 0)))
        return ops.conv(padded, weight, padding="valid", dilation_rate=self.dilation)

    def _shifted(self, x: Tensor) -> list[Tensor]:
        """What each tap sees: `x` moved in time, zeros beyond the ends."""
        before, after = self.receptive_field
        padded = ops.pad(x, ((0, 0), (before, after), (0, 0)))
        starts = range(0, before + after + 1, self.dilation)
        return [padded[:, k : k - before - after or None] for k in starts]

    def _wraps(self, length: int | None) -> bool:
        """Whether to lay time out in rows of one dilation each: exact, and a copy less."""
        return self.dilation >= _WIDE and length is not None and length % self.dilation == 0

    def _in_rows(self, x: Tensor, weight: Tensor) -> Tensor:
        batch, (length, channels) = ops.shape(x)[0], x.shape[1:]
        rows = (batch, length // self.dilation, self.dilation)
        y = ops.conv(ops.reshape(x, (*rows, channels)), weight[:, None], padding="same")
        return ops.reshape(y, (batch, length, self.filters))

    def effective_weights(self, value: Callable[[keras.Variable], Tensor]) -> list[Tensor]:
        """The weights of the same convolution without weight norm.

        Args:
            value: from each weight to its tensor, after any axes for many convolutions at once.
        """
        kernel = value(self.kernel)
        if self.weight_norm:
            gain = value(self.gain)[..., None, None, :]
            kernel = kernel * (ops.cast(gain, kernel.dtype) / _norm(kernel))
        return [kernel, value(self.bias)] if self.use_bias else [kernel]

    def _weight(self) -> Tensor:
        kernel, *_ = self.effective_weights(lambda v: ops.cast(v, self.variable_dtype))
        return ops.cast(kernel, self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "dilation": self.dilation,
            "causal": self.causal,
            "weight_norm": self.weight_norm,
            "zero": self.zero,
            "use_bias": self.use_bias,
        }


def _norm(kernel: Tensor) -> Tensor:
    return ops.sqrt(ops.sum(ops.square(kernel), axis=(-3, -2), keepdims=True) + 1e-12)
