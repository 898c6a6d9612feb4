"""What a converted recording says of itself, in the comment of its wav file."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import soundfile

FORMAT, VERSION = "singlow-conversion", 1
LONGEST = 60  # characters of a name; libsndfile reads comments of up to 2,000 bytes
_TEXTS = ("source", "target", "fingerprint", "call")
_NUMBERS = ("level", "limit")
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
    """

    source: str
    target: str
    fingerprint: str
    call: str
    level: float
    limit: float
    length: int

    @property
    def comment(self) -> str:
        """This as text for a file's comment."""
        facts = asdict(self) | {name: getattr(self, name)[:LONGEST] for name in _TEXTS[:2]}
        return json.dumps({"format": FORMAT, "version": VERSION, **facts})


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
    if facts.pop("version", None) != VERSION or set(facts) != {*_TEXTS, *_NUMBERS, "length"}:
        return None
    fits = all(isinstance(facts[key], str) for key in _TEXTS)
    fits = fits and all(type(facts[key]) is float for key in _NUMBERS)
    fits = fits and _LEAST < facts["level"] < 1 / _LEAST and _LEAST < facts["limit"] <= 1
    return Tag(**facts) if fits and facts["length"] == frames else None
