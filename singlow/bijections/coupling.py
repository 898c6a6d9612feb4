"""Coupling: an affine map of half of the channels, computed from the other half."""

from collections.abc import Callable
from typing import Any, Self

import keras
from keras import ops

from singlow.bijections.affine import AffineMap
from singlow.bijections.base import (
    Fold,
    InvertibleLayer,
    deserialize,
    rebuilt,
    serialize,
)
from singlow.bijections.conditions import Condition
from singlow.bijections.tiles import in_tiles
from singlow.ops.control import vjp
from singlow.ops.masks import halves
from singlow.ops.stateless import Bindings, run_bound, values_of
from singlow.ops.tensors import Shape, Tensor


@keras.saving.register_keras_serializable("singlow")
class AffineCoupling(InvertibleLayer):
    """`[a, b] -> [a, b * exp(s) + t]` with `(h, t) = network(a, condition)` and `s = scale(h)`.

        forward   a' = a,  b' = b * exp(s) + t        log |det| =  sum s
        inverse   a = a',  b = (b' - t) * exp(-s)     log |det| = -sum s

    `a` is the first half of the channels, the larger one when their number is odd. See `AffineMap`
    for the scales.

    Args:
        network: from `(..., channels of a)` to `(..., 2 * channels of b)` (`channels of b` when
            additive), called as `network(a, condition, frame_mask, training=training)`. The
            coupling sets its `channels` if they are `None`.
        scale: `"bounded"`, `"sigmoid"`, `"floored_sigmoid"`, `"exp"` or `"additive"`.
        tile: number of frames that the network processes at a time, plus its receptive field; all
            frames when `None`. The result is the same, and memory does not grow with the length.
            Images are never tiled.
        limit: bound of a `"bounded"` log-scale, above zero.
        shift_first: whether `b` is shifted before it is scaled, `b' = (b + t) * exp(s)`.
        floor: added to the sigmoid of a `"floored_sigmoid"`, above zero.

    Raises:
        ValueError: `scale` is unknown, `tile` is below 1, `limit` or `floor` is not above zero, or
            there is a single channel.

    References:
        Dinh, Sohl-Dickstein and Bengio, Density Estimation Using Real NVP, 2017,
        https://arxiv.org/abs/1605.08803
    """

    def __init__(
        self,
        network: keras.layers.Layer,
        scale: str = "bounded",
        tile: int | None = None,
        limit: float = 2.0,
        shift_first: bool = False,
        floor: float = 1e-7,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if tile is not None and tile < 1:
            raise ValueError(f"Expected tile of at least 1. Received: tile={tile}.")
        self.affine_map = AffineMap(scale, limit, shift_first, floor)
        self.network = network
        self.scale = scale
        self.tile = tile
        self.limit = limit
        self.shift_first = shift_first
        self.floor = floor

    def build(self, x_shape: Shape, condition_shape: Any = None) -> None:
        moved = x_shape[-1] // 2
        if not moved:
            raise ValueError(
                f"Expected at least two channels for {self.name}. Received: x of shape {x_shape}."
            )
        if not self.network.built:
            if self.network.channels is None:
                self.network.channels = moved * self.affine_map.parameters
            self.network.build((*x_shape[:-1], x_shape[-1] - moved), condition_shape)

    def _forward(
        self, x: Tensor, condition: Condition, frame_mask: Tensor | None, training: bool | None
    ) -> tuple[Tensor, Tensor]:
        a, b = halves(x)
        b, log_det = self._run(self.affine_map.move, a, b, condition, frame_mask, training)
        return ops.concatenate([a, b], axis=-1), log_det

    def _inverse(
        self, z: Tensor, condition: Condition, frame_mask: Tensor | None, training: bool | None
    ) -> tuple[Tensor, Tensor]:
        a, b = halves(z)
        b, log_det = self._run(self.affine_map.undo, a, b, condition, frame_mask, training)
        return ops.concatenate([a, b], axis=-1), log_det

    def _run(
        self,
        affine: Callable[..., tuple[Tensor, Tensor]],
        a: Tensor,
        b: Tensor,
        condition: Condition,
        frame_mask: Tensor | None,
        training: bool | None,
    ) -> tuple[Tensor, Tensor]:
        if self.tile is None or len(a.shape) != 3:
            parameters = self.network(a, condition, frame_mask, training=training)
            return affine(b, parameters, frame_mask)

        def run_tile(
            a: Tensor, b: Tensor, condition: Condition, mask: Tensor, inner: slice
        ) -> tuple[Tensor, Tensor]:
            parameters = self.network(a, condition, mask, training=training)
            return affine(b, parameters[:, inner], mask[:, inner])

        field = self.network.receptive_field
        return in_tiles(run_tile, a, b, condition, frame_mask, self.tile, field)

    def folded(
        self, tile: int | None = None, precision: str | None = None
    ) -> tuple["AffineCoupling", Fold]:
        if not hasattr(self.network, "folded"):
            return super().folded(tile, precision)
        network, fold = self.network.folded(precision)
        return rebuilt(self, network=network, tile=tile or self.tile), fold

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
        # The inverse and the gradients share one evaluation of the network.
        (a, moved), (da, dmoved) = halves(y), halves(dy)

        def network(a: Tensor, condition: Condition, weights: list[Tensor]) -> Tensor:
            pairs = [*bindings, *zip(self.trainable_variables, weights, strict=True)]
            return run_bound(self.network, pairs, a, condition, frame_mask, training=training)

        parameters, pull_network = vjp(network, a, condition, values_of(self, bindings))
        b, _ = self.affine_map.undo(moved, parameters, frame_mask)
        _, pull_move = vjp(lambda b, p: self.affine_map.move(b, p, frame_mask), b, parameters)
        db, dparameters = pull_move((dmoved, dlog_det))
        through, dcondition, dweights = pull_network(dparameters)
        x, dx = ops.concatenate([a, b], axis=-1), ops.concatenate([da + through, db], axis=-1)
        return x, dx, dcondition, dweights

    def adapt(
        self, x: Tensor, condition: Condition = None, frame_mask: Tensor | None = None
    ) -> Tensor:
        self._build_for(x, condition)
        if hasattr(self.network, "adapt"):
            self.network.adapt(halves(ops.convert_to_tensor(x))[0], condition, frame_mask)
        return super().adapt(x, condition, frame_mask)

    def get_config(self) -> dict[str, Any]:
        own = {"scale": self.scale, "tile": self.tile, "limit": self.limit}
        own |= {"shift_first": self.shift_first, "floor": self.floor}
        return {**super().get_config(), "network": serialize(self.network), **own}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(**{**config, "network": deserialize(config["network"])})
