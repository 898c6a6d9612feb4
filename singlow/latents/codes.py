"""A recording of any length as latents, in memory and as an npz file."""

import io
import math
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from singlow.errors import DataError
from singlow.files import atomic_write

FORMAT = "singlow-latents"
VERSION, SPOKEN_VERSION = 2, 3
_TEXTS = ("format", "run", "fingerprint")
_NUMBERS = ("version", "length", "sample_rate", "channels", "epoch", "levels")
_SPOKEN = ("speaker", "embedding", "gain")
_LARGEST_TEXT = 4096
_LEAST_GAIN = 1e-9
_PIECE = 1 << 17  # samples that a flow is given at a time
_UNREADABLE = (
    ValueError,
    KeyError,
    EOFError,
    OSError,
    RuntimeError,
    MemoryError,
    zipfile.BadZipFile,
    zlib.error,
)


@dataclass(frozen=True)
class Song:
    """A recording's latents.

    Attributes:
        latents: finest first, each `(time, channels)` at its level's resolution.
        length: samples of the recording, without the padding at its end.
        sample_rate: Hz.
        channels: of the recording.
        run: name of the run that encoded it.
        epoch: of the checkpoint.
        fingerprint: of the checkpoint's weights.
        speaker: who it was encoded as, by a flow that is told; "" by another.
        embedding: of the speaker, `(embedding_size,)`.
        gain: what the recording was multiplied by before it was encoded.
    """

    latents: list[np.ndarray]
    length: int
    sample_rate: int
    channels: int
    run: str = ""
    epoch: int = 0
    fingerprint: str = ""
    speaker: str = ""
    embedding: np.ndarray | None = None
    gain: float = 1.0


def encode_song(flow: Any, audio: np.ndarray, **facts: Any) -> Song:
    """The latents of audio `(time, channels)` of any length, at the flow's rate.

    It is padded with zeros to a multiple of `flow.multiple`, and encoded in pieces with all that
    their latents depend on, where the flow's `context` tells it; else whole.

    Args:
        flow: any flow on audio; `Flow.for_inference` makes one for which long audio fits in memory.
        audio: float32 in +-1.
        facts: `run`, `epoch` and `fingerprint` to store.
    """
    from keras import ops

    length = len(audio) + -len(audio) % flow.multiple
    latents = [np.empty(shape, np.float32) for shape in _shapes(flow, length)]
    for seen, own in _pieces(flow, length):
        part = audio[seen]
        part = np.pad(part, ((0, seen.stop - seen.start - len(part)), (0, 0)))
        found = flow.encode(part.astype(np.float32, copy=False)[None])
        for latent, z in zip(latents, found, strict=True):
            frame = length // len(latent)
            latent[_over(own, frame)] = ops.convert_to_numpy(z)[0][_within(own, seen, frame)]
    return Song(latents, len(audio), flow.signal.sample_rate, flow.signal.channels, **facts)


def decode_song(flow: Any, song: Song) -> np.ndarray:
    """The audio `(time, channels)` of latents, without the padding; in pieces as `encode_song`.

    Raises:
        DataError: the latents do not fit the flow.
    """
    from keras import ops

    _check_fit(flow, song)
    length = song.length + -song.length % flow.multiple
    audio = np.empty((length, song.channels), np.float32)
    for seen, own in _pieces(flow, length):
        parts = [z[_over(seen, length // len(z))][None] for z in song.latents]
        audio[own] = ops.convert_to_numpy(flow.decode(parts))[0][_within(own, seen, 1)]
    return audio[: song.length]


def _pieces(flow: Any, length: int) -> Iterator[tuple[slice, slice]]:
    """Stretches of samples that a flow is given at a time, and those of them that are kept."""
    if flow.context is None:
        yield slice(0, length), slice(0, length)
        return
    before, after = (-(-samples // flow.multiple) * flow.multiple for samples in flow.context)
    size = max(_PIECE, 4 * (before + after)) // flow.multiple * flow.multiple
    for start in range(0, length, size):
        stop = min(start + size, length)
        yield slice(max(0, start - before), min(stop + after, length)), slice(start, stop)


def _over(samples: slice, frame: int) -> slice:
    """The frames, of so many samples each, that cover samples."""
    return slice(samples.start // frame, samples.stop // frame)


def _within(own: slice, seen: slice, frame: int) -> slice:
    return _over(slice(own.start - seen.start, own.stop - seen.start), frame)


def _shapes(flow: Any, length: int) -> list[tuple[int, ...]]:
    shapes = flow.bijection.latent_shape((1, length, flow.signal.channels))
    shapes = shapes if isinstance(shapes, list) else [shapes]
    return [tuple(shape[1:]) for shape in shapes]


def write_song(path: Path, song: Song) -> None:
    """Write latents as an npz file, whole or not at all.

    Raises:
        DataError: a latent is not finite: the flow cannot encode this recording.
    """
    if not all(np.isfinite(latent).all() for latent in song.latents):
        raise DataError(
            f"{path}: Expected finite latents. Received: NaN or infinite; run python3 -m singlow "
            "check on the run, or use an earlier --epoch."
        )
    numbers = {key: getattr(song, key) for key in _NUMBERS if hasattr(song, key)}
    spoken = song.embedding is not None
    numbers |= {"version": SPOKEN_VERSION if spoken else VERSION, "levels": len(song.latents)}
    arrays = {key: np.array(number, np.int64) for key, number in numbers.items()}
    texts = {"format": FORMAT, "run": song.run, "fingerprint": song.fingerprint}
    arrays |= {key: np.array(text) for key, text in texts.items()}
    if spoken:
        arrays |= {"speaker": np.array(song.speaker), "gain": np.array(song.gain, np.float64)}
        arrays["embedding"] = np.asarray(song.embedding, np.float32)
    arrays |= {f"z_{index}": latent for index, latent in enumerate(song.latents)}
    with atomic_write(path) as file:
        np.savez(file, **arrays)


def read_song(path: Path) -> Song:
    """Read an npz file of latents; nothing in it is executed, everything is checked.

    Raises:
        DataError: the file is damaged or holds something else; the message says what.
    """
    try:
        content = _arrays(path)
    except _UNREADABLE as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise DataError(f"{path}: not a file of latents that can be read ({reason}).") from None
    spoken = {key: content.pop(key) for key in _SPOKEN if key in content}
    texts = {key: content.get(key) for key in _TEXTS}
    texts |= {"speaker": spoken["speaker"]} if "speaker" in spoken else {}
    for key, array in texts.items():
        if array is None or array.dtype.kind != "U" or array.shape or array.nbytes > _LARGEST_TEXT:
            raise DataError(f"{path}: Expected {key} to be a short text. It is not.")
    for key in _NUMBERS:
        array = content.get(key)
        if array is None or array.dtype != np.int64 or array.shape:
            raise DataError(f"{path}: Expected {key} to be a whole number. It is not.")
    version = SPOKEN_VERSION if spoken else VERSION
    if str(content["format"]) != FORMAT or int(content["version"]) != version:
        raise DataError(
            f"{path}: Expected {FORMAT} of version {version}. Received: "
            f"{str(content['format'])[:40]} of version {int(content['version'])}."
        )
    numbers = {key: int(content[key]) for key in _NUMBERS}
    names = [f"z_{index}" for index in range(max(0, min(numbers["levels"], 64)))]
    if set(content) != {*_TEXTS, *_NUMBERS, *names} or not names:
        raise DataError(f"{path}: Expected {', '.join(names) or 'z_0'} and no others beside them.")
    for name in names:
        if content[name].dtype != np.float32 or content[name].ndim != 2:
            raise DataError(f"{path}: Expected {name} to be float32 (time, channels). It is not.")
        if not np.isfinite(content[name]).all():
            raise DataError(
                f"{path}: Expected finite latents. Received: NaN or infinite in {name}."
            )
    own = {key: numbers[key] for key in ("length", "sample_rate", "channels")}
    if min(own.values()) < 1:
        raise DataError(f"{path}: Expected positive length, sample_rate and channels.")
    facts = {key: str(content[key]) for key in ("run", "fingerprint")}
    latents = [content[name] for name in names]
    facts |= _spoken(path, spoken) if spoken else {}
    return Song(latents, **own, epoch=numbers["epoch"], **facts)


def _spoken(path: Path, content: dict[str, np.ndarray]) -> dict[str, Any]:
    """Who spoke, held to its form."""
    fits = set(content) == set(_SPOKEN) and content["gain"].shape == ()
    fits = fits and content["gain"].dtype == np.float64 and content["embedding"].ndim == 1
    fits = fits and content["embedding"].dtype == np.float32
    fits = fits and bool(np.isfinite(content["embedding"]).all())
    fits = fits and _LEAST_GAIN < float(content["gain"]) < 1 / _LEAST_GAIN
    if not fits:
        raise DataError(f"{path}: Expected {', '.join(_SPOKEN)} of one speaker. Received: others.")
    speaker, gain = str(content["speaker"]), float(content["gain"])
    return {"speaker": speaker, "embedding": content["embedding"], "gain": gain}


def _arrays(path: Path) -> dict[str, np.ndarray]:
    data = path.read_bytes()
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        infos = archive.infolist()
        if sum(info.file_size for info in infos) > max(1 << 26, 4 * len(data)):
            raise ValueError("it expands to far more than its size")
        if len({info.filename for info in infos}) != len(infos):
            raise ValueError("it holds two arrays of one name")
    with np.load(io.BytesIO(data), allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def _check_fit(flow: Any, song: Song) -> None:
    if (song.sample_rate, song.channels) != (flow.signal.sample_rate, flow.signal.channels):
        raise DataError(
            f"Expected latents of {flow.signal.channels} channel(s) at {flow.signal.sample_rate} Hz. "
            f"Received: {song.channels} at {song.sample_rate} Hz."
        )
    padded = -(-song.length // flow.multiple) * flow.multiple
    expected = _shapes(flow, padded)
    received = [tuple(latent.shape) for latent in song.latents]
    if expected != received:
        raise DataError(
            f"Expected latents of shapes {expected}. Received: {received}; they were encoded by "
            "another model."
        )
    if not math.prod(expected[0]):
        raise DataError("Expected latents of at least one frame. Received: none.")
