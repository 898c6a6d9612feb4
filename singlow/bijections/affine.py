"""The affine map that couplings and autoregressive steps share."""

from dataclasses import dataclass

from keras import ops

from singlow.ops.masks import masked, sum_frames
from singlow.ops.tensors import Tensor

SCALES = ("bounded", "sigmoid", "floored_sigmoid", "exp", "additive")


@dataclass(frozen=True)
class AffineMap:
    """`y = x * exp(s) + t` with `s` and `t` computed from a network's outputs `h, t`.

        move   y = x * exp(s) + t       log |det dy/dx| =  sum s
        undo   x = (y - t) * exp(-s)    log |det dx/dy| = -sum s

    With `shift_first` the map is `y = (x + t) * exp(s)`, with the same log-determinants.

    Args:
        scale: `"bounded"`, `s = limit * tanh(h / limit)`, so that the inverse cannot explode;
            `"sigmoid"`, `s = log sigmoid(h + 2)`; `"floored_sigmoid"`, the same with `floor`
            added to the sigmoid; `"exp"`, `s = h`; `"additive"`, `s = 0`.
        limit: bound of a `"bounded"` log-scale, above zero.
        floor: added to the sigmoid of a `"floored_sigmoid"`, above zero.
        shift_first: whether `x` is shifted before it is scaled.

    Raises:
        ValueError: `scale` is unknown, or `limit` or `floor` is not above zero.
    """

    scale: str = "bounded"
    limit: float = 2.0
    shift_first: bool = False
    floor: float = 1e-7

    def __post_init__(self) -> None:
        if not min(self.limit, self.floor) > 0:
            raise ValueError(
                "Expected a limit and a floor above zero. "
                f"Received: limit={self.limit}, floor={self.floor}."
            )
        if self.scale not in SCALES:
            raise ValueError(
                f"Expected scale to be one of {SCALES}. Received: scale={self.scale!r}."
            )

    @property
    def parameters(self) -> int:
        """Outputs of the network for each value of `x`: 2, or 1 when additive."""
        return 1 if self.scale == "additive" else 2

    def move(
        self, x: Tensor, parameters: Tensor, frame_mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """`y` and the log-determinant `(batch,)`; padded frames stay as they are.

        Args:
            x: `(..., channels)`.
            parameters: `(..., channels * self.parameters)` of any dtype.
            frame_mask: `(batch, time)`, 1 for valid frames.
        """
        log_scale, shift = self._scale_and_shift(parameters, frame_mask, x.dtype)
        if log_scale is None:
            return x + shift, 0.0 * sum_frames(shift)
        if self.shift_first:
            return (x + shift) * ops.exp(log_scale), sum_frames(log_scale)
        return x * ops.exp(log_scale) + shift, sum_frames(log_scale)

    def undo(
        self, y: Tensor, parameters: Tensor, frame_mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """`x` and the log-determinant of the inverse `(batch,)`; arguments as for `move`."""
        log_scale, shift = self._scale_and_shift(parameters, frame_mask, y.dtype)
        if log_scale is None:
            return y - shift, 0.0 * sum_frames(shift)
        if self.shift_first:
            return y * ops.exp(-log_scale) - shift, -sum_frames(log_scale)
        return (y - shift) * ops.exp(-log_scale), -sum_frames(log_scale)

    def _scale_and_shift(
        self, parameters: Tensor, frame_mask: Tensor | None, dtype: str
    ) -> tuple[Tensor | None, Tensor]:
        """Log-scale (`None` when additive) and shift, both zero in padded frames."""
        parameters = masked(ops.cast(parameters, dtype), frame_mask)
        if self.scale == "additive":
            return None, parameters
        log_scale, shift = ops.split(parameters, 2, axis=-1)
        if self.scale == "bounded":
            log_scale = bound(log_scale, self.limit)
        elif self.scale == "sigmoid":
            log_scale = masked(ops.log_sigmoid(log_scale + 2.0), frame_mask)
        elif self.scale == "floored_sigmoid":
            log_scale = masked(ops.log(ops.sigmoid(log_scale + 2.0) + self.floor), frame_mask)
        return log_scale, shift


def bound(log_scale: Tensor, limit: float = 2.0) -> Tensor:
    """`limit * tanh(h / limit)`: between `-limit` and `limit`, with slope 1 at zero.

    Computed with a sigmoid because `keras.ops.tanh` returns float32 for float64.
    """
    return limit * (2.0 * ops.sigmoid(log_scale * (2.0 / limit)) - 1.0)
