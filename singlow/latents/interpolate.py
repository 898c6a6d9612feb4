"""Songs between songs, and songs around a song."""

from collections.abc import Collection, Iterator
from typing import Any

import numpy as np

from singlow.latents.codes import encode_song
from singlow.latents.features import smooth_power
from singlow.latents.methods import check_levels, slerp
from singlow.latents.migrate import approach


def towards(
    flow: Any,
    audio: np.ndarray,
    other: np.ndarray,
    strength: float,
    levels: Collection[int] | None = None,
) -> np.ndarray:
    """Audio `(time, channels)` moved along the sphere towards the latents of another recording.

    The other, repeated or cut to the length of `audio`, lends its latents, not its loudness.

    Args:
        flow: any flow on audio.
        audio: at the flow's rate.
        other: at the flow's rate.
        strength: 0 is `audio`; 1 is where the other's latents are reached.
        levels: which to move, 0 the finest; all when None.
    """
    check_levels(levels, flow.levels)
    song = encode_song(flow, audio)
    lent = encode_song(flow, np.resize(other, audio.shape))
    goal = [
        slerp(z, end, strength) if levels is None or level in levels else z
        for level, (z, end) in enumerate(zip(song.latents, lent.latents, strict=True))
    ]
    return approach(flow, audio, song, goal, 1.0 if strength else 0.0)


def interpolate(
    flow: Any, first: np.ndarray, second: np.ndarray, steps: int
) -> Iterator[np.ndarray]:
    """`steps` recordings from one to another, both among them, along the sphere of their latents.

    Each lasts `(1 - s) len(first) + s len(second)` rounded and has the power
    `(1 - s) power(first) + s power(second)`; the shorter is followed by silence.

    Args:
        flow: any flow on audio.
        first: `(time, channels)` at the flow's rate.
        second: likewise.
        steps: how many, at least 2.

    Raises:
        ValueError: there are fewer than 2 steps.
    """
    if steps < 2:
        raise ValueError(f"Expected at least 2 steps. Received: {steps}.")
    length = max(len(first), len(second))
    ends = [_lengthened(audio, length) for audio in (first, second)]
    songs = [encode_song(flow, audio) for audio in ends]
    for strength in map(float, np.linspace(0, 1, steps)):

        def power(width: int, share: float = strength) -> np.ndarray:
            return (1 - share) * smooth_power(ends[0], width) + share * smooth_power(ends[1], width)

        pairs = zip(songs[0].latents, songs[1].latents, strict=True)
        goal = [slerp(a, b, strength) for a, b in pairs]
        near = int(strength > 0.5)
        far = 0.0 if strength in (0.0, 1.0) else 1.0
        between = approach(flow, ends[near], songs[near], goal, far, power)
        yield between[: round((1 - strength) * len(first) + strength * len(second))]


def around(flow: Any, audio: np.ndarray, temperature: float, seed: int | None = None) -> np.ndarray:
    """A recording drawn from around another: `sqrt(1 - t^2) z + t noise`, as loud as it.

    Temperature 0 is the recording, 1 knows nothing of it but its loudness.

    Args:
        flow: any flow on audio.
        audio: `(time, channels)` at the flow's rate.
        temperature: t, from 0 to 1.
        seed: of the noise.

    Raises:
        ValueError: the temperature is out of its range.
    """
    if not 0 <= temperature <= 1:
        raise ValueError(f"Expected a temperature from 0 to 1. Received: {temperature}.")
    song = encode_song(flow, audio)
    rng = np.random.default_rng(seed)
    goal = [_noisy(z, temperature, rng) for z in song.latents]
    return approach(flow, audio, song, goal, 1.0 if temperature else 0.0)


def _noisy(z: np.ndarray, temperature: float, rng: np.random.Generator) -> np.ndarray:
    noise = rng.standard_normal(z.shape, np.float32)
    return np.sqrt(1 - temperature**2) * z + temperature * noise


def _lengthened(audio: np.ndarray, length: int) -> np.ndarray:
    return np.pad(audio, ((0, length - len(audio)), (0, 0)))
