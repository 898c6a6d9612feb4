"""Run programs that are found in PATH: without a shell, with a time limit."""

import re
import shutil
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from singlow.errors import EnvironmentFault

SECONDS = 60.0
_INSTALL = {
    "espeak-ng": "apt-get install espeak-ng (or: brew install espeak-ng)",
    "flite": "apt-get install flite (or: brew install flite)",
}


def find_program(*names: str) -> str | None:
    """Return the first of these programs that PATH has, or None."""
    return next((name for name in names if shutil.which(name)), None)


def require_program(purpose: str, *names: str) -> str:
    """Return the first of these programs that PATH has.

    Args:
        purpose: what needs the program, for the message.
        names: names of programs, any of which serves.

    Raises:
        EnvironmentFault: PATH has none of them; the message says how to install the first.
    """
    name = find_program(*names)
    if name is None:
        raise EnvironmentFault(
            f"{purpose} needs the program {' or '.join(names)}, which PATH does not have. "
            f"Install it: {_INSTALL.get(names[0], names[0])}"
        )
    return name


def run_program(
    name: str,
    arguments: Sequence[str],
    text: str = "",
    *,
    folder: Path | None = None,
    seconds: float = SECONDS,
) -> str:
    """Run a program of PATH with a text as its standard input, and return its standard output.

    No shell is used, and the text is never an argument, so that the program cannot mistake it for
    an option.

    Args:
        name: name of the program.
        arguments: its options.
        text: the standard input.
        folder: working directory; that of this process when None.
        seconds: most seconds that the program may take.

    Raises:
        EnvironmentFault: the program is missing, fails or takes too long.
    """
    path = shutil.which(name)
    if path is None:
        require_program("This step", name)
    try:
        done = subprocess.run(
            [path, *arguments],
            input=text.encode("utf-8", "replace"),
            capture_output=True,
            timeout=seconds,
            cwd=folder,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise EnvironmentFault(
            f"{name} took more than {seconds:.0f} s for a text of {len(text)} characters. Divide "
            "the text, or run it again."
        ) from None
    except OSError as error:
        raise EnvironmentFault(f"{name} cannot be run: {error.strerror or error}.") from None
    if done.returncode:
        reason = " ".join(done.stderr.decode("utf-8", "replace").split())[:200]
        raise EnvironmentFault(
            f"{name} failed with exit code {done.returncode}: {reason or 'no message'}"
        )
    return done.stdout.decode("utf-8", "replace")


@cache
def version_of(name: str) -> str:
    """Return the number of a program's version, for instance "1.51"; "" if it does not say it.

    Raises:
        EnvironmentFault: the program is missing, fails or takes too long.
    """
    found = re.search(r"\d+(?:\.\d+)+", run_program(name, ["--version"], seconds=10))
    return found[0] if found else ""
