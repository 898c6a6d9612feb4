"""Texts are read from tables and from files beside recordings, and shown with their symbols."""

import re

import pytest

import data_loader
from singlow.data.prepare.texts import show_texts
from singlow.data.sources.layouts import find_clips
from singlow.data.sources.transcripts import LARGEST
from singlow.data.store.dataset import Clips, read_info
from singlow.errors import DataError, UsageError
from tests.datasets import build
from tests.songs import command
from tests.sounds import save, song


def recordings(root, *names):
    for seed, name in enumerate(names):
        save(root / name, song(0.3, seed=seed))
    return root


def texts(root, lines=None):
    clips, _ = find_clips([root], report=[].append if lines is None else lines.append)
    return {clip.id: clip.text for clip in clips}


def test_files_beside_recordings_are_their_texts(tmp_path):
    recordings(tmp_path, "anna/a.wav", "anna/b.wav", "anna/c.wav", "bert/d.flac", "bert/e.wav")
    (tmp_path / "anna" / "a.txt").write_text("\ufeffHello,\nthere.\n", "utf-8")
    (tmp_path / "anna" / "b.LAB").write_text("General Kenobi", "utf-8")
    (tmp_path / "bert" / "x.trans.txt").write_text("d HE SAID | SO\ne AND LEFT\n", "utf-8")
    lines = []
    assert texts(tmp_path, lines) == {
        "anna/a": "Hello,\nthere.",
        "anna/b": "General Kenobi",
        "anna/c": "",
        "bert/d": "HE SAID | SO",
        "bert/e": "AND LEFT",
    }
    assert lines == [f"{tmp_path}: 4 of 5 recording(s) have a text beside them."]


def test_names_of_speakers_and_single_files_have_texts(tmp_path):
    recordings(tmp_path / "in", "p1_1.wav", "p1_2.wav", "p2_1.wav", "p2_2.wav")
    (tmp_path / "in" / "p2_1.txt").write_text("two one")
    assert texts(tmp_path / "in")["p2_1"] == "two one"
    clips, _ = find_clips([tmp_path / "in" / "p2_1.wav"])
    assert clips[0].text == "two one"


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"caf\xe9", r"is not UTF-8 \(byte 3\)"),
        (b"0 100 a\n100 250 b\n", "holds times of labels"),
        (b"0.0 1.5\tla la\n", "holds times of labels"),
        (b" \n", "is empty"),
        (b"a\0b", "is not text"),
        (b"a" * (LARGEST + 1), "is larger than 64 kB"),
    ],
)
def test_files_that_are_no_texts_are_reported(content, fault, tmp_path):
    recordings(tmp_path, "a.wav", "b.wav")
    (tmp_path / "a.lab").write_bytes(content)
    (tmp_path / "b.txt").write_text("fine")
    lines = []
    assert texts(tmp_path, lines) == {"a": "", "b": "fine"}
    assert re.fullmatch(rf"Not used as a text: .*a\.lab: {fault}\.", lines[1])


def test_a_text_that_changes_builds_again(tmp_path):
    source = recordings(tmp_path / "in", "anna/a.wav", "anna/b.wav", "anna/c.wav")
    (source / "anna" / "a.txt").write_text("one")
    first = build(source, tmp_path / "out")
    (source / "anna" / "a.txt").write_text("two")
    second = build(source, tmp_path / "out")
    assert first["fingerprint"] != second["fingerprint"]
    info = read_info(tmp_path / "out")
    found = set()
    for split in ("train", "validation"):
        clips = Clips(tmp_path / "out", info, split)
        found |= {(e.id, clips.text(i)) for i, e in enumerate(clips.entries)}
    assert found == {("anna/a", "two"), ("anna/b", ""), ("anna/c", "")}


def test_segments_of_a_recording_have_no_text(tmp_path):
    save(tmp_path / "in" / "long.wav", song(3.0))
    (tmp_path / "in" / "long.txt").write_text("the whole text")
    build(tmp_path / "in", tmp_path / "out")
    clips = Clips(tmp_path / "out", read_info(tmp_path / "out"), "train")
    assert {clips.text(index) for index in range(len(clips.entries))} == {""}


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        (b"a|one\nb|two|three|four\n", r"line 2: expected `id\|text\|spoken text`.*Remove \|"),
        (b"a|one\nb|two\na|three\n", "line 3: expected a new id. Received: a, which line 1"),
        (b"a|one\nb|caf\xe9\n", r"line 2: expected UTF-8 text. Received: byte 11"),
    ],
    ids=["bar", "twice", "encoding"],
)
def test_a_wrong_ljspeech_table_is_refused(table, reason, tmp_path):
    recordings(tmp_path, "wavs/a.wav", "wavs/b.wav")
    (tmp_path / "metadata.csv").write_bytes(table)
    with pytest.raises(DataError, match=rf"metadata\.csv: {reason}") as caught:
        find_clips([tmp_path])
    assert "\n" not in str(caught.value)


def test_a_file_that_a_table_lists_and_that_is_missing_is_left_out(tmp_path):
    recordings(tmp_path / "in", "wavs/a.wav", "wavs/b.wav")
    (tmp_path / "in" / "metadata.csv").write_text("a|one\nb|two\nc|three\n")
    lines = []
    info = build(tmp_path / "in", tmp_path / "out", report=lines.append)
    assert sum(part["clips"] for part in info["splits"].values()) == 2
    assert [line for line in lines if line.startswith("Left out: c.wav")]


def test_texts_are_shown(tmp_path):
    recordings(tmp_path / "in", "wavs/a.wav", "wavs/b.wav", "wavs/c.wav")
    (tmp_path / "in" / "metadata.csv").write_text("a|No. 5!\nb|\nc|Dr. X|Doctor X\n")
    lines = []
    show_texts(tmp_path / "in", report=lines.append)
    assert lines == [
        "Layout: ljspeech.",
        "a",
        "  text     No. 5!",
        "  spoken   number five!",
        "  symbols  n u m b e r ␣ f i v e !",
        "  tokens   12",
        "c",
        "  text     Doctor X",
        "  spoken   doctor x",
        "  symbols  d o c t o r ␣ x",
        "  tokens   8",
        "2 text(s), 20 tokens, 8 to 12 in a text; 42 symbols in the table.",
        "1 recording(s) without a text: b.",
    ]
    build(tmp_path / "in", tmp_path / "out")
    again = []
    show_texts(tmp_path / "out", report=again.append)
    assert again[-2:] == lines[-2:]
    assert sorted(again[:-2]) == sorted(lines[1:-2])


def test_characters_that_are_unknown_are_named(tmp_path):
    recordings(tmp_path / "in", "a.wav", "b.wav", "c.wav")
    for name, text in (("a", "fine"), ("b", "ж and ж"), ("c", "日")):
        (tmp_path / "in" / f"{name}.txt").write_text(text, "utf-8")
    done = command(data_loader.main, ["--texts", tmp_path / "in"], tmp_path)
    assert done.code == 3
    assert "[ж] ␣ a n d ␣ [ж]" in done.out
    assert "1 recording(s) without a symbol that is known: c." in done.out
    assert "'ж' (U+0436 CYRILLIC SMALL LETTER ZHE) (2 times), '日'" in done.err
    assert "first in b." in done.err
    assert len(done.err.strip().splitlines()) == 1


def test_a_manifest_has_texts(tmp_path):
    recordings(tmp_path, "a.wav", "b.wav")
    (tmp_path / "manifest.csv").write_text('path,text\na.wav,"one, two"\nb.wav,three\n')
    lines = []
    show_texts(tmp_path, report=lines.append)
    assert "  spoken   one, two" in lines


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--texts"], 2, "no SRC"),
        (["in", "--texts", "-o", "out"], 2, "--out"),
        (["in", "--front_end", "romaji"], 2, "Expected --texts"),
        (["in", "--texts", "--verify", "in"], 2, "alone"),
        (["in", "--texts", "--front_end", "words"], 2, "characters, romaji"),
        (["in", "--texts"], 3, "1 recording(s) without a text"),
        (["builtin", "--texts"], 2, "sung"),
        (["spoken", "in", "--texts"], 2, "alone"),
        (["nowhere", "--texts"], 2, "does not exist"),
    ],
)
def test_mistakes_have_one_line(arguments, code, message, tmp_path):
    recordings(tmp_path / "in", "a.wav")
    done = command(data_loader.main, arguments, tmp_path)
    assert done.code == code
    assert message in done.err
    assert len(done.err.strip().splitlines()) == 1


def test_texts_of_the_spoken_corpus_need_no_sound(tmp_path):
    lines = []
    show_texts("spoken", "romaji", report=lines.append)
    assert lines[0] == "aiko-neutral-000"
    assert lines[-1].startswith("600 text(s)")
    with pytest.raises(UsageError, match="spoken-english"):
        show_texts("builtin", report=lines.append)
