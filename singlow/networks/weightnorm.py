"""A convolution over time, or over an image, with optional weight normalisation."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from singlow.ops.tensors import Shape, Tensor, add_bias

_WIDE = 16  # dilation from which rows are faster than the copy that they save
_NARROW = 12  # taps times channels up to which one product is faster than a convolution


@keras.saving.register_keras_serializable("singlow")
class Convolution(keras.layers.Layer):
    """`y_t = sum_k x_(t + dilation * (k - centre)) W_k + bias`, with zeros beyond the ends.

    For an image the sum runs over `kernel_size` taps along each axis. With `weight_norm`,
    `W = gain * V / ||V||`, with the norm over all but the last axis, so that the length and the
    direction of each filter are learned separately.

    Args:
        filters: output channels.
        kernel_size: taps along each axis.
        dilation: positions between taps.
        causal: whether to read only present and past frames; not for images.
        weight_norm: whether to learn `gain` and `V` instead of `W`.
        zero: whether to start with zero output.
        use_bias: whether to add a bias.

    Input shape: `(batch, time, channels)` or `(batch, height, width, channels)`; with one tap also
    `(batch, channels)`.
    Output shape: the input shape with `filters` channels.

    Raises:
        ValueError: a size is below 1, or a causal convolution is built for images.

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
        """Positions before and after its own, along each axis, that an output depends on."""
        reach = self.dilation * (self.kernel_size - 1)
        return (reach, 0) if self.causal else (reach // 2, reach - reach // 2)

    def build(self, x_shape: Shape) -> None:
        axes = max(1, len(x_shape) - 2)
        if self.causal and axes > 1:
            raise ValueError(
                f"Expected frames (batch, time, channels) for the causal {self.name}. "
                f"Received: {tuple(x_shape)}."
            )
        shape = (*[self.kernel_size] * axes, x_shape[-1], self.filters)
        start = "zeros" if self.zero and not self.weight_norm else "he_normal"
        self.kernel = self.add_weight(name="kernel", shape=shape, initializer=start)
        if self.weight_norm:
            norm = _norm(self.kernel.value, axes)
            gain = 0.0 if self.zero else ops.reshape(norm, (self.filters,))
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
            return ops.matmul(x, ops.reshape(weight, weight.shape[-2:]))
        if len(x.shape) == 4:
            return self._over_image(x, weight)
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
            return _convolve(x, weight, "same", self.dilation)
        padded = ops.pad(x, ((0, 0), (before, after), (0, 0)))
        return _convolve(padded, weight, "valid", self.dilation)

    def _over_image(self, x: Tensor, weight: Tensor) -> Tensor:
        before, after = self.receptive_field
        if before == after:
            return _convolve(x, weight, "same", self.dilation)
        padded = ops.pad(x, ((0, 0), (before, after), (before, after), (0, 0)))
        return _convolve(padded, weight, "valid", self.dilation)

    def _shifted(self, x: Tensor) -> list[Tensor]:
        """The input of each tap: `x` shifted in time, with zeros beyond the ends."""
        before, after = self.receptive_field
        padded = ops.pad(x, ((0, 0), (before, after), (0, 0)))
        starts = range(0, before + after + 1, self.dilation)
        return [padded[:, k : k - before - after or None] for k in starts]

    def _wraps(self, length: int | None) -> bool:
        """Whether to reshape time into rows of `dilation` positions, which saves a copy."""
        return self.dilation >= _WIDE and length is not None and length % self.dilation == 0

    def _in_rows(self, x: Tensor, weight: Tensor) -> Tensor:
        batch, (length, channels) = ops.shape(x)[0], x.shape[1:]
        rows = (batch, length // self.dilation, self.dilation)
        y = _convolve(ops.reshape(x, (*rows, channels)), weight[:, None], "same", 1)
        return ops.reshape(y, (batch, length, self.filters))

    def effective_weights(self, value: Callable[[keras.Variable], Tensor]) -> list[Tensor]:
        """The weights of the same convolution without weight norm.

        Args:
            value: maps a weight to a tensor of its shape, or of that shape after leading axes, for
                a stack of convolutions.
        """
        kernel = value(self.kernel)
        if self.weight_norm:
            axes = len(self.kernel.shape) - 2
            gain = value(self.gain)[(..., *[None] * (axes + 1), slice(None))]
            kernel = kernel * (ops.cast(gain, kernel.dtype) / _norm(kernel, axes))
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


def _norm(kernel: Tensor, axes: int) -> Tensor:
    """The norm of each filter of a kernel whose taps have this number of axes."""
    summed = tuple(range(-2 - axes, -1))
    return ops.sqrt(ops.sum(ops.square(kernel), axis=summed, keepdims=True) + 1e-12)


def _convolve(x: Tensor, weight: Tensor, padding: str, dilation: int) -> Tensor:
    # The data format is explicit because a user-wide Keras configuration may set another.
    return ops.conv(x, weight, padding=padding, dilation_rate=dilation, data_format="channels_last")
