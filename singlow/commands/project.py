"""The verb `project`: what a run's latents tell apart, in figures, words and pictures."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from singlow.commands.places import Epoch, RunName, check_place
from singlow.errors import UsageError
from singlow.runs.opening import CHECKPOINTS, Opened, open_run
from singlow.runs.run import find

if TYPE_CHECKING:
    from singlow.data.feed.recordings import Recording
    from singlow.latents.separation import Figure, Separation

Clips = Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="[CLIPS ...]")]
_FOLDER, _LISTED = "latents", 12


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
    """Say whether latents separate singers or styles; draw them, also for TensorBoard.

    Args:
        run: name under checkpoints/, or a path.
        clips: recordings or folders of them, singers and styles told as for training, LABEL=SRC
            too; the run's own data without any.
        output: a folder; latents/ among the run's logs when None.
        labels: where file names tell more, as "{style}_{singer}_{take}".
        split: which of the run's own data, of which the flow was told no labels.
        limit: most recordings used, as many of each singer as there are.
        seconds: stretches over which latents are pooled.
        seed: of the choice of recordings, folds and shuffles.
        data_dir: where records of the run's data are kept; beside them when None.
        epoch: which checkpoint.
    """
    if not 1 <= limit <= 20000:
        raise UsageError(f"Expected --limit from 1 to 20000. Received: {limit}.")
    if not 0.1 <= seconds <= 3600:
        raise UsageError(f"Expected --seconds from 0.1 to 3600. Received: {seconds}.")
    if seed < 0:
        raise UsageError(f"Expected --seed of at least 0. Received: {seed}.")
    if clips and split != "all":
        raise UsageError("Expected --split without CLIPS: it parts the run's own data.")
    folder = output or find(run, CHECKPOINTS).logs / _FOLDER
    check_place(folder / "latents.png")
    opened = open_run(run, epoch, speakers=False)

    from rich.console import Console

    from singlow.data.feed.recordings import label, spread, texts_as_styles
    from singlow.latents.pool import pool_recordings
    from singlow.latents.separation import separate
    from singlow.progress import progress

    found = _given(opened, clips) if clips else _own(opened, split, data_dir)
    found = texts_as_styles(found if labels is None else label(found, labels))
    chosen = spread(found, limit, seed)
    with progress("Encoding", len(chosen)) as done:
        points = pool_recordings(opened.coder, chosen, seconds, _warn, done)
    measured = separate(points, seed)
    title = (
        f"Pooled latents of {opened.run.name}, epoch {opened.checkpoint.epoch}: "
        f"{len(set(points.ids))} recordings, {len(set(points.singers))} singers"
    )
    print(f"{title}.")
    for name, labels in (("Singers", points.singers), ("Styles", points.styles)):
        print(f"{name}: {_listed(labels)}.")
    console = Console()
    for table in _tables(measured):
        console.print(table)
    print(measured.answer())
    for path in _write(folder, opened, points, measured, title, seed):
        print(path)
    print(f"tensorboard --logdir {folder.parent if output is None else folder}")


def _listed(labels: Any) -> str:
    names = sorted(set(labels) - {""})
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return (", ".join(names[:_LISTED]) + more) or "none known"


def _warn(line: str) -> None:
    print(line, file=sys.stderr)


def _own(opened: Opened, split: str, data_dir: Path | None) -> "list[Recording]":
    from singlow.data.feed.recordings import read_recordings
    from singlow.data.store.dataset import SPLITS
    from singlow.runs.data import prepare_data

    config = prepare_data(opened.config, data_dir)
    splits = SPLITS if split == "all" else (split,)
    return read_recordings(config["data"]["directory"], splits)


def _given(opened: Opened, clips: tuple[str, ...]) -> "list[Recording]":
    from singlow.data.feed.recordings import find_recordings, read_recordings
    from singlow.data.store.dataset import INFO

    rate, channels = opened.flow.signal.sample_rate, opened.flow.signal.channels
    if len(clips) == 1 and (Path(clips[0]) / INFO).is_file():
        from singlow.data.prepare.build import prepare

        return read_recordings(prepare(clips[0], sample_rate=rate, channels=channels))
    return find_recordings(clips, rate, channels, _warn)


def _write(
    folder: Path, opened: Opened, points: Any, measured: "Separation", title: str, seed: int
) -> list[Path]:
    """Pictures and figures, for the eye and for TensorBoard."""
    import contextlib

    from singlow.files import write_text
    from singlow.latents.picture import picture
    from singlow.latents.probe import centre
    from singlow.latents.project import project as planes
    from singlow.latents.projector import write_projector
    from singlow.latents.separation import standardised
    from singlow.pictures import write_picture
    from singlow.runs.events import EventLog

    crossed = points.styled and not measured.nested
    centred = centre(points.values, points.singers)
    drawn = picture(
        points, planes(points, seed=seed), planes(points, True, seed) if crossed else None, title
    )
    image, figures = folder / "latents.png", folder / "figures.json"
    write_picture(image, drawn)
    write_text(figures, json.dumps({"title": title, **measured.as_dict()}, indent=1) + "\n")
    write_projector(
        folder,
        points,
        {
            "latents": standardised(points.values),
            "latents_without_singers_means": standardised(centred),
        },
    )
    # TensorBoard looks for the projector's files where there are events.
    with contextlib.closing(EventLog(folder)) as log:
        log.image("latents", drawn, opened.checkpoint.epoch)
        log.text("answer", measured.answer(), opened.checkpoint.epoch)
    return [image, figures]


def _tables(measured: "Separation") -> list[Any]:
    from rich.table import Table

    kinds = {"singer": measured.singer, "style": measured.style}
    kinds = {name: kind for name, kind in kinds.items() if kind is not None}
    shown = Table(
        title="Told apart",
        title_justify="left",
        caption="before and after each singer's mean is taken away; probe: linear, with whole "
        "recordings held out for singers (nothing linear is left of them after), whole singers for "
        "styles; in brackets: 95 % of shuffled labels give no more",
        caption_justify="left",
    )
    shown.add_column("")
    for column in ("before", "chance", "after", "chance"):
        shown.add_column(column, justify="right")
    for name, kind in kinds.items():
        for row, form, figures in (
            ("probe", _share, (kind.accuracy, kind.accuracy_centred)),
            ("silhouette", "{:.2f}".format, (kind.silhouette, kind.silhouette_centred)),
        ):
            cells = (cell for figure in figures for cell in _cells(figure, form))
            shown.add_row(f"{name}, {row}", *cells)
    parts = Table(title="What tells it: accuracy of the probe", title_justify="left")
    parts.add_column("")
    for name, kind in kinds.items():
        parts.add_column(f"{name} (chance {_share(1 / kind.labels)})", justify="right")
    for name, told in measured.parts.items():
        parts.add_row(
            name, *("-" if share is None else _share(share) for share in told[: len(kinds)])
        )
    return [shown, parts]


def _cells(figure: "Figure | None", form: Any) -> tuple[str, str]:
    if figure is None:
        return "-", "-"
    return form(figure.value), f"{form(figure.chance)} ({form(figure.limit)})"


def _share(value: float) -> str:
    return f"{100 * value:.0f} %"
