"""Datasets: a folder of shards, its description `dataset_info.json`, and access to its clips.

A clip is a recording or a picture. A recording has samples, int16 `(time, channels)`, and a singer;
a picture has pixels, uint8 `(height, width, channels)`, and a class in the place of the singer. The
description of a dataset of pictures has the entry `image`, their height and width.
"""

import dataclasses
import hashlib
import json
import os
import re
import reprlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from singlow.audio import MAX_CHANNELS, MAX_RATE, MIN_RATE
from singlow.data.store.records import (
    FOOTER,
    HEADER,
    PREPARE,
    check_record,
    index_shard,
    map_shard,
    read_example,
    recover_advice,
)
from singlow.errors import DataError
from singlow.files import atomic_write
from singlow.text.times import Timed, read_times

INFO = "dataset_info.json"
FORMAT, VERSION = "singlow-dataset", 1
SPLITS = ("train", "validation")
CACHE = ".singlow"
SHARD = re.compile(r"(train|validation)\.tfrecord-[0-9]{5}-of-[0-9]{5}")
ASIDE = re.compile(rf"{SHARD.pattern}\.damaged(-[0-9]+)?")
LARGEST, MEMORY = 256 << 20, 1 << 30
MOST_PIXELS = 1 << 12  # largest height and width of the pictures of a dataset
_COUNTS = ("records", "bytes")
# Upper bounds of the memory that each mark in the JSON needs, in bytes.
_SIZES = ((b"{", 240), (b"[", 96), (b",", 40), (b'"', 30))


@dataclasses.dataclass(frozen=True)
class Entry:
    """The location of a clip in the shards of its split.

    Attributes:
        id: id of the clip, unique in the dataset.
        singer: index of the singer, or of the class of a picture, in the dataset.
        shard: index of the shard in the split's list of shards.
        start: offset of the record's payload in the shard, in bytes.
        length: length of the payload, in bytes.
        audio: offset of the samples or pixels in the shard, in bytes.
        frames: number of samples per channel, or of pixels.
    """

    id: str
    singer: int
    shard: int
    start: int
    length: int
    audio: int
    frames: int


def read_info(directory: str | os.PathLike) -> dict[str, Any]:
    """Read the description of a dataset and check every value in it.

    Raises:
        DataError: the file is missing, was not written by singlow, or holds an impossible value.
    """
    directory = Path(directory).expanduser()
    path = directory / INFO
    try:
        info = _read_json(path)
    except FileNotFoundError:
        raise DataError(
            f"Expected a folder with {INFO}. Received: {directory}. "
            f"Run: {PREPARE} SRC --out {directory}"
        ) from None
    except (ValueError, RecursionError, OSError) as error:
        raise DataError(f"{path}: cannot be read: {error}. Delete it and build again.") from None
    if not _is_ours(info):
        raise DataError(f"{path}: expected format {FORMAT}. Received: something else.")
    try:
        version = info.get("version")
        _expect(type(version) is int and version == VERSION, f"version {VERSION}", version)
        _check(info)
    except ValueError as error:
        raise DataError(
            f"{path}: {error} Build it again: {PREPARE} SRC --out {directory}"
        ) from None
    return info


def require_sound(directory: str | os.PathLike) -> dict[str, Any]:
    """Read the description of a dataset of recordings.

    Raises:
        DataError: it cannot be read, or the dataset holds pictures.
    """
    info = read_info(directory)
    if "image" in info:
        raise DataError(
            f"{directory}: Expected records of recordings. Received: records of pictures; a model "
            "of images reads them."
        )
    return info


def describes_ours(directory: str | os.PathLike) -> bool:
    """Return whether singlow wrote the `dataset_info.json` of a folder, even if it is invalid."""
    try:
        return _is_ours(_read_json(Path(directory) / INFO))
    except (ValueError, RecursionError, OSError):
        return False


def _is_ours(info: Any) -> bool:
    return isinstance(info, dict) and info.get("format") == FORMAT


def _read_json(path: Path) -> Any:
    if path.exists() and not path.is_file():
        raise ValueError("it is not a regular file")
    with open(path, "rb") as file:
        if os.fstat(file.fileno()).st_size > LARGEST:
            raise ValueError(f"it is larger than {LARGEST} bytes")
        text = file.read()
    if sum(size * text.count(mark) for mark, size in _SIZES) > MEMORY:
        raise ValueError(f"it needs more than {MEMORY >> 20} MB of memory")
    return json.loads(text.decode("utf-8"))


def _expect(fits: bool, wanted: str, received: Any) -> None:
    if not fits:
        raise ValueError(f"expected {wanted}. Received: {reprlib.repr(received)[:80]}.")


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _is_list(value: Any, kind: type) -> bool:
    return isinstance(value, list) and all(isinstance(item, kind) for item in value)


def _check(info: dict[str, Any]) -> None:
    """Check the values of a description.

    Raises:
        ValueError: a value cannot be used; the message says which value is expected."""
    ranges = {"channels": (1, MAX_CHANNELS)}
    if "image" in info:
        size = info["image"]
        fits = _is_list(size, int) and len(size) == 2 and all(1 <= n <= MOST_PIXELS for n in size)
        _expect(fits, f"image as height and width from 1 to {MOST_PIXELS}", size)
    else:
        ranges["sample_rate"] = (MIN_RATE, MAX_RATE)
    for key, (low, high) in ranges.items():
        value = info.get(key)
        _expect(_is_count(value) and low <= value <= high, f"{key} from {low} to {high}", value)
    kind = _labels(info)
    labels, splits, settings = (info.get(key) for key in (kind, "splits", "settings"))
    fits = isinstance(labels, dict) and all(map(_is_count, labels.values()))
    fits = fits and sorted(labels.values()) == list(range(len(labels)))
    _expect(fits and len(labels) > 0, f"{kind} with the ids 0, 1, ...", labels)
    for key in ("fingerprint", "layout"):
        _expect(isinstance(info.get(key), str), f"{key} as text", info.get(key))
    for key, kind in (("sources", str), ("rejected", dict), ("lost", str)):
        value = info.get(key, [] if key == "lost" else None)
        _expect(_is_list(value, kind), f"{key} as a list", value)
    copies = info.get("copies", [])
    fits = _is_list(copies, list) and all(_is_list(ids, str) for ids in copies)
    _expect(fits, "copies as lists of ids", copies)
    plain = isinstance(settings, dict) and all(
        value is None or isinstance(value, int | float) for value in settings.values()
    )
    _expect(plain, "settings as numbers", settings)
    fits = isinstance(splits, dict) and set(splits) == set(SPLITS)
    _expect(fits, f"the splits {' and '.join(SPLITS)}", splits)
    for name, part in splits.items():
        pixels = info["image"][0] * info["image"][1] if "image" in info else None
        _check_split(name, part, len(labels), frame_bytes(info), pixels)


def _check_split(name: str, part: Any, singers: int, width: int, pixels: int | None) -> None:
    _expect(isinstance(part, dict), f"{name} as a table", part)
    shards, ids, index = (part.get(key) for key in ("shards", "ids", "index"))
    _expect(_is_list(shards, dict) and bool(shards), f"a list of {name} shards", shards)
    for shard in shards:
        file = shard.get("name")
        fits = isinstance(file, str) and SHARD.fullmatch(file) and file.startswith(f"{name}.")
        _expect(bool(fits), f"a shard named as {name}.tfrecord-00000-of-00008", file)
        for key in _COUNTS:
            _expect(_is_count(shard.get(key)), f"{key} of {file} as a count", shard.get(key))
        digest = shard.get("sha256")
        fits = isinstance(digest, str) and re.fullmatch("[0-9a-f]{64}", digest)
        _expect(bool(fits), f"sha256 of {file} as 64 digits", digest)
    files = {shard["name"] for shard in shards}
    _expect(len(files) == len(shards), f"{name} shards of different names", sorted(files))
    fits = _is_list(ids, str) and len(set(ids)) == len(ids)
    _expect(fits, f"{name} ids, all different", ids)
    fits = _is_list(index, list) and len(index) == len(ids) == part.get("clips")
    _expect(fits, f"as many rows in the {name} index as ids and clips", index)
    for id, row in zip(ids, index, strict=True):
        fits = len(row) == 6 and all(map(_is_count, row))
        fits = fits and _lies_within(Entry(id, *row), shards, singers, width)
        _expect(fits, f"a row of the {name} index that lies within its shard", row)
        fits = pixels is None or row[5] == pixels
        _expect(fits, f"{pixels} pixels of every {name} picture", row)
    samples = sum(row[5] for row in index)
    _expect(part.get("samples") == samples, f"{samples} {name} samples", part.get("samples"))


def _lies_within(entry: Entry, shards: list[dict[str, Any]], singers: int, width: int) -> bool:
    """Return whether the samples lie within their record, and the record within its shard."""
    if entry.singer >= singers or entry.shard >= len(shards):
        return False
    stop = entry.start + entry.length
    return (
        HEADER <= entry.start <= entry.audio
        and entry.audio + width * entry.frames <= stop
        and stop + FOOTER <= shards[entry.shard]["bytes"]
    )


def write_info(directory: str | os.PathLike, info: dict[str, Any]) -> None:
    """Write the description of a dataset atomically.

    Raises:
        DataError: the description is too large for `read_info`.
    """
    path = Path(directory) / INFO
    text = (json.dumps(info, indent=1) + "\n").encode("utf-8")
    if len(text) > LARGEST:
        raise DataError(
            f"{path}: expected at most {LARGEST} bytes. Received: {len(text)}; build the "
            "recordings as several datasets."
        )
    with atomic_write(path) as file:
        file.write(text)


def entries(info: dict[str, Any], split: str) -> list[Entry]:
    """Return the entries of a split's clips, in order."""
    part = info["splits"][split]
    return [Entry(id, *row) for id, row in zip(part["ids"], part["index"], strict=True)]


def labels_of(info: Mapping[str, Any]) -> dict[str, int]:
    """Return the index of each singer of a dataset, or of each class of its pictures, by name."""
    return info[_labels(info)]


def _labels(info: Mapping[str, Any]) -> str:
    return "classes" if "image" in info else "singers"


def singer_names(info: Mapping[str, Any]) -> list[str]:
    """Return the names of a dataset's singers, or of its pictures' classes, by their index."""
    labels = labels_of(info)
    return sorted(labels, key=labels.get)


def frame_bytes(info: Mapping[str, Any]) -> int:
    """Return the number of bytes of a frame of all channels: 16-bit samples, or 8-bit pixels."""
    return info["channels"] * (1 if "image" in info else 2)


def clip_form(info: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is stored for every clip: `channels`, with `sample_rate`, or `height`, `width`.

    These are the arguments that `Audio`, or `Image`, takes.
    """
    if "image" in info:
        height, width = info["image"]
        return {"height": height, "width": width, "channels": info["channels"]}
    return {"sample_rate": info["sample_rate"], "channels": info["channels"]}


def content_hash(info: Mapping[str, Any]) -> str:
    """Return 16 hexadecimal digits that identify all records and their order, in any folder."""
    shards = [shard["sha256"] for part in info["splits"].values() for shard in part["shards"]]
    return hashlib.sha256("".join(shards).encode()).hexdigest()[:16]


def find_dataset(content: str, places: Iterable[str | os.PathLike]) -> Path | None:
    """Find a dataset by its content, for instance after its folder was moved.

    Args:
        content: the `content_hash` of the dataset.
        places: folders to search. Each may be the dataset, a folder of datasets, or a folder of
            recordings with datasets in its cache.

    Returns:
        The first folder of a dataset with this content, or None.
    """
    for place in places:
        place = Path(place).expanduser()
        for path in (place / INFO, *sorted(place.glob(f"*/{INFO}")), *_cached(place)):
            try:
                if path.is_file() and content_hash(read_info(path.parent)) == content:
                    return path.parent
            except DataError:
                continue
    return None


def _cached(place: Path) -> list[Path]:
    folder = place if place.is_dir() else place.parent
    return sorted((folder / CACHE).glob(f"*/{INFO}"))


class Clips:
    """The clips of a split that have at least `shortest` samples, read from its shards by offset.

    Every record is checked against its checksums when it is first used.

    Args:
        directory: folder of the dataset.
        info: content of its `dataset_info.json`.
        split: "train" or "validation".
        shortest: smallest number of samples of a clip; shorter clips are left out.

    Attributes:
        entries: the entry of each clip.
        channels: number of channels of every clip.

    Raises:
        DataError: no clip is long enough, or a shard is missing or has another size.
    """

    def __init__(
        self, directory: Path, info: Mapping[str, Any], split: str, shortest: int = 1
    ) -> None:
        self.directory = Path(directory)
        self.entries = [entry for entry in entries(info, split) if entry.frames >= shortest]
        if not self.entries:
            raise DataError(f"{directory}: holds no {split} clip of {shortest} samples or more.")
        self.channels: int = info["channels"]
        self._image: list[int] | None = info.get("image")
        self._frame_bytes = frame_bytes(info)
        shards = info["splits"][split]["shards"]
        self._paths = [self.directory / shard["name"] for shard in shards]
        self._shards = [self._open(shard) for shard in shards]
        self._intact = [False] * len(self.entries)

    def _open(self, shard: Mapping[str, Any]) -> np.ndarray:
        path, advice = self.directory / shard["name"], recover_advice(self.directory)
        try:
            data = map_shard(path)
        except OSError as error:
            reason = error.strerror or error
            raise DataError(f"{path}: cannot be read: {reason}. {advice}") from None
        if len(data) != shard["bytes"]:
            raise DataError(
                f"{path}: expected {shard['bytes']} bytes. Received: {len(data)}. {advice}"
            )
        return np.asarray(data)

    def samples(self, clip: int, start: int = 0, count: int | None = None) -> np.ndarray:
        """Return samples of a clip, int16 `(count, channels)`; by default all samples.

        For a picture, return its pixels, uint8 `(height, width, channels)`.

        Raises:
            DataError: the record is damaged. The message names the shard, the record and the byte.
        """
        entry = self.entries[clip]
        count = entry.frames if count is None else count
        begin = entry.audio + start * self._frame_bytes
        raw = self._shard(clip)[begin : begin + count * self._frame_bytes].tobytes()
        if self._image is not None:
            return np.frombuffer(raw, np.uint8).reshape(*self._image, self.channels)
        return np.frombuffer(raw, "<i2").reshape(count, self.channels)

    def features(self, clip: int) -> dict[str, bytes | int | float]:
        """Return the features of a clip's Example by name, such as `singer`, `style` and `text`.

        Raises:
            DataError: the record is damaged. The message names the shard, the record and the byte.
        """
        entry = self.entries[clip]
        return read_example(self._shard(clip)[entry.start : entry.start + entry.length].tobytes())

    def text(self, clip: int) -> str:
        """Return the text of a clip; "" if it has none.

        Raises:
            DataError: the record is damaged. The message names the shard, the record and the byte.
        """
        return self._written(clip, "text")

    def times(self, clip: int) -> tuple[Timed, ...]:
        """Return the symbols of a clip's text with their times; none if they are unknown.

        Raises:
            DataError: the record is damaged, or the times in it cannot be read.
        """
        return read_times(self._written(clip, "times"))

    def _written(self, clip: int, name: str) -> str:
        value = self.features(clip).get(name, b"")
        return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else ""

    def _shard(self, clip: int) -> np.ndarray:
        """Check the record of a clip at its first use, and return the bytes of its shard."""
        entry = self.entries[clip]
        shard = self._shards[entry.shard]
        if not self._intact[clip]:
            record, reason = check_record(shard, entry.start - HEADER)
            if record is None or record.length != entry.length:
                path, reason = self._paths[entry.shard], reason or "not the record described"
                place = next(map(str, index_shard(path)[1]), f"{path}: {reason}")
                raise DataError(f"{place} ({entry.id}). {recover_advice(self.directory)}")
            self._intact[clip] = True
        return shard
