"""The verb `evaluate`: held-out bits per sample, singer by singer, or what a migration moved."""

from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import arg

from singlow.commands.migrate import check_strength
from singlow.commands.runs import Epoch, Opened, RunName, open_run
from singlow.errors import UsageError


def evaluate(
    run: RunName,
    dataset: Annotated[str | None, arg(metavar="builtin|DIR")] = None,
    data_dir: Annotated[Path | None, arg(metavar="DIR")] = None,
    epoch: Epoch = "newest",
    migration: bool = False,
    source: Annotated[str | None, arg(name="from", metavar="SINGER|STYLE")] = None,
    target: Annotated[str | None, arg(name="to", metavar="SINGER|STYLE")] = None,
    strength: Annotated[float | None, arg(metavar="FLOAT")] = None,
    method: Annotated[
        Literal["transport", "moments", "difference", "midpoint"] | None,
        arg(metavar="transport|moments|difference|midpoint"),
    ] = None,
    output: Annotated[Path | None, arg(aliases=["-o"], metavar="PATH")] = None,
) -> None:
    """Print held-out bits per sample beside FLAC's, or measure and play a migration.

    Args:
        run: name under checkpoints/, or a path.
        dataset: other data than the run's own: a folder, or builtin.
        data_dir: where records of a folder of audio are kept; beside it when None.
        epoch: which checkpoint.
        migration: measure what migration moves, and write a page with players and spectrograms.
        source: with --migration: whom the songs are by; virtual on the built-in corpus.
        target: with --migration: whom they are to sound like; human on the built-in corpus.
        strength: with --migration: of what is played (1).
        method: with --migration: as in migrate (transport).
        output: with --migration: the page (RUN-migration.html).
    """
    own = {"from": source, "to": target, "strength": strength, "method": method, "output": output}
    given = next((name for name, value in own.items() if value is not None), None)
    if given is not None and not migration:
        raise UsageError(f"Expected --migration with --{given}. Received: none.")
    share = 1.0 if strength is None else strength
    check_strength(share)

    from singlow.training.fit import prepare_data
    from singlow.training.settings import absolute_source

    opened = open_run(run, epoch, speakers=False if migration else None)
    if dataset is not None:
        opened.config = {**opened.config, "data": {"dataset": absolute_source(dataset)}}
    opened.config = prepare_data(opened.config, data_dir)
    if not migration:
        _likelihood(opened)
        return

    from singlow.commands.migration import evaluate_migration

    page = output or Path(f"{opened.run.name}-migration.html")
    evaluate_migration(opened, source, target, share, method or "transport", page)


def _likelihood(opened: Opened) -> None:
    from rich.console import Console

    from singlow.evaluation.likelihood import measure, table
    from singlow.training.fit import open_windows

    measured = measure(opened.flow, *open_windows(opened.config, opened.flow))
    Console().print(table(measured, opened.run.name))
    source = opened.config["data"]["dataset"]
    print(f"Epoch {opened.checkpoint.epoch} on the held-out clips of {source}.")
