"""Results that are expensive to make: the first process of a test session makes them for all."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from filelock import FileLock

PLACES = []  # the folder that all processes of the session share; `conftest` sets it


def once(name: str, make: Callable[[Path], Any]) -> tuple[Path, Any]:
    """Return a folder that `make` has filled in this session, and what it returned.

    Args:
        name: name of the folder.
        make: fills the folder, and returns what JSON can store. It is called in one process.
    """
    (place,) = PLACES
    folder, returned = place / name, place / f"{name}.json"
    with FileLock(place / f"{name}.lock"):
        if not returned.exists():
            shutil.rmtree(folder, ignore_errors=True)  # a process that failed left it
            folder.mkdir()
            returned.write_text(json.dumps(make(folder)))
    return folder, json.loads(returned.read_text())
