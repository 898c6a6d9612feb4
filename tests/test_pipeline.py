"""Batches of windows hold the right samples, masks and noise, the same on both backends."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from singlow.data.feed.windows import Windows
from singlow.errors import DataError, UsageError
from singlow.inputs import Input
from tests.clock import loops
from tests.conftest import BACKEND
from tests.datasets import write_noise

LONG = {"train": [1000, 400, 256, 3000], "validation": [700, 256]}
SHORT = {"train": [1000, 100, 37, 3000, 5], "validation": [700, 37, 256]}


@pytest.fixture
def long(tmp_path):
    return write_noise(tmp_path / "long", LONG)


@pytest.fixture
def short(tmp_path):
    return write_noise(tmp_path / "short", SHORT, channels=2)


def test_attributes_describe_the_dataset(long):
    windows = Windows(long, "train", 256, 4)
    assert (windows.sample_rate, windows.channels, windows.singers) == (16000, 1, ["s"])
    assert (windows.clips, windows.windows, windows.steps) == (4, 3 + 1 + 1 + 11, 4)
    assert windows.samples == 16 * 256
    clip = windows.clip(3)
    assert clip[0] == "train3"
    assert clip[1].shape == (3000, 1)
    assert clip[1].dtype == np.int16


def test_a_training_batch_holds_stretches_of_the_named_clips(long):
    windows = Windows(long, "train", 256, 5, seed=3)
    clips = {name: audio[:, 0] for name, audio in map(windows.clip, range(windows.clips))}
    for step in range(6):
        batch = windows.batch(step)
        assert set(batch) == {"x"}
        x = batch["x"]
        assert x.shape == (5, 256, 1)
        assert x.dtype == np.float32
        assert x.min() >= -1
        assert x.max() <= 1
        for row, name in zip(x[..., 0], windows.clip_names(step), strict=True):
            stored = np.floor(row.astype(np.float64) * 32768).astype(int)
            places = np.lib.stride_tricks.sliding_window_view(clips[name], 256)
            assert (np.abs(places - stored).max(1) <= 1).any()


def test_a_pass_visits_every_clip_as_often_as_it_has_windows(long):
    windows = Windows(long, "train", 256, 4)
    for number in range(3):
        steps = range(number * windows.steps, (number + 1) * windows.steps)
        names = [name for step in steps for name in windows.clip_names(step)]
        counts = {name: names.count(name) for name in names}
        assert counts == {"train0": 3, "train1": 1, "train2": 1, "train3": 11}
    first, second = (
        [windows.clip_names(s) for s in range(p * windows.steps, (p + 1) * windows.steps)]
        for p in (0, 1)
    )
    assert first != second


def test_batches_are_a_function_of_seed_and_step(long):
    one, two = (Windows(long, "train", 256, 4, seed=5) for _ in range(2))
    other = Windows(long, "train", 256, 4, seed=6)
    backwards = [two.batch(step)["x"] for step in reversed(range(12))]
    for step in range(12):
        x = one.batch(step)["x"]
        assert np.array_equal(x, backwards[11 - step])
        assert np.array_equal(x, one.batch(step)["x"])
        assert not np.array_equal(x, other.batch(step)["x"])


def test_offsets_reach_both_ends_of_a_clip(tmp_path):
    windows = Windows(
        write_noise(tmp_path / "d", {"train": [260], "validation": [9]}), "train", 256, 1
    )
    clip = windows.clip(0)[1][:, 0]
    starts = set()
    for step in range(60):
        row = np.floor(windows.batch(step)["x"][0, :, 0].astype(np.float64) * 32768)
        distance = [np.abs(clip[s : s + 256] - row).max() for s in range(5)]
        starts.add(int(np.argmin(distance)))
    assert starts == {0, 1, 2, 3, 4}


def test_noise_is_uniform_within_a_quantisation_step(tmp_path):
    out = write_noise(tmp_path / "d", {"train": [8192], "validation": [9]})
    windows = Windows(out, "train", 8192, 1)
    clip = windows.clip(0)[1]
    noise = windows.batch(0)["x"][0].astype(np.float64) * 32768 - clip
    assert noise.min() >= -1e-3
    assert noise.max() <= 1 + 1e-3
    assert noise.mean() == pytest.approx(0.5, abs=0.02)
    assert noise.std() == pytest.approx(12**-0.5, abs=0.02)


def test_short_clips_are_padded_and_masked(short):
    windows = Windows(short, "train", 256, 6, multiple=8)
    assert windows.clips == 4
    seen = set()
    for step in range(5):
        batch = windows.batch(step)
        assert batch["frame_mask"].shape == (6, 256)
        rows = zip(batch["x"], batch["frame_mask"], windows.clip_names(step), strict=True)
        for x, mask, name in rows:
            valid = {"train1": 96, "train2": 32}.get(name, 256)
            assert mask.tolist() == [1.0] * valid + [0.0] * (256 - valid)
            assert not x[valid:].any()
            seen.add(name)
    assert seen == {"train0", "train1", "train2", "train3"}
    assert windows.samples == 3 * 256 + 96 + 32 + 11 * 256


def test_validation_tiles_every_clip_once(short):
    windows = Windows(short, "validation", 256, 2, multiple=8, training=False)
    batches = [windows.batch(step) for step in range(windows.steps)]
    assert [len(batch["x"]) for batch in batches] == [2, 2, 1]
    names = [name for step in range(windows.steps) for name in windows.clip_names(step)]
    assert names == ["validation0"] * 3 + ["validation1", "validation2"]
    x = np.concatenate([batch["x"] for batch in batches])
    mask = np.concatenate([batch["frame_mask"] for batch in batches])
    assert mask.sum(1).tolist() == [256, 256, 184, 32, 256]
    assert windows.samples == mask.sum()
    clip = windows.clip(0)[1]
    tiled = x[:3].reshape(-1, 2)[:696].astype(np.float64) * 32768
    assert np.abs(tiled - clip[:696] - 0.5).max() <= 0.51
    assert not x[mask == 0].any()
    with pytest.raises(IndexError, match="from 0 to 2"):
        windows.batch(3)


def test_wrong_arguments_are_refused(long, tmp_path):
    with pytest.raises(UsageError, match="multiple of 16"):
        Windows(long, "train", 250, 4, multiple=16)
    with pytest.raises(UsageError, match="split"):
        Windows(long, "test", 256, 4)
    with pytest.raises(DataError, match="no train clip of 4096"):
        Windows(long, "train", 4096, 4, multiple=4096)
    with pytest.raises(DataError, match=r"dataset_info.json.*singlow prepare"):
        Windows(tmp_path, "train", 256, 4)


@pytest.mark.parametrize("shift", [1 / 3, 2 / 3])
def test_a_flipped_bit_is_named_when_it_is_met(long, shift):
    path = next(long.glob("train.tfrecord-00003-*"))
    body = bytearray(path.read_bytes())
    body[int(len(body) * shift)] ^= 4
    path.write_bytes(body)
    windows = Windows(long, "train", 256, 4)
    with pytest.raises(DataError, match=rf"{path.name}: record 0, at byte 0.*--recover") as caught:
        list(map(windows.batch, range(windows.steps)))
    assert "train3" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_cut_or_missing_shard_is_named_at_once(long):
    path = next(long.glob("train.tfrecord-00001-*"))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match=path.name):
        Windows(long, "train", 256, 4)
    path.unlink()
    with pytest.raises(DataError, match=path.name):
        Windows(long, "train", 256, 4)


def test_batches_are_made_quickly(tmp_path):
    out = write_noise(tmp_path / "d", {"train": [80000] * 20, "validation": [9]})
    windows = Windows(out, "train", 8192, 16)
    assert loops(lambda: [windows.batch(step) for step in range(40)]) < 10


@pytest.mark.skipif(BACKEND != "tensorflow", reason="TensorFlow is the other backend")
def test_tensorflow_dataset_yields_the_same_batches(short):
    windows = Windows(short, "train", 256, 4)
    dataset = windows.as_dataset(start_step=3, steps=5)
    assert dataset.element_spec["x"].shape == (4, 256, 2)
    assert len(dataset) == 5
    for step, batch in enumerate(dataset, 3):
        expected = windows.batch(step)
        assert set(batch) == set(expected)
        assert all(np.array_equal(batch[key], expected[key]) for key in expected)
    held = Windows(short, "validation", 256, 2, training=False)
    assert [len(batch["x"]) for batch in held.as_dataset()] == [2, 2, 1]
    assert int(windows.as_dataset().take(100).reduce(0, lambda n, _: n + 1)) == 100


@pytest.mark.skipif(BACKEND != "tensorflow", reason="TensorFlow is the other backend")
def test_the_fault_behind_a_failed_dataset_is_kept(long):
    path = next(long.glob("train.tfrecord-00000-*"))
    body = bytearray(path.read_bytes())
    body[-10] ^= 1
    path.write_bytes(body)
    windows = Windows(long, "train", 256, 16)
    with pytest.raises(Exception, match="record 0"):
        list(windows.as_dataset(steps=1))
    assert isinstance(windows.fault, DataError)


def test_jax_reads_the_same_batches_without_tensorflow(short):
    code = f"""
import sys; sys.modules["tensorflow"] = None
import numpy as np
from singlow.data.feed.windows import Windows
import keras
windows = Windows({str(short)!r}, "train", 256, 4)
data = windows.as_dataset(2, 3)
assert isinstance(data, keras.utils.PyDataset) and data.num_batches == 3
for step in range(3):
    (batch,) = data[step]
    expected = windows.batch(2 + step)
    assert all(np.array_equal(batch[key], expected[key]) for key in expected), step
assert windows.as_dataset().num_batches is None
assert Windows({str(short)!r}, "validation", 256, 2, training=False).as_dataset().num_batches == 3
x = keras.Input((256, 2), name="x"); mask = keras.Input((256,), name="frame_mask")
model = keras.Model({{"x": x, "frame_mask": mask}}, keras.layers.Dense(1)(x))
class Sum(keras.Model):
    def __init__(self):
        super().__init__(); self.seen = []; self.layer = keras.layers.Dense(1)
    def call(self, inputs):
        return self.layer(inputs["x"])
    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return keras.ops.mean(keras.ops.square(y_pred))
sum = Sum(); sum.compile("sgd")
import threading
before = threading.active_count()
sum.fit(windows.as_dataset(), steps_per_epoch=2, epochs=2, shuffle=False, verbose=0)
assert threading.active_count() == before
def fail(step):
    raise OSError("the disk is gone")
windows.batch = fail
try:
    sum.fit(windows.as_dataset(), steps_per_epoch=2, shuffle=False, verbose=0)
except OSError as error:
    assert error is windows.fault and str(error) == "the disk is gone"
else:
    raise AssertionError("the error is lost")
"""
    root = Path(__file__).resolve().parents[1]
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    subprocess.run([sys.executable, "-c", code], cwd=root, env=environment, check=True)


def test_frames_inputs_are_read_from_every_window_and_from_excerpts(long):
    def inputs_of(clip, x):
        return {"loudness": np.abs(x).reshape(-1, 16, 1).mean(axis=1)}

    inputs = {"loudness": Input("frames", hop=16)}
    windows = Windows(long, "train", 256, 4, multiple=32, inputs=inputs, inputs_of=inputs_of)
    batch = windows.batch(0)
    assert windows.batch_form()["loudness"] == ((4, 16, 1), np.float32)
    expected = np.abs(batch["x"]).reshape(4, 16, 16).mean(axis=2)
    np.testing.assert_allclose(batch["loudness"][..., 0], expected, rtol=1e-6)
    assert windows.example_inputs(0)["loudness"].shape == (1, 992 // 16, 1)
    assert windows.example_inputs(0, 100)["loudness"].shape == (1, 96 // 16, 1)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"mel": np.zeros((17, 3))}, r"mel of shape \(16, 3\) for 256"),
        ({"mel": np.zeros((16, 2))}, r"Received: \(16, 2\)"),
        ({"loudness": np.zeros((16, 3))}, "inputs_of to return mel"),
    ],
)
def test_inputs_of_another_shape_are_refused(long, values, message):
    inputs = {"mel": Input("frames", size=3, hop=16)}
    windows = Windows(long, "train", 256, 4, inputs=inputs, inputs_of=lambda clip, x: values)
    with pytest.raises(UsageError, match=message):
        windows.batch(0)
