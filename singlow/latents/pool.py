"""Latents of recordings pooled over time: one point a stretch of a few seconds."""

import dataclasses
import itertools
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from singlow.audio import root_mean_square
from singlow.data.feed.recordings import Recording
from singlow.errors import DataError
from singlow.latents.codes import encode_song
from singlow.latents.features import QUIET, smooth_power

STATISTICS = ("mean", "log variance")
LEAST_FRAMES = 8  # of the coarsest level, in a stretch
LEAST_SINGERS, LEAST_RECORDINGS = 2, 4
SILENCE = 1e-6  # power, -60 dBFS
_BANDS = 32


@dataclasses.dataclass(frozen=True)
class Points:
    """Stretches of recordings as points.

    Attributes:
        values: `(points, features)`: mean and log variance over time of every channel.
        blocks: `(level, statistic)` of every feature, level 0 finest.
        loudness: `(points, 1)`, dB: what the sound's level alone tells.
        spectrum: `(points, bands)`, dB: the mean spectrum of the sound itself.
        ids: of the recordings, with names as they can be shown.
        origins: of the songs that they are segments of.
        singers: names.
        styles: "" where nobody said.
    """

    values: np.ndarray
    blocks: list[tuple[int, str]]
    loudness: np.ndarray
    spectrum: np.ndarray
    ids: np.ndarray
    origins: np.ndarray
    singers: np.ndarray
    styles: np.ndarray

    def __len__(self) -> int:
        return len(self.values)

    def block(self, level: int | None = None, statistic: str | None = None) -> np.ndarray:
        """The features of a level, of a statistic, or of both."""
        wanted = [level in (None, k) and statistic in (None, name) for k, name in self.blocks]
        return self.values[:, wanted]

    @property
    def styled(self) -> bool:
        """Whether every point has a style, and there are two."""
        return bool((self.styles != "").all()) and len(np.unique(self.styles)) > 1

    @property
    def levels(self) -> int:
        """Of the flow."""
        return 1 + max(level for level, _ in self.blocks)


def pool(z: np.ndarray) -> np.ndarray:
    """`[mean_t z, log var_t z]` of latents `(time, channels)`: `(2 channels,)`.

    A waveform's sign says little, so means of a raw-audio flow's latents nearly vanish; their
    variances say where the flow was surprised more or less than by its training data.
    """
    return np.concatenate([z.mean(axis=0), np.log(z.var(axis=0) + 1e-12)])


def pool_recordings(
    flow: Any,
    recordings: Sequence[Recording],
    seconds: float = 5.0,
    report: Callable[[str], None] = lambda line: print(line, file=sys.stderr),
    done: Callable[[], None] = lambda: None,
) -> Points:
    """Encode recordings and pool each over stretches of about `seconds`.

    Padding and silent places are left out: a flow makes a standard normal of silence whoever is
    silent, so that pooling over it would tell how much of it there is.

    Args:
        flow: any flow on audio.
        recordings: with labels.
        seconds: of a stretch; a recording shorter than one and a half is one stretch.
        report: receives a line for what is left out: what cannot be read, is silent or too short,
            and singers with too few recordings.
        done: called after every recording.

    Raises:
        DataError: too few are left, or a latent is not finite.
    """
    rows: list[tuple[Recording, np.ndarray, float, np.ndarray]] = []
    for recording in recordings:
        try:
            audio = recording.read()
            pooled = _stretches(flow, audio, seconds, recording.id)
        except DataError as error:
            report(f"Left out: {error}")
        else:
            rows += [(recording, *parts) for parts in pooled]
        done()
    rows = _enough(rows, report)
    values, loudness, spectra = (np.stack([row[k] for row in rows]) for k in (1, 2, 3))
    if not np.isfinite(values).all():
        bad = next(row[0].id for row in rows if not np.isfinite(row[1]).all())
        raise DataError(
            f"{bad}: Expected finite latents. Received: NaN or infinite; run python3 -m singlow "
            "check on the run, or use an earlier --epoch."
        )
    shapes = flow.bijection.latent_shape((1, flow.multiple, flow.channels))
    channels = [shape[-1] for shape in (shapes if isinstance(shapes, list) else [shapes])]
    names = {
        key: np.array([_printable(getattr(row[0], key)) for row in rows])
        for key in ("id", "origin", "singer", "style")
    }
    return Points(
        values,
        [
            (level, statistic)
            for level, count in enumerate(channels)
            for statistic in STATISTICS
            for _ in range(count)
        ],
        loudness[:, None],
        spectra,
        **{f"{key}s": found for key, found in names.items()},
    )


def _stretches(
    flow: Any, audio: np.ndarray, seconds: float, name: str
) -> list[tuple[np.ndarray, float, np.ndarray]]:
    """Pooled latents, level in dB and spectrum of every stretch with sound in it."""
    shortest = LEAST_FRAMES * flow.multiple
    if len(audio) < shortest:
        raise DataError(
            f"{name}: too short: {len(audio)} samples, expected at least {shortest} at "
            f"{flow.sample_rate} Hz."
        )
    count = max(1, min(round(len(audio) / (seconds * flow.sample_rate)), len(audio) // shortest))
    bounds = [len(audio) * k // count for k in range(count + 1)]
    power = smooth_power(audio, flow.sample_rate // 50)
    if power.max() < SILENCE:
        raise DataError(f"{name}: has no sound: nowhere above {10 * np.log10(SILENCE):.0f} dBFS.")
    quiet = power.max() * 10 ** (-QUIET / 10)
    sounds, found = power > quiet, []
    latents = encode_song(flow, audio).latents
    padded = -(-len(audio) // flow.multiple) * flow.multiple
    for start, stop in itertools.pairwise(bounds):
        sound = audio[start:stop]
        heard = [_frames(sounds, start, stop, padded, len(z)) for z in latents]
        if min(map(len, heard)) < LEAST_FRAMES // 2 or root_mean_square(sound) ** 2 <= quiet:
            continue
        pooled = [pool(z[frames]) for z, frames in zip(latents, heard, strict=True)]
        level = 20 * np.log10(root_mean_square(sound[sounds[start:stop]]))
        found.append((np.concatenate(pooled), level, mean_spectrum(sound.mean(axis=1))))
    if not found:
        raise DataError(f"{name}: has too little sound to be pooled.")
    return found


def _frames(sounds: np.ndarray, start: int, stop: int, padded: int, count: int) -> np.ndarray:
    """Which of `count` frames over `padded` samples have a middle that sounds in a stretch."""
    middles = (2 * np.arange(count) + 1) * padded // (2 * count)
    within = np.flatnonzero((middles >= start) & (middles < stop))
    return within[sounds[middles[within]]]


def mean_spectrum(sound: np.ndarray) -> np.ndarray:
    """Mean power of sound `(time,)` in 32 bands of equal width, dB."""
    size = 8 * _BANDS
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(sound, (0, size)), size)[:: size // 2]
    power = np.square(np.abs(np.fft.rfft(frames * np.hanning(size)))).mean(axis=0)
    return 10 * np.log10(power[1:].reshape(_BANDS, -1).mean(axis=1) + 1e-12)


def _enough(rows: list[tuple], report: Callable[[str], None]) -> list[tuple]:
    """The points of singers with enough recordings."""
    pairs = {(row[0].singer, row[0].origin) for row in rows}
    counts = Counter(singer for singer, _ in pairs)
    few = sorted(singer for singer, count in counts.items() if count < LEAST_RECORDINGS)
    if len(counts) - len(few) < LEAST_SINGERS:
        told = ", ".join(f"{singer} {counts[singer]}" for singer in sorted(counts)[:8]) or "none"
        raise DataError(
            f"Expected at least {LEAST_SINGERS} singers of {LEAST_RECORDINGS} recordings each. "
            f"Received: {told}. Add recordings, in a folder a singer or as SINGER=FILE."
        )
    for singer in few:
        report(
            f"Left out: singer {singer}: {counts[singer]} recording(s), expected at least "
            f"{LEAST_RECORDINGS}."
        )
    return [row for row in rows if row[0].singer not in few]


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text)
