"""What `x` is: sound, images or mel spectrograms.

A signal defines the shape of `x` and of its mask, how `x` is computed from stored integers, the
unit of likelihoods, and how `x` is read from a file, written to one and shown. No other module
computes bits.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from singlow.errors import DataError
from singlow.spectral import RECIPES, MelRecipe, audio_from_mel, mel_spectrogram

LOG_2 = math.log(2.0)
Array = Any  # a numpy array or a tensor of the backend


@dataclass(frozen=True)
class Signal:
    """What `x` is. Subclasses are `Audio`, `Image` and `LogMel`.

    Attributes:
        metric: name of the likelihood's metric, as `"bits_per_sample"`.
        unit: the same in words.
        suffix: file name suffix for `write`.
        maskable: whether `x` may be padded and take a `frame_mask` `(batch, time)`.
    """

    metric: ClassVar[str]
    unit: ClassVar[str]
    suffix: ClassVar[str]
    maskable: ClassVar[bool] = True

    @property
    def step_bits(self) -> float:
        """`log2` of the number of quantisation steps in one unit of `x`; 0 where `x` is real."""
        return 0.0

    @property
    def nats(self) -> float:
        """Natural units of information in one of the metric: `log 2` for bits, 1 for nats."""
        return LOG_2

    def shape(self, batch: Any, length: Any) -> tuple[Any, ...]:
        """The shape of a batch of `x` with `length` positions along time; sizes may be `None`."""
        raise NotImplementedError(f"{type(self).__name__} does not implement `shape`.")

    def count(self, x: Array, frame_mask: Array | None = None) -> Array:
        """How many values each item of `x` has, without padding: `(batch,)`."""
        from singlow.ops.masks import count_frames

        return count_frames(x, frame_mask) * x.shape[-1]

    def cost(self, log_prob: Array, count: Array) -> Array:
        """The information in items, in bits, or in nats where that is the unit.

            bits = -log2 p(x) + count * step_bits

        Divided by `count` it is the metric. For quantised data `k`, dequantisation noise `u` in
        [0, 1) and `x = (k + u) / steps`, it is an upper bound of the bits that a lossless code
        based on `p` needs for `k`.

        Args:
            log_prob: `log p(x)`, natural logarithm, `(batch,)`.
            count: values of each item, `(batch,)`.

        References:
            Theis, van den Oord and Bethge, A note on the evaluation of generative models, 2016,
            https://arxiv.org/abs/1511.01844
        """
        return -log_prob / self.nats + count * self.step_bits

    def log_prob(self, metric: float) -> float:
        """The mean of `log p(x)` for each value, in nats, from the metric."""
        return (self.step_bits - metric) * self.nats

    def dequantize(self, stored: np.ndarray, noise: np.ndarray | float = 0.0) -> np.ndarray:
        """`x` float32 from stored numbers and dequantisation noise in [0, 1)."""
        return np.asarray(stored, np.float32)

    def read(self, path: str | Path) -> np.ndarray:
        """Read one item of `x`, without the batch axis, from a file.

        Raises:
            DataError: the file cannot be read.
        """
        raise NotImplementedError(f"{type(self).__name__} does not implement `read`.")

    def write(self, path: str | Path, x: np.ndarray) -> None:
        """Write one item of `x`, without the batch axis, to a file with the suffix `suffix`.

        Raises:
            DataError: a value is not finite.
            OSError: the system refuses.
        """
        raise NotImplementedError(f"{type(self).__name__} does not implement `write`.")

    def picture(self, x: np.ndarray) -> np.ndarray:
        """A picture of one item of `x`: `(height, width, 3)` uint8."""
        raise NotImplementedError(f"{type(self).__name__} does not implement `picture`.")

    def check(self, x: Array, frame_mask: Array | None = None) -> None:
        """Raise an error for `x` or a mask that does not fit this signal.

        Raises:
            ValueError: the shape or the type is not the expected one; the message has both.
        """
        expected = self.shape(None, None)
        shape = tuple(x.shape)
        fits = len(shape) == len(expected) and all(
            wanted in (None, size) or size is None
            for wanted, size in zip(expected, shape, strict=True)
        )
        kind = str(getattr(x.dtype, "name", x.dtype))
        if not fits or not kind.startswith(("float", "bfloat")):
            raise ValueError(
                f"Expected x of shape {_shown(expected)}, floating point. "
                f"Received: {shape}, {kind}."
            )
        if frame_mask is None:
            return
        if not self.maskable:
            raise ValueError(
                f"Expected no frame_mask for {type(self).__name__}. "
                f"Received: frame_mask of shape {tuple(frame_mask.shape)}."
            )
        mask_shape = tuple(frame_mask.shape)
        if len(mask_shape) != 2 or any(
            None not in pair and pair[0] != pair[1]
            for pair in zip(mask_shape, shape[:2], strict=True)
        ):
            raise ValueError(
                f"Expected frame_mask of shape {_shown(shape[:2])}. Received: {mask_shape}."
            )

    def get_config(self) -> dict[str, Any]:
        """The signal as JSON-able settings, for `signal_from_config`."""
        return {"kind": type(self).__name__, **asdict(self)}


@dataclass(frozen=True)
class Audio(Signal):
    """Sound, `(batch, time, channels)` in [-1, 1): 16-bit samples, `x = (k + u) / 32768`.

    Args:
        sample_rate: Hz.
        channels: number of channels of every clip.

    Raises:
        ValueError: a number is below 1.
    """

    sample_rate: int = 16000
    channels: int = 1

    metric: ClassVar[str] = "bits_per_sample"
    unit: ClassVar[str] = "bits per sample"
    suffix: ClassVar[str] = ".wav"

    def __post_init__(self) -> None:
        if min(self.sample_rate, self.channels) < 1:
            raise ValueError(
                f"Expected sample_rate and channels of at least 1. Received: {asdict(self)}."
            )

    @property
    def step_bits(self) -> float:
        return 15.0  # 2**16 steps in two units of amplitude

    def shape(self, batch: Any, length: Any) -> tuple[Any, ...]:
        return (batch, length, self.channels)

    def dequantize(self, stored: np.ndarray, noise: np.ndarray | float = 0.0) -> np.ndarray:
        return np.add(stored, noise, dtype=np.float32) * np.float32(2.0**-15)

    def read(self, path: str | Path) -> np.ndarray:
        from singlow.audio import load_audio

        return load_audio(path, self.sample_rate, self.channels)[0]

    def write(self, path: str | Path, x: np.ndarray) -> None:
        from singlow.audio import write_audio

        write_audio(path, x, self.sample_rate)

    def picture(self, x: np.ndarray) -> np.ndarray:
        from singlow.audio import to_channels
        from singlow.pictures import spectrogram

        return spectrogram(to_channels(np.asarray(x, np.float32), 1)[:, 0], self.sample_rate)


@dataclass(frozen=True)
class Image(Signal):
    """Images, `(batch, height, width, channels)` in [0, 1): `x = (k + u) / 2**bits`.

    Args:
        height: pixels.
        width: pixels.
        channels: 1 for grey, 3 for red, green and blue.
        bits: number of bits of a stored value, from 1 to 8; of 8-bit values the highest are kept.

    Raises:
        ValueError: a number is out of its range.
    """

    height: int = 32
    width: int = 32
    channels: int = 3
    bits: int = 8

    metric: ClassVar[str] = "bits_per_dimension"
    unit: ClassVar[str] = "bits per dimension"
    suffix: ClassVar[str] = ".png"
    maskable: ClassVar[bool] = False

    def __post_init__(self) -> None:
        sizes_fit = min(self.height, self.width) >= 1 and self.channels in (1, 3)
        if not sizes_fit or not 1 <= self.bits <= 8:
            raise ValueError(
                "Expected height and width of at least 1, 1 or 3 channels, and bits from 1 to 8. "
                f"Received: {asdict(self)}."
            )

    @property
    def step_bits(self) -> float:
        return float(self.bits)

    def shape(self, batch: Any, length: Any = None) -> tuple[Any, ...]:
        return (batch, self.height, self.width, self.channels)

    def dequantize(self, stored: np.ndarray, noise: np.ndarray | float = 0.0) -> np.ndarray:
        kept = np.right_shift(stored, 8 - self.bits)
        return np.add(kept, noise, dtype=np.float32) * np.float32(2.0**-self.bits)

    def read(self, path: str | Path) -> np.ndarray:
        from singlow.pictures import read_picture

        return self.dequantize(read_picture(path, self.height, self.width, self.channels), 0.5)

    def write(self, path: str | Path, x: np.ndarray) -> None:
        from singlow.pictures import write_picture

        if not np.isfinite(x).all():
            raise DataError(f"{path}: Expected finite values. Received: NaN or infinite ones.")
        write_picture(Path(path), self.pixels(x))

    def pixels(self, x: np.ndarray) -> np.ndarray:
        """The nearest picture with values of `bits` bits: uint8 `(height, width, channels)`."""
        steps = 2**self.bits
        stored = np.clip(np.floor(np.asarray(x, np.float64) * steps), 0, steps - 1)
        return np.round(stored * (255.0 / (steps - 1))).astype(np.uint8)

    def picture(self, x: np.ndarray) -> np.ndarray:
        pixels = self.pixels(x)
        return np.repeat(pixels, 3, axis=-1) if self.channels == 1 else pixels


@dataclass(frozen=True)
class LogMel(Signal):
    """Mel spectrograms, `(batch, frames, n_mels)`, real numbers whose likelihood is in nats.

    Args:
        recipe: how they are computed from audio.
    """

    recipe: MelRecipe = RECIPES["tacotron"]

    metric: ClassVar[str] = "nats_per_value"
    unit: ClassVar[str] = "nats per mel value"
    suffix: ClassVar[str] = ".npy"

    @property
    def nats(self) -> float:
        return 1.0

    def shape(self, batch: Any, length: Any) -> tuple[Any, ...]:
        return (batch, length, self.recipe.n_mels)

    def read(self, path: str | Path) -> np.ndarray:
        from singlow.audio import load_audio

        audio, _ = load_audio(path, self.recipe.sample_rate, 1)
        try:
            return mel_spectrogram(audio[:, 0], self.recipe)
        except ValueError as error:
            raise DataError(f"{path}: {error}") from error

    def write(self, path: str | Path, x: np.ndarray) -> None:
        from singlow.files import atomic_write

        if not np.isfinite(x).all():
            raise DataError(f"{path}: Expected finite values. Received: NaN or infinite ones.")
        with atomic_write(Path(path)) as file:
            np.save(file, np.asarray(x, np.float32), allow_pickle=False)

    def picture(self, x: np.ndarray) -> np.ndarray:
        from singlow.pictures import mel_picture

        return mel_picture(x, self.recipe.sample_rate, self.recipe.hop_length)

    def sound(self, x: np.ndarray) -> np.ndarray:
        """Audio `(time,)` with nearly this mel spectrogram, without a vocoder (Griffin-Lim)."""
        return audio_from_mel(x, self.recipe)


SIGNALS = {signal.__name__: signal for signal in (Audio, Image, LogMel)}


def signal_from_config(config: Mapping[str, Any]) -> Signal:
    """The signal that `get_config` described.

    Raises:
        ValueError: the kind or a setting is unknown, or a setting is out of its range.
    """
    settings = dict(config)
    kind = settings.pop("kind", None)
    if kind not in SIGNALS:
        raise ValueError(f"Expected a signal in {', '.join(SIGNALS)}. Received: {kind!r}.")
    known = [field.name for field in fields(SIGNALS[kind])]
    unknown = sorted(set(settings) - set(known))
    if unknown:
        raise ValueError(
            f"Expected settings of {kind} in {', '.join(known)}. Received: {', '.join(unknown)}."
        )
    if kind == "LogMel":
        settings["recipe"] = MelRecipe.from_config(settings["recipe"])
    return SIGNALS[kind](**settings)


def _shown(shape: tuple[Any, ...]) -> str:
    return f"({', '.join('any' if size is None else str(size) for size in shape)})"
