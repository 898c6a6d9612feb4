"""A chain of bijections."""

import itertools
from typing import Any, Self

import keras
from keras import ops

from singlow.bijections.base import Fold, InvertibleLayer, deserialize, serialize
from singlow.bijections.conditions import Condition, map_tensors
from singlow.bijections.linear import merged
from singlow.ops.stateless import Bindings
from singlow.ops.tensors import Shape, Tensor


@keras.saving.register_keras_serializable("singlow")
class Chain(InvertibleLayer):
    """`f = f_n . ... . f_1`, with `log |det df| = sum_i log |det df_i|`.

    Args:
        layers: bijections in forward order. A layer with multi-scale latents may only be the last.

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

    def build(self, x_shape: Shape, condition_shape: Any = None) -> None:
        for layer in self.layers:
            if not layer.built:
                layer.build(x_shape, condition_shape)
            x_shape = layer.latent_shape(x_shape)
            condition_shape = layer.latent_condition_shape(condition_shape)

    def _forward(
        self, x: Tensor, condition: Condition, frame_mask: Tensor | None, training: bool | None
    ) -> tuple[Tensor, Tensor]:
        total = 0
        for layer in self.layers:
            x, log_det = layer(x, condition, frame_mask, training=training)
            condition, frame_mask = layer.at_latents(condition, frame_mask)
            total = total + log_det
        return x, total

    def _inverse(
        self, z: Tensor, condition: Condition, frame_mask: Tensor | None, training: bool | None
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
        condition: Condition,
        frame_mask: Tensor | None,
        bindings: Bindings,
        training: bool | None = None,
    ) -> tuple[Tensor, Tensor, Condition, list[Tensor]]:
        if any(_changes_resolution(layer, condition, frame_mask) for layer in self.layers):
            given = (condition, frame_mask, bindings, training)
            return super().pull_back(y, dy, dlog_det, *given)
        dcondition, gradients = map_tensors(ops.zeros_like, condition), {}
        for layer in reversed(self.layers):
            y, dy, more, dweights = layer.pull_back(
                y, dy, dlog_det, condition, frame_mask, bindings, training
            )
            dcondition = map_tensors(ops.add, dcondition, more)
            for variable, gradient in zip(layer.trainable_variables, dweights, strict=True):
                known = gradients.get(id(variable))
                gradients[id(variable)] = gradient if known is None else known + gradient
        return y, dy, dcondition, [gradients[id(v)] for v in self.trainable_variables]

    def adapt(
        self, x: Tensor, condition: Condition = None, frame_mask: Tensor | None = None
    ) -> Tensor:
        for layer in self.layers:
            x = layer.adapt(x, condition, frame_mask)
            condition, frame_mask = layer.at_latents(condition, frame_mask)
        return x

    def inversion_errors(
        self, x: Tensor, condition: Condition = None, frame_mask: Tensor | None = None
    ) -> list[Tensor]:
        if not any(layer.latent_shape(x.shape) != tuple(x.shape) for layer in self.layers):
            return super().inversion_errors(x, condition, frame_mask)
        errors = []
        for layer in self.layers:
            errors += layer.inversion_errors(x, condition, frame_mask)
            x = layer(x, condition, frame_mask)[0]
            condition, frame_mask = layer.at_latents(condition, frame_mask)
        return errors

    def folded(self, tile: int | None = None, precision: str | None = None) -> tuple["Chain", Fold]:
        parts: list[tuple[InvertibleLayer, Fold]] = []
        for linear, run in itertools.groupby(self.layers, lambda layer: hasattr(layer, "affine")):
            layers = list(run)
            if linear and len(layers) > 1:
                parts.append(merged(layers))
            else:
                parts += [layer.folded(tile, precision) for layer in layers]
        chain = Chain([layer for layer, _ in parts], name=self.name, dtype=self.dtype_policy.name)
        chain.build_from_config(self.get_build_config())
        return chain, lambda value: [pair for _, fold in parts for pair in fold(value)]

    def latent_shape(self, x_shape: Shape) -> Shape | list[Shape]:
        for layer in self.layers:
            x_shape = layer.latent_shape(x_shape)
        return x_shape

    def latent_condition_shape(self, condition_shape: Any) -> Any:
        for layer in self.layers:
            condition_shape = layer.latent_condition_shape(condition_shape)
        return condition_shape

    def at_latents(
        self, condition: Condition = None, frame_mask: Tensor | None = None
    ) -> tuple[Condition, Any]:
        for layer in self.layers:
            condition, frame_mask = layer.at_latents(condition, frame_mask)
        return condition, frame_mask

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "layers": [serialize(layer) for layer in self.layers]}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(**{**config, "layers": [deserialize(layer) for layer in config["layers"]]})


def _changes_resolution(
    layer: InvertibleLayer, condition: Condition, frame_mask: Tensor | None
) -> bool:
    there = layer.at_latents(condition, frame_mask)
    return there[0] is not condition or there[1] is not frame_mask
