"""Identification of speakers by exact likelihoods."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from singlow.errors import DataError
from singlow.names import shown
from singlow.runs.data import window_length
from singlow.runs.opening import open_run
from singlow.voices.recordings import (
    Inputs,
    Recording,
    excerpts_of,
    log_probs,
    loudness_gain,
    naming_recording,
    read_recording,
    run_loudness,
)
from singlow.voices.speakers import convertible_speakers

if TYPE_CHECKING:
    from singlow.models.flow import Flow
    from singlow.runs.opening import TrainedRun

SECONDS = 30.0
_WORK = 480.0  # largest product of the seconds and the number of speakers
_FEWEST = 8  # excerpts that are compared for any number of speakers


@dataclass(frozen=True)
class Identity:
    """The likeliest speaker of a recording, with a measure of certainty.

    The posterior probability of a speaker given a whole recording is almost always 1.000, because
    it treats tens of thousands of samples as independent evidence. The certainty is therefore
    computed from votes: each excerpt votes for the speaker under which it is likeliest.

    Attributes:
        name: the speaker with the highest sum of log-likelihoods over all excerpts.
        second: the speaker with the second highest sum; "" if only one speaker is known.
        lead: cost of the recording under the second speaker minus its cost under the first, in
            `unit`.
        votes: number of excerpts that are likeliest under the first speaker.
        excerpts: number of excerpts.
        known: number of speakers that were compared.
        unit: unit of `lead`.
    """

    name: str
    second: str
    lead: float
    votes: int
    excerpts: int
    known: int
    unit: str = "bits per sample"

    @property
    def certainty(self) -> float:
        """The certainty by Laplace's rule of succession, `(votes + 1) / (excerpts + known)`.

        It is the probability that one more excerpt votes for the same speaker, under a uniform
        prior over the speakers. It is below 1 whenever two or more speakers are compared.
        """
        return (self.votes + 1) / (self.excerpts + self.known)

    def __str__(self) -> str:
        if not self.second:
            return f"taken to be {shown(self.name)}, the only known speaker"
        return (
            f"sounds most like {shown(self.name)}: {self.lead:.4f} {self.unit} ahead of "
            f"{shown(self.second)}, likeliest in {self.votes} of {self.excerpts} windows "
            f"(certainty {100 * self.certainty:.0f} %)"
        )


def identify(
    run: "str | TrainedRun",
    recording: Recording,
    sample_rate: int | None = None,
    among: Mapping[str, Inputs] | None = None,
) -> Identity:
    """Find the speaker of a run under which a recording is likeliest.

    Args:
        run: a run with speakers, or its name.
        recording: path of an audio file, or audio `(time,)` or `(time, channels)`, float in +-1.
        sample_rate: rate, in Hz, of a recording that is an array; the run's rate when `None`.
        among: speakers to compare, as a mapping from names to the inputs of one item; all current
            speakers of the run when `None`.

    Raises:
        UsageError: the run has no speakers.
        DataError: the recording cannot be read, is silent, or is shorter than a frame.
    """
    run = open_run(run)
    speakers = convertible_speakers(run).current() if among is None else among
    flow = run.coder
    audio = read_recording(recording, flow.signal.sample_rate, sample_rate)
    with naming_recording(recording):
        audio = audio * np.float32(loudness_gain(audio, run_loudness(run)))
        return likeliest_speaker(flow, audio, speakers, window_length(run.config, run.flow))


def likeliest_speaker(
    flow: "Flow", audio: np.ndarray, speakers: Mapping[str, Inputs], window: int
) -> Identity:
    """Find the speaker that maximises `log p(x | speaker)`.

    Only the first 30 seconds with sound are used, or fewer for more than 16 speakers. They are
    divided into excerpts as long as a training window.

    Args:
        flow: a flow with the inputs of `speakers`.
        audio: audio `(time, 1)` at the flow's rate and the loudness of its training data.
        speakers: mapping from the names of the speakers to the inputs of one item.
        window: length of a training window in samples.

    Raises:
        DataError: the recording is shorter than a frame of the flow, or a likelihood is not finite.
    """
    names = list(speakers)
    excerpts = excerpts_of([audio], window, flow.multiple)
    if not len(excerpts):
        raise DataError(
            f"Expected a recording of at least {flow.multiple} samples at "
            f"{flow.signal.sample_rate} Hz. Received: {len(audio)}."
        )
    seconds = min(SECONDS, _WORK / len(names))
    excerpts = excerpts[: max(_FEWEST, int(seconds * flow.signal.sample_rate / window))]
    results = log_probs(flow, excerpts, list(speakers.values()))
    total = results.sum(axis=0)
    if not np.isfinite(total).all():
        raise DataError("Expected finite likelihoods. Received: NaN or infinite ones.")
    order = np.argsort(-total, kind="stable")
    first, second = order[0], order[min(1, len(order) - 1)]
    count = excerpts.samples.sum()
    costs = flow.signal.cost(total, count) / count
    return Identity(
        names[first],
        names[second] if len(names) > 1 else "",
        float(costs[second] - costs[first]),
        int((results.argmax(axis=1) == first).sum()),
        len(excerpts),
        len(names),
        flow.signal.unit,
    )
