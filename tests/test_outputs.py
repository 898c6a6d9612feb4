"""Places where nothing can be written: one line and an exit code, before the work or after it."""

import contextlib
import resource
from pathlib import Path

import numpy as np
import pytest
import soundfile

from singlow.audio import write_audio
from singlow.errors import UsageError
from singlow.files import atomic_write, require_writable, write_text
from tests.songs import TINY, coloured_noise, command, singlow, train, trained

NOWHERE = Path("/proc")  # a folder in which not even root may make anything
needs_proc = pytest.mark.skipif(not NOWHERE.is_dir(), reason="no /proc on this system")


@pytest.fixture
def place(tmp_path):
    """A folder with the trained run `t`, a song and its latents."""
    (tmp_path / "checkpoints").symlink_to(trained()[0] / "checkpoints")
    soundfile.write(tmp_path / "song.wav", coloured_noise(5, 0.1), 16000)
    (tmp_path / "song.npz").write_bytes(b"")
    return tmp_path


@pytest.fixture
def small_files():
    """Files may not grow beyond 4 kB, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def said_by(arguments, directory):
    import data_loader

    verb, *flags = arguments
    if verb == "train.py":
        return train([*TINY, *flags], directory)
    if verb == "data_loader.py":
        return command(data_loader.main, flags, directory)
    return singlow(arguments, directory)


CALLS = {
    "encode": ["encode", "t", "song.wav", "-o"],
    "decode": ["decode", "t", "song.npz", "-o"],
    "migrate": ["migrate", "t", "song.wav", "--from", "ada", "--to", "bo", "-o"],
    "interpolate": ["interpolate", "t", "song.wav", "song.wav", "-o"],
    "sample": ["sample", "t", "-o"],
    "project": ["project", "t", "-o"],
    "conversion": ["evaluate", "t", "--conversion", "-o"],
    "train": ["train.py", "--run"],
    "data": ["data_loader.py", "song.wav", "--out"],
}


@needs_proc
@pytest.mark.parametrize("output", ["/proc/x", "/proc/x/y"])
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_folder_that_refuses_is_told_before_the_work(place, call, output):
    said = said_by([*call, output], place)
    assert said.code == 4, said.err
    assert said.err.startswith(f"{output}")
    assert "nothing can be written in /proc" in said.err
    assert said.err.count("\n") == 1


@needs_proc
def test_a_page_and_a_file_that_are_refused(place):
    for call, name in (("encode", "x.npz"), ("migrate", "x.wav"), ("interpolate", "x")):
        assert singlow([*CALLS[call], f"/proc/{name}"], place).code == 4
    assert singlow(["evaluate", "t", "--migration", "-o", "/proc/x.html"], place).code == 4


@pytest.mark.parametrize(
    "call",
    [
        ["encode", "t", "song.wav", "other.wav", "-o", "x.npz"],
        ["migrate", "t", ".", "--from", "ada", "--to", "bo", "-o", "x.wav"],
        ["interpolate", "t", "song.wav", "other.wav", "-o", "x.wav"],
    ],
)
def test_a_name_of_a_file_for_several_results_is_a_mistake(place, call):
    (place / "other.wav").symlink_to(place / "song.wav")
    said = singlow(call, place)
    assert said.code == 2, said.err
    assert f"Expected a folder for -o, for several results. Received: {call[-1]}." in said.err
    assert not (place / call[-1]).exists()


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_place_below_a_file_makes_no_sense(place, call):
    (place / "file").write_text("")
    said = said_by([*call, "./file/x"], place)
    assert said.code == 2, said.err
    assert "file: Expected a folder. Received: a file." in said.err
    assert said.err.count("\n") == 1


def test_what_does_not_fit_leaves_what_was_there(place, small_files):
    song = place / "song.wav"
    before = song.read_bytes()
    with pytest.raises(OSError, match="too large") as told:
        write_audio(song, np.zeros((100000, 1), np.float32), 16000, "FLOAT")
    assert told.value.filename == str(song)
    assert song.read_bytes() == before
    assert {path.name for path in place.iterdir()} == {"checkpoints", "song.wav", "song.npz"}


def test_what_does_not_fit_is_one_line(place, small_files):
    said = singlow(["sample", "t", "--count", "1", "--seconds", "1", "-o", "new.wav"], place)
    assert said.code == 4
    assert said.err.startswith("new.wav does not fit")
    assert said.err.count("\n") == 1
    assert not list(place.glob("*new*"))


def test_a_file_is_whole_or_not_there(tmp_path):
    path = tmp_path / "made" / "text"
    with contextlib.suppress(KeyboardInterrupt), atomic_write(path) as file:
        file.write(b"half")
        raise KeyboardInterrupt
    assert not list(path.parent.iterdir())
    write_text(path, "ganz für \udcff")
    assert path.read_text("utf-8") == "ganz für \\udcff"
    assert [found.name for found in path.parent.iterdir()] == ["text"]


def test_a_folder_is_looked_at_without_being_made(tmp_path):
    require_writable(tmp_path / "a" / "b")
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="file: Expected a folder"):
        require_writable(tmp_path / "file" / "b")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
