"""Test the content and reproducibility of datasets, and which files they reject."""

import errno
import os
import shlex
import tarfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from singlow.audio import load_audio, quantize
from singlow.data.feed.recordings import read_recordings
from singlow.data.feed.windows import Windows
from singlow.data.prepare import build as prepare_build
from singlow.data.prepare.build import build_dataset
from singlow.data.prepare.repair import verify_dataset
from singlow.data.store.dataset import read_info
from singlow.data.store.records import frame, read_shard, write_example
from singlow.errors import DataError, EnvironmentFault, UsageError
from singlow.names import find_name
from tests.datasets import build, corpus, shard_bytes
from tests.sounds import save, song


def test_records_hold_the_samples_of_the_files(tmp_path):
    info = build(corpus(tmp_path / "in"), tmp_path / "out")
    assert info == read_info(tmp_path / "out")
    assert info["singers"] == {"anna": 0, "bert": 1}
    assert (info["sample_rate"], info["channels"], info["layout"]) == (16000, 1, "folders")
    count = 0
    for split, part in info["splits"].items():
        assert sum(shard["records"] for shard in part["shards"]) == part["clips"]
        for shard in part["shards"]:
            assert shard["name"].startswith(f"{split}.tfrecord-")
            for record in read_shard(tmp_path / "out" / shard["name"]):
                count += 1
                singer = record["singer"].decode()
                path = tmp_path / "in" / singer / record["path"].decode()
                audio = np.frombuffer(record["audio"], "<i2")
                assert np.array_equal(audio, quantize(load_audio(path)[0])[:, 0])
                assert record["length"] == len(audio)
                assert record["speaker"] == info["singers"][singer]
                assert record["id"].decode() in part["ids"]
    assert count == 7


def test_singers_of_a_single_recording_are_reported(tmp_path):
    source = corpus(tmp_path / "in", {"anna": [1.0], "bert": [0.5, 0.5], "cy": [1.0]})
    for _ in ("built", "reused"):
        lines = []
        build_dataset([source], tmp_path / "out", workers=1, report=lines.append)
        assert lines[-1].startswith("A single recording of anna, cy: segments of it are held out")
    lines = []
    build(corpus(tmp_path / "more"), tmp_path / "others", report=lines.append)
    assert not any("single recording" in line for line in lines)


def test_settings_reach_the_records(tmp_path):
    source = corpus(tmp_path / "in", {"a": [0.5, 0.5]}, rate=22050)
    info = build(source, tmp_path / "out", sample_rate=8000, channels=2, loudness=-20.0)
    windows = Windows(tmp_path / "out", "train", 100, 1)
    assert (windows.sample_rate, windows.channels) == (8000, 2)
    audio = windows.clip(0)[1] / 32768
    assert audio.shape == (4000, 2)
    assert 20 * np.log10(np.sqrt(np.mean(audio**2))) == pytest.approx(-20, abs=0.1)
    assert info["settings"]["level"] == -20


def test_the_same_bytes_whatever_the_workers(tmp_path):
    source = corpus(tmp_path / "in")
    for workers in (1, 2, 3):
        build(source, tmp_path / str(workers), workers=workers)
    assert shard_bytes(tmp_path / "1") == shard_bytes(tmp_path / "2") == shard_bytes(tmp_path / "3")
    build(source, tmp_path / "seed", seed=3)
    assert shard_bytes(tmp_path / "seed") != shard_bytes(tmp_path / "1")


def test_an_unchanged_dataset_is_reused_with_a_message(tmp_path):
    source, out, lines = corpus(tmp_path / "in"), tmp_path / "out", []
    build(source, out)
    before = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    build(source, out, report=lines.append)
    assert any("reused" in line for line in lines)
    assert before == {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    save(source / "anna" / "new.wav", song(0.4, seed=9))
    info = build(source, out, report=lambda _: None)
    assert sum(part["clips"] for part in info["splits"].values()) == 8
    assert {shard["name"] for part in info["splits"].values() for shard in part["shards"]} == {
        path.name for path in out.iterdir() if "tfrecord" in path.name
    }


def test_a_file_replaced_by_another_of_the_same_size_is_decoded_again(tmp_path, monkeypatch):
    source, out = corpus(tmp_path / "in", {"a": [0.5, 0.5, 0.5]}), tmp_path / "out"
    path = source / "a" / "clip0.wav"
    build(source, out)
    size, before = path.stat().st_size, set.union(*contents(out).values())
    save(path, song(0.5, seed=77))
    os.utime(path, (2e9, 2e9))
    assert path.stat().st_size == size
    with monkeypatch.context() as patched:  # this build decodes the file and fails
        patched.setattr(prepare_build, "write_dataset", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            build(source, out)
    save(path, song(0.5, seed=78))
    os.utime(path, (2.1e9, 2.1e9))
    build(source, out)
    after = set.union(*contents(out).values())
    assert len(before & after) == 2
    assert quantize(load_audio(path)[0]).tobytes() in after


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("mnist-train.tfrecord-00000-of-00001", b"theirs"),
        ("train.tfrecord-00000-of-00001", b"theirs"),
        ("train.tfrecord-00000-of-00001", frame(b"theirs")),
        ("train.tfrecord-00000-of-00001", frame(write_example({"image": b"theirs"}))),
        ("dataset_info.json", b'{"name": "mnist"}'),
        ("dataset_info.json", b"theirs"),
    ],
    ids=["prefixed", "no record", "no Example", "other features", "of mnist", "no json"],
)
def test_records_of_others_are_never_replaced(name, content, tmp_path):
    source, out = corpus(tmp_path / "in", {"a": [0.5, 0.5]}), tmp_path / "out"
    out.mkdir()
    (out / name).write_bytes(content)
    with pytest.raises(UsageError, match=f"{name}.*another folder"):
        build(source, out)
    assert shard_bytes(out) == {name: content}
    (out / name).unlink()
    build(source, out)
    foreign = out / f"{name}.tfrecord-00000-of-00001"
    foreign.write_bytes(content)
    save(source / "a" / "new.wav", song(0.5))
    with pytest.raises(UsageError, match=foreign.name):
        build(source, out)
    assert foreign.read_bytes() == content


def test_only_our_shards_are_replaced(tmp_path):
    source, out = corpus(tmp_path / "in", {"a": [0.5, 0.5]}), tmp_path / "out"
    build(source, out)
    expected = shard_bytes(out)
    kept = {"train.tfrecord-00000-of-00001.damaged-2": b"aside", "notes.txt": b"mine"}
    for name, content in kept.items():
        (out / name).write_bytes(content)
    (out / "dataset_info.json").unlink()
    build(source, out)
    assert shard_bytes(out) == {**expected, **kept}


def test_one_clip_makes_a_dataset(tmp_path):
    save(tmp_path / "in" / "song.wav", song(8.0))
    info = build(tmp_path / "in", tmp_path / "out")
    assert info["splits"]["train"]["clips"] >= 1
    assert info["splits"]["validation"]["clips"] == 1
    whole = quantize(load_audio(tmp_path / "in" / "song.wav")[0])
    held = Windows(tmp_path / "out", "validation", 256, 1, training=False)
    name, audio = held.clip(0)
    start = round(float(name.split("@")[1]) * 16000)
    places = range(start - 16, start + 17)
    assert any(np.array_equal(whole[place : place + len(audio)], audio) for place in places)


def test_rejected_files_are_listed_with_reasons(tmp_path):
    source, lines = corpus(tmp_path / "in"), []
    save(source / "anna" / "silent.wav", np.zeros((8000, 1)))
    (source / "bert" / "text.mp3").write_text("no sound at all, only some words" * 9)
    for number in range(25):
        (source / "bert" / f"empty{number:02d}.wav").touch()
    info = build(source, tmp_path / "out", report=lines.append)
    reasons = {entry["path"]: entry["reason"] for entry in info["rejected"]}
    assert len(reasons) == 27
    assert "silent" in reasons["anna/silent.wav"]
    assert "unknown format" in reasons["bert/text.mp3"]
    assert "empty" in reasons["bert/empty00.wav"]
    listed = [line for line in lines if line.startswith("Left out: ")]
    assert len(listed) == 21
    assert "7 more" in listed[-1]
    assert all("\n" not in line for line in lines)


def test_names_in_other_encodings_are_accepted_and_pipes_are_rejected(tmp_path):
    source = corpus(tmp_path / "in", {"a": [0.5, 0.5]})
    os.mkfifo(source / "a" / "pipe.wav")
    (source / "a" / "broken.wav").symlink_to(tmp_path / "nowhere")
    odd = os.fsencode(source / "a") + b"/caf\xe9.wav"
    os.rename(save(source / "a" / "odd.wav", song(0.5)), odd)
    with open(os.fsencode(source / "a") + b"/\xff.wav", "wb") as file:
        file.write(b"RIFF")
    info = build(source, tmp_path / "out", report=lambda line: line.encode())
    reasons = {entry["path"]: entry["reason"] for entry in info["rejected"]}
    assert reasons["a/pipe.wav"] == "not a regular file"
    assert "cannot be opened" in reasons["a/broken.wav"]
    assert len(reasons) == 3
    verify_dataset(tmp_path / "out", lambda _: None)


def test_missing_files_of_a_table_are_rejected(tmp_path):
    source, lines = tmp_path / "in", []
    for number in range(6):
        save(source / "wavs" / f"L{number}.wav", song(0.4, seed=number))
    (source / "metadata.csv").write_text("L0|la\nL1|la\ngone|la\n")
    info = build(source, tmp_path / "out", report=lines.append)
    assert [entry["path"] for entry in info["rejected"]] == ["gone.wav"]
    assert "cannot be opened" in info["rejected"][0]["reason"]
    assert any("4 of 6 file(s)" in line for line in lines)


def contents(out: Path) -> dict[str, set[bytes]]:
    """Return the samples of all records, by split."""
    return {
        split: {record["audio"] for path in out.glob(f"{split}.*") for record in read_shard(path)}
        for split in ("train", "validation")
    }


def linked(source: Path) -> list[Path]:
    for path in sorted((source / "anna").iterdir()):
        (source / "anna" / f"{path.stem} link{path.suffix}").symlink_to(path)
        os.link(path, source / "anna" / f"{path.stem} hard{path.suffix}")
    return [source]


def copied(source: Path) -> list[Path]:
    for path in sorted((source / "anna").iterdir()):
        audio, rate = load_audio(path)
        save(source / "anna" / f"{path.stem} (1).flac", quantize(audio), rate)
    return [source]


def listed_twice(source: Path) -> list[Path]:
    names = [path.relative_to(source) for path in sorted(source.rglob("clip*"))]
    rows = [f"{name},{name.parent},{style}" for style in ("", "loud") for name in names]
    (source / "manifest.csv").write_text("\n".join(["path,singer,style", *rows]))
    return [source]


def named_twice(source: Path) -> list[str]:
    return [str(source), f"anna={source / 'anna'}"]


def under_two_singers(source: Path) -> list[Path]:
    for path in sorted((source / "anna").iterdir()):
        (source / "bert" / f"x{path.name}").write_bytes(path.read_bytes())
    return [source]


@pytest.mark.parametrize("way", [linked, copied, listed_twice, named_twice, under_two_singers])
@pytest.mark.parametrize("seed", [0, 1])
def test_no_copy_of_a_held_out_recording_is_trained_on(way, seed, tmp_path):
    sources = way(corpus(tmp_path / "in", {"anna": [0.3] * 8, "bert": [0.3] * 8}))
    lines = []
    info = build_dataset(
        sources, tmp_path / "out", workers=1, seed=seed, validation_share=0.3, report=lines.append
    )
    held = contents(tmp_path / "out")
    assert not held["train"] & held["validation"]
    assert len(held["train"] | held["validation"]) == 16
    groups = len(info["copies"])
    count = sum(len(group) - 1 for group in info["copies"])
    assert (groups, count) in {(8, 8), (8, 16), (16, 16)}
    (line,) = (line for line in lines if "copies of others" in line)
    assert line.startswith(f"{count} recording(s) are copies of others, sample for sample; ")
    assert ("has several singers" in line) == (way is under_two_singers)
    lines.clear()
    build_dataset(
        sources, tmp_path / "out", workers=1, seed=seed, validation_share=0.3, report=lines.append
    )
    assert line in lines


def test_reported_duplicates(recordings, tmp_path):
    with tarfile.open(recordings / "reported" / "duplicates.tgz") as archive:
        archive.extractall(tmp_path / "in", filter="data")
    for seed in range(4):
        info = build(tmp_path / "in" / "dup", tmp_path / f"{seed}", seed=seed)
        held = contents(tmp_path / f"{seed}")
        assert not held["train"] & held["validation"]
        assert ["ada/s1 (copy)", "ada/s1"] in info["copies"]


def test_a_singer_s_name_in_another_encoding_survives(tmp_path):
    singer = os.fsdecode(b"\x89\xb9\x83\x82")
    source = corpus(tmp_path / "in", {"umi": [0.3, 0.3], "bo": [0.3, 0.3]})
    (source / "umi").rename(source / singer)
    (source / "bo").rename(source / "[live]")
    lines = []
    info = build(source, tmp_path / "out", report=lines.append)
    assert all(map(str.encode, lines))
    assert read_info(tmp_path / "out")["singers"] == {"[live]": 0, singer: 1} == info["singers"]
    assert find_name(r"\x89\xb9\x83\x82", info["singers"]) == singer
    names = {r.singer for r in read_recordings(tmp_path / "out")}
    assert names == {singer, "[live]"}
    stored = {
        record["singer"]
        for path in (tmp_path / "out").glob("*.tfrecord*")
        for record in read_shard(path)
    }
    assert stored == {b"\x89\xb9\x83\x82", b"[live]"}


def test_control_characters_are_never_printed(tmp_path):
    source = corpus(tmp_path / "in", {"\x1b]0;title\x07": [0.3, 0.3]})
    (source / "\x1b]0;title\x07" / "\x1b[2J.wav").touch()
    lines = []
    build_dataset([source], tmp_path / "\x1b[31mout", workers=1, report=lines.append)
    assert lines
    assert all(line.isprintable() for line in lines)
    assert any(r"\x1b[2J.wav: empty" in line for line in lines)


def test_foreign_audio_is_listed_with_the_command_that_converts_it(tmp_path):
    source, lines = corpus(tmp_path / "in", {"a": [0.3, 0.3]}), []
    lost = tmp_path / "in" / "my singer"
    lost.mkdir()
    for name, content in {
        "take.webm": b"\x1aE\xdf\xa3" + bytes(200),
        "take.m4a": b"\0\0\0\x20ftypM4A \0" + bytes(200),
        "take.part": b"\0\0\0\x20ftypM4A \0" + bytes(200),
    }.items():
        (lost / name).write_bytes(content)
    info = build(source, tmp_path / "out", report=lines.append)
    reasons = {entry["path"]: entry["reason"] for entry in info["rejected"]}
    assert sorted(reasons) == ["my singer/take.m4a", "my singer/take.part", "my singer/take.webm"]
    for name, reason in reasons.items():
        words = shlex.split(reason[reason.index("ffmpeg") :])
        assert words[:2] == ["ffmpeg", "-i"]
        assert words[2] == str(source / name)
        assert words[3].rstrip(".") == str((source / name).with_suffix(".wav"))
    assert "No recording of these singers can be used: my singer." in lines


@pytest.mark.parametrize("form", ["CAF", "AU", "VOC"])
def test_formats_that_libsndfile_reads_are_read(form, tmp_path):
    for number in range(2):
        path = tmp_path / "in" / "a" / f"{number}.{form.lower()}"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, song(0.3, seed=number), 16000, format=form)
    info = build(tmp_path / "in", tmp_path / "out")
    assert info["rejected"] == []
    assert sum(part["clips"] for part in info["splits"].values()) == 2


def test_oddities_of_a_file_are_reported(tmp_path):
    source, lines = corpus(tmp_path / "in", {"a": [0.3, 0.3]}), []
    loud = (32768 * song(0.3)).astype(np.float32)
    soundfile.write(source / "a" / "loud.wav", loud, 16000, "FLOAT")
    build(source, tmp_path / "out", report=lines.append)
    (note,) = (line for line in lines if line.startswith("Note: "))
    assert "loud.wav" in note


def test_words_of_the_command_line_are_refused_as_singers(tmp_path):
    source = corpus(tmp_path / "in", {"all": [0.3, 0.3], "bo": [0.3, 0.3]})
    with pytest.raises(UsageError, match="other than all and auto"):
        build(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    build(corpus(tmp_path / "other", {"All": [0.3, 0.3]}), tmp_path / "out")


def test_home_folders_are_expanded_everywhere(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(corpus(tmp_path / "in", {"a": [0.3, 0.3]}))
    build("~/in", "~/out")
    assert read_info("~/out")["singers"] == {"a": 0}
    verify_dataset("~/out", lambda _: None)
    assert len(read_recordings("~/out")) == 2
    assert not (Path.cwd() / "~").exists()


def test_a_quiet_clip_is_kept(tmp_path):
    save(tmp_path / "in" / "a.wav", 0.02 * song(4.0))
    assert build(tmp_path / "in", tmp_path / "out")["rejected"] == []


def test_nothing_usable_is_one_clear_line(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.wav").write_bytes(b"RIFF")
    with pytest.raises(DataError, match=r"None of 1 file.*a\.wav: ") as caught:
        build(tmp_path / "in", tmp_path / "out")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"sample_rate": 10}, "sampling_rate"),
        ({"channels": 0}, "channel_size"),
        ({"workers": 0}, "worker"),
        ({"loudness": 3.0}, "level"),
    ],
)
def test_settings_out_of_range_are_refused(settings, reason, tmp_path):
    save(tmp_path / "in" / "a.wav", song(0.5))
    with pytest.raises(UsageError, match=reason):
        build(tmp_path / "in", tmp_path / "out", **settings)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written_is_refused(tmp_path, monkeypatch):
    source = corpus(tmp_path / "in", {"a": [0.5, 0.5]})
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="file: Expected a folder"):
        build(source, tmp_path / "file" / "out")

    def refuse(*_, **__):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), "out")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(EnvironmentFault, match="Read-only"):
        build(source, tmp_path / "out")


def test_two_builders_are_refused(tmp_path):
    from singlow.data.prepare.folder import own_folder

    source = corpus(tmp_path / "in", {"a": [0.5, 0.5]})
    with own_folder(tmp_path / "out"), pytest.raises(EnvironmentFault, match="another process"):
        build(source, tmp_path / "out")
    build(source, tmp_path / "out")


def test_real_singing_at_44100_in_stereo(recordings, tmp_path):
    info = build_dataset(
        [recordings / "singing"],
        tmp_path,
        sample_rate=44100,
        channels=2,
        workers=2,
        report=lambda _: None,
    )
    assert len(info["singers"]) == 4
    assert info["rejected"] == []
    x = Windows(tmp_path, "train", 8192, 16).batch(0)["x"]
    assert x.shape == (16, 8192, 2)
    assert x.std() > 1e-3
