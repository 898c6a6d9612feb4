"""Features of a run's singers and styles: measured once, kept beside the run."""

import hashlib
import io
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from singlow.data.feed.recordings import Recording, read_recordings
from singlow.errors import DataError, UsageError
from singlow.files import atomic_write
from singlow.latents.features import WINDOW, Features, Level, measure_features
from singlow.progress import progress

LEAST_CLIPS = 2
FORMAT, VERSION = "singlow-features", 1
_FIELDS = ("count", "total", "square", "windows", "first", "second")
_UNREADABLE = (ValueError, KeyError, EOFError, OSError, RuntimeError, MemoryError)


class Attributes:
    """The features of every singer and style that a run was trained on, by name.

    Args:
        flow: the run's.
        data: its dataset's folder.
        cache: a folder for what was measured; a file in it that does not fit is measured again.
        mark: text that changes with the flow's weights and with the data.
        report: receives a line where the cache cannot be written.

    Raises:
        DataError: the dataset is damaged.
    """

    def __init__(
        self,
        flow: Any,
        data: Path,
        cache: Path,
        mark: str,
        report: Callable[[str], None] = lambda line: print(line, file=sys.stderr),
    ) -> None:
        self._flow, self._cache, self._mark, self._report = flow, cache, mark, report
        self._clips = read_recordings(data, ("train",))
        self._known: dict[str, Features] = {}

    @property
    def names(self) -> list[str]:
        """Singers, then styles that are no singers."""
        singers = sorted({clip.singer for clip in self._clips})
        return singers + sorted({c.style for c in self._clips if c.style} - set(singers))

    def clips(self, name: str) -> list[Recording]:
        """The clips of a singer, or of a style.

        Raises:
            UsageError: there is none of this name; the known ones are listed.
        """
        if name not in self.names:
            raise UsageError(
                f"Expected a singer or style in {', '.join(self.names)}. Received: {name[:80]}."
            )
        own = [clip for clip in self._clips if clip.singer == name]
        return own or [clip for clip in self._clips if clip.style == name]

    def __getitem__(self, name: str) -> Features:
        """The features of a singer or style.

        Raises:
            UsageError: there is none of this name; the known ones are listed.
            DataError: there are too few clips.
        """
        if name not in self._known:
            path = self._cache / f"{hashlib.sha256(name.encode()).hexdigest()[:16]}.npz"
            mark = f"{self._mark} {name}"
            features = read_features(path, mark)
            if features is None:
                features = self._measured(name)
                try:
                    write_features(path, features, mark)
                except OSError as error:
                    self._report(f"Warning: {path}: not kept for the next time: {error.strerror}.")
            self._known[name] = features
        return self._known[name]

    def _measured(self, name: str) -> Features:
        clips = self.clips(name)
        if len(clips) < LEAST_CLIPS:
            raise DataError(
                f"{name}: Expected at least {LEAST_CLIPS} clips to train on. Received: "
                f"{len(clips)}; add recordings, or give some with --reference."
            )
        with progress(f"Listening to {name}", len(clips)) as heard:

            def audio(clip: Recording) -> np.ndarray:
                heard()
                return clip.read()

            features = measure_features(self._flow, map(audio, clips))
        if not features.sounding:
            raise DataError(f"{name}: its clips are too short or silent for features.")
        return features


def write_features(path: Path, features: Features, mark: str) -> None:
    """Write features as an npz file, whole or not at all."""
    arrays = {"format": np.array(f"{FORMAT} {VERSION}"), "mark": np.array(mark)}
    arrays["clips"] = np.array(features.clips, np.int64)
    for index, level in enumerate(features.levels):
        arrays |= {f"{field}_{index}": np.asarray(getattr(level, field)) for field in _FIELDS}
    with atomic_write(path) as file:
        np.savez(file, **arrays)


def read_features(path: Path, mark: str) -> Features | None:
    """Features from an npz file; None when it is missing, damaged, or bears another mark."""
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as archive:
            if str(archive["format"]) != f"{FORMAT} {VERSION}" or str(archive["mark"]) != mark:
                return None
            count = sum(name.startswith("count_") for name in archive.files)
            levels = tuple(
                Level(*(archive[f"{field}_{i}"] for field in _FIELDS)) for i in range(count)
            )
            clips = int(archive["clips"])
    except (*_UNREADABLE, zipfile.BadZipFile, zlib.error):
        return None
    fits = levels and all(map(_fits, levels))
    return Features(clips, levels) if fits else None


def _fits(level: Level) -> bool:
    if level.total.ndim != 1:
        return False
    channels, bins = len(level.total), WINDOW // 2 + 1
    shapes = ((), (channels,), (channels,), (), (bins, channels), (bins, channels, channels))
    kinds = "fi", "f", "f", "fi", "c", "c"
    return all(
        array.shape == shape and array.dtype.kind in kind and np.isfinite(array).all()
        for array, shape, kind in zip(vars(level).values(), shapes, kinds, strict=True)
    )
