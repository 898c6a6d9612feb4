"""Ways to move latents from the features of one group of clips to those of another."""

from collections.abc import Callable, Collection, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from singlow.errors import UsageError
from singlow.latents.features import WINDOW, Features, Level, taper

Method = Callable[[np.ndarray, Level, Level], np.ndarray]
"""Maps latents `(frames, channels)` and the levels of source and target to moved latents."""

_BLOCK = 1 << 10  # windows that are transformed at once


def transport_maps(source: Level, target: Level) -> np.ndarray:
    """Return the optimal transport map between two stationary Gaussian processes per frequency.

    The map is `T = A^-1/2 (A^1/2 B A^1/2)^1/2 A^-1/2`, where A and B are the cross-spectra of
    `source` and `target`. Among all linear maps with `T A T* = B`, it changes the latents least.

    Returns:
        Matrices `(frequencies, channels, channels)`, Hermitian and positive definite.

    References:
        Olkin and Pukelsheim, The distance between two random vectors with given dispersion
        matrices, 1982; Takatsu, Wasserstein geometry of Gaussian measures, 2011.
    """
    root = _power(source.spectra, 0.5)
    inverse = _power(source.spectra, -0.5)
    return inverse @ _power(root @ target.spectra @ root, 0.5) @ inverse


def _power(matrices: np.ndarray, exponent: float) -> np.ndarray:
    """Return powers of Hermitian matrices, with eigenvalues of at least 1e-6 of the largest."""
    values, vectors = np.linalg.eigh(matrices)
    values = np.maximum(values, 1e-6 * values[..., -1:]) ** exponent
    return (vectors * values[..., None, :]) @ vectors.conj().swapaxes(-1, -2)


def transport(z: np.ndarray, source: Level, target: Level) -> np.ndarray:
    """Change the cross-spectra of latents from those of `source` to those of `target`.

    The mean of the latents does not change: in a raw-audio flow it is a pattern that every frame
    repeats, and a change of the mean is audible as a tone. The maps are applied in overlapping
    windows, to avoid discontinuities, and in blocks of windows, to limit memory.

    Args:
        z: latents, `(frames, channels)`.
        source: features that the latents have.
        target: features that the result has.
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
        transforms = np.fft.rfft(around[places] * taper()[:, None], axis=1)
        transforms = np.einsum("kab,nkb->nka", maps, transforms)
        windows = np.fft.irfft(transforms, WINDOW, axis=1) * taper()[:, None]
        # Overlap-add: the second half of each window overlaps the first half of the next window.
        joined = windows[:, :half].reshape(size, -1)
        joined[:half] += ends
        joined[half:] += windows[:-1, half:].reshape(size - half, -1)
        ends = windows[-1, half:]
        moved[first:stop] = joined[first - part[0] :][: stop - first] + source.mean
    return moved


def moments(z: np.ndarray, source: Level, target: Level) -> np.ndarray:
    """Return `(z - mean_source) deviation_target / deviation_source + mean_target` per channel."""
    scale = target.deviation / source.deviation
    return ((z - source.mean) * scale + target.mean).astype(z.dtype)


def difference(z: np.ndarray, source: Level, target: Level) -> np.ndarray:
    """Return `z + mean_target - mean_source`, the attribute manipulation of Glow.

    References:
        Kingma and Dhariwal, Glow, 2018, section 6.3, https://arxiv.org/abs/1807.03039
    """
    return (z + (target.mean - source.mean)).astype(z.dtype)


def midpoint(z: np.ndarray, source: Level, target: Level) -> np.ndarray:
    """Return `(z + mean_target) / 2`, the original SinGlow's method, similar to temperature 0.5."""
    return ((z + target.mean) / 2).astype(z.dtype)


METHODS: Mapping[str, Method] = MappingProxyType(
    {
        "transport": transport,
        "moments": moments,
        "difference": difference,
        "midpoint": midpoint,
    }
)


def move(
    latents: Sequence[np.ndarray],
    source: Features,
    target: Features,
    method: str = "transport",
    levels: Collection[int] | None = None,
) -> Sequence[np.ndarray]:
    """Move latents from `source` to `target`; if both are the same object, nothing changes.

    Args:
        latents: latents of each level, finest first, `(frames, channels)`.
        source: features that the latents have.
        target: features that the result has.
        method: a name in `METHODS`.
        levels: indices of the levels to move, where 0 is the finest; all when None.

    Raises:
        UsageError: the method or a level is unknown.
    """
    if method not in METHODS:
        raise UsageError(f"Expected a method in {', '.join(METHODS)}. Received: {method}.")
    check_levels(levels, len(latents))
    if source is target:
        return latents
    return [
        METHODS[method](z, source.levels[i], target.levels[i])
        if levels is None or i in levels
        else z
        for i, z in enumerate(latents)
    ]


def slerp(z: np.ndarray, other: np.ndarray, strength: float) -> np.ndarray:
    """Interpolate spherically between two latents.

    The result is `(sin((1 - s) a) z + sin(s a) other) / sin a`, where `a` is the angle between the
    latents. On this path latents keep the norm that the flow expects.

    Args:
        z: latents, `(frames, channels)`.
        other: latents of the same shape.
        strength: s; 0 returns `z` and 1 returns `other`.

    References:
        White, Sampling Generative Networks, 2016, https://arxiv.org/abs/1609.04468
    """
    norms = np.linalg.norm(z) * np.linalg.norm(other)
    angle = np.arccos(np.clip(np.vdot(z, other) / max(norms, 1e-12), -1, 1))
    if np.sin(angle) < 1e-6:
        return (1 - strength) * z + strength * other
    weights = np.sin((1 - strength) * angle), np.sin(strength * angle)
    return ((weights[0] * z + weights[1] * other) / np.sin(angle)).astype(z.dtype)


def check_levels(levels: Collection[int] | None, count: int) -> None:
    """Check that a flow has the levels.

    Args:
        levels: indices of levels, where 0 is the finest.
        count: number of levels of the flow.

    Raises:
        UsageError: a level is out of range; the message names the range.
    """
    for level in levels or ():
        if not 0 <= level < count:
            raise UsageError(
                f"Expected levels from 0 (the finest) to {count - 1}. Received: {level}."
            )
