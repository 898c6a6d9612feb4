"""Read labelled recordings from the records of a dataset or from files."""

import dataclasses
import functools
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from singlow.audio import dequantize
from singlow.data.prepare.worker import prepare_audio
from singlow.data.sources.layouts import find_clips
from singlow.data.sources.splits import origin
from singlow.data.store.dataset import SPLITS, Clips, require_sound, singer_names
from singlow.errors import DataError, UsageError
from singlow.names import shown
from singlow.progress import Report

_FIELD = re.compile(r"\{(\w+)\}")
_LABELS = ("singer", "style")


@dataclasses.dataclass(frozen=True)
class Recording:
    """A recording, or a segment of one, with its labels.

    Attributes:
        id: id of the recording, unique in its corpus.
        singer: name of the singer.
        style: style of singing, for instance "human" or "virtual"; "" when unknown.
        text: text that is sung; "" when unknown.
        read: returns the audio, float32 `(time, channels)` from -1 to 1.
    """

    id: str
    singer: str
    style: str
    text: str
    read: Callable[[], np.ndarray]

    @property
    def origin(self) -> str:
        """The id of the whole recording. Segments of one recording are statistically dependent."""
        return origin(self.id)


def read_recordings(
    directory: str | os.PathLike, splits: Sequence[str] = SPLITS
) -> list[Recording]:
    """Return the clips of a dataset as recordings.

    Raises:
        DataError: the dataset is damaged.
    """
    info, recordings = require_sound(directory), []
    singers = singer_names(info)
    for split in splits:
        clips = Clips(Path(directory).expanduser(), info, split)
        for index, entry in enumerate(clips.entries):
            features = clips.features(index)
            style, text = (
                features.get(key, b"").decode("utf-8", "surrogateescape")
                for key in ("style", "text")
            )
            read = functools.partial(_samples, clips, index)
            recordings.append(Recording(entry.id, singers[entry.singer], style, text, read))
    return recordings


def _samples(clips: Clips, index: int) -> np.ndarray:
    return dequantize(clips.samples(index))


def find_recordings(
    sources: Sequence[str],
    sample_rate: int,
    channels: int,
    report: Report = lambda _: None,
    layout: str = "auto",
) -> list[Recording]:
    """Return the recordings in files and folders, with the labels of `find_clips`.

    The `read` of a recording raises `DataError` if the file is damaged or silent.

    Args:
        sources: folders, files, or `LABEL=SRC`.
        sample_rate: sample rate of the audio that is read, in Hz.
        channels: number of channels of the audio that is read.
        report: receives a line for every guess, and one for files that a table does not list.
        layout: where the singers' names come from; see `find_clips`.

    Raises:
        UsageError: a source does not exist.
        DataError: a source holds no audio.
    """

    def read(path: Path) -> np.ndarray:
        job = {"path": path, "sample_rate": sample_rate, "channels": channels, "loudness": None}
        return dequantize(prepare_audio(job))

    clips, _ = find_clips(sources, layout, report)
    return [
        Recording(c.id, c.singer, c.style, c.text, functools.partial(read, c.path)) for c in clips
    ]


def label(recordings: Sequence[Recording], pattern: str) -> list[Recording]:
    """Return the recordings with labels from their names.

    For instance `{style}_{singer}_{take}` labels 7_theo_3 with the style 7 and the singer theo.

    Args:
        recordings: recordings whose ids, without folders, are matched with the pattern.
        pattern: text with `{singer}`, `{style}` or both. Other fields match any text.

    Raises:
        UsageError: the pattern has neither field, or a field twice.
        DataError: a name does not fit the pattern.
    """
    fields = _FIELD.findall(pattern)
    if not set(fields) & set(_LABELS) or len(set(fields)) < len(fields):
        raise UsageError(
            "Expected --labels with {singer}, {style} or both, once each, as in "
            f'"{{style}}_{{singer}}_{{take}}". Received: "{pattern}".'
        )
    parts = re.split(r"\{\w+\}", pattern)
    groups = [*(f"(?P<{name}>.+?)" for name in fields), ""]
    expression = re.compile("".join(map("".join, zip(map(re.escape, parts), groups, strict=True))))
    labelled = []
    for recording in recordings:
        match = expression.fullmatch(Path(recording.origin).name)
        if match is None:
            raise DataError(f'{shown(recording.id)}: its name does not fit --labels "{pattern}".')
        labels = {key: value for key, value in match.groupdict().items() if key in _LABELS}
        labelled.append(dataclasses.replace(recording, **labels))
    return labelled


def texts_as_styles(recordings: Sequence[Recording]) -> list[Recording]:
    """Use the texts as styles if there are no styles and a few texts are repeated many times.

    This applies to the digits of FSDD, for instance, but not to the sentences of an audiobook.
    """
    texts = {recording.text for recording in recordings}
    repeated = len(texts) > 1 and "" not in texts and 4 * len(texts) <= len(recordings)
    if any(recording.style for recording in recordings) or not repeated:
        return list(recordings)
    return [dataclasses.replace(recording, style=recording.text) for recording in recordings]


def spread(recordings: Sequence[Recording], limit: int, seed: int = 0) -> list[Recording]:
    """Return at most `limit` recordings, chosen at random and spread evenly over the singers."""
    if len(recordings) <= limit:
        return list(recordings)
    order = np.random.default_rng(seed).permutation(len(recordings))
    turns: dict[str, int] = {}
    ranked = []
    for index in order:
        singer = recordings[index].singer
        turns[singer] = turns.get(singer, 0) + 1
        ranked.append((turns[singer], index))
    kept = sorted(index for _, index in sorted(ranked)[:limit])
    return [recordings[index] for index in kept]
