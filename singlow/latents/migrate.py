"""Feature migration: songs that sound more like other singers, through a flow's latents."""

import functools
import math
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy.signal import butter, sosfilt, sosfilt_zi

from singlow.audio import (
    ChannelPower,
    Mixdown,
    blocks_of,
    is_silent,
    load_audio,
    load_mixed,
    resample,
    resampled,
    stream_audio,
    write_blocks,
)
from singlow.errors import DataError, UsageError, naming, warn
from singlow.latents.approach import approach, match_loudness
from singlow.latents.codes import encode_song
from singlow.latents.contour import smooth_power
from singlow.latents.features import Features, features_of, features_of_run, measure_features
from singlow.latents.interpolate import towards
from singlow.latents.methods import METHODS, check_levels, move
from singlow.runs.data import prepare_data
from singlow.runs.opening import open_run, require_no_inputs

if TYPE_CHECKING:
    from singlow.models.flow import Flow
    from singlow.runs.opening import TrainedRun

PathLike = str | os.PathLike
Inputs = Mapping[str, np.ndarray]  # of one item: a batch of 1
LOW, BELOW = 1000.0, 0.1  # Hz, and the share of a change that is kept below this frequency
LARGEST_STRENGTH = 10.0
SLERP = "slerp"  # the method that moves towards the latents of one reference


def migrate(
    run: "TrainedRun | PathLike",
    songs: PathLike | Sequence[PathLike],
    source: str | None = None,
    target: str | None = None,
    reference: Sequence[PathLike] = (),
    strength: float = 1.0,
    method: str = "transport",
    levels: Collection[int] | None = None,
    output: PathLike = "migrated",
    data_dir: PathLike | None = None,
) -> list[Path]:
    """Write songs with features of one singer or style replaced by those of another.

    The result has the song's sample rate, length, channels and loudness.

    Args:
        run: a trained run, its name under checkpoints/ or its path.
        songs: a recording or several.
        source: singer or style that the songs sound like; each song's own features when None,
            which needs `reference`.
        target: singer or style that they become.
        reference: recordings that the target's features are measured from, in place of `target`.
        strength: 0 is the song itself, 1 moves all the way, larger values go beyond.
        method: a name in `methods.METHODS`, or `"slerp"`, which moves towards the latents of one
            reference and needs neither source nor target.
        levels: indices of the levels to move, 0 the finest; all when None.
        output: a wav file for one song, otherwise a folder.
        data_dir: where records of the run's data are kept; beside the recordings when None.

    Returns:
        The files that were written.

    Raises:
        UsageError: an argument is unknown, missing or out of its range.
        DataError: a recording cannot be used.

    Example:
        >>> import singlow
        >>> singlow.migrate(  # doctest: +SKIP
        ...     "mine", "song.wav", source="ada", target="bo", strength=0.8, output="migrated.wav"
        ... )
    """
    paths = [Path(p) for p in ([songs] if isinstance(songs, PathLike) else songs)]
    output = Path(output)
    single = len(paths) == 1 and output.suffix.lower() == ".wav"
    results = [output] if single else [output / f"{path.stem}.wav" for path in paths]
    if len(set(results)) != len(results):
        raise UsageError(f"{output}: Expected songs of different names. Received: equal ones.")
    migration = Migration(run, source, target, reference, strength, method, levels, data_dir)
    for path, result in zip(paths, results, strict=True):
        migration.write(path, result)
    return results


class Migration:
    """What `migrate` does to each song: the features of source and target, measured once.

    A migration maps audio `(time, channels)` at the flow's rate to audio of the same shape.

    Args:
        run: a trained run, its name under checkpoints/ or its path.
        source: see `migrate`, as are the other arguments.
        target: singer or style that songs become.
        reference: recordings in place of `target`.
        strength: how far songs are moved.
        method: how they are moved.
        levels: indices of the levels to move.
        data_dir: where records of the run's data are kept.

    Attributes:
        run: the opened run.

    Raises:
        UsageError: an argument is unknown, missing or out of its range.
        DataError: a reference cannot be used, or the run's data cannot.
    """

    def __init__(
        self,
        run: "TrainedRun | PathLike",
        source: str | None = None,
        target: str | None = None,
        reference: Sequence[PathLike] = (),
        strength: float = 1.0,
        method: str = "transport",
        levels: Collection[int] | None = None,
        data_dir: PathLike | None = None,
    ) -> None:
        check_migration(source, target, reference, strength, method)
        self.run = open_run(run)
        require_no_inputs(self.run, "use convert")
        flow = self.run.coder
        check_levels(levels, flow.num_levels)
        if method == SLERP:
            other = read_reference(flow, reference[0])
            self._change = functools.partial(
                towards, flow, other=other, strength=strength, levels=levels
            )
            return
        known = None
        if source is not None or target is not None:
            config = prepare_data(self.run.config, data_dir and Path(data_dir))
            known = features_of_run(self.run, config)
        begin = None if source is None else known[source]
        if not reference:
            end = known[target]
        else:
            end = measure_features(flow, (read_reference(flow, path) for path in reference))
            if not end.sounding:
                raise DataError(
                    f"{os.fspath(reference[0])}: too short for features: give longer --reference "
                    "files."
                )
        self._change = functools.partial(
            migrate_audio,
            flow,
            source=begin,
            target=end,
            strength=strength,
            method=method,
            levels=levels,
        )

    def __call__(self, audio: np.ndarray) -> np.ndarray:
        return self._change(audio)

    def write(self, song: PathLike, output: PathLike) -> None:
        """Migrate a recording and write the result as a wav file of 32-bit floats.

        Args:
            song: the recording.
            output: the file to write, whole or not at all.

        Raises:
            DataError: the recording cannot be used.
            UsageError: the output is the recording itself.
        """
        if Path(output).exists() and Path(output).samefile(song):
            raise UsageError(f"{output}: is the song itself. Choose another output.")
        signal = self.run.flow.signal
        rate = signal.sample_rate
        audio, _, mixdown = load_mixed(song, rate, signal.channels)
        with naming(Path(song)):
            change = self(audio) - audio
        del audio
        before, after = _Peak(), _Peak()
        with stream_audio(song) as stream:  # decoded again: a long song would fill the memory
            blocks = before(stream.blocks)
            moved = changed_blocks(blocks, stream.sample_rate, change, rate, mixdown)
            write_blocks(Path(output), after(moved), stream.sample_rate, stream.channels, "FLOAT")
        if after.peak > max(1.0, before.peak):
            warn(
                f"{output}: its peak is {20 * math.log10(after.peak):.1f} dB above full scale: "
                "reduce its gain before it is stored as integers."
            )


class _Peak:
    """The largest absolute sample of the blocks that pass through."""

    def __init__(self) -> None:
        self.peak = 0.0

    def __call__(self, blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        for block in blocks:
            self.peak = max(self.peak, float(np.abs(block).max(initial=0)))
            yield block


def check_migration(
    source: str | None,
    target: str | None,
    reference: Sequence[PathLike],
    strength: float,
    method: str,
) -> None:
    """Refuse arguments of `migrate` that cannot be used together.

    Raises:
        UsageError: one is unknown, missing, out of its range or one too many.
    """
    check_strength(strength)
    if method not in (*METHODS, SLERP):
        raise UsageError(
            f"Expected a method in {', '.join((*METHODS, SLERP))}. Received: {method}."
        )
    if target is not None and reference:
        raise UsageError("Expected target (--to) or --reference. Received: both.")
    if method == SLERP:
        if source is not None or target is not None or len(reference) != 1:
            raise UsageError(
                "Expected one --reference FILE with --method slerp, and no source (--from) or "
                f"target (--to). Received: {len(reference)} references, source {source}, target "
                f"{target}."
            )
    elif target is None and not reference:
        raise UsageError(
            "Expected source and target (--from and --to), or --reference FILE. Received: neither."
        )
    elif source is None and not reference:
        raise UsageError(
            "Expected source (--from), the singer or style of the songs, with target (--to). "
            "Received: none."
        )


def check_strength(strength: float) -> None:
    """Refuse a strength that is not from 0 to 10.

    Raises:
        UsageError: it is not.
    """
    if not (math.isfinite(strength) and 0 <= strength <= LARGEST_STRENGTH):
        raise UsageError(f"Expected strength from 0 to {LARGEST_STRENGTH:g}. Received: {strength}.")


def read_reference(flow: "Flow", path: PathLike) -> np.ndarray:
    """Read a recording at a flow's rate and channels, `(time, channels)`.

    Raises:
        DataError: it cannot be read, or is silent.
    """
    audio, _ = load_audio(path, flow.signal.sample_rate, flow.signal.channels)
    if is_silent(audio):
        raise DataError(f"{os.fspath(path)}: Expected a recording with sound. Received: silence.")
    return audio


def migrate_song(
    flow: "Flow",
    song: np.ndarray,
    sample_rate: int,
    source: Features | None,
    target: Features,
    strength: float = 1.0,
    method: str = "transport",
    levels: Collection[int] | None = None,
) -> np.ndarray:
    """Replace features of `source` in a song by those of `target`, at the song's own rate.

    The result is `song + upsample(migrated - resampled)`. Rate, length, stereo image and what lies
    above the flow's band are kept, and strength 0 is the song bit for bit.

    Args:
        flow: a flow on audio.
        song: `(time, channels)` float32 in +-1.
        sample_rate: Hz of `song`.
        source: features of what it sounds like; its own when None.
        target: features of what it becomes.
        strength: 0 is the song itself, 1 moves all the way, larger values go beyond.
        method: a name in `methods.METHODS`.
        levels: indices of the levels to move, 0 the finest; all when None.

    Raises:
        UsageError: the method or a level is unknown.
        DataError: the flow cannot encode or decode the song, or the song has no features.
    """

    def migrated(audio: np.ndarray) -> np.ndarray:
        return migrate_audio(flow, audio, source, target, strength, method, levels)

    return add_change(flow, song, sample_rate, migrated)


def migrate_audio(
    flow: "Flow",
    audio: np.ndarray,
    source: Features | None,
    target: Features,
    strength: float = 1.0,
    method: str = "transport",
    levels: Collection[int] | None = None,
    inputs: Inputs | None = None,
) -> np.ndarray:
    """Replace features of `source` in audio by those of `target`; see `migrate_song`.

    The result has the loudness of `audio` under 50 ms. Below 1 kHz only a tenth of the change is
    kept: there the harmonics of a voice carry most of its power, and moved latents decode to noise
    far above that of the target, which is audible as roughness and measured as jitter.

    Args:
        flow: a flow on audio.
        audio: `(time, channels)` at the flow's rate.
        source: features of what it sounds like; its own when None.
        target: features of what it becomes.
        strength: 0 is the audio itself, 1 moves all the way, larger values go beyond.
        method: a name in `methods.METHODS`.
        levels: indices of the levels to move, 0 the finest; all when None.
        inputs: the flow's inputs for one item, a batch of 1.

    Raises:
        UsageError: the method or a level is unknown.
        DataError: the flow cannot encode or decode the audio, or it has no features.
    """
    rate = flow.signal.sample_rate
    song = encode_song(flow, audio, inputs)
    if source is None:
        source = features_of(song.latents, audio, rate)
        if not source.sounding:
            raise DataError(
                "Expected a song with sound, long enough for its own features. Received: a shorter "
                "or silent one; give source (--from)."
            )
    goal = move(song.latents, source, target, method, levels)
    moved = approach(flow, audio, song, goal, strength, inputs=inputs)
    if moved is audio:
        return audio
    moved -= audio
    _reduce_low(moved, rate)
    moved += audio
    return match_loudness(functools.partial(smooth_power, audio), moved, rate)


def _reduce_low(change: np.ndarray, rate: int) -> None:
    """Scale what a change has below `LOW` by `BELOW`, in place."""
    high = _high(change, rate)
    high *= 1 - BELOW
    change *= BELOW
    change += high


def _high(audio: np.ndarray, rate: int) -> np.ndarray:
    """What `audio` has above `LOW`, without a change of phase."""
    sections = butter(2, min(LOW, 0.4 * rate), "highpass", fs=rate, output="sos")
    high = audio.copy()
    for direction in (high, high[::-1]):
        state = sosfilt_zi(sections)[..., None] * direction[0]
        for block in blocks_of(direction):
            block[...], state = sosfilt(sections, block, axis=0, zi=state)
    return high


def add_change(
    flow: "Flow",
    song: np.ndarray,
    sample_rate: int,
    change: Callable[[np.ndarray], np.ndarray],
) -> np.ndarray:
    """`song + upsample(change(resampled) - resampled)`.

    Args:
        flow: a flow on audio, at whose rate and channels `change` works.
        song: `(time, channels)` float32 at `sample_rate` Hz.
        sample_rate: Hz of `song`.
        change: maps `(time, channels)` to the same shape; if it changes nothing, the result is the
            song bit for bit.
    """
    power = ChannelPower(song.shape[1])
    power.add(song)
    mixdown, rate = power.mixdown(flow.signal.channels), flow.signal.sample_rate
    audio = resample(mixdown(song), sample_rate, rate)
    changed = change(audio) - audio
    return np.concatenate(list(changed_blocks([song], sample_rate, changed, rate, mixdown)))


def changed_blocks(
    blocks: Iterable[np.ndarray],
    sample_rate: int,
    change: np.ndarray,
    rate: int,
    mixdown: Mixdown,
) -> Iterator[np.ndarray]:
    """Add a change at another rate to a song that comes in blocks.

    Args:
        blocks: `(time, channels)` float32 at `sample_rate` Hz.
        sample_rate: Hz of the song.
        change: `(time, channels)` float32; if it is zero, the blocks are returned as they are.
        rate: Hz of `change`.
        mixdown: how the song was mixed to the channels of `change`; silent channels stay silent.

    Yields:
        Blocks of the same shapes.
    """
    if not change.any():
        yield from blocks
        return
    pieces, waiting = resampled(blocks_of(change), rate, sample_rate), change[:0]
    for block in blocks:
        while len(waiting) < len(block) and (piece := next(pieces, None)) is not None:
            waiting = np.concatenate([waiting, piece])
        result, added = block.copy(), waiting[: len(block)]
        result[: len(added)] += mixdown.spread(added)
        waiting = waiting[len(block) :]
        yield result
