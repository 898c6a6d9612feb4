"""train.py trains Blow on the speakers of a dataset, resumes, evaluates and refuses mistakes."""

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
    result = train([*QUICK, "--epochs", "1", "--set", "plateau=1"], folder, whole=True)
    assert result.code == 0, result.err
    return folder, result


def test_the_run_has_the_speakers_of_its_data(voices):
    folder, result = voices
    config = json.loads((folder / "checkpoints" / "t" / "config.json").read_text())
    assert config["model"] == "blow"
    assert config["arguments"]["speakers"] == 2
    assert config["data"]["singers"] == ["ada", "bo"]
    assert config["training"]["augment"] is True
    assert "Held-out bits per sample" in result.out


def test_a_clip_is_decoded_for_other_speakers(voices):
    samples = voices[0] / "logs" / "t" / "samples"
    names = {path.stem.removeprefix("epoch-0001-") for path in samples.glob("*0001*.wav")}
    assert names == {"t0.7-1", "t0.7-2", "t0.7-3", "reconstruction", "to-1"}


def test_it_is_resumed_with_its_speakers(voices):
    result = train(["--run", "t", "--epochs", "2"], voices[0])
    assert result.code == 0, result.err
    assert "Going on with t after epoch 1" in result.out


def test_it_inverts_for_its_speakers(voices):
    result = singlow(["check", "t"], voices[0])
    assert result.code == 0, result.err
    assert "All within their limits." in result.out


def test_its_conversions_are_measured_and_played(voices):
    folder, _ = voices
    result = singlow(["evaluate", "t", "--conversion", "--pairs", "2", "--hop", "256"], folder)
    assert result.code == 0, result.err
    assert "recognized as the target" in result.out
    assert {path.name for path in (folder / "t-conversion").iterdir()} == {
        "index.html",
        "listening.html",
        "report.json",
    }
    report = json.loads((folder / "t-conversion" / "report.json").read_text())
    assert [column["name"] for column in report["columns"]][1:3] == ["whole", "hop 256"]
    output = singlow(["evaluate", "t"], folder).out
    patterns = r"│ all +│ +\d+ │ +([\d.]+)", r"(-?[\d.]+) nat/dim"
    bits, nats = (float(re.search(pattern, output)[1]) for pattern in patterns)
    assert nats == pytest.approx(math.log(2) * (15 - bits), abs=2e-3)
    assert output.endswith("python3 -m singlow evaluate t --conversion\n")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--conversion", "--hop", "100"], "--hop in 256"),
        (["--conversion", "--migration"], "Received: both"),
        (["--conversion", "--to", "bo"], "--migration with --to"),
        (["--pairs", "3"], "--conversion with --pairs"),
        (["--migration"], "without inputs"),
        (["--conversion", "--pairs", "0"], "--pairs of at least 1"),
    ],
)
def test_flags_that_do_not_fit_are_refused(voices, flags, message):
    result = singlow(["evaluate", "t", *flags], voices[0])
    assert result.code == 2
    assert message in result.err
    assert result.err.count("\n") == 1


def test_one_speaker_is_refused(tmp_path):
    write_songs(tmp_path / "songs")
    result = train([*QUICK, "--dataset", "songs/ada"], tmp_path)
    assert result.code == 3
    assert "at least two speakers" in result.err
    assert result.err.count("\n") == 1
    assert not (tmp_path / "checkpoints").exists()


def test_a_speaker_with_nothing_to_hold_out_is_refused(tmp_path):
    write_songs(tmp_path / "songs")
    soundfile.write(_only(tmp_path / "songs" / "bo"), coloured_noise(1, 0.004), 16000)
    result = train(QUICK, tmp_path)
    assert result.code == 3
    assert "Expected at least 8 samples of every speaker to hold out. Received: none of bo" in (
        result.err
    )
    assert result.err.count("\n") == 1
    assert not (tmp_path / "checkpoints").exists()


def _only(folder):
    """Remove all recordings of a folder and return the path of the first one."""
    paths = sorted(folder.iterdir())
    for path in paths:
        path.unlink()
    return paths[0]


def test_a_dry_run_needs_a_folder_and_no_recordings(tmp_path):
    result = train([*QUICK, "--dry_run"], tmp_path)
    assert result.code == 2
    assert "which does not exist" in result.err
    (tmp_path / "songs").mkdir()
    result = train([*QUICK, "--dry_run"], tmp_path)
    assert result.code == 0, result.err
    assert "Parameters" in result.out
