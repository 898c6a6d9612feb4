"""The provenance of a converted recording, stored in the comment of its wav file."""

import base64
import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soundfile

FORMAT, VERSION = "singlow-conversion", 2
_LONGEST = 60  # largest number of characters of a name
_ROOM = 1900  # libsndfile reads comments of up to 2,000 bytes
_TEXTS = ("source", "target", "fingerprint", "call")
_RMS, _SCALE = "level", "limit"  # keys in files
_KEYS = {*_TEXTS, _RMS, _SCALE, "length", "tail"}
_SMALLEST = 1e-6


@dataclass(frozen=True)
class Tag:
    """The origin of a converted recording, with the data for its exact inverse conversion.

    Attributes:
        source: name of the speaker of the original.
        target: name of the speaker of the result.
        fingerprint: fingerprint of the weights.
        call: identifier of everything that the result depends on: weights, settings and input file.
        rms: rms of the flow's output before it was scaled to the loudness of the input; full scale
            is 1.
        scale: factor that reduced the result so that no sample exceeds full scale; 1 if the result
            was not reduced.
        length: number of samples.
        tail: the flow's output after the last sample, `(samples, channels)`; see `Converted`. The
            comment stores it in half precision, or omits it if it would be too long.
    """

    source: str
    target: str
    fingerprint: str
    call: str
    rms: float
    scale: float
    length: int
    tail: np.ndarray | None = field(default=None, compare=False)

    @property
    def comment(self) -> str:
        """The text of the comment."""
        facts = {
            "source": self.source[:_LONGEST],
            "target": self.target[:_LONGEST],
            "fingerprint": self.fingerprint,
            "call": self.call,
            _RMS: self.rms,
            _SCALE: self.scale,
            "length": self.length,
            "tail": None,
            "format": FORMAT,
            "version": VERSION,
        }
        if self.tail is not None:
            stored = base64.b64encode(self.tail.astype("<f2").tobytes()).decode()
            full = json.dumps(facts | {"tail": [self.tail.shape[1], stored]})
            if len(full) <= _ROOM:
                return full
        return json.dumps(facts)


def read_tag(path: Path) -> Tag | None:
    """Read the tag of a recording; `None` if the tag is missing, unreadable or incomplete."""
    try:
        with soundfile.SoundFile(path) as file:
            facts, length = json.loads(file.comment), file.frames
    except (OSError, soundfile.SoundFileError, ValueError, RecursionError):
        return None
    if not isinstance(facts, dict) or facts.pop("format", None) != FORMAT:
        return None
    if facts.pop("version", None) != VERSION or set(facts) != _KEYS:
        return None
    rms, scale = facts.pop(_RMS), facts.pop(_SCALE)
    fits = all(isinstance(facts[key], str) for key in _TEXTS)
    fits = fits and type(rms) is float and _SMALLEST < rms < 1 / _SMALLEST
    fits = fits and type(scale) is float and _SMALLEST < scale <= 1
    if not fits or facts["length"] != length:
        return None
    try:
        return Tag(**facts | {"rms": rms, "scale": scale, "tail": _tail(facts["tail"])})
    except (TypeError, ValueError):
        return None


def _tail(stored: list | None) -> np.ndarray | None:
    """Decode the tail of a comment.

    Raises:
        TypeError, ValueError: the content is not a tail.
    """
    if stored is None:
        return None
    channels, text = stored
    if type(channels) is not int or channels < 1:
        raise ValueError("Expected a positive number of channels.")
    tail = np.frombuffer(base64.b64decode(text, validate=True), "<f2").astype(np.float32)
    if not np.isfinite(tail).all():
        raise ValueError("Expected finite samples.")
    return tail.reshape(-1, channels)
