"""Convolutional encoders of texts, the network before them, and a predictor of durations."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from singlow.networks.weightnorm import Convolution
from singlow.ops.masks import masked
from singlow.ops.tensors import Shape, Tensor, full_precision, relu

_EPSILON = 1e-4  # of layer normalisation
_BATCH_EPSILON, _MOMENTUM = 1e-5, 0.9  # of batch normalisation


class Encoder(keras.layers.Layer):
    """Base class of networks over a sequence of tokens, which keep its shape.

    A subclass implements `build(x_shape)` and `call`. It computes in full precision whatever the
    global dtype policy is; only an explicit `dtype` changes that.

    Call arguments:
        x: `(batch, tokens, channels)`.
        token_mask: `(batch, tokens)`, 1 for valid tokens; padded tokens do not change valid ones.
        training: whether dropout is active, and batches are normalised by their own statistics.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "dtype": kwargs.get("dtype") or full_precision()})

    def _convolution(self, filters: int, taps: int, name: str, **settings: Any) -> Convolution:
        settings = {"weight_norm": False, "dtype": self.dtype_policy, **settings}
        return Convolution(filters, taps, name=name, **settings)

    def _pointwise(self, filters: int, name: str, **settings: Any) -> keras.layers.Dense:
        return keras.layers.Dense(filters, name=name, dtype=self.dtype_policy, **settings)

    def _layer_norm(self, name: str) -> keras.layers.LayerNormalization:
        return keras.layers.LayerNormalization(epsilon=_EPSILON, name=name, dtype=self.dtype_policy)

    def _drop(self, rate: float, name: str) -> keras.layers.Dropout:
        return keras.layers.Dropout(rate, name=name, dtype=self.dtype_policy)


class BatchNormalized(Encoder):
    """Base class of encoders with batch norm.

    Args:
        original_padding: whether to treat padded tokens as the published code.
    """

    def __init__(self, original_padding: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.original_padding = original_padding

    def _batch_norm(self, name: str) -> keras.layers.BatchNormalization:
        return keras.layers.BatchNormalization(
            momentum=_MOMENTUM, epsilon=_BATCH_EPSILON, name=name, dtype=self.dtype_policy
        )

    def _counted(self, token_mask: Tensor | None) -> Tensor | None:
        """Which tokens the statistics of a batch include; all when `None`."""
        if token_mask is None or self.original_padding:
            return None
        return ops.cast(token_mask, "bool")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "original_padding": self.original_padding}


@keras.saving.register_keras_serializable("singlow")
class Prenet(Encoder):
    """Convolutions with layer norm, added to their input; the sum starts as the identity.

        h_i = dropout(relu(norm(conv_i(h_(i-1)))))      h_0 = x
        y   = x + W h_n, where W starts at zero

    Args:
        layers: number of convolutions `n`.
        kernel_size: taps of each.
        dropout: share of hidden units dropped while training.

    References:
        Kim, Kim, Kong and Yoon, Glow-TTS, 2020, https://arxiv.org/abs/2005.11129
    """

    def __init__(
        self, layers: int = 3, kernel_size: int = 5, dropout: float = 0.5, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.layers = layers
        self.kernel_size = kernel_size
        self.dropout = dropout

    def build(self, x_shape: Shape) -> None:
        channels, indices = x_shape[-1], range(self.layers)
        self.convolutions = [
            self._convolution(channels, self.kernel_size, f"conv_{i}") for i in indices
        ]
        self.norms = [self._layer_norm(f"norm_{i}") for i in indices]
        self.drops = [self._drop(self.dropout, f"dropout_{i}") for i in indices]
        self.last = self._pointwise(channels, "last", kernel_initializer="zeros")
        for layer in (*self.convolutions, *self.norms, *self.drops, self.last):
            layer.build(tuple(x_shape))

    def call(
        self, x: Tensor, token_mask: Tensor | None = None, training: bool | None = None
    ) -> Tensor:
        hidden = x
        for convolution, norm, drop in zip(self.convolutions, self.norms, self.drops, strict=True):
            hidden = relu(norm(convolution(masked(hidden, token_mask))))
            hidden = drop(hidden, training=training)
        return masked(x + self.last(hidden), token_mask)

    def get_config(self) -> dict[str, Any]:
        own = {"layers": self.layers, "kernel_size": self.kernel_size, "dropout": self.dropout}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable("singlow")
class GatedConvolutions(Encoder):
    """Gated convolutions with layer norm and residuals.

        h_(i+1) = h_i + a * sigmoid(b),     a, b = norm(conv_i(dropout(h_i)))

    Args:
        layers: number of convolutions.
        kernel_size: taps of each.
        dropout: share of units dropped while training.

    References:
        Dauphin, Fan, Auli and Grangier, Language Modeling with Gated Convolutional Networks, 2017,
        https://arxiv.org/abs/1612.08083
    """

    def __init__(
        self, layers: int = 9, kernel_size: int = 5, dropout: float = 0.1, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.layers = layers
        self.kernel_size = kernel_size
        self.dropout = dropout

    def build(self, x_shape: Shape) -> None:
        channels, indices = x_shape[-1], range(self.layers)
        self.convolutions = [
            self._convolution(2 * channels, self.kernel_size, f"conv_{i}") for i in indices
        ]
        self.norms = [self._layer_norm(f"norm_{i}") for i in indices]
        self.drops = [self._drop(self.dropout, f"dropout_{i}") for i in indices]
        for layer in (*self.convolutions, *self.drops):
            layer.build(tuple(x_shape))
        for norm in self.norms:
            norm.build((*x_shape[:-1], 2 * channels))

    def call(
        self, x: Tensor, token_mask: Tensor | None = None, training: bool | None = None
    ) -> Tensor:
        for convolution, norm, drop in zip(self.convolutions, self.norms, self.drops, strict=True):
            hidden = norm(convolution(masked(drop(x, training=training), token_mask)))
            x = x + _gated(hidden)
        return masked(x, token_mask)

    def get_config(self) -> dict[str, Any]:
        own = {"layers": self.layers, "kernel_size": self.kernel_size, "dropout": self.dropout}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable("singlow")
class ResidualConvolutions(BatchNormalized):
    """Residual blocks of dilated convolutions with batch norm, then a linear layer with batch norm.

        h_(i+1) = h_i + block_i(h_i)        block: `convolutions` times norm(relu(conv(h)))
        y       = norm(W h_n)

    Statistics of a batch do not include padded tokens.

    Args:
        dilations: the dilation of each block, whose number is the depth `n`.
        kernel_size: taps of each convolution.
        convolutions: convolutions in a block.
        original_padding: whether to treat padding as the published code, which shortens a text by
            each convolution and then pads it with zeros, so that its ends are zeros, texts may be
            too short, and valid tokens depend on the amount of padding.

    References:
        Coqui.ai, TTS, 2021, https://github.com/coqui-ai/TTS
    """

    def __init__(
        self,
        dilations: Sequence[int] = (1, 2, 4, 1, 2, 4, 1, 2, 4, 1, 2, 4, 1),
        kernel_size: int = 4,
        convolutions: int = 2,
        original_padding: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(original_padding, **kwargs)
        self.dilations = list(dilations)
        self.kernel_size = kernel_size
        self.convolutions = convolutions

    def build(self, x_shape: Shape) -> None:
        channels = x_shape[-1]
        self.blocks = [
            [
                (
                    self._convolution(
                        channels, self.kernel_size, f"conv_{i}_{k}", dilation=dilation
                    ),
                    self._batch_norm(f"norm_{i}_{k}"),
                )
                for k in range(self.convolutions)
            ]
            for i, dilation in enumerate(self.dilations)
        ]
        self.last = self._pointwise(channels, "last")
        self.last_norm = self._batch_norm("last_norm")
        parts = [layer for block in self.blocks for pair in block for layer in pair]
        for layer in (*parts, self.last, self.last_norm):
            layer.build(tuple(x_shape))

    def call(
        self, x: Tensor, token_mask: Tensor | None = None, training: bool | None = None
    ) -> Tensor:
        settings = {"training": training, "mask": self._counted(token_mask)}
        x = masked(x, token_mask)
        for block in self.blocks:
            hidden = x
            for convolution, norm in block:
                if not self.original_padding:
                    hidden = masked(hidden, token_mask)
                hidden = convolution(hidden)
                if self.original_padding:
                    hidden = _inner(hidden, *convolution.receptive_field)
                hidden = norm(relu(hidden), **settings)
            x = masked(x + hidden, token_mask)
        x = self.last_norm(self.last(x), **settings)
        return masked(x, token_mask)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "dilations": self.dilations,
            "kernel_size": self.kernel_size,
            "convolutions": self.convolutions,
        }


@keras.saving.register_keras_serializable("singlow")
class SeparableConvolutions(BatchNormalized):
    """Residual convolutions that are separated into one over channels and one over time.

        a, b    = norm(W_i h_i)
        h_(i+1) = h_i + norm(V_i swish(norm(depthwise_i(a * sigmoid(b)))))

    The norms are batch norms, whose statistics do not include padded tokens.

    Args:
        layers: number of convolutions over time.
        kernel_size: taps of each.
        original_padding: whether the convolutions over time read padded tokens as the published
            code does, where they are not zeros, so that valid tokens depend on the padding.

    References:
        Hannun, Lee, Xu and Collobert, Sequence-to-Sequence Speech Recognition with Time-Depth
        Separable Convolutions, 2019, https://arxiv.org/abs/1904.02619
    """

    def __init__(
        self,
        layers: int = 9,
        kernel_size: int = 5,
        original_padding: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(original_padding, **kwargs)
        self.layers = layers
        self.kernel_size = kernel_size

    def build(self, x_shape: Shape) -> None:
        channels, wide = x_shape[-1], (*x_shape[:-1], 2 * x_shape[-1])
        indices = range(self.layers)
        self.first = [self._pointwise(2 * channels, f"first_{i}") for i in indices]
        self.first_norms = [self._batch_norm(f"first_norm_{i}") for i in indices]
        self.depthwise = [
            keras.layers.DepthwiseConv1D(
                self.kernel_size,
                padding="same",
                data_format="channels_last",
                name=f"depthwise_{i}",
                dtype=self.dtype_policy,
            )
            for i in indices
        ]
        self.middle_norms = [self._batch_norm(f"middle_norm_{i}") for i in indices]
        self.last = [self._pointwise(channels, f"last_{i}") for i in indices]
        self.last_norms = [self._batch_norm(f"last_norm_{i}") for i in indices]
        for layer in self.first_norms:
            layer.build(wide)
        for layers in (self.first, self.depthwise, self.middle_norms, self.last, self.last_norms):
            for layer in layers:
                layer.build(tuple(x_shape))

    def call(
        self, x: Tensor, token_mask: Tensor | None = None, training: bool | None = None
    ) -> Tensor:
        settings = {"training": training, "mask": self._counted(token_mask)}
        for i in range(self.layers):
            x = masked(x, token_mask)
            hidden = _gated(self.first_norms[i](self.first[i](x), **settings))
            if not self.original_padding:
                hidden = masked(hidden, token_mask)
            hidden = self.middle_norms[i](self.depthwise[i](hidden), **settings)
            hidden = self.last[i](hidden * ops.sigmoid(hidden))
            x = x + self.last_norms[i](hidden, **settings)
        return masked(x, token_mask)

    def get_config(self) -> dict[str, Any]:
        own = {"layers": self.layers, "kernel_size": self.kernel_size}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable("singlow")
class DurationPredictor(Encoder):
    """Convolutions with layer norm that predict one number for each token, such as a log-duration.

        h_i = dropout(norm(relu(conv_i(h_(i-1)))))      i = 1, 2
        y   = W h_2

    Args:
        width: channels of the hidden layers.
        kernel_size: taps of each convolution.
        dropout: share of hidden units dropped while training.

    Output shape: `(batch, tokens)`, zero for padded tokens.

    References:
        Ren et al., FastSpeech: Fast, Robust and Controllable Text to Speech, 2019,
        https://arxiv.org/abs/1905.09263
    """

    def __init__(
        self, width: int = 256, kernel_size: int = 3, dropout: float = 0.1, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.width = width
        self.kernel_size = kernel_size
        self.dropout = dropout

    def build(self, x_shape: Shape) -> None:
        hidden = (*x_shape[:-1], self.width)
        self.convolutions = [
            self._convolution(self.width, self.kernel_size, f"conv_{i}") for i in range(2)
        ]
        self.norms = [self._layer_norm(f"norm_{i}") for i in range(2)]
        self.drops = [self._drop(self.dropout, f"dropout_{i}") for i in range(2)]
        self.last = self._pointwise(1, "last")
        self.convolutions[0].build(tuple(x_shape))
        for layer in (self.convolutions[1], *self.norms, *self.drops, self.last):
            layer.build(hidden)

    def call(
        self, x: Tensor, token_mask: Tensor | None = None, training: bool | None = None
    ) -> Tensor:
        for convolution, norm, drop in zip(self.convolutions, self.norms, self.drops, strict=True):
            x = drop(norm(relu(convolution(masked(x, token_mask)))), training=training)
        return masked(self.last(x), token_mask)[..., 0]

    def get_config(self) -> dict[str, Any]:
        own = {"width": self.width, "kernel_size": self.kernel_size, "dropout": self.dropout}
        return {**super().get_config(), **own}


def _gated(x: Tensor) -> Tensor:
    """`a * sigmoid(b)` of the halves `a` and `b` of the channels."""
    signal, gate = ops.split(x, 2, axis=-1)
    return signal * ops.sigmoid(gate)


def _inner(x: Tensor, before: int, after: int) -> Tensor:
    """`x` with zeros in place of its first `before` and its last `after` positions."""
    position = ops.arange(ops.shape(x)[1], dtype="int32")
    kept = ops.logical_and(position >= before, position < ops.shape(x)[1] - after)
    return x * ops.cast(kept, x.dtype)[None, :, None]
