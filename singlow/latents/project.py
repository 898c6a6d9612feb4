"""Pooled latents on a plane: principal components, linear discriminants, t-SNE."""

import dataclasses

import numpy as np
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

from singlow.latents import probe
from singlow.latents.pool import Points
from singlow.latents.separation import standardised

_LARGEST = 50  # dimensions that t-SNE is given
_PERPLEXITY = 30.0


@dataclasses.dataclass(frozen=True)
class Plane:
    """Points on a plane.

    Attributes:
        name: of the method.
        xy: `(points, 2)`.
        axes: what stands along each.
        unseen: which points a map that was fitted to labels has not seen; None where no labels
            were used.
        kin: what was parted into seen and unseen: recordings or singers.
    """

    name: str
    xy: np.ndarray
    axes: tuple[str, str]
    unseen: np.ndarray | None = None
    kin: str = ""


@dataclasses.dataclass(frozen=True)
class Projection:
    """The same points on several planes.

    Attributes:
        pca: two principal components.
        tsne: neighbourhoods.
        lda: discriminants of "singer" and, where styles are known, of "style".
    """

    pca: Plane
    tsne: Plane
    lda: dict[str, Plane]


def project(points: Points, centred: bool = False, seed: int = 0) -> Projection:
    """PCA, LDA and t-SNE of standardised points.

    LDA is fitted to half of the recordings (of the singers, for styles) and drawn for all: in many
    dimensions the half that it was fitted to is always told apart, the other half only if there is
    something to tell.

    Args:
        points: of two singers or more.
        centred: take each singer's mean away first.
        seed: of the halves, and of t-SNE.

    References:
        van der Maaten and Hinton, Visualizing Data using t-SNE, 2008,
        https://jmlr.org/papers/v9/vandermaaten08a.html
    """
    x = standardised(probe.centre(points.values, points.singers) if centred else points.values)
    main = PCA(min(_LARGEST, *x.shape), random_state=seed).fit(x)
    scores = main.transform(x)
    axes = [f"component {k + 1} ({100 * main.explained_variance_ratio_[k]:.0f} %)" for k in (0, 1)]
    perplexity = min(_PERPLEXITY, (len(x) - 1) / 3)
    with threadpool_limits(1):  # its threads wait for each other in loops that starve them
        near = TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(scores)
    kinds = ["singer", "style"] if points.styled else ["singer"]
    return Projection(
        Plane("PCA", scores[:, :2], tuple(axes)),
        Plane("t-SNE", near, ("", "")),
        {kind: _discriminants(points, x, scores[:, 0], kind, seed) for kind in kinds},
    )


def _discriminants(
    points: Points, x: np.ndarray, component: np.ndarray, kind: str, seed: int
) -> Plane:
    labels = points.singers if kind == "singer" else points.styles
    if kind == "style" and probe.testable(points.styles, points.singers):
        unseen, kin = _half_of_singers(points, seed), "singers"
    else:
        unseen, kin = _half_of_recordings(points, seed), "recordings"
    found = probe.Discriminant(x[~unseen], labels[~unseen]).project(x)
    if found.shape[1] > 1:
        return Plane("LDA", found[:, :2], ("discriminant 1", "discriminant 2"), unseen, kin)
    both = np.stack([found[:, 0], component], axis=1)
    return Plane("LDA", both, ("discriminant 1", "component 1"), unseen, kin)


def _half_of_recordings(points: Points, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    unseen = np.zeros(len(points), bool)
    for singer in np.unique(points.singers):
        own = rng.permutation(np.unique(points.origins[points.singers == singer]))
        unseen |= np.isin(points.origins, own[len(own) // 2 :])
    return unseen


def _half_of_singers(points: Points, seed: int) -> np.ndarray:
    """Half of each style's singers, where each has one; else of all."""
    rng = np.random.default_rng(seed)
    if not probe.nested(points.styles, points.singers):
        names = rng.permutation(np.unique(points.singers))
        return np.isin(points.singers, names[(len(names) + 1) // 2 :])
    unseen = np.zeros(len(points), bool)
    for style in np.unique(points.styles):
        own = rng.permutation(np.unique(points.singers[points.styles == style]))
        unseen |= np.isin(points.singers, own[(len(own) + 1) // 2 :])
    return unseen
