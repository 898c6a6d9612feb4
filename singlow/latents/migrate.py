"""Feature migration: a song that sounds more like other singers, through a flow's latents."""

import functools
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.ndimage import maximum_filter1d, uniform_filter1d
from scipy.signal import butter, sosfilt, sosfilt_zi

from singlow.audio import blocks_of
from singlow.errors import DataError
from singlow.latents.change import add_change
from singlow.latents.codes import Song, decode_song, encode_song
from singlow.latents.features import Features, features_of, in_blocks, smooth_power
from singlow.latents.methods import move

Contour = Callable[[int], np.ndarray]

BURST = 4.5  # dB of 2 ms above the song's own loudest 2 ms within 20 ms
LOW, BELOW = 1000.0, 0.1  # Hz, and the share that a migration's change has below them
FLOOR = 55.0  # dB below the song's loudest place, under which nothing is too loud
_CALM = 0.02  # seconds before and after a burst that are moved less
_CLICK, _PERIOD = 1000, 50  # of these times a second
_ROUNDS = 12  # of halving, before what still bursts is left as it was
_NOTHING = 1e-9  # power, -90 dBFS
_SILENCE = 1e-13  # power, -130 dBFS: less is a rounding error of the filter
_LOUDEST = 30.0  # amplitude above which one burst is like another


def migrate_song(
    flow: Any,
    song: np.ndarray,
    sample_rate: int,
    source: Features | None,
    target: Features,
    strength: float = 1.0,
    method: str = "transport",
    levels: Collection[int] | None = None,
) -> np.ndarray:
    """A song at its own rate with features of `source` replaced by those of `target`.

    `song + upsample(migrated - resampled)`, the same on every channel: rate, length, stereo and
    what lies above the flow's band are kept, and strength 0 is the song bit for bit.

    Args:
        flow: any flow on audio.
        song: `(time, channels)` float32 in +-1.
        sample_rate: Hz of `song`.
        source: features of those it sounds like; its own when None.
        target: features of those it is to sound like.
        strength: 0 is the song itself, 1 all of the way, more goes beyond.
        method: a name in `methods.METHODS`.
        levels: which to move, 0 the finest; all when None.

    Raises:
        UsageError: the method or a level is unknown.
        DataError: the flow cannot encode or decode the song, or it has no features of its own.
    """

    def migrated(audio: np.ndarray) -> np.ndarray:
        return migrate(flow, audio, source, target, strength, method, levels)

    return add_change(flow, song, sample_rate, migrated)


def migrate(
    flow: Any,
    audio: np.ndarray,
    source: Features | None,
    target: Features,
    strength: float = 1.0,
    method: str = "transport",
    levels: Collection[int] | None = None,
) -> np.ndarray:
    """Audio `(time, channels)` at the flow's rate, migrated; see `migrate_song`.

    Its loudness, under 50 ms, is that of `audio`. Below 1 kHz only a tenth of the change is added:
    where the harmonics of a voice carry most of its power, latents that are moved decode to noise
    far above that of the target, which is heard as roughness and measured as jitter.
    """
    moved, rate = _moved(flow, audio, source, target, strength, method, levels), flow.sample_rate
    if moved is audio:
        return audio
    moved -= audio
    _hold_back(moved, rate)
    moved += audio
    return _as_loud(functools.partial(smooth_power, audio), moved, rate)


def _moved(
    flow: Any,
    audio: np.ndarray,
    source: Features | None,
    target: Features,
    strength: float,
    method: str,
    levels: Collection[int] | None,
) -> np.ndarray:
    song = encode_song(flow, audio)
    if source is None:
        source = features_of(song.latents, audio, flow.sample_rate)
        if not source.sounding:
            raise DataError(
                "Expected a song with sound in it, long enough to take its features. Give --from."
            )
    return approach(flow, audio, song, move(song.latents, source, target, method, levels), strength)


def approach(
    flow: Any,
    audio: np.ndarray,
    song: Song,
    goal: list[np.ndarray],
    strength: float,
    contour: Contour | None = None,
) -> np.ndarray:
    """Decode `z + strength (goal - z)` with a loudness contour, that of `audio` if no other.

    Far from what it was trained on a flow answers with bursts. Where 2 ms come out more than
    `BURST` dB louder than what the contour has near them, the strength is halved around them,
    smoothly, until they do not.

    Args:
        flow: that encoded `song`.
        audio: `(time, channels)` at the flow's rate.
        song: its latents.
        goal: latents of the same shapes.
        strength: 0 is `audio` itself.
        contour: gives the power (time,) wanted under a triangle of so many samples.

    Raises:
        DataError: the latents do not fit the flow.
    """
    rate = flow.sample_rate
    contour = contour or functools.partial(smooth_power, audio)
    pairs = list(zip(song.latents, goal, strict=True))
    if strength == 0 or all(np.array_equal(z, other) for z, other in pairs):
        return audio
    blocks = -(-len(audio) // flow.multiple)
    share = np.full(blocks, float(strength))
    for _ in range(_ROUNDS):
        decoded = decode_song(flow, _mixed(song, pairs, share))
        burst = _bursts(contour, decoded, rate)
        if not burst.any():
            break
        del decoded  # before there is another
        share *= 1 - 0.5 * _around(burst, flow)
    else:
        share *= _around(burst, flow) == 0
        decoded = decode_song(flow, _mixed(song, pairs, share))
    return _as_loud(contour, decoded, rate)


def _hold_back(change: np.ndarray, rate: int) -> None:
    """Leave of a change, in place, the share `BELOW` of what is below `LOW`."""
    high = _high(change, rate)
    high *= 1 - BELOW
    change *= BELOW
    change += high


def _high(audio: np.ndarray, rate: int) -> np.ndarray:
    """What of `audio` lies above `LOW`, in phase."""
    sections = butter(2, min(LOW, 0.4 * rate), "highpass", fs=rate, output="sos")
    high = audio.copy()
    for way in (high, high[::-1]):
        state = sosfilt_zi(sections)[..., None] * way[0]
        for block in blocks_of(way):
            block[...], state = sosfilt(sections, block, axis=0, zi=state)
    return high


def _mixed(song: Song, pairs: list[tuple[np.ndarray, np.ndarray]], share: np.ndarray) -> Song:
    mixed = []
    for z, goal in pairs:
        moved = goal - z
        moved *= np.repeat(share.astype(z.dtype), len(z) // len(share))[:, None]
        moved += z
        mixed.append(moved)
    return replace(song, latents=mixed)


def _bursts(contour: Contour, decoded: np.ndarray, rate: int) -> np.ndarray:
    near = max(1, rate // _PERIOD)
    before = in_blocks(lambda part: maximum_filter1d(part, near), contour(rate // _CLICK), near)
    floor = max(before.max() * 10 ** (-FLOOR / 10), _NOTHING)
    np.maximum(before, floor, out=before)
    after = smooth_power(decoded, rate // _CLICK, _LOUDEST)
    after *= 10 ** (-BURST / 10)
    return after > before


def _around(burst: np.ndarray, flow: Any) -> np.ndarray:
    """By blocks of `flow.multiple` samples: 1 in a burst, falling to 0 away from it."""
    padded = np.pad(burst, (0, -len(burst) % flow.multiple))
    near = padded.reshape(-1, flow.multiple).any(axis=1).astype(np.float64)
    width = 2 * max(1, round(_CALM * flow.sample_rate / flow.multiple / 2)) + 1
    for _ in range(2):
        near = uniform_filter1d(near, width, mode="constant")
    return np.minimum(1, width * near).round(6)


def _as_loud(contour: Contour, decoded: np.ndarray, rate: int) -> np.ndarray:
    wanted, found = contour(rate // 40), smooth_power(decoded, rate // 40)
    sounds = wanted > _SILENCE
    wanted += _NOTHING
    found += _NOTHING
    wanted /= found
    gain = np.sqrt(wanted, out=wanted)
    gain *= sounds
    decoded *= gain[:, None]
    return decoded
