"""Reduce the constant noise of a vocoder in the audio that it synthesises."""

from collections.abc import Iterator

import numpy as np

_OVERLAP = 4  # windows that cover each sample


def first_spectrum(audio: np.ndarray, n_fft: int) -> np.ndarray:
    """Return the magnitude spectrum of a window that is centred on the first sample.

    Args:
        audio: `(time,)`, at least `n_fft` samples; it is reflected at its start.
        n_fft: samples of the window.

    Returns:
        `(1 + n_fft // 2,)` float32.
    """
    around = np.pad(audio[:n_fft], n_fft // 2, mode="reflect")[:n_fft]
    return np.abs(np.fft.rfft(_window(n_fft) * around)).astype(np.float32)


def denoised(
    blocks: Iterator[np.ndarray], bias: np.ndarray, strength: float
) -> Iterator[np.ndarray]:
    """Yield audio whose magnitude spectrum is reduced by a share of another one.

        |Y| = max(|X| - strength * bias, 0), with the phases of X

    The blocks of the result have other lengths than the given ones, and the same length together.

    Args:
        blocks: audio `(time, 1)`.
        bias: the other spectrum, as `first_spectrum` returns it.
        strength: share of the bias; 0 changes nothing, up to rounding.

    References:
        Prenger, Valle and Catanzaro, WaveGlow, 2018, https://arxiv.org/abs/1811.00002, whose
        published code has this denoiser.
    """
    size = 2 * (len(bias) - 1)
    hop, edge = size // _OVERLAP, size - size // _OVERLAP
    window = _window(size)
    scale = _OVERLAP * 3 / 8  # sum of the squares of all windows at a sample
    waiting, carried = np.zeros(edge, np.float32), np.zeros(edge, np.float32)
    skipped = edge  # samples of the padding that are still to be left out
    left = 0  # samples of the audio that are still to be yielded

    def ready(last: bool) -> np.ndarray:
        nonlocal waiting, carried, skipped, left
        if last:
            waiting = np.pad(waiting, (0, edge + hop))
        count = max(0, (len(waiting) - size) // hop + 1)
        starts = hop * np.arange(count)
        frames = window * waiting[starts[:, None] + np.arange(size)]
        spectrum = np.fft.rfft(frames)
        magnitude = np.abs(spectrum)
        kept = np.maximum(magnitude - strength * bias, 0.0)
        spectrum *= np.divide(kept, magnitude, out=np.zeros_like(kept), where=magnitude > 0)
        frames = window * np.fft.irfft(spectrum, size) / scale
        total = np.zeros(hop * count + edge)
        total[:edge] += carried
        for start, frame in zip(starts, frames, strict=True):
            total[start : start + size] += frame
        waiting, carried = waiting[hop * count :], total[hop * count :]
        done = total[: hop * count]
        done, skipped = done[min(skipped, len(done)) :], max(0, skipped - len(done))
        done = done[:left]
        left -= len(done)
        return done[:, None].astype(np.float32)

    for block in blocks:
        left += len(block)
        waiting = np.concatenate([waiting, block[:, 0]])
        result = ready(last=False)
        if len(result):
            yield result
    result = ready(last=True)
    if len(result):
        yield result


def _window(size: int) -> np.ndarray:
    """Return a periodic Hann window."""
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)
