"""Decoding of latents on the way from a recording to a goal, with a loudness contour."""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import maximum_filter1d, uniform_filter1d

from singlow.latents.codes import Song, decode_song
from singlow.latents.contour import in_blocks, smooth_power

if TYPE_CHECKING:
    from singlow.models.flow import Flow

Contour = Callable[[int], np.ndarray]
"""From a width in samples to the power `(time,)` wanted under a triangle of twice that width."""

BURST = 4.5  # dB of 2 ms above the contour's own loudest 2 ms within 20 ms
FLOOR = 55.0  # dB below the contour's loudest place, under which nothing is a burst
_CALM = 0.02  # seconds before and after a burst for which the strength is reduced
_CLICK, _PERIOD = 1000, 50  # Hz: the rates of what is 1 ms and 20 ms long
_ROUNDS = 12  # of halving the strength, before a stretch that still bursts is left unchanged
_NOTHING = 1e-9  # power, -90 dBFS
_SILENCE = 1e-13  # power, -130 dBFS: less is a rounding error of the filter
_LOUDEST = 30.0  # amplitude above which all bursts are equal


def approach(
    flow: "Flow",
    audio: np.ndarray,
    song: Song,
    goal: Sequence[np.ndarray],
    strength: float,
    contour: Contour | None = None,
    inputs: Mapping[str, np.ndarray] | None = None,
) -> np.ndarray:
    """Decode `z + strength (goal - z)` and give the result a loudness contour.

    Far from its training data a flow decodes latents to bursts. Where 2 ms of the result are more
    than `BURST` dB louder than the contour is near them, the strength is halved around them, with
    smooth transitions, until they are not.

    Args:
        flow: the flow that encoded `song`.
        audio: `(time, channels)` at the flow's rate.
        song: the latents of `audio`.
        goal: latents of the same shapes.
        strength: 0 returns `audio` itself.
        contour: the loudness contour of the result; that of `audio` when None.
        inputs: the flow's inputs for one item, a batch of 1.

    Returns:
        `(time, channels)` float32.

    Raises:
        DataError: the latents do not fit the flow.
    """
    rate = flow.signal.sample_rate
    contour = contour or functools.partial(smooth_power, audio)
    pairs = list(zip(song.latents, goal, strict=True))
    if strength == 0 or all(np.array_equal(z, other) for z, other in pairs):
        return audio
    blocks = -(-len(audio) // flow.multiple)
    strengths = np.full(blocks, float(strength))
    for _ in range(_ROUNDS):
        decoded = decode_song(flow, _mixed(song, pairs, strengths), inputs)
        burst = _bursts(contour, decoded, rate)
        if not burst.any():
            break
        del decoded  # so that memory holds one at a time
        strengths *= 1 - 0.5 * _near(burst, flow)
    else:
        strengths *= _near(burst, flow) == 0
        decoded = decode_song(flow, _mixed(song, pairs, strengths), inputs)
    return match_loudness(contour, decoded, rate)


def match_loudness(contour: Contour, decoded: np.ndarray, sample_rate: int) -> np.ndarray:
    """Scale audio, in place, to a loudness contour under 50 ms; silent places become silent.

    Args:
        contour: the loudness contour.
        decoded: `(time, channels)`, which is changed and returned.
        sample_rate: Hz.
    """
    wanted, power = contour(sample_rate // 40), smooth_power(decoded, sample_rate // 40)
    sounds = wanted > _SILENCE
    wanted += _NOTHING
    power += _NOTHING
    wanted /= power
    gain = np.sqrt(wanted, out=wanted)
    gain *= sounds
    decoded *= gain[:, None]
    return decoded


def _mixed(song: Song, pairs: list[tuple[np.ndarray, np.ndarray]], strengths: np.ndarray) -> Song:
    """Latents between each pair, at a strength for each block of `flow.multiple` samples."""
    mixed = []
    for z, goal in pairs:
        moved = goal - z
        moved *= np.repeat(strengths.astype(z.dtype), len(z) // len(strengths))[:, None]
        moved += z
        mixed.append(moved)
    return replace(song, latents=mixed)


def _bursts(contour: Contour, decoded: np.ndarray, rate: int) -> np.ndarray:
    """Whether there is a burst at each sample: `(time,)` bool."""
    near = max(1, rate // _PERIOD)
    before = in_blocks(lambda part: maximum_filter1d(part, near), contour(rate // _CLICK), near)
    floor = max(before.max() * 10 ** (-FLOOR / 10), _NOTHING)
    np.maximum(before, floor, out=before)
    after = smooth_power(decoded, rate // _CLICK, _LOUDEST)
    after *= 10 ** (-BURST / 10)
    return after > before


def _near(burst: np.ndarray, flow: "Flow") -> np.ndarray:
    """For each block of `flow.multiple` samples: 1 in a burst, falling to 0 away from it."""
    padded = np.pad(burst, (0, -len(burst) % flow.multiple))
    near = padded.reshape(-1, flow.multiple).any(axis=1).astype(np.float64)
    width = 2 * max(1, round(_CALM * flow.signal.sample_rate / flow.multiple / 2)) + 1
    for _ in range(2):
        near = uniform_filter1d(near, width, mode="constant")
    return np.minimum(1, width * near).round(6)
