"""What can go wrong for a user, each with the exit code of its command."""

import errno
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from singlow.streams import prepare_streams, silence


class SinglowError(Exception):
    """A fault that a user can mend; its message is one line: what, where, what to do next."""

    exit_code = 1


class UsageError(SinglowError):
    """A flag, name or setting that cannot be used as given (exit code 2)."""

    exit_code = 2


class DataError(SinglowError):
    """Recordings or records that cannot be used (exit code 3)."""

    exit_code = 3


class EnvironmentFault(SinglowError):
    """The machine refuses: a read-only folder, a full disk, a missing package (exit code 4)."""

    exit_code = 4


class Interrupted(SinglowError):
    """Stopped before the end; the same command goes on from there (exit code 5)."""

    exit_code = 5


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Puts a file before what is wrong with it, where the fault is found without its name.

    Raises:
        DataError: as inside, with `path` before the message.
    """
    try:
        yield
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


_REFUSED = {
    errno.EROFS: "is on a read-only file system; choose another folder",
    errno.EACCES: "may not be opened or written; check its permissions or choose another folder",
    errno.EPERM: "may not be changed; check its permissions or choose another folder",
    errno.ENOSPC: "does not fit: the disk is full; free some space and run the same command again",
    errno.EFBIG: "does not fit: larger files are not allowed there; choose another folder",
    errno.EIO: "cannot be read or written: the disk or its connection fails; choose another folder",
    errno.EDQUOT: "does not fit: the disk quota is used up; free some space and run again",
}
_MISTAKEN = {
    errno.EEXIST: "exists and is no folder; choose another path",
    errno.ENOTDIR: "lies below a file, not in a folder; choose another path",
    errno.EISDIR: "is a folder where a file is expected; choose another path",
    errno.ENAMETOOLONG: "has too long a name; choose a shorter one",
    errno.ELOOP: "is a link that leads back to itself; choose another path",
}


def run_command(main: Callable[[], None], lasting: bool = False) -> NoReturn:
    """Run a command's `main` and exit with the code its outcome has, without a traceback.

    Exit codes: 0 done, 2 usage, 3 data, 4 environment, 5 interrupted and resumable. A fault that is
    not the user's to mend keeps its traceback. When nobody reads what is printed any more, as
    `head` does, the command ends, silently and as interrupted.

    Args:
        main: does everything.
        lasting: go on, in silence, when nobody reads what is printed any more.
    """
    prepare_streams(lasting)
    try:
        code = _outcome(main)
        sys.stdout.flush()
        sys.stderr.flush()
    except BrokenPipeError:
        silence(sys.stdout)
        silence(sys.stderr)
        code = Interrupted.exit_code
    sys.exit(code)


def _outcome(main: Callable[[], None]) -> Any:
    try:
        main()
    except SystemExit as left:
        return left.code
    except SinglowError as error:
        return _told(str(error), error.exit_code)
    except KeyboardInterrupt:
        return _told("Interrupted. Run the same command again to go on.", Interrupted.exit_code)
    except OSError as error:
        where = error.filename if error.filename is not None else "The output"
        if error.errno in _MISTAKEN:
            return _told(f"{where} {_MISTAKEN[error.errno]}.", UsageError.exit_code)
        if error.errno in _REFUSED:
            return _told(f"{where} {_REFUSED[error.errno]}.", EnvironmentFault.exit_code)
        raise
    return 0


def _told(message: str, code: int) -> int:
    print(" ".join(message.split()), file=sys.stderr)
    return code
