"""What is common to many clips: sums over time of their latents, from which moments follow."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.ndimage import uniform_filter1d

from singlow.audio import BLOCK, blocks_of, to_channels
from singlow.latents.codes import encode_song

WINDOW = 16  # frames whose cross-spectra are taken
SHRINKAGE = 32.0  # windows' worth of uncorrelated channels that spectra start from
QUIET = 45.0  # dB below a clip's loudest place, where frames are not pooled
_WINDOWS = 1 << 12  # at a time


@dataclass(frozen=True)
class Level:
    """Sums over the sounding frames of one level.

    Attributes:
        count: frames.
        total: `(channels,)`, of the latents.
        square: `(channels,)`, of their squares.
        windows: stretches of `WINDOW` frames, each starting half of one later.
        first: `(WINDOW // 2 + 1, channels)` complex, of the windows' Fourier transforms.
        second: `(WINDOW // 2 + 1, channels, channels)` complex, of their outer products.
    """

    count: float
    total: np.ndarray
    square: np.ndarray
    windows: float
    first: np.ndarray
    second: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        """Of every channel."""
        return self.total / self.count

    @property
    def deviation(self) -> np.ndarray:
        """Of every channel; never zero."""
        variance = self.square / self.count - self.mean**2
        return np.sqrt(np.maximum(variance, 1e-12))

    @property
    def spectra(self) -> np.ndarray:
        """Cross-spectra of the channels about their mean, `(frequencies, channels, channels)`.

        Few windows are drawn towards channels that have nothing to do with each other.
        """
        mean = self.first / self.windows
        spectra = self.second / self.windows - mean[:, :, None] * mean[:, None, :].conj()
        own = np.einsum("kcc->kc", spectra).real.clip(1e-12)
        diagonal = np.eye(spectra.shape[1]) * own[:, None, :]
        return (self.windows * spectra + SHRINKAGE * diagonal) / (self.windows + SHRINKAGE)

    def __add__(self, other: "Level") -> "Level":
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return Level(*(mine + others for mine, others in pairs))


@dataclass(frozen=True)
class Features:
    """What the clips of a singer or style have in common.

    Attributes:
        clips: how many.
        levels: finest first.
    """

    clips: int
    levels: tuple[Level, ...]

    def __add__(self, other: "Features") -> "Features":
        levels = zip(self.levels, other.levels, strict=True)
        return Features(self.clips + other.clips, tuple(a + b for a, b in levels))

    @property
    def sounding(self) -> bool:
        """Whether every level has a stretch that is not silent."""
        return all(level.windows > 0 for level in self.levels)


def measure_features(flow: Any, clips: Iterable[np.ndarray]) -> Features:
    """The features of clips `(time, channels)` at the flow's rate; silent places are left out.

    A flow makes the latents of silence a standard normal whoever is silent, so that pooling over
    all of a clip would tell how much of it is silent.

    Raises:
        ValueError: there are no clips.
    """
    total = None
    for audio in clips:
        features = features_of(encode_song(flow, audio).latents, audio, flow.sample_rate)
        total = features if total is None else total + features
    if total is None:
        raise ValueError("Expected at least one clip. Received: none.")
    return total


def features_of(latents: list[np.ndarray], audio: np.ndarray, sample_rate: int) -> Features:
    """The features of one clip, given its latents and its audio, each `(time, channels)`."""
    power = smooth_power(audio, sample_rate // 50)
    sounds = power > max(power.max() * 10 ** (-QUIET / 10), 1e-12)
    return Features(1, tuple(_level(z, _at_frames(sounds, len(z))) for z in latents))


def smooth_power(audio: np.ndarray, width: int, loudest: float = np.inf) -> np.ndarray:
    """Mean square of audio under a triangle `2 width` samples wide.

    Args:
        audio: `(time, channels)`.
        width: in samples.
        loudest: amplitude for which louder samples count, and those that are no number.

    Returns:
        `(time,)` float32.
    """
    width = max(1, width)

    def power(part: np.ndarray) -> np.ndarray:
        mono = to_channels(part, 1)[:, 0]
        if np.isfinite(loudest):
            mono = np.nan_to_num(mono, nan=loudest).clip(-loudest, loudest)
        smooth = np.square(mono, dtype=np.float64)
        for _ in range(2):
            smooth = uniform_filter1d(smooth, width, mode="constant")
        return smooth.clip(0)

    return in_blocks(power, audio, 2 * width)


def in_blocks(
    function: Callable[[np.ndarray], np.ndarray], x: np.ndarray, margin: int
) -> np.ndarray:
    """`function` of `x` `(time, ...)`, by blocks that see so many samples around them.

    Returns:
        `(time,)` float32.
    """
    result = np.empty(len(x), np.float32)
    for start in range(0, len(x), BLOCK):
        first = max(0, start - margin)
        found = function(x[first : start + BLOCK + margin])
        result[start : start + BLOCK] = found[start - first :][:BLOCK]
    return result


def _at_frames(samples: np.ndarray, frames: int) -> np.ndarray:
    """Values (time,) at the middle of `frames` frames that cover them."""
    place = (2 * np.arange(frames) + 1) * len(samples) // (2 * frames)
    return samples[place]


def _level(z: np.ndarray, sounds: np.ndarray) -> Level:
    total, square = np.zeros((2, z.shape[1]))
    for block, heard in zip(blocks_of(z), blocks_of(sounds), strict=True):
        kept = block[heard].astype(np.float64)
        total += kept.sum(axis=0)
        square += (kept**2).sum(axis=0)
    bins, channels = WINDOW // 2 + 1, z.shape[1]
    first = np.zeros((bins, channels), complex)
    second = np.zeros((bins, channels, channels), complex)
    windows = 0
    starts = np.arange(0, len(z) - WINDOW + 1, WINDOW // 2)
    if len(starts):
        whole = np.lib.stride_tricks.sliding_window_view(sounds, WINDOW)[starts].all(axis=1)
        starts = starts[whole]
    for part in np.array_split(starts, max(1, len(starts) // _WINDOWS)):
        turned = np.fft.rfft(z[part[:, None] + np.arange(WINDOW)] * taper()[:, None], axis=1)
        first += turned.sum(axis=0)
        second += np.einsum("nka,nkb->kab", turned, turned.conj())
        windows += len(part)
    return Level(int(sounds.sum()), total, square, windows, first, second)


def taper() -> np.ndarray:
    """The window under which stretches are transformed: its square, shifted by halves, is one."""
    return np.sin(np.pi * np.arange(WINDOW) / WINDOW)
