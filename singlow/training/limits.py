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
    "plateau": 0,
    "restarts": 2,
    "augment": False,
    "balanced": False,
    "min_rms": 0.0,
}
LATER = ("plateau", "restarts", "augment", "balanced", "min_rms")  # older runs are without them
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
    "plateau": (0, _COUNT),
    "restarts": (0, _COUNT),
    "augment": (False, True),
    "balanced": (False, True),
    "min_rms": (0, 1),
}
_REAL = ("window_size", "learning_rate", "temperature", "min_rms")


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
        if type(least) is bool:
            if type(value) is not bool:
                raise UsageError(
                    f"Expected {key} to be true or false. Received: {str(value)[:40]}."
                )
            continue
        kind = "a number" if key in _REAL else "a whole number"
        right = type(value) is int or (type(value) is float and key in _REAL)
        if not right or not least <= value <= most:
            raise UsageError(
                f"Expected {key} to be {kind} from {least:g} to {most:.10g}. "
                f"Received: {str(value)[:40]}."
            )


def require_training(training: Mapping[str, Any]) -> None:
    """Hold the training settings of a run to their kinds and ranges, and to being all there.

    Those that a run of an earlier version could not have are not missed.

    Raises:
        UsageError: one is missing, unknown, out of its range, or no number.
    """
    missing = [key for key in DEFAULTS if key not in training and key not in LATER]
    if missing:
        raise UsageError(f"Expected {', '.join(missing)} among the training settings.")
    check_training(training)
