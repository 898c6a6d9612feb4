"""The verb `evaluate`: held-out bits per sample, or what a migration or conversions changed."""

import math
import shlex
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import arg

from singlow.commands.migrate import check_strength
from singlow.commands.places import Epoch, RunName, check_place
from singlow.errors import DataError, UsageError
from singlow.runs.opening import CHECKPOINTS, Opened, open_run
from singlow.runs.run import find

_PAIRS = 100
_CONVERSION, _MIGRATION = ("pairs", "hop"), ("from", "to", "strength", "method")


def evaluate(
    run: RunName,
    dataset: Annotated[tuple[str, ...], arg(metavar="builtin|DIR...")] = (),
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
    conversion: bool = False,
    pairs: Annotated[int | None, arg(metavar="INT")] = None,
    hop: Annotated[tuple[int, ...], arg(metavar="INT...")] = (),
    output: Annotated[Path | None, arg(aliases=["-o"], metavar="PATH")] = None,
) -> None:
    """Print held-out bits per sample beside FLAC's, or measure and play what a run changes.

    Args:
        run: name under checkpoints/, or a path.
        dataset: other data than the run's own: folders, or builtin.
        data_dir: where records of a folder of audio are kept; beside it when None.
        epoch: which checkpoint.
        migration: measure what migration moves, and write a page with players and spectrograms.
        source: with --migration: whom the songs are by; virtual on the built-in corpus.
        target: with --migration: whom they are to sound like; human on the built-in corpus.
        strength: with --migration: of what is played (1).
        method: with --migration: as in migrate (transport).
        conversion: measure voice conversions of held-out clips, and write pages that play them and
            ask about them blindly.
        pairs: with --conversion: of a clip and another speaker (100).
        hop: with --conversion: hops of overlapping frames to measure beside whole recordings.
        output: with --migration: the page (RUN-migration.html); with --conversion: a folder
            (RUN-conversion).
    """
    own = {"from": source, "to": target, "strength": strength, "method": method}
    own |= {"pairs": pairs, "hop": hop or None, "output": output}
    _check_given([name for name, value in own.items() if value is not None], migration, conversion)
    if pairs is not None and pairs < 1:
        raise UsageError(f"Expected --pairs of at least 1. Received: {pairs}.")
    share = 1.0 if strength is None else strength
    check_strength(share)
    output = _place(run, migration, conversion, output)

    from singlow.runs.data import prepare_data
    from singlow.runs.settings import absolute_sources
    from singlow.voices.speakers import speakers_of

    wanted = {(True, False): False, (False, True): True}.get((migration, conversion))
    opened = open_run(run, epoch, speakers=wanted)
    names = speakers_of(opened).trained if opened.flow.conditions_on else []
    if dataset:
        opened.config = {**opened.config, "data": {"dataset": absolute_sources(dataset)}}
    opened.config = prepare_data(opened.config, data_dir)
    if opened.flow.conditions_on and opened.config["data"]["singers"] != names:
        raise DataError(
            f"Expected recordings of the run's speakers, {', '.join(names)}. Received: those of "
            f"{', '.join(opened.config['data']['singers'])[:200]}."
        )
    if conversion:
        from singlow.commands.conversion import evaluate_conversion

        evaluate_conversion(opened, pairs or _PAIRS, hop, output)
    elif migration:
        from singlow.commands.migration import evaluate_migration

        evaluate_migration(opened, source, target, share, method or "transport", output)
    else:
        _likelihood(opened)


def _place(run: str, migration: bool, conversion: bool, output: Path | None) -> Path | None:
    """Where pages go; refused when they cannot, before long work."""
    name, place = find(run, CHECKPOINTS).name, output
    if conversion:
        place = output or Path(f"{name}-conversion")
        check_place(place / "index.html")
    elif migration:
        place = output or Path(f"{name}-migration.html")
        if place.suffix.lower() != ".html":
            raise UsageError(f"Expected -o with the suffix .html. Received: {place}.")
        check_place(place)
    return place


def _likelihood(opened: Opened) -> None:
    from rich.console import Console

    from singlow.data.sources.layouts import sources_of
    from singlow.evaluation.likelihood import measure, table
    from singlow.models.flow import STEPS_OF_16_BIT
    from singlow.runs.data import open_windows

    measured = measure(opened.flow, *open_windows(opened.config, opened.flow))
    Console().print(table(measured, opened.run.name))
    source = " ".join(sources_of(opened.config["data"]["dataset"]))
    print(f"Epoch {opened.checkpoint.epoch} on the held-out clips of {source}.")
    nats = math.log(2) * (STEPS_OF_16_BIT - measured[""].flow)
    print(f"{nats:.3f} nat/dim: log p(x) / D of the waveform in +-1, as papers report it.")
    if opened.flow.conditions_on:
        call = f"python3 -m singlow evaluate {shlex.quote(opened.run.argument)} --conversion"
        print(f"Likelihoods say little of how a run converts; for that: {call}")


def _check_given(given: list[str], migration: bool, conversion: bool) -> None:
    if migration and conversion:
        raise UsageError("Expected --migration or --conversion. Received: both.")
    for name in given:
        wanted = "conversion" if name in _CONVERSION else "migration"
        right = conversion if name in _CONVERSION else migration
        if not (right or (name not in _MIGRATION and conversion)):
            raise UsageError(f"Expected --{wanted} with --{name}. Received: none.")
