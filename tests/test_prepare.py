"""`prepare` builds the records of a dataset in the right folder, and rebuilds them if needed."""

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
from singlow.data.prepare.build import describe_changes, prepare
from singlow.data.prepare.repair import recover_dataset
from singlow.data.store.dataset import content_hash, find_dataset, read_info
from singlow.data.store.records import read_shard
from singlow.errors import DataError, UsageError
from singlow.runs.data import prepare_data
from tests.datasets import builtin as builtin_corpus
from tests.datasets import corpus
from tests.songs import command
from tests.sounds import save, song


def test_prepare_builds_beside_a_folder_and_reuses(tmp_path):
    source, lines = corpus(tmp_path / "in"), []
    out = prepare(source, report=lines.append, workers=1)
    assert out.parent == source / ".singlow"
    assert out.name == read_info(out)["fingerprint"]
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


def test_prepare_builds_where_out_says_with_every_setting(tmp_path):
    source = tmp_path / "in"
    corpus(source, {"p1_1": [0.3], "p1_2": [0.3], "p2_1": [0.3], "p2_2": [0.3]})
    for path in source.glob("*/*"):
        path.rename(source / f"{path.parent.name}.wav")
    out = prepare(
        [source], tmp_path / "out", layout="folders", sample_rate=8000, channels=2, workers=1,
        seed=3, loudness=-20.0, report=lambda _: None,
    )  # fmt: skip
    assert out == tmp_path / "out"
    info = read_info(out)
    assert list(info["singers"]) == ["in"]
    assert (info["sample_rate"], info["channels"]) == (8000, 2)
    assert (info["settings"]["seed"], info["settings"]["level"]) == (3, -20.0)
    guessed = prepare(source, data_dir=tmp_path / "data", workers=1, report=lambda _: None)
    assert list(read_info(guessed)["singers"]) == ["p1", "p2"]
    with pytest.raises(UsageError, match="which holds records"):
        prepare(out, tmp_path / "again")


def test_prepare_refuses_what_does_not_exist_and_reserved_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="which does not exist"):
        prepare("~/songs that are not there", report=lambda _: None)
    source = corpus(tmp_path / "in", {"auto": [0.3, 0.3]})
    with pytest.raises(UsageError, match="Received: auto"):
        prepare(source, report=lambda _: None)
    assert not (source / ".singlow").exists()


def test_a_moved_dataset_is_found_by_its_content(tmp_path):
    source = corpus(tmp_path / "in", {"a": [0.3, 0.3]})
    first = prepare(source, report=lambda _: None, workers=1)
    other = prepare(corpus(tmp_path / "other", {"b": [0.3, 0.4]}), report=lambda _: None, workers=1)
    content = content_hash(read_info(first))
    assert content != content_hash(read_info(other))
    moved = tmp_path / "elsewhere" / "records"
    moved.parent.mkdir()
    shutil.move(first, moved)
    shutil.move(source, tmp_path / "moved")
    assert find_dataset(content, [source, other]) is None
    assert find_dataset(content, [tmp_path / "nowhere", other, moved]) == moved
    assert find_dataset(content, [moved.parent]) == moved
    shutil.move(moved, tmp_path / "moved" / ".singlow" / "x")
    assert find_dataset(content, [tmp_path / "moved"]) == tmp_path / "moved" / ".singlow" / "x"
    (tmp_path / "moved" / ".singlow" / "x" / "dataset_info.json").write_text("{}")
    assert find_dataset(content, [tmp_path / "moved"]) is None


def test_recordings_added_since_are_described(tmp_path):
    source = corpus(tmp_path / "songs", {"a": [0.3, 0.3], "b": [0.3]})
    (source / "a" / "empty.wav").touch()
    out = prepare(source, report=lambda _: None, workers=1)
    assert describe_changes(out, source) == ""
    save(source / "a" / "new.wav", song(0.3, seed=9))
    (source / "b" / "odd\x1b.wav").touch()
    assert describe_changes(out, [source]) == (
        f"{source}: since {out} was prepared, 2 recording(s) were added: a/new, b/odd\\x1b."
    )
    (source / "a" / "clip0.wav").unlink()
    assert "1 recording(s) were removed: a/clip0." in describe_changes(out, source)
    (source / "a" / "new.wav").unlink()
    (source / "b" / "odd\x1b.wav").unlink()
    save(source / "a" / "clip0.wav", song(0.4, seed=7))
    os.utime(source / "a" / "clip0.wav", (2e9, 2e9))
    assert describe_changes(out, source).endswith("1 recording(s) were changed: a/clip0.")
    shutil.rmtree(source / "a")
    shutil.move(out, tmp_path / "out")
    shutil.rmtree(source)
    assert describe_changes(tmp_path / "out", source) == ""
    assert describe_changes(tmp_path / "out", tmp_path / "out") == ""


def test_prepare_leaves_nothing_beside_files_without_audio(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("etc/hostname", "songs/a.wav"):
        path = tmp_path / name
        path.parent.mkdir()
        path.write_text("no audio")
    for dataset, place in (("etc/hostname", None), ("songs", None), ("songs", "deep/cache")):
        with pytest.raises(DataError, match="None of 1 file"):
            prepare(dataset, data_dir=place, report=lambda _: None, workers=1)
    assert {path.name for path in tmp_path.rglob("*")} == {"etc", "hostname", "songs", "a.wav"}


def test_prepare_keeps_the_decoded_files_of_an_interrupted_build(tmp_path, monkeypatch):
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


def test_a_run_gets_lost_clips_back(tmp_path):
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


def test_a_damaged_builtin_corpus_has_advice_to_restore_it(tmp_path, monkeypatch):
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


def test_the_builtin_corpus():
    (out,) = (path for path in builtin_corpus().iterdir() if path.is_dir())
    info = json.loads((out / "dataset_info.json").read_text())
    assert len(info["singers"]) == 4
    assert sum(part["clips"] for part in info["splits"].values()) == 48
    assert info["splits"]["train"]["shards"][0]["name"] == "train.tfrecord-00000-of-00008"
    assert {record["style"] for shard in out.glob("train.*") for record in read_shard(shard)} == {
        b"human",
        b"virtual",
    }
    held = Windows(out, "validation", 8192, 16, training=False)
    assert held.samples > 16000
    assert all(held.clip(index)[1].std() > 100 for index in range(held.clips))
