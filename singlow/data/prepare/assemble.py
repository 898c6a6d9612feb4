"""Write decoded clips or pictures as the shards of a dataset, with their description."""

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
    """Return the name of a shard, for instance "train.tfrecord-00000-of-00008"."""
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
    """Split clips into training and held-out clips, write the shards, and then the description.

    Args:
        out: folder of the dataset. Only shards of an earlier build are replaced in it.
        scratch: a temporary folder on the same file system.
        clips: the accepted clips, in order.
        frames: number of samples of each clip, per channel, at the dataset's rate, or of pixels.
        read: returns the samples of a clip's whole file, int16 `(time, channels)`, or the pixels
            of a picture, uint8 `(height, width, channels)`.
        settings: settings of the build. `sampling_rate` or, for pictures, `img_size`, and
            `channel_size`, `seed` and `validation_share` are used; all are stored in the
            description.
        about: further entries of the description: `layout`, `sources`, `fingerprint`, `rejected`.
        advance: called after every record.

    Returns:
        The content of `dataset_info.json`.

    Raises:
        DataError: the training clips or the held-out clips are empty.
        UsageError: `out` holds records that singlow did not write.
    """
    rate = settings.get("sampling_rate")
    clips = [
        dataclasses.replace(clip, stop=length) for clip, length in zip(clips, frames, strict=True)
    ]
    parts = split(clips, frames, rate, settings["validation_share"], settings["seed"])
    if not all(parts):
        kind = "pictures" if rate is None else "audio"
        amount = "picture(s)" if rate is None else f"clip(s) of {sum(frames) / rate:.2f} s in all"
        raise DataError(
            f"Expected {kind} to train on and to hold out. Received: {len(clips)} {amount}. "
            f"Add more {'pictures' if rate is None else 'recordings'}."
        )
    labels = {name: id for id, name in enumerate(sorted({clip.singer for clip in clips}))}
    fresh = scratch / "shards"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir()
    splits = {}
    for name, part in zip(("train", "validation"), parts, strict=True):
        splits[name] = _write_split(fresh, name, part, read, settings, labels, advance)
    copies = _copies(clips)
    info = {
        "format": FORMAT,
        "version": VERSION,
        **({"image": [settings["img_size"]] * 2} if rate is None else {"sample_rate": rate}),
        "channels": settings["channel_size"],
        "classes" if rate is None else "singers": labels,
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
    """Return the ids of recordings with identical samples, one list for each group of copies."""
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
    labels: dict[str, int],
    advance: Callable[[], None],
) -> dict[str, Any]:
    width = 1 if "img_size" in settings else 2
    size = sum(clip.stop - clip.start for clip in clips) * width * settings["channel_size"]
    count = min(len(clips), max(SHARDS, -(-size // SHARD_BYTES)))
    rows: list[list[int]] = [[] for _ in clips]
    shards = []

    def payloads(number: int) -> Iterator[bytes]:
        for index in range(number, len(clips), count):
            clip = clips[index]
            write = _write_picture if "img_size" in settings else _write_clip
            payload, begin = write(clip, read(clip), settings, labels[clip.singer])
            frames = clip.stop - clip.start
            rows[index] = [labels[clip.singer], number, 0, len(payload), begin, frames]
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
    """Return the serialized Example of a clip, and the offset of its samples in it, in bytes."""
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
            **({"times": clip.times} if clip.times else {}),
            "id": clip.id,
            "path": clip.path.name,
        }
    )
    return payload, _place(payload, b"audio", samples)


def _write_picture(
    clip: Clip, pixels: np.ndarray, settings: dict[str, Any], label: int
) -> tuple[bytes, int]:
    """Return the serialized Example of a picture, and the offset of its pixels in it, in bytes."""
    content = pixels.astype(np.uint8, copy=False).tobytes()
    payload = write_example(
        {
            "bitmap": content,
            "channels": settings["channel_size"],
            "class": clip.singer,
            "height": settings["img_size"],
            "id": clip.id,
            "label": label,
            "path": clip.path.name,
            "width": settings["img_size"],
        }
    )
    return payload, _place(payload, b"bitmap", content)


def _place(payload: bytes, name: bytes, content: bytes) -> int:
    """Return the offset of the first feature's value, which follows its name.

    Features are sorted by name, and `audio` and `bitmap` are the first of theirs.
    """
    return payload.index(content, payload.index(name) + len(name))


def summary(info: dict[str, Any]) -> str:
    """Return a line with the singers, clips, durations, rate and channels of a dataset."""
    train, held = (info["splits"][s] for s in ("train", "validation"))
    if "image" in info:
        height, width = info["image"]
        return (
            f"{len(info['classes'])} class(es), {train['clips']} pictures to train on, "
            f"{held['clips']} held out, {width} x {height} pixels, {info['channels']} channel(s)"
        )
    rate = info["sample_rate"]
    minutes = [part["samples"] / rate / 60 for part in (train, held)]
    return (
        f"{len(info['singers'])} singer(s), {train['clips']} clips to train on "
        f"({minutes[0]:.1f} min), {held['clips']} held out ({minutes[1]:.1f} min), {rate} Hz, "
        f"{info['channels']} channel(s)"
    )
