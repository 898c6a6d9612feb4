"""Ways to move latents from the features of one group of clips to those of another."""

from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType

import numpy as np

from singlow.errors import UsageError
from singlow.latents.features import Features, Level
from singlow.latents.transport import transport

Method = Callable[[np.ndarray, Level, Level], np.ndarray]


def difference(z: np.ndarray, source: Level, target: Level) -> np.ndarray:
    """`z + mean_target - mean_source`: Glow's attribute vectors.

    References:
        Kingma and Dhariwal, Glow, 2018, section 6.3, https://arxiv.org/abs/1807.03039
    """
    return (z + (target.mean - source.mean)).astype(z.dtype)


def midpoint(z: np.ndarray, source: Level, target: Level) -> np.ndarray:
    """`(z + mean_target) / 2`: what the original SinGlow does, nearly temperature 0.5."""
    return ((z + target.mean) / 2).astype(z.dtype)


def moments(z: np.ndarray, source: Level, target: Level) -> np.ndarray:
    """`(z - mean_source) deviation_target / deviation_source + mean_target`, channel by channel."""
    scale = target.deviation / source.deviation
    return ((z - source.mean) * scale + target.mean).astype(z.dtype)


METHODS: Mapping[str, Method] = MappingProxyType(
    {
        "transport": transport,
        "moments": moments,
        "difference": difference,
        "midpoint": midpoint,
    }
)


def move(
    latents: list[np.ndarray],
    source: Features,
    target: Features,
    method: str = "transport",
    levels: Collection[int] | None = None,
) -> list[np.ndarray]:
    """Latents moved all of the way; those of a group moved to itself stay as they are.

    Args:
        latents: finest first, each `(time, channels)`.
        source: features of those they sound like.
        target: features of those they are to sound like.
        method: a name in `METHODS`.
        levels: which to move, 0 the finest; all when None.

    Raises:
        UsageError: the method or a level is unknown.
    """
    if method not in METHODS:
        raise UsageError(f"Expected a method in {', '.join(METHODS)}. Received: {method}.")
    check_levels(levels, len(latents))
    if source is target:
        return latents
    return [
        METHODS[method](z, source.levels[i], target.levels[i]) if _moves(i, levels) else z
        for i, z in enumerate(latents)
    ]


def slerp(z: np.ndarray, other: np.ndarray, strength: float) -> np.ndarray:
    """`(sin((1 - s) a) z + sin(s a) other) / sin a` with `a` the angle between the two.

    The way along the sphere: in between, latents keep the norm that the flow expects of them.

    Args:
        z: `(time, channels)`.
        other: of the same shape.
        strength: 0 is `z`, 1 is `other`.

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
    """Refuse levels that a flow does not have.

    Raises:
        UsageError: there is no such level; the message says which there are.
    """
    for level in levels or ():
        if not 0 <= level < count:
            raise UsageError(
                f"Expected levels from 0 (the finest) to {count - 1}. Received: {level}."
            )


def _moves(level: int, levels: Collection[int] | None) -> bool:
    return levels is None or level in levels
