"""Decoding of latents between a recording and a goal, with a given loudness contour."""

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
"""Maps a width in samples to the desired power `(time,)` under a triangle of twice that width."""

BURST = 4.5  # dB by which 2 ms of a burst exceed the contour's loudest 2 ms within 20 ms
FLOOR = 55.0  # dB below the maximum of the contour; softer sounds never count as bursts
_CALM = 0.02  # seconds before and after a burst over which the strength is reduced
_CLICK, _PERIOD = 1000, 50  # per second: intervals of 1 ms and of 20 ms
_ROUNDS = 12  # halvings of the strength, after which a place that still bursts stays unchanged
_NOTHING = 1e-9  # power, -90 dBFS
_SILENCE = 1e-13  # power, -130 dBFS; lower values are rounding errors of the filter
_LOUDEST = 30.0  # amplitude to which louder samples are clipped before bursts are measured


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

    Latents that are far from those of the training data decode to bursts. A burst is 2 ms of the
    result that exceed the contour's maximum within 20 ms by more than `BURST` dB. The strength is
    halved around each burst, with smooth transitions, until no burst is left.

    Args:
        flow: the flow that encoded `song`.
        audio: `(time, channels)` at the flow's rate.
        song: latents of `audio`.
        goal: latents of the same shapes as those of `song`.
        strength: share of the way from `song` to `goal`; 0 returns `audio` itself.
        contour: loudness contour of the result; that of `audio` when None.
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
        del decoded  # memory would otherwise hold two decoded recordings
        strengths *= 1 - 0.5 * _near(burst, flow)
    else:
        strengths *= _near(burst, flow) == 0
        decoded = decode_song(flow, _mixed(song, pairs, strengths), inputs)
    return match_loudness(contour, decoded, rate)


def match_loudness(contour: Contour, decoded: np.ndarray, sample_rate: int) -> np.ndarray:
    """Scale audio, in place, to a loudness contour measured over 50 ms.

    The result is silent where the contour is silent.

    Args:
        contour: desired loudness contour.
        decoded: audio `(time, channels)`, which is changed and returned.
        sample_rate: sample rate of the audio in Hz.
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
    """Return latents between those of each pair, with a strength for each block of samples."""
    mixed = []
    for z, goal in pairs:
        moved = goal - z
        moved *= np.repeat(strengths.astype(z.dtype), len(z) // len(strengths))[:, None]
        moved += z
        mixed.append(moved)
    return replace(song, latents=mixed)


def _bursts(contour: Contour, decoded: np.ndarray, rate: int) -> np.ndarray:
    """Return whether there is a burst at each sample, `(time,)` bool."""
    near = max(1, rate // _PERIOD)
    before = in_blocks(lambda part: maximum_filter1d(part, near), contour(rate // _CLICK), near)
    floor = max(before.max() * 10 ** (-FLOOR / 10), _NOTHING)
    np.maximum(before, floor, out=before)
    after = smooth_power(decoded, rate // _CLICK, _LOUDEST)
    after *= 10 ** (-BURST / 10)
    return after > before


def _near(burst: np.ndarray, flow: "Flow") -> np.ndarray:
    """Return a weight for each block of samples: 1 in a burst, falling to 0 away from it."""
    padded = np.pad(burst, (0, -len(burst) % flow.multiple))
    near = padded.reshape(-1, flow.multiple).any(axis=1).astype(np.float64)
    width = 2 * max(1, round(_CALM * flow.signal.sample_rate / flow.multiple / 2)) + 1
    for _ in range(2):
        near = uniform_filter1d(near, width, mode="constant")
    return np.minimum(1, width * near).round(6)
