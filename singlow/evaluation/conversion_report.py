"""The report of voice conversions: figures per conversion, per speaker and overall, and a page."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from singlow.evaluation import page
from singlow.evaluation.figures import Estimate, finite_mean, share_estimate
from singlow.evaluation.spoofing import chance_of_targets
from singlow.names import shown
from singlow.tables import table as text_table

if TYPE_CHECKING:
    from rich.table import Table

UNCONVERTED, REAL = "source, unconverted", "target, real"
PAGE, LISTENING, FIGURES = "index.html", "listening.html", "report.json"


class Utterance(NamedTuple):
    """A recording of one speaker.

    Attributes:
        name: name of the recording.
        speaker: name of its speaker.
        audio: `(time,)` float32 in +-1.
    """

    name: str
    speaker: str
    audio: np.ndarray


@dataclass(frozen=True)
class Conversion:
    """A converted or an original recording with its measures; an unknown measure is nan.

    Attributes:
        clip: name of the original.
        source: speaker of the original.
        target: speaker that it is converted to.
        recognized: speaker that the classifier recognizes.
        pitch: correlation of the pitch contour with that of the original.
        loudness: loudness relative to the original, in dB.
        seconds: length minus that of the original, in seconds.
        to_target: cosine of the recording's speaker embedding and the target's.
        to_source: cosine of the recording's speaker embedding and the source's.
    """

    clip: str
    source: str
    target: str
    recognized: str
    pitch: float = math.nan
    loudness: float = math.nan
    seconds: float = math.nan
    to_target: float = math.nan
    to_source: float = math.nan


@dataclass(frozen=True)
class System:
    """A conversion system and its conversions.

    Attributes:
        name: name of the system.
        conversions: conversions of the same pairs for every system.
        speed: seconds of audio that are converted per second; nan for recordings.
    """

    name: str
    conversions: list[Conversion]
    speed: float = math.nan

    def shares(self) -> dict[str, Estimate]:
        """Shares of conversions that are recognized as target and as source, with intervals."""
        moved = [c for c in self.conversions if c.source != c.target]
        return {
            "recognized_as_target": _share(c.recognized == c.target for c in self.conversions),
            "recognized_as_source": _share(c.recognized == c.source for c in moved),
        }

    def figures(self) -> dict[str, float]:
        """Shares from 0 to 1 and means over conversions, of absolute values for deviations."""
        conversions = self.conversions
        moved = [c for c in conversions if c.source != c.target]
        targets = [c.target for c in conversions]
        return {
            **{key: share.value for key, share in self.shares().items()},
            "recognized_as_shuffled": chance_of_targets(
                [c.recognized for c in conversions], targets
            ),
            "to_target": finite_mean([c.to_target for c in conversions]),
            "to_source": finite_mean([c.to_source for c in moved]),
            "pitch": finite_mean([c.pitch for c in conversions]),
            "loudness": float(np.mean([abs(c.loudness) for c in conversions])),
            "seconds": float(np.mean([abs(c.seconds) for c in conversions])),
            "speed": self.speed,
        }

    def spoofing(self, side: str, speaker: str) -> Estimate:
        """Share of the conversions from or to a speaker that are recognized as their target.

        Args:
            side: "source" or "target".
            speaker: the speaker on that side.
        """
        own = [c for c in self.conversions if getattr(c, side) == speaker]
        return _share(c.recognized == c.target for c in own)


@dataclass(frozen=True)
class Sample:
    """A pair to listen to.

    Attributes:
        source: the original.
        reference: a real recording of the target.
        other: another real recording of the target, where there is one.
        conversions: `(time,)` by the name of the system.
    """

    source: Utterance
    reference: Utterance
    other: Utterance
    conversions: dict[str, np.ndarray]


@dataclass(frozen=True)
class ConversionReport:
    """Conversion systems measured on the same pairs of a held-out clip and a target.

    Attributes:
        sample_rate: sample rate of all sounds, in Hz.
        seed: random seed for the choice of pairs and for the classifier.
        speakers: all speakers that the classifier knows.
        train: number of recordings that the classifier is fitted to.
        held_out: number of recordings that pairs are drawn from.
        left_out: number of recordings that are too short or silent to be measured.
        unconverted: the unconverted clips of the pairs ("source as target" in the paper).
        systems: the systems that were measured.
        real: all held-out clips, each as its own speaker ("target as target").
        samples: pairs to listen to.
        note: the reason why speaker similarity was not measured; "" if it was.
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
        """The share that is recognized as the target by chance."""
        return 1 / len(self.speakers)

    @property
    def columns(self) -> list[System]:
        """The columns of a table: unconverted recordings, the systems, and real recordings."""
        return [self.unconverted, *self.systems, self.real]

    def rows(self) -> list[tuple[str, ...]]:
        """One row per figure that was measured, with one cell for each of `columns`."""
        figures = [system.figures() for system in self.columns]
        shares = [system.shares() for system in self.columns]
        rows = []
        for key, (label, form) in _FORMS.items():
            if key in shares[0]:
                rows.append((label, *(_shown_share(its[key]) for its in shares)))
            elif not all(math.isnan(its[key]) for its in figures):
                rows.append((label, *(_shown(form, its[key]) for its in figures)))
        return rows

    def speaker_rows(self, side: str) -> list[tuple[str, ...]]:
        """Shares recognized as the target, one row for each speaker as source or target.

        Args:
            side: "source" or "target".
        """
        return [
            (shown(s), *(_shown_share(system.spoofing(side, s)) for system in self.columns))
            for s in self.speakers
        ]

    def as_dict(self) -> dict[str, Any]:
        """Return everything but the sounds for JSON; numbers that are not finite become None."""
        columns = [
            {
                "name": system.name,
                "figures": _stored(system.figures()),
                "intervals": _stored({k: (s.low, s.high) for k, s in system.shares().items()}),
                "by_target": {s: system.spoofing("target", s).value for s in self.speakers},
                "by_source": {s: system.spoofing("source", s).value for s in self.speakers},
                "conversions": [_stored(asdict(conversion)) for conversion in system.conversions],
            }
            for system in self.columns
        ]
        facts = {name: getattr(self, name) for name in _FACTS}
        return _finite({**facts, "columns": columns})


_FACTS = ("sample_rate", "seed", "speakers", "train", "held_out", "left_out", "chance", "note")
_FORMS = {
    "recognized_as_target": ("recognized as the target", ""),
    "recognized_as_source": ("recognized as the source", ""),
    "recognized_as_shuffled": ("recognized as the target, targets shuffled", "{:.1%}"),
    "to_target": ("similarity to the target", "{:.3f}"),
    "to_source": ("similarity to the source", "{:.3f}"),
    "pitch": ("pitch correlation", "{:.3f}"),
    "loudness": ("loudness off by", "{:.2f} dB"),
    "seconds": ("length off by", "{:.3f} s"),
    "speed": ("times real time", "{:.3g}"),
}
_INTERVALS = "In brackets: 95 % intervals over conversions (Wilson)."


def table(report: ConversionReport, title: str) -> "Table":
    """Return the figures as a table."""
    head = ["", *(system.name for system in report.columns)]
    return text_table(title, head, report.rows(), _INTERVALS)


def write_page(report: ConversionReport, title: str, about: Sequence[str] = ()) -> str:
    """Return the report as HTML that embeds all sounds and pictures.

    Args:
        report: the report.
        title: title of the page, plain text.
        about: paragraphs of plain text.
    """
    head = [system.name for system in report.columns]
    counts = (
        f"{len(report.unconverted.conversions)} pairs of a clip and another speaker, from "
        f"{report.held_out} held-out clips of {len(report.speakers)} speakers; the classifier is "
        f"fitted to {report.train} training clips. Chance is {report.chance:.1%}. {_INTERVALS}"
    )
    left = (
        f"{report.left_out} clips that are too short or silent were left out."
        if report.left_out
        else ""
    )
    parts = [
        f'<p><a href="{LISTENING}">Blind listening test</a></p>',
        page.table(("", *head), report.rows()),
        page.heading("Recognized as the target, by target"),
        page.table(("target", *head), report.speaker_rows("target")),
        page.heading("Recognized as the target, by source"),
        page.table(("source", *head), report.speaker_rows("source")),
    ]
    parts += [_sample(sample, report.sample_rate) for sample in report.samples]
    return page.document(title, [*about, counts, *filter(None, (left, report.note))], parts)


def _sample(sample: Sample, sample_rate: int) -> str:
    source, reference = sample.source, sample.reference
    sounds = {
        f"source: {shown(source.speaker)}, {shown(source.name)}": source.audio,
        f"target: {shown(reference.speaker)}, {shown(reference.name)}": reference.audio,
        **{f"converted by {name}": audio for name, audio in sample.conversions.items()},
    }
    loudest = max(1.0, *(float(np.abs(audio).max()) for audio in sounds.values()))
    figures = (page.recording(s / loudest, sample_rate, name) for name, s in sounds.items())
    title = f"{shown(source.name)} to {shown(reference.speaker)}"
    return page.heading(title) + page.pair(figures)


def _share(outcomes: Iterable[bool]) -> Estimate:
    outcomes = list(outcomes)
    return share_estimate(sum(outcomes), len(outcomes))


def _shown_share(share: Estimate) -> str:
    return "" if math.isnan(share.value) else share.shown_range("{:.1%}")


def _shown(form: str, value: float) -> str:
    return "" if math.isnan(value) else form.format(value)


def _stored(values: dict[str, Any]) -> dict[str, Any]:
    """Return the values under the keys that report.json has used since its first version."""
    return {key.replace("recognized", "heard"): value for key, value in values.items()}


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
