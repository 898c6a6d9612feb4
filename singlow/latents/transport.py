"""Gaussian transport: the least change that gives latents the spectra of others."""

import numpy as np

from singlow.latents.features import WINDOW, Level, taper

_BLOCK = 1 << 10  # windows at a time


def transport_maps(source: Level, target: Level) -> np.ndarray:
    """The map that carries one stationary Gaussian process to another, frequency by frequency.

    `T = A^-1/2 (A^1/2 B A^1/2)^1/2 A^-1/2` with the cross-spectra A and B of `source` and `target`:
    of all linear maps with `T A T* = B` the one that moves the latents least.

    Returns:
        `(frequencies, channels, channels)`, each Hermitian and positive.

    References:
        Olkin and Pukelsheim, The distance between two random vectors with given dispersion
        matrices, 1982; Takatsu, Wasserstein geometry of Gaussian measures, 2011.
    """
    root = _power(source.spectra, 0.5)
    inverse = _power(source.spectra, -0.5)
    return inverse @ _power(root @ target.spectra @ root, 0.5) @ inverse


def transport(z: np.ndarray, source: Level, target: Level) -> np.ndarray:
    """Latents `(time, channels)` with the spectra of `source` carried to those of `target`.

    About the mean, which stays: the mean of raw audio's latents is a pattern that every frame
    repeats, so that a difference of means is heard as a tone. In overlapping windows, of which no
    join is heard, and in blocks, so that memory stays bounded.
    """
    maps, half, length = transport_maps(source, target), WINDOW // 2, len(z)
    moved, ends = np.empty_like(z), np.zeros((half, z.shape[1]))
    starts = np.arange(-half, length, half)
    for part in np.array_split(starts, -(-len(starts) // _BLOCK)):
        size = half * len(part)
        first, stop = max(part[0], 0), min(part[0] + size, length)
        around = z[first : stop + half] - source.mean
        missing = part[0] + size + half - first - len(around)
        around = np.pad(around, ((first - part[0], missing), (0, 0)))
        places = (part - part[0])[:, None] + np.arange(WINDOW)
        turned = np.fft.rfft(around[places] * taper()[:, None], axis=1)
        turned = np.einsum("kab,nkb->nka", maps, turned)
        windows = np.fft.irfft(turned, WINDOW, axis=1) * taper()[:, None]
        # Two halves: the windows' starts, and their ends half a window later.
        joined = windows[:, :half].reshape(size, -1)
        joined[:half] += ends
        joined[half:] += windows[:-1, half:].reshape(size - half, -1)
        ends = windows[-1, half:]
        moved[first:stop] = joined[first - part[0] :][: stop - first] + source.mean
    return moved


def _power(matrices: np.ndarray, exponent: float) -> np.ndarray:
    """Powers of Hermitian matrices, their spectrum floored a millionth below its largest."""
    values, vectors = np.linalg.eigh(matrices)
    values = np.maximum(values, 1e-6 * values[..., -1:]) ** exponent
    return (vectors * values[..., None, :]) @ vectors.conj().swapaxes(-1, -2)
