"""What a migration moved, and what it must not have moved."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from singlow.evaluation import measures
from singlow.evaluation.originals import evenly
from singlow.evaluation.styles import Classifier

Change = Callable[[np.ndarray, float], np.ndarray]
STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5)


@dataclass(frozen=True)
class Sound:
    """A recording with what was measured of it.

    Attributes:
        name: of the recording.
        audio: `(time,)` float32.
        f0: see `measures.pitch`.
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
        """Mean mel spectrum of what sounds, its level taken away: `(MELS,)` in dB."""
        mean = self.spectrum[measures.sounding(self.spectrum)].mean(axis=0)
        return mean - mean.mean()

    @property
    def cepstrum(self) -> np.ndarray:
        """Mean mel cepstrum of what sounds: `(CEPSTRA,)` in dB."""
        return measures.mel_cepstra(self.spectrum[measures.sounding(self.spectrum)]).mean(axis=0)


@dataclass(frozen=True)
class Migrated:
    """A song and its migration.

    Attributes:
        before: the song.
        after: the same, migrated.
        positions: of the classifier, by strength: 0 is the source's mean, 1 the target's.
        pitch: correlation of the two pitch contours; nan where there is no pitch.
        cents: median distance of the two; nan likewise.
        loudness: dB, of the migration relative to the song.
        seconds: of the migration beyond the song's.
        to_source: mel-cepstral distance to the song itself, frame by frame, in dB.
        to_target: of the mean mel cepstrum to the target's mean, in dB.
        to_target_before: the song's own.
    """

    before: Sound
    after: Sound
    positions: dict[float, float]
    pitch: float
    cents: float
    loudness: float
    seconds: float
    to_source: float
    to_target: float
    to_target_before: float


@dataclass(frozen=True)
class Report:
    """A migration measured on several songs.

    Attributes:
        strength: of `songs`' `after`.
        accuracy: of the classifier on clips it was not fitted to.
        songs: each with its migration.
        source: recordings of the source's singers.
        target: recordings of the target's.
    """

    strength: float
    accuracy: float
    songs: list[Migrated]
    source: list[Sound]
    target: list[Sound]

    def position(self, strength: float) -> float:
        """Mean over the songs of the classifier's score at a strength."""
        return float(np.mean([song.positions[strength] for song in self.songs]))

    def moved(self, strength: float) -> float:
        """Mean share of the way between the groups that the score moved."""
        return self.position(strength) - self.position(0.0)


def measure_migration(
    change: Change,
    songs: Sequence[tuple[str, np.ndarray]],
    source: Sequence[tuple[str, np.ndarray]],
    target: Sequence[tuple[str, np.ndarray]],
    sample_rate: int,
    strength: float = 1.0,
    measured: int = 4,
    done: Callable[[], None] = lambda: None,
) -> Report:
    """Migrate songs and measure them beside originals of both sides.

    Args:
        change: takes audio `(time, channels)` and a strength, gives the migration.
        songs: names and audio `(time, channels)`, none of them among `source`.
        source: originals of the source's singers, for the classifier.
        target: of the target's.
        sample_rate: Hz of all.
        strength: of the migrations that are measured in full.
        measured: originals of either side that are measured in full.
        done: called after every recording that was.

    Raises:
        DataError: there are too few originals for a classifier.
    """
    classifier = Classifier(
        [_mono(audio) for _, audio in source], [_mono(audio) for _, audio in target], sample_rate
    )

    def measure(name: str, audio: np.ndarray) -> Sound:
        sound = _sound(name, _mono(audio), sample_rate)
        done()
        return sound

    ends = [[measure(*clip) for clip in evenly(side, measured)] for side in (source, target)]
    wanted = np.mean([sound.cepstrum for sound in ends[1]], axis=0)
    rows = []
    for name, audio in songs:
        moved = {s: change(audio, s) for s in sorted({*STRENGTHS, strength})}
        positions = {s: classifier.position(_mono(sound)) for s, sound in moved.items()}
        before, after = measure(name, audio), measure(name, moved[strength])
        rows.append(_compared(before, after, positions, wanted))
    return Report(strength, classifier.accuracy, rows, *ends)


def steps(songs: int, source: int, target: int, measured: int = 4) -> int:
    """How often `measure_migration` calls `done`."""
    return 2 * songs + min(source, measured) + min(target, measured)


def _compared(
    before: Sound, after: Sound, positions: dict[float, float], wanted: np.ndarray
) -> Migrated:
    cepstra = [measures.mel_cepstra(sound.spectrum) for sound in (before, after)]
    heard = measures.sounding(before.spectrum)
    return Migrated(
        before=before,
        after=after,
        positions=positions,
        pitch=measures.pitch_correlation(before.f0, after.f0),
        cents=measures.pitch_deviation(before.f0, after.f0),
        loudness=after.voice.loudness - before.voice.loudness,
        seconds=after.voice.seconds - before.voice.seconds,
        to_source=measures.cepstral_distance(cepstra[0][heard], cepstra[1][heard]),
        to_target=measures.cepstral_distance(after.cepstrum, wanted),
        to_target_before=measures.cepstral_distance(before.cepstrum, wanted),
    )


def _sound(name: str, audio: np.ndarray, sample_rate: int) -> Sound:
    f0 = measures.pitch(audio, sample_rate)
    measured = measures.measure_voice(audio, sample_rate, f0)
    return Sound(name, audio, f0, measured, measures.mel_spectrum(audio, sample_rate))


def _mono(audio: np.ndarray) -> np.ndarray:
    return audio.mean(axis=1)
