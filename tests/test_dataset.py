"""Test `dataset_info.json`: valid content is read, and any other is refused in one line."""

import hashlib
import json
import shutil
import tracemalloc

import numpy as np
import pytest

from singlow.data.store import dataset
from singlow.data.store.dataset import (
    INFO,
    SPLITS,
    Clips,
    content_hash,
    read_info,
    singer_names,
    write_info,
)
from singlow.errors import DataError
from tests.datasets import write_noise

MISSING = object()
ROW = ("splits", "train", "index", 1)
SHARD = ("splits", "train", "shards", 0)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    out = tmp_path_factory.mktemp("dataset") / "out"
    return write_noise(out, {"train": [300, 200, 100], "validation": [50]}, channels=2)


@pytest.fixture
def out(written, tmp_path):
    return shutil.copytree(written, tmp_path / "out")


def put(info, place, value):
    *way, last = place
    for key in way:
        info = info[key]
    if value is MISSING:
        del info[last]
    else:
        info[last] = value


def test_a_description_is_read_as_it_was_written(out):
    info = read_info(out)
    info["lost"] = ["a"]
    write_info(out, info)
    assert read_info(out) == info


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("format",), "other"),
        (("version",), True),
        (("version",), [[["x" * 1000] * 1000] * 9] * 9),
        (("sample_rate",), MISSING),
        (("sample_rate",), "16000"),
        (("sample_rate",), 0),
        (("sample_rate",), 16000.5),
        (("sample_rate",), float("nan")),
        (("channels",), 10**9),
        (("channels",), True),
        (("channels",), -1),
        (("singers",), [1]),
        (("singers",), {}),
        (("singers",), {"a": 0, "b": 0}),
        (("singers",), {"a": 1}),
        (("singers",), {"a": "0"}),
        (("fingerprint",), None),
        (("layout",), 3),
        (("sources",), "songs"),
        (("rejected",), [1]),
        (("settings",), {"seed": "; rm"}),
        (("lost",), 4),
        (("copies",), ["train0", "train1"]),
        (("copies",), [["train0", 1]]),
        (("splits",), MISSING),
        (("splits",), []),
        (("splits", "validation"), MISSING),
        (("splits", "test"), {}),
        (("splits", "train"), 5),
        (("splits", "train", "shards"), []),
        (("splits", "train", "shards"), {"name": "x"}),
        (("splits", "train", "shards", 0), "train.tfrecord-00000-of-00003"),
        (("splits", "train", "shards", 1, "name"), "train.tfrecord-00000-of-00003"),
        ((*SHARD, "name"), MISSING),
        ((*SHARD, "name"), "../home/notes.txt"),
        ((*SHARD, "name"), "/etc/hostname"),
        ((*SHARD, "name"), "train.tfrecord-00000-of-00003\n"),
        ((*SHARD, "name"), "../train.tfrecord-00000-of-00003"),
        ((*SHARD, "name"), "validation.tfrecord-00000-of-00001"),
        ((*SHARD, "name"), "train.tfrecord-\u0660\u0660\u0660\u0660\u0660-of-00003"),
        ((*SHARD, "bytes"), 20),
        ((*SHARD, "bytes"), None),
        ((*SHARD, "records"), -1),
        ((*SHARD, "sha256"), 7),
        ((*SHARD, "sha256"), "f" * 63),
        (("splits", "train", "ids"), ["train0"]),
        (("splits", "train", "ids", 0), 3),
        (("splits", "train", "ids", 0), "train1"),
        (("splits", "train", "clips"), 99),
        (("splits", "train", "samples"), 10**9),
        (("splits", "train", "index"), None),
        (("splits", "train", "index"), [[0, 0, 12, 4, 12, 1]]),
        (ROW, [0, 1, 12]),
        (ROW, "000000"),
        ((*ROW, 0), 1),
        ((*ROW, 0), -1),
        ((*ROW, 1), 10**9),
        ((*ROW, 1), -1),
        ((*ROW, 2), 0),
        ((*ROW, 2), 1.0),
        ((*ROW, 3), 10**9),
        ((*ROW, 4), -1),
        ((*ROW, 4), 0),
        ((*ROW, 4), 10**9),
        ((*ROW, 5), 10**9),
        ((*ROW, 5), 10**30),
    ],
)
def test_an_impossible_value_is_refused_in_one_line(place, value, out):
    info = json.loads((out / INFO).read_text())
    put(info, place, value)
    (out / INFO).write_text(json.dumps(info))
    with pytest.raises(DataError, match=INFO) as caught:
        read_info(out)
    message = str(caught.value)
    assert "xpected" in message
    assert "Received: " in message
    assert "\n" not in message
    assert len(message.replace(str(out), "")) < 300


@pytest.mark.parametrize(
    "text", [b"", b"[" * 200_000, b"\xff", b"9" * 5000, b'{"format":' * 50_000, b"[1]"]
)
def test_other_content_is_refused_in_one_line(text, out):
    (out / INFO).write_bytes(text)
    with pytest.raises(DataError, match=INFO) as caught:
        read_info(out)
    assert "\n" not in str(caught.value)


def test_a_description_that_is_not_a_file_or_too_large_is_refused(out, monkeypatch):
    monkeypatch.setattr(dataset, "LARGEST", 100)
    with pytest.raises(DataError, match="larger than 100 bytes"):
        read_info(out)
    before = (out / INFO).read_bytes()
    with pytest.raises(DataError, match="several datasets"):
        write_info(out, {"format": "x" * 200})
    assert (out / INFO).read_bytes() == before
    (out / INFO).unlink()
    (out / INFO).mkdir()
    with pytest.raises(DataError, match="regular file"):
        read_info(out)


@pytest.mark.parametrize("item", [b"[],", b"{},", b'"",', b'{"a":1},', b"1000,"])
def test_a_small_file_that_needs_much_memory_is_refused(item, out, monkeypatch):
    monkeypatch.setattr(dataset, "MEMORY", 8 << 20)
    (out / INFO).write_bytes(b"[" + item * (2_000_000 // len(item)) + b"0]")
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="needs more than 8 MB of memory"):
            read_info(out)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_the_content_hash_is_of_all_shards_and_not_of_their_place(out, tmp_path):
    info = read_info(out)
    content = content_hash(info)
    digests = [shard["sha256"] for name in SPLITS for shard in info["splits"][name]["shards"]]
    assert content == hashlib.sha256("".join(digests).encode()).hexdigest()[:16]
    assert content == content_hash(read_info(shutil.copytree(out, tmp_path / "moved")))
    info["splits"]["validation"]["shards"][0]["sha256"] = 64 * "0"
    assert content_hash(info) != content


def test_clips_are_read_by_offset_and_checked(out):
    info = read_info(out)
    clips = Clips(out, info, "train", shortest=150)
    assert [entry.frames for entry in clips.entries] == [300, 200]
    whole = clips.samples(0)
    assert (whole.dtype, whole.shape) == (np.int16, (300, 2))
    assert np.array_equal(clips.samples(0, 10, 20), whole[10:30])
    assert clips.features(1)["id"] == b"train1"
    assert singer_names(info) == ["s"]
    assert len(Clips(out, info, "train", shortest=200).entries) == 2
    with pytest.raises(DataError, match="no train clip of 301 samples"):
        Clips(out, info, "train", shortest=301)
    path = out / info["splits"]["train"]["shards"][clips.entries[0].shard]["name"]
    body = bytearray(path.read_bytes())
    body[clips.entries[0].audio + 3] ^= 1
    path.write_bytes(body)
    with pytest.raises(DataError, match=r"record 0, at byte 0.*prepare --recover"):
        Clips(out, info, "train").samples(0)
    path.unlink()
    with pytest.raises(DataError, match=r"cannot be read.*prepare --recover"):
        Clips(out, info, "train")
