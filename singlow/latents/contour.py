"""Short-term power of recordings, computed block by block."""

from collections.abc import Callable

import numpy as np
from scipy.ndimage import uniform_filter1d

from singlow.audio import BLOCK, to_channels


def smooth_power(audio: np.ndarray, width: int, loudest: float = np.inf) -> np.ndarray:
    """Return the mean square of audio under a triangle of `2 width` samples.

    Args:
        audio: samples, `(time, channels)`.
        width: half the width of the triangle, in samples.
        loudest: amplitude to which louder samples are clipped; if it is finite, it also replaces
            samples that are not finite.

    Returns:
        Power, `(time,)` float32.
    """
    width = max(1, width)

    def power(part: np.ndarray) -> np.ndarray:
        mono = to_channels(part, 1)[:, 0]
        if np.isfinite(loudest):
            mono = np.nan_to_num(mono, nan=loudest).clip(-loudest, loudest)
        smooth = np.square(mono, dtype=np.float64)
        for _ in range(2):
            smooth = uniform_filter1d(smooth, width, mode="constant")
        return smooth.clip(0)

    return in_blocks(power, audio, 2 * width)


def in_blocks(
    function: Callable[[np.ndarray], np.ndarray], x: np.ndarray, margin: int
) -> np.ndarray:
    """Apply a function to `x` `(time, ...)` in blocks, to limit the memory of intermediate arrays.

    Args:
        function: maps a block `(block, ...)` to values `(block,)`; each value depends on at most
            `margin` positions before and after its own.
        x: the input, `(time, ...)`.
        margin: number of positions that extend a block on both sides.

    Returns:
        Values, `(time,)` float32.
    """
    result = np.empty(len(x), np.float32)
    for start in range(0, len(x), BLOCK):
        first = max(0, start - margin)
        values = function(x[first : start + BLOCK + margin])
        result[start : start + BLOCK] = values[start - first :][:BLOCK]
    return result
