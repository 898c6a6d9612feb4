"""Who of the known speakers a recording sounds most like, told by exact likelihoods."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from singlow.errors import DataError
from singlow.voices.excerpts import log_probs, windows_of

SECONDS = 30.0
_WORK = 480.0  # seconds times speakers, at most
_LEAST = 8  # windows, whatever the number of speakers


@dataclass(frozen=True)
class Identity:
    """The likeliest speaker, and how sure that is.

    A posterior from the likelihood of a whole recording is 1.000 for any lead, since it counts tens
    of thousands of samples as if each told something new. Windows are counted instead: each votes
    for the speaker it is likeliest under.

    Attributes:
        name: the speaker whose sum of log-likelihoods over all windows is highest.
        second: the one after; "" where nobody else is known.
        lead: bits per sample by which the recording costs less under the first than the second.
        votes: windows that are likeliest under the first.
        windows: how many were heard.
        known: speakers there were to choose from.
    """

    name: str
    second: str
    lead: float
    votes: int
    windows: int
    known: int

    @property
    def certainty(self) -> float:
        """`(votes + 1) / (windows + known)`: Laplace's rule of succession.

        The chance that one more window would vote the same, when before hearing any each speaker
        was as likely as any other. One window is never certainty.
        """
        return (self.votes + 1) / (self.windows + self.known)

    def __str__(self) -> str:
        if not self.second:
            return f"taken to be {self.name}, the only speaker known"
        return (
            f"sounds most like {self.name}: {self.lead:.4f} bits per sample ahead of "
            f"{self.second}, likeliest in {self.votes} of {self.windows} windows (certainty "
            f"{100 * self.certainty:.0f} %)"
        )


def identify(
    flow: Any, audio: np.ndarray, embeddings: Mapping[str, np.ndarray], window: int
) -> Identity:
    """The speaker that maximises `log p(x | speaker)`.

    Heard are the first 30 seconds with sound in them, fewer when there are more than 16 speakers,
    in windows as long as those trained on.

    Args:
        flow: of a model that takes embeddings as its condition.
        audio: `(time, 1)` at the flow's rate and level.
        embeddings: by name.
        window: samples of a training window.

    Raises:
        DataError: the recording is shorter than a frame of the flow, or not a number.
    """
    names = list(embeddings)
    windows = windows_of([audio], window, flow.multiple)
    if not len(windows):
        raise DataError(
            f"Expected a recording of at least {flow.multiple} samples at {flow.sample_rate} Hz. "
            f"Received: {len(audio)}."
        )
    seconds = min(SECONDS, _WORK / len(names))
    most = max(_LEAST, int(seconds * flow.sample_rate / window))
    windows = windows[:most]
    found = log_probs(flow, windows, np.stack([embeddings[name] for name in names]))
    total = found.sum(axis=0)
    if not np.isfinite(total).all():
        raise DataError("Expected finite likelihoods. Received: NaN or infinite ones.")
    order = np.argsort(-total, kind="stable")
    first, second = order[0], order[min(1, len(order) - 1)]
    lead = (total[first] - total[second]) / (math.log(2) * windows.samples.sum())
    votes = int((found.argmax(axis=1) == first).sum())
    after = names[second] if len(names) > 1 else ""
    return Identity(names[first], after, float(lead), votes, len(windows), len(names))
