"""The folder a dataset is built in: one builder at a time, and nothing built twice."""

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from singlow.data.store.dataset import ASIDE, INFO, SHARD, describes_ours, read_info
from singlow.data.store.example import read_example
from singlow.data.store.records import check_record, map_shard
from singlow.errors import DataError, EnvironmentFault, UsageError
from singlow.files import lock_folder, require_writable
from singlow.progress import Report

STAGING = ".building"
_FEATURES = {"audio", "id", "singer", "speaker"}


@contextlib.contextmanager
def own_folder(out: Path) -> Iterator[None]:
    """Make the folder `out` and hold it against other builders; if nothing was put in it, it goes.

    Raises:
        UsageError: it would lie below a file.
        EnvironmentFault: it cannot be made or written, or somebody else is building in it.
    """
    require_writable(out)
    made = [folder for folder in (out, *out.parents) if not folder.exists()]
    try:
        with lock_folder(out) as acquired:
            if not acquired:
                raise EnvironmentFault(
                    f"{out} is being built by another process. Wait for it, or choose another "
                    "folder."
                )
            yield
    except BrokenPipeError:  # the reader of the report has gone; the folder is usable
        raise
    except OSError as error:
        raise EnvironmentFault(unwritable(out, error)) from None
    finally:
        remove_empty(made)


def remove_empty(folders: Iterable[Path]) -> None:
    """Remove folders, one after the other, as far as nothing is in them."""
    for folder in folders:
        with contextlib.suppress(OSError):
            folder.rmdir()


def unwritable(out: Path, error: OSError) -> str:
    """What to tell a user about a folder that cannot be written."""
    return (
        f"{out} cannot be written: {error.strerror or error}. Mend that or choose another folder."
    )


def reusable(out: Path, mark: str, report: Report) -> dict[str, Any] | None:
    """The dataset in `out` if its fingerprint is `mark` and its shards are there, else None."""
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
    """The shards that an earlier build wrote into `out`, which another may replace.

    Raises:
        UsageError: `out` holds a `dataset_info.json` or TFRecords of somebody else.
    """
    known, found = _described(out), []
    for path in sorted(out.glob("*.tfrecord-*-of-*")):
        if path.name.startswith(".") or ASIDE.fullmatch(path.name):
            continue
        if path.name not in known and not _is_ours(path):
            raise _foreign(path)
        found.append(path)
    return found


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
    """Whether a file has a shard's name and nothing in it, or first a record such as ours."""
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
        f"{path.parent}: expected a folder without records of others. Received: {path.name}, "
        "which singlow did not write. Choose another folder, or move it away."
    )
