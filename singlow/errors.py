"""What can go wrong for a user, each with the exit code of its command."""

import errno
import sys
from collections.abc import Callable
from typing import NoReturn


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


_REFUSED = {
    errno.EROFS: "is on a read-only file system; choose another folder",
    errno.EACCES: "may not be opened or written; check its permissions or choose another folder",
    errno.EPERM: "may not be changed; check its permissions or choose another folder",
    errno.ENOSPC: "does not fit: the disk is full; free some space and run the same command again",
    errno.EDQUOT: "does not fit: the disk quota is used up; free some space and run again",
}


def run_command(main: Callable[[], None]) -> NoReturn:
    """Run a command's `main` and exit with the code its outcome has, without a traceback.

    Exit codes: 0 done, 2 usage, 3 data, 4 environment, 5 interrupted and resumable. A fault that is
    not the user's to mend keeps its traceback.
    """
    try:
        main()
    except SinglowError as error:
        _leave(str(error), error.exit_code)
    except KeyboardInterrupt:
        _leave("Interrupted. Run the same command again to go on.", Interrupted.exit_code)
    except OSError as error:
        if error.errno not in _REFUSED:
            raise
        where = error.filename if error.filename is not None else "The output"
        _leave(f"{where} {_REFUSED[error.errno]}.", EnvironmentFault.exit_code)
    sys.exit(0)


def _leave(message: str, code: int) -> NoReturn:
    print(" ".join(message.split()), file=sys.stderr)
    sys.exit(code)
