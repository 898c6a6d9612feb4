"""What decides a dataset's bytes: its settings and its files."""

import hashlib
import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from singlow.audio.containers.decoder import MAX_CHANNELS, MAX_RATE, MIN_RATE
from singlow.data.sources.clip import Clip
from singlow.data.sources.layouts import LAYOUTS
from singlow.errors import UsageError


def check_settings(
    sample_rate: int, channels: int, seed: int, validation_share: float, level: float | None
) -> dict[str, Any]:
    """The settings by name.

    Raises:
        UsageError: one is out of its range.
    """
    for name, value, low, high in (
        ("sampling_rate", sample_rate, MIN_RATE, MAX_RATE),
        ("channel_size", channels, 1, MAX_CHANNELS),
        ("seed", seed, 0, 2**63 - 1),
        ("validation_share", validation_share, 0.001, 0.9),
        ("level", 0 if level is None else level, -60, 0),
    ):
        if not low <= value <= high:
            raise UsageError(f"Expected {name} from {low} to {high}. Received: {value}.")
    return {
        "sampling_rate": sample_rate,
        "channel_size": channels,
        "seed": seed,
        "validation_share": validation_share,
        "level": level,
    }


def hash_of(value: Any) -> str:
    """Sixteen hexadecimal digits that stand for a JSON-able value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def stamp(path: Path) -> list[int]:
    """Size and time of change of a file; -1 where there is none."""
    try:
        status = path.stat()
    except OSError:
        return [-1, -1]
    return [status.st_size, status.st_mtime_ns]


def fingerprint(clips: Sequence[Clip], settings: dict[str, Any], layout: str) -> str:
    """What changes when a file, what is known of it, or a setting does."""
    told = [[c.id, c.singer, c.style, c.text, c.split, *stamp(c.path)] for c in clips]
    return hash_of([settings, layout, told])


def rebuild_advice(info: dict[str, Any], directory: Path, sources: Sequence[str] = ("SRC",)) -> str:
    """A sentence with the command that builds a dataset again as it was.

    Args:
        info: what its `dataset_info.json` holds.
        directory: of the dataset.
        sources: its recordings, where they are known.
    """
    if info["layout"] == "builtin":
        return f"Delete {directory}; train.py writes it again."
    words = ["python3", "data_loader.py", *sources, "--out", str(directory)]
    if info["layout"] in LAYOUTS:
        words += ["--layout", info["layout"]]
    for name in ("sampling_rate", "channel_size", "seed", "level"):
        value = info["settings"].get(name)
        if value is not None:
            words += [f"--{name}", str(value)]
    return f"Build it again: {shlex.join(words)}"
