"""WaveNet's network: gated dilated convolutions with residual and skip paths."""

from typing import Any

import keras
from keras import ops

from singlow.bijections.conditions import Condition
from singlow.networks.base import Network, add_condition, condition_convolutions, reach
from singlow.networks.weightnorm import Convolution
from singlow.ops.masks import masked
from singlow.ops.tensors import Shape, Tensor, require_frames


@keras.saving.register_keras_serializable("singlow")
class WaveNet(Network):
    """A stack of gated dilated convolutions with summed skip connections.

        h_0       = conv_1x1(x)
        f, g      = dilated_i(h_i) + conv_1x1_i(condition)
        r, s_i    = conv_1x1(tanh(f) * sigmoid(g))
        h_(i+1)   = h_i + r
        y         = conv_1x1(sum_i s_i), which starts at zero

    Layer `i` has dilation `dilation_base ** i`.

    Args:
        width: channels of the residual and skip paths.
        layers: number of dilated convolutions.
        kernel_size: taps of each.
        dilation_base: factor between the dilations of neighbouring layers.
        causal: whether to read only present and past frames.
        weight_norm: whether to normalise the weights of the convolutions.
        dropout: share of gated units dropped while training.
        plain_last: whether the last convolution is not normalised, as in WaveGlow and Glow-TTS.
        redundant: whether the convolutions of the condition have biases, which add nothing to those
            of the dilated convolutions.
        channels: output channels; when `None`, the coupling sets them.

    Raises:
        ValueError: `layers` is below 1, or `x` is an image.

    References:
        van den Oord et al., WaveNet: A Generative Model for Raw Audio, 2016,
        https://arxiv.org/abs/1609.03499; Prenger, Valle and Catanzaro, WaveGlow, 2018,
        https://arxiv.org/abs/1811.00002
    """

    def __init__(
        self,
        width: int = 64,
        layers: int = 4,
        kernel_size: int = 3,
        dilation_base: int = 2,
        causal: bool = False,
        weight_norm: bool = True,
        dropout: float = 0.0,
        plain_last: bool = False,
        redundant: bool = False,
        channels: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(channels, **kwargs)
        if layers < 1:
            raise ValueError(f"Expected at least one layer. Received: layers={layers}.")
        self.width = width
        self.layers = layers
        self.kernel_size = kernel_size
        self.dilation_base = dilation_base
        self.causal = causal
        self.weight_norm = weight_norm
        self.dropout = dropout
        self.plain_last = plain_last
        self.redundant = redundant
        self.first = self._pointwise(width, "first")
        self.dilated = [
            Convolution(
                2 * width,
                kernel_size,
                dilation_base**index,
                causal,
                weight_norm,
                name=f"dilated_{index}",
                dtype=self.dtype_policy,
            )
            for index in range(layers)
        ]
        outputs = [2 * width] * (layers - 1) + [width]
        self.mixed = [self._pointwise(n, f"mixed_{index}") for index, n in enumerate(outputs)]
        self.drops = [
            keras.layers.Dropout(dropout, name=f"dropout_{index}", dtype=self.dtype_policy)
            for index in range(layers if dropout else 0)
        ]

    def _pointwise(self, filters: int, name: str) -> Convolution:
        return Convolution(
            filters, weight_norm=self.weight_norm, name=name, dtype=self.dtype_policy
        )

    @property
    def receptive_field(self) -> tuple[int, int]:
        return reach([layer.receptive_field for layer in self.dilated])

    def build(self, x_shape: Shape, condition_shape: Any = None) -> None:
        require_frames(self.name, x_shape)
        self.last = Convolution(
            self._output_channels(x_shape),
            weight_norm=self.weight_norm and not self.plain_last,
            zero=True,
            name="last",
            dtype=self.dtype_policy,
        )
        self.conditioned = condition_shape is not None
        self.embeddings = [
            condition_convolutions(
                condition_shape,
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
        for layer in (*self.dilated, *self.mixed, *self.drops, self.last):
            layer.build(hidden)

    def _run(
        self, x: Tensor, condition: Condition, frame_mask: Tensor | None, training: bool | None
    ) -> Tensor:
        hidden, skipped = masked(self.first(x), frame_mask), 0
        for index in range(self.layers):
            gated = self.dilated[index](hidden)
            if self.conditioned:
                gated = add_condition(gated, self.embeddings[index], condition)
            signal, gate = ops.split(gated, 2, axis=-1)
            gated = (2.0 * ops.sigmoid(2.0 * signal) - 1.0) * ops.sigmoid(gate)
            if self.dropout:
                gated = self.drops[index](gated, training=training)
            mixed = self.mixed[index](gated)
            if index < self.layers - 1:
                residual, mixed = ops.split(mixed, 2, axis=-1)
                hidden = masked(hidden + residual, frame_mask)
            skipped = skipped + mixed
        return self.last(skipped)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "width": self.width,
            "layers": self.layers,
            "kernel_size": self.kernel_size,
            "dilation_base": self.dilation_base,
            "causal": self.causal,
            "weight_norm": self.weight_norm,
            "dropout": self.dropout,
            "plain_last": self.plain_last,
            "redundant": self.redundant,
        }
