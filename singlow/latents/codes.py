"""Encoding of recordings of any length as latents, and npz files of latents."""

import dataclasses
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from singlow.errors import DataError, UsageError
from singlow.files import NPZ_ERRORS, atomic_write, read_npz
from singlow.runs.opening import TrainedRun, open_run
from singlow.voices.convert import limit_bursts
from singlow.voices.identify import Identity, identify
from singlow.voices.recordings import (
    Inputs,
    Recording,
    loudness_gain,
    naming_recording,
    read_recording,
    run_loudness,
)
from singlow.voices.speakers import (
    AUTO,
    SPEAKER,
    embedding_of,
    speaker_inputs,
    speakers_of,
)

if TYPE_CHECKING:
    from singlow.models.flow import Flow

FORMAT = "singlow-latents"
VERSION, SPEAKER_VERSION, INPUTS_VERSION = 2, 3, 4
_INPUT = "input_"  # prefix of the names of inputs in a file
_TEXTS = ("format", "run", "fingerprint")
_NUMBERS = ("version", "length", "sample_rate", "channels", "epoch", "levels")
_OF_SPEAKER = ("speaker", "embedding", "gain")
_LARGEST_TEXT = 4096
_SMALLEST_GAIN = 1e-9
_PIECE = 1 << 17  # samples that a flow processes at a time


@dataclass(frozen=True)
class Song:
    """The latents of a recording.

    Attributes:
        latents: latents of each level, finest first, `(time, channels)` at the level's resolution.
        length: number of samples of the recording, without the padding at its end.
        sample_rate: sample rate of the recording in Hz.
        channels: number of channels of the recording.
        run: name of the run that encoded the recording.
        epoch: epoch of the checkpoint.
        fingerprint: fingerprint of the checkpoint's weights.
        speaker: name of the speaker that the flow was conditioned on; "" for a flow without
            speakers.
        embedding: embedding of the speaker, `(embedding_size,)`; `None` without speakers.
        gain: factor by which the recording was multiplied before it was encoded.
        inputs: inputs of the flow that were computed from the recording, such as its mel, by name,
            without the batch axis.
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
    inputs: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)


def encode(
    run: str | TrainedRun,
    recording: Recording,
    speaker: str = AUTO,
    sample_rate: int | None = None,
) -> tuple[Song, Identity | None]:
    """Encode a recording with a run; `decode` is the inverse.

    Args:
        run: a run of audio, or its name.
        recording: path of an audio file, or audio `(time,)` or `(time, channels)`, float in +-1. It
            is resampled and mixed to the run's sample rate and channels.
        speaker: for a run with speakers, the name of the speaker of the recording, or `"auto"` to
            identify the likeliest one.
        sample_rate: rate, in Hz, of a recording that is an array; the run's rate when `None`.

    Returns:
        The latents, and the result of identifying the speaker, which is `None` if the speaker was
        not identified.

    Raises:
        UsageError: a speaker is unknown, or is given for a run without speakers, or the run needs
            other inputs.
        DataError: the recording cannot be read; or, for a run with speakers, it is silent or too
            short.
    """
    run = open_run(run)
    flow = run.coder
    others = [name for name in flow.inputs if name not in (SPEAKER, *flow.derived)]
    if others:
        raise UsageError(
            f"Expected a run whose only input is {SPEAKER}. Received: {run.name}, which also needs "
            f"{', '.join(others)}; use flow.encode(inputs) of the library."
        )
    facts = {"run": run.name, "epoch": run.checkpoint.epoch, "fingerprint": run.fingerprint}
    audio = read_recording(recording, flow.signal.sample_rate, sample_rate, flow.signal.channels)
    if flow.derived:
        with naming_recording(recording):
            own = inputs_of_recording(flow, audio)
        song = encode_song(flow, audio, own, **facts)
        return dataclasses.replace(song, inputs={n: value[0] for n, value in own.items()}), None
    if SPEAKER not in flow.inputs and speaker == AUTO:
        return encode_song(flow, audio, **facts), None
    speakers, identity = speakers_of(run, "leave --speaker out"), None
    with naming_recording(recording):
        gain = loudness_gain(audio, run_loudness(run))
        chosen = speakers.choose(speaker, AUTO)
        if len(chosen) > 1:
            identity = identify(run, audio, among=chosen)
        name = next(iter(chosen)) if identity is None else identity.name
        song = encode_song(flow, audio * np.float32(gain), chosen[name], **facts)
    embedding = embedding_of(chosen[name])
    return dataclasses.replace(song, speaker=name, embedding=embedding, gain=gain), identity


def decode(
    run: str | TrainedRun, song: Song, speaker: str | None = None
) -> tuple[np.ndarray, float]:
    """Decode latents that `encode` returned.

    Args:
        run: the run that encoded the latents, or its name.
        song: the latents.
        speaker: for a run with speakers, the name of the speaker of the result. When `None`, the
            result is the recording, with the speaker that it was encoded with.

    Returns:
        The audio `(time, channels)` float32, and the share of its samples that were clipped because
        of bursts in the conversion to another speaker.

    Raises:
        UsageError: a speaker is unknown, or is given for a run without speakers.
        DataError: the latents do not fit the run, or the result is not finite.
    """
    run = open_run(run)
    flow = run.coder
    if SPEAKER not in flow.inputs and speaker is None:
        return decode_song(flow, song, _stored_inputs(flow, song)), 0.0
    speakers = speakers_of(run, "leave --speaker out")
    size = speakers.table.shape[1]
    if song.embedding is None or len(song.embedding) != size:
        raise DataError(
            f"Expected latents with the embedding of a speaker, {size} numbers. Received: latents "
            "with another or none; they were encoded by another model."
        )
    if speaker is None:
        audio, burst = decode_song(flow, song, speaker_inputs(song.embedding)), 0.0
    else:
        audio, burst = limit_bursts(decode_song(flow, song, speakers[speaker]))
    return audio / np.float32(song.gain), burst


def inputs_of_recording(flow: "Flow", audio: np.ndarray) -> Inputs:
    """Return the inputs of a flow that follow from a recording alone, such as its mel.

    Args:
        flow: the flow.
        audio: `(time, channels)` at the flow's rate.

    Raises:
        DataError: the recording is too short.
    """
    try:
        return flow.inputs_of_recording(audio)
    except ValueError as error:
        raise DataError(str(error)) from None


def _stored_inputs(flow: "Flow", song: Song) -> Inputs:
    """Return the inputs that are stored with latents, as a batch of 1.

    Raises:
        DataError: they are not those of the flow.
    """
    expected = {name: (entry.size, entry.hop) for name, entry in flow.inputs.items()}
    padded = song.length + -song.length % flow.multiple
    received = {n: (v.shape[1], padded / max(1, len(v))) for n, v in song.inputs.items()}
    if expected != received:
        raise DataError(
            f"Expected latents with the inputs {', '.join(expected) or 'none'} of the run. "
            f"Received: {', '.join(received) or 'none'}; they were encoded by another model."
        )
    return {name: value[None] for name, value in song.inputs.items()}


def encode_song(
    flow: "Flow", audio: np.ndarray, inputs: Inputs | None = None, **facts: Any
) -> Song:
    """Encode audio `(time, channels)` of any length, at the flow's rate.

    The audio is padded with zeros to a multiple of `flow.multiple`. If the flow's `context` is
    known, the audio is encoded in pieces that overlap by all the samples that latents depend on.

    Args:
        flow: a flow of audio; `Flow.for_inference` returns one for which long audio fits in memory.
        audio: samples in +-1, float32.
        inputs: the flow's inputs for one item, as a batch of 1; frames cover the padded audio.
        facts: `run`, `epoch` and `fingerprint`, which are stored with the latents.
    """
    from keras import ops

    length = len(audio) + -len(audio) % flow.multiple
    shapes = flow.latent_shapes(1, length)
    latents = [np.empty(shape[1:], np.float32) for shape in shapes]
    for seen, own in _pieces(flow, length):
        part = audio[seen]
        part = np.pad(part, ((0, seen.stop - seen.start - len(part)), (0, 0)))
        x = part.astype(np.float32, copy=False)[None]
        piece = flow.encode({**_inputs_within(flow, inputs, seen), "x": x})
        for latent, z in zip(latents, piece, strict=True):
            frame = length // len(latent)
            latent[_over(own, frame)] = ops.convert_to_numpy(z)[0][_within(own, seen, frame)]
    return Song(latents, len(audio), flow.signal.sample_rate, flow.signal.channels, **facts)


def decode_song(flow: "Flow", song: Song, inputs: Inputs | None = None) -> np.ndarray:
    """Decode latents to audio `(time, channels)` without the padding, in pieces of the same size.

    Args:
        flow: the flow that encoded the latents.
        song: the latents.
        inputs: the flow's inputs for one item, as for `encode_song`.

    Raises:
        DataError: the latents do not fit the flow.
    """
    from keras import ops

    _check_fit(flow, song)
    length = song.length + -song.length % flow.multiple
    audio = np.empty((length, song.channels), np.float32)
    for seen, own in _pieces(flow, length):
        parts = [z[_over(seen, length // len(z))][None] for z in song.latents]
        x = flow.decode(parts, _inputs_within(flow, inputs, seen))
        audio[own] = ops.convert_to_numpy(x)[0][_within(own, seen, 1)]
    return audio[: song.length]


def _pieces(flow: "Flow", length: int) -> Iterator[tuple[slice, slice]]:
    """Yield each range of samples that a flow processes at a time, with the part that is kept."""
    if flow.context is None:
        yield slice(0, length), slice(0, length)
        return
    before, after = (-(-samples // flow.multiple) * flow.multiple for samples in flow.context)
    size = max(_PIECE, 4 * (before + after)) // flow.multiple * flow.multiple
    for start in range(0, length, size):
        stop = min(start + size, length)
        yield slice(max(0, start - before), min(stop + after, length)), slice(start, stop)


def _over(samples: slice, frame: int) -> slice:
    """Return the frames that cover a range of samples, for frames of `frame` samples."""
    return slice(samples.start // frame, samples.stop // frame)


def _within(own: slice, seen: slice, frame: int) -> slice:
    """Return the frames that cover the range `own`, counted from the start of `seen`."""
    return _over(slice(own.start - seen.start, own.stop - seen.start), frame)


def _inputs_within(flow: "Flow", inputs: Inputs | None, seen: slice) -> dict[str, np.ndarray]:
    """Return the inputs for a range of samples, with inputs of kind "frames" cut to the range."""
    cut = {}
    for name, value in (inputs or {}).items():
        entry = flow.inputs.get(name)
        aligned = entry is not None and entry.kind == "frames"
        cut[name] = np.asarray(value)[:, _over(seen, entry.hop)] if aligned else value
    return cut


def write_song(path: Path, song: Song) -> None:
    """Write latents as an npz file, atomically.

    Raises:
        DataError: a latent is not finite because the flow cannot encode the recording.
    """
    if not all(np.isfinite(latent).all() for latent in song.latents):
        raise DataError(
            f"{path}: Expected finite latents. Received: NaN or infinite values; check the run "
            "with python3 -m singlow check, or use an earlier --epoch."
        )
    numbers = {key: getattr(song, key) for key in _NUMBERS if hasattr(song, key)}
    version = VERSION if song.embedding is None else SPEAKER_VERSION
    version = INPUTS_VERSION if song.inputs else version
    numbers |= {"version": version, "levels": len(song.latents)}
    arrays = {key: np.array(number, np.int64) for key, number in numbers.items()}
    texts = {"format": FORMAT, "run": song.run, "fingerprint": song.fingerprint}
    arrays |= {key: np.array(text) for key, text in texts.items()}
    if song.embedding is not None:
        arrays |= {"speaker": np.array(song.speaker), "gain": np.array(song.gain, np.float64)}
        arrays["embedding"] = np.asarray(song.embedding, np.float32)
    arrays |= {f"{_INPUT}{n}": np.asarray(v, np.float32) for n, v in song.inputs.items()}
    arrays |= {f"z_{index}": latent for index, latent in enumerate(song.latents)}
    with atomic_write(path) as file:
        np.savez(file, **arrays)


def read_song(path: Path) -> Song:
    """Read an npz file of latents and check every value; nothing in the file is executed.

    Raises:
        DataError: the file is damaged or does not contain latents; the message gives the reason.
    """
    try:
        content = read_npz(path)
    except NPZ_ERRORS as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise DataError(f"{path}: not a file of latents that can be read ({reason}).") from None
    of_speaker = {key: content.pop(key) for key in _OF_SPEAKER if key in content}
    inputs = {
        key.removeprefix(_INPUT): content.pop(key) for key in [*content] if key.startswith(_INPUT)
    }
    texts = {key: content.get(key) for key in _TEXTS}
    texts |= {"speaker": of_speaker["speaker"]} if "speaker" in of_speaker else {}
    for key, array in texts.items():
        if array is None or array.dtype.kind != "U" or array.shape or array.nbytes > _LARGEST_TEXT:
            raise DataError(f"{path}: Expected {key} to be a short text. Received: another value.")
    for key in _NUMBERS:
        array = content.get(key)
        if array is None or array.dtype != np.int64 or array.shape:
            raise DataError(
                f"{path}: Expected {key} to be a whole number. Received: another value."
            )
    version = INPUTS_VERSION if inputs else SPEAKER_VERSION if of_speaker else VERSION
    if str(content["format"]) != FORMAT or int(content["version"]) != version:
        raise DataError(
            f"{path}: Expected {FORMAT} of version {version}. Received: "
            f"{str(content['format'])[:40]} of version {int(content['version'])}."
        )
    numbers = {key: int(content[key]) for key in _NUMBERS}
    names = [f"z_{index}" for index in range(max(0, min(numbers["levels"], 64)))]
    if set(content) != {*_TEXTS, *_NUMBERS, *names} or not names:
        raise DataError(
            f"{path}: Expected the latents {', '.join(names) or 'z_0'} and no other arrays. "
            f"Received: {', '.join(sorted(set(content) - {*_TEXTS, *_NUMBERS}))[:200] or 'none'}."
        )
    for name, array in {**{name: content[name] for name in names}, **inputs}.items():
        if array.dtype != np.float32 or array.ndim != 2:
            raise DataError(
                f"{path}: Expected {name} to be float32 of shape (time, channels). Received: "
                f"{array.dtype} of shape {array.shape}."
            )
        if not np.isfinite(array).all():
            raise DataError(
                f"{path}: Expected finite latents. Received: NaN or infinite values in {name}."
            )
    own = {key: numbers[key] for key in ("length", "sample_rate", "channels")}
    if min(own.values()) < 1:
        raise DataError(
            f"{path}: Expected positive length, sample_rate and channels. Received: {own}."
        )
    facts = {key: str(content[key]) for key in ("run", "fingerprint")}
    latents = [content[name] for name in names]
    facts |= _speaker_facts(path, of_speaker) if of_speaker else {}
    return Song(latents, **own, epoch=numbers["epoch"], inputs=inputs, **facts)


def _speaker_facts(path: Path, content: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Check and return the entries of a file that describe the speaker."""
    fits = set(content) == set(_OF_SPEAKER) and content["gain"].shape == ()
    fits = fits and content["gain"].dtype == np.float64 and content["embedding"].ndim == 1
    fits = fits and content["embedding"].dtype == np.float32
    fits = fits and bool(np.isfinite(content["embedding"]).all())
    fits = fits and _SMALLEST_GAIN < float(content["gain"]) < 1 / _SMALLEST_GAIN
    if not fits:
        raise DataError(
            f"{path}: Expected {', '.join(_OF_SPEAKER)} of one speaker. Received: other values."
        )
    speaker, gain = str(content["speaker"]), float(content["gain"])
    return {"speaker": speaker, "embedding": content["embedding"], "gain": gain}


def _check_fit(flow: "Flow", song: Song) -> None:
    if (song.sample_rate, song.channels) != (flow.signal.sample_rate, flow.signal.channels):
        raise DataError(
            f"Expected latents of {flow.signal.channels} channel(s) at {flow.signal.sample_rate} "
            f"Hz. Received: {song.channels} at {song.sample_rate} Hz."
        )
    padded = -(-song.length // flow.multiple) * flow.multiple
    expected = [tuple(shape[1:]) for shape in flow.latent_shapes(1, padded)]
    received = [tuple(latent.shape) for latent in song.latents]
    if expected != received:
        raise DataError(
            f"Expected latents of shapes {expected}. Received: {received}; they were encoded by "
            "another model."
        )
    if not math.prod(expected[0]):
        raise DataError("Expected latents of at least one frame. Received: none.")
