"""Bijections that wrap another: its inverse, or the same map with another condition or none."""

from typing import Any, Self

import keras
from keras import ops

from singlow.bijections.base import (
    Fold,
    InvertibleLayer,
    copied,
    deserialize,
    rebuilt,
    serialize,
)
from singlow.bijections.conditions import Condition, map_tensors, require_one
from singlow.ops.stateless import Bindings
from singlow.ops.tensors import Shape, Tensor


class Wrapper(InvertibleLayer):
    """Base class of bijections that wrap `self.bijection` and have its shapes and resolution."""

    def __init__(self, bijection: InvertibleLayer, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.bijection = bijection

    def folded(self, tile: int | None = None, precision: str | None = None) -> tuple[Self, Fold]:
        bijection, fold = self.bijection.folded(tile, precision)
        return rebuilt(self, bijection=bijection), fold

    def latent_shape(self, x_shape: Shape) -> Shape | list[Shape]:
        return self.bijection.latent_shape(x_shape)

    def latent_condition_shape(self, condition_shape: Any) -> Any:
        return self.bijection.latent_condition_shape(condition_shape)

    def at_latents(
        self, condition: Condition = None, frame_mask: Tensor | None = None
    ) -> tuple[Condition, Any]:
        return self.bijection.at_latents(condition, frame_mask)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "bijection": serialize(self.bijection)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(**{**config, "bijection": deserialize(config["bijection"])})


@keras.saving.register_keras_serializable("singlow")
class Inverse(Wrapper):
    """`f^-1` of a bijection `f` that keeps the shape.

    `adapt` does not change `f`, because `f` would have to start from its own inputs, which are the
    outputs of this layer.

    Args:
        bijection: the layer `f`.

    Raises:
        ValueError: on `build`, when `f` changes the shape.
    """

    def build(self, x_shape: Shape, condition_shape: Any = None) -> None:
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
        condition: Condition = None,
        frame_mask: Tensor | None = None,
        reverse: bool = False,
        training: bool | None = None,
    ) -> tuple[Tensor, Tensor]:
        return self.bijection(x, condition, frame_mask, reverse=not reverse, training=training)


@keras.saving.register_keras_serializable("singlow")
class WithCondition(Wrapper):
    """`f(x | network(condition))`: a bijection that reads an embedding of the condition.

    Layers outside this one read the condition itself.

    Args:
        bijection: the layer `f`.
        network: a Keras layer from `(..., features)` to `(..., embedding)`.

    Raises:
        ValueError: the condition is missing, or a sequence or a mapping.
    """

    def __init__(
        self, bijection: InvertibleLayer, network: keras.layers.Layer, **kwargs: Any
    ) -> None:
        super().__init__(bijection, **kwargs)
        self.network = network

    def build(self, x_shape: Shape, condition_shape: Any = None) -> None:
        require_one(self.name, condition_shape)
        if not self.network.built:
            self.network.build(condition_shape)
        if not self.bijection.built:
            embedded = self.network.compute_output_shape(condition_shape)
            self.bijection.build(x_shape, tuple(embedded))

    def call(
        self,
        x: Tensor,
        condition: Condition = None,
        frame_mask: Tensor | None = None,
        reverse: bool = False,
        training: bool | None = None,
    ) -> tuple[Tensor, Tensor]:
        embedded = self._embed(condition)
        return self.bijection(x, embedded, frame_mask, reverse=reverse, training=training)

    def adapt(
        self, x: Tensor, condition: Condition = None, frame_mask: Tensor | None = None
    ) -> Tensor:
        return self.bijection.adapt(x, self._embed(condition), frame_mask)

    def folded(self, tile: int | None = None, precision: str | None = None) -> tuple[Self, Fold]:
        bijection, fold = self.bijection.folded(tile, precision)
        network, copy = copied(self.network)
        layer = rebuilt(self, bijection=bijection, network=network)
        return layer, lambda value: [*fold(value), *copy(value)]

    def _embed(self, condition: Condition) -> Tensor:
        require_one(self.name, condition)
        return self.network(condition)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "network": serialize(self.network)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return super().from_config({**config, "network": deserialize(config["network"])})


@keras.saving.register_keras_serializable("singlow")
class WithoutCondition(Wrapper):
    """`f(x)` without the condition that a `Chain` passes to all of its layers.

    Args:
        bijection: the layer `f`.
    """

    def build(self, x_shape: Shape, condition_shape: Any = None) -> None:
        if not self.bijection.built:
            self.bijection.build(x_shape)

    def call(
        self,
        x: Tensor,
        condition: Condition = None,
        frame_mask: Tensor | None = None,
        reverse: bool = False,
        training: bool | None = None,
    ) -> tuple[Tensor, Tensor]:
        return self.bijection(x, None, frame_mask, reverse=reverse, training=training)

    def adapt(
        self, x: Tensor, condition: Condition = None, frame_mask: Tensor | None = None
    ) -> Tensor:
        return self.bijection.adapt(x, None, frame_mask)

    def pull_back(
        self,
        y: Tensor,
        dy: Tensor,
        dlog_det: Tensor,
        condition: Condition,
        frame_mask: Tensor | None,
        bindings: Bindings,
        training: bool | None = None,
    ) -> tuple[Tensor, Tensor, Condition, list[Tensor]]:
        x, dx, _, dweights = self.bijection.pull_back(
            y, dy, dlog_det, None, frame_mask, bindings, training
        )
        return x, dx, map_tensors(ops.zeros_like, condition), dweights
