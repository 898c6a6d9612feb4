"""What was measured of voice conversions: one by one, by speaker, and in all."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import numpy as np

from singlow.evaluation.figures import finite_mean
from singlow.evaluation.spoofing import chance_of_targets


class Utterance(NamedTuple):
    """A recording of one speaker: what it is called, whose it is, `(time,)` float32 in +-1."""

    name: str
    speaker: str
    audio: np.ndarray


@dataclass(frozen=True)
class Conversion:
    """A converted recording, or one as it was; nan where nothing could be measured, or was not.

    Attributes:
        clip: name of what was converted.
        source: its speaker.
        target: whom it was to sound like.
        heard: whom the classifier hears.
        pitch: correlation of its pitch contour with the clip's.
        loudness: dB relative to the clip.
        seconds: beyond the clip's.
        to_target: cosine of its speaker embedding and the target's.
        to_source: likewise, the source's.
    """

    clip: str
    source: str
    target: str
    heard: str
    pitch: float = math.nan
    loudness: float = math.nan
    seconds: float = math.nan
    to_target: float = math.nan
    to_source: float = math.nan


@dataclass(frozen=True)
class System:
    """A way to convert, and its conversions.

    Attributes:
        name: of it.
        conversions: of the same pairs for every system.
        speed: seconds of sound converted in a second; nan for recordings.
    """

    name: str
    conversions: list[Conversion]
    speed: float = math.nan

    def figures(self) -> dict[str, float]:
        """Shares of all conversions from 0 to 1, and means; deviations without their sign."""
        made = self.conversions
        moved = [c for c in made if c.source != c.target]
        targets, heard = [c.target for c in made], [c.heard for c in made]
        return {
            "heard_as_target": _share(heard, targets),
            "heard_as_source": _share([c.heard for c in moved], [c.source for c in moved]),
            "heard_as_shuffled": chance_of_targets(heard, targets),
            "to_target": finite_mean([c.to_target for c in made]),
            "to_source": finite_mean([c.to_source for c in moved]),
            "pitch": finite_mean([c.pitch for c in made]),
            "loudness": float(np.mean([abs(c.loudness) for c in made])),
            "seconds": float(np.mean([abs(c.seconds) for c in made])),
            "speed": self.speed,
        }

    def spoofing(self, side: str, speaker: str) -> float:
        """Share heard as the target of those whose `side`, source or target, is this speaker."""
        own = [c for c in self.conversions if getattr(c, side) == speaker]
        return _share([c.heard for c in own], [c.target for c in own])


@dataclass(frozen=True)
class Sample:
    """A pair to listen to.

    Attributes:
        source: what was converted.
        reference: a real recording of the target.
        other: another of the target, where there is one.
        conversions: `(time,)` by the name of the system.
    """

    source: Utterance
    reference: Utterance
    other: Utterance
    conversions: dict[str, np.ndarray]


UNCONVERTED, REAL = "source, unconverted", "target, real"


@dataclass(frozen=True)
class Report:
    """Conversion systems measured on the same pairs of a held-out clip and a target.

    Attributes:
        sample_rate: Hz of all sounds.
        seed: of the pairs and the classifier.
        speakers: all that the classifier tells apart.
        train: recordings it learnt from.
        held_out: recordings that pairs were drawn from.
        left_out: recordings that were too short or silent to measure.
        unconverted: the pairs' clips as they are ("source as target" in the paper).
        systems: what was measured.
        real: all held-out clips, each as its own speaker ("target as target").
        samples: to listen to.
        note: why speaker similarity was not measured; "" where it was.
    """

    sample_rate: int
    seed: int
    speakers: tuple[str, ...]
    train: int
    held_out: int
    left_out: int
    unconverted: System
    systems: list[System]
    real: System
    samples: list[Sample] = field(repr=False)
    note: str = ""

    @property
    def chance(self) -> float:
        """Share that a classifier hears as the target that hears anybody."""
        return 1 / len(self.speakers)

    @property
    def columns(self) -> list[System]:
        """The systems between what they start from and what they aim at."""
        return [self.unconverted, *self.systems, self.real]

    def rows(self) -> list[tuple[str, ...]]:
        """A line for every figure that was measured, a column for each of `columns`."""
        found = [system.figures() for system in self.columns]
        return [
            (label, *(_shown(form, figures[key]) for figures in found))
            for key, (label, form) in _FORMS.items()
            if not all(math.isnan(figures[key]) for figures in found)
        ]

    def speaker_rows(self, side: str) -> list[tuple[str, ...]]:
        """Spoofing with each speaker as the `side`, source or target, in the same columns."""
        return [
            (s, *(_shown("{:.1%}", system.spoofing(side, s)) for system in self.columns))
            for s in self.speakers
        ]

    def as_dict(self) -> dict[str, Any]:
        """Everything but the sounds, for JSON: what is not finite is None."""
        told = {name: getattr(self, name) for name in _TOLD}
        columns = [
            {
                "name": system.name,
                "figures": system.figures(),
                "by_target": {s: system.spoofing("target", s) for s in self.speakers},
                "by_source": {s: system.spoofing("source", s) for s in self.speakers},
                "conversions": [asdict(conversion) for conversion in system.conversions],
            }
            for system in self.columns
        ]
        return _finite({**told, "columns": columns})


_TOLD = ("sample_rate", "seed", "speakers", "train", "held_out", "left_out", "chance", "note")
_FORMS = {
    "heard_as_target": ("heard as the target", "{:.1%}"),
    "heard_as_source": ("heard as the source", "{:.1%}"),
    "heard_as_shuffled": ("heard as the target, targets shuffled", "{:.1%}"),
    "to_target": ("similarity to the target", "{:.3f}"),
    "to_source": ("similarity to the source", "{:.3f}"),
    "pitch": ("pitch correlation", "{:.3f}"),
    "loudness": ("level off by", "{:.2f} dB"),
    "seconds": ("length off by", "{:.3f} s"),
    "speed": ("times real time", "{:.3g}"),
}


def table(report: Report, title: str) -> Any:
    """The figures as a `rich` table."""
    from rich.markup import escape
    from rich.table import Table

    shown = Table(title=title, title_justify="left")
    shown.add_column("")
    for system in report.columns:
        shown.add_column(escape(system.name), justify="right")
    for row in report.rows():
        shown.add_row(*row)
    return shown


def _share(heard: Sequence[str], wanted: Sequence[str]) -> float:
    """How many are as wanted; nan for none at all."""
    if not heard:
        return math.nan
    return sum(h == w for h, w in zip(heard, wanted, strict=True)) / len(heard)


def _shown(form: str, value: float) -> str:
    return "" if math.isnan(value) else form.format(value)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
