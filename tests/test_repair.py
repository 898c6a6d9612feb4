"""Errors name damaged shards, and recovery keeps their intact records."""

import errno
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from singlow.audio import load_audio, quantize
from singlow.data.feed.windows import Windows
from singlow.data.prepare import repair
from singlow.data.prepare.repair import recover_dataset, verify_dataset
from singlow.data.store.dataset import INFO, read_info
from singlow.data.store.records import frame, index_shard, read_example, write_example
from singlow.errors import DataError
from tests.datasets import build, corpus, shard_bytes


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
    assert lost.pop() in lines[-3]
    assert "1 clip(s) lost. Build it again: python3 -m singlow prepare SRC --out " in lines[-2]
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


def spoil(path: Path, number: int) -> bytes:
    """Flip a bit in a record of a shard and return the new bytes of the shard."""
    record, body = index_shard(path)[0][number], bytearray(path.read_bytes())
    body[record.start + record.length // 2] ^= 16
    path.write_bytes(body)
    return bytes(body)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("repair")
    build(corpus(folder / "in", {"a": [0.3] * 24}), folder / "out")
    return folder


@pytest.fixture
def songs(built):
    return built / "in"


@pytest.fixture
def out(built, tmp_path):
    return shutil.copytree(built / "out", tmp_path / "out")


@pytest.mark.parametrize("stopped", ["index_shard", "write_shard", "describe_shard", "write_info"])
@pytest.mark.parametrize("times", [1, 2])
def test_an_interrupted_recovery_loses_no_intact_record(stopped, times, out, monkeypatch):
    path, before = next(out.glob("train.tfrecord-00001-*")), read_info(out)
    body = spoil(path, 0)
    damaged = sum(part["clips"] for part in before["splits"].values()) - 1
    real = getattr(repair, stopped)

    def stop(*arguments):
        if arguments[0] in (path, path.with_name(f"{path.name}.damaged"), out):
            raise KeyboardInterrupt
        return real(*arguments)

    for _ in range(times):
        with monkeypatch.context() as patched:
            patched.setattr(repair, stopped, stop)
            with pytest.raises(KeyboardInterrupt):
                recover_dataset(out, lambda _: None)
        assert path.is_file()
    after = recover_dataset(out, lambda _: None)
    verify_dataset(out, lambda _: None)
    assert sum(part["clips"] for part in after["splits"].values()) == damaged
    assert body in [aside.read_bytes() for aside in out.glob("*.damaged*")]


def test_kept_damaged_files_are_never_replaced(out):
    path = next(out.glob("train.tfrecord-00000-*"))
    bodies = []
    for _ in range(3):
        bodies.append(spoil(path, 0))
        recover_dataset(out, lambda _: None)
        names = {aside.name: aside.read_bytes() for aside in out.glob("*.damaged*")}
        assert sorted(names.values()) == sorted(bodies)
    assert set(names) == {f"{path.name}.damaged{end}" for end in ("", "-2", "-3")}


def test_a_file_system_without_links(out, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    path = next(out.glob("train.tfrecord-00000-*"))
    body = spoil(path, 0)
    recover_dataset(out, lambda _: None)
    verify_dataset(out, lambda _: None)
    assert path.with_name(f"{path.name}.damaged").read_bytes() == body


def test_a_missing_shard_is_restored_from_a_kept_file(out):
    before = shard_bytes(out)
    path = next(out.glob("train.tfrecord-00000-*"))
    path.rename(path.with_name(f"{path.name}.damaged"))
    path.with_name(f"{path.name}.damaged-2").write_bytes(b"less")
    recover_dataset(out, lambda _: None)
    assert {name: shard_bytes(out)[name] for name in before} == before


def test_lost_clips_are_listed_and_built_again(out, songs):
    before, info, lines = shard_bytes(out), read_info(out), []
    lost = []
    for number in range(2):
        path = next(out.glob(f"train.tfrecord-0000{number}-*"))
        spoil(path, 0)
        after = recover_dataset(out, lines.append)
        ids = {id for part in info["splits"].values() for id in part["ids"]}
        lost = sorted(ids - {id for part in after["splits"].values() for id in part["ids"]})
        assert len(lost) == number + 1
        assert after["lost"] == lost
    assert f"--out {out} --layout folders --sampling_rate 16000" in lines[-1]
    lines.clear()
    assert build(songs, out, report=lines.append) == info
    assert not any("reused" in line for line in lines)
    assert {name: shard_bytes(out)[name] for name in before} == before


def test_bytes_between_records_cost_nothing(out):
    before = shard_bytes(out)
    path = next(out.glob("train.tfrecord-00000-*"))
    path.write_bytes(bytes(100) + path.read_bytes())
    recover_dataset(out, lambda _: None)
    assert {name: shard_bytes(out)[name] for name in before} == before


def test_records_that_the_dataset_does_not_describe_are_dropped(out):
    before = shard_bytes(out)
    path = next(out.glob("train.tfrecord-00000-*"))
    payload = index_shard(path)[0][0]
    whole = path.read_bytes()
    id = read_example(whole[payload.start : payload.start + payload.length])["id"].decode()
    shorter = frame(write_example({"id": id, "audio": b"12"}))
    path.write_bytes(shorter + frame(b"\xff") + frame(write_example({"id": 5})) + whole)
    recover_dataset(out, lambda _: None)
    assert {name: shard_bytes(out)[name] for name in before} == before


def test_a_split_without_any_record_is_refused(out):
    for path in out.glob("validation.*"):
        path.unlink()
    with pytest.raises(DataError, match=r"no validation record.*singlow prepare SRC --out"):
        recover_dataset(out, lambda _: None)


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
