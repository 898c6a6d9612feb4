"""Audio files and arrays: decode, resample, level, write.

Arrays are `(time, channels)`, float32 in [-1, 1] or int16. Decoding streams: a song needs memory
for its resampled samples, not for the file's.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import soundfile
import soxr

from singlow.containers import Fault, inspect
from singlow.containers.decoder import clean, open_audio, read_blocks
from singlow.errors import DataError
from singlow.whole import whole

FULL_SCALE = 32768
SILENCE = 1e-4  # nothing louder: no sound in it


class AudioError(DataError):
    """A file that cannot be read as audio.

    Attributes:
        path: of the file.
        reason: in words.
    """

    def __init__(self, path: str | os.PathLike, reason: str) -> None:
        super().__init__(f"{os.fspath(path)}: {reason}")
        self.path = os.fspath(path)
        self.reason = reason


def load_audio(
    path: str | os.PathLike,
    sample_rate: int | None = None,
    channels: int | None = None,
    beat: Callable[[], None] | None = None,
) -> tuple[np.ndarray, int]:
    """Decode a file by its content, convert its rate and channels.

    Args:
        path: wav, rf64, w64, flac, ogg, mp3 or aiff, whatever its name.
        sample_rate: Hz; the file's own when None.
        channels: the file's own when None, else see `to_channels`.
        beat: called after every block, so that a watcher sees progress.

    Returns:
        audio `(time, channels)` float32 and its rate in Hz.

    Raises:
        AudioError: the file is unreadable, empty, cut short, damaged, not finite or has an absurd
            header; the reason says which.
    """
    beat = beat or (lambda: None)
    try:
        promise = inspect(path, beat)
        with open_audio(path, promise) as file:
            rate = sample_rate or file.samplerate
            kept = []
            for block in _convert(read_blocks(file, promise), file.samplerate, rate, channels):
                kept.append(block)
                beat()
            audio = np.concatenate(kept)
    except Fault as fault:
        raise AudioError(path, str(fault)) from None
    except OSError as error:
        raise AudioError(path, f"cannot be opened: {error.strerror or error}") from None
    except MemoryError:
        raise AudioError(path, "too long: it does not fit the memory allowed for it") from None
    if not len(audio):
        raise AudioError(path, "empty: too short for a single sample")
    return audio, rate


def decode(path: str | os.PathLike) -> tuple[np.ndarray, int]:
    """`load_audio` at the file's own rate and channels."""
    return load_audio(path)


def _convert(
    blocks: Iterator[np.ndarray], rate: int, sample_rate: int, channels: int | None
) -> Iterator[np.ndarray]:
    stream = held = None
    for block in blocks:
        block = block if channels is None else to_channels(block, channels)
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
    power = sum(np.square(block, dtype=np.float64).sum() for block in _blocks(audio))
    return float(np.sqrt(power / audio.size))


def _blocks(audio: np.ndarray) -> Iterator[np.ndarray]:
    """Slices short enough that what is computed of them needs little memory beside the whole."""
    for start in range(0, len(audio), 1 << 20):
        yield audio[start : start + (1 << 20)]


def quantize(audio: np.ndarray) -> np.ndarray:
    """Round float `audio` in [-1, 1] to int16, clipping what lies outside.

    Raises:
        ValueError: a sample is not finite.
    """
    stored = np.empty(audio.shape, np.int16)
    for source, block in zip(_blocks(audio), _blocks(stored), strict=True):
        if not np.isfinite(source).all():
            raise ValueError("Expected finite samples. Received: NaN or infinite ones.")
        block[...] = np.clip(np.round(source * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1)
    return stored


def dequantize(audio: np.ndarray) -> np.ndarray:
    """int16 to float32: `audio / 32768`."""
    return audio.astype(np.float32) / FULL_SCALE


def write_audio(
    path: str | os.PathLike,
    audio: np.ndarray,
    sample_rate: int,
    subtype: str | None = None,
    comment: str = "",
) -> None:
    """Write `audio` (time, channels) whole or not at all, as 16-bit PCM unless told otherwise.

    Args:
        path: its suffix chooses the container: .wav, .flac, ...
        audio: float, clipped to [-1, 1] where the subtype counts in integers, or int16.
        sample_rate: Hz.
        subtype: of libsndfile, as "PCM_24" or "FLOAT".
        comment: kept in the file where its container has a place for it, as wav has.

    Raises:
        DataError: a sample is not finite, or the format cannot be written.
    """
    path, audio = Path(path), np.asarray(audio)
    if audio.dtype.kind == "f":
        if not np.isfinite(audio).all():
            raise DataError(f"{path}: expected finite samples. Received: NaN or infinite ones.")
        if subtype is None:
            audio = quantize(audio)
        elif subtype not in ("FLOAT", "DOUBLE"):
            audio = np.clip(audio, -1, 1)
    form, channels = path.suffix[1:].upper() or "WAV", 1 if audio.ndim == 1 else audio.shape[1]
    try:
        with (
            whole(path) as file,
            soundfile.SoundFile(
                file, "w", sample_rate, channels, subtype or "PCM_16", format=form
            ) as written,
        ):
            if comment:
                written.comment = comment
            written.write(audio)
    except (soundfile.SoundFileError, ValueError, TypeError) as error:
        raise DataError(f"{path}: cannot be written: {clean(error)}") from None


def snr_db(reference: np.ndarray, estimate: np.ndarray) -> float:
    """Signal-to-noise ratio `10 log10(sum r^2 / sum (r - e)^2)` in dB; infinite if they agree."""
    reference = np.asarray(reference, np.float64)
    noise = np.sum((reference - estimate) ** 2)
    if noise == 0:
        return float("inf")
    return float(10 * np.log10(np.sum(reference**2) / noise))
