"""Source-filter synthesis: glottal pulses, vocal tract, consonants, room and recording noise.

The functions take numbers and arrays only; other modules of this package define singers and
melodies.

References:
    Fant, Liljencrants, Lin: A four-parameter model of glottal flow. STL-QPSR 26(4), 1985.
    Fant: The LF-model revisited. STL-QPSR 36(2-3), 1995 (the shape parameter Rd).
    Klatt: Software for a cascade/parallel formant synthesizer. JASA 67(3), 1980.
"""

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

import numpy as np
from scipy.optimize import brentq
from scipy.signal import butter, fftconvolve, sosfilt

SAMPLE_RATE = 16000
CONTROL_RATE = 400
HOP = SAMPLE_RATE // CONTROL_RATE

VOWELS: Mapping[str, tuple[float, ...]] = MappingProxyType(
    {
        "a": (730.0, 1090.0, 2440.0, 3400.0),
        "e": (530.0, 1840.0, 2480.0, 3500.0),
        "i": (290.0, 2250.0, 2900.0, 3550.0),
        "o": (500.0, 880.0, 2400.0, 3300.0),
        "u": (320.0, 800.0, 2240.0, 3250.0),
    }
)
"""First four formants of each vowel, in Hz for a vocal tract of 17.5 cm."""

MURMURS: Mapping[str, tuple[float, ...]] = MappingProxyType(
    {
        "l": (360.0, 1050.0, 2600.0, 3300.0),
        "m": (260.0, 1100.0, 2200.0, 3200.0),
        "n": (260.0, 1550.0, 2450.0, 3300.0),
    }
)
"""First four formants of each voiced consonant, in Hz for a vocal tract of 17.5 cm."""

NOISES: Mapping[str, tuple[float, float, float, float]] = MappingProxyType(
    {
        "s": (4300.0, 7600.0, 0.085, -8.0),
        "f": (1500.0, 7400.0, 0.070, -22.0),
        "h": (700.0, 5000.0, 0.060, -24.0),
        "t": (3000.0, 6500.0, 0.014, -8.0),
        "k": (1400.0, 3000.0, 0.020, -10.0),
        "p": (300.0, 1600.0, 0.010, -12.0),
    }
)
"""Unvoiced consonants: band limits in Hz, duration in seconds, gain in dB relative to a voice."""

CONSONANTS = ("", *MURMURS, *NOISES)
HIGHER_FORMANTS = (4500.0, 5500.0, 6500.0, 7500.0)
BANDWIDTHS = (75.0, 95.0, 130.0, 190.0, 260.0, 330.0, 400.0, 480.0)


@cache
def glottal_harmonics(shape: float, count: int = 160) -> np.ndarray:
    """Return the Fourier coefficients of one period of the LF glottal flow derivative.

    The derivative is `E(t) = E0 exp(a t) sin(w t)` until the glottis closes at te, and
    `-(exp(-e (t - te)) - exp(-e (1 - te))) / (e ta)` afterwards. The rate `a` has the value for
    which the flow returns to zero. All timing parameters are functions of `shape` (Fant's Rd).

    Args:
        shape: Rd, from 0.3 (pressed, rich in overtones) to 2.7 (breathy, nearly a sinusoid).
        count: number of harmonics.

    Returns:
        Complex coefficients `(count,)` of harmonics 1 to `count`, for a signal with an rms of 1.
    """
    ta = (-1 + 4.8 * shape) / 100
    rk = (22.4 + 11.8 * shape) / 100
    rg = rk / (4 * (0.11 * shape / (0.5 + 1.2 * rk) - ta))
    te = (1 + rk) / (2 * rg)
    omega = 2 * np.pi * rg
    closed = 1 - te
    epsilon = brentq(lambda e: 1 - np.exp(-e * closed) - e * ta, 1e-3 / ta, 2 / ta)
    back = (1 - np.exp(-epsilon * closed)) / epsilon - closed * np.exp(-epsilon * closed)
    back /= epsilon * ta

    def flow(a: float) -> float:
        swing = omega + np.exp(a * te) * (a * np.sin(omega * te) - omega * np.cos(omega * te))
        swing /= a * a + omega * omega
        return -swing / (np.exp(a * te) * np.sin(omega * te)) - back

    a = brentq(flow, -30.0, 200.0)
    time = np.arange(8192) / 8192
    opening = -np.exp(a * (time - te)) * np.sin(omega * time) / np.sin(omega * te)
    closing = -(np.exp(-epsilon * (time - te)) - np.exp(-epsilon * closed)) / (epsilon * ta)
    period = np.where(time < te, opening, closing)
    coefficients = np.fft.rfft(period)[1 : count + 1]
    return coefficients / np.sqrt(2 * np.sum(np.abs(coefficients) ** 2))


def glottal_source(
    f0: np.ndarray, phase: np.ndarray, effort: np.ndarray, shapes: tuple[float, float]
) -> np.ndarray:
    """Return band-limited glottal pulses, the sum of the harmonics below the Nyquist frequency.

    The pulses are `x(t) = 2 Re sum_k w_k(t) c_k(t) exp(2 pi i k phase(t))`, evaluated by Horner's
    rule. The weight `w_k` fades a harmonic out as it approaches the Nyquist frequency.

    Args:
        f0: fundamental frequency in Hz, positive, `(time,)`.
        phase: phase in cycles, with jitter, `(time,)`.
        effort: vocal effort, from 0 to 1, which interpolates between the two shapes, `(time,)`.
        shapes: Rd at effort 0 and at effort 1.

    Returns:
        Audio `(time,)` with an rms of about 1.
    """
    count = int(SAMPLE_RATE / 2 / f0.min())
    soft, loud = (glottal_harmonics(shape, count) for shape in shapes)
    turn = np.exp(2j * np.pi * phase)
    total = np.zeros(len(f0), complex)
    for k in range(count, 0, -1):
        room = np.clip((SAMPLE_RATE / 2 - 50 - k * f0) / 300, 0, 1)
        total += room * (soft[k - 1] + effort * (loud[k - 1] - soft[k - 1]))
        total *= turn
    return 2 * total.real


def vocal_tract(source: np.ndarray, formants: np.ndarray, bandwidths: np.ndarray) -> np.ndarray:
    """Filter a source with a cascade of resonators that changes `CONTROL_RATE` times a second.

    The transfer function is `H(z) = prod_n (1 - b_n - c_n) / (1 - b_n z^-1 - c_n z^-2)`. Each
    resonator has two poles and a gain of 1 at 0 Hz.

    Args:
        source: glottal pulses and breath, `(time,)`.
        formants: formant frequencies in Hz, `(frames, n)`; frame i applies from sample `i * HOP`.
        bandwidths: bandwidths of the formants in Hz, `(frames, n)`.

    Returns:
        The filtered source, `(time,)`.
    """
    radius = np.exp(-np.pi * bandwidths / SAMPLE_RATE)
    first = 2 * radius * np.cos(2 * np.pi * formants / SAMPLE_RATE)
    second = -(radius**2)
    sections = np.zeros((*formants.shape, 6))
    sections[..., 0] = 1 - first - second
    sections[..., 3] = 1
    sections[..., 4] = -first
    sections[..., 5] = -second
    state = np.zeros((formants.shape[1], 2))
    output = np.empty_like(source)
    for frame, start in enumerate(range(0, len(source), HOP)):
        span = slice(start, start + HOP)
        output[span], state = sosfilt(
            sections[min(frame, len(sections) - 1)], source[span], zi=state
        )
    return output


def tilt(source: np.ndarray, slope: float) -> np.ndarray:
    """Change the spectrum of a signal `(time,)` by `slope` dB per octave above 1 kHz."""
    frequency = np.fft.rfftfreq(len(source), 1 / SAMPLE_RATE)
    response = (np.maximum(frequency, 1000) / 1000) ** (slope / (20 * np.log10(2)))
    return np.fft.irfft(np.fft.rfft(source) * response, len(source))


def consonant_noise(consonant: str, stretch: float, rng: np.random.Generator) -> np.ndarray:
    """Return the noise of an unvoiced consonant, `(time,)`, for a voice with an rms of 1.

    Args:
        consonant: a key of `NOISES`.
        stretch: 17.5 cm divided by the length of the vocal tract; a higher value raises the band.
        rng: random generator.
    """
    low, high, seconds, gain = NOISES[consonant]
    nyquist = SAMPLE_RATE / 2
    band = (low * stretch**0.5, min(high * stretch**0.5, 0.97 * nyquist))
    size = round(seconds * SAMPLE_RATE)
    noise = sosfilt(
        butter(2, band, "bandpass", fs=SAMPLE_RATE, output="sos"), rng.standard_normal(size + 200)
    )[200:]
    shape = np.linspace(0, 1, size)
    plosive = seconds < 0.03
    envelope = np.exp(-3 * shape) * np.minimum(1, 20 * shape) if plosive else np.sin(np.pi * shape)
    noise *= envelope
    return noise * 10 ** (gain / 20) / np.sqrt(np.mean(noise**2))


def smooth(track: np.ndarray, seconds: float) -> np.ndarray:
    """Smooth a control track, `(frames, ...)`, along time with a Hann window of `seconds`."""
    size = 2 * round(seconds * CONTROL_RATE / 2) + 1
    if size < 3:
        return track
    window = np.hanning(size + 2)[1:-1]
    window /= window.sum()
    pad = [(size // 2, size // 2)] + [(0, 0)] * (track.ndim - 1)
    padded = np.pad(track, pad, mode="edge")
    return fftconvolve(padded, window.reshape(-1, *[1] * (track.ndim - 1)), "valid", axes=0)


def slow_noise(size: int, seconds: float, rng: np.random.Generator) -> np.ndarray:
    """Return low-pass noise with an rms of about 1, `(size,)`, correlated over `seconds`."""
    width = 2 * round(seconds * CONTROL_RATE / 2) + 1
    window = np.hanning(width + 2)[1:-1]
    noise = rng.standard_normal(size + width - 1)
    return fftconvolve(noise, window / np.sqrt(np.sum(window**2)), "valid")


def add_room(audio: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Add the reverberation of a small treated room to `audio` `(time,)`.

    The tail is 17 dB below the direct sound and falls by 60 dB in 0.25 s.
    """
    time = np.arange(int(0.25 * SAMPLE_RATE)) / SAMPLE_RATE
    tail = rng.standard_normal(len(time)) * 10 ** (-3 * time / 0.25) * (time > 0.004)
    tail = sosfilt(butter(1, (150, 4000), "bandpass", fs=SAMPLE_RATE, output="sos"), tail)
    tail *= 10 ** (-17 / 20) / np.sqrt(np.sum(tail**2))
    return audio + fftconvolve(audio, tail)[: len(audio)]


def recording_noise(size: int, rng: np.random.Generator) -> np.ndarray:
    """Return the noise of a room and a pre-amplifier, `(size,)`, with an rms of 1.

    Its power spectrum falls as 1/f from 40 Hz to 2 kHz and is flat above 2 kHz.
    """
    spectrum = np.fft.rfft(rng.standard_normal(size))
    frequency = np.fft.rfftfreq(size, 1 / SAMPLE_RATE)
    power = (1 / np.maximum(frequency, 40) + 1 / 2000) * frequency**2 / (frequency**2 + 30**2)
    noise = np.fft.irfft(spectrum * np.sqrt(power), size)
    return noise / np.sqrt(np.mean(noise**2))
