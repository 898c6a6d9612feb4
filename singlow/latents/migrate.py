"""Feature migration: changes a song towards another singer in the latents of a flow."""

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
from singlow.latents import pictures
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
Inputs = Mapping[str, np.ndarray]  # the flow's inputs for one item, as a batch of 1
LOW, BELOW = 1000.0, 0.1  # a frequency in Hz, and the share of a change that is kept below it
LARGEST_STRENGTH = 10.0
SLERP = "slerp"  # the method that moves towards the latents of one reference


def migrate(
    run: "TrainedRun | PathLike",
    songs: PathLike | Sequence[PathLike],
    source: str | None = None,
    target: str | None = None,
    reference: Sequence[PathLike] = (),
    strength: float = 1.0,
    method: str | None = None,
    levels: Collection[int] | None = None,
    output: PathLike = "migrated",
    data_dir: PathLike | None = None,
) -> list[Path]:
    """Replace features of one singer or style in songs by those of another, and write the songs.

    Each result has the sample rate, length, channels and loudness of its song. For a run of images,
    the songs are pictures, source and target are classes, and results are png files.

    Args:
        run: a trained run, its name under checkpoints/ or its path.
        songs: path of a recording, or paths of several.
        source: singer or style whose features the songs have. When None, each song's own features
            are measured; this requires `reference`.
        target: singer or style whose features the results have.
        reference: recordings that replace `target`: the target's features are measured from them.
        strength: 0 returns the song itself, 1 moves all the way and larger values move beyond.
        method: a name in `methods.METHODS`, `"transport"` when None, or `"slerp"`, which moves
            towards the latents of one reference and needs neither source nor target. For pictures
            it is `"difference"`.
        levels: indices of the levels to move, where 0 is the finest; all when None.
        output: path of a wav or png file for one song, otherwise of a folder.
        data_dir: folder for the records of the run's data; beside the recordings when None.

    Returns:
        Paths of the files that were written.

    Raises:
        UsageError: an argument is unknown, missing or out of range.
        DataError: a recording cannot be used.

    Example:
        >>> import singlow
        >>> singlow.migrate(  # doctest: +SKIP
        ...     "mine", "song.wav", source="ada", target="bo", strength=0.8, output="migrated.wav"
        ... )
    """
    paths = [Path(p) for p in ([songs] if isinstance(songs, PathLike) else songs)]
    output, run = Path(output), open_run(run)
    suffix = run.flow.signal.suffix
    single = len(paths) == 1 and output.suffix.lower() == suffix
    results = [output] if single else [output / f"{path.stem}{suffix}" for path in paths]
    if len(set(results)) != len(results):
        raise UsageError(f"{output}: Expected songs of different names. Received: equal ones.")
    if pictures.is_of_images(run):
        check_strength(strength)
        others = [*reference, *(levels or ())]
        pictures.check_migration(source, target, method or pictures.METHODS[0], others)
        write = pictures.file_migration(run, source, target, strength, data_dir)
        for path, result in zip(paths, results, strict=True):
            write(path, result)
        return results
    method = method or "transport"
    migration = Migration(run, source, target, reference, strength, method, levels, data_dir)
    for path, result in zip(paths, results, strict=True):
        migration.write(path, result)
    return results


class Migration:
    """A function that migrates audio; it measures the features of source and target only once.

    It maps audio `(time, channels)` at the flow's rate to audio of the same shape. `migrate`
    describes the arguments in more detail.

    Args:
        run: a trained run, its name under checkpoints/ or its path.
        source: singer or style whose features the songs have.
        target: singer or style whose features the results have.
        reference: recordings that replace `target`.
        strength: how far songs are moved.
        method: name of the method that moves them.
        levels: indices of the levels to move.
        data_dir: folder for the records of the run's data.

    Attributes:
        run: the opened run.

    Raises:
        UsageError: an argument is unknown, missing or out of range.
        DataError: a reference or the run's data cannot be used.
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
            song: path of the recording.
            output: path of the file, which is written atomically.

        Raises:
            DataError: the recording cannot be used.
            UsageError: `output` and `song` are the same file.
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
        with stream_audio(song) as stream:  # a second pass, because long songs do not fit in memory
            blocks = before(stream.blocks)
            moved = changed_blocks(blocks, stream.sample_rate, change, rate, mixdown)
            write_blocks(Path(output), after(moved), stream.sample_rate, stream.channels, "FLOAT")
        if after.peak > max(1.0, before.peak):
            warn(
                f"{output}: its peak is {20 * math.log10(after.peak):.1f} dB above full scale: "
                "reduce its gain before it is stored as integers."
            )


class _Peak:
    """Passes blocks of audio through and measures their largest absolute sample."""

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
    """Check that arguments of `migrate` are valid and can be used together.

    Raises:
        UsageError: an argument is unknown, missing, out of range or excluded by another argument.
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
    """Check the strength of a migration.

    Raises:
        UsageError: the strength is not from 0 to 10.
    """
    if not (math.isfinite(strength) and 0 <= strength <= LARGEST_STRENGTH):
        raise UsageError(f"Expected strength from 0 to {LARGEST_STRENGTH:g}. Received: {strength}.")


def read_reference(flow: "Flow", path: PathLike) -> np.ndarray:
    """Read a recording at a flow's rate and channels, `(time, channels)`.

    Raises:
        DataError: the recording cannot be read or is silent.
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

    The result is `song + upsample(migrated - resampled)`. It keeps the song's rate, length, stereo
    image and frequencies above the flow's band. Strength 0 returns the song bit for bit.

    Args:
        flow: a flow of audio.
        song: samples in +-1, `(time, channels)` float32.
        sample_rate: sample rate of `song` in Hz.
        source: features that the song has; they are measured from the song when None.
        target: features that the result has.
        strength: 0 returns the song itself, 1 moves all the way and larger values move beyond.
        method: a name in `methods.METHODS`.
        levels: indices of the levels to move, where 0 is the finest; all when None.

    Raises:
        UsageError: the method or a level is unknown.
        DataError: the flow cannot encode or decode the song, or the song is too short or silent
            for features of its own.
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

    The result has the loudness of `audio`, measured over 50 ms. Below 1 kHz only a tenth of the
    change is kept. In that band the harmonics of a voice have most of its power, and moved latents
    decode to much more noise than the target has; it is audible as roughness and measurable as
    jitter.

    Args:
        flow: a flow of audio.
        audio: samples, `(time, channels)` at the flow's rate.
        source: features that the audio has; they are measured from the audio when None.
        target: features that the result has.
        strength: 0 returns the audio itself, 1 moves all the way and larger values move beyond.
        method: a name in `methods.METHODS`.
        levels: indices of the levels to move, where 0 is the finest; all when None.
        inputs: the flow's inputs for one item, a batch of 1.

    Raises:
        UsageError: the method or a level is unknown.
        DataError: the flow cannot encode or decode the audio, or the audio is too short or silent
            for features of its own.
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
    """Multiply the frequencies of a change below `LOW` by `BELOW`, in place."""
    high = _high(change, rate)
    high *= 1 - BELOW
    change *= BELOW
    change += high


def _high(audio: np.ndarray, rate: int) -> np.ndarray:
    """Return the frequencies of audio `(time, channels)` above `LOW`, with zero phase shift."""
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
    """Return `song + upsample(change(resampled) - resampled)`.

    Args:
        flow: a flow of audio with the sample rate and channels that `change` processes.
        song: samples, `(time, channels)` float32 at `sample_rate` Hz.
        sample_rate: sample rate of `song` in Hz.
        change: function that maps audio `(time, channels)` to the same shape; if it changes
            nothing, the result is the song bit for bit.
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
    """Resample a change and add it to the blocks of a song.

    Args:
        blocks: successive blocks of the song, `(time, channels)` float32 at `sample_rate` Hz.
        sample_rate: sample rate of the song in Hz.
        change: samples to add, `(time, channels)` float32; if all are zero, the blocks do not
            change.
        rate: sample rate of `change` in Hz.
        mixdown: mixdown of the song to the channels of `change`; silent channels stay silent.

    Yields:
        Blocks of the same shapes as `blocks`.
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
