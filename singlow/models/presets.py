"""Presets: named arguments of a model with tested training settings."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Preset:
    """Keyword arguments of a model and settings to train it with.

    Attributes:
        description: one sentence.
        arguments: keyword arguments of the model's constructor.
        training: `window_size` (seconds), `batch_size`, `learning_rate`, `warmup_steps`,
            `epochs`, `steps_per_epoch`, and others where they differ from `DEFAULTS` of
            `singlow.runs.settings`.
        dataset: what the model is trained on if the user gives nothing else.
        model: name of the model, which the registry fills in.
    """

    description: str
    arguments: Mapping[str, Any]
    training: Mapping[str, Any]
    dataset: str = "builtin"
    model: str = ""
