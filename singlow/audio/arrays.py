"""Arrays of audio: rate, channels, level, whole numbers.

Arrays are `(time, channels)`, float32 in [-1, 1] or int16.
"""

from collections.abc import Iterable, Iterator

import numpy as np
import soxr

FULL_SCALE = 32768
SILENCE = 1e-4  # nothing louder: no sound in it
BLOCK = 1 << 17  # samples


def resampled(blocks: Iterable[np.ndarray], rate: int, sample_rate: int) -> Iterator[np.ndarray]:
    """Blocks (time, channels) of one recording at another rate: `resample`, block by block."""
    stream = held = None
    for block in blocks:
        if rate == sample_rate:
            yield block
            continue
        if stream is None:
            stream = soxr.ResampleStream(rate, sample_rate, block.shape[1], dtype="float32")
        else:
            yield stream.resample_chunk(held)
        held = block
    if stream is not None:
        yield stream.resample_chunk(held, last=True)


def resample(audio: np.ndarray, rate: int, sample_rate: int) -> np.ndarray:
    """Change the rate of `audio` (time, channels) from `rate` to `sample_rate` Hz (soxr, HQ)."""
    if rate == sample_rate:
        return audio
    return soxr.resample(np.ascontiguousarray(audio, np.float32), rate, sample_rate)


def to_channels(audio: np.ndarray, channels: int) -> np.ndarray:
    """Mix `audio` (time, any) to `channels`: the mean for 1; mono is repeated for more.

    Between other counts the first `channels` are kept, or the mean is repeated.
    """
    if audio.shape[1] == channels:
        return audio
    if audio.shape[1] > channels > 1:
        return audio[:, :channels]
    mono = audio[:, :1].copy()
    for index in range(1, audio.shape[1]):
        mono += audio[:, index : index + 1]
    mono *= np.float32(1 / audio.shape[1])
    return mono if channels == 1 else np.repeat(mono, channels, axis=1)


def level(audio: np.ndarray, rms: float | None = None, peak: float = 0.0) -> np.ndarray:
    """Scale `audio` to an rms, then down until nothing exceeds the peak.

    Args:
        audio: (time, channels) float32.
        rms: dBFS (a full-scale square wave is 0); None leaves the level alone.
        peak: dBFS, never exceeded.
    """
    loudest, ceiling = float(np.abs(audio).max(initial=0)), 10 ** (peak / 20)
    gain = 1.0
    if rms is not None and loudest > 0:
        gain = 10 ** (rms / 20) / root_mean_square(audio)
    if loudest * gain > ceiling:
        gain = ceiling / loudest
    return audio if gain == 1.0 else audio * np.float32(gain)


def is_silent(audio: np.ndarray) -> bool:
    """Whether nothing in `audio` is louder than -80 dBFS."""
    return not float(np.abs(audio).max(initial=0)) > SILENCE


def root_mean_square(audio: np.ndarray) -> float:
    """Of all samples of `audio`, in float64."""
    power = sum(np.square(block, dtype=np.float64).sum() for block in blocks_of(audio))
    return float(np.sqrt(power / audio.size))


def blocks_of(audio: np.ndarray) -> Iterator[np.ndarray]:
    """Slices short enough that what is computed of them needs little memory beside the whole."""
    for start in range(0, len(audio), BLOCK):
        yield audio[start : start + BLOCK]


def quantize(audio: np.ndarray) -> np.ndarray:
    """Round float `audio` in [-1, 1] to int16, clipping what lies outside.

    Raises:
        ValueError: a sample is not finite.
    """
    stored = np.empty(audio.shape, np.int16)
    for source, block in zip(blocks_of(audio), blocks_of(stored), strict=True):
        if not np.isfinite(source).all():
            raise ValueError("Expected finite samples. Received: NaN or infinite ones.")
        block[...] = np.clip(np.round(source * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1)
    return stored


def dequantize(audio: np.ndarray) -> np.ndarray:
    """int16 to float32: `audio / 32768`."""
    return audio.astype(np.float32) / FULL_SCALE


def snr_db(reference: np.ndarray, estimate: np.ndarray) -> float:
    """Signal-to-noise ratio `10 log10(sum r^2 / sum (r - e)^2)` in dB; infinite if they agree."""
    reference = np.asarray(reference, np.float64)
    noise = np.sum((reference - estimate) ** 2)
    if noise == 0:
        return float("inf")
    return float(10 * np.log10(np.sum(reference**2) / noise))
