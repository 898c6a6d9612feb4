"""Being the only process that writes into a folder."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path


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
