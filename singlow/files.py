"""Files that are written whole or not at all, and places where none can be."""

import contextlib
import fcntl
import hashlib
import os
import shutil
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


def write_text(path: Path, text: str) -> None:
    """Write a small file, whole or not at all."""
    temporary = path.parent / f".tmp-{path.name}"
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            sync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        if error.filename in (None, str(temporary)):
            error.filename = str(path)
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Wait until the names in a folder are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        sync(descriptor)
    finally:
        os.close(descriptor)


def remove(path: Path) -> None:
    """Remove a folder so that no half of it ever bears its name."""
    doomed = path.parent / f".tmp-removed-{path.name}"
    shutil.rmtree(doomed, ignore_errors=True)
    path.rename(doomed)
    shutil.rmtree(doomed, ignore_errors=True)


def sync(descriptor: int) -> None:
    """Wait until what was written is on the disk."""
    os.fsync(descriptor)


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def hold(directory: Path) -> Iterator[bool]:
    """Hold the lock of a folder, which is made if need be; yields whether it was free.

    The system lets go of it when the process ends, however it ends.
    """
    descriptor = _take(directory)
    try:
        yield descriptor is not None
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _take(directory: Path) -> int | None:
    while True:
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / ".lock"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(descriptor), os.stat(path)):
                    return descriptor
        except BlockingIOError:
            os.close(descriptor)
            return None
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # the folder was moved aside between the two calls
