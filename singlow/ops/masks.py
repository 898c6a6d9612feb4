"""Masks of padded frames, and sums and counts that leave padding out."""

import math

import keras
from keras import ops

from singlow.ops.tensors import Tensor, split_at


def sum_frames(values: Tensor, frame_mask: Tensor | None = None) -> Tensor:
    """Sum over all axes but the first, padded frames left out: `(batch, ...)` -> `(batch,)`."""
    values = ops.cast(values, keras.backend.result_type(values.dtype, "float32"))
    if frame_mask is not None:
        values = values * ops.cast(frame_mask, values.dtype)[..., None]
    return ops.sum(values, axis=tuple(range(1, len(values.shape))))


def count_frames(x: Tensor, frame_mask: Tensor | None = None) -> Tensor:
    """How many positions of each item are valid: `(batch, time, channels)` -> `(batch,)`."""
    if frame_mask is not None:
        return sum_frames(ops.cast(frame_mask, x.dtype)[..., None])
    batch, *positions = ops.shape(x)[:-1]
    count = ops.cast(math.prod(positions), keras.backend.result_type(x.dtype, "float32"))
    return ops.broadcast_to(count, (batch,))


def masked(x: Tensor, frame_mask: Tensor | None) -> Tensor:
    """`x` with zeros in padded frames."""
    return x if frame_mask is None else x * ops.cast(frame_mask, x.dtype)[..., None]


def halves(x: Tensor) -> tuple[Tensor, Tensor]:
    """The first and the last half of the channels; the first is larger when they are odd."""
    kept = x.shape[-1] - x.shape[-1] // 2
    return split_at(x, kept)
