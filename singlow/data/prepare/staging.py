"""Decoded files on their way to shards; what an interrupted build left is taken up again."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from singlow.data.prepare.decoders import decode_all
from singlow.data.prepare.settings import hash_of, stamp
from singlow.data.sources.clip import Clip
from singlow.data.store.example import read_example
from singlow.data.store.records import check_record, index_shard, map_shard
from singlow.errors import DataError
from singlow.progress import progress


@dataclasses.dataclass(frozen=True)
class Staged:
    """Where a decoded file lies in a part file, or why it was rejected."""

    part: Path
    offset: int
    frames: int
    reason: str


def decode_clips(
    clips: Sequence[Clip], settings: dict[str, Any], staging: Path, workers: int
) -> dict[Path, Staged]:
    """Decode every file that `staging` does not hold yet.

    Returns:
        By path, where its samples lie or why there are none.

    Raises:
        EnvironmentFault: the disk is full, or no worker starts.
    """
    wanted = {name: settings[name] for name in ("sampling_rate", "channel_size", "level")}
    keys = {clip.path: hash_of([str(clip.path), stamp(clip.path), wanted]) for clip in clips}
    known = _known(staging)
    jobs = [
        {
            "key": key,
            "path": str(path),
            "sample_rate": settings["sampling_rate"],
            "channels": settings["channel_size"],
            "level": settings["level"],
        }
        for path, key in keys.items()
        if key not in known
    ]
    with progress("Decoding", len(jobs)) as decoded:
        for found in decode_all(jobs, staging, workers):
            known[found["key"]] = Staged(
                found["part"], found["offset"], found.get("frames", 0), found.get("reason", "")
            )
            decoded()
    return {path: known[key] for path, key in keys.items()}


def _known(staging: Path) -> dict[str, Staged]:
    """What the intact records of all part files hold; one being written when power went is not."""
    known = {}
    for part in sorted(staging.glob("part-*")):
        data = map_shard(part)
        for record in index_shard(part)[0]:
            found = read_example(data[record.start : record.start + record.length].tobytes())
            reason = found.get("reason", b"").decode("utf-8", "replace")
            staged = Staged(part, record.offset, found.get("length", 0), reason)
            known[found["key"].decode()] = staged
    return known


def unstage(staged: Staged, channels: int) -> np.ndarray:
    """The samples of a decoded file: int16 `(time, channels)`.

    Raises:
        DataError: they were damaged since.
    """
    data = map_shard(staged.part)
    record, reason = check_record(data, staged.offset)
    if record is None:
        raise DataError(
            f"{staged.part}: at byte {staged.offset}: {reason}. Delete it, build again."
        )
    found = read_example(data[record.start : record.start + record.length].tobytes())
    return np.frombuffer(found["audio"], "<i2").reshape(-1, channels)
