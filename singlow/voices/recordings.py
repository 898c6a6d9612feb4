"""Prepare recordings for a flow: read them, scale their loudness and cut them into excerpts."""

import contextlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from singlow.audio import is_silent, load_audio, resample, root_mean_square, to_channels
from singlow.audio.frames import cut
from singlow.errors import DataError, naming

if TYPE_CHECKING:
    from singlow.models.flow import Flow
    from singlow.runs.opening import TrainedRun

QUIETEST, LOUDEST = -30.0, -10.0  # dBFS rms; recordings between them keep their loudness
_AUDIBLE = 0.1  # relative to the rms of the loudest excerpt
_BATCH = 32

Recording = str | os.PathLike | np.ndarray
Inputs = Mapping[str, np.ndarray]  # of one item: a batch of 1


def read_recording(
    recording: Recording, sample_rate: int, from_rate: int | None = None, channels: int = 1
) -> np.ndarray:
    """Return a recording at a sample rate, mixed to a number of channels.

    Args:
        recording: path of an audio file, or audio `(time,)` or `(time, channels)`, float in +-1.
        sample_rate: Hz of the result.
        from_rate: Hz of audio that is given as an array; `sample_rate` when `None`.
        channels: number of channels of the result.

    Returns:
        `(time, channels)` float32.

    Raises:
        DataError: the file cannot be read.
        ValueError: an array has another shape or type, or a sample is not finite.
    """
    if isinstance(recording, np.ndarray):
        audio = to_channels(as_audio(recording), channels)
        return resample(audio, from_rate or sample_rate, sample_rate)
    return load_audio(recording, sample_rate, channels)[0]


def as_audio(array: np.ndarray) -> np.ndarray:
    """Return `array`, `(time,)` or `(time, channels)`, as `(time, channels)` float32.

    Raises:
        ValueError: the array has another shape, is not floating point, or a sample is not finite.
    """
    audio = np.asarray(array)
    audio = audio[:, None] if audio.ndim == 1 else audio
    if audio.ndim != 2 or not audio.shape[1] or audio.dtype.kind != "f":
        raise ValueError(
            "Expected audio of shape (time,) or (time, channels), floating point in +-1. "
            f"Received: shape {np.shape(array)}, {audio.dtype}."
        )
    if not np.isfinite(audio).all():
        raise ValueError("Expected finite samples. Received: NaN or infinite samples.")
    return audio.astype(np.float32, copy=False)


def run_loudness(run: "TrainedRun") -> float | None:
    """Return the rms in dBFS to which the run's recordings were scaled; `None` if they were not."""
    return run.config["data"].get("loudness")


def loudness_gain(audio: np.ndarray, loudness: float | None = None) -> float:
    """Return the factor by which a recording is multiplied before it is given to a flow.

    If the run's recordings were scaled to a loudness, this recording is scaled to the same
    loudness. Otherwise, a recording between `QUIETEST` and `LOUDEST` keeps its loudness, and any
    other is scaled to the nearer limit: a flow such as Blow, which is trained on windows of random
    loudness, has seen few windows that are quieter or louder.

    Args:
        audio: `(time, channels)` at the flow's rate.
        loudness: rms in dBFS to which the run's recordings were scaled; `None` if they were not.

    Raises:
        DataError: the recording is silent.
    """
    if is_silent(audio):
        raise DataError("Expected a recording with sound. Received: silence.")
    rms = root_mean_square(audio)
    target = np.clip(20 * np.log10(rms), QUIETEST, LOUDEST) if loudness is None else loudness
    return float(10 ** (target / 20) / rms)


@dataclass(frozen=True)
class Excerpts:
    """Excerpts of recordings, each as long as a training window, with a mask of the valid samples.

    Attributes:
        x: `(excerpts, time, 1)` float32.
        frame_mask: `(excerpts, time)` float32, 1 for valid samples.
    """

    x: np.ndarray
    frame_mask: np.ndarray

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, indices: Any) -> "Excerpts":
        return Excerpts(self.x[indices], self.frame_mask[indices])

    @property
    def samples(self) -> np.ndarray:
        """The number of valid samples of each excerpt: `(excerpts,)`."""
        return self.frame_mask.sum(axis=1)


def excerpts_of(clips: Iterable[np.ndarray], window: int, multiple: int) -> Excerpts:
    """Cut clips into excerpts, in order, and leave out quiet excerpts.

    The last excerpt of a clip is left out if it has fewer valid samples than half a window, unless
    it is the only one. Excerpts that are 20 dB or more below the loudest one are left out.

    Args:
        clips: `(time, 1)` each, at the flow's rate and loudness.
        window: number of samples of an excerpt; a multiple of `multiple`.
        multiple: the number of valid samples is rounded down to a multiple of this number.
    """
    frames, counts = [np.zeros((0, window, 1), np.float32)], [np.zeros(0, int)]
    for clip in clips:
        starts = np.arange(max(1, -(-len(clip) // window))) * window
        valid = np.minimum(len(clip) - starts, window) // multiple * multiple
        kept = (valid >= window / 2) | ((starts == 0) & (valid > 0))
        frames.append(cut(clip, window, window)[kept])
        counts.append(valid[kept])
    x, valid = np.concatenate(frames), np.concatenate(counts)
    mask = (np.arange(window) < valid[:, None]).astype(np.float32)
    x = x * mask[..., None]
    rms = np.sqrt(np.square(x, dtype=np.float64).sum(axis=(1, 2)) / np.maximum(valid, 1))
    audible = rms > _AUDIBLE * rms.max(initial=0)
    return Excerpts(x[audible].astype(np.float32), mask[audible])


def log_probs(flow: "Flow", excerpts: Excerpts, speakers: Sequence[Inputs]) -> np.ndarray:
    """Return `log p(x_i | speaker_j)`, natural logarithm, of each excerpt under each speaker.

    Args:
        flow: a flow with the inputs of `speakers`.
        excerpts: the excerpts `x_i`.
        speakers: the flow's inputs for each speaker, a batch of 1 each.

    Returns:
        `(excerpts, speakers)` float64.
    """
    from keras import ops

    stacked = {name: np.concatenate([s[name] for s in speakers]) for name in speakers[0]}
    pairs = len(excerpts) * len(speakers)
    results = []
    for start in range(0, pairs, _BATCH):
        # All batches have one size, so that a backend that compiles for each shape compiles once.
        indices = np.arange(start, start + min(_BATCH, pairs)) % pairs
        excerpt, speaker = np.divmod(indices, len(speakers))
        batch = {name: values[speaker] for name, values in stacked.items()}
        batch |= {"x": excerpts.x[excerpt], "frame_mask": excerpts.frame_mask[excerpt]}
        results.append(ops.convert_to_numpy(flow.log_prob(batch)))
    return np.concatenate(results)[:pairs].astype(np.float64).reshape(-1, len(speakers))


def repeated(inputs: Inputs, count: int) -> dict[str, np.ndarray]:
    """Return the inputs of one item as a batch of `count` equal items."""
    return {name: np.repeat(np.asarray(value), count, axis=0) for name, value in inputs.items()}


def name_of(recording: Recording) -> str:
    """Return the file name of a recording, or "audio" for an array."""
    return "audio" if isinstance(recording, np.ndarray) else Path(recording).name


def naming_recording(recording: Recording) -> contextlib.AbstractContextManager[None]:
    """Put the path of a recording before the message of each `DataError` raised in the block.

    For an array, messages are not changed.
    """
    if isinstance(recording, np.ndarray):
        return contextlib.nullcontext()
    return naming(Path(recording))
