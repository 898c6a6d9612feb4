"""Files that are written whole or not at all, and places where none can be."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from singlow.errors import EnvironmentFault, UsageError


@contextlib.contextmanager
def whole(path: Path) -> Iterator[BinaryIO]:
    """A file to write to that takes the place of `path` once it is on the disk.

    Until then, and when the block raises, what lay there stays. Its folder is made if need be.

    Raises:
        OSError: the system refuses; it names `path`, or the folder that cannot be made.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        if error.filename in (None, str(temporary)):
            error.filename = str(path)
        raise
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_whole(path: Path, text: str) -> None:
    """Write a text in UTF-8, whole or not at all; bytes of names that are none are escaped."""
    with whole(path) as file:
        file.write(text.encode("utf-8", "backslashreplace"))


def require_writable(folder: Path) -> None:
    """Refuse a folder that cannot be made or written, before long work; nothing stays in it.

    Args:
        folder: or what exists of the folders above it.

    Raises:
        UsageError: it would lie below a file.
        EnvironmentFault: the system lets nothing be made there.
    """
    place = folder.absolute()
    nearest = next(path for path in (place, *place.parents) if path.exists())
    if not nearest.is_dir():
        raise UsageError(f"{nearest}: Expected a folder. Received: a file. Choose another path.")
    try:
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        raise EnvironmentFault(
            f"{folder}: nothing can be written in {nearest} ({error.strerror}). Check its "
            "permissions or choose another path."
        ) from None
