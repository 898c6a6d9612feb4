"""What one can measure of a sung voice: pitch, vibrato, jitter, breath, spectral envelope.

All take `audio` `(time,)`, float in +-1, and its rate in Hz.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

HOP = 100  # frames a second
MELS = 40
CEPSTRA = 13
SOUNDING = 35.0  # dB below the loudest frame, above which a frame sounds
_LOW, _HIGH = 60.0, 1000.0
_LEAST_NOTE = 0.4  # seconds
_EDGE = 6  # frames at the ends of a note that are no steady sound
_VIBRATO = (3.5, 8.5)  # Hz
_LEAST_DEPTH = 8.0  # cents, below which a vibrato has no rate


@dataclass(frozen=True)
class Voice:
    """What was measured of a recording.

    Attributes:
        vibrato_rate: Hz; nan where there is no vibrato.
        vibrato_depth: cents, peak.
        jitter: median deviation of a cycle's length from the mean of itself and its neighbours,
            relative.
        breath: power between the harmonics above 1 kHz, in dB relative to all of it there.
        loudness: rms in dBFS.
        seconds: length.
    """

    vibrato_rate: float
    vibrato_depth: float
    jitter: float
    breath: float
    loudness: float
    seconds: float


def measure_voice(audio: np.ndarray, sample_rate: int, f0: np.ndarray | None = None) -> Voice:
    """Measure everything; `f0` is `pitch(audio, sample_rate)` where it is known already."""
    f0 = pitch(audio, sample_rate) if f0 is None else f0
    rate, depth = vibrato(f0)
    return Voice(
        vibrato_rate=rate,
        vibrato_depth=depth,
        jitter=jitter(audio, sample_rate, f0),
        breath=breath(audio, sample_rate, f0),
        loudness=loudness(audio),
        seconds=len(audio) / sample_rate,
    )


def pitch(audio: np.ndarray, sample_rate: int) -> np.ndarray:
    """Fundamental frequency in Hz, `HOP` times a second; nan where there is none.

    References:
        Mauch and Dixon, pYIN: A fundamental frequency estimator using probabilistic threshold
        distributions, 2014.
    """
    import librosa

    frame = 2 ** int(np.ceil(np.log2(0.06 * sample_rate)))
    hop = round(sample_rate / HOP)
    return librosa.pyin(
        np.asarray(audio, np.float32),
        fmin=_LOW,
        fmax=_HIGH,
        sr=sample_rate,
        frame_length=frame,
        hop_length=hop,
    )[0]


def pitch_correlation(f0: np.ndarray, other: np.ndarray) -> float:
    """Pearson's correlation of two contours in cents, where both have a pitch; nan for none."""
    both = np.isfinite(f0[: len(other)]) & np.isfinite(other[: len(f0)])
    first, second = (np.log2(track[: len(both)][both]) for track in (f0, other))
    if both.sum() < 3 or not first.std() or not second.std():
        return float("nan")
    return float(np.corrcoef(first, second)[0, 1])


def pitch_deviation(f0: np.ndarray, other: np.ndarray) -> float:
    """Median distance in cents of two contours, where both have a pitch; nan for none."""
    size = min(len(f0), len(other))
    cents = np.abs(1200 * np.log2(f0[:size] / other[:size]))
    return float(np.median(cents[np.isfinite(cents)])) if np.isfinite(cents).any() else np.nan


def notes(f0: np.ndarray) -> Iterator[slice]:
    """Stretches of a contour that stay on one note, at least 0.4 s long."""
    cents = 1200 * np.log2(f0)
    step = np.abs(np.diff(cents, prepend=cents[:1]))
    breaks = np.flatnonzero(~(step < 60))
    for start, stop in zip(np.r_[0, breaks], np.r_[breaks, len(f0)], strict=True):
        start = start + int(start in breaks and not np.isfinite(cents[start]))
        if stop - start >= _LEAST_NOTE * HOP:
            yield slice(int(start), int(stop))


def vibrato(f0: np.ndarray) -> tuple[float, float]:
    """Rate in Hz and peak depth in cents, mean over the notes by their length.

    Of every note the parabola is taken away and the largest component from 3.5 to 8.5 Hz is
    looked for; a note without vibrato has a depth near 0. The rate is of those deeper than 8 cents.
    """
    rates = np.arange(*_VIBRATO, 0.05)
    found = []
    for note in notes(f0):
        cents = 1200 * np.log2(f0[note])
        place = np.linspace(-1, 1, len(cents))
        window = np.hanning(len(cents) + 2)[1:-1]
        cents = cents - np.polyval(np.polyfit(place, cents, 2, w=window), place)
        turns = np.exp(-2j * np.pi * rates[:, None] * np.arange(len(cents)) / HOP)
        depth = np.abs(turns @ (cents * window)) * 2 / window.sum()
        found.append((rates[depth.argmax()], depth.max(), len(cents)))
    if not found:
        return float("nan"), float("nan")
    rate, depth, length = np.array(found).T
    deep = depth > _LEAST_DEPTH
    mean_rate = np.average(rate[deep], weights=length[deep]) if deep.any() else float("nan")
    return float(mean_rate), float(np.average(depth, weights=length))


def jitter(audio: np.ndarray, sample_rate: int, f0: np.ndarray) -> float:
    """Relative average perturbation of the cycles of every note's fundamental; nan for no notes.

    The median of `|T_i - (T_i-1 + T_i + T_i+1) / 3| / mean T` with T between rising zero crossings
    of the band around the fundamental; slow changes of pitch, as vibrato, hardly count. The band
    smooths what it measures: figures compare with each other, not with those of other programs.
    """
    from scipy.signal import butter, sosfiltfilt

    found = []
    for note in notes(f0):
        middle = float(np.median(f0[note]))
        band = butter(4, (0.7 * middle, 1.35 * middle), "bandpass", fs=sample_rate, output="sos")
        wave = sosfiltfilt(band, audio[_samples(note, sample_rate)])
        rising = np.flatnonzero((wave[:-1] < 0) & (wave[1:] >= 0))
        crossings = rising - wave[rising] / (wave[rising + 1] - wave[rising])
        edge = round(_EDGE * middle / HOP)
        cycles = np.diff(crossings[edge : len(crossings) - edge])
        if len(cycles) > 2:
            around = (cycles[:-2] + cycles[1:-1] + cycles[2:]) / 3
            found.append(np.abs(cycles[1:-1] - around) / cycles.mean())
    return float(np.median(np.concatenate(found))) if found else float("nan")


def breath(audio: np.ndarray, sample_rate: int, f0: np.ndarray) -> float:
    """Noise between the harmonics from 1 kHz up, in dB relative to all power there; nan for none.

    The median over the frames of notes, in which the bins within a fifth of half-way between two
    harmonics stand for the noise.
    """
    import librosa

    size = 2 ** int(np.ceil(np.log2(0.06 * sample_rate)))
    power = np.square(np.abs(librosa.stft(
        np.asarray(audio, np.float32), n_fft=size, hop_length=round(sample_rate / HOP)
    )))  # fmt: skip
    frequency = np.fft.rfftfreq(size, 1 / sample_rate)
    heard = (frequency > 1000) & (frequency < 0.45 * sample_rate)
    ratios = []
    for note in notes(f0):
        for frame in range(note.start + _EDGE, min(note.stop - _EDGE, power.shape[1])):
            between = heard & (np.abs(frequency / f0[frame] % 1 - 0.5) < 0.2)
            if between.any():
                column = power[:, frame]
                ratios.append(column[between].mean() / column[heard].mean())
    return 10 * float(np.log10(np.median(ratios))) if ratios else float("nan")


def loudness(audio: np.ndarray) -> float:
    """Rms in dBFS; -inf for silence."""
    with np.errstate(divide="ignore"):
        return float(10 * np.log10(np.mean(np.square(audio, dtype=np.float64))))


def mel_spectrum(audio: np.ndarray, sample_rate: int) -> np.ndarray:
    """`(frames, MELS)` in dB, `HOP` frames a second."""
    import librosa

    power = librosa.feature.melspectrogram(
        y=np.asarray(audio, np.float32),
        sr=sample_rate,
        n_fft=2 ** int(np.ceil(np.log2(0.03 * sample_rate))),
        hop_length=round(sample_rate / HOP),
        n_mels=MELS,
    )
    return 10 * np.log10(power.T + 1e-10)


def sounding(spectrum: np.ndarray) -> np.ndarray:
    """Which frames of a `mel_spectrum` are within 35 dB of the loudest: `(frames,)` bool."""
    level = 10 * np.log10((10 ** (spectrum / 10)).sum(axis=1))
    return level > level.max() - SOUNDING


def mel_cepstra(spectrum: np.ndarray) -> np.ndarray:
    """Cepstra 1 to 13 of a `mel_spectrum`, without the level: `(frames, CEPSTRA)` in dB."""
    from scipy.fft import dct

    return dct(spectrum, norm="ortho", axis=1)[:, 1 : CEPSTRA + 1]


def cepstral_distance(cepstra: np.ndarray, other: np.ndarray) -> float:
    """Mean over frames of `sqrt(sum (c - c')^2 / MELS)`: rms over mel bands, smoothed, in dB."""
    return float(np.sqrt(np.square(cepstra - other).sum(axis=-1) / MELS).mean())


def _samples(note: slice, sample_rate: int) -> slice:
    return slice(note.start * sample_rate // HOP, note.stop * sample_rate // HOP)
