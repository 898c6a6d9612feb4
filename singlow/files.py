"""Write, set aside, remove, hash and lock files and folders."""

import contextlib
import errno
import hashlib
import io
import itertools
import os
import shutil
import stat
import tempfile
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from singlow.errors import EnvironmentFault, UsageError

if TYPE_CHECKING:
    import numpy as np

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # without the system's locks, filelock warns and uses markers
    from filelock import FileLock, Timeout, has_fcntl

LOCK = ".lock"
NPZ_ERRORS = (  # what zipfile and numpy raise for a damaged npz file
    ValueError,
    KeyError,
    EOFError,
    OSError,
    RuntimeError,
    MemoryError,
    zipfile.BadZipFile,
    zlib.error,
)
_NATIVE_LOCKS = has_fcntl or os.name == "nt"
_CANNOT_SYNC = (errno.EACCES, errno.EBADF, errno.EINVAL, errno.ENOTSUP)


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file that replaces `path` when the block ends without an exception.

    Until then, and if the block raises, an existing file stays as it is. The new file has the mode
    of the existing one. Missing parent folders are created. A device or a pipe is written directly.

    Raises:
        OSError: the system refuses the file; `filename` is `path` or the folder that is missing.
    """
    status = None
    with contextlib.suppress(FileNotFoundError):
        status = path.stat()
    if status is not None and not stat.S_ISREG(status.st_mode) and not path.is_dir():
        with path.open("wb") as file:
            yield file
        return
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".tmp-{path.name[:40]}-", dir=path.parent)
        with open(handle, "wb") as file:
            _copy_mode(temporary, status)
            yield file
            file.flush()
            sync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        if error.filename is None or str(error.filename).startswith(str(path.parent / ".tmp-")):
            error.filename = str(path)
        raise
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
    sync_folder(path.parent)


def _copy_mode(temporary: str, status: os.stat_result | None) -> None:
    """Copy owner and mode of the file to be replaced, or set the mode of a new file."""
    if status is None:
        umask = os.umask(0o077)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        return
    if hasattr(os, "chown"):
        with contextlib.suppress(OSError):
            os.chown(temporary, status.st_uid, status.st_gid)
    os.chmod(temporary, stat.S_IMODE(status.st_mode))


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8, whole or not at all; what UTF-8 cannot encode is escaped."""
    with atomic_write(path) as file:
        file.write(text.encode("utf-8", "backslashreplace"))


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """Read all arrays of an npz file; nothing in the file is executed.

    Raises:
        Exception: the file is damaged, or would expand to far more than its size; one of
            `NPZ_ERRORS`.
    """
    data = path.read_bytes()
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        infos = archive.infolist()
        if sum(info.file_size for info in infos) > max(1 << 26, 4 * len(data)):
            raise ValueError("it expands to far more than its size")
        if len({info.filename for info in infos}) != len(infos):
            raise ValueError("it holds two arrays of one name")
    with np.load(io.BytesIO(data), allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def sync(descriptor: int) -> None:
    """Wait until the content of an open file is on the disk."""
    os.fsync(descriptor)


def sync_folder(path: Path) -> None:
    """Wait until the names in a folder are on the disk, if the system supports it."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    try:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            sync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC:
            raise


def require_writable(folder: Path) -> None:
    """Refuse, before long work, a folder in which no file can be created; the test leaves no file.

    Args:
        folder: the folder; if it is missing, the nearest existing folder above it is tested.

    Raises:
        UsageError: a file stands where a folder is needed.
        EnvironmentFault: the system refuses to create a file there.
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


def set_aside(path: Path, *companions: Path) -> Path:
    """Rename a file or folder to `NAME.old-1`, or the next number that is free.

    Args:
        path: an existing file or folder.
        companions: other paths, existing or not, that get the same number.

    Returns:
        The new path.
    """

    def old(path: Path, number: int) -> Path:
        return path.with_name(f"{path.name}.old-{number}")

    together = (*companions, path)
    number = next(
        number
        for number in itertools.count(1)
        if not any(os.path.lexists(old(each, number)) for each in together)
    )
    for each in together:
        if os.path.lexists(each):
            each.rename(old(each, number))
    return old(path, number)


def keep_copy(path: Path, label: str) -> Path:
    """Give a file a second name `NAME.label`, or `NAME.label-2` and so on if that is taken.

    The second name is a hard link, or a copy where the file system has no links, so that the
    content outlives a replacement of `path`. A file that already has such a name keeps it.

    Returns:
        The second name.
    """
    for number in itertools.count(1):
        copy = path.with_name(f"{path.name}.{label}{f'-{number}' if number > 1 else ''}")
        if copy.exists() and copy.samefile(path):
            return copy
        if not os.path.lexists(copy):
            break
    try:
        os.link(path, copy, follow_symlinks=False)
    except (OSError, NotImplementedError):
        with path.open("rb") as source, atomic_write(copy) as target:
            shutil.copyfileobj(source, target)
    return copy


def remove(path: Path) -> None:
    """Remove a folder so that no incomplete folder ever has its name."""
    doomed = path.parent / f".tmp-removed-{path.name}"
    shutil.rmtree(doomed, ignore_errors=True)
    path.rename(doomed)
    shutil.rmtree(doomed, ignore_errors=True)


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's content in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def lock_folder(folder: Path) -> Iterator[bool]:
    """Lock a folder against other processes without waiting, and yield whether it was free.

    The lock is the file `.lock` in the folder, which is created if it is missing. The system
    releases the lock when the process ends for any reason.
    """
    lock, status = _acquire(folder)
    try:
        yield lock is not None
    finally:
        if lock is not None:
            with contextlib.suppress(OSError):
                # The folder may have been set aside, and another process may have locked a new one.
                if status is not None and os.path.samestat(status, os.stat(folder / LOCK)):
                    os.unlink(folder / LOCK)
            lock.release()


def _acquire(folder: Path) -> tuple[FileLock | None, os.stat_result | None]:
    """Return the lock and its file's status (None for a marker), or two None if it is taken."""
    path, opened = folder / LOCK, []
    settings = {"on_acquired": lambda fd: opened.append(os.fstat(fd))} if _NATIVE_LOCKS else {}
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path, blocking=False, **settings)
        try:
            lock.acquire()
        except Timeout:
            return None, None
        with contextlib.suppress(FileNotFoundError):
            if not _NATIVE_LOCKS:
                return lock, None
            if os.path.samestat(opened[-1], os.stat(path)):
                return lock, opened[-1]
        lock.release()  # the folder was set aside between opening and locking
