"""What a converted recording says of itself, in the comment of its wav file."""

import base64
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import soundfile

FORMAT, VERSION = "singlow-conversion", 2
LONGEST = 60  # characters of a name
_ROOM = 1900  # libsndfile reads comments of up to 2,000 bytes
_TEXTS = ("source", "target", "fingerprint", "call")
_NUMBERS = ("level", "limit")
_KEYS = {*_TEXTS, *_NUMBERS, "length", "tail"}
_LEAST = 1e-6


@dataclass(frozen=True)
class Tag:
    """Where a recording comes from, and what makes its conversion one that can be undone.

    Attributes:
        source: who spoke.
        target: who seems to.
        fingerprint: of the weights that converted it.
        call: stands for everything that decided the result: weights, settings, the input's file.
        level: rms, in units of full scale, of what the flow gave, before it was brought to the
            level of the input.
        limit: what it was turned down by, so that nothing exceeds full scale; 1 for nothing.
        length: samples.
        tail: what the flow gave after the last of them, `(samples, channels)`; see `Converted`.
            Kept in half precision, and left out where the comment would be too long.
    """

    source: str
    target: str
    fingerprint: str
    call: str
    level: float
    limit: float
    length: int
    tail: np.ndarray | None = field(default=None, compare=False)

    @property
    def comment(self) -> str:
        """This as text for a file's comment."""
        facts = asdict(self) | {name: getattr(self, name)[:LONGEST] for name in _TEXTS[:2]}
        facts |= {"format": FORMAT, "version": VERSION, "tail": None}
        if self.tail is not None:
            kept = base64.b64encode(self.tail.astype("<f2").tobytes()).decode()
            full = json.dumps(facts | {"tail": [self.tail.shape[1], kept]})
            if len(full) <= _ROOM:
                return full
        return json.dumps(facts)


def read_tag(path: Path) -> Tag | None:
    """The tag of a recording; None where it is none of ours, or cannot be read.

    A file that holds fewer samples than its tag says has none.
    """
    try:
        with soundfile.SoundFile(path) as file:
            facts, frames = json.loads(file.comment), file.frames
    except (OSError, soundfile.SoundFileError, ValueError, RecursionError):
        return None
    if not isinstance(facts, dict) or facts.pop("format", None) != FORMAT:
        return None
    if facts.pop("version", None) != VERSION or set(facts) != _KEYS:
        return None
    fits = all(isinstance(facts[key], str) for key in _TEXTS)
    fits = fits and all(type(facts[key]) is float for key in _NUMBERS)
    fits = fits and _LEAST < facts["level"] < 1 / _LEAST and _LEAST < facts["limit"] <= 1
    if not fits or facts["length"] != frames:
        return None
    try:
        return Tag(**facts | {"tail": _tail(facts["tail"])})
    except (TypeError, ValueError):
        return None


def _tail(kept: list | None) -> np.ndarray | None:
    """The tail that was kept.

    Raises:
        TypeError, ValueError: it is none.
    """
    if kept is None:
        return None
    channels, text = kept
    if type(channels) is not int or channels < 1:
        raise ValueError("Expected a number of channels.")
    tail = np.frombuffer(base64.b64decode(text, validate=True), "<f2").astype(np.float32)
    if not np.isfinite(tail).all():
        raise ValueError("Expected finite samples.")
    return tail.reshape(-1, channels)
