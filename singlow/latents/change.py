"""A change that was made at a flow's rate, added to a song at its own."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from singlow.audio import blocks_of, resample, resampled, to_channels


def add_change(
    flow: Any, song: np.ndarray, sample_rate: int, change: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """`song + upsample(change(resampled) - resampled)`.

    Args:
        flow: whose rate and channels `change` works at.
        song: `(time, channels)` float32 at `sample_rate` Hz.
        sample_rate: Hz of `song`.
        change: takes and gives `(time, channels)`; no change at all gives the song itself.
    """
    audio = resample(to_channels(song, flow.channels), sample_rate, flow.sample_rate)
    changed = change(audio) - audio
    return np.concatenate(list(changed_blocks([song], sample_rate, changed, flow.sample_rate)))


def changed_blocks(
    blocks: Iterable[np.ndarray], sample_rate: int, change: np.ndarray, rate: int
) -> Iterator[np.ndarray]:
    """A song in blocks, a change at another rate added to every channel.

    Args:
        blocks: `(time, channels)` float32 at `sample_rate` Hz.
        sample_rate: Hz of the song.
        change: `(time, channels)` float32; zero gives the song itself.
        rate: Hz of `change`.
    """
    if not change.any():
        yield from blocks
        return
    pieces, waiting = resampled(blocks_of(change), rate, sample_rate), change[:0]
    for block in blocks:
        while len(waiting) < len(block) and (piece := next(pieces, None)) is not None:
            waiting = np.concatenate([waiting, piece])
        result, added = block.copy(), waiting[: len(block)]
        result[: len(added)] += to_channels(added, block.shape[1])
        waiting = waiting[len(block) :]
        yield result
