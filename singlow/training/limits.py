"""What may stand under `training` in a run's settings."""

from collections.abc import Mapping
from typing import Any

from singlow.errors import UsageError

DEFAULTS = {
    "window_size": None,
    "batch_size": None,
    "learning_rate": None,
    "warmup_steps": None,
    "decay_steps": None,
    "epochs": None,
    "steps_per_epoch": None,
    "temperature": 0.7,
    "seed": 0,
    "patience": 0,
}
_COUNT = 2**31 - 1
_RANGES = {
    "window_size": (1e-6, 600),  # seconds
    "batch_size": (1, 2**16),
    "learning_rate": (1e-12, 100),
    "warmup_steps": (1, _COUNT),
    "decay_steps": (1, _COUNT),
    "epochs": (1, _COUNT),
    "steps_per_epoch": (1, _COUNT),
    "temperature": (0, 100),
    "seed": (0, 2**32 - 1),
    "patience": (0, _COUNT),
}
_REAL = ("window_size", "learning_rate", "temperature")


def check_training(training: Mapping[str, Any]) -> None:
    """Hold training settings to their kinds and ranges; `decay_steps` may be `None`.

    Raises:
        UsageError: one is out of its range, or no number.
    """
    for key, value in training.items():
        if key not in _RANGES:
            raise UsageError(f"Expected settings in {', '.join(_RANGES)}. Received: {key[:80]}.")
        if key == "decay_steps" and value is None:
            continue
        least, most = _RANGES[key]
        kind = "a number" if key in _REAL else "a whole number"
        right = type(value) is int or (type(value) is float and key in _REAL)
        if not right or not least <= value <= most:
            raise UsageError(
                f"Expected {key} to be {kind} from {least:g} to {most:.10g}. "
                f"Received: {str(value)[:40]}."
            )


def require_training(training: Mapping[str, Any]) -> None:
    """Hold the training settings of a run to their kinds and ranges, and to being all there.

    Raises:
        UsageError: one is missing, unknown, out of its range, or no number.
    """
    missing = [key for key in DEFAULTS if key not in training]
    if missing:
        raise UsageError(f"Expected {', '.join(missing)} among the training settings.")
    check_training(training)
