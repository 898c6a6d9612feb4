"""Features of singers and styles: sums over time of their latents, from which moments follow."""

import hashlib
import io
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from singlow.audio import blocks_of
from singlow.data.feed.recordings import Recording, read_recordings
from singlow.errors import DataError, warn
from singlow.files import atomic_write
from singlow.latents.codes import encode_song
from singlow.latents.contour import smooth_power
from singlow.names import find_name, shown
from singlow.progress import Report, progress

if TYPE_CHECKING:
    from singlow.models.flow import Flow
    from singlow.runs.opening import TrainedRun

WINDOW = 16  # frames of a stretch whose cross-spectra are taken
SHRINKAGE = 32.0  # number of stretches of uncorrelated channels that spectra start from
QUIET = 45.0  # dB below a clip's loudest place, where frames are not pooled
LEAST_CLIPS = 2
FORMAT, VERSION = "singlow-features", 1
_WINDOWS = 1 << 12  # stretches that are transformed at a time
_BINS = WINDOW // 2 + 1
_FIELDS = ("count", "total", "square", "windows", "first", "second")
_OVERHEAD = 1 << 10  # bytes for each array of a file beside its numbers
_UNREADABLE = (
    ValueError,
    KeyError,
    EOFError,
    OSError,
    RuntimeError,
    MemoryError,
    zipfile.BadZipFile,
    zlib.error,
)


@dataclass(frozen=True)
class Level:
    """Sums over the frames with sound of one level of the latents.

    Attributes:
        count: number of frames.
        total: sum of the latents, `(channels,)`.
        square: sum of their squares, `(channels,)`.
        windows: number of stretches of `WINDOW` frames; each starts half a stretch after another.
        first: sum of the stretches' Fourier transforms, `(WINDOW // 2 + 1, channels)` complex.
        second: sum of their outer products, `(WINDOW // 2 + 1, channels, channels)` complex.
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

        They are shrunk towards uncorrelated channels, the more the fewer stretches there are.
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
    """What the clips of a singer or style have in common.

    Attributes:
        clips: number of clips.
        levels: sums of each level, finest first.
    """

    clips: int
    levels: tuple[Level, ...]

    def __add__(self, other: "Features") -> "Features":
        levels = zip(self.levels, other.levels, strict=True)
        return Features(self.clips + other.clips, tuple(a + b for a, b in levels))

    @property
    def sounding(self) -> bool:
        """Whether every level has a stretch without silence."""
        return all(level.windows > 0 for level in self.levels)


def measure_features(flow: "Flow", clips: Iterable[np.ndarray]) -> Features:
    """Measure the features of clips; silent frames are left out.

    A flow encodes silence as standard normal noise, whoever is silent: features pooled over whole
    clips would measure how much of them is silent.

    Args:
        flow: a flow on audio.
        clips: `(time, channels)` each, at the flow's rate.

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
        latents: finest first, each `(frames, channels)`.
        audio: `(time, channels)`.
        sample_rate: Hz of the audio.
    """
    power = smooth_power(audio, sample_rate // 50)
    sounds = power > max(power.max() * 10 ** (-QUIET / 10), 1e-12)
    return Features(1, tuple(_level(z, _at_frames(sounds, len(z))) for z in latents))


def _at_frames(samples: np.ndarray, frames: int) -> np.ndarray:
    """Values `(time,)` at the middles of `frames` frames that cover them."""
    place = (2 * np.arange(frames) + 1) * len(samples) // (2 * frames)
    return samples[place]


def _level(z: np.ndarray, sounds: np.ndarray) -> Level:
    """Sums of latents `(frames, channels)` over frames that sound, `(frames,)` bool."""
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
    """The sine window `(WINDOW,)`: its squares, shifted by half its length, add up to one."""
    return np.sin(np.pi * np.arange(WINDOW) / WINDOW)


class SingerFeatures:
    """The features of every singer and style of a dataset's training clips, by name.

    Features are measured when they are first asked for, and kept in files. A file that is damaged
    or was made with other weights or data is replaced.

    Args:
        flow: a flow on audio.
        data: folder of the dataset.
        cache: folder of the files.
        mark: text that changes with the weights and with the data.
        report: receives a line if a file cannot be written.

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
        """The singers, then the styles that do not share a singer's name."""
        singers = sorted({clip.singer for clip in self._clips})
        return singers + sorted({c.style for c in self._clips if c.style} - set(singers))

    def clips(self, name: str) -> list[Recording]:
        """The training clips of a singer, or else of a style.

        Raises:
            UsageError: there is no such singer or style; the message lists the known ones.
        """
        name = find_name(name, self.names, "singer or style")
        own = [clip for clip in self._clips if clip.singer == name]
        return own or [clip for clip in self._clips if clip.style == name]

    def __getitem__(self, name: str) -> Features:
        """The features of a singer or style.

        Raises:
            UsageError: there is no such singer or style; the message lists the known ones.
            DataError: there are too few clips, or they are too short or silent.
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
    """The features of the singers and styles that a run was trained on, kept in its folder.

    Args:
        run: an opened run.
        config: its settings as `prepare_data` returns them.
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
    """Write features as an npz file, whole or not at all.

    Raises:
        OSError: the system refuses.
    """
    arrays = {"format": np.array(f"{FORMAT} {VERSION}"), "mark": np.array(mark)}
    arrays["clips"] = np.array(features.clips, np.int64)
    for index, level in enumerate(features.levels):
        arrays |= {f"{field}_{index}": np.asarray(getattr(level, field)) for field in _FIELDS}
    with atomic_write(path) as file:
        np.savez(file, **arrays)


def read_features(path: Path, mark: str, channels: Sequence[int]) -> Features | None:
    """Read features from an npz file; None if it is missing, damaged or of another mark.

    The sizes of the file and of what it expands to are checked before they are read.

    Args:
        path: the file.
        mark: text that the features were written with.
        channels: channels of each level of the flow's latents, finest first.
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
    except _UNREADABLE:
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
