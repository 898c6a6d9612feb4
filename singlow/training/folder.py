"""The folder of a run: what in it is the run's own, and how it is moved aside."""

import re
import shutil
from pathlib import Path

from singlow.errors import UsageError
from singlow.whole import require_writable

_LEFTOVER = re.compile(r"\.tmp-(config\.json|(removed-)?epoch-\d{4,})")


def require_own(directory: Path, logs: Path) -> None:
    """Refuse a folder with files in it that is no run; one that is missing or empty may become one.

    Args:
        directory: of the run.
        logs: of the run, maybe inside it.

    Raises:
        UsageError: no trainer put there what is in it, or it is a file.
        EnvironmentFault: the system lets nothing be made there.
    """
    if directory.is_file():
        raise UsageError(f"{directory}: Expected a folder for the run. Received: a file.")
    require_writable(directory)
    require_writable(logs)
    if not directory.exists() or (directory / "config.json").is_file():
        return
    own = {".lock", *([logs.name] if logs.parent == directory else [])}
    names = sorted(path.name for path in directory.iterdir())
    other = next((n for n in names if n not in own and not _LEFTOVER.fullmatch(n)), None)
    if other is not None:
        raise UsageError(
            f"{directory}: holds other files ({other}) and is no run. Give another --run."
        )


def clean(directory: Path) -> None:
    """Remove what a killed trainer left half written, and nothing else."""
    for path in directory.iterdir():
        if _LEFTOVER.fullmatch(path.name):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink()


def set_aside(directory: Path, logs: Path) -> Path:
    """Move a run's folders to `NAME.old-1`, or the next free number; returns where it is now.

    Raises:
        UsageError: there is no run in it.
    """
    if not (directory / "config.json").is_file():
        raise UsageError(f"Expected a run in {directory}. Received: a folder without config.json.")
    number = 1
    while any(_old(path, number).exists() for path in (directory, logs)):
        number += 1
    if logs.exists() and not logs.is_relative_to(directory):
        logs.rename(_old(logs, number))
    directory.rename(_old(directory, number))
    return _old(directory, number)


def _old(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.old-{number}")
