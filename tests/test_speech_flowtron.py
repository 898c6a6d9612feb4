"""A run of Flowtron trains on recordings with texts, speaks, aligns, and ends with its gate."""

import csv

import numpy as np
import pytest

import singlow
from singlow.errors import UsageError
from singlow.models import Flowtron
from singlow.voices.speak import Narrator
from tests.conftest import BACKEND
from tests.songs import singlow as command
from tests.test_speech import STEPS, write_corpus

pytestmark = pytest.mark.skipif(BACKEND != "tensorflow", reason="training here is TensorFlow's")
SMALL = {"n_mel_channels": 16, "n_fft": 512, "n_text_dim": 8, "n_hidden": 8, "max_seconds": 0.5}
SMALL |= {"use_speaker_embedding": True, "ctc_start": 2}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a corpus and the run `r`."""
    folder = tmp_path_factory.mktemp("speech")
    write_corpus(folder / "songs")
    places = {"checkpoints": folder / "checkpoints", "logs": folder / "logs"}
    settings = {"preset": "flowtron_tiny", "arguments": SMALL, **STEPS, **places}
    singlow.train(dataset=folder / "songs", run="r", epochs=1, **settings)
    return folder


@pytest.fixture(scope="module")
def run(place):
    return singlow.open_run("r", checkpoints=place / "checkpoints")


def test_it_is_trained_with_the_speakers_of_the_data(place, run):
    assert type(run.flow) is Flowtron
    assert run.config["arguments"]["num_speakers"] == 2
    assert float(run.flow.trained_steps) == STEPS["steps_per_epoch"]
    samples = {path.name for path in (place / "logs/r/samples").iterdir()}
    expected = ["alignment.png", "recording.wav", "reconstruction.png", "t0.7-1.wav", "t0.7-1.npy"]
    assert {f"epoch-0001-{name}" for name in expected} <= samples
    mel = np.load(place / "logs/r/samples/epoch-0001-reconstruction.npy")
    np.testing.assert_allclose(
        mel, np.load(place / "logs/r/samples/epoch-0001-recording.npy"), atol=1e-2
    )


def test_a_text_is_spoken(place, run):
    audio = singlow.speak(run, "Hello there.", speaker="bob", seed=1)
    assert np.isfinite(audio).all()
    assert 0 < len(audio) <= 0.6 * run.flow.signal.recipe.sample_rate
    again = singlow.speak(run, "Hello there.", speaker="bob", seed=1)
    np.testing.assert_array_equal(again, audio)
    with pytest.raises(UsageError, match="Expected no length_scale for r"):
        Narrator(run, length_scale=2.0)
    done = command(["speak", "r", "hello", "-o", "one.wav", "--length_scale", "2"], place)
    assert done.code == 2
    assert done.err.strip().count("\n") == 0


def test_the_verb_aligns_a_folder(place):
    done = command(["align", "r", "songs", "-o", "grids"], place)
    assert done.code == 3  # two recordings cannot be aligned
    assert "2 of 20 files could not be used" in done.err
    with open(place / "grids/alignment.csv", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["recording"].endswith("02")]
    assert "".join(row["symbol"] for row in rows) == "a lion, a mole"
    times = np.array([[float(row["start"]), float(row["stop"])] for row in rows])
    np.testing.assert_allclose(times[1:, 0], times[:-1, 1])
    assert (times[:, 1] > times[:, 0]).all()
