"""`prepare`: where the records of a dataset are built, and when they are built again."""

import errno
import json
import os
from pathlib import Path

import pytest

from singlow.data.build import prepare
from singlow.data.pipeline import Windows
from singlow.data.records import read_shard
from singlow.errors import DataError
from tests.datasets import corpus


def test_prepare_builds_beside_a_folder_and_reuses(tmp_path):
    source, lines = corpus(tmp_path / "in"), []
    out = prepare(source, report=lines.append, workers=1)
    assert out.parent == source / ".singlow"
    assert prepare(source, report=lines.append, workers=1) == out
    assert "reused" in lines[-1]
    assert prepare(source, report=lines.append, sampling_rate=8000, workers=1) != out
    assert Windows(out, "train", 256, 1).clips == 5


def test_prepare_builds_under_data_dir_and_passes_datasets_through(tmp_path):
    source = corpus(tmp_path / "in")
    out = prepare(source, tmp_path / "cache", report=lambda _: None, workers=1)
    assert out.parent == tmp_path / "cache"
    assert not (source / ".singlow").exists()
    assert prepare(out) == out
    with pytest.raises(DataError, match="--sampling_rate 16000"):
        prepare(out, sampling_rate=8000)


def test_prepare_falls_back_where_the_folder_is_read_only(tmp_path, monkeypatch):
    source = corpus(tmp_path / "in")
    monkeypatch.chdir(tmp_path)
    real = Path.mkdir

    def mkdir(self, *arguments, **settings):
        if self.name == ".singlow":
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(self))
        real(self, *arguments, **settings)

    monkeypatch.setattr(Path, "mkdir", mkdir)
    assert prepare(source, report=lambda _: None, workers=1).parent == Path("data")


def test_the_builtin_corpus(tmp_path):
    out = prepare("builtin", tmp_path, report=lambda _: None)
    info = json.loads((out / "dataset_info.json").read_text())
    assert len(info["singers"]) == 4
    assert {record["style"] for shard in out.glob("train.*") for record in read_shard(shard)} == {
        b"human",
        b"virtual",
    }
    held = Windows(out, "validation", 8192, 16, training=False)
    assert held.samples > 16000
    assert all(held.clip(index)[1].std() > 100 for index in range(held.clips))
