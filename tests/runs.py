"""Small runs for tests: settings with checkpoints of a few numbers, and an untrained Blow."""

from pathlib import Path

import numpy as np

from singlow.runs.checkpoint import Checkpoint
from singlow.runs.run import Run, locate
from singlow.runs.settings import DEFAULTS, FORMAT, VERSION

TINY = {
    "window_size": 0.128,
    "batch_size": 4,
    "learning_rate": 0.001,
    "warmup_steps": 10,
    "epochs": 2,
    "steps_per_epoch": 20,
}
CONFIG = {
    "format": FORMAT,
    "version": VERSION,
    "model": "singlow",
    "preset": "singlow_tiny",
    "arguments": {},
    "data": {"dataset": "builtin", "layout": "auto"},
    "training": {**DEFAULTS, **TINY},
}


def run_in(folder: Path) -> Run:
    """Return the run `t` in a folder without writing anything."""
    return locate("t", folder / "checkpoints", folder / "logs")


def save(run: Run, epoch: int, bits: float = 1.0, size: int = 10) -> Checkpoint:
    """Write a checkpoint whose weights equal the number of the epoch."""
    model = {"weight": np.full(size, epoch, np.float32)}
    state = {"moment": np.arange(size), "scalar": np.array(3, np.int32)}
    return run.save(epoch, model, state, {"held_out": bits, "history": [bits] * epoch})


VOICES = ("ada", "bo", "cy")
BLOW = {
    **CONFIG,
    "model": "blow",
    "preset": "blow_tiny",
    "arguments": {
        "speakers": len(VOICES),
        "k_glow": 2,
        "l_glow": 1,
        "squeeze": 8,
        "width": 16,
        "embedding_size": 4,
        "sample_rate": 8000,
    },
    "data": {"dataset": "voices", "layout": "auto", "directory": "", "singers": list(VOICES)},
    "training": {**CONFIG["training"], "window_size": 0.128},
}


def blow_in(folder: Path) -> Run:
    """Save a Blow of three speakers with random weights as the run `b`, and return the run."""
    from singlow.runs.opening import build_flow
    from singlow.testing import nudge
    from singlow.training.optimizer import capture, compile_flow

    run = locate("b", folder / "checkpoints", folder / "logs")
    run.directory.mkdir(parents=True)
    run.write_config(BLOW)
    flow = build_flow(BLOW)
    noise = 0.1 * np.random.default_rng(0).standard_normal((6, 1024, 1)).astype(np.float32)
    flow.adapt({"x": noise, "speaker": np.arange(6) % 3})
    nudge(flow)
    compile_flow(flow, BLOW["training"])
    run.save(1, *capture(flow), {"held_out": 1.0, "history": [1.0]})
    return run
