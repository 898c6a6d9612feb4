"""Small recordings, a run that is trained on them, and commands that run in this process."""

import contextlib
import dataclasses
import functools
import io
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import soundfile

from tests.conftest import untraced
from tests.shared import once


def coloured_noise(seed: int, seconds: float, rate: int = 16000, channels: int = 1) -> np.ndarray:
    """Return coloured noise `(time, channels)`, which a flow can learn to predict."""
    white = np.random.default_rng(seed).standard_normal((round(seconds * rate), channels))
    kernel = 0.9 ** np.arange(60)
    coloured = [np.convolve(white[:, c], kernel)[: len(white)] for c in range(channels)]
    return (0.02 * np.stack(coloured, axis=1)).astype(np.float32)


def write_songs(
    folder: Path, rate: int = 16000, channels: int = 1, seconds: float = 0.6, takes: int = 3
) -> Path:
    """Write a few recordings of two singers."""
    for number, singer in enumerate(("ada", "bo")):
        (folder / singer).mkdir(parents=True)
        for take in range(takes):
            audio = coloured_noise(10 * number + take, seconds, rate, channels)
            soundfile.write(folder / singer / f"{take}.wav", audio, rate)
    return folder


SMALL = [
    *("--preset", "singlow_tiny", "--k_glow", "1", "--l_glow", "1", "--window_size", "0.032"),
    *("--batch_size", "2", "--set", "width=4"),
]
TINY = [
    *(*SMALL, "--set", "kernel_sizes=[3,1]", "--set", "dilations=[2,1]"),
    *("--set", "prior_kernel_sizes=[3]"),
]
TINY_BLOW = [
    *("--model", "blow", "--preset", "blow_tiny"),
    *("--k_glow", "1", "--l_glow", "1", "--window_size", "0.032"),
]
TINY_FLOWAVENET = [
    *("--preset", "flowavenet_tiny", "--k_glow", "1", "--sampling_rate", "8000"),
    *("--window_size", "0.064", "--batch_size", "2", "--set", "hop_length=64"),
    *("--set", "n_fft=256", "--set", "n_mels=20", "--set", "width=8", "--set", "mel_width=8"),
    *("--set", "layers=1"),
]


@dataclass(frozen=True)
class Outcome:
    """The exit code and the output of a command."""

    code: int
    out: str
    err: str


def command(main: Callable[[], None], arguments: list[str], directory: Path) -> Outcome:
    """Run a script's `main` in `directory`, as if its file was run."""
    from singlow.errors import run_command

    out, err, argv = io.StringIO(), io.StringIO(), sys.argv
    sys.argv = ["command", *map(str, arguments)]
    try:
        with (
            contextlib.chdir(directory),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            run_command(main)
    except SystemExit as left:
        return Outcome(int(left.code or 0), out.getvalue(), err.getvalue())
    finally:
        sys.argv = argv


def train(arguments: list[str], directory: Path, whole: bool = False) -> Outcome:
    """Run `python3 train.py ...` in this process.

    Unless the run is `whole`, training is `cheap`.
    """
    import train as script

    with contextlib.nullcontext() if whole else cheap():
        return command(script.main, arguments, directory)


@contextlib.contextmanager
def cheap() -> Iterator[None]:
    """Train without traces, which take longer than a few steps, and with blank spectrograms."""
    with untraced(), mock.patch("singlow.pictures.spectrogram", blank):
        yield


def blank(audio: np.ndarray, sample_rate: int) -> np.ndarray:
    """Return a picture that costs nothing to draw, in the place of a spectrogram."""
    return np.zeros((8, 16, 3), np.uint8)


LOADED = {}  # flows by the hash of their weights, arguments and data type


def singlow(arguments: list[str], directory: Path) -> Outcome:
    """Run `python3 -m singlow ...` in this process; load and trace every checkpoint once."""
    from singlow.__main__ import main
    from singlow.runs import opening

    load = opening.load_flow

    def load_once(config, checkpoint, dtype="float32"):
        key = (checkpoint.manifest["sha256"]["model.safetensors"], str(config["arguments"]), dtype)
        if key not in LOADED:
            flow = load(config, checkpoint, dtype)
            flow.for_inference = functools.cache(flow.for_inference)
            LOADED[key] = flow
        return LOADED[key]

    with mock.patch.object(opening, "load_flow", load_once):
        return command(main, arguments, directory)


@functools.cache
def trained() -> tuple[Path, Outcome]:
    """Return the folder of the run `t` of two levels, trained on `songs/`, and the outcome.

    All processes of the session share the folder.
    """
    folder, outcome = once("trained", _train)
    return folder, Outcome(**outcome)


def _train(folder: Path) -> dict[str, Any]:
    write_songs(folder / "songs", rate=22050, channels=2)
    more = ["--l_glow", "2", "--epochs", "2", "--steps_per_epoch", "3", "--dataset", "songs"]
    outcome = train([*SMALL, *more, "--run", "t"], folder, whole=True)
    assert outcome.code == 0, outcome.err
    return dataclasses.asdict(outcome)
