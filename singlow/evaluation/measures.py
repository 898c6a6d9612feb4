"""Measures of a sung voice: pitch, vibrato, jitter, breath and spectral envelope.

Recordings are `audio` `(time,)`, float in +-1, with a sample rate in Hz.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

HOP = 100  # frames per second
MELS = 40
CEPSTRA = 13
SOUNDING = 35.0  # a frame sounds if it is at most this many dB below the loudest one
_LOW, _HIGH = 60.0, 1000.0
_LEAST_NOTE = 0.4  # shortest length of a note in seconds
_EDGE = 6  # frames at the ends of a note, where the sound is not steady
_VIBRATO = (3.5, 8.5)  # range of the rate of a vibrato in Hz
_LEAST_DEPTH = 8.0  # cents; a shallower vibrato has no rate


@dataclass(frozen=True)
class Voice:
    """The measures of a recording.

    Attributes:
        vibrato_rate: rate of the vibrato in Hz; nan without vibrato.
        vibrato_depth: peak depth of the vibrato in cents.
        jitter: relative median deviation of a cycle's length from the mean of the cycle and its two
            neighbours.
        breath: power between the harmonics above 1 kHz, in dB relative to all power there.
        loudness: rms in dBFS.
        seconds: length in seconds.
    """

    vibrato_rate: float
    vibrato_depth: float
    jitter: float
    breath: float
    loudness: float
    seconds: float


def measure_voice(audio: np.ndarray, sample_rate: int, f0: np.ndarray | None = None) -> Voice:
    """Compute all measures of a recording.

    Args:
        audio: `(time,)`.
        sample_rate: Hz.
        f0: `pitch(audio, sample_rate)`; computed when None.
    """
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
    """Fundamental frequency in Hz, `(frames,)` at `HOP` frames per second; nan where unvoiced.

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
    """Pearson's correlation of two contours in cents, over frames where both have a pitch.

    It is nan for fewer than three such frames, or a constant contour.
    """
    both = np.isfinite(f0[: len(other)]) & np.isfinite(other[: len(f0)])
    first, second = (np.log2(track[: len(both)][both]) for track in (f0, other))
    if both.sum() < 3 or not first.std() or not second.std():
        return float("nan")
    return float(np.corrcoef(first, second)[0, 1])


def pitch_deviation(f0: np.ndarray, other: np.ndarray) -> float:
    """Median distance in cents of two contours where both have a pitch; nan without such frames."""
    size = min(len(f0), len(other))
    cents = np.abs(1200 * np.log2(f0[:size] / other[:size]))
    return float(np.median(cents[np.isfinite(cents)])) if np.isfinite(cents).any() else np.nan


def notes(f0: np.ndarray) -> Iterator[slice]:
    """Yield the segments of a contour that stay on one note for at least 0.4 s."""
    cents = 1200 * np.log2(f0)
    step = np.abs(np.diff(cents, prepend=cents[:1]))
    breaks = np.flatnonzero(~(step < 60))
    for start, stop in zip(np.r_[0, breaks], np.r_[breaks, len(f0)], strict=True):
        start = start + int(start in breaks and not np.isfinite(cents[start]))
        if stop - start >= _LEAST_NOTE * HOP:
            yield slice(int(start), int(stop))


def vibrato(f0: np.ndarray) -> tuple[float, float]:
    """Rate in Hz and peak depth in cents of the vibrato, averaged over notes by their length.

    A parabola is subtracted from each note, and the largest component from 3.5 to 8.5 Hz is taken.
    A note without vibrato has a depth near 0. The rate is averaged over notes deeper than 8 cents.
    Both are nan without notes.
    """
    rates = np.arange(*_VIBRATO, 0.05)
    components = []
    for note in notes(f0):
        cents = 1200 * np.log2(f0[note])
        place = np.linspace(-1, 1, len(cents))
        window = np.hanning(len(cents) + 2)[1:-1]
        cents = cents - np.polyval(np.polyfit(place, cents, 2, w=window), place)
        turns = np.exp(-2j * np.pi * rates[:, None] * np.arange(len(cents)) / HOP)
        depth = np.abs(turns @ (cents * window)) * 2 / window.sum()
        components.append((rates[depth.argmax()], depth.max(), len(cents)))
    if not components:
        return float("nan"), float("nan")
    rate, depth, length = np.array(components).T
    deep = depth > _LEAST_DEPTH
    mean_rate = np.average(rate[deep], weights=length[deep]) if deep.any() else float("nan")
    return float(mean_rate), float(np.average(depth, weights=length))


def jitter(audio: np.ndarray, sample_rate: int, f0: np.ndarray) -> float:
    """Relative average perturbation of the cycles of the fundamental; nan without notes.

    It is the median of `|T_i - (T_i-1 + T_i + T_i+1) / 3| / mean T`, where T is the time between
    rising zero crossings of the band around the fundamental. Slow changes of pitch, such as
    vibrato, contribute little. The band filter smooths the cycles, so the results are comparable
    with each other but not with those of other programs.
    """
    from scipy.signal import butter, sosfiltfilt

    deviations = []
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
            deviations.append(np.abs(cycles[1:-1] - around) / cycles.mean())
    return float(np.median(np.concatenate(deviations))) if deviations else float("nan")


def breath(audio: np.ndarray, sample_rate: int, f0: np.ndarray) -> float:
    """Noise between the harmonics above 1 kHz, in dB relative to all power there.

    It is the median over the frames of notes, and nan without notes. The noise of a frame is the
    mean power of the bins that are less than `0.2 f0` away from the middle between two harmonics.
    """
    import librosa

    size = 2 ** int(np.ceil(np.log2(0.06 * sample_rate)))
    power = np.square(np.abs(librosa.stft(
        np.asarray(audio, np.float32), n_fft=size, hop_length=round(sample_rate / HOP)
    )))  # fmt: skip
    frequency = np.fft.rfftfreq(size, 1 / sample_rate)
    band = (frequency > 1000) & (frequency < 0.45 * sample_rate)
    ratios = []
    for note in notes(f0):
        for frame in range(note.start + _EDGE, min(note.stop - _EDGE, power.shape[1])):
            between = band & (np.abs(frequency / f0[frame] % 1 - 0.5) < 0.2)
            if between.any():
                column = power[:, frame]
                ratios.append(column[between].mean() / column[band].mean())
    return 10 * float(np.log10(np.median(ratios))) if ratios else float("nan")


def loudness(audio: np.ndarray) -> float:
    """The rms of audio in dBFS; -inf for silence."""
    with np.errstate(divide="ignore"):
        return float(10 * np.log10(np.mean(np.square(audio, dtype=np.float64))))


def mel_spectrum(
    audio: np.ndarray, sample_rate: int, low: float = 0.0, high: float | None = None
) -> np.ndarray:
    """The mel spectrum of audio, `(frames, MELS)` in dB, at `HOP` frames per second.

    Args:
        audio: `(time,)`.
        sample_rate: Hz.
        low: lowest frequency of the bands, Hz.
        high: highest frequency of the bands, Hz; half of the sample rate when None.
    """
    import librosa

    power = librosa.feature.melspectrogram(
        y=np.asarray(audio, np.float32),
        sr=sample_rate,
        n_fft=2 ** int(np.ceil(np.log2(0.03 * sample_rate))),
        hop_length=round(sample_rate / HOP),
        n_mels=MELS,
        fmin=low,
        fmax=high,
    )
    return 10 * np.log10(power.T + 1e-10)


def sounding(spectrum: np.ndarray) -> np.ndarray:
    """Return a mask, `(frames,)` bool, of the frames that are within 35 dB of the loudest one."""
    power = 10 * np.log10((10 ** (spectrum / 10)).sum(axis=1))
    return power > power.max() - SOUNDING


def mel_cepstra(spectrum: np.ndarray) -> np.ndarray:
    """Cepstra 1 to 13 of a `mel_spectrum`, `(frames, CEPSTRA)` in dB; cepstrum 0 is loudness."""
    from scipy.fft import dct

    return dct(spectrum, norm="ortho", axis=1)[:, 1 : CEPSTRA + 1]


def cepstral_distance(cepstra: np.ndarray, other: np.ndarray) -> float:
    """Mean over frames of `sqrt(sum (c - c')^2 / MELS)`: the rms difference of mel bands in dB."""
    return float(np.sqrt(np.square(cepstra - other).sum(axis=-1) / MELS).mean())


def _samples(note: slice, sample_rate: int) -> slice:
    return slice(note.start * sample_rate // HOP, note.stop * sample_rate // HOP)
