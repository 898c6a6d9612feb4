"""`dataset_info.json`: what a folder of shards holds, and where each clip lies in them."""

import dataclasses
import json
import os
import re
import reprlib
from pathlib import Path
from typing import Any

from singlow.audio.containers.decoder import MAX_CHANNELS, MAX_RATE, MIN_RATE
from singlow.data.store.records import FOOTER, HEADER
from singlow.errors import DataError
from singlow.files import atomic_write

INFO = "dataset_info.json"
FORMAT, VERSION = "singlow-dataset", 1
SPLITS = ("train", "validation")
SHARD = re.compile(r"(train|validation)\.tfrecord-[0-9]{5}-of-[0-9]{5}")
ASIDE = re.compile(rf"{SHARD.pattern}\.damaged(-[0-9]+)?")
LARGEST = 256 << 20
_COUNTS = ("records", "bytes")


@dataclasses.dataclass(frozen=True)
class Entry:
    """Where a clip lies.

    Attributes:
        id: of the clip.
        singer: its id among the dataset's singers.
        shard: position in the split's list of shards.
        start: first byte of the record's payload.
        length: bytes of the payload.
        audio: first byte of its samples, in the shard.
        frames: samples per channel.
    """

    id: str
    singer: int
    shard: int
    start: int
    length: int
    audio: int
    frames: int


def read_info(directory: str | os.PathLike) -> dict[str, Any]:
    """Read a dataset's description and hold it to its form, so that all that it names can be used.

    Raises:
        DataError: there is none, it is none of ours, or what it says cannot be.
    """
    path = Path(directory) / INFO
    try:
        info = _read_json(path)
    except FileNotFoundError:
        raise DataError(
            f"Expected a folder with {INFO}. Received: {directory}. "
            f"Run: python3 data_loader.py SRC --out {directory}"
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
            f"{path}: {error} Build it again: python3 data_loader.py SRC --out {directory}"
        ) from None
    return info


def describes_ours(directory: str | os.PathLike) -> bool:
    """Whether `dataset_info.json` is one of ours, be it whole or not."""
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
        text = file.read(LARGEST + 1)
    if len(text) > LARGEST:
        raise ValueError(f"it is larger than {LARGEST} bytes")
    return json.loads(text.decode("utf-8"))


def _expect(fits: bool, wanted: str, received: Any) -> None:
    if not fits:
        raise ValueError(f"expected {wanted}. Received: {reprlib.repr(received)[:80]}.")


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _is_list(value: Any, kind: type) -> bool:
    return isinstance(value, list) and all(isinstance(item, kind) for item in value)


def _check(info: dict[str, Any]) -> None:
    """Raise ValueError, with what was expected and received, unless the description can be used."""
    for key, low, high in (("sample_rate", MIN_RATE, MAX_RATE), ("channels", 1, MAX_CHANNELS)):
        value = info.get(key)
        _expect(_is_count(value) and low <= value <= high, f"{key} from {low} to {high}", value)
    singers, splits, settings = (info.get(key) for key in ("singers", "splits", "settings"))
    fits = isinstance(singers, dict) and all(map(_is_count, singers.values()))
    fits = fits and sorted(singers.values()) == list(range(len(singers)))
    _expect(fits and len(singers) > 0, "singers with the ids 0, 1, ...", singers)
    for key in ("fingerprint", "layout"):
        _expect(isinstance(info.get(key), str), f"{key} as text", info.get(key))
    for key, kind in (("sources", str), ("rejected", dict), ("lost", str)):
        value = info.get(key, [] if key == "lost" else None)
        _expect(_is_list(value, kind), f"{key} as a list", value)
    plain = isinstance(settings, dict) and all(
        value is None or isinstance(value, int | float) for value in settings.values()
    )
    _expect(plain, "settings as numbers", settings)
    fits = isinstance(splits, dict) and set(splits) == set(SPLITS)
    _expect(fits, f"the splits {' and '.join(SPLITS)}", splits)
    for name, part in splits.items():
        _check_split(name, part, len(singers), 2 * info["channels"])


def _check_split(name: str, part: Any, singers: int, width: int) -> None:
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
    samples = sum(row[5] for row in index)
    _expect(part.get("samples") == samples, f"{samples} {name} samples", part.get("samples"))


def _lies_within(entry: Entry, shards: list[dict[str, Any]], singers: int, width: int) -> bool:
    """The samples within their record, and that within its shard."""
    if entry.singer >= singers or entry.shard >= len(shards):
        return False
    stop = entry.start + entry.length
    return (
        HEADER <= entry.start <= entry.audio
        and entry.audio + width * entry.frames <= stop
        and stop + FOOTER <= shards[entry.shard]["bytes"]
    )


def write_info(directory: str | os.PathLike, info: dict[str, Any]) -> None:
    """Write a dataset's description whole or not at all.

    Raises:
        DataError: it is too large to be read again.
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
    """The clips of a split, in order."""
    part = info["splits"][split]
    return [Entry(id, *row) for id, row in zip(part["ids"], part["index"], strict=True)]
