"""Sounds and sound files for tests of data, and functions that damage them."""

from pathlib import Path

import numpy as np
import soundfile

FORMATS = {
    "wav": ("WAV", "PCM_16"),
    "flac": ("FLAC", "PCM_16"),
    "ogg": ("OGG", "VORBIS"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
    "aiff": ("AIFF", "PCM_16"),
    "w64": ("W64", "PCM_24"),
    "rf64": ("RF64", "PCM_16"),
    "caf": ("CAF", "PCM_16"),
    "au": ("AU", "PCM_16"),
}


def song(seconds: float = 1.0, rate: int = 16000, channels: int = 1, seed: int = 0) -> np.ndarray:
    """Return partials and noise: float32 `(time, channels)` with a peak near 0.5."""
    rng = np.random.default_rng(seed)
    time = np.arange(int(seconds * rate))[:, None] / rate
    pitch = rng.uniform(100, 300, channels)
    voice = sum(np.sin(2 * np.pi * k * pitch * time + k) / k for k in range(1, 6))
    return (0.2 * voice + 0.01 * rng.standard_normal(voice.shape)).astype(np.float32)


def save(path: Path, audio: np.ndarray, rate: int = 16000) -> Path:
    """Write a file with libsndfile, in the format of its suffix, and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    form, subtype = FORMATS[path.suffix[1:]]
    soundfile.write(path, audio, rate, subtype, format=form)
    return path


def mutate(body: bytes, rng: np.random.Generator) -> tuple[str, bytes]:
    """Damage a file's bytes in a random way; return the name of the way and the new bytes."""
    data, size = bytearray(body), len(body)
    head = min(size, 200)
    place = int(rng.integers(head if rng.random() < 0.5 else size))
    run = int(rng.integers(1, 64))
    noise = rng.integers(0, 256, run, np.uint8).tobytes()
    kind = str(
        rng.choice(["truncate", "flip", "overwrite", "zero", "insert", "delete", "swap", "extreme"])
    )
    if kind == "truncate":
        data = data[:place]
    elif kind == "flip":
        data[place] ^= 1 << int(rng.integers(8))
    elif kind == "overwrite":
        data[place : place + run] = noise
    elif kind == "zero":
        data[place : place + run] = bytes(run)
    elif kind == "insert":
        data[place:place] = noise
    elif kind == "delete":
        del data[place : place + run]
    elif kind == "swap":
        other = int(rng.integers(size))
        data[place : place + run], data[other : other + run] = (
            data[other : other + run],
            data[place : place + run],
        )
    else:
        data[place : place + 4] = rng.choice([b"\xff" * 4, b"\x7f\xff\xff\xff", b"\x80\0\0\0"])
    return kind, bytes(data)


def replaced(body: bytes, place: int, value: bytes) -> bytes:
    """Return `body` with the bytes at offset `place` replaced by `value`."""
    return body[:place] + value + body[place + len(value) :]


def wave_bytes(
    data: bytes,
    *,
    size: int | None = None,
    riff: int | None = None,
    rate: int = 16000,
    channels: int = 1,
    bits: int = 16,
    byte_rate: int | None = None,
    after: bytes = b"",
) -> bytes:
    """Return the bytes of a PCM wave file with any header fields.

    Args:
        data: content of the data chunk.
        size: size of the data chunk in the header, in bytes; the right one when None.
        riff: size of the RIFF chunk in the header, in bytes; the right one when None.
        rate: sample rate, in Hz.
        channels: number of channels.
        bits: bits per sample.
        byte_rate: bytes per second in the header; the right number when None.
        after: bytes after the data chunk.
    """
    align = channels * bits // 8
    fields = [1, channels, rate, byte_rate if byte_rate is not None else rate * align, align, bits]
    body = b"WAVEfmt " + np.array([16], "<u4").tobytes()
    for value, kind in zip(fields, ("<u2", "<u2", "<u4", "<u4", "<u2", "<u2"), strict=True):
        body += np.array([value], kind).tobytes()
    body += b"data" + np.array([len(data) if size is None else size], "<u4").tobytes() + data
    body += after
    return b"RIFF" + np.array([len(body) if riff is None else riff], "<u4").tobytes() + body
