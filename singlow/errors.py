"""Errors that a user can correct, the exit codes of the commands, and warnings."""

import errno
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from singlow.streams import one_line, prepare_streams, silence


class SinglowError(Exception):
    """An error that a user can correct. One line says what is wrong, where, and what to do next."""

    exit_code = 1


class UsageError(SinglowError):
    """A flag, name or setting that cannot be used (exit code 2)."""

    exit_code = 2


class DataError(SinglowError):
    """Recordings or records that cannot be used (exit code 3)."""

    exit_code = 3


class EnvironmentFault(SinglowError):
    """A fault of the machine: a read-only folder, a full disk, a missing package (exit code 4)."""

    exit_code = 4


class Interrupted(SinglowError):
    """The work stopped before its end; the same command continues it (exit code 5)."""

    exit_code = 5


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Put `path` before the message of every `DataError` that the block raises, if it lacks it.

    Raises:
        DataError: the error of the block, with `path` before its message.
    """
    try:
        yield
    except DataError as error:
        start = f"{path}: "
        raise DataError(start + str(error).removeprefix(start)) from error


def warn(message: str) -> None:
    """Print a warning to stderr, as one line in which control characters are escaped."""
    print(f"Warning: {one_line(message)}", file=sys.stderr)


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
    """Run the `main` of a command and exit with the code of its outcome, without a traceback.

    Exit codes: 0 done, 2 usage, 3 data, 4 environment, 5 interrupted and resumable. An error that
    the user cannot correct keeps its traceback. When the reader of the output has exited, as `head`
    does after its lines, the command ends silently with the exit code of an interruption.

    Args:
        main: function that does all the work.
        lasting: whether to continue, without output, when the reader of the output has exited.
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
    except SystemExit as error:
        return error.code
    except SinglowError as error:
        return _report(str(error), error.exit_code)
    except KeyboardInterrupt:
        return _report("Interrupted. Run the same command again to go on.", Interrupted.exit_code)
    except OSError as error:
        where = error.filename if error.filename is not None else "The output"
        if error.errno in _MISTAKEN:
            return _report(f"{where} {_MISTAKEN[error.errno]}.", UsageError.exit_code)
        if error.errno in _REFUSED:
            return _report(f"{where} {_REFUSED[error.errno]}.", EnvironmentFault.exit_code)
        raise
    return 0


def _report(message: str, code: int) -> int:
    print(one_line(message), file=sys.stderr)
    return code
