"""The verb `project`: measure whether the latents of a run separate singers or styles."""

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from singlow.commands.places import Epoch, RunName, check_place
from singlow.runs.opening import CHECKPOINTS, open_run
from singlow.runs.run import find
from singlow.streams import escape

if TYPE_CHECKING:
    import numpy as np
    from rich.table import Table

    from singlow.latents.separation import Figure, Separation

Clips = Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="[CLIPS ...]")]
_LISTED = 12
_CAPTION = (
    "Figures before and after each {label}'s mean is subtracted, which removes all linear "
    "information on {labels}. The probe is linear; whole {points} are held out{styles}. In "
    "brackets: the figure that 95 % of shuffled labels do not exceed."
)


def project(
    run: RunName,
    clips: Clips = (),
    output: Annotated[Path | None, tyro.conf.arg(aliases=["-o"], metavar="DIR")] = None,
    labels: Annotated[str | None, tyro.conf.arg(metavar="PATTERN")] = None,
    split: Annotated[
        Literal["all", "train", "validation"], tyro.conf.arg(metavar="all|train|validation")
    ] = "all",
    limit: Annotated[int, tyro.conf.arg(metavar="INT")] = 1000,
    seconds: Annotated[float, tyro.conf.arg(metavar="FLOAT")] = 5.0,
    seed: Annotated[int, tyro.conf.arg(metavar="INT")] = 0,
    data_dir: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None,
    epoch: Epoch = "newest",
) -> None:
    """Measure whether latents separate singers, styles or classes, and plot them.

    Args:
        run: Name under checkpoints/, or a path.
        clips: Recordings, folders of them, or LABEL=SRC, with singers and styles as in training
            (the run's own data).
        output: Folder to write to (latents/ in the run's logs).
        labels: Pattern that reads labels from file names, such as "{style}_{singer}_{take}".
        split: Part of the run's own data to use; the flow was trained without labels.
        limit: Largest number of recordings; they are spread evenly over the singers.
        seconds: Length of the segments over which latents are pooled.
        seed: Random seed for the choice of recordings, the folds and the shuffles.
        data_dir: Folder for the records of the run's data (beside the recordings).
        epoch: Checkpoint to use.
    """
    from singlow.latents import project as library

    library.check_options(clips, split, limit, seconds, seed)
    folder = output or library.default_folder(find(run, CHECKPOINTS).logs)
    check_place(folder / library.PICTURE)
    opened = open_run(run, epoch)
    projected = library.project(
        opened, clips, folder, labels, split, limit, seconds, seed, data_dir
    )

    from singlow.latents.separation import plural
    from singlow.tables import print_tables

    print(f"{escape(projected.title)}.")
    points = projected.points
    label, point = points.words
    print(f"{plural(label).capitalize()}: {_listed(points.singers)}.")
    if point == "recording":
        print(f"Styles: {_listed(points.styles)}.")
    print_tables(*_tables(projected.separation))
    print(projected.separation.answer())
    for path in (projected.picture, projected.figures):
        print(escape(str(path)))
    print(f"tensorboard --logdir {shlex.quote(str(folder.parent if output is None else folder))}")


def _listed(labels: "np.ndarray") -> str:
    names = sorted(set(labels) - {""})
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return (", ".join(names[:_LISTED]) + more) or "none known"


def _tables(separation: "Separation") -> "list[Table]":
    from singlow.latents.separation import plural
    from singlow.tables import table

    label, point = separation.words
    caption = _CAPTION.format(
        label=label,
        labels=plural(label),
        points=f"{point}s",
        styles=" for singers, whole singers for styles" if point == "recording" else "",
    )
    kinds = {label: separation.singer, "style": separation.style}
    kinds = {name: kind for name, kind in kinds.items() if kind is not None}
    rows = []
    for name, kind in kinds.items():
        for row, shown, figures in (
            ("probe", _share, (kind.accuracy, kind.accuracy_centred)),
            ("silhouette", "{:.2f}".format, (kind.silhouette, kind.silhouette_centred)),
        ):
            cells = (cell for figure in figures for cell in _cells(figure, shown))
            rows.append((f"{name}, {row}", *cells))
    head = ("", "before", "chance", "after", "chance")
    parts = [
        (name, *("-" if share is None else _share(share) for share in shares[: len(kinds)]))
        for name, shares in separation.parts.items()
    ]
    parts_head = ("", *(f"{n} (chance {_share(1 / k.labels)})" for n, k in kinds.items()))
    return [
        table("Separation", head, rows, caption),
        table("Accuracy of the probe on some features alone", parts_head, parts),
    ]


def _cells(figure: "Figure | None", shown: Callable[[float], str]) -> tuple[str, str]:
    if figure is None:
        return "-", "-"
    return shown(figure.value), f"{shown(figure.chance)} ({shown(figure.limit)})"


def _share(value: float) -> str:
    return f"{100 * value:.0f} %"
