"""Synthesis of audio from mel spectrograms, of any length and while it is played."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from singlow.audio import load_audio, resample, to_channels
from singlow.errors import DataError, UsageError, naming
from singlow.runs.opening import TrainedRun, open_run, require_input
from singlow.spectral import MEL_SUFFIXES, MelRecipe, check_mel, read_mel
from singlow.voices.denoise import denoised, first_spectrum
from singlow.voices.recordings import as_audio

if TYPE_CHECKING:
    from singlow.models.flow import Flow

MEL = "mel"
TEMPERATURE = 0.8
TILE = 10.0  # seconds that a flow synthesises at a time
_EMPTY = 88  # frames of the mel of zeros, as published
STREAMED = 0.5  # the same for audio that is played while it is made
Source = str | os.PathLike | np.ndarray


def vocode(
    run: str | TrainedRun,
    source: Source,
    temperature: float = TEMPERATURE,
    seed: int = 0,
    sample_rate: int | None = None,
    recipe: MelRecipe | None = None,
    tile: float = TILE,
    denoise: float = 0.0,
) -> np.ndarray:
    """Synthesise audio from a mel, or from the mel of a recording.

    The noise of each frame depends on the seed and the frame's position alone, so the result does
    not depend on `tile`, up to rounding.

    Args:
        run: a run with the input `mel`, or its name.
        source: path of an audio file, or of a mel as `.npy` or `.npz` (see
            `singlow.spectral.write_mel`); audio `(time,)`, float in +-1; or a mel
            `(frames, n_mels)`.
        temperature: scale of the noise; 1 samples the model itself.
        seed: of the noise.
        sample_rate: Hz of audio that is given as an array; the run's when `None`.
        recipe: recipe of a mel that is given as an array; the run's when `None`.
        tile: seconds that are synthesised at a time.
        denoise: share of the spectrum of the model's constant noise that is subtracted, see
            `noise_spectrum`; 0.1 is usual, and 0 changes nothing.

    Returns:
        `(time, 1)` float32 at the run's sample rate, as long as the recording, or `hop_length`
        samples for each frame of the mel.

    Raises:
        UsageError: the run has no mel, or a number is out of range.
        DataError: a file cannot be read, the mel is not one of the run's recipe, or the result is
            not finite.

    Example:
        >>> import singlow
        >>> audio = singlow.vocode("flowavenet_small", "speech.wav")  # doctest: +SKIP
    """
    blocks = stream(run, source, temperature, seed, sample_rate, recipe, tile, denoise)
    return np.concatenate(list(blocks))


def stream(
    run: str | TrainedRun,
    source: Source,
    temperature: float = TEMPERATURE,
    seed: int = 0,
    sample_rate: int | None = None,
    recipe: MelRecipe | None = None,
    tile: float = STREAMED,
    denoise: float = 0.0,
) -> Iterator[np.ndarray]:
    """Synthesise as `vocode` does, and yield audio `(time, 1)` of `tile` seconds as it is made.

    Memory does not grow with the length of the mel.
    """
    run = open_run(run)
    require_input(run, MEL, "use the verb sample")
    numbers = 0 <= temperature <= 100 and seed >= 0 and tile > 0 and 0 <= denoise <= 100
    if not numbers:
        raise UsageError(
            "Expected temperature and denoise from 0 to 100, seed of at least 0 and tile above 0. "
            f"Received: temperature={temperature}, denoise={denoise}, seed={seed}, tile={tile}."
        )
    mel, length, _ = mel_of(run, source, sample_rate, recipe)
    blocks = synthesised(run.coder, mel, length, temperature, seed, tile)
    return denoised(blocks, noise_spectrum(run.coder), denoise) if denoise else blocks


def noise_spectrum(flow: "Flow") -> np.ndarray:
    """Return the magnitude spectrum of the audio that a vocoder makes of a mel of zeros.

    It is that of the first window at temperature 0, as in the denoiser of WaveGlow.

    Args:
        flow: a flow with the input `mel`, made for inference.

    Returns:
        `(1 + n_fft // 2,)` float32.
    """
    mel = np.zeros((_EMPTY, flow.recipe.n_mels), np.float32)
    length = _EMPTY * flow.inputs[MEL].hop
    audio = np.concatenate(list(synthesised(flow, mel, length, 0.0, 0, TILE)))
    return first_spectrum(audio[:, 0], flow.recipe.n_fft)


def mel_of(
    run: TrainedRun,
    source: Source,
    sample_rate: int | None = None,
    recipe: MelRecipe | None = None,
) -> tuple[np.ndarray, int, int | None]:
    """Read or compute the mel of a source, and check that it is one of the run's recipe.

    Args:
        run: a run with the input `mel`.
        source: as for `vocode`.
        sample_rate: Hz of audio that is given as an array.
        recipe: recipe of a mel that is given as an array.

    Returns:
        The mel `(frames, n_mels)`, the number of samples of its audio, and the sample rate of a
        recording that was resampled, otherwise `None`.

    Raises:
        DataError: a file cannot be read, or the mel is not one of the run's recipe.
    """
    wanted: MelRecipe = run.flow.recipe
    given = isinstance(source, np.ndarray)
    if given and source.ndim != 1:
        check_mel(source, wanted, recipe)
        return source, len(source) * wanted.hop_length, None
    if not given and Path(source).suffix.lower() in MEL_SUFFIXES:
        mel, found = read_mel(source)
        with naming(Path(source)):
            check_mel(mel, wanted, found)
        return mel, len(mel) * wanted.hop_length, None
    audio, rate = (as_audio(source), sample_rate) if given else load_audio(source)
    other = None if rate in (None, wanted.sample_rate) else rate
    audio = to_channels(audio, 1)
    if other is not None:
        audio = resample(audio, other, wanted.sample_rate)
    try:
        return run.flow.mel_of(audio), len(audio), other
    except ValueError as error:
        raise DataError(f"{'audio' if given else source}: {error}") from None


def noise_of_frames(flow: "Flow", seed: int, first: int, count: int) -> list[np.ndarray]:
    """Standard normal latents of a range of mel frames, a batch of 1 for each level.

    The noise of a frame is drawn by a counter-based generator from the seed and its position.

    Args:
        flow: a flow with the input `mel`.
        seed: of the noise.
        first: position of the first frame.
        count: number of frames.

    References:
        Salmon, Moraes, Dror and Shaw, Parallel random numbers: as easy as 1, 2, 3, 2011.
    """
    hop = flow.inputs[MEL].hop
    values = np.empty((count, hop), np.float32)
    for frame in range(count):
        generator = np.random.Philox(key=seed, counter=[0, first + frame, 0, 0])
        np.random.Generator(generator).standard_normal(out=values[frame], dtype=np.float32)
    latents, start = [], 0
    for _, positions, channels in flow.latent_shapes(1, hop):
        part = values[:, start : start + positions * channels]
        latents.append(part.reshape(1, count * positions, channels))
        start += positions * channels
    return latents


def synthesised(
    flow: "Flow", mel: np.ndarray, length: int, temperature: float, seed: int, tile: float
) -> Iterator[np.ndarray]:
    """Yield the audio `(time, 1)` of a mel, in tiles that overlap by all that they depend on.

    Args:
        flow: a flow with the input `mel`, made for inference.
        mel: `(frames, n_mels)` of the flow's recipe.
        length: number of samples; at most `hop_length` for each frame.
        temperature: scale of the noise.
        seed: of the noise.
        tile: seconds of each tile.

    Raises:
        DataError: a sample is not finite.
    """
    from keras import ops

    hop = flow.inputs[MEL].hop
    before, after = (-(-samples // hop) for samples in flow.context)
    size = max(1, round(tile * flow.signal.sample_rate / hop))
    for start in range(0, len(mel), size):
        stop = min(start + size, len(mel))
        first, last = max(0, start - before), min(len(mel), stop + after)
        z = [temperature * part for part in noise_of_frames(flow, seed, first, last - first)]
        x = flow.decode(z, {MEL: np.asarray(mel[None, first:last], np.float32)})
        audio = ops.convert_to_numpy(x)[0, (start - first) * hop : (stop - first) * hop]
        if not np.isfinite(audio).all():
            raise DataError(
                "Expected finite audio. Received: NaN or infinite samples; use a lower "
                "temperature, or check the run with python3 -m singlow check."
            )
        yield audio[: length - start * hop]
