"""What `evaluate` does with voices: conversions measured, and pages that play them."""

import functools
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from singlow.errors import DataError
from singlow.runs.opening import Opened

LEARNT = 200  # training clips of a speaker that the classifier learns from


def evaluate_conversion(opened: Opened, pairs: int, hops: Sequence[int], output: Path) -> None:
    """Convert held-out clips to other speakers, measure it, write figures and pages.

    Args:
        opened: the run, its data prepared.
        pairs: of a clip and a target.
        hops: overlaps to measure beside whole recordings, in samples; clips shorter than a window
            are left out then.
        output: a folder.

    Raises:
        UsageError: a hop does not fit the run's window.
        DataError: the recordings are not of the run's speakers.
    """
    from rich.console import Console

    from singlow.data.sources.layouts import sources_of
    from singlow.evaluation.conversion import evaluate_conversions
    from singlow.evaluation.conversion_page import write_conversions
    from singlow.evaluation.conversion_report import table
    from singlow.progress import progress
    from singlow.runs.data import window_length
    from singlow.voices.speakers import speakers_of

    window = window_length(opened.config, opened.flow)
    systems = _systems(opened, speakers_of(opened), window, hops)
    held_out = _utterances(opened, "validation", window if hops else opened.flow.multiple)
    train = _utterances(opened, "train", opened.flow.multiple)
    with progress("Converting", 1 + len(systems)) as converted:
        report = evaluate_conversions(
            systems,
            held_out,
            train,
            opened.flow.sample_rate,
            pairs,
            opened.config["training"]["seed"],
            done=converted,
        )
    run, epoch = opened.run.name, opened.checkpoint.epoch
    sources = " ".join(sources_of(opened.config["data"]["dataset"]))
    about = [f"Run {run}, epoch {epoch}; clips of {sources}."]
    written = write_conversions(report, output, f"Voices of {run}", about)
    console = Console(soft_wrap=not sys.stdout.isatty())
    console.print(table(report, f"{pairs} held-out conversions, chance {report.chance:.1%}"))
    if report.note:
        print(report.note)
    print(*written, sep="\n")


def _systems(
    opened: Opened, speakers: Any, window: int, hops: Sequence[int]
) -> dict[str, Callable[..., Any]]:
    from singlow.voices.hop import check_hop

    frames = {f"hop {hop}": (window, check_hop(hop, window)) for hop in hops}
    ways = {"whole": None, **frames}
    level = opened.run.config["data"].get("level")
    return {
        name: functools.partial(_converted, opened.coder, speakers, level, way)
        for name, way in ways.items()
    }


def _converted(
    flow: Any,
    speakers: Any,
    level: float | None,
    frames: tuple[int, int] | None,
    clips: list[np.ndarray],
    sources: list[str],
    targets: list[str],
) -> list[np.ndarray]:
    from singlow.voices.convert import convert_recording

    made, burst = [], 0
    for audio, source, target in zip(clips, sources, targets, strict=True):
        given = flow, audio[:, None], flow.sample_rate, speakers[source], [speakers[target]]
        (voice,) = convert_recording(*given, level, frames)
        made.append(voice.audio[:, 0])
        burst += voice.burst > 0
    if burst:
        print(
            f"{burst} of {len(made)} conversions were beyond full scale in places, and cut there."
        )
    return made


def _utterances(opened: Opened, split: str, least: int) -> list[Any]:
    """Clips of at least so many samples; of every speaker at most `LEARNT`, spread over all."""
    from singlow.audio import dequantize
    from singlow.data.store.clips import Clips
    from singlow.data.store.dataset import read_info
    from singlow.evaluation.conversion_report import Utterance
    from singlow.evaluation.originals import evenly

    data = opened.config["data"]
    directory = Path(data["directory"])
    clips = Clips(directory, read_info(directory), split, least)
    found = []
    for number, speaker in enumerate(data["singers"]):
        own = [k for k, entry in enumerate(clips.entries) if entry.singer == number]
        if not own:
            raise DataError(
                f"{directory}: Expected {split} clips of {speaker}, of at least {least} samples. "
                "Received: none."
            )
        for k in evenly(own, LEARNT):
            entry = clips.entries[k]
            audio = dequantize(clips.samples(k, 0, entry.frames))[:, 0]
            found.append(Utterance(entry.id, speaker, audio))
    return found
