"""Who speaks: what verbs share whose flow is told."""

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro

from singlow.errors import UsageError
from singlow.runs.opening import Opened, open_run

AUTO = "auto"
Speaker = Annotated[str | None, tyro.conf.arg(metavar="SPEAKER")]


def open_speaking(run: str, epoch: str, speaker: str | None) -> tuple[Opened, Any]:
    """A run, and its speakers; None where the flow is not told who speaks.

    Args:
        run: as for `open_run`.
        epoch: as for `open_run`.
        speaker: what `--speaker` said.

    Raises:
        UsageError: `--speaker` is given, and the flow is not told.
    """
    wanted = None if speaker is None else True
    opened = open_run(run, epoch, speakers=wanted, advice="leave --speaker out")
    if not opened.flow.conditions_on:
        return opened, None
    from singlow.voices.speakers import speakers_of

    return opened, speakers_of(opened)


def require_speaker(speakers: Any, speaker: str | None) -> np.ndarray:
    """The embedding of `--speaker`, which must be given.

    Raises:
        UsageError: it is not, or nobody has this name.
    """
    if speaker is None:
        raise UsageError(f"Expected --speaker in {', '.join(speakers.names)}. Received: none.")
    return speakers[speaker]


def who_speaks(
    opened: Opened, voices: Mapping[str, np.ndarray], path: Path, audio: np.ndarray, rate: int
) -> str:
    """The speaker of a recording: the only one of `voices`, or the likeliest, who is told.

    The loudest channel is heard: a mix of all may cancel out.

    Args:
        opened: the run.
        voices: embeddings by name.
        path: of the recording.
        audio: `(time, channels)`.
        rate: Hz.

    Raises:
        DataError: it is silent or too short.
    """
    if len(voices) == 1:
        return next(iter(voices))
    from singlow.audio import resample
    from singlow.runs.data import window_length
    from singlow.voices.identify import identify
    from singlow.voices.level import gain

    flow = opened.coder
    loudest = int(np.square(audio, dtype=np.float64).sum(axis=0).argmax())
    heard = resample(audio[:, loudest : loudest + 1], rate, flow.sample_rate)
    heard = heard * np.float32(gain(heard, opened.config["data"].get("level")))
    identity = identify(flow, heard, voices, window_length(opened.config, opened.flow))
    print(f"{path}: {identity}.")
    return identity.name


def tell_burst(result: Path, burst: float) -> None:
    """Warn of a conversion that was cut, of which share."""
    if burst:
        print(
            f"{result}: {burst:.2%} of the samples were beyond full scale and cut there: the run "
            "knows such sounds too little. Train it for longer.",
            file=sys.stderr,
        )


def file_name(speaker: str) -> str:
    """A speaker's name as part of a file's: what cannot stand there is an underscore."""
    return re.sub(r"[/\\\x00-\x1f\x7f]", "_", speaker)
