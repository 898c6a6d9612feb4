"""Test which clips a source holds, which singers they have, and which are held out."""

import errno
import os
import tarfile
from collections import defaultdict
from pathlib import Path

import pytest

from singlow.data.sources import tables
from singlow.data.sources.clips import Clip, require_free_names
from singlow.data.sources.layouts import find_clips, require_sources
from singlow.data.sources.splits import split
from singlow.errors import DataError, UsageError
from tests.clock import loops


def touch(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"not read here")
    return root


def singers(clips):
    result = defaultdict(set)
    for clip in clips:
        result[clip.singer].add(clip.id)
    return dict(result)


def test_singer_folders(tmp_path):
    touch(tmp_path, "anna/a.wav", "anna/live/b.mp3", "bert/c.FLAC", "bert/notes.txt", ".x/d.wav")
    clips, layout = find_clips([tmp_path])
    assert layout == "folders"
    assert singers(clips) == {"anna": {"anna/a", "anna/live/b"}, "bert": {"bert/c"}}


def test_fsdd_names_and_split(tmp_path):
    touch(tmp_path, "0_jackson_4.wav", "1_jackson_5.wav", "7_theo_0.wav", "7_theo_12.wav")
    clips, layout = find_clips([tmp_path])
    assert layout == "fsdd"
    assert {(c.singer, c.text, c.split) for c in clips} == {
        ("jackson", "0", "validation"),
        ("jackson", "1", "train"),
        ("theo", "7", "validation"),
        ("theo", "7", "train"),
    }


def test_blow_names(tmp_path):
    touch(tmp_path, "p1_001.wav", "p1_002_b.wav", "p2_001.wav", "p2_002.wav")
    clips, layout = find_clips([tmp_path])
    assert layout == "blow"
    assert singers(clips) == {"p1": {"p1_001", "p1_002_b"}, "p2": {"p2_001", "p2_002"}}


def test_a_flat_folder_is_one_singer(tmp_path):
    clips, layout = find_clips([touch(tmp_path / "maria", "a.wav", "la_la.wav", "b.ogg")])
    assert layout == "folders"
    assert set(singers(clips)) == {"maria"}


def test_ljspeech_table(tmp_path):
    touch(tmp_path, "wavs/L1.wav", "wavs/L1.mp3", "wavs/L2.flac", "wavs/unlisted.wav")
    (tmp_path / "metadata.csv").write_text("L1|Dr. A|Doctor A\r\nL2|b\u2028c\nL3|no file\n")
    lines = []
    clips, layout = find_clips([tmp_path], report=lines.append)
    assert layout == "ljspeech"
    assert [(c.id, c.text, c.path) for c in clips] == [
        ("L1", "Doctor A", tmp_path / "wavs" / "L1.wav"),
        ("L2", "b\u2028c", tmp_path / "wavs" / "L2.flac"),
        ("L3", "no file", tmp_path / "wavs" / "L3.wav"),
    ]
    assert [c.split for c in clips] == ["train", "train", "validation"]
    assert lines == [f"{tmp_path}/metadata.csv does not list 2 of 4 file(s); they are left out."]


def test_a_table_of_something_else_is_no_ljspeech(tmp_path):
    touch(tmp_path, "anna/a.wav", "bert/b.wav")
    for content in (b"title,year\nLa Paloma,1863\n", b"t\xedtulo;a\xf1o\n", b""):
        (tmp_path / "metadata.csv").write_bytes(content)
        assert find_clips([tmp_path])[1] == "folders"


def test_a_broken_table_names_the_way_around_it(tmp_path):
    root = touch(tmp_path / "my songs", "wavs/a.wav")
    (root / "metadata.csv").write_text("a|la\nb\n")
    with pytest.raises(
        DataError, match=r"line 2.*singlow prepare .*my songs. --out DIR --layout f"
    ):
        find_clips([root])
    (root / "metadata.csv").write_text("a|la\nb\0|la\n")
    with pytest.raises(DataError, match="line 2"):
        find_clips([root])


def test_manifest(tmp_path):
    touch(tmp_path, "x/a.wav", "b.sound")
    (tmp_path / "manifest.csv").write_text(
        'path,singer,text,style,split\nx/a.wav,anna,"la, la",human,validation\nb.sound,bert,,,\n'
    )
    clips, layout = find_clips([tmp_path])
    assert layout == "manifest"
    assert [(c.singer, c.text, c.style, c.split) for c in clips] == [
        ("anna", "la, la", "human", "validation"),
        ("bert", "", "", ""),
    ]
    assert clips[1].path == tmp_path / "b.sound"


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ("singer\nanna\n", "line 2"),
        ("path,split\na.wav,test\n", "line 2.*train or validation"),
        ("path,text\na.wav,la\nb.wav," + 140_000 * "x" + "\n", "line 3.*limit"),
        ("path\na.wav\nb\0.wav\n", "line 3.*path of a file"),
        ("path\n.\n", "line 2.*path of a file"),
        ('path,text\na.wav,"la\nb.wav,la\n', "line 3.*end of data"),
    ],
    ids=["no path", "split", "long", "null", "folder", "quote"],
)
def test_a_wrong_manifest_is_refused(table, reason, tmp_path):
    (tmp_path / "manifest.csv").write_text(table)
    with pytest.raises(DataError, match=rf"manifest\.csv: {reason}.*--layout folders") as caught:
        find_clips([tmp_path])
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_a_manifest_s_text_may_have_several_lines(tmp_path):
    touch(tmp_path, "a.wav", "b.wav")
    (tmp_path / "manifest.csv").write_bytes(
        b'\xef\xbb\xbfpath,text\r\na.wav,"la,\r\nla\xc2\x85la"\r\nb.wav,""\r\n'
    )
    clips, _ = find_clips([tmp_path])
    assert [(c.id, c.text) for c in clips] == [("a", "la,\r\nla\x85la"), ("b", "")]


def test_a_table_that_is_no_text_is_refused(tmp_path):
    (touch(tmp_path, "wavs/a.wav") / "metadata.csv").write_bytes(b"a|\xff\xfe")
    with pytest.raises(DataError, match="UTF-8"):
        find_clips([tmp_path])


def test_labels_make_two_flat_folders_two_singers(tmp_path):
    touch(tmp_path, "one/a.wav", "two/a.wav")
    clips, _ = find_clips([f"human={tmp_path / 'one'}", f"virtual={tmp_path / 'two'}"])
    assert {(c.id, c.singer, c.style) for c in clips} == {
        ("human/a", "human", "human"),
        ("virtual/a", "virtual", "virtual"),
    }


def test_a_label_is_the_style_of_singer_folders(tmp_path):
    touch(tmp_path, "anna/a.wav", "bert/b.wav")
    clips, _ = find_clips([f"human={tmp_path}"])
    assert {(c.singer, c.style) for c in clips} == {("anna", "human"), ("bert", "human")}


def test_a_single_file_is_a_source(tmp_path):
    clips, _ = find_clips([touch(tmp_path, "song.mp3") / "song.mp3"])
    assert [(c.id, c.singer) for c in clips] == [("song", "song")]


def test_ids_are_unique(tmp_path):
    touch(tmp_path, "s/a.wav", "s/a.mp3", "t/a.wav")
    ids = [clip.id for clip in find_clips([tmp_path])[0]]
    assert sorted(ids) == ["s/a.mp3", "s/a.wav", "t/a"]
    ids = [clip.id for clip in find_clips([tmp_path / "s", tmp_path / "s"])[0]]
    assert len(set(ids)) == 4


def test_linked_folders_are_walked_once(tmp_path):
    touch(tmp_path / "away", "a.wav")
    touch(tmp_path / "in", "bert/b.wav")
    (tmp_path / "in" / "anna").symlink_to(tmp_path / "away")
    (tmp_path / "in" / "bert" / "loop").symlink_to(tmp_path / "in")
    clips, _ = find_clips([tmp_path / "in"])
    assert singers(clips) == {"anna": {"anna/a"}, "bert": {"bert/b"}}


def test_a_layout_can_be_chosen(tmp_path):
    touch(tmp_path, "0_jackson_4.wav", "1_jackson_5.wav")
    assert find_clips([tmp_path], "blow")[0][0].singer == "0"
    assert find_clips([tmp_path], "folders")[0][0].singer == tmp_path.name
    touch(tmp_path, "plain.wav")
    with pytest.raises(DataError, match=r"plain.wav.*layout fsdd"):
        find_clips([tmp_path], "fsdd")


@pytest.mark.parametrize(
    ("sources", "layout", "error"),
    [
        (["nowhere"], "auto", UsageError),
        ([], "auto", UsageError),
        (["."], "fancy", UsageError),
        (["."], "auto", DataError),
    ],
)
def test_sources_without_audio_are_refused_in_one_line(
    sources, layout, error, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "readme.txt").write_text("no sound")
    with pytest.raises(error) as caught:
        find_clips(sources, layout)
    assert "\n" not in str(caught.value)


def reported(recordings: Path, name: str, into: Path) -> Path:
    """Unpack an archive of `data/reported`; names that are not valid text stay unchanged."""
    with tarfile.open(recordings / "reported" / f"{name}.tgz") as archive:
        archive.extractall(into, filter="data")
    (folder,) = into.iterdir()
    return folder


def test_a_singer_s_folder_beats_a_guess_from_file_names(tmp_path):
    names = [f"alice/song{song}_{take}.wav" for song in "AB" for take in range(3)]
    clips, layout = find_clips([touch(tmp_path / "sliced", *names)])
    assert (layout, set(singers(clips))) == ("folders", {"alice"})
    touch(tmp_path / "digits", "ada/0_x_1.wav", "ada/1_y_1.wav", "ada/2_y_2.wav")
    clips, layout = find_clips([tmp_path / "digits"])
    assert (layout, set(singers(clips))) == ("folders", {"ada"})
    assert {clip.split for clip in clips} == {""}


def test_a_label_beats_a_guess_from_file_names(tmp_path):
    flat = touch(tmp_path / "flat", "vocals_0.wav", "vocals_1.wav", "chorus_0.wav", "chorus_1.wav")
    clips, layout = find_clips([f"carla={flat}"])
    assert (layout, set(singers(clips))) == ("folders", {"carla"})
    digits = touch(tmp_path / "digits", "0_jackson_4.wav", "1_theo_5.wav")
    assert set(singers(find_clips([f"carla={digits}"])[0])) == {"carla"}
    labelled = find_clips([f"human={digits}"], "fsdd")[0]
    assert {(clip.singer, clip.style) for clip in labelled} == {
        ("jackson", "human"),
        ("theo", "human"),
    }


def test_a_guess_is_reported_with_the_way_to_overrule_it(tmp_path):
    root, lines = touch(tmp_path, "p1_1.wav", "p1_2.wav", "p2_1.wav", "p2_2.wav"), []
    find_clips([root], report=lines.append)
    assert lines == [
        f"{root}: the singers are guessed from file names of the form <speaker>_<utterance>: "
        "p1, p2. If this is one singer, give --layout folders, or NAME=DIR to name the singer."
    ]
    lines.clear()
    find_clips([root], "blow", report=lines.append)
    find_clips([root], "folders", report=lines.append)
    find_clips([f"ada={root}"], report=lines.append)
    assert lines == []


@pytest.mark.parametrize(
    ("sources", "names"),
    [
        (["ada/wavs", "bo/wavs"], ["ada", "bo"]),
        (["ada/wavs/x", "bo/wavs/x"], ["ada", "bo"]),
        (["a/1/wavs", "a/2/wavs", "b/1/wavs"], ["a-1", "a-2", "b-1"]),
        (["ada/wavs", "ada/wavs"], ["wavs", "wavs"]),
        (["zoe=ada/wavs", "bo/wavs"], ["zoe", "wavs"]),
        (["ada/wavs", "bo/takes"], ["wavs", "takes"]),
        (["ada/wavs/take.wav", "bo/wavs/take.wav"], ["ada", "bo"]),
    ],
)
def test_singers_of_several_sources_have_names_of_their_own(sources, names, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for source in sources:
        path = Path(source.partition("=")[2] or source)
        touch(path.parent if path.suffix else path, "take.wav", "b.wav")
    lines = []
    clips, _ = find_clips(sources, report=lines.append)
    assert list(dict.fromkeys(clip.singer for clip in clips)) == list(dict.fromkeys(names))
    assert len({clip.id for clip in clips}) == len(clips)
    assert bool(lines) == (names[0] not in ("wavs", "zoe"))
    assert all("NAME=DIR" in line for line in lines)


def test_a_single_folder_inside_each_source_gets_the_name_of_the_source(tmp_path):
    touch(tmp_path, "ada/live/1.wav", "bo/live/1.wav", "cy/wavs/1.wav", "dee/wavs/1.wav")
    clips, _ = find_clips([tmp_path / name for name in ("ada", "bo", "cy", "dee")])
    assert [clip.singer for clip in clips] == ["ada", "bo", "cy", "dee"]
    assert [clip.id for clip in clips] == ["ada/live/1", "bo/live/1", "cy/wavs/1", "dee/wavs/1"]


def test_singer_folders_of_several_sources_are_the_same_singers(tmp_path):
    touch(tmp_path, "monday/ada/1.wav", "monday/bo/1.wav", "friday/ada/2.wav", "friday/bo/2.wav")
    clips, _ = find_clips([tmp_path / "monday", tmp_path / "friday"])
    assert singers(clips) == {
        "ada": {"monday/ada/1", "friday/ada/2"},
        "bo": {"monday/bo/1", "friday/bo/2"},
    }


def test_a_folder_named_for_its_files_is_no_singer(tmp_path):
    touch(tmp_path, "corpus/wav48/p225/1.wav", "corpus/wav48/p226/1.wav", "solo/wavs/1.wav")
    assert set(singers(find_clips([tmp_path / "corpus"])[0])) == {"p225", "p226"}
    assert set(singers(find_clips([tmp_path / "solo"])[0])) == {"solo"}
    assert set(singers(find_clips([f"eva={tmp_path / 'solo'}"])[0])) == {"eva"}
    touch(tmp_path, "digits/recordings/0_jackson_4.wav", "digits/recordings/1_theo_5.wav")
    assert find_clips([tmp_path / "digits"])[1] == "fsdd"


def test_reported_layouts(recordings, tmp_path):
    sliced = reported(recordings, "sliced_one_singer", tmp_path / "1")
    assert set(singers(find_clips([sliced])[0])) == {"alice"}
    two = reported(recordings, "two_wavs_folders", tmp_path / "2")
    clips, _ = find_clips([two / "ada" / "wavs", two / "bo" / "wavs"])
    assert set(singers(clips)) == {"ada", "bo"}


def test_decomposed_names_are_composed_and_odd_ones_kept(tmp_path):
    names = ["Zoe\u0301", "Zo\u00e9", os.fsdecode(b"\x89\xb9\x83\x82"), "[live]", "\x1b[31m"]
    touch(tmp_path, *(f"{name}/a.wav" for name in names))
    clips, _ = find_clips([f"Cafe\u0301={tmp_path}"])
    assert len(clips) == 5
    assert {clip.singer for clip in clips} == set(names[1:])
    assert {clip.style for clip in clips} == {"Caf\u00e9"}


def test_tables_name_files_in_composed_or_decomposed_form(tmp_path):
    root = touch(tmp_path / "Zoe\u0301", "wavs/cafe\u0301.wav", "wavs/plain.wav")
    (root / "metadata.csv").write_text("caf\u00e9|la\nplain|la\n", "utf-8")
    typed = tmp_path / "Zo\u00e9"
    clips, _ = find_clips([typed])
    assert all(clip.path.is_file() for clip in clips)
    assert {clip.singer for clip in clips} == {"Zo\u00e9"}
    (root / "manifest.csv").write_text("path\nwavs/caf\u00e9.wav\n", "utf-8")
    (clip,) = find_clips([f"Zoe\u0301={typed}"])[0]
    assert clip.path.is_file()
    assert clip.singer == "Zo\u00e9"


def test_many_equal_ids_are_numbered_in_linear_time(tmp_path):
    (touch(tmp_path, "a.wav") / "manifest.csv").write_text("path\n" + "a.wav\n" * 10_000)
    clips = []
    assert loops(lambda: clips.extend(find_clips([tmp_path])[0])) < 120
    assert [clip.id for clip in clips[:3]] == ["a.wav", "a.wav#2", "a.wav#3"]
    assert clips[-1].id == "a.wav#10000"


def test_every_file_with_audio_is_found_whatever_its_suffix(tmp_path):
    names = ["a.caf", "b.au", "c.mp2", "d.webm", "e.M4A", "f.wma", "g.opus", "h.snd"]
    touch(tmp_path / "ada", *names, "notes.txt", "cover.jpg", "x.avi")
    for name, content in {
        "take1": b"RIFF\0\0\0\0WAVEfmt ",
        "take2.bak": b"fLaC\0\0\0\x22",
        "take3.dat": b"\x1aE\xdf\xa3\0\0",
        "take4.part": b"\0\0\0\x20ftypM4A \0",
        "picture.tmp": b"RIFF\0\0\0\0WEBPVP8 ",
        "photo.heic": b"\0\0\0\x20ftypheic",
        "empty": b"",
    }.items():
        (tmp_path / "ada" / name).write_bytes(content)
    os.mkfifo(tmp_path / "ada" / "pipe")
    found = {clip.path.name for clip in find_clips([tmp_path])[0]}
    assert found == {*names, "x.avi", "take1", "take2.bak", "take3.dat", "take4.part"}


def test_a_folder_that_cannot_be_read_is_reported(tmp_path, monkeypatch):
    touch(tmp_path, "ada/a.wav", "bo/b.wav")
    lines, real = [], os.scandir

    def scandir(folder):
        if str(folder).endswith("bo"):
            raise PermissionError(errno.EACCES, "Permission denied", str(folder))
        return real(folder)

    monkeypatch.setattr(os, "scandir", scandir)
    assert set(singers(find_clips([tmp_path], report=lines.append)[0])) == {"ada"}
    assert lines == [f"Left out: {tmp_path}/bo: cannot be read: Permission denied."]


def test_a_home_folder_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    touch(tmp_path, "songs/a.wav", "work/notes.txt")
    monkeypatch.chdir(tmp_path / "work")
    for source in ("~/songs", "songs=~/songs", "~/songs/a.wav"):
        (clip,) = find_clips([source])[0]
        assert clip.path == tmp_path / "songs" / "a.wav"
    (touch(tmp_path / "listed", "b.wav") / "manifest.csv").write_text("path\n~/songs/a.wav\n")
    assert find_clips(["~/listed"])[0][0].path == tmp_path / "songs" / "a.wav"
    touch(tmp_path / "work" / "~", "c.wav")
    assert find_clips(["~"])[0][0].path.name == "c.wav"


@pytest.mark.parametrize(
    "dataset", ["nowhere", "~/nowhere", "ada=nowhere", "ada=", "", ["builtin", "no"]]
)
def test_missing_sources_are_refused_before_anything_is_prepared(dataset, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="which does not exist"):
        require_sources(dataset)
    require_sources("builtin")
    require_sources(["ada=.", str(tmp_path)])


def test_a_table_that_is_too_large_or_no_file_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "LARGEST", 100)
    (touch(tmp_path, "a.wav") / "manifest.csv").write_text("path\n" + "a.wav\n" * 50)
    with pytest.raises(DataError, match="Expected at most"):
        find_clips([tmp_path])
    (tmp_path / "manifest.csv").unlink()
    os.mkfifo(tmp_path / "manifest.csv")
    with pytest.raises(DataError, match="Expected a table in a file"):
        find_clips([tmp_path], "manifest")


def corpus(**counts: int) -> list[Clip]:
    return [
        Clip(Path(f"{singer}/{number}"), singer, id=f"{singer}/{number}")
        for singer, count in counts.items()
        for number in range(count)
    ]


def test_every_singer_with_two_clips_has_one_held_out():
    clips = corpus(a=2, b=3, c=40, d=16)
    train, held = split(clips, [16000] * len(clips), 16000, share=0.1)
    counts = {singer: len(ids) for singer, ids in singers(held).items()}
    assert counts == {"a": 1, "b": 1, "c": 4, "d": 2}
    assert set(singers(train)) == {"a", "b", "c", "d"}
    assert {c.id for c in train} | {c.id for c in held} == {c.id for c in clips}
    assert not {c.id for c in train} & {c.id for c in held}


def test_the_choice_depends_on_the_seed_and_not_on_order():
    clips = corpus(a=30, b=30)
    held = {c.id for c in split(clips, [9] * 60, 16000, seed=0)[1]}
    assert held == {c.id for c in split(clips[::-1], [9] * 60, 16000, seed=0)[1]}
    assert held != {c.id for c in split(clips, [9] * 60, 16000, seed=1)[1]}


@pytest.mark.parametrize("seconds", [2, 30, 300, 4000])
@pytest.mark.parametrize("seed", [0, 1])
def test_one_long_song_is_held_out_by_segments_with_a_gap(seconds, seed):
    rate = 1000
    frames = rate * seconds
    train, held = split(corpus(a=1), [frames], rate, share=0.1, seed=seed)
    assert train
    assert held
    assert len(held) == max(1, round(seconds / 60))
    assert 0.05 * frames < sum(c.stop - c.start for c in held) <= 0.1 * frames
    assert sum(c.stop - c.start for c in train) > 0.6 * frames
    gap = min(rate, rate * min(seconds, 60) // 25)
    for kept in train:
        assert kept.stop - kept.start >= min(rate // 2, frames // 20)
        assert 0 <= kept.start < kept.stop <= frames
        for apart in held:
            assert apart.stop + gap <= kept.start or kept.stop + gap <= apart.start
    ids = [clip.id for clip in train + held]
    assert len(set(ids)) == len(ids)


def test_a_split_stated_by_the_corpus_is_kept():
    clips = [
        Clip(Path(str(number)), "a", id=str(number), split=name)
        for number, name in enumerate(["train", "validation", "train", "validation"])
    ]
    train, held = split(clips, [9] * 4, 16000)
    assert [c.id for c in train] == ["0", "2"]
    assert [c.id for c in held] == ["1", "3"]


def test_a_stated_split_without_training_clips_is_ignored(tmp_path):
    clips = [Clip(Path(str(n)), "a", id=str(n), split="validation") for n in range(4)]
    train, held = split(clips, [9] * 4, 16000)
    assert (len(train), len(held)) == (3, 1)


def copies(**contents: str) -> list[Clip]:
    """Return a clip of a singer for each letter; equal letters stand for copies of a clip."""
    return [
        Clip(Path(f"{singer}/{number}"), singer, id=f"{singer}/{number}", content=letter)
        for singer, letters in contents.items()
        for number, letter in enumerate(letters)
    ]


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(
    "contents",
    [
        {"a": "xxyyzz"},
        {"a": "abcdefghij" * 3},
        {"a": "xyz", "b": "xuvw"},
        {"a": "abcdef", "b": "abcdef"},
        {"a": "abcdef", "b": "a"},
        {"a": "x", "b": "x"},
        {"a": "xx"},
        {"a": "abx", "b": "bcy", "c": "caz"},
    ],
    ids=str,
)
def test_copies_are_on_one_side_or_cut_alike(contents, seed):
    clips = copies(**contents)
    train, held = split(clips, [64000] * len(clips), 16000, share=0.3, seed=seed)
    assert train
    assert held
    for one in train:
        for other in held:
            apart = one.stop and other.stop
            if one.content == other.content:
                assert apart
                assert one.stop <= other.start or other.stop <= one.start
    for singer in contents:
        assert singer in singers(train)
    assert held == split(clips, [64000] * len(clips), 16000, share=0.3, seed=seed)[1]


def test_copies_do_not_change_which_others_are_held_out():
    alone = copies(a="abcdefghijklmnopqrst")
    more = [*alone, Clip(Path("z"), "a", id="zz", content="c")]
    held = {clip.content for clip in split(alone, [9] * 20, 16000)[1]}
    assert held == {clip.content for clip in split(more, [9] * 21, 16000)[1]}


def test_recordings_of_several_singers_are_held_out_last():
    clips = copies(a="abcdefgh", b="abcdefgx", c="yz")
    for seed in range(10):
        held = {clip.content for clip in split(clips, [9] * len(clips), 16000, seed=seed)[1]}
        assert {"h", "x"} <= held
        assert not held & set("abcdefg")


def test_a_copy_of_a_stated_test_clip_is_not_trained_on():
    clips = [
        Clip(Path(str(n)), "a", id=str(n), split=side, content=content)
        for n, (side, content) in enumerate(
            [("train", "x"), ("validation", "y"), ("train", "y"), ("train", "z")]
        )
    ]
    train, held = split(clips, [9] * 4, 16000)
    assert ([c.id for c in train], [c.id for c in held]) == (["0", "3"], ["1", "2"])


@pytest.mark.parametrize("name", ["all", "auto"])
def test_words_of_the_command_line_are_no_singers(name):
    with pytest.raises(UsageError, match=rf"Received: {name}, of songs/x\.wav.*NAME=DIR"):
        require_free_names([Clip(Path("songs/x.wav"), name)])
    require_free_names([Clip(Path("x.wav"), other) for other in ("All", "allan", "[/live]", "ø")])


def test_layouts_of_real_corpora(recordings):
    expected = {
        "fsdd/recordings": ("fsdd", 6, 3000),
        "librispeech": ("folders", 10, 100),
        "ljspeech": ("ljspeech", 1, 32),
        "singing": ("folders", 4, 39),
        "virtual_singer": ("folders", 1, 51),
    }
    for name, (layout, singer_count, clip_count) in expected.items():
        clips, chosen = find_clips([recordings / name])
        assert (chosen, len(singers(clips)), len(clips)) == (layout, singer_count, clip_count)
