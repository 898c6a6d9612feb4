"""A blind listening test on one page: hidden order, votes that the page saves as a file.

Of every sound is asked whether it is the target's voice, of two which is more natural. The source
as it was and a real recording of the target are among the sounds, unnamed: without them no share of
votes means much. No server is needed, and nothing is sent.
"""

import html
import itertools
import json
from collections.abc import Sequence

import numpy as np

from singlow.audio import normalize
from singlow.evaluation import page
from singlow.evaluation.conversion_report import REAL, UNCONVERTED, Report, Sample

FORMAT = "singlow-votes-1"
_LEVEL, _PEAK = -26.0, -1.0  # dBFS: all sounds are heard at one loudness
_ASKED = (
    "Each part plays a real recording of a voice, then some sounds, A, B, and so on, that may or "
    "may not be that voice. Answer what you can; save the votes at the end and send the file to "
    "whoever asked you. Nothing leaves this page by itself."
)
_SCRIPT = """
const test = JSON.parse(document.getElementById("test").textContent);
const form = document.querySelector("form");
let unsaved = false;
function votesOf(given) {
  const votes = [];
  test.trials.forEach((trial, t) => {
    trial.sounds.forEach((system, s) => {
      const answer = given.get(`voice-${t}-${s}`);
      if (answer !== null) {
        votes.push({question: "voice", pair: trial.pair, system, yes: answer === "yes"});
      }
    });
    const chosen = given.get(`natural-${t}`);
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
  const given = new FormData(form);
  const votes = votesOf(given);
  const told = {format: test.format, title: test.title, listener: given.get("listener"), votes};
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([JSON.stringify(told, null, 1)]));
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


def write_listening(report: Report, title: str) -> str:
    """The test as HTML, with all its sounds inside; its order follows the report's seed.

    Args:
        report: what `evaluate_conversions` returned; its samples are what is asked about.
        title: plain text.
    """
    rng = np.random.default_rng(report.seed)
    names = [system.name for system in report.systems]
    rivals = list(itertools.combinations(names if len(names) > 1 else [*names, UNCONVERTED], 2))
    trials, parts = [], []
    for number, sample in enumerate(report.samples):
        order = [str(name) for name in rng.permutation([*names, UNCONVERTED, REAL])]
        compared = sorted(order.index(name) for name in rivals[number % len(rivals)])
        pair = f"{sample.source.name} to {sample.reference.speaker}"
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
    sample: Sample, order: Sequence[str], compared: Sequence[int], number: int, report: Report
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
    heard = audio[: round(page.LONGEST * sample_rate), None]
    return page.player(normalize(heard, _LEVEL, _PEAK)[:, 0], sample_rate)


def _choice(name: str, answers: dict[str, str]) -> str:
    return " ".join(
        f'<label><input type="radio" name="{name}" value="{value}"> {html.escape(text)}</label>'
        for value, text in answers.items()
    )
