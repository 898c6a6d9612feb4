"""Labelled recordings, wherever they lie: in a dataset's records or in files."""

import dataclasses
import functools
import re
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from singlow.audio import dequantize
from singlow.data.dataset import SPLITS, entries, read_info
from singlow.data.example import read_example
from singlow.data.records import HEADER, check_record, map_shard
from singlow.errors import DataError

_SEGMENT = re.compile(r"@\d+\.\d{3}$")


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
