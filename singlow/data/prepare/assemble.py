"""Shards and their description, written from decoded clips."""

import dataclasses
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from singlow.data.prepare.folder import own_shards
from singlow.data.sources.clips import Clip
from singlow.data.sources.splits import split
from singlow.data.store.dataset import FORMAT, INFO, VERSION, write_info
from singlow.data.store.records import HEADER, write_example, write_shard
from singlow.errors import DataError
from singlow.files import sha256

SHARDS, SHARD_BYTES = 8, 256 << 20
Reader = Callable[[Clip], np.ndarray]


def shard_name(split: str, number: int, count: int) -> str:
    """Return the name of a shard, as "train.tfrecord-00000-of-00008"."""
    return f"{split}.tfrecord-{number:05d}-of-{count:05d}"


def write_dataset(
    out: Path,
    scratch: Path,
    clips: Sequence[Clip],
    frames: Sequence[int],
    read: Reader,
    settings: dict[str, Any],
    about: dict[str, Any],
    advance: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Split clips, write the shards and, last of all, `dataset_info.json`.

    Args:
        out: folder of the dataset. Shards of an earlier build in it are replaced, nothing else.
        scratch: a folder on the same file system.
        clips: the accepted clips, in order.
        frames: samples of each clip at the dataset's rate.
        read: returns the whole file of a clip, int16 `(time, channels)`.
        settings: `sampling_rate`, `channel_size`, `seed`, `validation_share` and others to keep.
        about: `layout`, `sources`, `fingerprint`, `rejected`.
        advance: called after every record.

    Returns:
        The content of `dataset_info.json`.

    Raises:
        DataError: there is nothing to train on, or nothing to hold out.
        UsageError: `out` holds records that singlow did not write.
    """
    rate = settings["sampling_rate"]
    clips = [
        dataclasses.replace(clip, stop=length) for clip, length in zip(clips, frames, strict=True)
    ]
    parts = split(clips, frames, rate, settings["validation_share"], settings["seed"])
    if not all(parts):
        raise DataError(
            f"Expected audio to train on and to hold out. Received: {len(clips)} clip(s) of "
            f"{sum(frames) / rate:.2f} s in all. Add more recordings."
        )
    singers = {name: id for id, name in enumerate(sorted({clip.singer for clip in clips}))}
    fresh = scratch / "shards"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir()
    splits = {}
    for name, part in zip(("train", "validation"), parts, strict=True):
        splits[name] = _write_split(fresh, name, part, read, settings, singers, advance)
    copies = _copies(clips)
    info = {
        "format": FORMAT,
        "version": VERSION,
        "sample_rate": rate,
        "channels": settings["channel_size"],
        "singers": singers,
        **about,
        **({"copies": copies} if copies else {}),
        "settings": settings,
        "splits": splits,
    }
    for path in own_shards(out):
        path.unlink()
    (out / INFO).unlink(missing_ok=True)
    for path in sorted(fresh.iterdir()):
        os.replace(path, out / path.name)
    write_info(out, info)
    return info


def _copies(clips: Sequence[Clip]) -> list[list[str]]:
    """Return the ids of recordings with the same samples, one list for each such recording."""
    groups: dict[str, list[str]] = {}
    for clip in clips:
        if clip.content:
            groups.setdefault(clip.content, []).append(clip.id)
    return [ids for ids in groups.values() if len(ids) > 1]


def _write_split(
    folder: Path,
    name: str,
    clips: list[Clip],
    read: Reader,
    settings: dict[str, Any],
    singers: dict[str, int],
    advance: Callable[[], None],
) -> dict[str, Any]:
    size = sum(clip.stop - clip.start for clip in clips) * 2 * settings["channel_size"]
    count = min(len(clips), max(SHARDS, -(-size // SHARD_BYTES)))
    rows: list[list[int]] = [[] for _ in clips]
    shards = []

    def payloads(number: int) -> Iterator[bytes]:
        for index in range(number, len(clips), count):
            clip = clips[index]
            payload, begin = _write_clip(clip, read(clip), settings, singers[clip.singer])
            frames = clip.stop - clip.start
            rows[index] = [singers[clip.singer], number, 0, len(payload), begin, frames]
            yield payload
            advance()

    for number in range(count):
        path = folder / shard_name(name, number, count)
        offsets = write_shard(path, payloads(number))
        for row, offset in zip(rows[number::count], offsets, strict=True):
            row[2] = offset + HEADER
            row[4] += row[2]
        shards.append(describe_shard(path, len(offsets)))
    return {
        "shards": shards,
        "clips": len(clips),
        "samples": sum(row[5] for row in rows),
        "ids": [clip.id for clip in clips],
        "index": rows,
    }


def describe_shard(path: Path, records: int) -> dict[str, Any]:
    """Return the entry of a shard in `dataset_info.json`."""
    return {
        "name": path.name,
        "records": records,
        "bytes": path.stat().st_size,
        "sha256": sha256(path),
    }


def _write_clip(
    clip: Clip, audio: np.ndarray, settings: dict[str, Any], speaker: int
) -> tuple[bytes, int]:
    """Return a clip's Example, and the byte at which its samples begin."""
    samples = audio[clip.start : clip.stop].astype("<i2", copy=False).tobytes()
    payload = write_example(
        {
            "audio": samples,
            "length": clip.stop - clip.start,
            "channels": settings["channel_size"],
            "sample_rate": settings["sampling_rate"],
            "singer": clip.singer,
            "speaker": speaker,
            "style": clip.style,
            "text": clip.text,
            "id": clip.id,
            "path": clip.path.name,
        }
    )
    # Features are sorted, so "audio" is the first and its value follows within a dozen bytes.
    return payload, payload.index(samples, payload.index(b"audio") + len(b"audio"))


def summary(info: dict[str, Any]) -> str:
    """Return a line about what a dataset holds."""
    rate, train, held = info["sample_rate"], *(info["splits"][s] for s in ("train", "validation"))
    minutes = [part["samples"] / rate / 60 for part in (train, held)]
    return (
        f"{len(info['singers'])} singer(s), {train['clips']} clips to train on "
        f"({minutes[0]:.1f} min), {held['clips']} held out ({minutes[1]:.1f} min), {rate} Hz, "
        f"{info['channels']} channel(s)"
    )
