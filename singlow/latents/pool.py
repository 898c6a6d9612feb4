"""Pooling of latents over time: one point for each stretch of a few seconds."""

import dataclasses
import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from singlow.audio import root_mean_square, to_channels
from singlow.data.feed.recordings import Recording
from singlow.errors import DataError, warn
from singlow.latents.codes import encode_song, inputs_of_recording
from singlow.latents.contour import smooth_power
from singlow.latents.features import QUIET
from singlow.names import shown
from singlow.progress import Report

if TYPE_CHECKING:
    from singlow.models.flow import Flow

STATISTICS = ("mean", "log variance")
LEAST_FRAMES = 8  # smallest number of frames of the coarsest level in a stretch
LEAST_SINGERS, LEAST_RECORDINGS = 2, 4
SILENCE = 1e-6  # power, -60 dBFS
_BANDS = 32


@dataclasses.dataclass(frozen=True)
class Points:
    """Stretches of recordings as points.

    Attributes:
        values: mean and log variance of every channel over time, `(points, features)`.
        blocks: `(level, statistic)` of every feature; level 0 is the finest.
        plain: features of the sounds or pictures themselves, for comparison, by name: the rms in
            dBFS, `(points, 1)`, and the mean power spectrum in dB, `(points, bands)`; or pixels.
        ids: name of each point's recording, as it is printed, `(points,)`.
        origins: name of the original recording that this recording is a segment of, `(points,)`.
        singers: name of each point's singer, `(points,)`.
        styles: name of each point's style, `(points,)`; "" if the style is unknown.
        words: what a label and a point are called: "singer" and "recording", or "class" and
            "picture".
    """

    values: np.ndarray
    blocks: list[tuple[int, str]]
    plain: dict[str, np.ndarray]
    ids: np.ndarray
    origins: np.ndarray
    singers: np.ndarray
    styles: np.ndarray
    words: tuple[str, str] = ("singer", "recording")

    def __len__(self) -> int:
        return len(self.values)

    def block(self, level: int | None = None, statistic: str | None = None) -> np.ndarray:
        """Return the features of one level, one statistic, or both: `(points, selected)`."""
        wanted = [level in (None, k) and statistic in (None, name) for k, name in self.blocks]
        return self.values[:, wanted]

    @property
    def styled(self) -> bool:
        """Whether every point has a style, and there are at least two styles."""
        return bool((self.styles != "").all()) and len(np.unique(self.styles)) > 1

    @property
    def statistics(self) -> list[str]:
        """Names of the statistics in `blocks`."""
        return list(dict.fromkeys(statistic for _, statistic in self.blocks))

    @property
    def num_levels(self) -> int:
        """Number of levels of the flow."""
        return 1 + max(level for level, _ in self.blocks)


class _Stretch(NamedTuple):
    """A stretch of a recording: its pooled latents, rms in dBFS and spectrum in dB."""

    recording: Recording
    values: np.ndarray
    loudness: float
    spectrum: np.ndarray


def pool(z: np.ndarray) -> np.ndarray:
    """Return `[mean_t z, log var_t z]`, `(2 channels,)`, of latents `(frames, channels)`.

    The sign of a waveform carries little information, so the means of a raw-audio flow's latents
    are close to zero. The variances show whether the flow predicts the recording better or worse
    than its training data.
    """
    return np.concatenate([z.mean(axis=0), np.log(z.var(axis=0) + 1e-12)])


def pool_recordings(
    flow: "Flow",
    recordings: Sequence[Recording],
    seconds: float = 5.0,
    report: Report = warn,
    done: Callable[[], None] = lambda: None,
) -> Points:
    """Encode recordings and pool the latents of each over stretches of about `seconds`.

    Padding and silence are left out. A flow encodes silence as standard normal noise for every
    singer, so points that include it would depend on the amount of silence.

    Args:
        flow: a flow of audio.
        recordings: recordings with labels.
        seconds: approximate length of a stretch; a recording shorter than one and a half of this
            length is a single stretch.
        report: function that receives a message for each recording that cannot be read, is silent
            or is too short, and for each singer with too few recordings.
        done: function that is called after every recording.

    Raises:
        DataError: too few recordings can be used, or a latent is not finite.
    """
    stretches: list[_Stretch] = []
    for recording in recordings:
        try:
            stretches += _stretches(flow, recording, seconds)
        except DataError as error:
            report(f"Left out: {error}")
        done()
    stretches = _of_known_singers(stretches, report)
    values = np.stack([stretch.values for stretch in stretches])
    if not np.isfinite(values).all():
        bad = next(s.recording.id for s in stretches if not np.isfinite(s.values).all())
        raise DataError(
            f"{bad}: Expected finite latents. Received: NaN or infinite; run python3 -m singlow "
            "check on the run, or use an earlier --epoch."
        )
    channels = [shape[-1] for shape in flow.latent_shapes(1, flow.multiple)]
    names = {
        f"{key}s": np.array([shown(getattr(s.recording, key)) for s in stretches])
        for key in ("id", "origin", "singer", "style")
    }
    blocks = [
        (level, statistic)
        for level, count in enumerate(channels)
        for statistic in STATISTICS
        for _ in range(count)
    ]
    loudness = np.array([[stretch.loudness] for stretch in stretches])
    spectra = np.stack([stretch.spectrum for stretch in stretches])
    plain = {"the sound's loudness alone": loudness, "the sound's mean spectrum": spectra}
    return Points(values, blocks, plain, **names)


def _stretches(flow: "Flow", recording: Recording, seconds: float) -> list[_Stretch]:
    """Return the stretches of a recording that are not silent.

    Raises:
        DataError: the recording cannot be read, is too short or has too little sound.
    """
    audio, rate = recording.read(), flow.signal.sample_rate
    shortest = LEAST_FRAMES * flow.multiple
    if len(audio) < shortest:
        raise DataError(
            f"{recording.id}: too short: {len(audio)} samples, expected at least {shortest} at "
            f"{rate} Hz."
        )
    count = max(1, min(round(len(audio) / (seconds * rate)), len(audio) // shortest))
    bounds = [len(audio) * k // count for k in range(count + 1)]
    power = smooth_power(audio, rate // 50)
    if power.max() < SILENCE:
        raise DataError(f"{recording.id}: has no sound above {10 * np.log10(SILENCE):.0f} dBFS.")
    quiet = power.max() * 10 ** (-QUIET / 10)
    sounds, kept = power > quiet, []
    latents = encode_song(flow, audio, inputs_of_recording(flow, audio)).latents
    padded = -(-len(audio) // flow.multiple) * flow.multiple
    for start, stop in itertools.pairwise(bounds):
        sound = audio[start:stop]
        frames = [_sounding_frames(sounds, start, stop, padded, len(z)) for z in latents]
        if min(map(len, frames)) < LEAST_FRAMES // 2 or root_mean_square(sound) ** 2 <= quiet:
            continue
        values = np.concatenate([pool(z[own]) for z, own in zip(latents, frames, strict=True)])
        loudness = 20 * np.log10(root_mean_square(sound[sounds[start:stop]]))
        spectrum = mean_spectrum(to_channels(sound, 1)[:, 0])
        kept.append(_Stretch(recording, values, loudness, spectrum))
    if not kept:
        raise DataError(f"{recording.id}: has too little sound for pooling.")
    return kept


def _sounding_frames(
    sounds: np.ndarray, start: int, stop: int, padded: int, count: int
) -> np.ndarray:
    """Return the indices of the frames in a stretch whose centres are not silent.

    Args:
        sounds: mask of the samples that are not silent, `(time,)` bool.
        start: first sample of the stretch.
        stop: first sample after the stretch.
        padded: number of samples that all frames cover.
        count: number of frames.
    """
    middles = (2 * np.arange(count) + 1) * padded // (2 * count)
    within = np.flatnonzero((middles >= start) & (middles < stop))
    return within[sounds[middles[within]]]


def mean_spectrum(sound: np.ndarray) -> np.ndarray:
    """Return the mean power of sound `(time,)` in 32 bands of equal width, `(32,)` in dB."""
    size = 8 * _BANDS
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(sound, (0, size)), size)[:: size // 2]
    power = np.square(np.abs(np.fft.rfft(frames * np.hanning(size)))).mean(axis=0)
    return 10 * np.log10(power[1:].reshape(_BANDS, -1).mean(axis=1) + 1e-12)


def _of_known_singers(stretches: list[_Stretch], report: Report) -> list[_Stretch]:
    """Return the stretches of singers with enough recordings.

    Raises:
        DataError: there are too few such singers.
    """
    pairs = {(stretch.recording.singer, stretch.recording.origin) for stretch in stretches}
    counts = Counter(singer for singer, _ in pairs)
    few = sorted(singer for singer, count in counts.items() if count < LEAST_RECORDINGS)
    if len(counts) - len(few) < LEAST_SINGERS:
        listed = ", ".join(f"{shown(s)} {counts[s]}" for s in sorted(counts)[:8]) or "none"
        raise DataError(
            f"Expected at least {LEAST_SINGERS} singers of {LEAST_RECORDINGS} recordings each. "
            f"Received: {listed}. Add recordings, in a folder for each singer or as SINGER=FILE."
        )
    for singer in few:
        report(
            f"Left out: singer {shown(singer)}: {counts[singer]} recording(s), expected at least "
            f"{LEAST_RECORDINGS}."
        )
    return [stretch for stretch in stretches if stretch.recording.singer not in few]
