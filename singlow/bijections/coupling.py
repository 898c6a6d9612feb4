"""Coupling: half of the channels decide an affine map of the other half."""

from collections.abc import Callable
from typing import Any, Self

import keras
from keras import ops

from singlow.bijections.base import Fold, InvertibleLayer, deserialize, rebuilt, serialize
from singlow.bijections.tiles import in_tiles
from singlow.ops.control import vjp
from singlow.ops.masks import halves, masked, sum_frames
from singlow.ops.stateless import Bindings, run_bound, values_of
from singlow.ops.tensors import Shape, Tensor

SCALES = ("bounded", "sigmoid", "exp", "additive")


@keras.saving.register_keras_serializable("singlow")
class AffineCoupling(InvertibleLayer):
    """`[a, b] -> [a, b * exp(s) + t]` with `(h, t) = network(a, condition)` and `s = scale(h)`.

        forward   a' = a,  b' = b * exp(s) + t        log |det| =  sum s
        inverse   a = a',  b = (b' - t) * exp(-s)     log |det| = -sum s

    `a` is the first half of the channels, the larger one when their number is odd.

    Args:
        network: from `(batch, time, channels of a)` to `channels of b` times `2` outputs (`1` when
            additive); called as `network(a, condition, frame_mask, training=training)`. Its
            `channels` are set here when they are `None`.
        scale: `"bounded"`, `s = limit tanh(h / limit)`, so that the inverse cannot explode;
            `"sigmoid"`, `s = log sigmoid(h + 2)`; `"exp"`, `s = h`; `"additive"`, `s = 0`.
        tile: frames that the network sees at a time, with its receptive field around them: the same
            result in memory that does not grow with length. All frames when `None`.
        limit: of a `"bounded"` scale, above zero.

    Raises:
        ValueError: `scale` is unknown, `tile` is below 1, `limit` is not above zero, or there is a
            single channel.

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
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if tile is not None and tile < 1:
            raise ValueError(f"Expected tile of at least 1. Received: tile={tile}.")
        if not limit > 0:
            raise ValueError(f"Expected a limit above zero. Received: limit={limit}.")
        if scale not in SCALES:
            raise ValueError(f"Expected scale to be one of {SCALES}. Received: scale={scale!r}.")
        self.network = network
        self.scale = scale
        self.tile = tile
        self.limit = limit

    def build(self, x_shape: Shape, condition_shape: Shape | None = None) -> None:
        moved = x_shape[-1] // 2
        if not moved:
            raise ValueError(
                f"Expected at least two channels for {self.name}. Received: x of shape {x_shape}."
            )
        if not self.network.built:
            if self.network.channels is None:
                self.network.channels = moved * (1 if self.scale == "additive" else 2)
            self.network.build((*x_shape[:-1], x_shape[-1] - moved), condition_shape)

    def _forward(
        self, x: Tensor, condition: Tensor | None, frame_mask: Tensor | None, training: bool | None
    ) -> tuple[Tensor, Tensor]:
        a, b = halves(x)
        moved, log_det = self._run(self._move, a, b, condition, frame_mask, training)
        return ops.concatenate([a, moved], axis=-1), log_det

    def _inverse(
        self, z: Tensor, condition: Tensor | None, frame_mask: Tensor | None, training: bool | None
    ) -> tuple[Tensor, Tensor]:
        a, moved = halves(z)
        b, log_det = self._run(self._undo, a, moved, condition, frame_mask, training)
        return ops.concatenate([a, b], axis=-1), log_det

    def _run(
        self,
        affine: Callable[..., tuple[Tensor, Tensor]],
        a: Tensor,
        b: Tensor,
        condition: Tensor | None,
        frame_mask: Tensor | None,
        training: bool | None,
    ) -> tuple[Tensor, Tensor]:
        if self.tile is None:
            parameters = self.network(a, condition, frame_mask, training=training)
            return affine(b, parameters, frame_mask)
        before, after = self.network.receptive_field

        def one(a: Tensor, b: Tensor, condition: Tensor | None, mask: Tensor) -> tuple:
            parameters = self.network(a, condition, mask, training=training)
            own = slice(before, -after if after else None)
            return affine(b, parameters[:, own], mask[:, own])

        return in_tiles(one, a, b, condition, frame_mask, self.tile, (before, after))

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
        condition: Tensor | None,
        frame_mask: Tensor | None,
        bindings: Bindings,
        training: bool | None = None,
    ) -> tuple[Tensor, Tensor, Tensor | None, list[Tensor]]:
        # The inverse and the gradients share one evaluation of the network.
        (a, moved), (da, dmoved) = halves(y), halves(dy)

        def network(a: Tensor, condition: Tensor | None, weights: list[Tensor]) -> Tensor:
            pairs = [*bindings, *zip(self.trainable_variables, weights, strict=True)]
            return run_bound(self.network, pairs, a, condition, frame_mask, training=training)

        parameters, pull_network = vjp(network, a, condition, values_of(self, bindings))
        b, _ = self._undo(moved, parameters, frame_mask)
        _, pull_move = vjp(lambda b, p: self._move(b, p, frame_mask), b, parameters)
        db, dparameters = pull_move((dmoved, dlog_det))
        through, dcondition, dweights = pull_network(dparameters)
        x, dx = ops.concatenate([a, b], axis=-1), ops.concatenate([da + through, db], axis=-1)
        return x, dx, dcondition, dweights

    def adapt(
        self, x: Tensor, condition: Tensor | None = None, frame_mask: Tensor | None = None
    ) -> Tensor:
        self._build_for(x, condition)
        if hasattr(self.network, "adapt"):
            self.network.adapt(halves(ops.convert_to_tensor(x))[0], condition, frame_mask)
        return super().adapt(x, condition, frame_mask)

    def _move(
        self, b: Tensor, parameters: Tensor, frame_mask: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        log_scale, shift = self._scale_and_shift(parameters, frame_mask)
        if log_scale is None:
            return b + shift, 0.0 * sum_frames(shift)
        return b * ops.exp(log_scale) + shift, sum_frames(log_scale)

    def _undo(
        self, moved: Tensor, parameters: Tensor, frame_mask: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        log_scale, shift = self._scale_and_shift(parameters, frame_mask)
        if log_scale is None:
            return moved - shift, 0.0 * sum_frames(shift)
        return (moved - shift) * ops.exp(-log_scale), -sum_frames(log_scale)

    def _scale_and_shift(
        self, parameters: Tensor, frame_mask: Tensor | None
    ) -> tuple[Tensor | None, Tensor]:
        """Log-scale (`None` when additive) and shift, both zero in padded frames."""
        parameters = masked(ops.cast(parameters, self.compute_dtype), frame_mask)
        if self.scale == "additive":
            return None, parameters
        log_scale, shift = ops.split(parameters, 2, axis=-1)
        if self.scale == "bounded":
            log_scale = bound(log_scale, self.limit)
        elif self.scale == "sigmoid":
            log_scale = masked(ops.log_sigmoid(log_scale + 2.0), frame_mask)
        return log_scale, shift

    def get_config(self) -> dict[str, Any]:
        own = {"scale": self.scale, "tile": self.tile, "limit": self.limit}
        return {**super().get_config(), "network": serialize(self.network), **own}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(**{**config, "network": deserialize(config["network"])})


def bound(log_scale: Tensor, limit: float = 2.0) -> Tensor:
    """`limit * tanh(h / limit)`: between `-limit` and `limit`, with slope 1 at zero.

    Written with a sigmoid because `keras.ops.tanh` turns float64 into float32.
    """
    return limit * (2.0 * ops.sigmoid(log_scale * (2.0 / limit)) - 1.0)
