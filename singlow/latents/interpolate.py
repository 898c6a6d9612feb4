"""Interpolation between recordings, and variations of a recording, in the latents of a flow."""

import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from singlow.audio import load_audio, write_audio
from singlow.errors import UsageError
from singlow.latents import pictures
from singlow.latents.approach import approach
from singlow.latents.codes import encode_song
from singlow.latents.contour import smooth_power
from singlow.latents.methods import check_levels, slerp
from singlow.progress import progress
from singlow.runs.opening import open_run, require_no_inputs

if TYPE_CHECKING:
    from singlow.models.flow import Flow
    from singlow.runs.opening import TrainedRun

PathLike = str | os.PathLike
Inputs = Mapping[str, np.ndarray]  # the flow's inputs for one item, as a batch of 1
MOST_STEPS = 1000


def interpolate(
    run: "TrainedRun | PathLike",
    first: PathLike,
    second: PathLike,
    steps: int = 5,
    output: PathLike = "interpolated",
) -> list[Path]:
    """Write recordings that interpolate between two recordings, including both, in a run's latents.

    For a run of images, they are pictures.

    Args:
        run: a trained run, its name under checkpoints/ or its path.
        first: path of the first recording or picture.
        second: path of the second.
        steps: number of files to write, from 2 to 1000.
        output: folder for the files.

    Returns:
        Paths of the files, in order.

    Raises:
        UsageError: the number of steps is out of range.
        DataError: a recording cannot be read.
    """
    check_steps(steps)
    opened = open_run(run)
    if pictures.is_of_images(opened):
        names = step_names(first, second, steps, ".png")
        paths = [Path(output) / name for name in names]
        images = pictures.interpolate(opened, first, second, steps)
        for path, x in zip(paths, images, strict=True):
            opened.flow.signal.write(path, x)
        return paths
    require_no_inputs(opened, "use convert")
    rate, channels = opened.flow.signal.sample_rate, opened.flow.signal.channels
    ends = [load_audio(path, rate, channels)[0] for path in (first, second)]
    paths = [Path(output) / name for name in step_names(first, second, steps)]
    with progress("Interpolating", steps) as advance:
        for path, audio in zip(paths, between(opened.coder, *ends, steps), strict=True):
            write_audio(path, audio, rate, subtype="FLOAT")
            advance()
    return paths


def check_steps(steps: int) -> None:
    """Check the number of steps of `interpolate`.

    Raises:
        UsageError: the number is not from 2 to 1000.
    """
    if not 2 <= steps <= MOST_STEPS:
        raise UsageError(f"Expected steps from 2 to {MOST_STEPS}. Received: {steps}.")


def step_names(first: PathLike, second: PathLike, steps: int, suffix: str = ".wav") -> list[str]:
    """Return the names of the files that `interpolate` writes."""
    return [f"{i:03d}-{Path(first).stem}-{Path(second).stem}{suffix}" for i in range(steps)]


def towards(
    flow: "Flow",
    audio: np.ndarray,
    other: np.ndarray,
    strength: float,
    levels: Collection[int] | None = None,
    inputs: Inputs | None = None,
) -> np.ndarray:
    """Move audio along the sphere towards the latents of another recording.

    The other recording is repeated or cut to the length of `audio`. The result keeps the loudness
    of `audio`.

    Args:
        flow: a flow of audio.
        audio: audio to move, `(time, channels)` at the flow's rate.
        other: the other recording, `(time, channels)` at the flow's rate.
        strength: 0 returns `audio`; 1 moves all the way to the latents of `other`.
        levels: indices of the levels to move, where 0 is the finest; all when None.
        inputs: the flow's inputs for one item, a batch of 1.

    Raises:
        UsageError: a level is unknown.
    """
    check_levels(levels, flow.num_levels)
    song = encode_song(flow, audio, inputs)
    end = encode_song(flow, np.resize(other, audio.shape), inputs)
    goal = [
        slerp(z, its, strength) if levels is None or level in levels else z
        for level, (z, its) in enumerate(zip(song.latents, end.latents, strict=True))
    ]
    return approach(flow, audio, song, goal, 1.0 if strength else 0.0, inputs=inputs)


def between(
    flow: "Flow",
    first: np.ndarray,
    second: np.ndarray,
    steps: int,
    inputs: Inputs | None = None,
) -> Iterator[np.ndarray]:
    """Interpolate between two recordings, including both, along the sphere of their latents.

    The share s grows from 0 to 1. The recording at s has `(1 - s) len(first) + s len(second)`
    samples and the power `(1 - s) power(first) + s power(second)`. The shorter recording is padded
    with silence.

    Args:
        flow: a flow of audio.
        first: the first recording, `(time, channels)` at the flow's rate.
        second: the second recording, `(time, channels)` at the flow's rate.
        steps: number of recordings, at least 2.
        inputs: the flow's inputs for one item, a batch of 1.

    Yields:
        Audio, `(time, channels)` float32.

    Raises:
        ValueError: there are fewer than 2 steps.
    """
    if steps < 2:
        raise ValueError(f"Expected at least 2 steps. Received: {steps}.")
    length = max(len(first), len(second))
    ends = [np.pad(audio, ((0, length - len(audio)), (0, 0))) for audio in (first, second)]
    songs = [encode_song(flow, audio, inputs) for audio in ends]
    for share in map(float, np.linspace(0, 1, steps)):

        def power(width: int, share: float = share) -> np.ndarray:
            return (1 - share) * smooth_power(ends[0], width) + share * smooth_power(ends[1], width)

        pairs = zip(songs[0].latents, songs[1].latents, strict=True)
        goal = [slerp(a, b, share) for a, b in pairs]
        nearer = int(share > 0.5)
        strength = 0.0 if share in (0.0, 1.0) else 1.0
        audio = approach(flow, ends[nearer], songs[nearer], goal, strength, power, inputs)
        yield audio[: round((1 - share) * len(first) + share * len(second))]


def around(
    flow: "Flow",
    audio: np.ndarray,
    temperature: float,
    seed: int | None = None,
    inputs: Inputs | None = None,
) -> np.ndarray:
    """Return a random variation of a recording with the same loudness.

    Its latents are `sqrt(1 - t^2) z + t noise`.

    Args:
        flow: a flow of audio.
        audio: the recording, `(time, channels)` at the flow's rate.
        temperature: t, from 0, which returns the recording itself, to 1, which keeps only its
            loudness.
        seed: random seed of the noise.
        inputs: the flow's inputs for one item, a batch of 1.

    Raises:
        ValueError: the temperature is out of range.
    """
    if not 0 <= temperature <= 1:
        raise ValueError(f"Expected a temperature from 0 to 1. Received: {temperature}.")
    song = encode_song(flow, audio, inputs)
    rng = np.random.default_rng(seed)
    goal = [
        np.sqrt(1 - temperature**2) * z + temperature * rng.standard_normal(z.shape, np.float32)
        for z in song.latents
    ]
    return approach(flow, audio, song, goal, 1.0 if temperature else 0.0, inputs=inputs)
