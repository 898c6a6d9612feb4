"""A transformer over tokens that attends by content and by relative position."""

from typing import Any

import keras
from keras import ops

from singlow.networks.encoders import Encoder
from singlow.ops.masks import masked
from singlow.ops.tensors import Shape, Tensor, relu

_EXCLUDED = -1e4  # score of a token that is not attended to


@keras.saving.register_keras_serializable("singlow")
class RelativeAttention(Encoder):
    """Self-attention in several heads, with learned vectors for the distances of nearby tokens.

        score_ij = q_i . (k_j + r_(j-i)) / sqrt(d)
        y_i      = W sum_j a_ij (v_j + u_(j-i)),        a_i = softmax(score_i)

    `d` is the number of channels of a head. The vectors `r` and `u` of the distances from `-window`
    to `window` are learned, and zero for larger ones.

    Args:
        heads: number of heads, which divides the channels.
        window: largest distance with a vector of its own; without such vectors when `None`.
        heads_share: whether all heads have the same vectors.
        block: farthest distance of a token that is attended to; any when `None`.
        proximity: whether `log(1 + |i - j|)` is subtracted from the scores.
        dropout: share of attention weights dropped while training.

    Raises:
        ValueError: `heads` does not divide the channels.

    References:
        Shaw, Uszkoreit and Vaswani, Self-Attention with Relative Position Representations, 2018,
        https://arxiv.org/abs/1803.02155
    """

    def __init__(
        self,
        heads: int = 2,
        window: int | None = 4,
        heads_share: bool = True,
        block: int | None = None,
        proximity: bool = False,
        dropout: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.heads = heads
        self.window = window
        self.heads_share = heads_share
        self.block = block
        self.proximity = proximity
        self.dropout = dropout

    def build(self, x_shape: Shape) -> None:
        channels = x_shape[-1]
        if channels % self.heads:
            raise ValueError(
                f"Expected heads to divide the {channels} channels. Received: heads={self.heads}."
            )
        names = ("query", "key", "value", "output")
        self.query, self.key, self.value, self.output_map = (
            self._pointwise(channels, name) for name in names
        )
        for layer in (self.query, self.key, self.value, self.output_map):
            layer.build(tuple(x_shape))
        self.drop = self._drop(self.dropout, "dropout")
        if self.window is not None:
            size = channels // self.heads
            shape = (1 if self.heads_share else self.heads, 2 * self.window + 1, size)
            start = keras.initializers.RandomNormal(stddev=size**-0.5)
            self.relative_keys = self.add_weight(
                name="relative_keys", shape=shape, initializer=start
            )
            self.relative_values = self.add_weight(
                name="relative_values", shape=shape, initializer=start
            )

    def call(
        self, x: Tensor, token_mask: Tensor | None = None, training: bool | None = None
    ) -> Tensor:
        query, key, value = (self._split(layer(x)) for layer in (self.query, self.key, self.value))
        query = query * (query.shape[-1] ** -0.5)
        scores = ops.matmul(query, ops.swapaxes(key, -1, -2))
        position = ops.arange(ops.shape(x)[1], dtype="int32")
        distance = position[None] - position[:, None]
        if self.window is not None:
            table = ops.swapaxes(ops.cast(self.relative_keys, query.dtype), -1, -2)
            near = ops.matmul(query, table)
            scores = scores + ops.einsum("bhir,ijr->bhij", near, self._near(distance, x.dtype))
        if self.proximity:
            scores = scores - ops.log1p(ops.cast(ops.abs(distance), scores.dtype))
        if token_mask is not None:
            scores = ops.where(ops.cast(token_mask, "bool")[:, None, None], scores, _EXCLUDED)
        if self.block is not None:
            scores = ops.where(ops.abs(distance) <= self.block, scores, _EXCLUDED)
        weights = self.drop(ops.softmax(scores, axis=-1), training=training)
        y = ops.matmul(weights, value)
        if self.window is not None:
            near = ops.einsum("bhij,ijr->bhir", weights, self._near(distance, x.dtype))
            y = y + ops.matmul(near, ops.cast(self.relative_values, near.dtype))
        y = ops.reshape(ops.transpose(y, (0, 2, 1, 3)), ops.shape(x))
        return self.output_map(y)

    def _near(self, distance: Tensor, dtype: str) -> Tensor:
        """Which distance of the window a pair of tokens has: `(tokens, tokens, 2w + 1)`."""
        offsets = ops.arange(-self.window, self.window + 1, dtype="int32")
        return ops.cast(distance[..., None] == offsets, dtype)

    def _split(self, x: Tensor) -> Tensor:
        """`(batch, tokens, channels)` -> `(batch, heads, tokens, channels of a head)`."""
        batch, length, channels = ops.shape(x)[0], ops.shape(x)[1], x.shape[-1]
        x = ops.reshape(x, (batch, length, self.heads, channels // self.heads))
        return ops.transpose(x, (0, 2, 1, 3))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "heads": self.heads,
            "window": self.window,
            "heads_share": self.heads_share,
            "block": self.block,
            "proximity": self.proximity,
            "dropout": self.dropout,
        }


@keras.saving.register_keras_serializable("singlow")
class RelativeTransformer(Encoder):
    """Layers of relative attention and of two convolutions, each with a residual and layer norm.

        h   = norm(x + dropout(attention(x)))
        y   = norm(h + dropout(conv_2(dropout(relu(conv_1(h))))))

    Args:
        layers: number of such layers.
        heads: heads of the attention.
        width: channels between the two convolutions.
        kernel_size: taps of the convolutions.
        dropout: share of units, and of attention weights, dropped while training.
        window: largest distance with learned vectors of its own; see `RelativeAttention`.
        heads_share: whether all heads have the same vectors.
        block: farthest distance of a token that is attended to; any when `None`.
        proximity: whether near tokens have larger scores.

    References:
        Vaswani et al., Attention Is All You Need, 2017, https://arxiv.org/abs/1706.03762; Kim, Kim,
        Kong and Yoon, Glow-TTS, 2020, https://arxiv.org/abs/2005.11129
    """

    def __init__(
        self,
        layers: int = 6,
        heads: int = 2,
        width: int = 768,
        kernel_size: int = 3,
        dropout: float = 0.1,
        window: int | None = 4,
        heads_share: bool = True,
        block: int | None = None,
        proximity: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.layers = layers
        self.heads = heads
        self.width = width
        self.kernel_size = kernel_size
        self.dropout = dropout
        self.window = window
        self.heads_share = heads_share
        self.block = block
        self.proximity = proximity
        self.attentions = [
            RelativeAttention(
                self.heads,
                self.window,
                self.heads_share,
                self.block,
                self.proximity,
                self.dropout,
                name=f"attention_{i}",
                dtype=self.dtype_policy,
            )
            for i in range(layers)
        ]

    def build(self, x_shape: Shape) -> None:
        channels, indices = x_shape[-1], range(self.layers)
        self.widen = [
            self._convolution(self.width, self.kernel_size, f"widen_{i}") for i in indices
        ]
        self.narrow = [
            self._convolution(channels, self.kernel_size, f"narrow_{i}") for i in indices
        ]
        self.attention_norms = [self._layer_norm(f"attention_norm_{i}") for i in indices]
        self.norms = [self._layer_norm(f"norm_{i}") for i in indices]
        names = ("attention", "hidden", "output")
        self.drops = [[self._drop(self.dropout, f"drop_{n}_{i}") for n in names] for i in indices]
        for layers in (self.attentions, self.widen, self.attention_norms, self.norms):
            for layer in layers:
                layer.build(tuple(x_shape))
        for layer in self.narrow:
            layer.build((*x_shape[:-1], self.width))

    def call(
        self, x: Tensor, token_mask: Tensor | None = None, training: bool | None = None
    ) -> Tensor:
        for i in range(self.layers):
            first, second, third = self.drops[i]
            x = masked(x, token_mask)
            attended = first(
                self.attentions[i](x, token_mask, training=training), training=training
            )
            x = self.attention_norms[i](x + attended)
            hidden = second(relu(self.widen[i](masked(x, token_mask))), training=training)
            hidden = third(
                masked(self.narrow[i](masked(hidden, token_mask)), token_mask), training=training
            )
            x = self.norms[i](x + hidden)
        return masked(x, token_mask)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "layers": self.layers,
            "heads": self.heads,
            "width": self.width,
            "kernel_size": self.kernel_size,
            "dropout": self.dropout,
            "window": self.window,
            "heads_share": self.heads_share,
            "block": self.block,
            "proximity": self.proximity,
        }
