"""`dataset_info.json`: what a folder of shards holds, and where each clip lies in them."""

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

from singlow.errors import DataError

INFO = "dataset_info.json"
FORMAT, VERSION = "singlow-dataset", 1
SPLITS = ("train", "validation")


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
    """Read a dataset's description.

    Raises:
        DataError: there is none, or it is none of ours.
    """
    path = Path(directory) / INFO
    try:
        info = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise DataError(
            f"Expected a folder with {INFO}. Received: {directory}. "
            f"Run: python3 data_loader.py SRC --out {directory}"
        ) from None
    except (ValueError, OSError) as error:
        raise DataError(f"{path}: cannot be read: {error}. Delete it and build again.") from None
    if not isinstance(info, dict) or info.get("format") != FORMAT:
        raise DataError(f"{path}: expected format {FORMAT}. Received: something else.")
    if info.get("version") != VERSION:
        raise DataError(
            f"{path}: expected version {VERSION}. Received: {info.get('version')}; build it again."
        )
    return info


def write_info(directory: str | os.PathLike, info: dict[str, Any]) -> None:
    """Write a dataset's description whole or not at all."""
    path = Path(directory) / INFO
    temporary = path.with_name(f".{INFO}.{os.getpid()}.partial")
    try:
        with open(temporary, "w", encoding="utf-8") as file:
            json.dump(info, file, indent=1)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def entries(info: dict[str, Any], split: str) -> list[Entry]:
    """The clips of a split, in order."""
    part = info["splits"][split]
    return [Entry(id, *row) for id, row in zip(part["ids"], part["index"], strict=True)]
