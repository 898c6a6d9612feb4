"""Recordings that a run is evaluated on: songs to migrate, and originals to compare with."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from singlow.audio import dequantize, resample, root_mean_square, to_channels
from singlow.data.feed.recordings import Recording, read_recordings
from singlow.errors import DataError

SEED = 1  # seed of these built-in clips; the corpus that runs are trained on has seed 0
SILENT = 1e-3  # rms up to which a recording is silent
_CLIPS, _SONGS = 10, 2  # clips of every built-in singer, and the number of songs among them
_PIECE = 5.0  # length of an original in seconds
_LONGEST = 20.0  # largest length of a song in seconds
_MOST_SONGS, _MOST_PIECES = 6, 100

Named = tuple[str, np.ndarray]
"""The name of a recording, and its audio `(time, channels)`."""

Item = TypeVar("Item")


def builtin_originals(
    source: Callable[[str, str], bool],
    target: Callable[[str, str], bool],
    sample_rate: int,
    channels: int,
) -> tuple[list[Named], list[Named], list[Named]]:
    """Synthesize built-in clips that no run is trained on.

    Args:
        source: from the name and the style of a singer to whether it belongs to the source.
        target: from the name and the style of a singer to whether it belongs to the target.
        sample_rate: sample rate of the result, in Hz.
        channels: number of channels of the result.

    Returns:
        Songs of the source, originals of the source, and originals of the target.
    """
    from singlow.choir import corpus

    songs, sides = [], ([], [])
    for clip in corpus.clips(SEED, _CLIPS):
        audio = resample(dequantize(clip.audio), clip.sample_rate, sample_rate)
        named = clip.id, to_channels(audio, channels)
        is_song = int(clip.id.rpartition("-")[2]) >= _CLIPS - _SONGS
        if source(clip.singer, clip.style):
            (songs if is_song else sides[0]).append(named)
        if target(clip.singer, clip.style):
            sides[1].append(named)
    return songs, *sides


def dataset_originals(
    directory: str | Path, source: Sequence[str], target: Sequence[str], sample_rate: int
) -> tuple[list[Named], list[Named], list[Named]]:
    """Read held-out songs of the source, and 5 s pieces of the training clips of both sides.

    Args:
        directory: folder with `dataset_info.json`.
        source: ids of the source's training clips.
        target: ids of the target's training clips.
        sample_rate: sample rate of the dataset, in Hz.

    Returns:
        Songs of the source, originals of the source, and originals of the target.

    Raises:
        DataError: no song of the source is held out, or all of them are silent.
    """
    train, held_out = (read_recordings(directory, (split,)) for split in ("train", "validation"))
    singers = {clip.singer for clip in train if clip.id in set(source)}
    longest = round(_LONGEST * sample_rate)
    songs = [(c.id, c.read()[:longest]) for c in held_out if c.singer in singers]
    songs = [song for song in songs if root_mean_square(song[1]) > SILENT]
    if not songs:
        raise DataError(f"{directory}: Expected held-out songs to migrate. Received: none.")
    size = round(_PIECE * sample_rate)
    sides = [_pieces([c for c in train if c.id in set(ids)], size) for ids in (source, target)]
    return evenly(songs, _MOST_SONGS), *(evenly(side, _MOST_PIECES) for side in sides)


def _pieces(clips: Sequence[Recording], size: int) -> list[Named]:
    """Cut clips into pieces of at most `size` samples and return those that are not silent."""
    pieces = []
    for clip in clips:
        audio = clip.read()
        for start in range(0, max(1, len(audio) - size // 2), size):
            piece = audio[start : start + size]
            if root_mean_square(piece) > SILENT:
                pieces.append((f"{clip.id}+{start // size}", piece))
    return pieces


def evenly(items: Sequence[Item], count: int) -> list[Item]:
    """Return at most `count` of the items, spread evenly over all of them."""
    places = np.linspace(0, len(items) - 1, min(count, len(items))).round().astype(int)
    return [items[place] for place in places]
