"""Evaluate the likelihood, the migrations, the conversions or the synthesis of a trained run."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from singlow.errors import DataError, UsageError
from singlow.evaluation.conversion_report import ConversionReport
from singlow.evaluation.likelihood import Likelihood, measure
from singlow.evaluation.migration_report import MigrationReport
from singlow.evaluation.pictures import PictureReport, evaluate_pictures
from singlow.evaluation.synthesis import Synthesis, measure_synthesis
from singlow.latents.pictures import class_names, is_of_images
from singlow.names import shown
from singlow.runs.data import open_windows, prepare_data
from singlow.runs.opening import open_run, require_input, require_no_inputs
from singlow.runs.settings import absolute_sources
from singlow.voices.speakers import SPEAKER, speakers_of
from singlow.voices.vocode import MEL, TEMPERATURE

if TYPE_CHECKING:
    from singlow.runs.opening import TrainedRun

PathLike = str | os.PathLike
Subject = Literal["likelihood", "migration", "conversion", "synthesis"]
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
    temperature: float = TEMPERATURE,
    output: PathLike | None = None,
) -> dict[str, Likelihood] | MigrationReport | PictureReport | ConversionReport | Synthesis:
    """Evaluate a trained run on recordings or pictures that it was not trained on.

    Args:
        run: a trained run, its name under checkpoints/ or its path.
        subject: what to measure. "likelihood" measures the likelihood and compares it with
            lossless codecs. "migration" measures what a migration changes and what it preserves,
            and compares it with a baseline. "conversion" measures which speaker each conversion is
            recognized as. "synthesis" measures how far synthesis from mels is from the recordings,
            beside the Griffin-Lim algorithm.
        dataset: data to use in place of the run's own: a name in `NAMED`, or folders of
            recordings, pictures or records.
        data_dir: folder for the records of a folder of audio; beside that folder when None.
        source: for "migration", the singer or style of the original songs; "virtual" on the
            built-in corpus when None. For pictures, their class; every class when None.
        target: for "migration", the singer or style to move to; "human" on the built-in corpus
            when None. For pictures, a class; every other class when None.
        strength: for "migration", the strength of the migrations that are measured in full and
            that can be played on the page.
        method: for "migration", a name in `singlow.latents.methods.METHODS`.
        pairs: for "conversion", the largest number of conversions, each a pair of a clip and
            another speaker.
        hops: for "conversion", hops in samples: overlapping frames with each hop are measured as
            well as whole recordings.
        temperature: for "synthesis", the scale of the noise.
        output: for "migration", the page to write; for "conversion", the folder to write. See
            `default_output`.

    Returns:
        For "likelihood", a dictionary: `""` maps to the likelihood of all held-out clips, and the
        name of each singer to that of the singer's clips. Otherwise a report.

    Raises:
        UsageError: an argument is unknown or out of its range, or the run cannot be evaluated for
            this subject.
        DataError: recordings are missing, damaged or too few.

    Example:
        >>> import singlow
        >>> singlow.evaluate("mine")[""].flow.value  # doctest: +SKIP
    """
    if subject not in get_args(Subject):
        raise UsageError(f"Expected {', '.join(get_args(Subject))}. Received: {subject}.")
    if pairs < 1:
        raise UsageError(f"Expected pairs of at least 1. Received: {pairs}.")
    opened = open_run(run)
    images = is_of_images(opened)
    if images and subject == "conversion":
        raise UsageError(
            f"Expected migration for a run of images, {opened.name}. Received: conversion."
        )
    if subject == "migration" and not images:
        require_no_inputs(opened, "use --conversion")
    elif subject == "conversion":
        require_input(opened, SPEAKER, "use --migration")
    elif subject == "synthesis":
        require_input(opened, MEL, "use the likelihood")
    config = opened.config
    if dataset:
        config = {**config, "data": {"dataset": absolute_sources(dataset)}}
    config = prepare_data(config, data_dir, signal=opened.flow.signal)
    names, kind = None, "recordings of the run's speakers"
    if SPEAKER in opened.flow.inputs:
        names = speakers_of(opened).trained
    elif images and class_names(opened):
        names, kind = class_names(opened), "pictures of the run's classes"
    if names is not None and config["data"]["singers"] != names:
        raise DataError(
            f"Expected {kind}, {', '.join(map(shown, names))}. Received: "
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
        if images:
            return evaluate_pictures(opened, config, source, target, strength, place, data_dir)
        return evaluate_migration(opened, config, source, target, strength, method, place)
    if subject == "synthesis":
        return measure_synthesis(opened, open_windows(config, opened.flow)[1], temperature)
    return measure(opened.flow, *open_windows(config, opened.flow))


def default_output(name: str, subject: str) -> Path:
    """Return the page or folder that an evaluation of the run `name` writes by default."""
    return Path(f"{name}-conversion") if subject == "conversion" else Path(f"{name}-migration.html")
