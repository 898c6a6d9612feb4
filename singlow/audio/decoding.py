"""Decode audio files block by block: check them against their containers, resample and mix them."""

import bisect
import contextlib
import functools
import hashlib
import io
import itertools
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import soundfile

from singlow.audio.arrays import BLOCK, ChannelPower, Mixdown, resampled
from singlow.audio.containers import CONTAINERS, Container, Fault, inspect
from singlow.errors import DataError, warn
from singlow.streams import one_line

MAX_CHANNELS, MIN_RATE, MAX_RATE, MAX_HOURS = 8, 4_000, 384_000, 4
MAX_BYTES = 2 << 30  # bytes of decoded audio
# A file may decode to `_EXPANSION` times its own size, and in any case to `_ALWAYS_ALLOWED` bytes.
_ALWAYS_ALLOWED, _EXPANSION = 256 << 20, 256
_INTEGER_PEAK = 64.0  # floats above this (36 dB above full scale) are unscaled integers
_FLOATS = ("FLOAT", "DOUBLE")


class AudioError(DataError):
    """A file that cannot be used as audio.

    Attributes:
        path: the file.
        reason: why the file cannot be used, as text of one line.
    """

    def __init__(self, path: str | os.PathLike, reason: str) -> None:
        self.path = os.fspath(path)
        self.reason = one_line(reason)  # it may quote bytes of the file
        super().__init__(f"{self.path}: {self.reason}")


@dataclass(frozen=True)
class Stream:
    """A file that is being decoded.

    Attributes:
        sample_rate: Hz.
        channels: number of channels.
        blocks: float32 arrays `(time, channels)`; iterating raises `AudioError` where the file is
            damaged.
        frames: samples per channel that the container states; 0 if it does not state them.
    """

    sample_rate: int
    channels: int
    blocks: Iterator[np.ndarray]
    frames: int


def load_audio(
    path: str | os.PathLike,
    sample_rate: int | None = None,
    channels: int | None = None,
    beat: Callable[[], None] | None = None,
    report: Callable[[str], None] = warn,
) -> tuple[np.ndarray, int]:
    """Decode a file and convert its sample rate and channels.

    The content of the file decides its format, not its name. If a float file holds unscaled
    integers, for example 16-bit samples, they are divided by their full scale, with a warning.

    Args:
        path: wav, rf64, w64, aiff, caf, flac, ogg, opus, mp3, mp2, au or another format of
            libsndfile.
        sample_rate: sample rate of the result, in Hz; None keeps that of the file.
        channels: number of channels of the result; None keeps that of the file. See
            `ChannelPower.mixdown` for how channels are mixed.
        beat: function that is called after each block, so that an observer sees progress.
        report: function that receives one line for each defect that does not prevent decoding.

    Returns:
        The audio, float32 `(time, channels)`, and its sample rate in Hz.

    Raises:
        AudioError: the file is unreadable, empty, truncated or damaged; its header is implausible;
            a sample is not finite; or the audio would need more than `MAX_BYTES` bytes, or more
            than a file of this size can plausibly hold.
    """
    return load_mixed(path, sample_rate, channels, beat, report)[:2]


def load_mixed(
    path: str | os.PathLike,
    sample_rate: int | None = None,
    channels: int | None = None,
    beat: Callable[[], None] | None = None,
    report: Callable[[str], None] = warn,
) -> tuple[np.ndarray, int, Mixdown]:
    """Decode like `load_audio`, and also return how the channels were mixed.

    `Mixdown.spread` distributes a change of the mixed audio over the channels of the file.
    """
    beat = beat or (lambda: None)
    audio, rate, used, best = _decode(path, sample_rate, channels, None, beat, report)
    if best.groups != used.groups:  # the best mix is known only after the last block
        audio, rate, *_ = _decode(path, sample_rate, channels, best, beat, lambda _: None)
        if best.note:
            _report_once(report, f"{os.fspath(path)}: {best.note}")
    return audio, rate, best


def _decode(
    path: str | os.PathLike,
    sample_rate: int | None,
    channels: int | None,
    mixdown: Mixdown | None,
    beat: Callable[[], None],
    report: Callable[[str], None],
) -> tuple[np.ndarray, int, Mixdown, Mixdown]:
    """Return the audio, its rate, the mixdown used, and the best one for the whole recording."""
    with _as_audio_error(path), stream_audio(path, beat, report) as stream:
        rate, outputs = sample_rate or stream.sample_rate, channels or stream.channels
        power = ChannelPower(stream.channels)
        mixdown = mixdown or Mixdown.of_equals(stream.channels, outputs)
        blocks = (mixdown(power.add(block)) for block in stream.blocks)
        limit = _byte_limit(path) // (4 * outputs)
        too_long = Fault(
            f"too long: more than {limit / rate / 60:.0f} minutes of {outputs} channel(s) at "
            f"{rate} Hz; cut it into shorter files"
        )
        expected = -(-stream.frames * rate // stream.sample_rate) + 1
        if expected > limit + rate:
            raise too_long
        audio = _Growing(expected, outputs)
        for block in resampled(blocks, stream.sample_rate, rate):
            if audio.length + len(block) > limit:
                raise too_long
            audio.append(block)
            beat()
    if not audio.length:
        raise AudioError(path, "empty: too short for a single sample")
    return audio.finish(), rate, mixdown, power.mixdown(outputs)


def _byte_limit(path: str | os.PathLike) -> int:
    return min(MAX_BYTES, max(_ALWAYS_ALLOWED, _EXPANSION * os.stat(path).st_size))


class _Growing:
    """An array `(time, channels)` float32 that grows without a second copy of itself."""

    def __init__(self, expected: int, channels: int) -> None:
        self.length = 0
        self._array = np.empty((max(1, expected), channels), np.float32)

    def append(self, block: np.ndarray) -> None:
        stop = self.length + len(block)
        if stop > len(self._array):
            size = stop + stop // 4
            self._array.resize((size, self._array.shape[1]), refcheck=False)
        self._array[self.length : stop] = block
        self.length = stop

    def finish(self) -> np.ndarray:
        self._array.resize((self.length, self._array.shape[1]), refcheck=False)
        return self._array


@contextlib.contextmanager
def stream_audio(
    path: str | os.PathLike,
    beat: Callable[[], None] = lambda: None,
    report: Callable[[str], None] = warn,
) -> Iterator[Stream]:
    """Decode a file block by block, at its own sample rate and channels.

    Args:
        path: see `load_audio`.
        beat: function that is called while the container is read.
        report: see `load_audio`.

    Yields:
        The `Stream`, whose blocks can be read inside the `with` statement.

    Raises:
        AudioError: see `load_audio`.
    """
    with contextlib.ExitStack() as stack:
        with _as_audio_error(path):
            container = inspect(path, beat)
            source = stack.enter_context(_open(path, container))
            scale = _float_scale(source.file, beat)
        for line in container.warnings:
            _report_once(report, f"{os.fspath(path)}: {line}")
        if scale != 1:
            _report_once(
                report,
                f"{os.fspath(path)}: its samples are integers stored as floats; divided by "
                f"{scale:.0f}",
            )
        yield Stream(
            source.file.samplerate,
            source.file.channels,
            _checked_blocks(path, source, container, scale),
            container.frames or 0,
        )


def _report_once(report: Callable[[str], None], line: str) -> None:
    """Report a line; `warn` prints it only once, also when a command decodes a file twice."""
    if report is warn:
        _warn_once(line)
    else:
        report(line)


@functools.lru_cache(maxsize=1024)
def _warn_once(line: str) -> None:
    warn(line)


@contextlib.contextmanager
def _as_audio_error(path: str | os.PathLike) -> Iterator[None]:
    """Turn every failure of the block into an `AudioError` that names the file."""
    try:
        yield
    except Fault as fault:
        raise AudioError(path, str(fault)) from None
    except OSError as error:
        raise AudioError(path, f"cannot be opened: {error.strerror or error}") from None
    except MemoryError:
        raise AudioError(path, "too long: it does not fit the memory allowed for it") from None


class _Spliced(io.RawIOBase):
    """A read-only file that consists of a prefix and of spans of another file.

    Args:
        file: the other file.
        prefix: the first bytes.
        spans: the byte ranges `[start, stop)` of `file` that follow the prefix.
    """

    def __init__(self, file: BinaryIO, prefix: bytes, spans: tuple[tuple[int, int], ...]) -> None:
        self._file, self._prefix, self._place = file, prefix, 0
        self._spans = [(start, stop) for start, stop in spans if start < stop]
        lengths = [len(prefix), *(stop - start for start, stop in self._spans)]
        *self._begins, self._size = itertools.accumulate(lengths)
        self.error: OSError | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = 0) -> int:
        self._place = max(0, offset + (0, self._place, self._size)[whence])
        return self._place

    def readinto(self, buffer: memoryview) -> int:
        body = self._read(len(buffer))
        buffer[: len(body)] = body
        self._place += len(body)
        return len(body)

    def _read(self, count: int) -> bytes:
        if self._place < len(self._prefix):
            return self._prefix[self._place : self._place + count]
        if self._place >= self._size:
            return b""
        index = bisect.bisect_right(self._begins, self._place) - 1
        start, stop = self._spans[index]
        start += self._place - self._begins[index]
        try:
            self._file.seek(start)
            return self._file.read(min(count, stop - start))
        except OSError as error:  # libsndfile cannot pass the error on
            self.error = self.error or error
            return b""


@dataclass(frozen=True)
class _Source:
    """A file that libsndfile has opened, and the spliced file that it reads from, if any."""

    file: soundfile.SoundFile
    spliced: _Spliced | None

    def read(self, dtype: str, frames: int = BLOCK) -> np.ndarray:
        """Return the next block `(time, channels)`, which is empty at the end of the file."""
        shape = (frames, self.file.channels)
        block = self.file.read(out=np.empty(shape, dtype))
        if self.spliced is not None and self.spliced.error is not None:
            raise self.spliced.error
        return block


@contextlib.contextmanager
def _open(path: str | os.PathLike, container: Container) -> Iterator[_Source]:
    """Open a file without its name, so that its content decides the format; check its header."""
    with open(path, "rb") as raw:
        spliced = _Spliced(raw, container.prefix, container.spans) if container.spans else None
        source = raw.fileno() if spliced is None else io.BufferedReader(spliced, 1 << 16)
        try:
            file = soundfile.SoundFile(source, closefd=False)
        except (RuntimeError, ValueError, TypeError) as error:
            raise Fault(
                f"the decoder refuses it: {decoder_message(error)}. Convert it first: ffmpeg -i "
                "FILE FILE.wav"
            ) from None
        with file:
            _check_header(file, container)
            yield _Source(file, spliced)


def _check_header(file: soundfile.SoundFile, container: Container) -> None:
    if file.format not in CONTAINERS[container.name]:
        raise Fault(f"damaged: it begins as {container.name} and decodes as {file.format}")
    if not 1 <= file.channels <= MAX_CHANNELS:
        raise Fault(f"absurd header: {file.channels} channels, expected 1 to {MAX_CHANNELS}")
    if not MIN_RATE <= file.samplerate <= MAX_RATE:
        raise Fault(f"absurd header: {file.samplerate} Hz, expected {MIN_RATE} to {MAX_RATE}")
    if (container.frames or 0) > MAX_HOURS * 3600 * file.samplerate:
        hours = container.frames / file.samplerate / 3600
        raise Fault(f"absurd header: {hours:.1f} hours of audio, expected at most {MAX_HOURS}")


def _float_scale(file: soundfile.SoundFile, beat: Callable[[], None]) -> float:
    """Return the full scale of a float file: 1, or that of the unscaled integers in it."""
    if file.subtype not in _FLOATS or not file.seekable():
        return 1.0
    peak, block = 0.0, np.empty((BLOCK, file.channels), np.float32)
    try:
        while len(part := file.read(out=block)):
            low, high = float(part.min()), float(part.max())
            if not np.isfinite(low + high):
                break
            peak = max(peak, -low, high)
            beat()
        file.seek(0)
    except (RuntimeError, ValueError, TypeError) as error:
        raise Fault(f"damaged or cut: {decoder_message(error)}") from None
    if peak <= _INTEGER_PEAK:
        return 1.0
    for bits in (15, 23, 31):
        if peak <= 2.0**bits * 1.5:
            return 2.0**bits
    raise Fault(f"absurd samples: floats up to {peak:.3g}, expected -1 to 1")


def _checked_blocks(
    path: str | os.PathLike, source: _Source, container: Container, scale: float
) -> Iterator[np.ndarray]:
    with _as_audio_error(path):
        yield from _read_blocks(source, container, np.float32(1 / scale))


def _read_blocks(source: _Source, container: Container, gain: np.float32) -> Iterator[np.ndarray]:
    """Decode blocks, and compare their total length and checksum with those of the container.

    Raises:
        Fault: a sample is not finite, or the length or the checksum differs.
    """
    exact = container.checksum is not None
    digest, count = hashlib.md5(usedforsecurity=False), 0
    limit = MAX_HOURS * 3600 * source.file.samplerate
    # FLAC decoders fail at bytes after the last frame, and the last block of a compressed wave file
    # may end with padding, so decoding stops at the stated length.
    last = container.frames if container.ends_exactly else limit + BLOCK
    while True:
        try:
            block = source.read("int32" if exact else "float32", min(BLOCK, last - count))
        except (RuntimeError, ValueError, TypeError) as error:
            raise Fault(
                f"damaged or cut: decoding stops after {count} samples: {decoder_message(error)}"
            ) from None
        if not len(block):
            break
        count += len(block)
        if count > limit:
            raise Fault(f"too long: more than {MAX_HOURS} hours of audio")
        if exact:
            digest.update(_packed(block, container.bits))
            block = block.astype(np.float32) * np.float32(2**-31)
        elif not np.isfinite(block).all():
            raise Fault("not finite: it holds NaN or infinite samples")
        yield block if gain == 1 else block * gain
    if not count:
        raise Fault("empty: it holds no audio")
    if container.frames is not None and abs(count - container.frames) > container.slack:
        word = "truncated" if count < container.frames else "damaged"
        raise Fault(f"{word}: expected {container.frames} samples by its header. Received: {count}")
    if exact and digest.digest() != container.checksum:
        raise Fault("damaged: its samples do not have the checksum that its header states")


def _packed(block: np.ndarray, bits: int) -> bytes:
    """Convert left-justified int32 samples to the bytes over which FLAC computes its checksum."""
    width = (bits + 7) // 8
    if width == 2:
        return (block >> (32 - bits)).astype("<i2").tobytes()
    samples = np.ascontiguousarray(block >> (32 - bits), "<i4")
    return samples.view(np.uint8).reshape(-1, 4)[:, :width].tobytes()


def decoder_message(error: Exception) -> str:
    """Return the message of libsndfile in an exception, as one line."""
    text = getattr(error, "error_string", None) or str(error)
    return " ".join(text.split()).removeprefix("Error : ").rstrip(".") or type(error).__name__
