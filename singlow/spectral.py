"""Mel spectrograms as pure functions of a recipe, and files of mels."""

import functools
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from singlow.errors import DataError
from singlow.files import NPZ_ERRORS, atomic_write, read_npz

MEL_SUFFIXES = frozenset({".npy", ".npz"})

_TOGETHER = 1024  # frames that are transformed at a time


@dataclass(frozen=True)
class MelRecipe:
    """How a mel spectrogram is computed from audio.

    Frames are centred on multiples of `hop_length`, with the audio reflected at both ends and a
    periodic Hann window. Filters are triangles on Slaney's mel scale, each of area 1.

    Args:
        sample_rate: Hz of the audio.
        n_fft: samples of a Fourier transform.
        hop_length: samples between frames.
        n_mels: number of mel filters.
        low: lowest frequency of the filters, Hz.
        high: highest frequency of the filters, Hz.
        power: exponent of the magnitude spectrogram: 1 is magnitude, 2 is power.
        floor: smallest mel value before the logarithm.
        scale: `"log"`, the natural logarithm; or `"decibel"`, `(20 log10 mel - 20 + 100) / 100`
            clipped to [0, 1].

    Raises:
        ValueError: a value is out of its range.
    """

    sample_rate: int = 22050
    n_fft: int = 1024
    hop_length: int = 256
    n_mels: int = 80
    low: float = 0.0
    high: float = 8000.0
    power: float = 1.0
    floor: float = 1e-5
    scale: str = "log"

    def __post_init__(self) -> None:
        sizes = (self.sample_rate, self.n_fft, self.hop_length, self.n_mels)
        if min(sizes) < 1 or not 0 <= self.low < self.high <= self.sample_rate / 2:
            raise ValueError(
                "Expected positive sizes and 0 <= low < high <= sample_rate / 2. "
                f"Received: {asdict(self)}."
            )
        if self.scale not in ("log", "decibel") or not self.floor > 0 or not self.power > 0:
            raise ValueError(
                "Expected scale 'log' or 'decibel', and floor and power above 0. "
                f"Received: {asdict(self)}."
            )

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "MelRecipe":
        """The recipe that `asdict` returned.

        Raises:
            ValueError: a field is unknown, or a value is out of its range.
        """
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(config) - known)
        if unknown:
            raise ValueError(
                f"Expected fields in {', '.join(sorted(known))}. Received: {', '.join(unknown)}."
            )
        return cls(**config)

    def differences(self, other: "MelRecipe") -> list[str]:
        """The fields in which two recipes differ, each as `name: mine, theirs`."""
        mine, theirs = asdict(self), asdict(other)
        return [f"{key}: {mine[key]}, {theirs[key]}" for key in mine if mine[key] != theirs[key]]


RECIPES: Mapping[str, MelRecipe] = MappingProxyType(
    {
        "tacotron": MelRecipe(),
        "flowavenet": MelRecipe(low=125.0, high=7600.0, power=2.0, floor=1e-4, scale="decibel"),
    }
)
"""Recipes by name: `tacotron` is that of Tacotron 2, WaveGlow, Glow-TTS and Flowtron."""


def mel_spectrogram(audio: np.ndarray, recipe: MelRecipe, centred: bool = True) -> np.ndarray:
    """The mel spectrogram of audio.

    Args:
        audio: `(time,)` float in [-1, 1] at `recipe.sample_rate`.
        recipe: how to compute it.
        centred: whether frame `i` is centred on sample `hop_length * i`, with the audio reflected
            at both ends; otherwise it starts there, and frames end with the audio.

    Returns:
        `(1 + time // hop_length, n_mels)` float32, or `(1 + (time - n_fft) // hop_length, n_mels)`
        if the frames are not centred.

    Raises:
        ValueError: the audio is not one channel, or too short.

    References:
        Shen et al., Natural TTS Synthesis by Conditioning WaveNet on Mel Spectrogram Predictions,
        2018, https://arxiv.org/abs/1712.05884; Kim, Lee, Song, Kim and Yoon, FloWaveNet, 2019,
        https://arxiv.org/abs/1811.02155
    """
    import scipy.fft

    audio = np.asarray(audio, np.float32)
    shortest = recipe.n_fft // 2 + 1 if centred else recipe.n_fft
    if audio.ndim != 1 or len(audio) < shortest:
        raise ValueError(
            f"Expected audio of shape (time,) with at least {shortest} samples. "
            f"Received: shape {audio.shape}."
        )
    if centred:
        audio = np.pad(audio, recipe.n_fft // 2, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(audio, recipe.n_fft)[:: recipe.hop_length]
    window = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(recipe.n_fft) / recipe.n_fft)).astype(
        np.float32
    )
    mel = np.empty((len(frames), recipe.n_mels), np.float32)
    for start in range(0, len(frames), _TOGETHER):
        part = slice(start, start + _TOGETHER)
        magnitude = np.abs(scipy.fft.rfft(frames[part] * window))
        powers = magnitude if recipe.power == 1 else magnitude**recipe.power
        np.matmul(powers, _filters(recipe), out=mel[part])
    np.maximum(mel, recipe.floor, out=mel)
    if recipe.scale == "log":
        return np.log(mel)
    return np.clip((20.0 * np.log10(mel) - 20.0 + 100.0) / 100.0, 0.0, 1.0)


@functools.lru_cache(maxsize=16)
def _filters(recipe: MelRecipe) -> np.ndarray:
    """The mel filters as a matrix `(n_fft / 2 + 1, n_mels)` float32."""
    import librosa

    filters = librosa.filters.mel(
        sr=recipe.sample_rate,
        n_fft=recipe.n_fft,
        n_mels=recipe.n_mels,
        fmin=recipe.low,
        fmax=recipe.high,
    )
    return np.ascontiguousarray(filters.T, np.float32)


def audio_from_mel(mel: np.ndarray, recipe: MelRecipe, iterations: int = 32) -> np.ndarray:
    """Audio with nearly the mel spectrogram `mel`, by the Griffin-Lim algorithm.

    Args:
        mel: `(frames, n_mels)` as `mel_spectrogram` returns it.
        recipe: how it was computed.
        iterations: of the algorithm.

    Returns:
        `(hop_length * (frames - 1),)` float32.

    References:
        Griffin and Lim, Signal estimation from modified short-time Fourier transform, 1984;
        Perraudin, Balazs and Sondergaard, A fast Griffin-Lim algorithm, 2013.
    """
    import librosa

    mel = np.asarray(mel, np.float32).T
    linear = np.exp(mel) if recipe.scale == "log" else 10.0 ** ((100.0 * mel - 80.0) / 20.0)
    spectrogram = librosa.feature.inverse.mel_to_stft(
        linear,
        sr=recipe.sample_rate,
        n_fft=recipe.n_fft,
        power=recipe.power,
        fmin=recipe.low,
        fmax=recipe.high,
    )
    audio = librosa.griffinlim(
        spectrogram, n_iter=iterations, hop_length=recipe.hop_length, random_state=0
    )
    return audio.astype(np.float32)


def check_mel(mel: np.ndarray, recipe: MelRecipe, found: MelRecipe | None = None) -> None:
    """Check that a mel is one of a recipe.

    Args:
        mel: what is given as a mel.
        recipe: the recipe that it must have.
        found: the recipe that it was computed by, if it is known.

    Raises:
        DataError: the recipe differs, which the message names; the shape is not `(frames, n_mels)`;
            or a value is not finite or cannot be one of the recipe.
    """
    if found is not None and (differing := recipe.differences(found)):
        raise DataError(
            "Expected a mel of the run's recipe. Received: one that differs in "
            f"{'; '.join(differing)} (the run's, the mel's)."
        )
    bins = recipe.n_mels
    if mel.ndim == 2 and mel.shape[0] == bins and mel.shape[1] != bins:
        raise DataError(
            f"Expected a mel of shape (frames, {bins}). Received: a transposed one, {mel.shape}; "
            "store mel.T."
        )
    if mel.ndim != 2 or mel.shape[1] != bins or not len(mel) or mel.dtype.kind != "f":
        raise DataError(
            f"Expected a mel of shape (frames, {bins}), floating point. Received: shape "
            f"{mel.shape}, {mel.dtype}."
        )
    least, most = float(mel.min()), float(mel.max())
    if not np.isfinite([least, most]).all():
        raise DataError("Expected a mel of finite values. Received: NaN or infinite values.")
    decibel = recipe.scale == "decibel"
    if (decibel and (least < -0.5 or most > 1.5)) or (not decibel and least >= 0):
        wanted = "from 0 to 1, decibels" if decibel else "below 0 where it is quiet, natural logs"
        raise DataError(
            f"Expected a mel with values {wanted}, as the run's recipe scales them. Received: "
            f"values from {least:.3g} to {most:.3g}, probably of another recipe."
        )


def write_mel(path: str | os.PathLike, mel: np.ndarray, recipe: MelRecipe) -> None:
    """Write a mel and its recipe to an npz file, atomically.

    Args:
        path: the file.
        mel: `(frames, n_mels)`.
        recipe: how it was computed.

    Raises:
        DataError: the mel does not fit the recipe, or is not finite.
        OSError: the system refuses.
    """
    mel = np.asarray(mel, np.float32)
    check_mel(mel, recipe)
    with atomic_write(Path(path)) as file:
        np.savez(file, mel=mel, recipe=np.array(json.dumps(asdict(recipe))))


def read_mel(path: str | os.PathLike) -> tuple[np.ndarray, MelRecipe | None]:
    """Read a mel from an npy file, or a mel and its recipe from an npz file.

    The array of an npy file stays on the disk until it is used.

    Returns:
        The mel, `(frames, n_mels)` unless the file is wrong, and its recipe, `None` if the file
        does not have it; see `check_mel`.

    Raises:
        DataError: the file is damaged or holds something else.
    """
    path = Path(path)
    try:
        if path.suffix.lower() == ".npy":
            return np.lib.format.open_memmap(path, mode="r"), None
        arrays = read_npz(path)
        mel = arrays["mel"]
        if "recipe" not in arrays:
            return mel, None
        return mel, MelRecipe.from_config(json.loads(str(arrays["recipe"])))
    except (*NPZ_ERRORS, TypeError) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise DataError(f"{path}: not a mel that can be read ({reason}).") from None
