"""Labelled recordings, wherever they lie: in a dataset's records or in files."""

import dataclasses
import functools
import re
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from singlow.audio import dequantize
from singlow.data.prepare.worker import prepare_audio
from singlow.data.sources.layouts import find_clips
from singlow.data.store.dataset import SPLITS, entries, read_info
from singlow.data.store.example import read_example
from singlow.data.store.records import HEADER, check_record, map_shard
from singlow.errors import DataError, UsageError
from singlow.progress import Report

_SEGMENT = re.compile(r"@\d+\.\d{3}$")
_FIELD = re.compile(r"\{(\w+)\}")
_LABELS = ("singer", "style")


@dataclasses.dataclass(frozen=True)
class Recording:
    """A recording, or a segment of one, with what is known of it.

    Attributes:
        id: unique in its corpus.
        singer: name.
        style: as "human" or "virtual"; "" when nobody said.
        text: what is sung; "" when nobody said.
        read: gives the audio `(time, channels)`, float32 in +-1.
    """

    id: str
    singer: str
    style: str
    text: str
    read: Callable[[], np.ndarray]

    @property
    def origin(self) -> str:
        """The recording that this is a segment of: segments of one are no two witnesses."""
        return _SEGMENT.sub("", self.id)


def read_recordings(directory: str | Path, splits: Sequence[str] = SPLITS) -> list[Recording]:
    """The clips of a dataset.

    Raises:
        DataError: it is damaged.
    """
    directory, found = Path(directory), []
    info = read_info(directory)
    singers, channels = sorted(info["singers"], key=info["singers"].get), info["channels"]
    for split in splits:
        paths = [directory / shard["name"] for shard in info["splits"][split]["shards"]]
        shards = [np.asarray(map_shard(path)) for path in paths]
        for entry in entries(info, split):
            shard = shards[entry.shard]
            record, reason = check_record(shard, entry.start - HEADER)
            if record is None or record.length != entry.length:
                raise DataError(
                    f"{paths[entry.shard]}: {entry.id}: {reason or 'not the one described'}. "
                    f"Run: python3 data_loader.py --recover {shlex.quote(str(directory))}"
                )
            example = read_example(shard[entry.start : entry.start + entry.length].tobytes())
            style, text = (
                example.get(key, b"").decode("utf-8", "replace") for key in ("style", "text")
            )
            read = functools.partial(_samples, shard, entry.audio, entry.frames, channels)
            found.append(Recording(entry.id, singers[entry.singer], style, text, read))
    return found


def _samples(shard: np.ndarray, begin: int, frames: int, channels: int) -> np.ndarray:
    raw = shard[begin : begin + 2 * channels * frames].tobytes()
    return dequantize(np.frombuffer(raw, "<i2").reshape(frames, channels))


def find_recordings(
    sources: Sequence[str], sample_rate: int, channels: int, report: Report = lambda _: None
) -> list[Recording]:
    """Recordings in files and folders, labelled as `corpora.find_clips` labels them.

    Reading one raises `DataError` when it is damaged or silent.

    Args:
        sources: folders, files, or `LABEL=SRC`.
        sample_rate: Hz to resample to.
        channels: to mix to.
        report: receives a line about files that a table does not list.

    Raises:
        UsageError: a source does not exist.
        DataError: a source holds no audio.
    """

    def read(path: Path) -> np.ndarray:
        job = {"path": path, "sample_rate": sample_rate, "channels": channels, "level": None}
        return dequantize(prepare_audio(job))

    clips, _ = find_clips(sources, report=report)
    return [
        Recording(c.id, c.singer, c.style, c.text, functools.partial(read, c.path)) for c in clips
    ]


def label(recordings: Sequence[Recording], pattern: str) -> list[Recording]:
    """Take labels from names: `{style}_{singer}_{take}` reads 7_theo_3 as style 7 of singer theo.

    Args:
        recordings: whose ids, without folders, are matched.
        pattern: text with `{singer}`, `{style}` or both; other fields match anything.

    Raises:
        UsageError: the pattern names neither, or one twice.
        DataError: a name does not fit it.
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
        found = expression.fullmatch(Path(recording.origin).name)
        if found is None:
            raise DataError(f'{recording.id}: its name does not fit --labels "{pattern}".')
        known = {key: value for key, value in found.groupdict().items() if key in _LABELS}
        labelled.append(dataclasses.replace(recording, **known))
    return labelled


def texts_as_styles(recordings: Sequence[Recording]) -> list[Recording]:
    """Where nobody said a style and the same few texts are sung again and again, they are styles.

    The digits of FSDD are such texts; the sentences of a reader are not.
    """
    texts = {recording.text for recording in recordings}
    repeated = len(texts) > 1 and "" not in texts and 4 * len(texts) <= len(recordings)
    if any(recording.style for recording in recordings) or not repeated:
        return list(recordings)
    return [dataclasses.replace(recording, style=recording.text) for recording in recordings]


def spread(recordings: Sequence[Recording], limit: int, seed: int = 0) -> list[Recording]:
    """At most `limit` recordings, as many of each singer as there are, drawn by `seed`."""
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
