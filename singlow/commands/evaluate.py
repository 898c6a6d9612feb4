"""The verb `evaluate`: measure held-out likelihood, or the effects of migration or conversion."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import arg

from singlow.commands.places import Epoch, RunName, check_place, is_of_images
from singlow.errors import UsageError
from singlow.names import shown
from singlow.runs.opening import CHECKPOINTS, TrainedRun, open_run, require_input
from singlow.runs.run import find
from singlow.streams import escape
from singlow.voices.speakers import SPEAKER
from singlow.voices.vocode import MEL, TEMPERATURE

if TYPE_CHECKING:
    from singlow.evaluation.likelihood import Likelihood

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
    temperature: Annotated[float | None, arg(metavar="FLOAT")] = None,
    output: Annotated[Path | None, arg(aliases=["-o"], metavar="PATH")] = None,
) -> None:
    """Compare the held-out likelihood with codecs, or measure and show migrations or conversions.

    For a run with a mel, the distances of the synthesis to the recordings are measured too.

    Args:
        run: Name under checkpoints/, or a path.
        dataset: Folders of recordings, or builtin, to use in place of the run's own data.
        data_dir: Folder for the records of a folder of audio (beside it).
        epoch: Checkpoint to use.
        migration: Measure what migration moves, and write a page with players and spectrograms.
        source: With --migration: singer or style of the songs (virtual, on the built-in corpus).
        target: With --migration: singer or style that the songs take on (human, on the built-in
            corpus). For a run of images, --from and --to are classes (all).
        strength: With --migration: strength of the migrations that the page plays (1).
        method: With --migration: method, as for the verb migrate (transport).
        conversion: Measure voice conversions of held-out clips, and write a page that plays them
            and a blind listening test.
        pairs: With --conversion: number of pairs of a clip and another speaker (100).
        hop: With --conversion: hops of overlapping frames, in samples, to measure in addition to
            whole recordings.
        temperature: For a run with a mel: scale of the noise of the synthesis (0.8).
        output: With --migration: file of the page (RUN-migration.html). With --conversion: a folder
            (RUN-conversion).
    """
    options = {"from": source, "to": target, "strength": strength, "method": method}
    options |= {"pairs": pairs, "hop": hop or None, "output": output}
    received = [name for name, value in options.items() if value is not None]
    subject = _subject(received, migration, conversion)
    _check_output(run, subject, output)
    if strength is not None or pairs is not None:
        from singlow.latents.migrate import check_strength

        check_strength(1.0 if strength is None else strength)
        if pairs is not None and pairs < 1:
            raise UsageError(f"Expected --pairs of at least 1. Received: {pairs}.")

    from singlow.evaluation import conversion_report, pictures
    from singlow.evaluation import evaluate as library
    from singlow.evaluation.migration_report import tables
    from singlow.tables import print_tables

    opened = open_run(run, epoch)
    if temperature is not None:
        require_input(opened, MEL, "leave --temperature out")
        if not 0 <= temperature <= 100:
            raise UsageError(f"Expected --temperature from 0 to 100. Received: {temperature}.")
    place = output or library.default_output(opened.name, subject)
    report = library.evaluate(
        opened,
        subject,
        dataset=dataset,
        data_dir=data_dir,
        source=source,
        target=target,
        strength=1.0 if strength is None else strength,
        method=method or "transport",
        pairs=library.PAIRS if pairs is None else pairs,
        hops=hop,
        output=place,
    )
    if subject == "likelihood":
        _print_likelihood(opened, report, dataset)
        if MEL in opened.flow.inputs:
            _print_synthesis(opened, dataset, data_dir, temperature)
    elif subject == "migration":
        print_tables(*([pictures.table(report)] if is_of_images(run) else tables(report)))
        print(escape(str(place)))
    else:
        pairs = len(report.unconverted.conversions)
        title = f"{pairs} held-out conversions, chance {report.chance:.1%}"
        print_tables(conversion_report.table(report, title))
        if report.note:
            print(report.note)
        for name in (
            conversion_report.PAGE,
            conversion_report.LISTENING,
            conversion_report.FIGURES,
        ):
            print(escape(str(place / name)))


def _subject(received: Sequence[str], migration: bool, conversion: bool) -> str:
    """Return what to measure: "likelihood", "migration" or "conversion".

    Raises:
        UsageError: both flags are set, or a further flag belongs to a measurement not asked for.
    """
    if migration and conversion:
        raise UsageError("Expected --migration or --conversion. Received: both.")
    for name in received:
        wanted = "conversion" if name in _CONVERSION else "migration"
        right = conversion if name in _CONVERSION else migration
        if not (right or (name not in _MIGRATION and conversion)):
            raise UsageError(f"Expected --{wanted} with --{name}. Received: none.")
    return "migration" if migration else "conversion" if conversion else "likelihood"


def _check_output(run: str, subject: str, output: Path | None) -> None:
    """Refuse a place that cannot be written, before long work."""
    if subject == "likelihood":
        return
    from singlow.evaluation.evaluate import default_output

    place = output or default_output(find(run, CHECKPOINTS).name, subject)
    if subject == "migration" and place.suffix.lower() != ".html":
        raise UsageError(f"Expected -o with the suffix .html. Received: {place}.")
    check_place(place if subject == "migration" else place / "index.html")


def _print_synthesis(
    run: TrainedRun, dataset: Sequence[str], data_dir: Path | None, temperature: float | None
) -> None:
    from singlow.evaluation import evaluate as library
    from singlow.evaluation.synthesis import describe, table
    from singlow.tables import print_tables

    chosen = TEMPERATURE if temperature is None else temperature
    measured = library.evaluate(
        run, "synthesis", dataset=dataset, data_dir=data_dir, temperature=chosen
    )
    print_tables(table(measured))
    print(describe(measured))


def _print_likelihood(
    run: TrainedRun, measured: "Mapping[str, Likelihood]", dataset: Sequence[str]
) -> None:
    from singlow.data.sources.layouts import sources_of
    from singlow.evaluation.likelihood import NO_WAVPACK, WAVPACK, table
    from singlow.signals import Audio, Image
    from singlow.tables import print_tables

    everything, signal = measured[""], run.flow.signal
    print_tables(table(measured, run.name))
    if isinstance(signal, Audio) and WAVPACK not in everything.others:
        print(NO_WAVPACK)
    source = " ".join(sources_of(dataset or run.config["data"]["dataset"]))
    kind = "pictures" if isinstance(signal, Image) else "clips"
    print(f"Epoch {run.checkpoint.epoch} on the held-out {kind} of {shown(source)}.")
    nats = signal.log_prob(everything.flow.value)
    print(f"{nats:.3f} nat/dim: log p(x) / D, as papers report it.")
    if SPEAKER in run.flow.inputs and isinstance(signal, Audio):
        command = f"python3 -m singlow evaluate {shlex.quote(run.run.argument)} --conversion"
        print(f"Likelihood does not measure conversion. For that, run: {command}")
