"""The folder of a dataset: its settings, its fingerprint, and its lock against other builders."""

import contextlib
import hashlib
import json
import os
import shlex
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from singlow.audio import MAX_CHANNELS, MAX_RATE, MIN_RATE
from singlow.data.sources.clips import Clip
from singlow.data.sources.layouts import BUILTINS, LAYOUTS, part_source
from singlow.data.store.dataset import ASIDE, CACHE, INFO, SHARD, describes_ours, read_info
from singlow.data.store.records import PREPARE, check_record, map_shard, read_example
from singlow.errors import DataError, EnvironmentFault, UsageError
from singlow.files import lock_folder, require_writable
from singlow.progress import Report
from singlow.streams import escape

STAGING = ".building"
_EDITION = 2  # version of the rules that choose the held-out clips
_FEATURES = ({"audio", "id", "singer", "speaker"}, {"bitmap", "class", "id", "label"})


def printable(report: Report) -> Report:
    """Return a report that escapes the control characters of each line before it passes it on."""
    return lambda line: report(escape(line))


def check_settings(
    sample_rate: int, channels: int, seed: int, validation_share: float, loudness: float | None
) -> dict[str, Any]:
    """Check the settings of a build, and return them under their names in `dataset_info.json`.

    Raises:
        UsageError: a setting is out of its range.
    """
    for name, value, low, high in (
        ("sampling_rate", sample_rate, MIN_RATE, MAX_RATE),
        ("channel_size", channels, 1, MAX_CHANNELS),
        ("seed", seed, 0, 2**63 - 1),
        ("validation_share", validation_share, 0.001, 0.9),
        ("level", 0 if loudness is None else loudness, -60, 0),
    ):
        if not low <= value <= high:
            raise UsageError(f"Expected {name} from {low} to {high}. Received: {value}.")
    return {
        "sampling_rate": sample_rate,
        "channel_size": channels,
        "seed": seed,
        "validation_share": validation_share,
        "level": loudness,
    }


def hash_of(value: Any) -> str:
    """Return 16 hexadecimal digits that identify a value that JSON can store."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def stamp(path: Path) -> list[int]:
    """Return the size of a file in bytes and its modification time in ns; -1 if it is missing."""
    try:
        status = path.stat()
    except OSError:
        return [-1, -1]
    return [status.st_size, status.st_mtime_ns]


def fingerprint(clips: Sequence[Clip], settings: dict[str, Any], layout: str) -> str:
    """Return a hash that changes when a recording, one of its labels or a setting changes."""
    facts = [[c.id, c.singer, c.style, c.text, c.split, *stamp(c.path)] for c in clips]
    return hash_of([_EDITION, settings, layout, facts])


def rebuild_advice(info: dict[str, Any], directory: Path, sources: Sequence[str] = ("SRC",)) -> str:
    """Return a sentence with the command that rebuilds a dataset with the same settings.

    Args:
        info: content of its `dataset_info.json`.
        directory: folder of the dataset.
        sources: sources of its recordings; a placeholder by default.
    """
    if info["layout"] in BUILTINS:
        return f"Delete {directory}; training writes it again."
    words = [*PREPARE.split(), *sources, "--out", str(directory)]
    if info["layout"] in LAYOUTS:
        words += ["--layout", info["layout"]]
    for name in ("sampling_rate", "img_size", "channel_size", "seed", "level"):
        value = info["settings"].get(name)
        if value is not None:
            words += [f"--{name}", str(value)]
    return f"Build it again: {shlex.join(words)}"


def cache_folder(source: str) -> Path:
    """Return the folder of cached records beside a source, or "data" if it cannot be written."""
    folder = part_source(source)[1]
    beside = (folder if folder.is_dir() else folder.parent) / CACHE
    try:
        beside.mkdir(exist_ok=True)
        if os.access(beside, os.W_OK):
            return beside
    except OSError:
        pass
    return Path("data")


@contextlib.contextmanager
def own_folder(out: Path) -> Iterator[None]:
    """Create the folder `out` and lock it against other builders; remove it if it remains empty.

    Raises:
        UsageError: `out` or one of its parents is a file.
        EnvironmentFault: the folder cannot be created or written, or another process builds in it.
    """
    require_writable(out)
    created = [folder for folder in (out, *out.parents) if not folder.exists()]
    try:
        with lock_folder(out) as free:
            if not free:
                raise EnvironmentFault(
                    f"{out} is being built by another process. Wait for it, or choose another "
                    "folder."
                )
            yield
    except BrokenPipeError:  # the standard output is closed; the folder is intact
        raise
    except OSError as error:
        reason = error.strerror or error
        raise EnvironmentFault(
            f"{out} cannot be written: {reason}. Correct that or choose another folder."
        ) from None
    finally:
        remove_empty(created)


def remove_empty(folders: Iterable[Path]) -> None:
    """Remove those of the folders, in order, that are empty."""
    for folder in folders:
        with contextlib.suppress(OSError):
            folder.rmdir()


def reusable(out: Path, mark: str, report: Report) -> dict[str, Any] | None:
    """Return the description of the dataset in `out` if it can be reused, else None.

    Args:
        out: folder that may contain a dataset.
        mark: fingerprint that the dataset must have.
        report: receives a line if the dataset is reused.
    """
    if not (out / INFO).exists():
        return None
    try:
        info = read_info(out)
    except DataError:
        return None
    if info.get("fingerprint") != mark:
        return None
    for part in info["splits"].values():
        for shard in part["shards"]:
            path = out / shard["name"]
            if not path.is_file() or path.stat().st_size != shard["bytes"]:
                return None
    report(f"{out}: nothing changed, reused.")
    return info


def own_shards(out: Path) -> list[Path]:
    """Return the shards in `out` that an earlier build wrote and that may be replaced.

    Raises:
        UsageError: `out` holds a `dataset_info.json` or TFRecords that singlow did not write.
    """
    known, shards = _described(out), []
    for path in sorted(out.glob("*.tfrecord-*-of-*")):
        if path.name.startswith(".") or ASIDE.fullmatch(path.name):
            continue
        if path.name not in known and not _is_ours(path):
            raise _foreign(path)
        shards.append(path)
    return shards


def _described(out: Path) -> set[str]:
    path = out / INFO
    if not path.exists():
        return set()
    if not describes_ours(out):
        raise _foreign(path)
    try:
        splits = read_info(out)["splits"].values()
    except DataError:
        return set()
    return {shard["name"] for part in splits for shard in part["shards"]}


def _is_ours(path: Path) -> bool:
    """Return whether a file is a shard of singlow, by its name and its first record, if any."""
    if not SHARD.fullmatch(path.name) or not path.is_file():
        return False
    data = map_shard(path)
    if not len(data):
        return True
    record, _ = check_record(data, 0)
    if record is None:
        return False
    try:
        features = read_example(data[record.start : record.start + record.length].tobytes())
    except DataError:
        return False
    return any(features.keys() >= names for names in _FEATURES)


def _foreign(path: Path) -> UsageError:
    return UsageError(
        f"{path.parent}: Expected a folder without records of other programs. Received: "
        f"{path.name}, which singlow did not write. Choose another folder, or move the file away."
    )
