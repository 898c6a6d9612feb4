"""A split's clips, read from its shards by offset."""

import shlex
from pathlib import Path
from typing import Any

import numpy as np

from singlow.data.store.dataset import Entry, entries
from singlow.data.store.records import HEADER, check_record, index_shard, map_shard
from singlow.errors import DataError


class Clips:
    """The clips of a split that are long enough, their records held to their checksums.

    Args:
        directory: of the dataset.
        info: what its `dataset_info.json` holds.
        split: "train" or "validation".
        least: samples below which a clip is left out.

    Attributes:
        entries: where each clip lies.

    Raises:
        DataError: there is none, or a shard is not there or not whole.
    """

    def __init__(self, directory: Path, info: dict[str, Any], split: str, least: int = 1) -> None:
        self.directory = directory
        self.entries = [entry for entry in entries(info, split) if entry.frames >= least]
        if not self.entries:
            raise DataError(f"{directory}: holds no {split} clip of {least} samples or more.")
        self._channels = info["channels"]
        shards = info["splits"][split]["shards"]
        self._paths = [directory / shard["name"] for shard in shards]
        self._shards = [self._open(shard) for shard in shards]
        self._intact = [False] * len(self.entries)

    def _open(self, shard: dict[str, Any]) -> np.ndarray:
        path = self.directory / shard["name"]
        try:
            data = map_shard(path)
        except OSError as error:
            reason = error.strerror or error
            raise DataError(f"{path}: cannot be read: {reason}. {self._advice()}") from None
        if len(data) != shard["bytes"]:
            raise DataError(
                f"{path}: expected {shard['bytes']} bytes. Received: {len(data)}. {self._advice()}"
            )
        return np.asarray(data)

    def _advice(self) -> str:
        return f"Run: python3 data_loader.py --recover {shlex.quote(str(self.directory))}"

    def samples(self, clip: int, start: int, count: int) -> np.ndarray:
        """Samples of a clip, int16 `(count, channels)`.

        Raises:
            DataError: its record is damaged; named by shard, record and byte.
        """
        entry = self.entries[clip]
        shard = self._shards[entry.shard]
        if not self._intact[clip]:
            self._check(entry, shard)
            self._intact[clip] = True
        width = 2 * self._channels
        begin = entry.audio + start * width
        raw = shard[begin : begin + count * width].tobytes()
        return np.frombuffer(raw, "<i2").reshape(count, self._channels)

    def _check(self, entry: Entry, shard: np.ndarray) -> None:
        """Hold a record to its checksums, once, when it is first used."""
        record, reason = check_record(shard, entry.start - HEADER)
        if record is not None and record.length == entry.length:
            return
        path = self._paths[entry.shard]
        where = next(map(str, index_shard(path)[1]), f"{path}: {reason or 'not the one described'}")
        raise DataError(f"{where} ({entry.id}). {self._advice()}")
