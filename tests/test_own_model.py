"""A user-defined model is trained, saved, opened, sampled, checked and evaluated."""

import csv

import numpy as np
import pytest
import soundfile

import singlow
from singlow.errors import UsageError
from singlow.models import registry
from tests.songs import coloured_noise
from tests.songs import singlow as command
from tests.spoken import Spoken


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with recordings, their texts, and a run of `Spoken` that is trained on them."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "songs").mkdir()
    rows = [("path", "singer", "text")]
    for number in range(6):
        audio = coloured_noise(number, 0.3)
        soundfile.write(folder / "songs" / f"{number}.wav", audio, 16000)
        rows.append((f"{number}.wav", "ada", "la " * (1 + number)))
    with open(folder / "songs" / "manifest.csv", "w", newline="") as file:
        csv.writer(file).writerows(rows)
    singlow.register_model("spoken", Spoken)
    places = {"checkpoints": folder / "checkpoints", "logs": folder / "logs"}
    singlow.train(model="spoken", dataset=folder / "songs", run="own", **places)
    yield folder
    registry._REGISTERED.clear()


def test_it_is_trained_and_opened_with_its_inputs(place):
    run = singlow.open_run("own", checkpoints=place / "checkpoints")
    assert type(run.flow) is Spoken
    assert run.config["model"] == "spoken"
    assert run.checkpoint.epoch == 2
    assert type(run.coder) is Spoken
    tags = {path.stem.split("-", 2)[-1] for path in (place / "logs/own/samples").glob("*.wav")}
    assert {"t0.7-1", "reconstruction"} <= tags


def test_it_samples_as_long_as_its_text_asks(place):
    run = singlow.open_run("own", checkpoints=place / "checkpoints")
    text = np.frombuffer(b"la la", np.uint8).astype(np.int32)[None]
    x, lengths = run.coder.sample({"text": text, "text_mask": np.ones((1, 5), np.float32)}, seed=0)
    assert lengths.tolist() == [500]
    assert x.shape == (1, 500, 1)
    other = {"text": text + 1, "text_mask": np.ones((1, 5), np.float32)}
    assert np.abs(np.asarray(run.coder.sample(other, seed=0)[0] - x)).max() > 1e-6


def test_recordings_alone_cannot_be_encoded(place):
    song = place / "songs" / "0.wav"
    done = command(["encode", "own", str(song), "-o", str(place / "song.npz")], place)
    assert done.code == 2
    assert "which also needs text; use flow.encode(inputs)" in done.err
    assert "Traceback" not in done.err


def test_it_passes_its_check(place):
    done = command(["check", "own"], place)
    assert done.code == 0, done.err
    assert "log_det" in done.out


def test_it_is_evaluated(place):
    run = singlow.open_run("own", checkpoints=place / "checkpoints")
    report = singlow.evaluate(run)
    assert report is not None


def test_the_name_of_a_built_in_model_is_refused():
    with pytest.raises(ValueError, match="singlow"):
        singlow.register_model("blow", Spoken)


def test_an_unregistered_model_is_refused(tmp_path):
    with pytest.raises(UsageError, match="Expected a model in singlow, blow"):
        singlow.train(model="speken", checkpoints=tmp_path / "c", logs=tmp_path / "l")
