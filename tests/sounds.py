"""Sounds and sound files that the data tests share, and ways to spoil them."""

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
}


def song(seconds: float = 1.0, rate: int = 16000, channels: int = 1, seed: int = 0) -> np.ndarray:
    """A few partials and some noise: (time, channels) float32 with a peak near 0.5."""
    rng = np.random.default_rng(seed)
    time = np.arange(int(seconds * rate))[:, None] / rate
    pitch = rng.uniform(100, 300, channels)
    voice = sum(np.sin(2 * np.pi * k * pitch * time + k) / k for k in range(1, 6))
    return (0.2 * voice + 0.01 * rng.standard_normal(voice.shape)).astype(np.float32)


def save(path: Path, audio: np.ndarray, rate: int = 16000) -> Path:
    """Write by libsndfile, in the format that the suffix says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    form, subtype = FORMATS[path.suffix[1:]]
    soundfile.write(path, audio, rate, subtype, format=form)
    return path


def mutate(body: bytes, rng: np.random.Generator) -> tuple[str, bytes]:
    """Spoil a file's bytes in one of several ways; the way and the bytes."""
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
