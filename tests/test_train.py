"""train.py trains a run on a folder of audio, writes files and output, and refuses mistakes."""

import errno
import json
import math
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile

import singlow
from singlow.errors import SinglowError
from singlow.runs.run import locate
from tests.songs import TINY, train, trained, write_songs

QUICK = [*TINY, "--epochs", "1", "--steps_per_epoch", "2"]
SERIES = ("train", "validation")
SCALARS = {"bits_per_sample", "z_mean", "z_variance", "z_mean_0", "z_variance_0", "z_mean_1"}


@pytest.fixture
def songs(tmp_path):
    write_songs(tmp_path / "songs", seconds=0.3)
    return tmp_path


def events(folder, series):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    sizes = {"scalars": 0, "images": 0, "audio": 0}
    return accumulator.EventAccumulator(str(folder / "logs" / "t" / series), sizes).Reload()


def test_the_last_lines_name_the_run_and_its_samples():
    folder, result = trained()
    for words in ("checkpoints/t", "tensorboard --logdir logs/t", "FLAC", "Gaussian"):
        assert words in result.out
    named = [word for word in result.out.split() if word.endswith(".wav")]
    assert len(named) == 3
    for name in named:
        assert "t0.7" in name
        audio, rate = soundfile.read(folder / name)
        assert rate == 16000
        assert np.isfinite(audio).all()


def test_settings_are_stored():
    folder, _ = trained()
    config = json.loads((folder / "checkpoints" / "t" / "config.json").read_text())
    assert config["arguments"]["k_glow"] == 1
    assert config["arguments"]["l_glow"] == 2
    assert config["arguments"]["width"] == 4
    assert config["arguments"]["squeeze"] == 8  # from the preset
    assert config["arguments"]["mixing"] == "plu"  # from the model
    assert config["data"]["singers"] == ["ada", "bo"]
    assert config["training"]["batch_size"] == 2
    assert config["versions"]["keras"]


@pytest.mark.parametrize("series", SERIES)
def test_scalars_have_tags_without_a_prefix(series):
    log = events(trained()[0], series)
    extra = {"gradient_norm", "learning_rate", "steps_per_second"} if series == "train" else set()
    assert SCALARS | extra <= set(log.Tags()["scalars"])
    for tag in SCALARS | extra:
        values = log.Scalars(tag)
        assert [event.step for event in values] == [3, 6]
        assert all(math.isfinite(event.value) for event in values)


def test_two_folders_are_two_singers_and_two_styles(songs):
    sources = ["human=songs/ada", "virtual=songs/bo"]
    result = train([*QUICK, "--dataset", *sources, "--run", "two", "--data_dir", "data"], songs)
    assert result.code == 0, result.err
    assert "ada virtual=" in result.out
    config = json.loads((songs / "checkpoints" / "two" / "config.json").read_text())
    assert config["data"]["singers"] == ["human", "virtual"]
    assert config["data"]["dataset"] == [
        f"{label}={songs / 'songs' / name}" for label, name in (("human", "ada"), ("virtual", "bo"))
    ]
    again = train(["--run", "two", "--dataset", *sources], songs)
    assert again.code == 0, again.err
    assert "has been trained for 1 epochs" in again.out
    other = train(["--run", "two", "--dataset", sources[0]], songs)
    assert other.code == 2
    assert "dataset is" in other.err
    alone = train([*QUICK, "--dataset", "builtin", "songs"], songs)
    assert alone.code == 2
    assert "can only be used alone" in alone.err


def test_samples_are_logged_and_written_as_files():
    folder, _ = trained()
    log = events(folder, "validation")
    for kind in ("audio", "images"):
        tags = log.Tags()[kind]
        assert sum("t0.7" in tag for tag in tags) == 3
        assert any("reconstruction" in tag for tag in tags)
    assert log.Audio("reconstruction")[0].sample_rate == 16000
    samples = folder / "logs" / "t" / "samples"
    wavs = {path.stem for path in samples.glob("*.wav")}
    assert wavs == {path.stem for path in samples.glob("*.png")}
    assert len(wavs) == 8


def test_reconstruction_is_the_held_out_clip():
    from singlow.audio import dequantize, snr_db
    from singlow.data.feed.windows import Windows

    folder, _ = trained()
    config = locate("t", folder / "checkpoints", folder / "logs").config
    held_out = Windows(config["data"]["directory"], "validation", 512, 2, 0, 16, training=False)
    path = folder / "logs" / "t" / "samples" / "epoch-0002-reconstruction.wav"
    back, _ = soundfile.read(path, always_2d=True)
    clip = dequantize(held_out.clip(0)[1])
    assert len(clip) - len(back) < 16
    assert snr_db(clip[: len(back)], back) > 60  # 16-bit samples of low loudness


def test_checkpoint_holds_averages_beside_trained_weights():
    from safetensors.numpy import load_file

    newest = trained()[0] / "checkpoints" / "t" / "epoch-0002"
    averages, state = (load_file(newest / f"{n}.safetensors") for n in ("model", "state"))
    assert averages.keys() <= state.keys()
    assert any((averages[name] != state[name]).any() for name in averages)
    paths = {name: f"adam/{name.replace('/', '_')}_average" for name in averages}
    moving = {name: state[path] for name, path in paths.items() if path in state}
    assert moving
    assert all((averages[name] == moving[name]).all() for name in moving)


@pytest.fixture
def copied(tmp_path):
    """A folder that contains a copy of the trained run `t`."""
    for name in ("checkpoints", "logs"):
        ignored = shutil.ignore_patterns("features")  # other processes may be writing there
        shutil.copytree(trained()[0] / name, tmp_path / name, ignore=ignored)
    return tmp_path


def test_a_run_goes_on_is_lengthened_and_refuses_other_settings(copied):
    run = locate("t", copied / "checkpoints", copied / "logs")
    again = train(["--run", "t"], copied)
    assert again.code == 0
    assert "another set-up" not in again.out
    assert "has been trained for 2 epochs" in again.out
    config = run.config
    run.write_config({**config, "machine": {**config["machine"], "cores": 99}})
    longer = train(["--run", "t", "--epochs", "3"], copied)
    assert longer.code == 0, longer.err
    assert "Going on with t after epoch 2" in longer.out
    assert "This run began on another set-up: cores 99 then and" in longer.out
    assert run.newest().epoch == 3
    assert len(run.newest().history) == 3
    other = train(["--k_glow", "3", "--run", "t"], copied)
    assert other.code == 2
    assert "k_glow is 1, given 3" in other.err
    assert other.err.count("\n") == 1


def test_the_library_function_returns_the_run(copied):
    places = {"checkpoints": copied / "checkpoints", "logs": copied / "logs"}
    outcome = []

    def work():
        outcome.append(singlow.train(run="t", epochs=2, **places))

    thread = threading.Thread(target=work)  # only the main thread handles signals
    thread.start()
    thread.join()
    (trained_run,) = outcome
    assert repr(trained_run) == "<TrainedRun t, singlow_tiny, epoch 2>"
    assert singlow.open_run("t", checkpoints=places["checkpoints"]).fingerprint == (
        trained_run.fingerprint
    )
    x = trained_run.coder.sample(count=2, length=100, seed=0)[0]
    assert x.shape == (2, 100, 1)
    for arguments, message in (
        ({"epoch": 3}, r"Received: epoch\. Did you mean epochs\?"),
        ({"arguments": {"widht": 3}}, r"Received: widht\. Did you mean width\?"),
        ({"layout": "blow"}, "layout is auto, given blow"),
    ):
        with pytest.raises(SinglowError, match=message):
            singlow.train(run="t", **places, **arguments)


def test_fresh_moves_the_old_run_aside(copied):
    songs = ["--dataset", str(trained()[0] / "songs")]
    result = train([*QUICK, *songs, "--seed", "3", "--run", "t", "--fresh"], copied)
    assert result.code == 0, result.err
    assert (copied / "checkpoints" / "t.old-1" / "epoch-0002").is_dir()
    assert (copied / "logs" / "t.old-1" / "train").is_dir()
    assert locate("t", copied / "checkpoints", copied / "logs").config["training"]["seed"] == 3


def test_other_recordings_are_refused_for_a_run_that_exists(copied):
    run = locate("t", copied / "checkpoints", copied / "logs")
    config = run.config
    run.write_config({**config, "data": {**config["data"], "content": "of other recordings"}})
    result = train(["--run", "t", "--epochs", "3"], copied)
    assert result.code == 3
    assert "not the recordings that the run began with" in result.err


@pytest.mark.parametrize(
    ("flags", "code"),
    [
        (["--dataset", "empty"], 3),
        (["--dataset", "texts"], 3),
        (["--dataset", "missing"], 2),
        (["--preset", "unheard_of"], 2),
        (["--img_size", "32"], 2),
        (["--dataset", "songs", "--set", "no_such=3"], 2),
        (["--dataset", "songs", "--set", "width=wide"], 2),
        (["--dataset", "songs", "--set", "kernel_sizes=3"], 2),
        (["--dataset", "songs", "--window_size", "0.0001"], 2),
        (["--dataset", "songs", "--channel_size", "3"], 2),
        (["--dataset", "songs", "--sampling_rate", "0"], 2),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing_behind(songs, flags, code):
    (songs / "empty").mkdir()
    (songs / "texts").mkdir()
    (songs / "texts" / "readme.txt").write_text("no audio")
    all_flags = flags if "--preset" in flags else [*QUICK, *flags]
    result = train([*all_flags, "--run", "t"], songs)
    assert result.code == code, result.err
    assert len(result.err.strip().splitlines()) == 1, result.err
    assert "Traceback" not in result.err
    assert not (songs / "checkpoints" / "t").exists()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--channel_size", "3"], "channels"),
        (["--set", "activation=foo"], "activation"),
        (["--window_size", "0.0001"], "window_size"),
        (["--run", "./plain"], "plain"),
        (["--run", "./songs"], "is no run"),
        (["--run", "./checkpoints"], "the folder of one run"),
        (["--run", "busy"], "being trained by another process"),
    ],
)
def test_mistakes_are_refused_before_anything_is_decoded(songs, flags, words):
    (songs / "plain").touch()
    busy = locate("busy", songs / "checkpoints", songs / "logs")
    with busy.lock():
        before = sorted(songs.rglob("*"))
        result = train([*QUICK, "--dataset", "songs", *flags], songs)
        assert sorted(songs.rglob("*")) == before
    assert result.code == 2, result.err
    assert words in result.err
    assert result.err.count("\n") == 1


def test_a_folder_that_cannot_be_written_exits_4(songs, monkeypatch):
    make = Path.mkdir

    def read_only(self, *args, **kwargs):
        if "checkpoints" in self.parts:
            raise OSError(errno.EROFS, "Read-only file system", str(self))
        make(self, *args, **kwargs)

    monkeypatch.setattr(Path, "mkdir", read_only)
    result = train([*QUICK, "--dataset", "songs", "--run", "t"], songs)
    assert result.code == 4
    assert result.err.startswith("checkpoints/t is on a read-only file system")


def test_dry_run_prints_the_size_and_writes_nothing(tmp_path):
    result = train([*TINY, "--dry_run", "--l_glow", "2"], tmp_path)
    assert result.code == 0, result.err
    for words in ("Parameters", "Receptive field", "Latents", "Memory", "Seconds a step"):
        assert words in result.out
    assert "(64, 4), (32, 8)" in result.out
    assert not list(tmp_path.iterdir())


def test_bfloat16_trains_and_stereo_at_another_rate(songs):
    flags = [
        *("--precision", "bfloat16", "--channel_size", "2", "--sampling_rate", "8000"),
        *("--temperature", "0.5", "--seed", "2", "--dataset", "songs", "--data_dir", "records"),
    ]
    result = train([*QUICK, *flags, "--run", "./elsewhere/t"], songs)
    assert result.code == 0, result.err
    assert list((songs / "records").rglob("dataset_info.json"))
    samples = list((songs / "elsewhere" / "t" / "logs" / "samples").glob("*t0.5-1.wav"))
    audio, rate = soundfile.read(samples[0])
    assert (audio.shape[1], rate) == (2, 8000)


@pytest.mark.slow
def test_real_singing(recordings, tmp_path):
    flags = ["--k_glow", "2", "--l_glow", "3", "--epochs", "2", "--steps_per_epoch", "5"]
    source = ["--dataset", str(recordings / "singing"), "--data_dir", str(tmp_path / "records")]
    result = train([*flags, *source, "--run", "t"], tmp_path)
    assert result.code == 0, result.err
