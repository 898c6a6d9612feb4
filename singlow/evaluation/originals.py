"""Recordings that a migration is measured on: songs to migrate, originals to compare with."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from singlow.audio import dequantize, resample, root_mean_square, to_channels
from singlow.data.feed.recordings import Recording, read_recordings
from singlow.errors import DataError

SEED = 1  # of the built-in clips: the corpus that runs are trained on has 0
_CLIPS, _SONGS = 10, 2  # of every built-in singer, and how many of them are songs
_PIECE = 5.0  # seconds of originals
_LONGEST = 20.0  # seconds of a song
_MOST_SONGS, _MOST_PIECES = 6, 100
SILENT = 1e-3  # rms

Named = tuple[str, np.ndarray]


def builtin_originals(
    source: Callable[[str, str], bool],
    target: Callable[[str, str], bool],
    sample_rate: int,
    channels: int,
) -> tuple[list[Named], list[Named], list[Named]]:
    """Built-in clips that no run was trained on: songs of the source, originals of both sides.

    Args:
        source: whether a singer, by name and style, belongs to the source.
        target: to the target.
        sample_rate: Hz to resample to.
        channels: to mix to.
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
    """Held-out songs of the source, and pieces of 5 s of what was trained on of both sides.

    Args:
        directory: with `dataset_info.json`.
        source: ids of the clips that are the source's.
        target: of the target's.
        sample_rate: Hz of the dataset.

    Raises:
        DataError: nothing of the source is held out, or nothing in it sounds.
    """
    train, held = (read_recordings(directory, (split,)) for split in ("train", "validation"))
    singers = {clip.singer for clip in train if clip.id in set(source)}
    longest = round(_LONGEST * sample_rate)
    songs = [(c.id, c.read()[:longest]) for c in held if c.singer in singers]
    songs = [song for song in songs if root_mean_square(song[1]) > SILENT]
    if not songs:
        raise DataError(f"{directory}: Expected held-out songs to migrate. Received: none.")
    size = round(_PIECE * sample_rate)
    sides = [_pieces([c for c in train if c.id in set(ids)], size) for ids in (source, target)]
    return evenly(songs, _MOST_SONGS), *(evenly(side, _MOST_PIECES) for side in sides)


def _pieces(clips: list[Recording], size: int) -> list[Named]:
    pieces = []
    for clip in clips:
        audio = clip.read()
        for start in range(0, max(1, len(audio) - size // 2), size):
            piece = audio[start : start + size]
            if root_mean_square(piece) > SILENT:
                pieces.append((f"{clip.id}+{start // size}", piece))
    return pieces


def evenly(items: Sequence[Any], count: int) -> list[Any]:
    """At most `count` of them, evenly over all."""
    places = np.linspace(0, len(items) - 1, min(count, len(items))).round().astype(int)
    return [items[place] for place in places]
