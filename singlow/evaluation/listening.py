"""A blind listening test on one page, and the count of the votes that the page saves.

The page asks for every sound whether it is the target's voice, and which of two sounds is more
natural. The unconverted source and a real recording of the target are among the sounds, without
their names, because a share of votes can only be judged by comparison with theirs. The page needs
no server and sends nothing.
"""

import html
import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from singlow.audio import normalize
from singlow.errors import DataError
from singlow.evaluation import page
from singlow.evaluation.conversion_report import REAL, UNCONVERTED, ConversionReport, Sample
from singlow.evaluation.figures import share_estimate
from singlow.names import shown
from singlow.tables import table as text_table

if TYPE_CHECKING:
    from rich.table import Table

FORMAT = "singlow-votes-1"
_LOUDNESS, _PEAK = -26.0, -1.0  # loudness and largest peak of all sounds in dBFS
_LARGEST = 1 << 24  # largest size of a file with votes in bytes
_ASKED = (
    "Each part plays a real recording of a voice, then some sounds, A, B, and so on, that may or "
    "may not be that voice. Answer what you can, save the votes at the end, and send the file to "
    "the person who gave you this page. The page sends nothing."
)
_SCRIPT = """
const test = JSON.parse(document.getElementById("test").textContent);
const form = document.querySelector("form");
let unsaved = false;
function votesOf(answers) {
  const votes = [];
  test.trials.forEach((trial, t) => {
    trial.sounds.forEach((system, s) => {
      const answer = answers.get(`voice-${t}-${s}`);
      if (answer !== null) {
        votes.push({question: "voice", pair: trial.pair, system, yes: answer === "yes"});
      }
    });
    const chosen = answers.get(`natural-${t}`);
    if (chosen !== null) {
      const other = trial.compared.find(s => s !== Number(chosen));
      votes.push({
        question: "natural", pair: trial.pair, system: trial.sounds[chosen],
        over: trial.sounds[other],
      });
    }
  });
  return votes;
}
form.addEventListener("submit", event => {
  event.preventDefault();
  const answers = new FormData(form);
  const votes = votesOf(answers);
  const listener = answers.get("listener");
  const content = {format: test.format, title: test.title, listener, votes};
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([JSON.stringify(content, null, 1)]));
  link.download = "votes.json";
  link.click();
  unsaved = false;
  document.querySelector("output").textContent = `${votes.length} of ${test.questions} answered.`;
});
form.addEventListener("change", () => { unsaved = true; });
addEventListener("beforeunload", event => { if (unsaved) event.preventDefault(); });
document.addEventListener("play", event => {
  document.querySelectorAll("audio").forEach(a => { if (a !== event.target) a.pause(); });
}, true);
"""


def write_listening(report: ConversionReport, title: str) -> str:
    """Return the test as HTML that embeds its sounds, in an order that the report's seed sets.

    Args:
        report: the report whose samples are played.
        title: title of the page, plain text.
    """
    rng = np.random.default_rng(report.seed)
    names = [system.name for system in report.systems]
    rivals = list(itertools.combinations(names if len(names) > 1 else [*names, UNCONVERTED], 2))
    trials, parts = [], []
    for number, sample in enumerate(report.samples):
        order = [str(name) for name in rng.permutation([*names, UNCONVERTED, REAL])]
        compared = sorted(order.index(name) for name in rivals[number % len(rivals)])
        pair = f"{shown(sample.source.name)} to {shown(sample.reference.speaker)}"
        trials.append({"pair": pair, "sounds": order, "compared": compared})
        parts.append(_trial(sample, order, compared, number, report))
    questions = sum(len(trial["sounds"]) + 1 for trial in trials)
    test = {"format": FORMAT, "title": title, "questions": questions, "trials": trials}
    data = json.dumps(test).replace("<", "\\u003c")
    end = (
        '<h2>Votes</h2><p><label>Your name, if you like: <input name="listener"></label></p>'
        "<p><button>Save the votes</button> <output></output></p>"
    )
    body = [
        f"<form>{''.join(parts)}{end}</form>",
        f'<script type="application/json" id="test">{data}</script><script>{_SCRIPT}</script>',
    ]
    return page.document(f"Listening test: {title}", [_ASKED], body)


def _trial(
    sample: Sample,
    order: Sequence[str],
    compared: Sequence[int],
    number: int,
    report: ConversionReport,
) -> str:
    sounds = {UNCONVERTED: sample.source.audio, REAL: sample.other.audio, **sample.conversions}
    letters = [chr(ord("A") + k) for k in range(len(order))]
    figures = [f"<p>The voice</p>{_player(sample.reference.audio, report.sample_rate)}"]
    for k, (letter, name) in enumerate(zip(letters, order, strict=True)):
        asked = _choice(f"voice-{number}-{k}", {"yes": "yes", "no": "no"})
        player = _player(sounds[name], report.sample_rate)
        figures.append(f"<p>{letter}</p>{player}<p>Is {letter} this voice? {asked}</p>")
    which = _choice(f"natural-{number}", {str(k): letters[k] for k in compared})
    return (
        f"<h2>{number + 1} of {len(report.samples)}</h2>{page.pair(figures)}"
        f"<p>Which sounds more natural? {which}</p>"
    )


def _player(audio: np.ndarray, sample_rate: int) -> str:
    played = audio[: round(page.LONGEST * sample_rate), None]
    return page.player(normalize(played, _LOUDNESS, _PEAK)[:, 0], sample_rate)


def _choice(name: str, answers: dict[str, str]) -> str:
    return " ".join(
        f'<label><input type="radio" name="{name}" value="{value}"> {html.escape(text)}</label>'
        for value, text in answers.items()
    )


@dataclass
class Votes:
    """The votes on one system.

    Attributes:
        asked: number of answers to whether a sound of the system is the target's voice.
        yes: number of these answers that are yes.
        compared: number of answers to whether this system or another one is more natural.
        chosen: number of these answers that chose this system.
    """

    asked: int = 0
    yes: int = 0
    compared: int = 0
    chosen: int = 0


def count_votes(paths: Sequence[Path]) -> dict[str, Votes]:
    """Count the votes in files that pages of `write_listening` saved, by system.

    Raises:
        DataError: a file cannot be read, or does not hold votes.
    """
    totals: dict[str, Votes] = {}
    for path in paths:
        for vote in _read(path):
            system = totals.setdefault(vote["system"], Votes())
            if vote["question"] == "voice":
                system.asked += 1
                system.yes += vote["yes"]
            else:
                system.compared += 1
                system.chosen += 1
                totals.setdefault(vote["over"], Votes()).compared += 1
    return totals


def votes_table(totals: dict[str, Votes]) -> "Table":
    """Return the votes as a table with 95 % intervals."""
    rows = [
        (name, _part(votes.yes, votes.asked), _part(votes.chosen, votes.compared))
        for name, votes in sorted(totals.items())
    ]
    caption = "In brackets: the share and its 95 % interval (Wilson)."
    return text_table("Votes", ("", "the target's voice", "more natural"), rows, caption)


def _part(count: int, whole: int) -> str:
    if not whole:
        return ""
    share = share_estimate(count, whole)
    return f"{count} of {whole} ({share.value:.0%}, {share.low:.0%} to {share.high:.0%})"


def _read(path: Path) -> list[dict[str, Any]]:
    """Read the votes in a file.

    Raises:
        DataError: the file cannot be read, or does not hold votes.
    """
    try:
        if path.stat().st_size > _LARGEST:
            raise ValueError("the file is too large")
        content = json.loads(path.read_text("utf-8"))
        votes = content["votes"]
        sound = (
            content["format"] == FORMAT and isinstance(votes, list) and all(map(_is_vote, votes))
        )
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}.") from None
    except (ValueError, KeyError, TypeError, RecursionError):
        sound = False
    if not sound:
        raise DataError(
            f"{path}: Expected votes saved by a listening page. Received: another file."
        )
    return votes


def _is_vote(vote: Any) -> bool:
    if not isinstance(vote, dict) or not _is_name(vote.get("system")):
        return False
    if vote.get("question") == "voice":
        return isinstance(vote.get("yes"), bool)
    return vote.get("question") == "natural" and _is_name(vote.get("over"))


def _is_name(name: Any) -> bool:
    return isinstance(name, str) and name.isprintable()
