"""Measure migrations: what moves towards the target, and what must not change."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.signal import istft, stft

from singlow.audio import to_channels
from singlow.errors import DataError, UsageError
from singlow.evaluation import measures
from singlow.evaluation.migration_report import (
    Migrated,
    MigrationReport,
    Sound,
    write_page,
)
from singlow.evaluation.originals import Named, builtin_originals, dataset_originals, evenly
from singlow.evaluation.styles import Classifier
from singlow.files import write_text
from singlow.latents.features import SingerFeatures, features_of_run
from singlow.latents.migrate import migrate_audio
from singlow.names import shown
from singlow.progress import progress

if TYPE_CHECKING:
    from singlow.runs.opening import TrainedRun

Change = Callable[[np.ndarray, float], np.ndarray]
"""A function from audio `(time, channels)` and a strength to the migrated audio."""

STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5)
_BUILTIN = {"source": "virtual", "target": "human"}
_QUIET = 0.2  # the noise of a band is this quantile of its power over frames
_LARGEST_GAIN = 30.0  # largest gain of the equalisation in a band
_CLIPS = 40  # largest number of clips of each side whose spectra are measured


class Baseline:
    """A migration without a model of voices: static equalisation, and noise that follows the song.

    S and T are the mean power spectra of source and target. N_S and N_T are their noise spectra:
    the 20 % quantiles of each band's share of a frame's power. Every frame x of 32 ms becomes

        y = (T / S)^(strength / 2) x + strength sqrt(max(0, N_T - T / S N_S)) |x| noise

    The result is scaled to the rms of the recording. A score is evidence about voices only where it
    exceeds that of this baseline.

    Args:
        source: recordings `(time,)` of the source.
        target: recordings `(time,)` of the target.
        sample_rate: sample rate of all recordings, in Hz.
    """

    def __init__(
        self, source: Sequence[np.ndarray], target: Sequence[np.ndarray], sample_rate: int
    ) -> None:
        self._window = max(8, 2 * round(0.016 * sample_rate))
        (before, quiet_before), (after, quiet_after) = map(self._spectra, (source, target))
        gain = np.sqrt(after / before).clip(1 / _LARGEST_GAIN, _LARGEST_GAIN)
        self._gain = gain[:, None]
        noise = np.sqrt(np.maximum(0, quiet_after - gain**2 * quiet_before))
        self._noise = noise[:, None]

    def __call__(self, audio: np.ndarray, strength: float) -> np.ndarray:
        """Migrate a recording `(time,)`."""
        spectrum = self._transform(audio)
        rng = np.random.default_rng(0)
        noise = rng.standard_normal((2, *spectrum.shape)) / np.sqrt(2)
        power = np.sqrt(np.square(np.abs(spectrum)).sum(axis=0))
        spectrum = spectrum * self._gain**strength
        spectrum += strength * self._noise * power * (noise[0] + 1j * noise[1])
        settings = {"nperseg": self._window, "noverlap": 3 * self._window // 4}
        changed = istft(spectrum, **settings)[1][: len(audio)]
        rms, target_rms = (np.sqrt(np.mean(np.square(x))) for x in (changed, audio))
        return (changed * (target_rms / max(rms, 1e-12))).astype(np.float32)

    def _transform(self, audio: np.ndarray) -> np.ndarray:
        """Return the Fourier transform `(bins, frames)` of audio `(time,)`."""
        audio = np.pad(audio, (0, max(0, self._window - len(audio))))
        return stft(audio, nperseg=self._window, noverlap=3 * self._window // 4)[2]

    def _spectra(self, clips: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Return the mean power spectrum, with sum 1, and the noise spectrum: `(bins,)` each."""
        powers = []
        for audio in evenly(clips, _CLIPS):
            power = np.square(np.abs(self._transform(audio)))
            total = power.sum(axis=0)
            powers.append(power[:, total > total.max() * 10 ** (-measures.SOUNDING / 10)])
        power = np.concatenate(powers, axis=1) + 1e-20
        mean = power.mean(axis=1)
        return mean / mean.sum(), np.quantile(power / power.sum(axis=0), _QUIET, axis=1)


def measure_migration(
    change: Change,
    songs: Sequence[Named],
    source: Sequence[Named],
    target: Sequence[Named],
    sample_rate: int,
    strength: float = 1.0,
    measured: int = 4,
    done: Callable[[], None] = lambda: None,
) -> MigrationReport:
    """Migrate songs and compare the results with originals of both sides and a baseline.

    Args:
        change: the migration.
        songs: names and audio `(time, channels)`, none of them among `source`.
        source: originals of the source's singers, for the classifier and the baseline.
        target: originals of the target's singers.
        sample_rate: sample rate of all recordings, in Hz.
        strength: strength of the migrations that are measured in full.
        measured: number of originals of each side that are measured in full.
        done: called after every recording that is measured in full.

    Raises:
        DataError: there are too few originals for a classifier.
    """
    sides = [[_mono(audio) for _, audio in side] for side in (source, target)]
    classifier = Classifier(*sides, sample_rate)
    baseline = Baseline(*sides, sample_rate)

    def measure(name: str, audio: np.ndarray) -> Sound:
        sound = _sound(name, _mono(audio), sample_rate)
        done()
        return sound

    ends = [[measure(*clip) for clip in evenly(side, measured)] for side in (source, target)]
    target_cepstrum = np.mean([sound.cepstrum for sound in ends[1]], axis=0)
    rows = []
    for name, audio in songs:
        strengths = sorted({*STRENGTHS, strength})
        moved = {s: change(audio, s) for s in strengths}
        positions = {s: classifier.position(_mono(sound)) for s, sound in moved.items()}
        others = {s: classifier.position(baseline(_mono(audio), s)) for s in strengths}
        before, after = measure(name, audio), measure(name, moved[strength])
        rows.append(_compared(before, after, positions, others, target_cepstrum))
    return MigrationReport(strength, classifier.accuracy, rows, *ends)


def steps(songs: int, source: int, target: int, measured: int = 4) -> int:
    """Return the number of times that `measure_migration` calls `done`."""
    return 2 * songs + min(source, measured) + min(target, measured)


def _compared(
    before: Sound,
    after: Sound,
    positions: dict[float, float],
    baseline: dict[float, float],
    target_cepstrum: np.ndarray,
) -> Migrated:
    cepstra = [measures.mel_cepstra(sound.spectrum) for sound in (before, after)]
    sounding = measures.sounding(before.spectrum)
    return Migrated(
        before=before,
        after=after,
        positions=positions,
        baseline=baseline,
        pitch=measures.pitch_correlation(before.f0, after.f0),
        cents=measures.pitch_deviation(before.f0, after.f0),
        loudness=after.voice.loudness - before.voice.loudness,
        seconds=after.voice.seconds - before.voice.seconds,
        to_source=measures.cepstral_distance(cepstra[0][sounding], cepstra[1][sounding]),
        to_target=measures.cepstral_distance(after.cepstrum, target_cepstrum),
        to_target_before=measures.cepstral_distance(before.cepstrum, target_cepstrum),
    )


def _sound(name: str, audio: np.ndarray, sample_rate: int) -> Sound:
    f0 = measures.pitch(audio, sample_rate)
    voice = measures.measure_voice(audio, sample_rate, f0)
    return Sound(name, audio, f0, voice, measures.mel_spectrum(audio, sample_rate))


def _mono(audio: np.ndarray) -> np.ndarray:
    return to_channels(audio, 1)[:, 0]


def evaluate_migration(
    run: "TrainedRun",
    config: Mapping[str, Any],
    source: str | None,
    target: str | None,
    strength: float,
    method: str,
    output: Path,
) -> MigrationReport:
    """Measure the migrations of a run on held-out songs and write a page that plays them.

    Args:
        run: an opened run.
        config: its settings as `prepare_data` returns them.
        source: singer or style of the songs; on the built-in corpus, None means "virtual".
        target: singer or style that they become; on the built-in corpus, None means "human".
        strength: strength of the migrations that are measured in full and played.
        method: a name in `methods.METHODS`.
        output: the HTML file of the page.

    Raises:
        UsageError: a name is unknown or missing.
        DataError: there are too few recordings.
    """
    known, flow = features_of_run(run, config), run.coder
    builtin = config["data"]["dataset"] == "builtin"
    if builtin:
        source, target = source or _BUILTIN["source"], target or _BUILTIN["target"]
    if source is None or target is None:
        raise UsageError(
            "Expected source and target (--from and --to), singers or styles in "
            f"{', '.join(map(shown, known.names))}. Received: not both."
        )
    begin, end = known[source], known[target]
    songs, *sides = _originals(run, config, known, source, target, builtin)
    with progress("Measuring", steps(len(songs), *map(len, sides))) as advance:
        report = measure_migration(
            lambda audio, share: migrate_audio(flow, audio, begin, end, share, method),
            songs,
            *sides,
            flow.signal.sample_rate,
            strength,
            done=advance,
        )
    about = (
        f"Run {run.name}, epoch {run.checkpoint.epoch}; method {method}, strength {strength:g}; "
        f"{len(songs)} songs; features of {begin.clips} and {end.clips} clips.",
        "Songs and originals are built-in clips that the run was not trained on."
        if builtin
        else "The songs were held out from training. The originals, to which the classifier and "
        "the baseline are fitted, are training clips.",
    )
    report = dataclasses.replace(report, title=f"{shown(source)} to {shown(target)}", about=about)
    write_text(output, write_page(report, flow.signal.sample_rate))
    return report


def _originals(
    run: "TrainedRun",
    config: Mapping[str, Any],
    known: SingerFeatures,
    source: str,
    target: str,
    builtin: bool,
) -> tuple[list[Named], list[Named], list[Named]]:
    """Return songs of the source, originals of the source, and originals of the target."""
    signal = run.flow.signal
    if builtin:
        sides = (lambda *names, name=name: name in names for name in (source, target))
        return builtin_originals(*sides, signal.sample_rate, signal.channels)
    ids = [[clip.id for clip in known.clips(name)] for name in (source, target)]
    if set(ids[0]) & set(ids[1]):
        raise DataError(
            f"Expected two sides. Received: {shown(source)} and {shown(target)} share clips."
        )
    return dataset_originals(config["data"]["directory"], *ids, signal.sample_rate)
