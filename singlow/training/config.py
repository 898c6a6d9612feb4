"""The settings a run was started with, as its config.json holds them."""

import json
from pathlib import Path
from typing import Any

from singlow.errors import DataError

FORMAT = "singlow-run"
VERSION = 1
_LARGEST = 1 << 20


def read_config(path: Path) -> dict[str, Any]:
    """The settings in a config.json.

    Raises:
        DataError: it is missing, damaged or of another kind.
    """
    try:
        if path.stat().st_size > _LARGEST:
            raise DataError(f"{path}: larger than any run's settings.")
        config = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise DataError(f"{path}: missing; this is not a run.") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not readable as JSON ({error}).") from error
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        raise DataError(f"{path}: not the settings of a singlow run.")
    if config.get("version") != VERSION:
        raise DataError(
            f"{path}: Expected version {VERSION} of the run format. "
            f"Received: {str(config.get('version'))[:40]}; install the singlow that wrote it."
        )
    kinds = {"model": str, "preset": str, "arguments": dict, "data": dict, "training": dict}
    for key, kind in kinds.items():
        if not isinstance(config.get(key), kind):
            raise DataError(f"{path}: Expected {key} to be a {kind.__name__}. It is not.")
    return config
