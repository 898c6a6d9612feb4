"""Glow's network: a few convolutions, the last of which starts at zero."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from singlow.bijections.actnorm import ActNorm
from singlow.bijections.conditions import Condition
from singlow.networks.base import Network, add_condition, condition_convolutions, reach
from singlow.networks.weightnorm import Convolution
from singlow.ops.masks import masked
from singlow.ops.tensors import Shape, Tensor, relu


@keras.saving.register_keras_serializable("singlow")
class ConvNet(Network):
    """Convolutions over time, or over both axes of an image; the last starts at zero.

        h_i = activation(conv_i(h_(i-1)))       i = 1 ... n - 1
        y   = conv_n(h_(n-1))

    A 1x1 convolution of the condition is added to the output of the first convolution.

    Args:
        width: channels of the hidden layers.
        kernel_sizes: taps of each convolution along each axis; their number is the depth `n`.
        dilations: distance between the taps of each convolution, or one number for all of them.
        activation: name of a Keras activation.
        weight_norm: whether to normalise the weights of the convolutions.
        act_norm: whether an ActNorm follows each activation.
        dropout: share of hidden units dropped while training.
        causal: whether to read only present and past frames; not for images.
        channels: output channels; when `None`, the coupling sets them.

    Raises:
        ValueError: `kernel_sizes` is empty or of another length than `dilations`.

    References:
        Kingma and Dhariwal, Glow: Generative Flow with Invertible 1x1 Convolutions, 2018,
        https://arxiv.org/abs/1807.03039
    """

    def __init__(
        self,
        width: int = 64,
        kernel_sizes: Sequence[int] = (3, 1, 3),
        dilations: Sequence[int] | int = 1,
        activation: str = "relu",
        weight_norm: bool = True,
        act_norm: bool = False,
        dropout: float = 0.0,
        causal: bool = False,
        channels: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(channels, **kwargs)
        if isinstance(dilations, int):
            dilations = [dilations] * len(kernel_sizes)
        if not kernel_sizes or len(kernel_sizes) != len(dilations):
            raise ValueError(
                "Expected one dilation for each kernel size, and at least one. Received: "
                f"kernel_sizes={list(kernel_sizes)}, dilations={list(dilations)}."
            )
        self.width = width
        self.kernel_sizes = list(kernel_sizes)
        self.dilations = list(dilations)
        self.activation = activation
        self.weight_norm = weight_norm
        self.act_norm = act_norm
        self.dropout = dropout
        self.causal = causal
        policy = self.dtype_policy
        self.convolutions = [
            Convolution(
                width, size, dilation, causal, weight_norm, name=f"conv_{index}", dtype=policy
            )
            for index, (size, dilation) in enumerate(zip(kernel_sizes, dilations, strict=True))
        ][:-1]
        self.norms = [
            ActNorm(name=f"act_norm_{index}", dtype=policy)
            for index in range(len(self.convolutions) if act_norm else 0)
        ]
        self.drops = [
            keras.layers.Dropout(dropout, name=f"dropout_{index}", dtype=policy)
            for index in range(len(self.convolutions) if dropout else 0)
        ]

    @property
    def receptive_field(self) -> tuple[int, int]:
        spans = [d * (k - 1) for k, d in zip(self.kernel_sizes, self.dilations, strict=True)]
        return reach([(s, 0) if self.causal else (s // 2, s - s // 2) for s in spans])

    def build(self, x_shape: Shape, condition_shape: Any = None) -> None:
        self.last = Convolution(
            self._output_channels(x_shape),
            self.kernel_sizes[-1],
            self.dilations[-1],
            self.causal,
            self.weight_norm,
            zero=True,
            name=f"conv_{len(self.kernel_sizes) - 1}",
            dtype=self.dtype_policy,
        )
        self.conditioned = condition_shape is not None
        alone = not self.convolutions
        self.embeddings = condition_convolutions(
            condition_shape,
            self.last.filters if alone else self.width,
            "condition",
            weight_norm=self.weight_norm,
            zero=alone,
            dtype=self.dtype_policy,
        )
        shape = tuple(x_shape)
        for index, convolution in enumerate(self.convolutions):
            convolution.build(shape)
            shape = (*shape[:-1], self.width)
            for extra in (*self.norms[index : index + 1], *self.drops[index : index + 1]):
                extra.build(shape)
        self.last.build(shape)

    def _run(
        self, x: Tensor, condition: Condition, frame_mask: Tensor | None, training: bool | None
    ) -> Tensor:
        hidden = masked(x, frame_mask)
        for index in range(len(self.convolutions)):
            hidden = self._activated(index, hidden, condition)
            if self.act_norm:
                hidden = self.norms[index](hidden)[0]
            if self.dropout:
                hidden = self.drops[index](hidden, training=training)
            hidden = masked(hidden, frame_mask)
        y = self.last(hidden)
        if self.conditioned and not self.convolutions:
            y = add_condition(y, self.embeddings, condition)
        return y

    def _activated(self, index: int, hidden: Tensor, condition: Condition) -> Tensor:
        hidden = self.convolutions[index](hidden)
        if index == 0 and self.conditioned:
            hidden = add_condition(hidden, self.embeddings, condition)
        if self.activation == "relu":
            return relu(hidden)
        return keras.activations.get(self.activation)(hidden)

    def adapt(
        self, x: Tensor, condition: Condition = None, frame_mask: Tensor | None = None
    ) -> None:
        """Initialise the inner ActNorms, if any, from data, eagerly and once."""
        if not self.act_norm:
            return
        hidden = masked(ops.convert_to_tensor(x), frame_mask)
        for index, norm in enumerate(self.norms):
            hidden = norm.adapt(self._activated(index, hidden, condition), frame_mask=frame_mask)
            hidden = masked(hidden, frame_mask)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "width": self.width,
            "kernel_sizes": self.kernel_sizes,
            "dilations": self.dilations,
            "activation": self.activation,
            "weight_norm": self.weight_norm,
            "act_norm": self.act_norm,
            "dropout": self.dropout,
            "causal": self.causal,
        }
