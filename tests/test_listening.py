"""Test the listening test: its page, the votes that its script saves, and how they are counted."""

import json
import re
import shutil
import subprocess

import pytest

from singlow.errors import DataError
from singlow.evaluation.conversion_report import (
    REAL,
    UNCONVERTED,
    ConversionReport,
    Sample,
    System,
)
from singlow.evaluation.listening import Votes, count_votes, write_listening
from tests.pages import Page
from tests.songs import singlow
from tests.voices import RATE, utterances

HOPS = ["hop 512", "</script><b>whole"]


def report_of(names=HOPS, seed=0):
    clips = utterances(2)
    samples = [
        Sample(clips[0], clips[k], clips[k + 1], dict.fromkeys(names, clips[k].audio))
        for k in (2, 4)
    ]
    systems = [System(name, []) for name in names]
    real, unconverted = System(REAL, []), System(UNCONVERTED, [])
    speakers = ("<ada>", "bo", "cy")
    return ConversionReport(RATE, seed, speakers, 9, 6, 0, unconverted, systems, real, samples)


def test_of(text):
    match = re.search(r'<script type="application/json" id="test">(.*?)</script>', text)
    return json.loads(match[1])


test_of.__test__ = False


def test_the_page_asks_blindly():
    text = write_listening(report_of(), "<b> & c")
    page = Page(text)
    test = test_of(text)
    assert len(page.sources) == 2 * 5
    assert all(source.startswith("data:audio/wav;base64,") for source in page.sources)
    assert not re.search(r"https?://|@import", text)
    assert not {"b", "ada", "img"} & page.seen
    assert set(page.names) == {
        "listener", "natural-0", "natural-1", *(f"voice-{t}-{s}" for t in (0, 1) for s in range(4))
    }  # fmt: skip
    shown = text.partition("<script")[0]
    assert not any(name in shown for name in (*HOPS, UNCONVERTED, REAL, "whole"))
    for trial in test["trials"]:
        assert sorted(trial["sounds"]) == sorted([*HOPS, UNCONVERTED, REAL])
        assert sorted(trial["sounds"][k] for k in trial["compared"]) == sorted(HOPS)
    assert test["questions"] == 10


def test_the_order_follows_the_seed():
    orders = [
        [trial["sounds"] for trial in test_of(write_listening(report_of(seed=seed), ""))["trials"]]
        for seed in (0, 0, 1, 2)
    ]
    assert orders[0] == orders[1]
    assert not orders[0] == orders[2] == orders[3]


def test_one_system_is_compared_with_the_source():
    trial = test_of(write_listening(report_of(HOPS[:1]), ""))["trials"][0]
    assert {trial["sounds"][k] for k in trial["compared"]} == {HOPS[0], UNCONVERTED}


_BROWSER = """
const fs = require("fs");
const [page, answers] = fs.readFileSync(0, "utf-8").split("\\0");
const scripts = [...page.matchAll(/<script([^>]*)>([^]*?)<\\/script>/g)];
const listeners = {}, links = [];
let saved;
const form = {addEventListener: (name, f) => { listeners[name] = f; }};
const output = {};
globalThis.document = {
  getElementById: () => ({textContent: scripts[0][2]}),
  querySelector: tag => tag === "form" ? form : output,
  querySelectorAll: () => [],
  createElement: () => ({click() { links.push(this.download); }}),
  addEventListener() {},
};
globalThis.addEventListener = () => {};
const values = JSON.parse(answers);
globalThis.FormData = class { get(name) { return values[name] ?? null; } };
URL.createObjectURL = blob => { saved = blob; return "blob:"; };
eval(scripts[1][2]);
listeners.submit({preventDefault() {}});
saved.text().then(text => console.log(JSON.stringify([links, output.textContent, text])));
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_the_script_saves_the_answers(tmp_path):
    text = write_listening(report_of(), "hops")
    first, second = test_of(text)["trials"]
    chosen, other = second["compared"]
    answers = {"listener": "é", "natural-1": str(chosen), "voice-0-1": "no", "voice-1-2": "yes"}
    done = subprocess.run(
        ["node", "-e", _BROWSER], input=f"{text}\0{json.dumps(answers)}",
        capture_output=True, encoding="utf-8", timeout=30,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    links, status, votes = json.loads(done.stdout)
    assert links == ["votes.json"]
    assert status == "3 of 10 answered."
    assert json.loads(votes)["listener"] == "é"
    (tmp_path / "votes.json").write_text(votes, "utf-8")
    totals = count_votes([tmp_path / "votes.json"])
    wanted = {}
    for name, key in (
        (first["sounds"][1], "asked"),
        (second["sounds"][2], "asked"),
        (second["sounds"][2], "yes"),
        (second["sounds"][chosen], "compared"),
        (second["sounds"][chosen], "chosen"),
        (second["sounds"][other], "compared"),
    ):
        counted = wanted.setdefault(name, Votes())
        setattr(counted, key, getattr(counted, key) + 1)
    assert totals == wanted


def write_votes(path, *votes):
    path.write_text(json.dumps({"format": "singlow-votes-1", "votes": votes}), "utf-8")
    return path


def test_votes_are_counted_by_system(tmp_path):
    natural = {"question": "natural", "pair": "p", "system": "a[/]", "over": "b"}
    voice = {"question": "voice", "pair": "p", "system": "a[/]", "yes": True}
    one = write_votes(tmp_path / "1.json", natural, voice, {**voice, "yes": False})
    two = write_votes(tmp_path / "2.json", {**natural, "system": "b", "over": "a[/]"}, voice)
    totals = count_votes([one, two])
    assert totals == {"a[/]": Votes(3, 2, 2, 1), "b": Votes(0, 0, 2, 1)}
    outcome = singlow(["votes", ".", "2.json"], tmp_path)
    assert outcome.code == 0, outcome.err
    assert "a[/]" in outcome.out
    assert "2 of 3 (67%, 21% to 94%)" in outcome.out
    assert "1 of 2 (50%, 9% to 91%)" in outcome.out


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "{}", "7", "[" * 100000, '{"format": "singlow-votes-1", "votes": 3}',
        '{"format": "singlow-votes-1", "votes": [{"question": "voice", "system": "a"}]}',
        '{"format": "singlow-votes-1", "votes": [{"question": "natural", "system": "a"}]}',
        '{"format": "singlow-votes-1", "votes": [{"question": "voice", "yes": true}]}',
        '{"format": "singlow-votes-1", "votes": '
        '[{"question": "voice", "system": "\\u001b", "yes": true}]}',
        '{"format": "other", "votes": []}', '{"format": "singlow-votes-1", "votes": {}}',
    ],
)  # fmt: skip
def test_other_files_are_refused(tmp_path, text):
    (tmp_path / "v.json").write_text(text)
    with pytest.raises(DataError, match="saved by a listening page"):
        count_votes([tmp_path / "v.json"])


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["votes"], 2, "Received: none"),
        (["votes", "missing.json"], 2, "missing.json"),
        (["votes", "empty.json"], 3, "Expected votes. Received: 1 file(s) without one."),
    ],
)
def test_mistakes_are_one_line(tmp_path, arguments, code, words):
    write_votes(tmp_path / "empty.json")
    outcome = singlow(arguments, tmp_path)
    assert (outcome.code, len(outcome.err.strip().splitlines())) == (code, 1)
    assert words in outcome.err
