"""FloWaveNet's network: gated convolutions between two convolutional layers."""

import math
from typing import Any

import keras
from keras import ops

from singlow.bijections.conditions import Condition
from singlow.networks.base import Network, add_condition, condition_convolutions, reach
from singlow.networks.weightnorm import Convolution
from singlow.ops.masks import masked
from singlow.ops.tensors import Shape, Tensor, relu, require_frames, split_at

PARTS = ("all", "first", "last")


@keras.saving.register_keras_serializable("singlow")
class GatedConvNet(Network):
    """Gated dilated convolutions after a convolution, before a hidden layer and a scaled output.

        h_0     = relu(conv(x))
        f, g    = dilated_i(h_i) + conv_1x1_i(condition)
        r, s_i  = conv_1x1(tanh(f) * sigmoid(g))
        h_(i+1) = (h_i + r) / sqrt(2)
        y       = exp(3 scale) * conv_1x1(relu(conv_1x1(relu(sum_i s_i))))

    Layer `i` has dilation `dilation_base ** i`. The last convolution and `scale`, one number for
    each output channel, start at zero.

    Args:
        width: channels of the hidden layers.
        layers: number of dilated convolutions.
        kernel_size: taps of each, and of the first convolution.
        dilation_base: factor between the dilations of neighbouring layers.
        causal: whether to read only present and past frames.
        weight_norm: whether to normalise the weights of the convolutions but the last.
        part: the channels of a single frames condition that are read: `"all"`, `"first"` or
            `"last"` half.
        redundant: whether to have the weights of the published code that do not add anything: a
            residual output of the last layer, and biases of the convolutions of the condition.
        channels: output channels; when `None`, the coupling sets them.

    Raises:
        ValueError: `layers` is below 1, `part` is unknown, or `x` is an image.

    References:
        Kim, Lee, Song, Kim and Yoon, FloWaveNet: A Generative Flow for Raw Audio, 2019,
        https://arxiv.org/abs/1811.02155
    """

    def __init__(
        self,
        width: int = 256,
        layers: int = 2,
        kernel_size: int = 3,
        dilation_base: int = 2,
        causal: bool = False,
        weight_norm: bool = True,
        part: str = "all",
        redundant: bool = False,
        channels: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(channels, **kwargs)
        if layers < 1 or part not in PARTS:
            raise ValueError(
                f"Expected at least one layer and part in {PARTS}. "
                f"Received: layers={layers}, part={part!r}."
            )
        self.width = width
        self.layers = layers
        self.kernel_size = kernel_size
        self.dilation_base = dilation_base
        self.causal = causal
        self.weight_norm = weight_norm
        self.part = part
        self.redundant = redundant
        self.first = self._convolution(width, "first", kernel_size)
        self.dilated = [
            self._convolution(2 * width, f"dilated_{index}", kernel_size, dilation_base**index)
            for index in range(layers)
        ]
        outputs = [2 * width] * (layers if redundant else layers - 1)
        outputs += [width] * (layers - len(outputs))
        self.mixed = [self._convolution(n, f"mixed_{index}") for index, n in enumerate(outputs)]
        self.hidden = self._convolution(width, "hidden")

    def _convolution(
        self, filters: int, name: str, kernel_size: int = 1, dilation: int = 1
    ) -> Convolution:
        return Convolution(
            filters,
            kernel_size,
            dilation,
            self.causal,
            self.weight_norm,
            name=name,
            dtype=self.dtype_policy,
        )

    @property
    def receptive_field(self) -> tuple[int, int]:
        return reach([layer.receptive_field for layer in (self.first, *self.dilated)])

    def build(self, x_shape: Shape, condition_shape: Any = None) -> None:
        require_frames(self.name, x_shape)
        outputs = self._output_channels(x_shape)
        self.last = Convolution(
            outputs, weight_norm=False, zero=True, name="last", dtype=self.dtype_policy
        )
        self.scale = self.add_weight(name="scale", shape=(outputs,), initializer="zeros")
        self.conditioned = condition_shape is not None
        read = condition_shape
        if self.part != "all":
            read = (*condition_shape[:-1], condition_shape[-1] // 2)
        self.embeddings = [
            condition_convolutions(
                read,
                2 * self.width,
                f"condition_{index}",
                self.redundant,
                weight_norm=self.weight_norm,
                dtype=self.dtype_policy,
            )
            for index in range(self.layers if self.conditioned else 0)
        ]
        hidden = (*x_shape[:-1], self.width)
        self.first.build(tuple(x_shape))
        for layer in (*self.dilated, *self.mixed, self.hidden, self.last):
            layer.build(hidden)

    def _run(
        self, x: Tensor, condition: Condition, frame_mask: Tensor | None, training: bool | None
    ) -> Tensor:
        condition = self._read(condition)
        hidden = relu(self.first(masked(x, frame_mask)))
        skipped = 0
        for index in range(self.layers):
            gated = self.dilated[index](masked(hidden, frame_mask))
            if self.conditioned:
                gated = add_condition(gated, self.embeddings[index], condition)
            signal, gate = split_at(gated, self.width)
            # Computed with a sigmoid because `keras.ops.tanh` returns float32 for float64.
            mixed = self.mixed[index]((2.0 * ops.sigmoid(2.0 * signal) - 1.0) * ops.sigmoid(gate))
            if mixed.shape[-1] > self.width:
                residual, mixed = split_at(mixed, self.width)
                hidden = (hidden + residual) * math.sqrt(0.5)
            skipped = skipped + mixed
        y = self.last(relu(self.hidden(relu(skipped))))
        return y * ops.exp(3.0 * ops.cast(self.scale, y.dtype))

    def _read(self, condition: Condition) -> Condition:
        """The channels of the condition that this network reads."""
        if self.part == "all":
            return condition
        half = condition.shape[-1] // 2
        return condition[..., :half] if self.part == "first" else condition[..., half:]

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "width": self.width,
            "layers": self.layers,
            "kernel_size": self.kernel_size,
            "dilation_base": self.dilation_base,
            "causal": self.causal,
            "weight_norm": self.weight_norm,
            "part": self.part,
            "redundant": self.redundant,
        }
