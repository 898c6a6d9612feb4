"""The report of a migration: figures, a table for the terminal, and a page that plays it."""

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from singlow.evaluation import measures, page
from singlow.evaluation.figures import Estimate, finite_mean, mean_estimate, shown_number
from singlow.names import shown
from singlow.pictures import drawing, png
from singlow.tables import table as text_table

if TYPE_CHECKING:
    from rich.table import Table

BASELINE = "equalisation and noise"
ABOUT_BASELINE = (
    f"{BASELINE.capitalize()} is a baseline without a model of voices: one static filter between "
    "the mean spectra of the two sides, and noise where the target has more noise."
)
_VOICE = (
    ("vibrato_rate", "vibrato rate", "{:.1f} Hz", 1.0),
    ("vibrato_depth", "vibrato depth", "{:.0f} cents", 1.0),
    ("jitter", "jitter", "{:.3f} %", 100.0),
    ("breath", "breath", "{:.1f} dB", 1.0),
)
_KEPT = (
    ("pitch", "pitch correlation", "{:.4f}"),
    ("cents", "pitch deviation", "{:.1f} cents"),
    ("loudness", "loudness change", "{:+.2f} dB"),
    ("seconds", "duration change", "{:+.3f} s"),
    ("to_source", "mel-cepstral distance to the song", "{:.1f} dB"),
)


@dataclass(frozen=True)
class Sound:
    """A recording with its measures.

    Attributes:
        name: name of the recording.
        audio: `(time,)` float32.
        f0: fundamental frequency; see `measures.pitch`.
        voice: see `measures.measure_voice`.
        spectrum: see `measures.mel_spectrum`.
    """

    name: str
    audio: np.ndarray
    f0: np.ndarray
    voice: measures.Voice
    spectrum: np.ndarray

    @property
    def envelope(self) -> np.ndarray:
        """Mean mel spectrum of the frames that sound, minus its mean: `(MELS,)` in dB."""
        mean = self.spectrum[measures.sounding(self.spectrum)].mean(axis=0)
        return mean - mean.mean()

    @property
    def cepstrum(self) -> np.ndarray:
        """Mean mel cepstrum of the frames that sound: `(CEPSTRA,)` in dB."""
        return measures.mel_cepstra(self.spectrum[measures.sounding(self.spectrum)]).mean(axis=0)


@dataclass(frozen=True)
class Migrated:
    """A song and its migration.

    Attributes:
        before: the song.
        after: its migration.
        positions: scores of the classifier by strength; 0 is the source's mean, 1 the target's.
        baseline: scores of the baseline by strength.
        pitch: correlation of the two pitch contours; nan where there is no pitch.
        cents: median distance of the two pitch contours; nan where there is no pitch.
        loudness: loudness of the migration relative to the song, in dB.
        seconds: length of the migration minus that of the song, in seconds.
        to_source: mel-cepstral distance to the song, frame by frame, in dB.
        to_target: distance of the mean mel cepstrum to the target's mean, in dB.
        to_target_before: the same distance for the song.
    """

    before: Sound
    after: Sound
    positions: dict[float, float]
    baseline: dict[float, float]
    pitch: float
    cents: float
    loudness: float
    seconds: float
    to_source: float
    to_target: float
    to_target_before: float


@dataclass(frozen=True)
class MigrationReport:
    """A migration measured on several songs.

    Attributes:
        strength: strength of the migrations `after`.
        accuracy: accuracy of the classifier on clips that it was not fitted to.
        songs: each song with its migration.
        source: recordings of the source's singers.
        target: recordings of the target's singers.
        title: source and target, in words.
        about: sentences that describe how the migration was measured.
    """

    strength: float
    accuracy: float
    songs: list[Migrated]
    source: list[Sound]
    target: list[Sound]
    title: str = ""
    about: tuple[str, ...] = ()

    def position(self, strength: float) -> float:
        """The classifier's mean score over the songs at a strength."""
        return self.score(strength).value

    def moved(self, strength: float) -> float:
        """The share of the distance between source and target that the score moved, on average."""
        return self.position(strength) - self.position(0.0)

    def score(self, strength: float) -> Estimate:
        """The classifier's mean score at a strength, with its interval over songs."""
        return mean_estimate([song.positions[strength] for song in self.songs])

    def baseline_score(self, strength: float) -> Estimate:
        """The baseline's mean score at a strength, with its interval over songs."""
        return mean_estimate([song.baseline[strength] for song in self.songs])

    def lead(self, strength: float) -> Estimate:
        """The mean difference of the score and the baseline's score per song, with its interval."""
        return mean_estimate([s.positions[strength] - s.baseline[strength] for s in self.songs])

    @property
    def strengths(self) -> list[float]:
        """The strengths at which scores were measured."""
        return sorted(self.songs[0].positions)

    def score_rows(self) -> list[tuple[str, ...]]:
        """Scores of the migration, the baseline and their difference, one column per strength."""
        rows = {
            "migration": self.score,
            BASELINE: self.baseline_score,
            "migration less baseline": self.lead,
        }
        return [
            (name, *(score(s).shown("{:.2f}") for s in self.strengths))
            for name, score in rows.items()
        ]

    @property
    def score_head(self) -> tuple[str, ...]:
        """The head of a table of `score_rows`."""
        return ("score at strength", *(f"{s:g}" for s in self.strengths))

    @functools.cached_property
    def groups(self) -> dict[str, list[Sound]]:
        """The recordings that are compared, by the name of their group."""
        return {
            "source": self.source,
            "songs": [song.before for song in self.songs],
            "migrated": [song.after for song in self.songs],
            "target": self.target,
        }


def tables(report: MigrationReport) -> "list[Table]":
    """Return the report as two tables: one of what moved and what was kept, one of the scores."""
    rows = [
        (name, *(_mean_of(sounds, key, form, scale) for sounds in report.groups.values()))
        for key, name, form, scale in _VOICE
    ]
    for key, name, form in (
        *_KEPT,
        ("to_target", "mel-cepstral distance to the target", "{:.1f} dB"),
    ):
        mean = finite_mean([getattr(song, key) for song in report.songs])
        rows.append((name, "", "", shown_number(form, mean), ""))
    caption = f"± half of a 95 % interval over {len(report.songs)} songs. {ABOUT_BASELINE}"
    title = f"{report.title}, strength {report.strength:g}"
    return [
        text_table(title, ("", *report.groups), rows),
        text_table(
            "Score: 0 is the source, 1 the target", report.score_head, report.score_rows(), caption
        ),
    ]


def write_page(report: MigrationReport, sample_rate: int) -> str:
    """Return the report as HTML that embeds all sounds and pictures.

    Args:
        report: the report.
        sample_rate: sample rate of its sounds, in Hz.
    """
    parts = [page.heading("Score of the classifier"), _scores(report)]
    parts += [page.heading("What moved"), page.table(_VOICE_HEAD, _voices(report))]
    parts += [
        page.picture(_envelopes(report, sample_rate), "mean spectra of the frames that sound")
    ]
    kept = [
        (shown(song.before.name), *(shown_number(f, getattr(song, key)) for key, _, f in _KEPT))
        for song in report.songs
    ]
    head = ("", *(name for _, name, _ in _KEPT))
    parts += [page.heading("What must not change"), page.table(head, kept)]
    for song in report.songs:
        parts += [page.heading(shown(song.before.name)), _pair(song, report, sample_rate)]
    return page.document(report.title, report.about, parts)


_VOICE_HEAD = ("", *(name for _, name, _, _ in _VOICE), "mel-cepstral distance to the target")


def _voices(report: MigrationReport) -> Iterable[tuple[str, ...]]:
    target = np.mean([sound.cepstrum for sound in report.target], axis=0)
    for name, sounds in report.groups.items():
        cells = [_mean_of(sounds, key, form, scale) for key, _, form, scale in _VOICE]
        distance = np.mean([measures.cepstral_distance(s.cepstrum, target) for s in sounds])
        yield name, *cells, f"{distance:.1f} dB"


def _mean_of(sounds: Sequence[Sound], key: str, form: str, scale: float) -> str:
    """The mean of a field of `Voice` over the recordings for which it is finite."""
    return shown_number(form, scale * finite_mean([getattr(s.voice, key) for s in sounds]))


def _scores(report: MigrationReport) -> str:
    rows = [
        (shown(song.before.name), *(f"{song.positions[s]:.2f}" for s in report.strengths))
        for song in report.songs
    ]
    about = (
        "A score of 0 is the mean of the source's originals, 1 that of the target's. The "
        f"classifier is right about {100 * report.accuracy:.0f} % of the clips that it was not "
        f"fitted to. {ABOUT_BASELINE} ± is half of a 95 % interval over the songs."
    )
    return (
        f"<p>{page.plain(about)}</p>{page.table(report.score_head, [*rows, *report.score_rows()])}"
    )


def _pair(song: Migrated, report: MigrationReport, sample_rate: int) -> str:
    loudest = max(1.0, *(float(np.abs(s.audio).max()) for s in (song.before, song.after)))
    captions = "A: the song", f"B: migrated, strength {report.strength:g}"
    sounds = zip((song.before, song.after), captions, strict=True)
    return page.pair(
        page.recording(sound.audio / loudest, sample_rate, caption) for sound, caption in sounds
    )


def _envelopes(report: MigrationReport, sample_rate: int) -> bytes:
    """The mean spectra of all groups in one drawing, as a PNG."""
    import librosa

    figure, axes = drawing(7.2, 3.2)
    bands = librosa.mel_frequencies(measures.MELS, fmax=sample_rate / 2)
    for (name, sounds), line in zip(report.groups.items(), ("--", "-", "-", "--"), strict=True):
        axes.plot(bands, np.mean([sound.envelope for sound in sounds], axis=0), line, label=name)
    axes.set_xlabel("Hz")
    axes.set_ylabel("dB about the mean")
    axes.legend()
    return png(figure)
