"""Test batches of whole utterances: buckets, padding, order, and utterances that are left out."""

import numpy as np
import pytest

from singlow.data.feed.utterances import Utterances
from singlow.errors import DataError
from singlow.inputs import Input
from singlow.signals import LogMel
from singlow.spectral import MelRecipe, mel_spectrogram
from tests.datasets import write_noise
from tests.test_flow import to_numpy

RECIPE = MelRecipe(sample_rate=16000, n_fft=256, hop_length=128, n_mels=8)
SIGNAL = LogMel(RECIPE)
TEXT = {"text": Input("sequence", "int32", size=100)}
LENGTHS = [1000 + 137 * n for n in range(40)]


def letters(clip, x) -> dict[str, np.ndarray]:
    """The text of a clip is its number, once for every second frame."""
    number = int(clip.id.removeprefix("train").removeprefix("validation"))
    if number == 7:
        raise DataError(f"{clip.id}: Expected symbols that are known. Received: '?'.")
    count = len(x) + 1 if number == 9 else len(x) // 2
    return {"text": np.full(count, number, np.int32)}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    out = tmp_path_factory.mktemp("utterances") / "data"
    return write_noise(
        out, {"train": LENGTHS, "validation": [3000, 2000, 2500]}, singers=("a", "b")
    )


def opened(place, split="train", **given) -> Utterances:
    settings = {"longest": 44, "batch_size": 2, "seed": 3, "multiple": 2, "signal": SIGNAL}
    settings |= {"inputs": TEXT, "inputs_of": letters, "training": split == "train"}
    return Utterances(place, split, **{**settings, **given})


def test_a_batch_has_whole_mels_beside_their_texts(place):
    utterances = opened(place)
    mels = dict(utterances.clip(index) for index in range(utterances.clips))
    for step in range(6):
        batch = utterances.batch(step)
        frames = batch["frame_mask"].sum(axis=1).astype(int)
        assert frames.max() <= batch["x"].shape[1]
        for row, name in enumerate(utterances.clip_names(step)):
            mel, number = mels[name], int(name.removeprefix("train"))
            assert len(mel) == frames[row] == (1 + LENGTHS[number] // 128) // 2 * 2
            np.testing.assert_array_equal(batch["x"][row, : len(mel)], mel)
            assert not batch["x"][row, len(mel) :].any()
            text = batch["text"][row][batch["text_mask"][row] > 0]
            np.testing.assert_array_equal(text, np.full(len(mel) // 2, number))
            assert (np.diff(batch["text_mask"][row]) <= 0).all()


def test_a_mel_is_that_of_its_recording(place):
    utterances = opened(place)
    name, mel = utterances.clip(0)
    index = int(name.removeprefix("train"))
    stored = utterances._clips.samples(index)
    expected = mel_spectrogram((stored[:, 0] + 0.5) / 2**15, RECIPE)[: len(mel)]
    np.testing.assert_allclose(mel, expected, atol=1e-5)


def test_a_pass_has_every_utterance_and_buckets_of_similar_length(place):
    utterances = opened(place)
    names, shapes, padded = [], set(), 0
    for step in range(utterances.steps):
        batch = utterances.batch(step)
        assert len(batch["x"]) == 2
        names += utterances.clip_names(step)
        shapes.add((batch["x"].shape, batch["text"].shape))
        padded += (batch["frame_mask"] == 0).sum()
    used = {utterances.clip(index)[0] for index in range(utterances.clips)}
    assert set(names) == used
    assert len(names) <= len(used) + len(shapes)
    assert 1 < len(shapes) <= 8
    assert padded < 0.15 * 2 * 44 * utterances.steps


def test_batches_depend_on_the_seed_and_their_number_alone(place):
    first, again, other = opened(place), opened(place), opened(place, seed=4)
    steps = [0, 3 * first.steps + 1, 5]
    for step in steps:
        for name, array in first.batch(step).items():
            np.testing.assert_array_equal(again.batch(step)[name], array)
    orders = [
        [each.clip_names(step + start) for step in range(first.steps)]
        for each, start in ((first, 0), (first, first.steps), (other, 0))
    ]
    assert orders[0] != orders[1]
    assert orders[0] != orders[2]


def test_utterances_that_cannot_be_used_are_named(place):
    left_out = dict(opened(place).left_out)
    assert "symbols that are known" in left_out["train7"]
    assert left_out["train7"].startswith("Expected")
    assert left_out["train9"] == "its text has 19 tokens, for 18 frames"
    assert "longer than 0.352 s, the window_size" in left_out["train39"]
    assert len(left_out) == 2 + sum(1 + length // 128 >= 46 for length in LENGTHS)
    with pytest.raises(DataError, match="no train utterance can be used, of 40; the first, train0"):
        opened(place, longest=4)


def test_held_out_utterances_appear_once_from_the_shortest(place):
    held_out = opened(place, "validation")
    names = [name for step in range(held_out.steps) for name in held_out.clip_names(step)]
    assert names == ["validation1", "validation2", "validation0"]
    with pytest.raises(IndexError):
        held_out.batch(held_out.steps)


def test_singers_with_few_utterances_are_repeated(tmp_path):
    place = write_noise(
        tmp_path / "data", {"train": [2000] * 9, "validation": [2000] * 2}, singers=("a", "a", "b")
    )
    plain = opened(place, inputs={}, batch_size=1)
    balanced = opened(place, inputs={}, batch_size=1, balanced=True)
    counts = {}
    for step in range(balanced.steps):
        (name,) = balanced.clip_names(step)
        singer = int(name.removeprefix("train")) % 3 == 2
        counts[singer] = counts.get(singer, 0) + 1
    assert counts == {False: 6, True: 6}
    assert plain.steps == 9


def test_the_dataset_of_the_backend_has_the_same_batches(place):
    utterances = opened(place)
    dataset = utterances.as_dataset(start_step=2, steps=3)
    batches = [batch[0] if isinstance(batch, tuple) else batch for batch in dataset]
    assert len(batches) == 3
    for step, batch in enumerate(batches, 2):
        for name, array in utterances.batch(step).items():
            np.testing.assert_array_equal(to_numpy(batch[name]), array)
