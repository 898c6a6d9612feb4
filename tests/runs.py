"""Runs without a model: settings, and checkpoints of a few numbers."""

from pathlib import Path

import numpy as np

from singlow.models.presets import preset
from singlow.training.checkpoint import Checkpoint
from singlow.training.config import FORMAT, VERSION
from singlow.training.limits import DEFAULTS
from singlow.training.run import Run, locate

CONFIG = {
    "format": FORMAT,
    "version": VERSION,
    "model": "singlow",
    "preset": "singlow_tiny",
    "arguments": {},
    "data": {"dataset": "builtin"},
    "training": {**DEFAULTS, **preset("singlow_tiny").training},
}


def run_in(folder: Path) -> Run:
    """The run `t` below a folder; nothing is written."""
    return locate("t", folder / "checkpoints", folder / "logs")


def save(run: Run, epoch: int, bits: float = 1.0, size: int = 10) -> Checkpoint:
    """Write a checkpoint whose weights are its epoch."""
    model = {"weight": np.full(size, epoch, np.float32)}
    state = {"moment": np.arange(size), "scalar": np.array(3, np.int32)}
    return run.save(epoch, model, state, {"held_out_bits": bits, "history": [bits] * epoch})
