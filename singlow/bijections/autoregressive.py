"""An autoregressive step: an affine map of each frame, computed from the frames before it."""

from collections.abc import Sequence
from typing import Any, Self

import keras
from keras import ops

from singlow.bijections.affine import AffineMap
from singlow.bijections.base import Fold, InvertibleLayer, deserialize, rebuilt, serialize
from singlow.bijections.conditions import Condition
from singlow.ops.control import scan, scan_until
from singlow.ops.masks import masked, reversed_frames
from singlow.ops.tensors import Shape, Tensor, require_frames


@keras.saving.register_keras_serializable("singlow")
class AutoregressiveAffine(InvertibleLayer):
    """`z_t = x_t * exp(s_t) + b_t` with `s_t` and `b_t` computed from the frames before `t`.

        h_t, b_t = network(x_1, ..., x_(t-1), condition)        s_t = scale(h_t)
        forward   z_t = x_t * exp(s_t) + b_t        log |det| =  sum s
        inverse   x_t = (z_t - b_t) * exp(-s_t)     log |det| = -sum s

    The forward direction runs the network once for all frames, the inverse frame by frame. With
    `backward`, `h_t` and `b_t` are computed from the frames after `t`: the valid frames of each
    clip are mapped in the opposite order. See `AffineMap` for the scales.

    Args:
        network: reads the frame before each frame, and remembers earlier ones; see
            `singlow.networks.AttentiveLSTM` for its methods. The step sets its `channels` if they
            are `None`.
        scale: `"bounded"`, `"sigmoid"`, `"floored_sigmoid"`, `"exp"` or `"additive"`.
        limit: bound of a `"bounded"` log-scale, above zero.
        backward: whether a frame depends on those after it instead of those before it.

    Raises:
        ValueError: `x` is an image.

    References:
        Papamakarios, Pavlakou and Murray, Masked Autoregressive Flow for Density Estimation, 2017,
        https://arxiv.org/abs/1705.07057
        Valle, Shih, Prenger and Catanzaro, Flowtron, 2020, https://arxiv.org/abs/2005.05957
    """

    def __init__(
        self,
        network: Any,
        scale: str = "bounded",
        limit: float = 2.0,
        backward: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.network = network
        self.affine_map = AffineMap(scale, limit)
        self.scale = scale
        self.limit = limit
        self.backward = backward

    def build(self, x_shape: Shape, condition_shape: Any = None) -> None:
        require_frames(self.name, x_shape)
        if not self.network.built:
            if self.network.channels is None:
                self.network.channels = x_shape[-1] * self.affine_map.parameters
            self.network.build(tuple(x_shape), condition_shape)

    def observed(
        self,
        x: Tensor,
        condition: Condition = None,
        frame_mask: Tensor | None = None,
        training: bool | None = None,
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """The latents, the log-determinant, and what the network saw.

        What it saw has the order of time in which the step runs: with `backward`, the last valid
        frame of each clip comes first.
        """
        x = self._in_order(x, frame_mask)
        valid = masked(x, frame_mask)
        before = ops.concatenate([ops.zeros_like(x[:, :1]), valid[:, :-1]], axis=1)
        parameters, seen = self.network.observed(
            before, condition, frame_mask, training, self.backward
        )
        z, log_det = self.affine_map.move(x, parameters, frame_mask)
        return self._in_order(z, frame_mask), log_det, seen

    def _forward(
        self, x: Tensor, condition: Condition, frame_mask: Tensor | None, training: bool | None
    ) -> tuple[Tensor, Tensor]:
        return self.observed(x, condition, frame_mask, training)[:2]

    def _inverse(
        self, z: Tensor, condition: Condition, frame_mask: Tensor | None, training: bool | None
    ) -> tuple[Tensor, Tensor]:
        z = self._in_order(z, frame_mask)
        mask = ops.ones_like(z[..., 0]) if frame_mask is None else frame_mask
        read = self.network.prepared(condition)

        def turn(carry: list[Tensor], slices: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
            before, total, *state = carry
            x, log_det, state, _ = self._frame(before, slices, state, read)
            return [x, total + log_det, *state], [x]

        first = ops.zeros_like(z[:, 0])
        zero = ops.cast(0.0 * first[:, 0], keras.backend.result_type(z.dtype, "float32"))
        (_, log_det, *_), (x,) = scan(
            turn,
            [first, zero, *self.network.start(first, read)],
            [ops.swapaxes(z, 0, 1), ops.swapaxes(mask, 0, 1)],
            ops.shape(z)[1],
            [first],
            differentiated=None not in z.shape,
        )
        return self._in_order(ops.swapaxes(x, 0, 1), frame_mask), log_det

    def generate(
        self,
        z: Tensor,
        condition: Condition = None,
        frame_mask: Tensor | None = None,
        threshold: float = 0.5,
    ) -> tuple[Tensor, Tensor]:
        """The inverse, until the gate of the network ends each clip.

        A clip ends with the frame whose gate has a probability above the threshold, or with its
        last valid frame. The loop ends with the longest clip. There is no gradient.

        Args:
            z: `(batch, time, channels)`. With `backward`, the last valid frames are used.
            condition: as for `call`.
            frame_mask: as for `call`.
            threshold: of the probability; 1 never ends a clip.

        Returns:
            `x`, of the shape of `z` with zeros after the end of each clip, and the number of frames
            of each, `(batch,)` int32.
        """
        z = self._in_order(z, frame_mask)
        mask = ops.ones_like(z[..., 0]) if frame_mask is None else frame_mask
        read = self.network.prepared(condition)

        def turn(carry: list[Tensor], slices: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
            before, spoken, going, *state = carry
            x, _, state, gate = self._frame(before, slices, state, read)
            going = going * ops.cast(slices[1], going.dtype)
            kept, spoken = x * going[:, None], spoken + ops.cast(going, "int32")
            going = going * ops.cast(ops.sigmoid(gate) <= threshold, going.dtype)
            return [x, spoken, going, *state], [kept]

        first = ops.zeros_like(z[:, 0])
        start = [first, ops.cast(first[:, 0], "int32"), ops.ones_like(first[:, 0])]
        (_, lengths, *_), (x,) = scan_until(
            turn,
            [*start, *self.network.start(first, read)],
            [ops.swapaxes(z, 0, 1), ops.swapaxes(mask, 0, 1)],
            ops.shape(z)[1],
            [first],
            going=lambda carry: ops.any(carry[2] > 0),
        )
        place = ops.arange(ops.shape(z)[1], dtype="int32")[None]
        ended = ops.cast(place < lengths[:, None], z.dtype)
        return self._in_order(ops.swapaxes(x, 0, 1), ended), lengths

    def _frame(
        self,
        before: Tensor,
        slices: Sequence[Tensor],
        state: Sequence[Tensor],
        read: dict[str, Tensor],
    ) -> tuple[Tensor, Tensor, list[Tensor], Tensor | None]:
        parameters, state, gate = self.network.advance(before, state, read)
        z, mask = slices
        x, log_det = self.affine_map.undo(z[:, None], parameters[:, None], mask[:, None])
        return x[:, 0], log_det, state, gate

    def _in_order(self, x: Tensor, frame_mask: Tensor | None) -> Tensor:
        return reversed_frames(x, frame_mask) if self.backward else x

    def folded(
        self, tile: int | None = None, precision: str | None = None
    ) -> tuple["AutoregressiveAffine", Fold]:
        network, fold = self.network.folded(precision)
        return rebuilt(self, network=network), fold

    def get_config(self) -> dict[str, Any]:
        own = {"scale": self.scale, "limit": self.limit, "backward": self.backward}
        return {**super().get_config(), "network": serialize(self.network), **own}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(**{**config, "network": deserialize(config["network"])})
