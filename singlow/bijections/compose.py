"""Bijections made of bijections: a chain, an inverse, an embedded condition."""

from typing import Any, Self

import keras
from keras import ops

from singlow.bijections.base import (
    Bindings,
    InvertibleLayer,
    Shape,
    Tensor,
    deserialize,
    serialize,
)


@keras.saving.register_keras_serializable("singlow")
class Chain(InvertibleLayer):
    """`f = f_n . ... . f_1`, with `log |det df| = sum_i log |det df_i|`.

    Args:
        layers: bijections in the order data passes through them. One with multi-scale latents may
            only stand last.

    Raises:
        ValueError: no layer is given.

    Example:
        >>> import keras
        >>> from singlow.bijections import ActNorm, Chain, Flip
        >>> z, log_det = Chain([ActNorm(), Flip()])(keras.ops.ones((2, 8, 4)))
        >>> tuple(z.shape), tuple(log_det.shape)
        ((2, 8, 4), (2,))
    """

    def __init__(self, layers: list[InvertibleLayer], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not layers:
            raise ValueError("Expected at least one layer. Received: layers=[].")
        self.layers = list(layers)

    def build(self, x_shape: Shape, condition_shape: Shape | None = None) -> None:
        for layer in self.layers:
            if not layer.built:
                layer.build(x_shape, condition_shape)
            x_shape = layer.latent_shape(x_shape)
            condition_shape = layer.latent_condition_shape(condition_shape)

    def _forward(
        self, x: Tensor, condition: Tensor | None, frame_mask: Tensor | None, training: bool | None
    ) -> tuple[Tensor, Tensor]:
        total = 0
        for layer in self.layers:
            x, log_det = layer(x, condition, frame_mask, training=training)
            condition, frame_mask = layer.at_latents(condition, frame_mask)
            total = total + log_det
        return x, total

    def _inverse(
        self, z: Tensor, condition: Tensor | None, frame_mask: Tensor | None, training: bool | None
    ) -> tuple[Tensor, Tensor]:
        given = [(condition, frame_mask)]
        for layer in self.layers[:-1]:
            given.append(layer.at_latents(*given[-1]))
        total = 0
        for layer, (condition, frame_mask) in zip(
            reversed(self.layers), reversed(given), strict=True
        ):
            z, log_det = layer(z, condition, frame_mask, reverse=True, training=training)
            total = total + log_det
        return z, total

    def pull_back(
        self,
        y: Tensor,
        dy: Tensor,
        dlog_det: Tensor,
        condition: Tensor | None,
        frame_mask: Tensor | None,
        bindings: Bindings,
        training: bool | None = None,
    ) -> tuple[Tensor, Tensor, Tensor | None, list[Tensor]]:
        if any(_changes_resolution(layer, condition, frame_mask) for layer in self.layers):
            given = (condition, frame_mask, bindings, training)
            return super().pull_back(y, dy, dlog_det, *given)
        dcondition, gradients = None if condition is None else ops.zeros_like(condition), {}
        for layer in reversed(self.layers):
            y, dy, more, dweights = layer.pull_back(
                y, dy, dlog_det, condition, frame_mask, bindings, training
            )
            dcondition = more if dcondition is None else dcondition + more
            for variable, gradient in zip(layer.trainable_variables, dweights, strict=True):
                known = gradients.get(id(variable))
                gradients[id(variable)] = gradient if known is None else known + gradient
        return y, dy, dcondition, [gradients[id(v)] for v in self.trainable_variables]

    def adapt(
        self, x: Tensor, condition: Tensor | None = None, frame_mask: Tensor | None = None
    ) -> Tensor:
        for layer in self.layers:
            x = layer.adapt(x, condition, frame_mask)
            condition, frame_mask = layer.at_latents(condition, frame_mask)
        return x

    def latent_shape(self, x_shape: Shape) -> Shape | list[Shape]:
        for layer in self.layers:
            x_shape = layer.latent_shape(x_shape)
        return x_shape

    def latent_condition_shape(self, condition_shape: Shape | None) -> Shape | None:
        for layer in self.layers:
            condition_shape = layer.latent_condition_shape(condition_shape)
        return condition_shape

    def at_latents(
        self, condition: Tensor | None = None, frame_mask: Tensor | None = None
    ) -> tuple[Tensor | None, Any]:
        for layer in self.layers:
            condition, frame_mask = layer.at_latents(condition, frame_mask)
        return condition, frame_mask

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "layers": [serialize(layer) for layer in self.layers]}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(**{**config, "layers": [deserialize(layer) for layer in config["layers"]]})


def _changes_resolution(
    layer: InvertibleLayer, condition: Tensor | None, frame_mask: Tensor | None
) -> bool:
    there = layer.at_latents(condition, frame_mask)
    return there[0] is not condition or there[1] is not frame_mask


class Wrapper(InvertibleLayer):
    """A bijection around one other, `self.bijection`, whose face it keeps."""

    def __init__(self, bijection: InvertibleLayer, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.bijection = bijection

    def latent_shape(self, x_shape: Shape) -> Shape | list[Shape]:
        return self.bijection.latent_shape(x_shape)

    def latent_condition_shape(self, condition_shape: Shape | None) -> Shape | None:
        return self.bijection.latent_condition_shape(condition_shape)

    def at_latents(
        self, condition: Tensor | None = None, frame_mask: Tensor | None = None
    ) -> tuple[Tensor | None, Any]:
        return self.bijection.at_latents(condition, frame_mask)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "bijection": serialize(self.bijection)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(**{**config, "bijection": deserialize(config["bijection"])})


@keras.saving.register_keras_serializable("singlow")
class Inverse(Wrapper):
    """`f^-1` of a bijection `f` that keeps the shape.

    `adapt` leaves `f` as it is: its data-dependent start is defined on its own inputs, which are
    this layer's outputs.

    Args:
        bijection: the layer `f`.

    Raises:
        ValueError: on `build`, when `f` changes the shape.
    """

    def build(self, x_shape: Shape, condition_shape: Shape | None = None) -> None:
        if not self.bijection.built:
            self.bijection.build(x_shape, condition_shape)
        if self.bijection.latent_shape(x_shape) != tuple(x_shape):
            raise ValueError(
                "Expected a bijection that keeps the shape. Received: "
                f"{self.bijection.name}, which maps {tuple(x_shape)} to "
                f"{self.bijection.latent_shape(x_shape)}."
            )

    def call(
        self,
        x: Tensor,
        condition: Tensor | None = None,
        frame_mask: Tensor | None = None,
        reverse: bool = False,
        training: bool | None = None,
    ) -> tuple[Tensor, Tensor]:
        return self.bijection(x, condition, frame_mask, reverse=not reverse, training=training)


@keras.saving.register_keras_serializable("singlow")
class WithCondition(Wrapper):
    """`f(x | network(condition))`: a bijection that reads an embedding of the condition.

    Layers outside this one still see the condition itself.

    Args:
        bijection: the layer `f`.
        network: a Keras layer from `(batch, time, features)` to `(batch, time, embedding)`; time
            may be 1.

    Raises:
        ValueError: when it is called without a condition.
    """

    def __init__(
        self, bijection: InvertibleLayer, network: keras.layers.Layer, **kwargs: Any
    ) -> None:
        super().__init__(bijection, **kwargs)
        self.network = network

    def build(self, x_shape: Shape, condition_shape: Shape | None = None) -> None:
        if condition_shape is None:
            raise ValueError(f"Expected a condition for {self.name}. Received: condition=None.")
        if not self.network.built:
            self.network.build(condition_shape)
        if not self.bijection.built:
            embedded = self.network.compute_output_shape(condition_shape)
            self.bijection.build(x_shape, tuple(embedded))

    def call(
        self,
        x: Tensor,
        condition: Tensor | None = None,
        frame_mask: Tensor | None = None,
        reverse: bool = False,
        training: bool | None = None,
    ) -> tuple[Tensor, Tensor]:
        embedded = self._embed(condition)
        return self.bijection(x, embedded, frame_mask, reverse=reverse, training=training)

    def adapt(
        self, x: Tensor, condition: Tensor | None = None, frame_mask: Tensor | None = None
    ) -> Tensor:
        return self.bijection.adapt(x, self._embed(condition), frame_mask)

    def _embed(self, condition: Tensor | None) -> Tensor:
        if condition is None:
            raise ValueError(f"Expected a condition for {self.name}. Received: condition=None.")
        return self.network(condition)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "network": serialize(self.network)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return super().from_config({**config, "network": deserialize(config["network"])})
