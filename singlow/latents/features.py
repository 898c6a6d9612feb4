"""Features of singers and styles: sums of their latents over time, which determine moments."""

import hashlib
import io
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from singlow.audio import blocks_of
from singlow.data.feed.recordings import Recording, read_recordings
from singlow.errors import DataError, warn
from singlow.files import NPZ_ERRORS, atomic_write
from singlow.latents.codes import encode_song
from singlow.latents.contour import smooth_power
from singlow.names import find_name, shown
from singlow.progress import Report, progress

if TYPE_CHECKING:
    from singlow.models.flow import Flow
    from singlow.runs.opening import TrainedRun

WINDOW = 16  # frames in a stretch that cross-spectra are computed from
SHRINKAGE = 32.0  # weight, in stretches, of uncorrelated channels in the cross-spectra
QUIET = 45.0  # dB below a clip's loudest place; quieter frames are not pooled
LEAST_CLIPS = 2
FORMAT, VERSION = "singlow-features", 1
_WINDOWS = 1 << 12  # stretches that are transformed at once
_BINS = WINDOW // 2 + 1
_FIELDS = ("count", "total", "square", "windows", "first", "second")
_OVERHEAD = 1 << 10  # largest size in bytes of an array's headers in a file


@dataclass(frozen=True)
class Level:
    """Sums of one level of the latents over the frames that are not silent.

    Attributes:
        count: number of frames.
        total: sum of the latents, `(channels,)`.
        square: sum of their squares, `(channels,)`.
        windows: number of stretches of `WINDOW` frames; successive stretches overlap by half.
        first: sum of the stretches' Fourier transforms, `(WINDOW // 2 + 1, channels)` complex.
        second: sum of the outer products of these transforms,
            `(WINDOW // 2 + 1, channels, channels)` complex.
    """

    count: float
    total: np.ndarray
    square: np.ndarray
    windows: float
    first: np.ndarray
    second: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        """The mean of each channel, `(channels,)`."""
        return self.total / self.count

    @property
    def deviation(self) -> np.ndarray:
        """The standard deviation of each channel, `(channels,)`, never zero."""
        variance = self.square / self.count - self.mean**2
        return np.sqrt(np.maximum(variance, 1e-12))

    @property
    def spectra(self) -> np.ndarray:
        """Cross-spectra of the channels about their mean, `(frequencies, channels, channels)`.

        The spectra are shrunk towards those of uncorrelated channels. The shrinkage is stronger
        when there are fewer stretches.
        """
        mean = self.first / self.windows
        spectra = self.second / self.windows - mean[:, :, None] * mean[:, None, :].conj()
        own = np.einsum("kcc->kc", spectra).real.clip(1e-12)
        diagonal = np.eye(spectra.shape[1]) * own[:, None, :]
        return (self.windows * spectra + SHRINKAGE * diagonal) / (self.windows + SHRINKAGE)

    def __add__(self, other: "Level") -> "Level":
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return Level(*(mine + its for mine, its in pairs))


@dataclass(frozen=True)
class Features:
    """Sums over the clips of a singer or style.

    Attributes:
        clips: number of clips.
        levels: sums of the latents of each level, finest first.
    """

    clips: int
    levels: tuple[Level, ...]

    def __add__(self, other: "Features") -> "Features":
        levels = zip(self.levels, other.levels, strict=True)
        return Features(self.clips + other.clips, tuple(a + b for a, b in levels))

    @property
    def sounding(self) -> bool:
        """Whether every level has at least one stretch without silence."""
        return all(level.windows > 0 for level in self.levels)


def measure_features(flow: "Flow", clips: Iterable[np.ndarray]) -> Features:
    """Measure the features of clips, without their silent frames.

    A flow encodes silence as standard normal noise for every singer. Features of whole clips would
    therefore depend on the amount of silence in them.

    Args:
        flow: a flow of audio.
        clips: audio of each clip, `(time, channels)` at the flow's rate.

    Raises:
        ValueError: there are no clips.
    """
    total = None
    for audio in clips:
        features = features_of(encode_song(flow, audio).latents, audio, flow.signal.sample_rate)
        total = features if total is None else total + features
    if total is None:
        raise ValueError("Expected at least one clip. Received: none.")
    return total


def features_of(latents: Sequence[np.ndarray], audio: np.ndarray, sample_rate: int) -> Features:
    """Compute the features of one clip from its latents and its audio.

    Args:
        latents: latents of each level, finest first, `(frames, channels)`.
        audio: samples, `(time, channels)`.
        sample_rate: sample rate of the audio in Hz.
    """
    power = smooth_power(audio, sample_rate // 50)
    sounds = power > max(power.max() * 10 ** (-QUIET / 10), 1e-12)
    return Features(1, tuple(_level(z, _at_frames(sounds, len(z))) for z in latents))


def _at_frames(samples: np.ndarray, frames: int) -> np.ndarray:
    """Return the values of `samples` `(time,)` at the centres of the frames that cover them."""
    place = (2 * np.arange(frames) + 1) * len(samples) // (2 * frames)
    return samples[place]


def _level(z: np.ndarray, sounds: np.ndarray) -> Level:
    """Sum latents `(frames, channels)` over the frames where `sounds` `(frames,)` is true."""
    total, square = np.zeros((2, z.shape[1]))
    for block, sounding in zip(blocks_of(z), blocks_of(sounds), strict=True):
        kept = block[sounding].astype(np.float64)
        total += kept.sum(axis=0)
        square += (kept**2).sum(axis=0)
    channels = z.shape[1]
    first = np.zeros((_BINS, channels), complex)
    second = np.zeros((_BINS, channels, channels), complex)
    windows = 0
    starts = np.arange(0, len(z) - WINDOW + 1, WINDOW // 2)
    if len(starts):
        whole = np.lib.stride_tricks.sliding_window_view(sounds, WINDOW)[starts].all(axis=1)
        starts = starts[whole]
    for part in np.array_split(starts, max(1, len(starts) // _WINDOWS)):
        stretches = z[part[:, None] + np.arange(WINDOW)] * taper()[:, None]
        transforms = np.fft.rfft(stretches, axis=1)
        first += transforms.sum(axis=0)
        second += np.einsum("nka,nkb->kab", transforms, transforms.conj())
        windows += len(part)
    return Level(int(sounds.sum()), total, square, windows, first, second)


def taper() -> np.ndarray:
    """Return the sine window `(WINDOW,)`, whose squares overlap and add up to one."""
    return np.sin(np.pi * np.arange(WINDOW) / WINDOW)


class SingerFeatures:
    """The features of every singer and style of a dataset's training clips, by name.

    Features are measured on first access and cached in files. A file is replaced if it is damaged
    or if the weights or the data have changed.

    Args:
        flow: a flow of audio.
        data: folder of the dataset.
        cache: folder of the cached files.
        mark: text that identifies the weights and the data.
        report: function that receives a message if a file cannot be written.

    Raises:
        DataError: the dataset is damaged.
    """

    def __init__(
        self, flow: "Flow", data: str | Path, cache: Path, mark: str, report: Report = warn
    ) -> None:
        self._flow, self._cache, self._mark, self._report = flow, cache, mark, report
        self._clips = read_recordings(data, ("train",))
        self._known: dict[str, Features] = {}

    @property
    def names(self) -> list[str]:
        """The names of the singers, followed by those of styles that are not names of singers."""
        singers = sorted({clip.singer for clip in self._clips})
        return singers + sorted({c.style for c in self._clips if c.style} - set(singers))

    def clips(self, name: str) -> list[Recording]:
        """Return the training clips of a singer, or of a style if no singer has this name.

        Raises:
            UsageError: the singer or style is unknown; the message lists the known names.
        """
        name = find_name(name, self.names, "singer or style")
        own = [clip for clip in self._clips if clip.singer == name]
        return own or [clip for clip in self._clips if clip.style == name]

    def __getitem__(self, name: str) -> Features:
        """Return the features of a singer or style.

        Raises:
            UsageError: the singer or style is unknown; the message lists the known names.
            DataError: there are too few clips, or the clips are too short or silent.
        """
        name = find_name(name, self.names, "singer or style")
        if name not in self._known:
            path = self._cache / f"{_digest(name)[:16]}.npz"
            mark = _digest(f"{self._mark} {name}")
            channels = [shape[-1] for shape in self._flow.latent_shapes(1, self._flow.multiple)]
            features = read_features(path, mark, channels)
            if features is None:
                features = self._measure(name)
                try:
                    write_features(path, features, mark)
                except OSError as error:
                    self._report(f"{path}: cannot be kept for the next time: {error.strerror}.")
            self._known[name] = features
        return self._known[name]

    def _measure(self, name: str) -> Features:
        clips = self.clips(name)
        if len(clips) < LEAST_CLIPS:
            raise DataError(
                f"{shown(name)}: Expected at least {LEAST_CLIPS} training clips. Received: "
                f"{len(clips)}; add recordings, or give some with --reference."
            )
        with progress(f"Encoding {shown(name)}", len(clips)) as advance:
            features = measure_features(self._flow, _read_all(clips, advance))
        if not features.sounding:
            raise DataError(f"{shown(name)}: its clips are too short or silent for features.")
        return features


def features_of_run(run: "TrainedRun", config: Mapping) -> SingerFeatures:
    """Return the features of a run's singers and styles, which are cached in the run's folder.

    Args:
        run: an opened run.
        config: settings of the run, as `prepare_data` returns them.
    """
    data = config["data"]
    return SingerFeatures(
        run.coder,
        Path(data["directory"]),
        run.run.directory / "features",
        f"{run.fingerprint} {data['content']}",
    )


def _read_all(clips: Sequence[Recording], advance: Callable[[], None]) -> Iterable[np.ndarray]:
    for clip in clips:
        advance()
        yield clip.read()


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def write_features(path: Path, features: Features, mark: str) -> None:
    """Write features as an npz file, atomically.

    Raises:
        OSError: the file cannot be written.
    """
    arrays = {"format": np.array(f"{FORMAT} {VERSION}"), "mark": np.array(mark)}
    arrays["clips"] = np.array(features.clips, np.int64)
    for index, level in enumerate(features.levels):
        arrays |= {f"{field}_{index}": np.asarray(getattr(level, field)) for field in _FIELDS}
    with atomic_write(path) as file:
        np.savez(file, **arrays)


def read_features(path: Path, mark: str, channels: Sequence[int]) -> Features | None:
    """Read features from an npz file; None if it is missing, damaged or has another mark.

    The compressed and the decompressed size of the file are checked before its content is read.

    Args:
        path: path of the file.
        mark: mark that the features were written with.
        channels: number of channels of each level of the flow's latents, finest first.
    """
    names = {f"{field}_{i}" for i in range(len(channels)) for field in _FIELDS}
    names |= {"format", "mark", "clips"}
    limit = len(names) * _OVERHEAD
    limit += sum(8 * (2 + 2 * c) + 16 * _BINS * (c + c * c) for c in channels)
    try:
        if path.stat().st_size > limit:
            return None
        content = io.BytesIO(path.read_bytes())
        with zipfile.ZipFile(content) as archive:
            infos = archive.infolist()
        expected = {f"{name}.npy" for name in names}
        if {info.filename for info in infos} != expected or len(infos) != len(expected):
            return None
        if sum(info.file_size for info in infos) > limit:
            return None
        with np.load(content, allow_pickle=False) as archive:
            if str(archive["format"]) != f"{FORMAT} {VERSION}" or str(archive["mark"]) != mark:
                return None
            levels = tuple(
                Level(*(archive[f"{field}_{i}"] for field in _FIELDS)) for i in range(len(channels))
            )
            clips = int(archive["clips"])
    except NPZ_ERRORS:
        return None
    fits = all(_fits(level, count) for level, count in zip(levels, channels, strict=True))
    return Features(clips, levels) if fits else None


def _fits(level: Level, channels: int) -> bool:
    shapes = ((), (channels,), (channels,), (), (_BINS, channels), (_BINS, channels, channels))
    kinds = "fi", "f", "f", "fi", "c", "c"
    return all(
        array.shape == shape and array.dtype.kind in kind and np.isfinite(array).all()
        for array, shape, kind in zip(vars(level).values(), shapes, kinds, strict=True)
    )
