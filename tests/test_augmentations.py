"""Test the augmentation of training windows for Blow, and how windows are drawn."""

from collections import Counter

import numpy as np
import pytest

from singlow.data.feed.augmentations import augmented
from singlow.data.feed.windows import Windows
from singlow.inputs import Input
from tests.datasets import write_noise

LENGTHS = {"train": [4000, 600, 3000, 700], "validation": [700, 600]}

SPEAKER = {"speaker": Input("item", "int32", 2)}


@pytest.fixture(scope="module")
def voices(tmp_path_factory):
    return write_noise(tmp_path_factory.mktemp("voices") / "set", LENGTHS, singers=("anna", "bert"))


def test_a_window_is_filtered_scaled_and_flipped():
    x = np.random.default_rng(0).standard_normal((5000, 1)).astype(np.float32)
    drawn = [augmented(x, np.random.default_rng(seed)) for seed in range(200)]
    peaks = np.array([y[np.abs(y).argmax(), 0] for y in drawn])
    assert np.abs(peaks).max() <= 1
    assert np.abs(peaks).min() < 0.05
    assert all(y.dtype == np.float32 and y.shape == x.shape for y in drawn)
    signs = [np.sign((y * x).sum()) for y in drawn]
    assert 0.35 < np.mean(np.array(signs) > 0) < 0.65
    nyquist = np.exp(1j * np.pi * np.arange(len(x)))
    tilts = [abs((y[:, 0] * nyquist).sum() / y.sum()) for y in drawn]
    assert max(tilts) > 1.2 * min(tilts)


def test_a_filter_sums_its_taps():
    class Fixed:
        drawn = iter([0.2, 1.0])

        def uniform(self, *_):
            return next(self.drawn)

    impulse = np.zeros((8, 1), np.float32)
    impulse[2] = 1
    found = augmented(impulse, Fixed())[:, 0]
    expected = np.array([0, 0, 1, 0.2, 0.2**2, 0.2**4, 0.2**8, 0])
    np.testing.assert_allclose(found, expected, atol=1e-6)  # the largest value is scaled to 1


def test_silence_stays_silence():
    assert not augmented(np.zeros((16, 1), np.float32), np.random.default_rng(0)).any()


def test_windows_name_the_speaker(voices):
    windows = Windows(voices, "train", 256, 6, inputs=SPEAKER, augment=True)
    owner = {f"train{number}": number % 2 for number in range(4)}
    for step in range(5):
        batch = windows.batch(step)
        expected = [owner[name] for name in windows.clip_names(step)]
        assert batch["speaker"].tolist() == expected
        assert batch["speaker"].dtype == np.int32
    assert [windows.singer(index) for index in range(4)] == [0, 1, 0, 1]


def test_augmented_windows_are_the_same_again_and_held_out_ones_as_they_are(voices):
    plain, one, two = (Windows(voices, "train", 256, 4, augment=a) for a in (False, True, True))
    assert (one.batch(3)["x"] == two.batch(3)["x"]).all()
    assert (one.batch(3)["x"] != plain.batch(3)["x"]).any()
    assert one.clip_names(3) == plain.clip_names(3)
    held = [
        Windows(voices, "validation", 256, 2, training=False, augment=augment, min_rms=1.0)
        for augment in (False, True)
    ]
    assert (held[0].batch(1)["x"] == held[1].batch(1)["x"]).all()


def test_balanced_windows_are_as_many_of_each(voices):
    for balanced in (False, True):
        windows = Windows(voices, "train", 256, 1, inputs=SPEAKER, balanced=balanced)
        drawn = Counter(int(windows.batch(step)["speaker"][0]) for step in range(windows.windows))
        assert (drawn[0] == drawn[1]) is balanced
        names = {windows.clip_names(step)[0] for step in range(windows.windows)}
        assert len(names) == 4


def test_quiet_stretches_are_drawn_less(tmp_path):
    from singlow.data.prepare.assemble import write_dataset
    from singlow.data.sources.clips import Clip

    audio = np.zeros((20000, 1), np.int16)
    audio[10000:] = np.random.default_rng(0).integers(-9999, 9999, (10000, 1))
    clips = [Clip(tmp_path / name, "s", id=name) for name in ("a", "b")]
    settings = {"sampling_rate": 16000, "channel_size": 1, "seed": 0, "validation_share": 0.1}
    about = {"layout": "folders", "sources": [], "fingerprint": "", "rejected": []}
    (tmp_path / "scratch").mkdir()
    given = (clips, [20000, 20000], lambda _: audio, settings, about)
    write_dataset(tmp_path, tmp_path / "scratch", *given)

    def silent(min_rms):
        windows = Windows(tmp_path, "train", 256, 64, min_rms=min_rms)
        x = np.concatenate([windows.batch(step)["x"] for step in range(4)])
        return (np.abs(x).max((1, 2)) < 1e-3).mean()

    assert silent(0.0) > 0.4
    assert silent(0.025) < 0.05
