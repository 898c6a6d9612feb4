"""Evaluation of a trained run: likelihood, migration or conversion."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from singlow.errors import DataError, UsageError
from singlow.evaluation.conversion_report import ConversionReport
from singlow.evaluation.likelihood import Likelihood, measure
from singlow.evaluation.migration_report import MigrationReport
from singlow.names import shown
from singlow.runs.data import open_windows, prepare_data
from singlow.runs.opening import open_run, require_input, require_no_inputs
from singlow.runs.settings import absolute_sources
from singlow.voices.speakers import SPEAKER, speakers_of

if TYPE_CHECKING:
    from singlow.runs.opening import TrainedRun

PathLike = str | os.PathLike
Subject = Literal["likelihood", "migration", "conversion"]
PAIRS = 100


def evaluate(
    run: "TrainedRun | PathLike",
    subject: Subject = "likelihood",
    *,
    dataset: str | Sequence[str] | None = None,
    data_dir: PathLike | None = None,
    source: str | None = None,
    target: str | None = None,
    strength: float = 1.0,
    method: str = "transport",
    pairs: int = PAIRS,
    hops: Sequence[int] = (),
    output: PathLike | None = None,
) -> dict[str, Likelihood] | MigrationReport | ConversionReport:
    """Evaluate a trained run on recordings that it was not trained on.

    Args:
        run: a trained run, its name under checkpoints/ or its path.
        subject: what to measure: "likelihood", beside lossless codecs; "migration", what it moves
            and what it keeps, beside a baseline; or "conversion", which speakers conversions are
            recognized as.
        dataset: other data than the run's own: "builtin", or folders of audio or records.
        data_dir: where records of a folder of audio are kept; beside it when None.
        source: of a migration, the singer or style of the songs; "virtual" when None, on the
            built-in corpus.
        target: of a migration, the singer or style that they become; "human" when None, on the
            built-in corpus.
        strength: of a migration, of what is measured in full and played.
        method: of a migration, a name in `singlow.latents.methods.METHODS`.
        pairs: of conversions, the largest number of pairs of a clip and another speaker.
        hops: of conversions, hops of overlapping frames to measure beside whole recordings.
        output: of a migration, the page; of conversions, a folder. See `default_output`.

    Returns:
        The likelihood of all held-out clips under `""` and of each singer by name, or a report.

    Raises:
        UsageError: an argument is unknown or out of its range, or the run is of another kind.
        DataError: recordings are missing, damaged or too few.

    Example:
        >>> import singlow
        >>> singlow.evaluate("mine")[""].flow.value  # doctest: +SKIP
    """
    if subject not in ("likelihood", "migration", "conversion"):
        raise UsageError(f"Expected likelihood, migration or conversion. Received: {subject}.")
    if pairs < 1:
        raise UsageError(f"Expected pairs of at least 1. Received: {pairs}.")
    opened = open_run(run)
    if subject == "migration":
        require_no_inputs(opened, "use --conversion")
    elif subject == "conversion":
        require_input(opened, SPEAKER, "use --migration")
    config = opened.config
    if dataset:
        config = {**config, "data": {"dataset": absolute_sources(dataset)}}
    config = prepare_data(config, data_dir, signal=opened.flow.signal)
    names = speakers_of(opened).trained if SPEAKER in opened.flow.inputs else None
    if names is not None and config["data"]["singers"] != names:
        raise DataError(
            f"Expected recordings of the run's speakers, {', '.join(map(shown, names))}. Received: "
            f"those of {', '.join(map(shown, config['data']['singers']))[:200]}."
        )
    place = Path(output) if output is not None else default_output(opened.name, subject)
    if subject == "conversion":
        from singlow.evaluation.conversion import evaluate_run_conversions

        return evaluate_run_conversions(opened, config, pairs, hops, place)
    if subject == "migration":
        from singlow.evaluation.migration import evaluate_migration
        from singlow.latents.migrate import check_strength

        check_strength(strength)
        return evaluate_migration(opened, config, source, target, strength, method, place)
    return measure(opened.flow, *open_windows(config, opened.flow))


def default_output(name: str, subject: str) -> Path:
    """The page or folder that an evaluation writes for the run of this name."""
    return Path(f"{name}-conversion") if subject == "conversion" else Path(f"{name}-migration.html")
