"""Damaged shards: named, and their intact records recovered."""

import json
from pathlib import Path

import numpy as np
import pytest

from singlow.audio import load_audio, quantize
from singlow.data.dataset import INFO
from singlow.data.pipeline import Windows
from singlow.data.records import index_shard
from singlow.data.repair import recover_dataset, verify_dataset
from singlow.errors import DataError
from tests.datasets import build, corpus


def test_a_flipped_bit_is_named_and_the_rest_recovered(tmp_path):
    out, lines = tmp_path / "out", []
    source = corpus(tmp_path / "in", {"a": [0.3] * 24})
    before = build(source, out)
    verify_dataset(out, lines.append)
    assert "all intact" in lines[-1]
    path = next(out.glob("train.tfrecord-00002-*"))
    records = index_shard(path)[0]
    assert len(records) >= 2
    body = bytearray(path.read_bytes())
    body[records[1].start + records[1].length // 2] ^= 16
    path.write_bytes(body)
    lines.clear()
    with pytest.raises(DataError, match="--recover"):
        verify_dataset(out, lines.append)
    assert f"{path}: record 1, at byte {records[1].offset}: " in lines[0]
    after = recover_dataset(out, lines.append)
    verify_dataset(out, lines.append)
    assert path.with_name(f"{path.name}.damaged").read_bytes() == bytes(body)
    train = after["splits"]["train"]
    lost = set(before["splits"]["train"]["ids"]) - set(train["ids"])
    assert len(lost) == 1
    assert lost.pop() in lines[-2]
    windows = Windows(out, "train", 256, 4)
    assert windows.clips == train["clips"] == before["splits"]["train"]["clips"] - 1
    held = {Path(entry).stem: entry for entry in train["ids"]}
    for index in range(windows.clips):
        name, audio = windows.clip(index)
        file = next((source / "a").glob(f"{Path(held[Path(name).stem]).stem}.*"))
        assert np.array_equal(audio, quantize(load_audio(file)[0]))


def test_a_missing_shard_is_recovered_from(tmp_path):
    out = tmp_path / "out"
    build(corpus(tmp_path / "in"), out)
    next(out.glob("train.tfrecord-00000-*")).unlink()
    with pytest.raises(DataError):
        verify_dataset(out, lambda _: None)
    recover_dataset(out, lambda _: None)
    verify_dataset(out, lambda _: None)
    Windows(out, "train", 256, 4).batch(0)


def test_a_shard_outside_the_folder_is_not_touched(tmp_path):
    out, notes = tmp_path / "out", tmp_path / "home" / "notes.txt"
    build(corpus(tmp_path / "in"), out)
    notes.parent.mkdir()
    notes.write_text("years of work")
    info = json.loads((out / INFO).read_text())
    info["splits"]["train"]["shards"][0]["name"] = "../home/notes.txt"
    (out / INFO).write_text(json.dumps(info))
    for use in (verify_dataset, recover_dataset):
        with pytest.raises(DataError, match=r"notes\.txt"):
            use(out, lambda _: None)
    with pytest.raises(DataError, match=r"notes\.txt"):
        Windows(out, "train", 256, 4)
    assert [path.name for path in notes.parent.iterdir()] == ["notes.txt"]
    assert notes.read_text() == "years of work"
