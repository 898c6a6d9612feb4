"""Projections of pooled latents to planes by PCA, LDA and t-SNE, and a picture of them."""

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from singlow.latents import probe
from singlow.latents.pool import Points
from singlow.latents.separation import standardised

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

_LARGEST = 50  # number of principal components that t-SNE is computed from
_PERPLEXITY = 30.0
_COLOURED, _LONGEST = 20, 18  # labels with their own colour; characters of a label
_MARKERS = "os^Dvp*"
_FONTS = (
    "DejaVu Sans",
    "Noto Sans CJK JP",
    "Noto Sans CJK SC",
    "Microsoft YaHei",
    "Yu Gothic",
    "Hiragino Sans",
    "PingFang SC",
    "Malgun Gothic",
)


@dataclasses.dataclass(frozen=True)
class Plane:
    """Points on a plane.

    Attributes:
        name: name of the method.
        xy: coordinates, `(points, 2)`.
        axes: names of the two axes.
        unseen: mask of the points that the projection was not fitted to, `(points,)` bool; None for
            a method that uses no labels.
        groups: what is split between fitting and testing: "recordings", "pictures" or "singers".
    """

    name: str
    xy: np.ndarray
    axes: tuple[str, str]
    unseen: np.ndarray | None = None
    groups: str = ""


@dataclasses.dataclass(frozen=True)
class Projection:
    """The same points on several planes.

    Attributes:
        pca: the first two principal components.
        tsne: t-SNE, which preserves neighbourhoods.
        lda: linear discriminants for "singer" and, if styles are known, for "style".
    """

    pca: Plane
    tsne: Plane
    lda: dict[str, Plane]


def project_points(points: Points, centred: bool = False, seed: int = 0) -> Projection:
    """Project standardised points by PCA, LDA and t-SNE.

    LDA is fitted to half of the recordings (for styles, half of the singers) and applied to all. In
    many dimensions it always separates the half that it is fitted to. It separates the other half
    only if the labels really differ.

    Args:
        points: points of at least two singers.
        centred: whether to subtract each singer's mean first.
        seed: random seed for choosing the halves and for t-SNE.

    References:
        van der Maaten and Hinton, Visualizing Data using t-SNE, 2008,
        https://jmlr.org/papers/v9/vandermaaten08a.html
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    x = standardised(probe.centre(points.values, points.singers) if centred else points.values)
    main = PCA(min(_LARGEST, *x.shape), random_state=seed).fit(x)
    scores = main.transform(x)
    axes = [f"component {k + 1} ({100 * main.explained_variance_ratio_[k]:.0f} %)" for k in (0, 1)]
    perplexity = min(_PERPLEXITY, (len(x) - 1) / 3)
    with threadpool_limits(1):  # several threads are slower, because they wait in busy loops
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
        unseen, groups = _half_of_singers(points, seed), "singers"
    else:
        unseen, groups = _half_of_recordings(points, seed), f"{points.words[1]}s"
    xy = probe.Discriminant(x[~unseen], labels[~unseen]).project(x)
    if xy.shape[1] > 1:
        axes = "discriminant 1", "discriminant 2"
    else:
        xy = np.stack([xy[:, 0], component], axis=1)
        axes = "discriminant 1", "component 1"
    return Plane("LDA", xy[:, :2], axes, unseen, groups)


def _half_of_recordings(points: Points, seed: int) -> np.ndarray:
    """Return a mask of half of each singer's recordings, `(points,)` bool."""
    rng = np.random.default_rng(seed)
    unseen = np.zeros(len(points), bool)
    for singer in np.unique(points.singers):
        own = rng.permutation(np.unique(points.origins[points.singers == singer]))
        unseen |= np.isin(points.origins, own[len(own) // 2 :])
    return unseen


def _half_of_singers(points: Points, seed: int) -> np.ndarray:
    """Return a mask of half of the singers, `(points,)` bool.

    If every singer has one style, the mask selects half of the singers of each style.
    """
    rng = np.random.default_rng(seed)
    if not probe.nested(points.styles, points.singers):
        names = rng.permutation(np.unique(points.singers))
        return np.isin(points.singers, names[(len(names) + 1) // 2 :])
    unseen = np.zeros(len(points), bool)
    for style in np.unique(points.styles):
        own = rng.permutation(np.unique(points.singers[points.styles == style]))
        unseen |= np.isin(points.singers, own[(len(own) + 1) // 2 :])
    return unseen


def draw_planes(
    points: Points, projection: Projection, centred: Projection | None = None, title: str = ""
) -> np.ndarray:
    """Draw PCA, LDA and t-SNE side by side, coloured by singer in one row and by style in another.

    Args:
        points: the points that were projected.
        projection: their projection.
        centred: projection of the points after each singer's mean was subtracted; it adds a third
            row, coloured by style.
        title: title above all rows.

    Returns:
        The picture, `(height, width, 3)` uint8.
    """
    from matplotlib import font_manager, rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = [(f"by {points.words[0]}", points.singers, "singer", projection)]
    if points.styled:
        rows.append(("by style", points.styles, "style", projection))
        if centred is not None:
            rows.append(("by style, singers' means removed", points.styles, "style", centred))
    known = set(font_manager.get_font_names())
    with rc_context({"font.family": [name for name in _FONTS if name in known], "font.size": 9}):
        figure = Figure(figsize=(12.5, 0.5 + 3.7 * len(rows)), dpi=100, layout="constrained")
        canvas = FigureCanvasAgg(figure)
        figure.suptitle(_plain(title, 160), fontsize=11)
        grid = figure.subplots(len(rows), 3, squeeze=False)
        for axes, (name, labels, kind, planes) in zip(grid, rows, strict=True):
            for axis, plane in zip(axes, (planes.pca, planes.lda[kind], planes.tsne), strict=True):
                handles = _scatter(axis, plane, labels)
            axes[0].set_title(f"{planes.pca.name}, {name}", loc="left")
            axes[2].legend(
                handles,
                [handle.get_label() for handle in handles],
                loc="center left",
                bbox_to_anchor=(1.0, 0.5),
                frameon=False,
            )
        canvas.draw()
        return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _scatter(axis: "Axes", plane: Plane, labels: np.ndarray) -> "list[Line2D]":
    """Draw a plane, faint for the points that it was fitted to; return the legend's handles."""
    from matplotlib import colormaps
    from matplotlib.lines import Line2D

    names, counts = np.unique(labels, return_counts=True)
    kept = sorted(names[np.argsort(-counts, kind="stable")[:_COLOURED]], key=_natural)
    colours = colormaps["tab10" if len(kept) <= 10 else "tab20"].colors
    look = {
        name: (colours[k % len(colours)], _MARKERS[k % len(_MARKERS)])
        for k, name in enumerate(kept)
    }
    size = float(np.clip(9000 / len(labels), 9, 45))
    strong = np.ones(len(labels), bool) if plane.unseen is None else plane.unseen
    for name in names:
        colour, marker = look.get(name, ("0.75", "."))
        for chosen, alpha in ((~strong, 0.15), (strong, 0.8)):
            own = (labels == name) & chosen
            axis.scatter(
                *plane.xy[own].T, s=size, color=colour, marker=marker, alpha=alpha, linewidths=0
            )
    note = "" if plane.unseen is None else f" (faint: {plane.groups} that it was fitted to)"
    axis.set_title(f"{plane.name}{note}", loc="left")
    axis.set_xlabel(plane.axes[0])
    axis.set_ylabel(plane.axes[1])
    axis.set_xticks([])
    axis.set_yticks([])
    handles = [
        Line2D([], [], color=colour, marker=marker, linestyle="", label=_plain(name, _LONGEST))
        for name, (colour, marker) in look.items()
    ]
    if len(names) > len(kept):
        rest = f"{len(names) - len(kept)} more"
        handles.append(Line2D([], [], color="0.75", marker=".", linestyle="", label=rest))
    return handles


def _natural(name: str) -> tuple[int, str]:
    return (int(name), name) if name.isdecimal() else (1 << 62, name)


def _plain(text: str, longest: int) -> str:
    """Return the text, shortened to `longest` characters and escaped for matplotlib."""
    text = str(text)
    text = text if len(text) <= longest else f"{text[: longest - 1]}…"
    return text.replace("$", r"\$")
