"""Decoding with libsndfile, held to what the container promises."""

import contextlib
import hashlib
import io
import os
from collections.abc import Iterator

import numpy as np
import soundfile

from singlow.audio.containers.promise import Fault, Promise

MAX_CHANNELS, MIN_RATE, MAX_RATE, MAX_HOURS = 8, 4_000, 384_000, 4
_BLOCK = 1 << 17
_DECODERS = {
    "wav": ("WAV", "WAVEX"),
    "rf64": ("RF64",),
    "w64": ("W64",),
    "aiff": ("AIFF",),
    "flac": ("FLAC",),
    "ogg": ("OGG",),
    "mp3": ("MP3",),
}


@contextlib.contextmanager
def open_audio(path: str | os.PathLike, promise: Promise) -> Iterator[soundfile.SoundFile]:
    """Open a file by descriptor, so that its name decides nothing, and check its header.

    Raises:
        Fault: the decoder refuses it, or what it reads in the header is absurd.
        OSError: the file cannot be opened.
    """
    with open(path, "rb") as raw:
        source = raw.fileno()
        if promise.span is not None:
            raw.seek(promise.span[0])
            source = io.BytesIO(promise.prefix + raw.read(promise.span[1] - promise.span[0]))
        try:
            file = soundfile.SoundFile(source, closefd=False)
        except (RuntimeError, ValueError, TypeError) as error:
            raise Fault(f"the decoder refuses it: {clean(error)}") from None
        with file:
            _check_header(file, promise)
            yield file


def _check_header(file: soundfile.SoundFile, promise: Promise) -> None:
    if file.format not in _DECODERS[promise.container]:
        raise Fault(f"damaged: begins as {promise.container} and decodes as {file.format}")
    if not 1 <= file.channels <= MAX_CHANNELS:
        raise Fault(f"absurd header: {file.channels} channels, expected 1 to {MAX_CHANNELS}")
    if not MIN_RATE <= file.samplerate <= MAX_RATE:
        raise Fault(f"absurd header: {file.samplerate} Hz, expected {MIN_RATE} to {MAX_RATE}")
    if (promise.frames or 0) > MAX_HOURS * 3600 * file.samplerate:
        hours = promise.frames / file.samplerate / 3600
        raise Fault(f"absurd header: {hours:.1f} hours of audio, expected at most {MAX_HOURS}")


def read_blocks(file: soundfile.SoundFile, promise: Promise) -> Iterator[np.ndarray]:
    """Blocks of float32 `(time, channels)`, held to the promise as they come and at the end.

    Raises:
        Fault: a sample is not finite, or the promise is not kept: frames, checksum.
    """
    exact = promise.checksum is not None
    digest, came = hashlib.md5(usedforsecurity=False), 0
    limit = MAX_HOURS * 3600 * file.samplerate
    while True:
        try:
            block = file.read(_BLOCK, dtype="int32" if exact else "float32", always_2d=True)
        except (RuntimeError, ValueError, TypeError) as error:
            raise Fault(
                f"damaged or cut short: decoding stops after {came} frames: {clean(error)}"
            ) from None
        if not len(block):
            break
        came += len(block)
        if came > limit:
            raise Fault(f"too long: more than {MAX_HOURS} hours of audio")
        if exact:
            digest.update(_packed(block, promise.bits))
            block = block.astype(np.float32) * np.float32(2**-31)
        elif not np.isfinite(block).all():
            raise Fault("not finite: it holds NaN or infinite samples")
        yield block
    if not came:
        raise Fault("empty: it holds no audio")
    if promise.frames is not None and abs(came - promise.frames) > promise.slack:
        word = "truncated" if came < promise.frames else "damaged"
        raise Fault(f"{word}: it promises {promise.frames} frames and {came} came")
    if exact and digest.digest() != promise.checksum:
        raise Fault("damaged: its samples do not have the checksum that its header states")


def _packed(block: np.ndarray, bits: int) -> bytes:
    """Left-justified int32 as the little-endian bytes that a FLAC checksum is made of."""
    width = (bits + 7) // 8
    if width == 2:
        return (block >> (32 - bits)).astype("<i2").tobytes()
    samples = np.ascontiguousarray(block >> (32 - bits), "<i4")
    return samples.view(np.uint8).reshape(-1, 4)[:, :width].tobytes()


def clean(error: Exception) -> str:
    """What a decoder says, in one line."""
    text = getattr(error, "error_string", None) or str(error)
    return " ".join(text.split()).removeprefix("Error : ").rstrip(".") or type(error).__name__
