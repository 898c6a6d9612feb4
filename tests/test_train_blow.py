"""train.py with voices: who speaks, what is refused, and going on."""

import json
import math
import re

import pytest
import soundfile

from tests.songs import TINY_BLOW, coloured_noise, singlow, train, write_songs

QUICK = [
    *(*TINY_BLOW, "--dataset", "songs", "--run", "t"),
    *("--batch_size", "2", "--steps_per_epoch", "2"),
]


@pytest.fixture(scope="module")
def voices(tmp_path_factory):
    folder = tmp_path_factory.mktemp("voices")
    write_songs(folder / "songs")
    said = train([*QUICK, "--epochs", "1", "--set", "plateau=1"], folder)
    assert said.code == 0, said.err
    return folder, said


def test_the_run_knows_its_speakers(voices):
    folder, said = voices
    config = json.loads((folder / "checkpoints" / "t" / "config.json").read_text())
    assert config["model"] == "blow"
    assert config["arguments"]["speakers"] == 2
    assert config["data"]["singers"] == ["ada", "bo"]
    assert config["training"]["augment"] is True
    assert "Held-out bits per sample" in said.out


def test_a_clip_is_heard_as_others(voices):
    samples = voices[0] / "logs" / "t" / "samples"
    names = {path.stem.removeprefix("epoch-0001-") for path in samples.glob("*0001*.wav")}
    assert names == {"t0.7-1", "t0.7-2", "t0.7-3", "reconstruction", "to-1"}


def test_it_goes_on_with_its_speakers(voices):
    said = train(["--run", "t", "--epochs", "2"], voices[0])
    assert said.code == 0, said.err
    assert "Going on with t after epoch 1" in said.out


def test_it_inverts_for_its_speakers(voices):
    said = singlow(["check", "t"], voices[0])
    assert said.code == 0, said.err
    assert "All within their limits." in said.out


def test_its_conversions_are_measured_and_played(voices):
    folder, _ = voices
    said = singlow(["evaluate", "t", "--conversion", "--pairs", "2", "--hop", "256"], folder)
    assert said.code == 0, said.err
    assert "heard as the target" in said.out
    assert {path.name for path in (folder / "t-conversion").iterdir()} == {
        "index.html",
        "listening.html",
        "report.json",
    }
    report = json.loads((folder / "t-conversion" / "report.json").read_text())
    assert [column["name"] for column in report["columns"]][1:3] == ["whole", "hop 256"]
    told = singlow(["evaluate", "t"], folder).out
    patterns = r"│ all +│ +\d+ │ +([\d.]+)", r"(-?[\d.]+) nat/dim"
    bits, nats = (float(re.search(pattern, told)[1]) for pattern in patterns)
    assert nats == pytest.approx(math.log(2) * (15 - bits), abs=2e-3)
    assert told.endswith("python3 -m singlow evaluate t --conversion\n")


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--conversion", "--hop", "100"], "--hop in 256"),
        (["--conversion", "--migration"], "Received: both"),
        (["--conversion", "--to", "bo"], "--migration with --to"),
        (["--pairs", "3"], "--conversion with --pairs"),
        (["--migration"], "not told who speaks"),
        (["--conversion", "--pairs", "0"], "--pairs of at least 1"),
    ],
)
def test_what_is_not_to_be_evaluated_is_said(voices, flags, told):
    said = singlow(["evaluate", "t", *flags], voices[0])
    assert said.code == 2
    assert told in said.err
    assert said.err.count("\n") == 1


def test_one_speaker_is_refused(tmp_path):
    write_songs(tmp_path / "songs")
    said = train([*QUICK, "--dataset", "songs/ada"], tmp_path)
    assert said.code == 3
    assert "at least two speakers" in said.err
    assert said.err.count("\n") == 1
    assert not (tmp_path / "checkpoints").exists()


def test_a_speaker_with_nothing_to_hold_out_is_refused(tmp_path):
    write_songs(tmp_path / "songs")
    soundfile.write(_only(tmp_path / "songs" / "bo"), coloured_noise(1, 0.004), 16000)
    said = train(QUICK, tmp_path)
    assert said.code == 3
    assert "Expected at least 8 samples of every speaker to hold out. Received: none of bo" in (
        said.err
    )
    assert said.err.count("\n") == 1
    assert not (tmp_path / "checkpoints").exists()


def _only(folder):
    """The place of a folder's first recording, all of them taken away."""
    paths = sorted(folder.iterdir())
    for path in paths:
        path.unlink()
    return paths[0]


def test_a_dry_run_needs_no_speakers(tmp_path):
    said = train([*QUICK, "--dry_run"], tmp_path)
    assert said.code == 0, said.err
    assert "Parameters" in said.out
