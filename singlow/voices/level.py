"""The level at which a flow hears a recording."""

import numpy as np

from singlow.audio import is_silent, root_mean_square
from singlow.errors import DataError

QUIETEST, LOUDEST = -30.0, -10.0  # dBFS rms of recordings that are left as they are


def gain(audio: np.ndarray, level: float | None = None) -> float:
    """What to multiply a recording by before a flow hears it.

    A run whose recordings were brought to a level hears others at that level. Where they were left
    as they were, others are left too, unless they lie outside of `QUIETEST` to `LOUDEST`, and are
    brought to the nearer of the two: a flow trained on frames of random loudness, as Blow is, has
    hardly heard any that are fainter or louder.

    Args:
        audio: `(time, channels)` at the flow's rate.
        level: rms in dBFS that the run's recordings were brought to; None if they were not.

    Raises:
        DataError: it is silent.
    """
    if is_silent(audio):
        raise DataError("Expected a recording with sound. Received: silence.")
    rms = root_mean_square(audio)
    wanted = np.clip(20 * np.log10(rms), QUIETEST, LOUDEST) if level is None else level
    return float(10 ** (wanted / 20) / rms)
