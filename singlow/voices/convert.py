"""Voice conversion: a recording of one speaker in the voices of others."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from singlow.audio import resample, root_mean_square
from singlow.audio.frames import cut, overlap_add
from singlow.errors import DataError
from singlow.voices.level import gain

_BATCH = 32
_TOGETHER = 8  # targets that frames are encoded once for
_BURST = 4.0  # of full scale: no voice is as loud


@dataclass(frozen=True)
class Converted:
    """A recording in another voice, at the rate, length, channels and rms of the one it was.

    Attributes:
        audio: `(time, channels)` float32.
        level: rms at which the flow gave it, in units of full scale.
        limit: what it was turned down by, so that nothing exceeds full scale; 1 for nothing.
        burst: share of the samples that the flow gave beyond full scale, which were cut there.
        tail: what the flow gave after the end of the recording, up to a multiple of its frames, at
            `level`: `(samples, channels that sound)`; None in frames, at another rate, and where
            it bursts.
    """

    audio: np.ndarray
    level: float
    limit: float
    burst: float = 0.0
    tail: np.ndarray | None = None


def convert_recording(
    flow: Any,
    audio: np.ndarray,
    sample_rate: int,
    source: np.ndarray,
    targets: Sequence[np.ndarray],
    level: float | None = None,
    frames: tuple[int, int] | None = None,
    before: Converted | None = None,
) -> Iterator[Converted]:
    """A recording of any rate, length and channels in other voices.

    Every channel is converted, those without a sound apart, and their balance is kept. With the
    recording `x` at the flow's rate, of rms `r`,

        y = f^-1(f(g x, e_source), e_target)        result = y r / rms(y)

    where `g` brings it to the level that the run hears (see `level.gain`). The result has exactly
    the level of the recording, as a listener expects. A flow changes the level a little, though,
    and is not linear, so that going back needs `y` at its own level, which the result no longer
    has. Hence `level` is remembered beside the result, and `tail`, what the last samples depend
    on: given what an earlier conversion returned as `before`, `g` restores that level, and the way
    back, from target to source, returns `x`.

    Where a flow meets what it was not trained on, its inverse for another speaker may burst: single
    samples a million times too loud, to which all others would be levelled. When one is beyond four
    times full scale, all are cut at full scale, and their share is told; there the way back is
    lost.

    Args:
        flow: of a model that takes embeddings as its condition, made for inference.
        audio: `(time, channels)` float32.
        sample_rate: Hz of `audio`.
        source: embedding of who speaks.
        targets: embeddings of who is to.
        level: rms in dBFS that the run's recordings were brought to; None if they were not.
        frames: `(window, hop)` for overlapping frames; the whole recording at once when None.
        before: level, limit and tail of the conversion that `audio` is the result of.

    Returns:
        One after another, so that memory does not grow with the number of targets.

    Raises:
        DataError: it is silent or too short, or a result is not finite.
    """
    ceiling = max(1.0, float(np.abs(audio).max(initial=0)))
    if before is not None:
        audio = audio / np.float32(before.limit)
    sounding = np.abs(audio).max(axis=0, initial=0) > 0
    heard = resample(audio, sample_rate, flow.sample_rate)[:, sounding]
    least = flow.multiple if frames is None else frames[0]
    if len(heard) < least:
        what = "a frame" if frames is None else "a window"
        raise DataError(
            f"Expected a recording of at least {least} samples at {flow.sample_rate} Hz, {what}. "
            f"Received: {len(heard)}."
        )
    factor = gain(heard, level)
    if before is not None:
        factor = before.level / root_mean_square(heard)
    heard = heard * np.float32(factor)
    if frames is None:
        beyond = None if before is None or sample_rate != flow.sample_rate else before.tail
        voices = convert(flow, heard, source, targets, beyond)
    else:
        voices = _in_groups(flow, heard, source, targets, *frames)
    facts = (len(heard), audio, sample_rate, sounding, ceiling)
    return (_levelled(flow, y, *facts) for y in voices)


def _in_groups(
    flow: Any,
    heard: np.ndarray,
    source: np.ndarray,
    targets: Sequence[np.ndarray],
    window: int,
    hop: int,
) -> Iterator[np.ndarray]:
    for start in range(0, len(targets), _TOGETHER):
        group = targets[start : start + _TOGETHER]
        yield from convert_frames(flow, heard, source, group, window, hop)


def _levelled(
    flow: Any,
    y: np.ndarray,
    length: int,
    audio: np.ndarray,
    sample_rate: int,
    sounding: np.ndarray,
    ceiling: float,
) -> Converted:
    y, tail = y[:length], y[length:]
    y, burst = without_bursts(y)
    back = resample(y, flow.sample_rate, sample_rate)[: len(audio)]
    result = np.zeros_like(audio)
    result[: len(back), sounding] = back
    rms = root_mean_square(result)
    if not rms > 0:
        raise DataError("Expected a conversion with sound. Received: silence.")
    result *= np.float32(root_mean_square(audio) / rms)
    limit = min(1.0, ceiling / float(np.abs(result).max()))
    kept = len(tail) and sample_rate == flow.sample_rate and np.abs(tail).max() <= _BURST
    level = root_mean_square(y)
    return Converted(result * np.float32(limit), level, limit, burst, tail if kept else None)


def without_bursts(y: np.ndarray) -> tuple[np.ndarray, float]:
    """What a flow gave, cut at full scale where it burst, and the share of samples that were cut.

    Raises:
        DataError: it is not finite.
    """
    if not np.isfinite(y).all():
        raise DataError(
            "Expected a finite conversion. Received: NaN or infinite samples; take another speaker "
            "to be the source, or an earlier --epoch."
        )
    if not np.abs(y).max() > _BURST:
        return y, 0.0
    return np.clip(y, -1, 1), float((np.abs(y) > 1).mean())


def convert(
    flow: Any,
    audio: np.ndarray,
    source: np.ndarray,
    targets: Sequence[np.ndarray],
    beyond: np.ndarray | None = None,
) -> Iterator[np.ndarray]:
    """`f^-1(f(x, e_source), e_target)` of a whole recording, for one target after another.

    It is padded to a multiple of `flow.multiple`. There are no joins.

    Args:
        flow: of a model that takes embeddings as its condition; `Flow.for_inference` makes one for
            which any length fits in memory.
        audio: `(time, channels)` float32 at the flow's rate; each channel is converted apart.
        source: embedding of who speaks, `(embedding_size,)`.
        targets: embeddings of who is to.
        beyond: what it is padded with, where that has the right shape; zeros otherwise.

    Yields:
        `(time, channels)` float32, and what comes after the end.

    References:
        Serra, Pascual and Segura, Blow: a single-scale hyperconditioned flow for non-parallel
        raw-audio voice conversion, 2019, https://arxiv.org/abs/1906.00794
    """
    shape = (-len(audio) % flow.multiple, audio.shape[1])
    fits = beyond is not None and beyond.shape == shape
    padded = np.concatenate([audio, beyond if fits else np.zeros(shape, audio.dtype)])
    for y in _through(flow, padded.T[..., None], source, targets):
        yield y[..., 0].T


def convert_frames(
    flow: Any,
    audio: np.ndarray,
    source: np.ndarray,
    targets: Sequence[np.ndarray],
    window: int,
    hop: int,
) -> list[np.ndarray]:
    """The same in frames that fade into each other along Hann windows, as in the paper.

    Zeros stand before and after, a hop where frames overlap by half, so that every sample lies in
    as many frames; the sum is divided by that of the windows, and cut to the length it had.

    Args:
        flow: see `convert`.
        audio: `(time, channels)` float32 at the flow's rate.
        source: embedding of who speaks.
        targets: embeddings of who is to.
        window: samples of a frame; a multiple of `flow.multiple`.
        hop: samples between the starts of frames, one of `singlow.voices.hop.hops(window)`.

    Returns:
        `(time, channels)` float32 for every target.
    """
    from scipy.signal import get_window

    length, channels = audio.shape
    margin = window - hop
    padded = np.pad(audio, ((margin, margin), (0, 0)))
    size = max(1, _BATCH // channels)

    def frames() -> Iterator[np.ndarray]:
        """Frames of all targets side by side, `(window, targets * channels)`."""
        for start in range(0, margin + length, size * hop):
            span = padded[start : start + (size - 1) * hop + window]
            some = cut(span, window, hop)[: -(-(margin + length - start) // hop)]
            x = some.transpose(0, 2, 1).reshape(-1, window, 1)
            voices = [y.reshape(-1, channels, window) for y in _through(flow, x, source, targets)]
            yield from np.concatenate(voices, axis=1).transpose(0, 2, 1)

    ramp = get_window("hann", window)
    joined = overlap_add(frames(), hop, margin + length, ramp)[margin:]
    return np.split(joined, len(targets), axis=1)


def _through(
    flow: Any, x: np.ndarray, source: np.ndarray, targets: Sequence[np.ndarray]
) -> Iterator[np.ndarray]:
    """`x` `(batch, time, 1)` as each of the targets would say it."""
    from keras import ops

    def condition(embedding: np.ndarray) -> np.ndarray:
        return np.broadcast_to(embedding, (len(x), 1, len(embedding))).astype(np.float32)

    z = flow.encode({"x": np.ascontiguousarray(x, np.float32), "condition": condition(source)})
    for target in targets:
        yield ops.convert_to_numpy(flow.decode(z, condition(target)))
