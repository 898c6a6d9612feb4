"""Voice conversions told in a folder: figures, a page that plays them, a blind listening test."""

import html
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from singlow.evaluation import page
from singlow.evaluation.conversion_report import Report, Sample
from singlow.evaluation.listening import write_listening
from singlow.files import write_text

PAGE, LISTENING, FIGURES = "index.html", "listening.html", "report.json"


def write_conversions(
    report: Report, folder: Path, title: str, about: Sequence[str] = ()
) -> list[Path]:
    """Write `report.json`, `index.html` and `listening.html`; their paths.

    Args:
        report: what `evaluate_conversions` returned.
        folder: made where it does not exist.
        title: plain text.
        about: paragraphs of plain text.
    """
    texts = {
        PAGE: write_page(report, title, about),
        LISTENING: write_listening(report, title),
        FIGURES: json.dumps({"title": title, **report.as_dict()}, indent=1) + "\n",
    }
    for name, text in texts.items():
        write_text(folder / name, text)
    return [folder / name for name in texts]


def write_page(report: Report, title: str, about: Sequence[str] = ()) -> str:
    """The report as HTML, with all sounds and pictures inside.

    Args:
        report: what `evaluate_conversions` returned.
        title: plain text.
        about: paragraphs of plain text.
    """
    head = [system.name for system in report.columns]
    told = (
        f"{len(report.unconverted.conversions)} pairs of a clip and another speaker, from "
        f"{report.held_out} held-out clips of {len(report.speakers)} speakers; the classifier "
        f"learnt from {report.train} others. Chance is {report.chance:.1%}."
    )
    left = f"{report.left_out} clips too short or silent were left out." if report.left_out else ""
    parts = [
        f'<p><a href="{LISTENING}">Blind listening test</a></p>',
        page.table(("", *head), report.rows()),
        "<h2>Heard as the target, by target</h2>",
        page.table(("target", *head), report.speaker_rows("target")),
        "<h2>Heard as the target, by source</h2>",
        page.table(("source", *head), report.speaker_rows("source")),
    ]
    parts += [_sample(sample, report.sample_rate) for sample in report.samples]
    return page.document(title, [*about, told, *filter(None, (left, report.note))], parts)


def _sample(sample: Sample, sample_rate: int) -> str:
    source, reference = sample.source, sample.reference
    sounds = {
        f"source: {source.speaker}, {source.name}": source.audio,
        f"target: {reference.speaker}, {reference.name}": reference.audio,
        **{f"converted by {name}": audio for name, audio in sample.conversions.items()},
    }
    loudest = max(1.0, *(float(np.abs(audio).max()) for audio in sounds.values()))
    figures = (page.recording(s / loudest, sample_rate, name) for name, s in sounds.items())
    return f"<h2>{html.escape(f'{source.name} to {reference.speaker}')}</h2>{page.pair(figures)}"
