"""The folder a dataset is built in: one builder at a time, and nothing built twice."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from singlow.data.dataset import INFO, read_info
from singlow.data.progress import Report
from singlow.errors import DataError, EnvironmentFault

STAGING = ".building"


@contextlib.contextmanager
def own_folder(out: Path) -> Iterator[None]:
    """Make the folder `out` and hold it against other builders.

    Raises:
        EnvironmentFault: it cannot be made or written, or somebody else is building in it.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        handle = os.open(out, os.O_RDONLY)
    except OSError as error:
        raise EnvironmentFault(unwritable(out, error)) from None
    try:
        _lock(handle, out)
        yield
    except BrokenPipeError:  # nobody reads the report; the folder is well
        raise
    except OSError as error:
        raise EnvironmentFault(unwritable(out, error)) from None
    finally:
        os.close(handle)


def unwritable(out: Path, error: OSError) -> str:
    """What to tell a user about a folder that cannot be written."""
    return (
        f"{out} cannot be written: {error.strerror or error}. Mend that or choose another folder."
    )


def _lock(handle: int, out: Path) -> None:
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise EnvironmentFault(
            f"{out} is being built by another process. Wait for it, or choose another folder."
        ) from None


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
