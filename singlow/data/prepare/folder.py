"""The folder of a dataset: its settings, and a lock so that only one process builds in it."""

import contextlib
import hashlib
import json
import shlex
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from singlow.audio import MAX_CHANNELS, MAX_RATE, MIN_RATE
from singlow.data.sources.clips import Clip
from singlow.data.sources.layouts import LAYOUTS
from singlow.data.store.dataset import ASIDE, INFO, SHARD, describes_ours, read_info
from singlow.data.store.records import PREPARE, check_record, map_shard, read_example
from singlow.errors import DataError, EnvironmentFault, UsageError
from singlow.files import lock_folder, require_writable
from singlow.progress import Report
from singlow.streams import escape

STAGING = ".building"
_EDITION = 2  # of the rules that decide which clips are held out
_FEATURES = {"audio", "id", "singer", "speaker"}


def printable(report: Report) -> Report:
    """Return a report that escapes what a terminal would act upon, before it reports a line."""
    return lambda line: report(escape(line))


def check_settings(
    sample_rate: int, channels: int, seed: int, validation_share: float, loudness: float | None
) -> dict[str, Any]:
    """Return the settings by the names that `dataset_info.json` gives them.

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
    """Return sixteen hexadecimal digits that identify a JSON-able value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def stamp(path: Path) -> list[int]:
    """Return size and time of change of a file; -1 for both if it is missing."""
    try:
        status = path.stat()
    except OSError:
        return [-1, -1]
    return [status.st_size, status.st_mtime_ns]


def fingerprint(clips: Sequence[Clip], settings: dict[str, Any], layout: str) -> str:
    """Return a hash that changes when a file, one of its labels, or a setting does."""
    facts = [[c.id, c.singer, c.style, c.text, c.split, *stamp(c.path)] for c in clips]
    return hash_of([_EDITION, settings, layout, facts])


def rebuild_advice(info: dict[str, Any], directory: Path, sources: Sequence[str] = ("SRC",)) -> str:
    """Return a sentence with the command that builds a dataset again as it was.

    Args:
        info: content of its `dataset_info.json`.
        directory: folder of the dataset.
        sources: its recordings, where they are known.
    """
    if info["layout"] == "builtin":
        return f"Delete {directory}; training writes it again."
    words = [*PREPARE.split(), *sources, "--out", str(directory)]
    if info["layout"] in LAYOUTS:
        words += ["--layout", info["layout"]]
    for name in ("sampling_rate", "channel_size", "seed", "level"):
        value = info["settings"].get(name)
        if value is not None:
            words += [f"--{name}", str(value)]
    return f"Build it again: {shlex.join(words)}"


@contextlib.contextmanager
def own_folder(out: Path) -> Iterator[None]:
    """Create the folder `out` and lock it against other builders; remove it if it stays empty.

    Raises:
        UsageError: a file stands where a folder is needed.
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
    except BrokenPipeError:  # the reader of the report has gone; the folder is intact
        raise
    except OSError as error:
        reason = error.strerror or error
        raise EnvironmentFault(
            f"{out} cannot be written: {reason}. Correct that or choose another folder."
        ) from None
    finally:
        remove_empty(created)


def remove_empty(folders: Iterable[Path]) -> None:
    """Remove folders, one after the other, as long as they are empty."""
    for folder in folders:
        with contextlib.suppress(OSError):
            folder.rmdir()


def reusable(out: Path, mark: str, report: Report) -> dict[str, Any] | None:
    """Return the description of the dataset in `out` if it can be used as it is, else None.

    Args:
        out: where a dataset may lie.
        mark: the fingerprint that it must have.
        report: receives a line if it can be used.
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
    """Return the shards that an earlier build wrote into `out`, which may be replaced.

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
    """Whether a file has a shard's name and is empty or begins with a record as singlow writes."""
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
    return features.keys() >= _FEATURES


def _foreign(path: Path) -> UsageError:
    return UsageError(
        f"{path.parent}: Expected a folder without records of other programs. Received: "
        f"{path.name}, which singlow did not write. Choose another folder, or move the file away."
    )
