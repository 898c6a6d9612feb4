"""Masks of padded frames, and sums and counts without padding."""

import math

import keras
from keras import ops

from singlow.ops.tensors import Tensor, split_at


def sum_frames(values: Tensor, frame_mask: Tensor | None = None) -> Tensor:
    """Sum over all axes but the first, without padded frames: `(batch, ...)` -> `(batch,)`.

    Args:
        values: `(batch, time, channels)` or `(batch, height, width, channels)`.
        frame_mask: `(batch, time)`, 1 for valid frames; images take none.

    Raises:
        ValueError: a mask is given for an image.
    """
    values = ops.cast(values, keras.backend.result_type(values.dtype, "float32"))
    if frame_mask is not None:
        values = values * ops.cast(_at_channels(values, frame_mask), values.dtype)
    return ops.sum(values, axis=tuple(range(1, len(values.shape))))


def count_frames(x: Tensor, frame_mask: Tensor | None = None) -> Tensor:
    """Number of valid positions of each item: frames, or pixels of an image, `(batch,)`.

    Args:
        x: `(batch, time, channels)` or `(batch, height, width, channels)`.
        frame_mask: `(batch, time)`, 1 for valid frames; images take none.

    Raises:
        ValueError: a mask is given for an image.
    """
    if frame_mask is not None:
        _at_channels(x, frame_mask)
        return sum_frames(ops.cast(frame_mask, x.dtype)[..., None])
    batch, *positions = ops.shape(x)[:-1]
    count = ops.cast(math.prod(positions), keras.backend.result_type(x.dtype, "float32"))
    return ops.broadcast_to(count, (batch,))


def masked(x: Tensor, frame_mask: Tensor | None) -> Tensor:
    """`x` with zeros in padded frames.

    Raises:
        ValueError: a mask is given for an image.
    """
    return x if frame_mask is None else x * ops.cast(_at_channels(x, frame_mask), x.dtype)


def reversed_frames(x: Tensor, frame_mask: Tensor | None) -> Tensor:
    """`x` with the valid frames of each item in the opposite order; padded frames stay in place.

    Args:
        x: `(batch, time, channels)`.
        frame_mask: `(batch, time)`, ones and then zeros; all frames are valid when `None`.
    """
    if frame_mask is None:
        return ops.flip(x, axis=1)
    lengths = ops.sum(ops.cast(frame_mask, "int32"), axis=1, keepdims=True)
    place = ops.arange(ops.shape(x)[1], dtype="int32")[None]
    place = ops.where(place < lengths, lengths - 1 - place, place)
    if keras.backend.backend() == "jax":
        return ops.take_along_axis(x, place[..., None], axis=1)
    import tensorflow as tf

    return tf.gather(x, place, axis=1, batch_dims=1)


def halves(x: Tensor) -> tuple[Tensor, Tensor]:
    """The first and the last half of the channels; the first is larger when they are odd."""
    kept = x.shape[-1] - x.shape[-1] // 2
    return split_at(x, kept)


def _at_channels(x: Tensor, frame_mask: Tensor) -> Tensor:
    if len(x.shape) != 3 or len(frame_mask.shape) != 2:
        raise ValueError(
            "Expected frame_mask (batch, time) with x (batch, time, channels). Received: "
            f"frame_mask of shape {tuple(frame_mask.shape)} with x of shape {tuple(x.shape)}."
        )
    return frame_mask[..., None]
