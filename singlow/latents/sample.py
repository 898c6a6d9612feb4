"""Sampling of a run's signal, from the prior or around a recording."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from singlow.errors import UsageError
from singlow.latents.interpolate import around as draw_around
from singlow.names import shown
from singlow.runs.data import positions_per_second
from singlow.runs.opening import TrainedRun, open_run
from singlow.signals import Audio
from singlow.voices.recordings import (
    Inputs,
    Recording,
    loudness_gain,
    naming_recording,
    read_recording,
    run_loudness,
)
from singlow.voices.speakers import SPEAKER, speakers_of

if TYPE_CHECKING:
    from singlow.models.flow import Flow

SECONDS = 2.0


def sample(
    run: str | TrainedRun,
    count: int = 1,
    seconds: float | None = None,
    temperature: float = 0.7,
    seed: int = 0,
    speaker: str | None = None,
) -> Iterator[np.ndarray]:
    """Sample items of a run's signal; the random seeds are `seed`, `seed + 1`, and so on.

    Args:
        run: a run, or its name.
        count: number of items.
        seconds: length of each item, if the model does not determine it; 2 for audio when `None`.
        temperature: scale of the deviations from the prior's mean; 1 samples the model itself.
        seed: random seed of the first item.
        speaker: for a run with speakers, the name of the speaker.

    Yields:
        One item of the signal, without the batch axis: `(time, channels)` for audio.

    Raises:
        UsageError: the speaker is unknown, missing, or given for a run without speakers; or the
            signal has no length in seconds.
    """
    run = open_run(run)
    inputs, length = _speaker_inputs(run, speaker), _length(run.flow, seconds)
    return (
        _draw_item(run.coder, inputs, length, temperature, seed + index) for index in range(count)
    )


def sample_around(
    run: str | TrainedRun,
    recording: Recording,
    count: int = 1,
    seconds: float | None = None,
    temperature: float = 0.7,
    seed: int = 0,
    speaker: str | None = None,
    sample_rate: int | None = None,
) -> Iterator[np.ndarray]:
    """Sample variations of a recording; the random seeds are `seed`, `seed + 1`, and so on.

    Args:
        run: a run of audio, or its name.
        recording: path of an audio file, or audio `(time,)` or `(time, channels)`, float in +-1.
        count: number of variations.
        seconds: seconds from the start of the recording to use; the whole recording when `None`.
        temperature: from 0, which returns the recording itself, to 1, which keeps only its
            loudness.
        seed: random seed of the first variation.
        speaker: for a run with speakers, the name of the speaker of the recording.
        sample_rate: rate, in Hz, of a recording that is an array; the run's rate when `None`.

    Yields:
        Audio, `(time, channels)` float32 at the run's sample rate.

    Raises:
        UsageError: the speaker is unknown, missing, or given for a run without speakers.
        DataError: the recording cannot be read or, for a run with speakers, is silent.
    """
    run = open_run(run)
    inputs, signal = _speaker_inputs(run, speaker), run.flow.signal
    audio = read_recording(recording, signal.sample_rate, sample_rate, signal.channels)
    if seconds is not None:
        audio = audio[: max(1, round(seconds * signal.sample_rate))]
    gain = np.float32(1.0)
    if inputs is not None:
        with naming_recording(recording):
            gain = np.float32(loudness_gain(audio, run_loudness(run)))
    return (
        draw_around(run.coder, audio * gain, temperature, seed + index, inputs) / gain
        for index in range(count)
    )


def _speaker_inputs(run: TrainedRun, speaker: str | None) -> Inputs | None:
    """Return the inputs of one item for a speaker; `None` for a run without inputs."""
    if not run.flow.inputs and speaker is None:
        return None
    others = [name for name in run.flow.inputs if name != SPEAKER]
    if others:
        raise UsageError(
            f"Expected a run whose only input is {SPEAKER}. Received: {run.name}, which also needs "
            f"{', '.join(others)}; use {_instead(others)}."
        )
    speakers = speakers_of(run, "leave --speaker out")
    if speaker is None:
        raise UsageError(
            f"Expected --speaker in {', '.join(map(shown, speakers.names))}. Received: none."
        )
    return speakers[speaker]


def _instead(inputs: list[str]) -> str:
    verbs = {"mel": "vocode", "text": "speak"}
    if len(inputs) == 1 and inputs[0] in verbs:
        return f"the verb {verbs[inputs[0]]}"
    return "flow.sample(inputs) of the library"


def _length(flow: "Flow", seconds: float | None) -> int | None:
    """Return the length of an item in positions, or `None` if the model or signal determines it."""
    signal = flow.signal
    if signal.shape(1, None)[1] is not None:
        if seconds is not None:
            raise UsageError("Expected no --seconds for a signal without time. Received: some.")
        return None
    if isinstance(signal, Audio) and seconds is None:
        seconds = SECONDS
    return None if seconds is None else max(1, round(seconds * positions_per_second(signal)))


def _draw_item(
    flow: "Flow", inputs: Inputs | None, length: int | None, temperature: float, seed: int
) -> np.ndarray:
    from keras import ops

    x, lengths = flow.sample(inputs, length=length, temperature=temperature, seed=seed)
    item = ops.convert_to_numpy(x)[0]
    return item[: int(lengths[0])] if flow.signal.maskable else item
