"""Measure synthesis from mels: distances to the recordings, speed, and whistling in silence."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from singlow.errors import DataError
from singlow.evaluation import measures, page
from singlow.evaluation.figures import Estimate, mean_estimate, shown_number
from singlow.names import shown
from singlow.spectral import audio_from_mel
from singlow.tables import table as text_table
from singlow.voices.vocode import TEMPERATURE, TILE, synthesised

if TYPE_CHECKING:
    from rich.table import Table

    from singlow.data.feed.windows import Windows
    from singlow.models.flow import Flow
    from singlow.runs.opening import TrainedRun

GRIFFIN_LIM, MU_LAW = "Griffin-Lim", "8-bit mu-law"
LINE = 20.0  # dB above its surroundings; a louder line in silence is a whistle
_TRANSFORM, _HOP = 1024, 256
_QUIETEST = 80.0  # dB below the loudest bin of the recording; quieter bins count as this quiet
_SILENCE = 5.0  # seconds
_FINE = 8192  # samples of the transforms in which lines are searched
_AROUND = 100.0  # Hz of the surroundings of a line, on each side
_MU = 255.0


@dataclass(frozen=True)
class Distances:
    """The distances of a sound to the recording that it should equal, in the band of the mel.

    Attributes:
        log_spectral: root mean square difference of the bins of a spectrum in dB, averaged over
            sounding frames.
        cepstral: root mean square difference of mel bands in dB, from cepstra 1 to 13, averaged
            over sounding frames.
        pitch: median of `|f0' - f0| / f0` over frames where both have a pitch, as a share.
        pitch_mean: mean of the same.
        voicing: share of sounding frames in which one has a pitch and the other has not.
    """

    log_spectral: float
    cepstral: float
    pitch: float
    pitch_mean: float
    voicing: float


@dataclass(frozen=True)
class Synthesis:
    """The figures of a vocoder on held-out clips.

    Attributes:
        systems: the distances of each clip by the name of the system: the run, Griffin-Lim from the
            same mel, and the recording after 8-bit mu-law coding.
        temperature: of the run's synthesis.
        speed: seconds of audio that the run synthesises per second.
        line: height in dB of the largest line above its surroundings in the synthesis of a silent
            mel.
        line_frequency: its frequency in Hz.
    """

    systems: dict[str, list[Distances]]
    temperature: float
    speed: float
    line: float
    line_frequency: float

    @property
    def whistles(self) -> bool:
        """Whether a line in silence is more than 20 dB above its surroundings."""
        return not self.line <= LINE

    def figures(self, name: str) -> dict[str, Estimate]:
        """The mean of each distance over clips, with its interval."""
        clips = self.systems[name]
        return {
            key: mean_estimate(
                [value for clip in clips if np.isfinite(value := getattr(clip, key))]
            )
            for key in Distances.__dataclass_fields__
        }


def measure_synthesis(
    run: "TrainedRun", held_out: "Windows", temperature: float = TEMPERATURE, seed: int = 0
) -> Synthesis:
    """Synthesise the held-out clips from their mels and compare them with the recordings.

    Args:
        run: a run with the input `mel`.
        held_out: windows of the held-out clips.
        temperature: of the synthesis.
        seed: of the noise.
    """
    flow, rate = run.coder, run.flow.signal.sample_rate
    clips = [flow.signal.dequantize(held_out.clip(i)[1])[:, 0] for i in range(held_out.clips)]
    clips = [clip for clip in clips if len(clip) > flow.recipe.n_fft]
    if not clips:
        raise DataError("Expected a held-out clip that is longer than a frame. Received: none.")
    _synthesise(flow, flow.mel_of(clips[0]), len(clips[0]), temperature, seed)  # compiles
    names = (run.name, GRIFFIN_LIM, MU_LAW)
    systems: dict[str, list[Distances]] = {name: [] for name in names}
    seconds = spent = 0.0
    for number, clip in enumerate(clips):
        mel = flow.mel_of(clip)
        start = time.perf_counter()
        made = _synthesise(flow, mel, len(clip), temperature, seed + number)
        spent += time.perf_counter() - start
        seconds += len(clip) / rate
        inverted = _fitted(audio_from_mel(mel, flow.recipe), len(clip))
        reference = _Reference(clip, rate, (flow.recipe.low, flow.recipe.high))
        for name, audio in zip(names, (made, inverted, mu_law(clip)), strict=True):
            systems[name].append(reference.distances(audio))
    line, frequency = largest_line(_in_silence(flow, temperature, seed), rate)
    return Synthesis(systems, temperature, seconds / spent, line, frequency)


def _synthesise(
    flow: "Flow", mel: np.ndarray, length: int, temperature: float, seed: int
) -> np.ndarray:
    return np.concatenate(list(synthesised(flow, mel, length, temperature, seed, TILE)))[:, 0]


def _in_silence(flow: "Flow", temperature: float, seed: int) -> np.ndarray:
    """Return the synthesis of a silent mel."""
    recipe = flow.recipe
    mel = flow.mel_of(np.zeros(round(_SILENCE * recipe.sample_rate), np.float32))
    return _synthesise(flow, mel, len(mel) * recipe.hop_length, temperature, seed)


def _fitted(audio: np.ndarray, length: int) -> np.ndarray:
    return np.pad(audio[:length], (0, max(0, length - len(audio))))


def mu_law(audio: np.ndarray) -> np.ndarray:
    """Audio after coding with 256 levels of the mu-law, as in telephony.

    References:
        ITU-T G.711, Pulse code modulation of voice frequencies, 1972.
    """
    compressed = np.sign(audio) * np.log1p(_MU * np.minimum(1.0, np.abs(audio))) / np.log1p(_MU)
    stored = np.round((compressed + 1) / 2 * _MU) / _MU * 2 - 1
    return (np.sign(stored) * np.expm1(np.abs(stored) * np.log1p(_MU)) / _MU).astype(np.float32)


class _Reference:
    """Measures the distances of sounds to a recording `(time,)` in a band of frequencies."""

    def __init__(self, audio: np.ndarray, sample_rate: int, band: tuple[float, float]) -> None:
        self._rate, self._band = sample_rate, band
        self._magnitude = self._spectrum(audio)
        self._floor = self._magnitude.max() * 10 ** (-_QUIETEST / 20)
        loud = np.square(self._magnitude).sum(axis=1)
        self._sounds = loud > loud.max() * 10 ** (-measures.SOUNDING / 10)
        spectrum = measures.mel_spectrum(audio, sample_rate, *band)
        self._sounding = measures.sounding(spectrum)
        self._cepstra = measures.mel_cepstra(spectrum)
        self._pitch = measures.pitch(audio, sample_rate)

    def _spectrum(self, audio: np.ndarray) -> np.ndarray:
        """The magnitudes of the bins in the band: `(frames, bins)`."""
        import librosa

        audio = np.asarray(audio, np.float32)
        magnitude = np.abs(librosa.stft(audio, n_fft=_TRANSFORM, hop_length=_HOP)).T
        frequency = np.fft.rfftfreq(_TRANSFORM, 1 / self._rate)
        return magnitude[:, (frequency >= self._band[0]) & (frequency <= self._band[1])]

    def distances(self, audio: np.ndarray) -> Distances:
        own = np.maximum(self._magnitude, self._floor)
        other = np.maximum(self._spectrum(audio), self._floor)
        frames = np.sqrt(np.square(20 * np.log10(own / other)).mean(axis=1))
        cepstra = measures.mel_cepstra(measures.mel_spectrum(audio, self._rate, *self._band))
        pitch = measures.pitch(audio, self._rate)
        voiced, other_voiced = np.isfinite(self._pitch), np.isfinite(pitch)
        both = voiced & other_voiced
        errors = np.abs(pitch[both] / self._pitch[both] - 1)
        sounding = self._sounding[: len(voiced)]
        return Distances(
            log_spectral=float(frames[self._sounds].mean()),
            cepstral=measures.cepstral_distance(
                self._cepstra[self._sounding], cepstra[self._sounding]
            ),
            pitch=float(np.median(errors)) if len(errors) else float("nan"),
            pitch_mean=float(errors.mean()) if len(errors) else float("nan"),
            voicing=float((voiced != other_voiced)[: len(sounding)][sounding].mean()),
        )


def largest_line(audio: np.ndarray, sample_rate: int) -> tuple[float, float]:
    """The height in dB and the frequency in Hz of the largest line in a spectrum.

    The height is that of a bin of the mean power spectrum above the median of its surroundings,
    100 Hz on each side.
    """
    from scipy.ndimage import median_filter
    from scipy.signal import welch

    size = min(_FINE, len(audio))
    frequency, power = welch(np.asarray(audio, np.float64), sample_rate, nperseg=size)
    decibels = 10 * np.log10(power + 1e-20)
    width = 2 * max(1, round(_AROUND * size / sample_rate)) + 1
    heights = decibels - median_filter(decibels, width, mode="nearest")
    heights[:2] = -np.inf  # a constant is no line
    place = int(heights.argmax())
    return float(heights[place]), float(frequency[place])


def table(measured: Synthesis) -> "Table":
    """Return the distances as a table with one row for each system."""
    rows = []
    for name, clips in measured.systems.items():
        figures = measured.figures(name)
        percent = [figures[key] for key in ("pitch", "pitch_mean", "voicing")]
        cells = [figures[key].shown("{:.2f}") for key in ("log_spectral", "cepstral")]
        cells += [_share(figure) for figure in percent]
        rows.append([name, str(len(clips)), *cells])
    head = ["", "clips", "spectrum, dB", "mel cepstrum, dB", "f0, median", "f0, mean", "voicing"]
    caption = (
        "± is half of a 95 % interval over clips. f0: share by which the pitch differs where both "
        "have one. voicing: share of frames where only one has a pitch. Frequencies beyond those "
        "of the mel are left out. Griffin-Lim has the same mels; the 8-bit mu-law is applied to "
        "the recordings."
    )
    title = f"Distances of the synthesis at temperature {measured.temperature:g} to the recordings"
    return text_table(title, head, rows, caption)


def describe(measured: Synthesis) -> str:
    """Return lines about the speed and the silence."""
    verdict = "a whistle" if measured.whistles else "no whistle"
    return (
        f"Synthesis runs at {measured.speed:.1f} times real time.\n"
        f"The synthesis of a silent mel has its largest line at {measured.line_frequency:.0f} Hz, "
        f"{measured.line:.1f} dB above its surroundings (limit {LINE:g} dB): {verdict}."
    )


def _share(figure: Estimate) -> str:
    percent = Estimate(100 * figure.value, 100 * figure.low, 100 * figure.high)
    return f"{percent.shown('{:.1f}')} %" if np.isfinite(figure.value) else shown_number("", np.nan)


def write_sweep(
    run: "TrainedRun",
    names: Mapping[Path, Path],
    results: Mapping[Path, Sequence[Path]],
    wanted: Sequence[tuple[float, int]],
) -> str:
    """Return a page as HTML that plays results at several temperatures beside each other.

    Args:
        run: the run that synthesised them.
        names: names of the sources by path.
        results: wav files of each source, in the order of `wanted`.
        wanted: temperature and seed of each result.
    """
    from singlow.audio import load_audio
    from singlow.spectral import MEL_SUFFIXES

    parts: list[str] = []
    for source, paths in results.items():
        if not all(path.is_file() for path in paths):
            continue  # the source could not be used, which was reported
        figures = []
        if source.suffix.lower() not in MEL_SUFFIXES:
            figures.append(_figure(load_audio(source, channels=1), "recording"))
        for path, (temperature, seed) in zip(paths, wanted, strict=True):
            caption = f"temperature {temperature:g}, seed {seed}"
            figures.append(_figure(load_audio(path, channels=1), caption))
        parts += [page.heading(shown(str(names[source]))), page.pair(figures)]
    about = [
        "The same mels at several temperatures, the scale of the noise that becomes sound. High "
        "temperatures tremble, low ones hum."
    ]
    return page.document(f"{run.name}, epoch {run.checkpoint.epoch}: temperatures", about, parts)


def _figure(loaded: tuple[np.ndarray, Any], caption: str) -> str:
    audio, rate = loaded
    return page.recording(np.clip(audio[:, 0], -1, 1), rate, caption)
