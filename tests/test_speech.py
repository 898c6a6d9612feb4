"""A run of Glow-TTS trains on recordings with texts, speaks, aligns, and goes on exactly."""

import csv
import json

import numpy as np
import pytest
import soundfile

import singlow
from singlow.errors import DataError, UsageError
from singlow.models import GlowTTS
from singlow.voices.speak import Narrator
from tests.conftest import BACKEND
from tests.songs import coloured_noise
from tests.songs import singlow as command

pytestmark = pytest.mark.skipif(BACKEND != "tensorflow", reason="training here is TensorFlow's")
TEXTS = ["hello", "he's here.", "a lion, a mole", "no one", "on and on", "seal"]
WIDTH = {"hidden_channels_enc": 8, "hidden_channels_dec": 8, "out_channels": 16, "n_fft": 512}
WIDTH |= {"use_speaker_embedding": True}
STEPS = {"steps_per_epoch": 3, "window_size": 1.5, "batch_size": 2}


def write_corpus(folder) -> None:
    """Write recordings of two singers with their texts in a manifest, two of which are unusable."""
    folder.mkdir()
    rows = [("path", "singer", "text")]
    for number in range(18):
        path = folder / f"{number:02d}.wav"
        soundfile.write(path, coloured_noise(number, 0.4 + 0.03 * number), 16000)
        rows.append((path.name, ("ada", "bob")[number % 2], TEXTS[number % len(TEXTS)]))
    for name, text in (("crowded", "so many letters, so little time " * 3), ("odd", "\u2603 snow")):
        soundfile.write(folder / f"{name}.wav", coloured_noise(1, 0.5), 16000)
        rows.append((f"{name}.wav", "ada", text))
    with open(folder / "manifest.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)


def train(folder, run: str, epochs: int, logs: str = "logs"):
    places = {"checkpoints": folder / "checkpoints", "logs": folder / logs}
    settings = {"preset": "glow_tts_tiny", "arguments": WIDTH, **STEPS, **places}
    return singlow.train(dataset=folder / "songs", run=run, epochs=epochs, **settings)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a corpus and the run `r`, and what the training printed."""
    folder = tmp_path_factory.mktemp("speech")
    write_corpus(folder / "songs")
    train(folder, "r", 1)
    return folder


@pytest.fixture(scope="module")
def run(place):
    return singlow.open_run("r", checkpoints=place / "checkpoints")


def test_it_is_trained_with_the_speakers_of_the_data(place, run):
    assert type(run.flow) is GlowTTS
    assert run.config["arguments"]["num_speakers"] == 2
    assert (
        run.config["arguments"]["characters"]["symbols"][-1]
        == run.flow.tokenizer.symbols.symbols[-1]
    )
    samples = {path.name for path in (place / "logs/r/samples").iterdir()}
    expected = ["alignment.png", "recording.wav", "reconstruction.png", "t0.7-1.wav", "t0.7-1.npy"]
    assert {f"epoch-0001-{name}" for name in expected} <= samples
    mel = np.load(place / "logs/r/samples/epoch-0001-reconstruction.npy")
    np.testing.assert_allclose(
        mel, np.load(place / "logs/r/samples/epoch-0001-recording.npy"), atol=1e-2
    )


def test_a_text_is_spoken(run):
    audio = singlow.speak(run, "Hello there. No one, on and on!", speaker="bob", seed=1)
    assert audio.dtype == np.float32
    assert np.isfinite(audio).all()
    assert len(audio) > 16000 * 0.15
    assert abs(audio[0]) < 1e-3
    other = singlow.speak(run, "Hello there. No one, on and on!", speaker="ada", seed=1)
    assert len(other) != len(audio) or np.abs(other - audio).max() > 1e-4
    again = singlow.speak(run, "Hello there. No one, on and on!", speaker="bob", seed=1)
    np.testing.assert_array_equal(again, audio)


def test_a_long_text_is_spoken_in_sentences(run):
    text = "No one is here. " * 60
    pieces = list(Narrator(run)(text))
    assert len(pieces) == 2 * 60 - 1
    assert max(map(len, pieces)) < 16000 * 2


@pytest.mark.parametrize(
    ("text", "reason"),
    [("", "an empty text"), ("?!", "Expected a text to pronounce"), ("sno\u2603w", "\u2603")],
)
def test_a_text_that_cannot_be_spoken_is_refused(run, text, reason):
    with pytest.raises(DataError, match=reason) as raised:
        singlow.speak(run, text)
    assert "\n" not in str(raised.value)


def test_settings_that_do_not_fit_are_refused(run, place):
    for given in ({"temperature": -1.0}, {"length_scale": 0.0}):
        with pytest.raises(UsageError, match="Expected temperature from 0"):
            Narrator(run, **given)
    with pytest.raises(UsageError, match="ada"):
        Narrator(run, speaker="carol")
    with pytest.raises(UsageError, match="Expected a run with the input mel"):
        Narrator(run, vocoder=run)


def test_the_verb_speaks_texts_and_keeps_them(place):
    done = command(["speak", "r", "hello", "-o", "one.wav", "--speaker", "bob"], place)
    assert done.code == 0, done.err
    assert "Griffin-Lim" in done.out
    assert soundfile.info(place / "one.wav").samplerate == 16000
    (place / "lines.txt").write_text("no one\n\non and on\n")
    words = ["speak", "r", "hello", "--file", "lines.txt", "-o", "spoken"]
    first = command(words, place)
    names = sorted(path.name for path in (place / "spoken").iterdir())
    assert names == ["001-hello.wav", "002-no-one.wav", "003-on-and-on.wav"], first.err
    (place / "spoken/002-no-one.wav").unlink()
    again = command(words, place)
    assert "Kept 2 result(s)" in again.out
    assert "002-no-one.wav" in again.out
    assert "003-on-and-on.wav" not in again.out


def test_wrong_calls_print_one_line(place):
    (place / "bad.txt").write_bytes(b"caf\xe9\n")
    for words, code, reason in (
        (["speak", "r", "-o", "x"], 2, "Expected a text, or --file"),
        (["speak", "r", "hello", "-o", "x", "--file", "none.txt"], 2, "none.txt: no such file"),
        (["speak", "r", "-o", "x", "--file", "bad.txt"], 3, "Expected lines of text in UTF-8"),
        (["speak", "r", "a", "b", "-o", "x.wav"], 2, "Expected a folder for -o"),
        (["align", "r", "songs", "-o", "grids", "--speaker", "carol"], 2, "ada"),
    ):
        done = command(words, place)
        assert done.code == code, (words, done.err)
        assert reason in done.err
        assert done.err.strip().count("\n") == 0


def test_the_verb_aligns_a_folder(place):
    done = command(["align", "r", "songs", "-o", "grids"], place)
    assert done.code == 3  # two recordings cannot be aligned
    assert "crowded" in done.err
    assert "2 of 20 files could not be used" in done.err
    with open(place / "grids/alignment.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    own = [row for row in rows if row["recording"].endswith("02")]
    assert "".join(row["symbol"] for row in own) == "a lion, a mole"
    times = np.array([[float(row["start"]), float(row["stop"])] for row in own])
    assert times[0, 0] == 0.0
    np.testing.assert_allclose(times[1:, 0], times[:-1, 1])
    assert abs(times[-1, 1] - 0.46) < 1e-3
    (grid,) = (place / "grids").rglob("02.TextGrid")
    lines = grid.read_text().splitlines()
    assert lines[0] == 'File type = "ooTextFile"'
    assert sum(line.strip().startswith("text =") for line in lines) == len(own)


def test_other_verbs_check_the_run_or_refuse_it_in_one_line(place):
    done = command(["check", "r"], place)
    assert done.code == 0, done.err
    assert "All within their limits." in done.out
    for words in (
        ["sample", "r", "-o", "drawn"],
        ["convert", "r", "songs/00.wav", "--to", "bob", "-o", "converted"],
        ["enroll", "r", "cy", "songs/00.wav"],
        ["encode", "r", "songs/00.wav", "-o", "z.npz"],
    ):
        done = command(words, place)
        assert done.code == 2, words
        assert done.err.startswith("Expected a run")
        assert done.err.strip().count("\n") == 0


@pytest.mark.slow
def test_a_run_that_goes_on_equals_an_unbroken_one(place):
    train(place, "r", 2)
    unbroken = train(place, "whole", 2)
    resumed = singlow.open_run("r", checkpoints=place / "checkpoints")
    assert resumed.checkpoint.epoch == unbroken.checkpoint.epoch == 2
    state = [
        json.loads((each.checkpoint.model.parent / "manifest.json").read_text())["sha256"]
        for each in (resumed, unbroken)
    ]
    assert state[0] == state[1]
