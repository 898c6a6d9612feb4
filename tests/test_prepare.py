"""`prepare`: where the records of a dataset are built, and when they are built again."""

import errno
import json
import os
import shlex
import shutil
from pathlib import Path

import pytest

import data_loader
from singlow.data.feed.windows import Windows
from singlow.data.prepare import build, builtin
from singlow.data.prepare.build import prepare
from singlow.data.prepare.repair import recover_dataset
from singlow.data.store.records import read_shard
from singlow.errors import DataError
from singlow.runs.data import prepare_data
from tests.datasets import corpus
from tests.songs import command


def test_prepare_builds_beside_a_folder_and_reuses(tmp_path):
    source, lines = corpus(tmp_path / "in"), []
    out = prepare(source, report=lines.append, workers=1)
    assert out.parent == source / ".singlow"
    assert prepare(source, report=lines.append, workers=1) == out
    assert "reused" in lines[-1]
    assert prepare(source, report=lines.append, sample_rate=8000, workers=1) != out
    assert Windows(out, "train", 256, 1).clips == 5


def test_prepare_builds_under_data_dir_and_passes_datasets_through(tmp_path):
    source = corpus(tmp_path / "in")
    out = prepare(source, data_dir=tmp_path / "cache", report=lambda _: None, workers=1)
    assert out.parent == tmp_path / "cache"
    assert not (source / ".singlow").exists()
    assert prepare(out) == out
    with pytest.raises(DataError, match="--sampling_rate 16000"):
        prepare(out, sample_rate=8000)


def test_prepare_leaves_nothing_beside_what_is_no_audio(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("etc/hostname", "songs/a.wav"):
        path = tmp_path / name
        path.parent.mkdir()
        path.write_text("no audio")
    for dataset, place in (("etc/hostname", None), ("songs", None), ("songs", "deep/cache")):
        with pytest.raises(DataError, match="None of 1 file"):
            prepare(dataset, data_dir=place, report=lambda _: None, workers=1)
    assert {path.name for path in tmp_path.rglob("*")} == {"etc", "hostname", "songs", "a.wav"}


def test_prepare_keeps_what_an_interrupted_build_decoded(tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    source = corpus(tmp_path / "in", {"a": [0.5, 0.5]})
    with monkeypatch.context() as patched:
        patched.setattr(build, "write_dataset", stop)
        with pytest.raises(KeyboardInterrupt):
            prepare(source, report=lambda _: None, workers=1)
    assert list((source / ".singlow").glob("*/.building/part-*"))
    prepare(source, report=lambda _: None, workers=1)
    assert not list((source / ".singlow").glob("*/.building"))


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


def test_a_run_gets_back_what_was_lost_to_damage(tmp_path):
    settings = {
        "data": {"dataset": str(corpus(tmp_path / "my songs"))},
        "arguments": {"sample_rate": 8000, "channels": 2},
    }
    run = prepare_data(settings)
    path = next(Path(run["data"]["directory"]).glob("train.*-00000-*"))
    body = bytearray(path.read_bytes())
    body[100] ^= 1
    path.write_bytes(body)
    recover_dataset(path.parent, lambda _: None)
    with pytest.raises(DataError, match=r"1 clip.s. were lost.*singlow prepare") as caught:
        prepare_data(run)
    message = str(caught.value)
    assert "\n" not in message
    words = shlex.split(message[message.index("python3 -m singlow prepare") :])
    assert command(data_loader.main, words[4:], tmp_path).code == 0
    assert prepare_data(run) == run


def test_a_damaged_builtin_corpus_says_how_it_comes_back(tmp_path, monkeypatch):
    monkeypatch.setattr(builtin, "CLIPS_PER_SINGER", 2)
    settings = {"data": {"dataset": "builtin"}, "arguments": {}}
    run = prepare_data(settings, tmp_path)
    directory = Path(run["data"]["directory"])
    next(directory.glob("train.*-00000-*")).unlink()
    recover_dataset(directory, lambda _: None)
    with pytest.raises(DataError, match=f"Delete {directory}; training"):
        prepare_data(run, tmp_path)
    shutil.rmtree(directory)
    assert prepare_data(run, tmp_path) == run


def test_the_builtin_corpus(tmp_path):
    out = prepare("builtin", data_dir=tmp_path, report=lambda _: None)
    info = json.loads((out / "dataset_info.json").read_text())
    assert len(info["singers"]) == 4
    assert {record["style"] for shard in out.glob("train.*") for record in read_shard(shard)} == {
        b"human",
        b"virtual",
    }
    held = Windows(out, "validation", 8192, 16, training=False)
    assert held.samples > 16000
    assert all(held.clip(index)[1].std() > 100 for index in range(held.clips))
