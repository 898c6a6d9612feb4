"""Voice conversion: a recording of one speaker in the voice of another."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from singlow.audio import ChannelPower, load_audio, resample, root_mean_square, write_audio
from singlow.audio.frames import cut, overlap_add
from singlow.data.prepare.folder import hash_of, stamp
from singlow.errors import DataError, UsageError
from singlow.runs.data import window_length
from singlow.runs.opening import TrainedRun, open_run
from singlow.voices.identify import Identity, identify
from singlow.voices.recordings import (
    Inputs,
    Recording,
    as_audio,
    loudness_gain,
    naming_recording,
    repeated,
    run_loudness,
)
from singlow.voices.speakers import ALL, AUTO, convertible_speakers, embedding_of
from singlow.voices.tag import Tag, read_tag

if TYPE_CHECKING:
    from singlow.models.flow import Flow

MOST_OVERLAP = 32  # largest number of frames that contain a sample
_BATCH = 32
_TOGETHER = 8  # number of targets that share one encoding of the frames
_BURST = 4.0  # times full scale; no voice is this loud


@dataclass(frozen=True)
class Converted:
    """A recording in another voice, with the sample rate, length and channels of the original.

    Attributes:
        audio: `(time, channels)` float32.
        rms: root mean square of the flow's output, relative to full scale, before the output was
            scaled to the loudness of the original.
        scale: factor by which the result was turned down so that no sample exceeds full scale; 1
            if it was not turned down.
        burst: share of the flow's samples that exceeded full scale and were clipped.
        tail: the flow's output for the padding at the end of the recording,
            `(samples, sounding channels)`, before it was scaled to the loudness of the original.
            `None` if overlapping frames were converted, if the recording and the flow differ in
            their sample rate, or if the tail exceeds the limit of bursts.
    """

    audio: np.ndarray
    rms: float
    scale: float
    burst: float = 0.0
    tail: np.ndarray | None = None


@dataclass(frozen=True, kw_only=True)
class Conversion(Converted):
    """A recording in the voice of a speaker of a run.

    Attributes:
        sample_rate: Hz.
        source: the speaker of the original.
        target: the speaker of the result.
        fingerprint: fingerprint of the run's weights.
        call: hash of everything that determines the result: weights, settings and input file; ""
            for audio given as an array.
        identity: how the source was identified; `None` if it was given.
    """

    sample_rate: int
    source: str
    target: str
    fingerprint: str
    call: str = ""
    identity: Identity | None = None

    @property
    def tag(self) -> Tag:
        """The metadata that is stored in a file of this conversion."""
        return Tag(
            self.source,
            self.target,
            self.fingerprint,
            self.call,
            self.rms,
            self.scale,
            len(self.audio),
            self.tail,
        )

    @property
    def notes(self) -> list[str]:
        """Messages about the result for the user, one line each."""
        notes = [burst_note(self.burst)] if self.burst else []
        if self.scale < 1:
            notes.append(
                f"turned down by {-20 * np.log10(self.scale):.1f} dB, so that nothing exceeds "
                "full scale."
            )
        return notes

    def write(self, path: str | os.PathLike) -> None:
        """Write a wav file of 32-bit floats that `convert` can convert back.

        Raises:
            OSError: the file cannot be written.
        """
        # Converting back needs the exact samples, which integers would round.
        write_audio(path, self.audio, self.sample_rate, "FLOAT", self.tag.comment)


def convert(
    run: str | TrainedRun,
    recording: Recording | Conversion,
    target: str,
    source: str = AUTO,
    sample_rate: int | None = None,
    hop: int | None = None,
) -> Conversion:
    """Convert a recording to the voice of a speaker of the run, trained or enrolled.

    The result has the sample rate, length, channels and loudness of the recording. It has no
    frequencies above half of the run's sample rate. Converting a result back, from its target to
    its source, returns the original recording.

    Args:
        run: a run with speakers, or its name.
        recording: path of an audio file; audio `(time,)` or `(time, channels)`, float in +-1; or
            the result of a conversion.
        target: name of the speaker of the result.
        source: name of the speaker of the recording, or `"auto"` to identify the likeliest one.
        sample_rate: Hz of audio that is given as an array; the run's when `None`.
        hop: samples, at the run's rate, between the starts of overlapping frames, one of
            `hops(window)`; when `None`, the recording is converted as a whole.

    Raises:
        UsageError: the run has no speakers, a name is unknown, or the hop does not fit.
        DataError: the recording cannot be read, is silent or too short, or the result is not
            finite.

    Example:
        >>> import singlow
        >>> run = singlow.open_run("voices")  # doctest: +SKIP
        >>> singlow.convert(run, "song.wav", "bo").write("song_to_bo.wav")  # doctest: +SKIP
    """
    run = open_run(run)
    target = convertible_speakers(run).find(target)
    (conversion,) = Converter(run, target, source, hop)(recording, sample_rate, [target])
    return conversion


class Converter:
    """Convert recordings to one or all speakers of a run, and recognise finished results.

    Args:
        run: a run with speakers.
        target: name of the speaker of the results, or `"all"`.
        source: name of the speaker of the recordings, or `"auto"`.
        hop: see `convert`.

    Attributes:
        targets: maps the name of each target to the flow's inputs for it, a batch of 1.

    Raises:
        UsageError: the run has no speakers, a name is unknown, or the hop does not fit.
    """

    def __init__(
        self, run: TrainedRun, target: str, source: str = AUTO, hop: int | None = None
    ) -> None:
        speakers = convertible_speakers(run)
        self.targets: Mapping[str, Inputs] = speakers.choose(target, ALL)
        self._sources = speakers.choose(source, AUTO)
        self._run = run
        self._frames = None
        if hop is not None:
            window = window_length(run.config, run.flow)
            self._frames = (window, check_hop(hop, window))
        sources = {name: _embedding_list(inputs) for name, inputs in self._sources.items()}
        settings = [run.fingerprint, sources, run_loudness(run), self._frames]
        self._keys = {
            to: hash_of([*settings, _embedding_list(e)]) for to, e in self.targets.items()
        }

    def __call__(
        self,
        recording: Recording | Conversion,
        sample_rate: int | None = None,
        targets: Iterable[str] | None = None,
    ) -> Iterator[Conversion]:
        """Convert a recording to each target, one after another to save memory.

        Args:
            recording: see `convert`.
            sample_rate: Hz of audio that is given as an array; the run's when `None`.
            targets: names of the targets; all when `None`.

        Raises:
            DataError: the recording cannot be read, is silent or too short, or a result is not
                finite.
        """
        run, names = self._run, list(self.targets if targets is None else targets)
        path = None
        if isinstance(recording, Conversion):
            audio, rate, before = recording.audio, recording.sample_rate, recording.tag
        elif isinstance(recording, np.ndarray):
            audio, rate = as_audio(recording), sample_rate or run.flow.signal.sample_rate
            before = None
        else:
            path = Path(recording)
            (audio, rate), before = load_audio(path), read_tag(path)
        if before is not None and before.fingerprint != run.fingerprint:
            before = None
        with naming_recording(audio if path is None else path):
            source, identity = next(iter(self._sources)), None
            if len(self._sources) > 1:
                identity = identify(run, audio, rate, self._sources)
                source = identity.name
            results = convert_recording(
                run.coder,
                audio,
                rate,
                self._sources[source],
                [self.targets[name] for name in names],
                run_loudness(run),
                self._frames,
                before,
            )
            for name, converted in zip(names, results, strict=True):
                yield Conversion(
                    **vars(converted),
                    sample_rate=rate,
                    source=source,
                    target=name,
                    fingerprint=run.fingerprint,
                    call="" if path is None else self._call(path, name),
                    identity=identity,
                )

    def is_current(self, path: Path, target: str, result: Path) -> bool:
        """Return whether a file is the complete result of the same conversion.

        Args:
            path: path of the recording.
            target: name of the target.
            result: the file that the result would be written to.
        """
        tag = read_tag(result) if result.is_file() else None
        return tag is not None and tag.call == self._call(path, target)

    def _call(self, path: Path, target: str) -> str:
        return hash_of([self._keys[target], stamp(path)])


def _embedding_list(inputs: Inputs) -> list[float]:
    return embedding_of(inputs).tolist()


def convert_recording(
    flow: "Flow",
    audio: np.ndarray,
    sample_rate: int,
    source: Inputs,
    targets: Sequence[Inputs],
    loudness: float | None = None,
    frames: tuple[int, int] | None = None,
    before: Converted | Tag | None = None,
) -> Iterator[Converted]:
    """Convert a recording of any sample rate, length and number of channels to other voices.

    Each channel is converted on its own, and their balance is kept. Channels that
    are 40 dB quieter than the loudest count as silent and are not changed. The conversion is

        y = f^-1(f(g x, source), target)        result = y rms(x) / rms(y)

    where `x` is the recording at the flow's sample rate, and `g` scales `x` to the loudness that
    the flow was trained on (see `loudness_gain`). The result has exactly the loudness of the
    recording.

    A flow changes the loudness slightly and is not linear, so converting back needs `y` at its
    original rms. The result therefore includes that rms, and the `tail` on which the last samples
    depend. If an earlier conversion is given as `before`, `g` restores its rms, and the conversion
    from target to source returns `x`.

    For sounds unlike the training data, the inverse for another speaker may burst: single samples
    are a million times too loud. If a sample exceeds four times full scale, all samples are clipped
    at full scale, and the share of clipped samples is returned. Such a conversion cannot be undone.

    Args:
        flow: a flow with the inputs of `source`, made for inference.
        audio: `(time, channels)` float32.
        sample_rate: Hz of `audio`.
        source: the flow's inputs for the speaker of the recording, a batch of 1.
        targets: the flow's inputs for each speaker to convert to, a batch of 1 each.
        loudness: rms in dBFS to which the run's recordings were scaled; `None` if they were not.
        frames: `(window, hop)` of overlapping frames, in samples; the recording is converted as a
            whole when `None`.
        before: the earlier conversion that returned `audio`, if there is one.

    Yields:
        One result for each target, one after another to save memory.

    Raises:
        DataError: the recording is silent or too short, or a result is not finite.
    """
    ceiling = max(1.0, _peak(audio))
    if before is not None:
        audio = audio / np.float32(before.scale)
    sounding = sounding_channels(audio)
    x = resample(audio[:, sounding], sample_rate, flow.signal.sample_rate)
    shortest = flow.multiple if frames is None else frames[0]
    if len(x) < shortest:
        unit = "one frame" if frames is None else "one window"
        raise DataError(
            f"Expected a recording of at least {shortest} samples at {flow.signal.sample_rate} Hz, "
            f"{unit}. Received: {len(x)}."
        )
    gain = loudness_gain(x, loudness)
    if before is not None:
        gain = before.rms / root_mean_square(x)
    x = x * np.float32(gain)
    if frames is None:
        tail = None if before is None or sample_rate != flow.signal.sample_rate else before.tail
        outputs = convert_whole(flow, x, source, targets, tail)
    else:
        outputs = (
            y
            for start in range(0, len(targets), _TOGETHER)
            for y in convert_frames(flow, x, source, targets[start : start + _TOGETHER], *frames)
        )
    for y in outputs:
        yield _match_loudness(flow, y[: len(x)], y[len(x) :], audio, sample_rate, sounding, ceiling)


def sounding_channels(audio: np.ndarray) -> np.ndarray:
    """Return which channels of `audio` `(time, channels)` are less than 40 dB below the loudest."""
    power = ChannelPower(audio.shape[1])
    power.add(audio)
    return np.array(power.mixdown(1).signs) != 0


def _match_loudness(
    flow: "Flow",
    y: np.ndarray,
    tail: np.ndarray,
    audio: np.ndarray,
    sample_rate: int,
    sounding: np.ndarray,
    ceiling: float,
) -> Converted:
    """Resample a flow's output to the rate of `audio`, and scale it to the same loudness."""
    y, burst = limit_bursts(y)
    back = resample(y, flow.signal.sample_rate, sample_rate)[: len(audio)]
    result = np.zeros((len(audio), int(sounding.sum())), np.float32)
    result[: len(back)] = back
    rms = root_mean_square(result)
    if not rms > 0:
        raise DataError("Expected a conversion with sound. Received: silence.")
    result *= np.float32(root_mean_square(audio[:, sounding]) / rms)
    complete = audio.astype(np.float32)  # with the silent channels
    complete[:, sounding] = result
    scale = min(1.0, ceiling / _peak(complete))
    complete *= np.float32(scale)
    kept = len(tail) and sample_rate == flow.signal.sample_rate and _peak(tail) <= _BURST
    return Converted(complete, root_mean_square(y), scale, burst, tail if kept else None)


def _peak(audio: np.ndarray) -> float:
    """Return the largest magnitude without a copy of the audio; NaN if a sample is NaN."""
    return float(np.maximum(audio.max(initial=0), -audio.min(initial=0)))


def limit_bursts(y: np.ndarray) -> tuple[np.ndarray, float]:
    """Clip a flow's output at full scale if it bursts; also return the share of clipped samples.

    Raises:
        DataError: the output is not finite.
    """
    if not np.isfinite(y).all():
        raise DataError(
            "Expected a finite conversion. Received: NaN or infinite samples; choose another "
            "speaker as the source, or an earlier --epoch."
        )
    if not _peak(y) > _BURST:
        return y, 0.0
    return np.clip(y, -1, 1), float((np.abs(y) > 1).mean())


def burst_note(burst: float) -> str:
    """Return a message for the user: the share of samples that were clipped, and what to do."""
    return (
        f"{burst:.2%} of the samples exceeded full scale and were clipped: the run has not learnt "
        "such sounds well enough. Train it for longer."
    )


def convert_whole(
    flow: "Flow",
    audio: np.ndarray,
    source: Inputs,
    targets: Sequence[Inputs],
    tail: np.ndarray | None = None,
) -> Iterator[np.ndarray]:
    """Convert a whole recording at once: yield `f^-1(f(x, source), target)` for each target.

    The recording is padded to a multiple of `flow.multiple`. It is not cut into frames, so the
    result has no joins.

    Args:
        flow: a flow with the inputs of `source`; `Flow.for_inference` returns one for which a
            recording of any length fits in memory.
        audio: `(time, channels)` float32 at the flow's rate; each channel is converted on its own.
        source: the flow's inputs for the speaker of the recording, a batch of 1.
        targets: the flow's inputs for each speaker to convert to, a batch of 1 each.
        tail: samples for the padding, `(samples, channels)`; zeros are used when it is `None` or
            has another shape than the padding.

    Yields:
        `(time, channels)` float32, with the padding at its end.

    References:
        Serra, Pascual and Segura, Blow: a single-scale hyperconditioned flow for non-parallel
        raw-audio voice conversion, 2019, https://arxiv.org/abs/1906.00794
    """
    shape = (-len(audio) % flow.multiple, audio.shape[1])
    fits = tail is not None and tail.shape == shape
    padded = np.concatenate([audio, tail if fits else np.zeros(shape, audio.dtype)])
    for y in _convert_batch(flow, padded.T[..., None], source, targets):
        yield y[..., 0].T


def convert_frames(
    flow: "Flow",
    audio: np.ndarray,
    source: Inputs,
    targets: Sequence[Inputs],
    window: int,
    hop: int,
) -> list[np.ndarray]:
    """Convert a recording in overlapping frames, weighted by Hann windows, as Blow does.

    Zeros are added at both ends so that every sample lies in the same number of frames. The sum is
    divided by the sum of the windows, and the zeros are removed.

    Args:
        flow: see `convert_whole`.
        audio: `(time, channels)` float32 at the flow's rate.
        source: the flow's inputs for the speaker of the recording, a batch of 1.
        targets: the flow's inputs for each speaker to convert to, a batch of 1 each.
        window: samples of a frame; a multiple of `flow.multiple`.
        hop: samples between the starts of frames, one of `hops(window)`.

    Returns:
        `(time, channels)` float32 for each target.
    """
    from scipy.signal import get_window

    length, channels = audio.shape
    margin = window - hop
    padded = np.pad(audio, ((margin, margin), (0, 0)))
    size = max(1, _BATCH // channels)

    def frames() -> Iterator[np.ndarray]:
        """Yield frames of all targets side by side, `(window, targets * channels)`."""
        for start in range(0, margin + length, size * hop):
            span = padded[start : start + (size - 1) * hop + window]
            batch = cut(span, window, hop)[: -(-(margin + length - start) // hop)]
            x = batch.transpose(0, 2, 1).reshape(-1, window, 1)
            voices = [
                y.reshape(-1, channels, window) for y in _convert_batch(flow, x, source, targets)
            ]
            yield from np.concatenate(voices, axis=1).transpose(0, 2, 1)

    ramp = get_window("hann", window)
    joined = overlap_add(frames(), hop, margin + length, ramp)[margin:]
    return np.split(joined, len(targets), axis=1)


def _convert_batch(
    flow: "Flow", x: np.ndarray, source: Inputs, targets: Sequence[Inputs]
) -> Iterator[np.ndarray]:
    """Yield `x` `(batch, time, 1)` in the voice of each target."""
    from keras import ops

    x = np.ascontiguousarray(x, np.float32)
    z = flow.encode({"x": x, **repeated(source, len(x))})
    for target in targets:
        yield ops.convert_to_numpy(flow.decode(z, repeated(target, len(x))))


def hops(window: int) -> list[int]:
    """Return the hops allowed for a window: its divisions by 2 to `MOST_OVERLAP`, largest first.

    Only divisions without a remainder are allowed. Frames overlap by half or more.
    """
    return [window // n for n in range(2, MOST_OVERLAP + 1) if window % n == 0]


def check_hop(hop: int | None, window: int) -> int:
    """Return `hop`, or the largest allowed hop if it is `None`.

    Raises:
        UsageError: `hop` is not one of `hops(window)`.
    """
    allowed = hops(window)
    if hop is not None and hop not in allowed:
        raise UsageError(
            f"Expected --hop in {', '.join(map(str, allowed))} for windows of {window} samples. "
            f"Received: {hop}."
        )
    return hop or allowed[0]
