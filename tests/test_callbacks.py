"""Test the callbacks of a run: guard, averages, events, samples, patience, and Keras's own."""

import math
import time

import keras
import numpy as np
import pytest

from singlow.data.feed.windows import Windows
from singlow.models.singlow import SinGlow
from singlow.runs.data import open_windows
from singlow.runs.events import EventLog
from singlow.runs.opening import build_flow, load_flow
from singlow.runs.run import locate
from singlow.training.callbacks import Averages, Patience
from singlow.training.optimizer import GuardedAdam, capture, compile_flow, restore
from tests.datasets import write_noise
from tests.runs import CONFIG
from tests.songs import TINY, train, trained, write_songs

SHORT = [*TINY, "--steps_per_epoch", "4", "--dataset", "songs", "--run", "t"]
QUICK = [*SHORT, "--epochs", "1"]


@pytest.fixture
def songs(tmp_path):
    write_songs(tmp_path / "songs", seconds=0.3)
    return tmp_path


def poison(patch: pytest.MonkeyPatch, *steps: int) -> None:
    """Replace the audio in the training batches of some steps by NaN."""
    batch, as_dataset, reading = Windows.batch, Windows.as_dataset, []

    def poisoned(self, step):
        values = batch(self, step)
        # The initialisation from data also reads batches; these stay finite.
        if self.training and reading and step in steps:
            values["x"] = np.full_like(values["x"], np.nan)
        return values

    def read(self, *arguments, **named):
        reading.append(True)
        return as_dataset(self, *arguments, **named)

    patch.setattr(Windows, "batch", poisoned)
    patch.setattr(Windows, "as_dataset", read)


@pytest.fixture(scope="module")
def warned(tmp_path_factory):
    """A run with two levels that warns about gradients, samples and the inversion."""

    def fail(*_, **__):
        raise OSError("no room for\nsamples")

    folder = tmp_path_factory.mktemp("warned")
    write_songs(folder / "songs", seconds=0.3)
    with pytest.MonkeyPatch.context() as patch:
        poison(patch, 1, 2)
        patch.setattr("singlow.training.samples.write_picture", fail)
        patch.setattr("singlow.training.callbacks.Inversion.limit", 0.0)
        result = train([*QUICK, "--l_glow", "2"], folder)
    assert result.code == 0, result.err
    return folder, result.err.splitlines()


def test_clips_of_a_batch_that_is_not_finite_are_named_once(warned):
    folder, lines = warned
    warnings = [line for line in lines if "not finite" in line]
    assert "The gradient of step 1 was not finite and was not applied. Its clips: " in warnings[0]
    run = locate("t", folder / "checkpoints", folder / "logs")
    train_windows = Windows(run.config["data"]["directory"], "train", 512, 2, 0, 16)
    listed = [line.partition("Its clips: ")[2].rstrip(".") for line in warnings]
    named = [name for line in listed for name in line.split(", ")]
    assert set(named) == {*train_windows.clip_names(1), *train_windows.clip_names(2)}
    assert len(named) == len(set(named))
    flow = load_flow(run.config, run.checkpoint())
    assert all(np.isfinite(np.asarray(w)).all() for w in flow.get_weights())


def test_samples_that_fail_are_one_warning(warned):
    lines = [line for line in warned[1] if "samples" in line]
    assert lines == ["Warning: samples could not be written (no room for samples)."]


def test_inversion_of_every_level_is_logged_and_a_bad_one_is_a_warning(warned):
    folder, lines = warned
    warnings = [line.partition(" inverts")[0] for line in lines if "inverts to" in line]
    assert warnings == ["Warning: level 0", "Warning: level 1"]
    from tensorboard.backend.event_processing import event_accumulator as accumulator

    reader = accumulator.EventAccumulator(str(folder / "logs/t/train")).Reload()
    for level in range(2):
        (event,) = reader.Scalars(f"inversion_error_{level}")
        assert 0 < event.value < 1e-4


def test_an_epoch_without_a_finite_gradient_ends_training(songs, monkeypatch):
    poison(monkeypatch, 0, 1, 2, 3)
    result = train(QUICK, songs)
    assert result.code == 2
    assert "No gradient of epoch 1 was finite" in result.err
    assert not locate("t", songs / "checkpoints", songs / "logs").checkpoints()


def test_evaluation_leaves_the_trained_weights_as_they_were():
    optimizer = GuardedAdam(0.1, use_ema=True, ema_momentum=0.9, name="adam")
    variable = keras.Variable(np.array([0.1, 1e8, 1e-30], "float32"), name="weight")
    optimizer.build([variable])
    for _ in range(3):
        optimizer.apply([keras.ops.ones(3)], [variable])
    to_numpy = keras.ops.convert_to_numpy
    ((_, average),) = optimizer.averages()
    before = np.array(to_numpy(variable)), np.array(to_numpy(average))
    optimizer.swap_averages()
    assert (to_numpy(variable) == before[1]).all()
    optimizer.swap_averages()
    assert (to_numpy(variable) == before[0]).all()
    assert (to_numpy(average) == before[1]).all()
    assert (before[0] != before[1]).any()


@pytest.mark.usefixtures("eager")
def test_the_averaged_weights_are_evaluated_and_the_trained_ones_restored():
    keras.utils.set_random_seed(0)
    flow = SinGlow.from_preset("singlow_tiny")
    compile_flow(flow, {"learning_rate": 1e-2, "warmup_steps": 1, "decay_steps": 100})
    x = 0.1 * np.random.default_rng(0).standard_normal((8, 64, 1)).astype("float32")
    flow.fit(x, batch_size=2, verbose=0)
    trained_weights = flow.get_weights()
    of_trained, of_averages = (
        flow.evaluate(x, callbacks=callbacks, verbose=0, return_dict=True)["bits_per_sample"]
        for callbacks in ([], [Averages()])
    )
    for weight, expected in zip(flow.get_weights(), trained_weights, strict=True):
        np.testing.assert_array_equal(weight, expected)
    flow.optimizer.swap_averages()
    expected = flow.evaluate(x, verbose=0, return_dict=True)["bits_per_sample"]
    assert of_averages == pytest.approx(expected, rel=1e-6)
    assert abs(of_trained - of_averages) > 1e-3


def test_state_is_restored_and_that_of_another_model_is_refused():
    folder, _ = trained()
    run = locate("t", folder / "checkpoints", folder / "logs")
    checkpoint = run.checkpoint()
    flow = build_flow(run.config)
    compile_flow(flow, run.config["training"])
    restore(flow, checkpoint)
    model, state = capture(flow)
    from safetensors.numpy import load_file

    for tensors, path in ((model, checkpoint.model), (state, checkpoint.state)):
        stored = load_file(path)
        assert stored.keys() == tensors.keys()
        assert all((stored[name] == tensors[name]).all() for name in stored)
    from singlow.errors import DataError

    other = build_flow(run.config, k_glow=2)
    compile_flow(other, run.config["training"])
    with pytest.raises(DataError, match=r"another model|Expected singlow"):
        restore(other, checkpoint)


def test_patience_counts_since_the_best_epoch():
    assert not Patience(2, []).exhausted
    assert not Patience(2, [3.0, 2.0, 2.5]).exhausted
    assert Patience(2, [3.0, 2.0, 2.5, 2.0]).exhausted
    assert not Patience(2, [3.0, 2.0, 2.5, 1.9]).exhausted
    assert not Patience(0, [1.0, 2.0, 3.0, 4.0]).exhausted
    assert Patience(1, [math.nan, math.nan]).exhausted


def test_patience_stops_training_and_is_remembered(songs):
    wild = ["--learning_rate", "2", "--set", "warmup_steps=1"]
    result = train([*SHORT, *wild, "--epochs", "9", "--patience", "1"], songs)
    assert result.code == 0, result.err
    assert "stopping" in result.out
    run = locate("t", songs / "checkpoints", songs / "logs")
    assert len(run.checkpoint().history) < 9
    assert "has been trained for" in train(["--run", "t"], songs).out


def test_events_after_a_restart_replace_those_of_the_lost_epoch(tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    for first, steps in ((0, (1, 2, 3)), (3, (3, 4))):
        log = EventLog(tmp_path, first)
        for step in steps:
            log.scalars({"bits_per_sample": 10.0 * first + step}, step)
        log.close()
    events = accumulator.EventAccumulator(str(tmp_path)).Reload().Scalars("bits_per_sample")
    assert [(e.step, e.value) for e in events] == [(1, 1.0), (2, 2.0), (3, 33.0), (4, 34.0)]


@pytest.mark.parametrize("back", [0.0, 1.0, 1e6])
def test_a_clock_set_back_leaves_no_events_of_a_lost_epoch(tmp_path, monkeypatch, back):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    now = time.time()
    for number, (first, steps) in enumerate(((0, (1, 2, 3)), (3, (3, 4)), (4, (4, 5)))):
        monkeypatch.setattr(time, "time", lambda n=number: now - n * back)
        log = EventLog(tmp_path, first)
        for step in steps:
            log.scalars({"bits_per_sample": 10.0 * first + step}, step)
        log.close()
    events = accumulator.EventAccumulator(str(tmp_path)).Reload().Scalars("bits_per_sample")
    assert [(e.step, e.value) for e in events] == [(1, 1), (2, 2), (3, 33), (4, 44), (5, 45)]
    times = [event.wall_time for event in events]
    assert times == sorted(times)


def test_events_are_in_the_file_when_the_call_returns(tmp_path):
    log = EventLog(tmp_path)
    before = sum(path.stat().st_size for path in tmp_path.iterdir())
    log.scalars({"z_mean": 0.1}, 1)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) > before
    log.close()


def test_the_held_out_loss_is_that_of_the_averages():
    """The last entry of the history is the loss of a flow with the averaged weights."""
    folder, _ = trained()
    run = locate("t", folder / "checkpoints", folder / "logs")
    checkpoint = run.checkpoint()
    _, held_out = open_windows(run.config, build_flow(run.config))
    averaged = load_flow(run.config, checkpoint)
    averaged.compile()
    loss = averaged.evaluate(held_out.as_dataset(), verbose=0, return_dict=True)
    assert loss["bits_per_sample"] == pytest.approx(checkpoint.history[-1], rel=1e-6)
    as_trained = build_flow(run.config)
    compile_flow(as_trained, run.config["training"])
    restore(as_trained, checkpoint)
    other = as_trained.evaluate(held_out.as_dataset(), verbose=0, return_dict=True)
    assert abs(other["bits_per_sample"] - loss["bits_per_sample"]) > 1e-4


def batches(flow, seed):
    rng = np.random.default_rng(seed)
    return {"x": 0.1 * rng.standard_normal((8, 16 * flow.multiple, 1)).astype("float32")}


@pytest.mark.usefixtures("eager")
def test_callbacks_of_keras_work_with_their_defaults(tmp_path):
    flow = SinGlow.from_preset("singlow_tiny", k_glow=1, l_glow=1, width=4)
    data = batches(flow, 0)
    flow.adapt(data)
    flow.compile(GuardedAdam(0.1), jit_compile=keras.backend.backend() == "jax")
    path = tmp_path / "best.keras"
    history = flow.fit(
        data,
        validation_data=batches(flow, 1),
        epochs=2,
        verbose=0,
        callbacks=[
            keras.callbacks.EarlyStopping(),
            keras.callbacks.ReduceLROnPlateau(),
            keras.callbacks.ModelCheckpoint(path, save_best_only=True),
        ],
    ).history
    assert {"loss", "val_loss", "learning_rate"} <= history.keys()
    assert path.is_file()
    np.testing.assert_allclose(history["val_loss"], history["val_bits_per_sample"], rtol=1e-6)


def test_two_seeds_share_no_draw(tmp_path):
    """Weights, order, dequantisation noise and samples of neighbouring seeds are independent."""
    folder = write_noise(tmp_path / "data", {"train": [4000] * 3, "validation": [2000]})
    noise, names = [], []
    for seed in (0, 1):
        windows = Windows(folder, "train", 512, 4, seed)
        batches = [windows.batch(step)["x"][:, :64, 0] * 32768.0 for step in range(8)]
        noise.append(np.concatenate([x - np.floor(x) for x in batches]))
        names.append([windows.clip_names(step) for step in range(8)])
    assert names[0] != names[1]
    distance = np.abs(noise[0][:, None] - noise[1][None])
    assert distance.max(axis=-1).min() > 0.1  # the least distance between two windows

    config = {**CONFIG, "arguments": {"k_glow": 1, "l_glow": 1, "width": 4}}
    flows = [
        build_flow({**config, "training": {**config["training"], "seed": seed}}) for seed in (0, 1)
    ]
    for first, second in zip(*(flow.get_weights() for flow in flows), strict=True):
        drawn = np.setdiff1d(first, (0.0, 1.0))
        if len(drawn) > 3:
            assert not np.isin(drawn, second).any()
    x, y = (np.asarray(flows[0].sample(count=3, length=64, seed=seed)[0]) for seed in (0, 1))
    assert np.abs(x[:, None] - y[None]).max(axis=(2, 3)).min() > 0.01
