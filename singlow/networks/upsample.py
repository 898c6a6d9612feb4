"""Networks that map a mel spectrogram to a condition: upsampled, or at its own frame rate."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from singlow.networks.weightnorm import Convolution
from singlow.ops.masks import masked
from singlow.ops.tensors import Shape, Tensor, full_precision

_BINS = 3  # taps over mel bins
_SLOPE = 0.4  # of the leaky ReLUs below zero


@keras.saving.register_keras_serializable("singlow")
class Upsample(keras.layers.Layer):
    """Transposed convolutions over time and mel bins, each after the other with a leaky ReLU.

    Stage `i` has one filter of `2 * scales[i]` taps over time and 3 over bins, with weight norm,
    and multiplies the number of frames by `scales[i]`.

    Args:
        scales: factors of the stages.
        slope: of the leaky ReLU below zero.

    Call arguments:
        x: see below.
        frame_mask: `(batch, frames)`, 1 for valid frames; others are treated as the zeros beyond
            the ends.

    Input shape: `(batch, frames, bins)`.
    Output shape: `(batch, frames * product of scales, bins)`.

    Raises:
        ValueError: a scale is below 2 or odd, which has no symmetric filter.

    References:
        Kim, Lee, Song, Kim and Yoon, FloWaveNet: A Generative Flow for Raw Audio, 2019,
        https://arxiv.org/abs/1811.02155
    """

    def __init__(
        self, scales: Sequence[int] = (16, 16), slope: float = _SLOPE, **kwargs: Any
    ) -> None:
        super().__init__(**{**kwargs, "dtype": kwargs.get("dtype") or full_precision()})
        if not scales or any(scale < 2 or scale % 2 for scale in scales):
            raise ValueError(f"Expected even scales of at least 2. Received: {list(scales)}.")
        self.scales = list(scales)
        self.slope = slope

    @property
    def receptive_field(self) -> tuple[int, int]:
        """Frames before and after its own that an output depends on."""
        return len(self.scales), len(self.scales)

    def build(self, x_shape: Shape) -> None:
        self.kernels, self.gains, self.biases = [], [], []
        for index, scale in enumerate(self.scales):
            bound = (2 * _BINS * scale) ** -0.5
            kernel = self.add_weight(
                name=f"kernel_{index}",
                shape=(2 * scale, _BINS),
                initializer=keras.initializers.RandomUniform(-bound, bound),
            )
            norm = _norm(kernel.value)
            gain = self.add_weight(
                name=f"gain_{index}",
                shape=(),
                initializer=lambda shape, dtype=None, norm=norm: ops.cast(norm, dtype),
            )
            self.kernels.append(kernel)
            self.gains.append(gain)
            self.biases.append(self.add_weight(name=f"bias_{index}", shape=(), initializer="zeros"))

    def call(self, x: Tensor, frame_mask: Tensor | None = None) -> Tensor:
        y = ops.cast(x, self.compute_dtype)[..., None]
        for scale, kernel, gain, bias in zip(
            self.scales, self.kernels, self.gains, self.biases, strict=True
        ):
            if frame_mask is not None:
                y = y * ops.cast(frame_mask, y.dtype)[..., None, None]
                frame_mask = ops.repeat(frame_mask, scale, axis=1)
            weight = (gain * kernel / _norm(kernel))[..., None, None]
            y = ops.conv_transpose(
                y, weight, (scale, 1), padding="same", data_format="channels_last"
            )
            y = _leaky_relu(y + bias, self.slope)
        return y[..., 0]

    def compute_output_shape(self, x_shape: Shape) -> Shape:
        frames = x_shape[1]
        for scale in self.scales:
            frames = None if frames is None else frames * scale
        return (x_shape[0], frames, x_shape[2])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "scales": self.scales, "slope": self.slope}


@keras.saving.register_keras_serializable("singlow")
class TransposedConvolution(keras.layers.Layer):
    """A transposed convolution over frames, in which each frame adds to the samples that follow it.

        y_(scale i + r) = bias + sum_j kernel_(scale j + r) x_(i - j),    0 <= r < scale

    It is computed as one product for each frame, from that frame and the `overlap - 1` before it to
    `scale` samples.

    Args:
        filters: output channels.
        scale: samples for each frame.
        overlap: frames that an output depends on, so that the kernel has `overlap * scale` taps.

    Call arguments:
        x: see below.
        frame_mask: `(batch, frames)`, 1 for valid frames; others are treated as the zeros beyond
            the ends.

    Input shape: `(batch, frames, channels)`.
    Output shape: `(batch, frames * scale, filters)`.

    Raises:
        ValueError: a number is below 1.

    References:
        Prenger, Valle and Catanzaro, WaveGlow: A Flow-based Generative Network for Speech
        Synthesis, 2018, https://arxiv.org/abs/1811.00002
    """

    def __init__(self, filters: int, scale: int = 256, overlap: int = 4, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "dtype": kwargs.get("dtype") or full_precision()})
        if min(filters, scale, overlap) < 1:
            raise ValueError(
                "Expected filters, scale and overlap of at least 1. "
                f"Received: filters={filters}, scale={scale}, overlap={overlap}."
            )
        self.filters = filters
        self.scale = scale
        self.overlap = overlap

    @property
    def receptive_field(self) -> tuple[int, int]:
        """Frames before and after its own that an output depends on."""
        return self.overlap - 1, 0

    def build(self, x_shape: Shape) -> None:
        bound = (self.overlap * x_shape[-1]) ** -0.5
        self.kernel = self.add_weight(
            name="kernel",
            shape=(self.overlap * self.scale, x_shape[-1], self.filters),
            initializer=keras.initializers.RandomUniform(-bound, bound),
        )
        self.bias = self.add_weight(name="bias", shape=(self.filters,), initializer="zeros")

    def call(self, x: Tensor, frame_mask: Tensor | None = None) -> Tensor:
        x = masked(ops.cast(x, self.compute_dtype), frame_mask)
        batch, frames, channels = ops.shape(x)[0], ops.shape(x)[1], x.shape[-1]
        padded = ops.pad(x, ((0, 0), (self.overlap - 1, 0), (0, 0)))
        taps = [padded[:, self.overlap - 1 - j :][:, :frames] for j in range(self.overlap)]
        kernel = ops.reshape(self.kernel, (self.overlap, self.scale, channels, self.filters))
        kernel = ops.reshape(ops.transpose(kernel, (0, 2, 1, 3)), (self.overlap * channels, -1))
        y = ops.matmul(ops.concatenate(taps, axis=-1), kernel)
        return ops.reshape(y, (batch, frames * self.scale, self.filters)) + self.bias

    def compute_output_shape(self, x_shape: Shape) -> Shape:
        frames = None if x_shape[1] is None else x_shape[1] * self.scale
        return (x_shape[0], frames, self.filters)

    def get_config(self) -> dict[str, Any]:
        own = {"filters": self.filters, "scale": self.scale, "overlap": self.overlap}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable("singlow")
class FrameEncoder(keras.layers.Layer):
    """Convolutions over the frames of a mel spectrogram, whose number of frames stays the same.

        h = leaky_relu(conv(x))        y = leaky_relu(conv(h))

    A unit of a ReLU that is always zero would stay so, and its part of the mel would be lost.

    Args:
        width: channels of both layers.
        kernel_size: taps of both convolutions, an odd number.
        causal: whether to read only present and past frames.
        weight_norm: whether to normalise the weights.

    Call arguments:
        x: see below.
        frame_mask: `(batch, frames)`, 1 for valid frames; others are treated as the zeros beyond
            the ends.

    Input shape: `(batch, frames, bins)`.
    Output shape: `(batch, frames, width)`.
    """

    def __init__(
        self,
        width: int = 128,
        kernel_size: int = 3,
        causal: bool = False,
        weight_norm: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**{**kwargs, "dtype": kwargs.get("dtype") or full_precision()})
        self.width = width
        self.kernel_size = kernel_size
        self.causal = causal
        self.weight_norm = weight_norm
        self.convolutions = [
            Convolution(
                width,
                kernel_size,
                causal=causal,
                weight_norm=weight_norm,
                name=f"conv_{index}",
                dtype=self.dtype_policy,
            )
            for index in range(2)
        ]

    @property
    def receptive_field(self) -> tuple[int, int]:
        """Frames before and after its own that an output depends on."""
        before, after = self.convolutions[0].receptive_field
        return 2 * before, 2 * after

    def build(self, x_shape: Shape) -> None:
        self.convolutions[0].build(tuple(x_shape))
        self.convolutions[1].build((*x_shape[:-1], self.width))

    def call(self, x: Tensor, frame_mask: Tensor | None = None) -> Tensor:
        y = ops.cast(x, self.compute_dtype)
        for convolution in self.convolutions:
            y = _leaky_relu(convolution(masked(y, frame_mask)), _SLOPE)
        return y

    def compute_output_shape(self, x_shape: Shape) -> Shape:
        return (*x_shape[:-1], self.width)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "width": self.width,
            "kernel_size": self.kernel_size,
            "causal": self.causal,
            "weight_norm": self.weight_norm,
        }


def _leaky_relu(x: Tensor, slope: float) -> Tensor:
    return ops.maximum(x, slope * x)


def _norm(kernel: Tensor) -> Tensor:
    return ops.sqrt(ops.sum(ops.square(kernel)))
