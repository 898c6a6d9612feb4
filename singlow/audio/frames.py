"""Cut audio into overlapping frames, and add the frames up again."""

from collections.abc import Iterable

import numpy as np


def cut(audio: np.ndarray, window: int, hop: int) -> np.ndarray:
    """Cut audio into frames; the last frame is padded with zeros.

    Args:
        audio: `(time, channels)`.
        window: number of samples of a frame.
        hop: number of samples between the starts of frames, from 1 to `window`.

    Returns:
        `(frames, window, channels)`.

    Raises:
        ValueError: `hop` is out of range.
    """
    if not 1 <= hop <= window:
        raise ValueError(f"Expected 1 <= hop <= window. Received: hop {hop}, window {window}.")
    count = 1 + max(0, -(-(len(audio) - window) // hop))
    padded = np.pad(audio, ((0, (count - 1) * hop + window - len(audio)), (0, 0)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, window, axis=0)[::hop]
    return np.ascontiguousarray(frames.transpose(0, 2, 1))


def overlap_add(
    frames: Iterable[np.ndarray], hop: int, length: int, ramp: np.ndarray | None = None
) -> np.ndarray:
    """Add overlapping frames, weighted by a ramp and divided by the sum of the weights.

    This inverts `cut` up to rounding. Samples whose weights are all zero become zero.

    Args:
        frames: `(window, channels)` each, in order; only one is kept in memory at a time.
        hop: number of samples between the starts of frames.
        length: number of samples to return.
        ramp: `(window,)`, the weight of each sample of a frame; a triangle when None.

    Returns:
        `(length, channels)`, with the dtype of the frames.
    """
    total = weight = None
    for index, frame in enumerate(frames):
        window, dtype = len(frame), frame.dtype
        if total is None:
            if ramp is None:
                ramp = np.minimum(np.arange(1, window + 1), np.arange(window, 0, -1))
            slope = np.asarray(ramp, np.float64)[:, None]
            total, weight = np.zeros((length, frame.shape[1])), np.zeros((length, 1))
        part = frame[: max(0, length - index * hop)]
        span = slice(index * hop, index * hop + len(part))
        total[span] += part * slope[: len(part)]
        weight[span] += slope[: len(part)]
    return np.divide(total, weight, out=total, where=weight > 0).astype(dtype)
