"""Planes of pooled latents as one picture, coloured by singer and by style."""

from typing import Any

import numpy as np

from singlow.latents.pool import Points
from singlow.latents.project import Plane, Projection

_COLOURED, _LONGEST = 20, 18
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


def picture(
    points: Points, projection: Projection, centred: Projection | None = None, title: str = ""
) -> np.ndarray:
    """Draw PCA, LDA and t-SNE side by side: a row by singer, a row by style.

    Args:
        points: what was projected.
        projection: of the points.
        centred: of the points less their singers' means; adds a third row, by style.
        title: above all.

    Returns:
        `(height, width, 3)` uint8.
    """
    from matplotlib import font_manager, rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = [("by singer", points.singers, "singer", projection)]
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
        for axes, (name, labels, kind, shown) in zip(grid, rows, strict=True):
            for axis, plane in zip(axes, (shown.pca, shown.lda[kind], shown.tsne), strict=True):
                handles = _scatter(axis, plane, labels)
            axes[0].set_title(f"{shown.pca.name}, {name}", loc="left")
            axes[2].legend(
                handles,
                [handle.get_label() for handle in handles],
                loc="center left",
                bbox_to_anchor=(1.0, 0.5),
                frameon=False,
            )
        canvas.draw()
        return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _scatter(axis: Any, plane: Plane, labels: np.ndarray) -> list[Any]:
    """Draw a plane; what a map was fitted to is faint."""
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
    note = "" if plane.unseen is None else f" (faint: {plane.kin} it was fitted to)"
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


def _plain(text: Any, longest: int) -> str:
    """Text that matplotlib takes as it is: short and no formula."""
    text = str(text)
    text = text if len(text) <= longest else f"{text[: longest - 1]}…"
    return text.replace("$", r"\$")
