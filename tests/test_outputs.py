"""Outputs that cannot be written give one line and an exit code, before the work if possible."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from singlow.audio import write_audio
from tests.songs import TINY, coloured_noise, command, singlow, train, trained

NOWHERE = Path("/proc")  # a folder in which not even root may create a file
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
    """Limit files to 4 kB, as if the disk were full."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def run(arguments, directory):
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
def test_a_folder_that_cannot_be_written_is_reported_before_the_work(place, call, output):
    outcome = run([*call, output], place)
    assert outcome.code == 4, outcome.err
    assert outcome.err.startswith(f"{output}")
    assert "nothing can be written in /proc" in outcome.err
    assert outcome.err.count("\n") == 1


@needs_proc
def test_a_page_and_a_file_in_such_a_folder(place):
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
def test_the_name_of_one_file_for_several_results_is_a_usage_error(place, call):
    (place / "other.wav").symlink_to(place / "song.wav")
    outcome = singlow(call, place)
    assert outcome.code == 2, outcome.err
    assert f"Expected a folder for -o, for several results. Received: {call[-1]}." in outcome.err
    assert not (place / call[-1]).exists()


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_place_below_a_file_is_a_usage_error(place, call):
    (place / "file").write_text("")
    outcome = run([*call, "./file/x"], place)
    assert outcome.code == 2, outcome.err
    assert "file: Expected a folder. Received: a file." in outcome.err
    assert outcome.err.count("\n") == 1


def test_a_file_that_does_not_fit_leaves_the_old_one(place, small_files):
    song = place / "song.wav"
    before = song.read_bytes()
    with pytest.raises(OSError, match="too large") as caught:
        write_audio(song, np.zeros((100000, 1), np.float32), 16000, "FLOAT")
    assert caught.value.filename == str(song)
    assert song.read_bytes() == before
    assert {path.name for path in place.iterdir()} == {"checkpoints", "song.wav", "song.npz"}


def test_a_result_that_does_not_fit_is_reported_in_one_line(place, small_files):
    outcome = singlow(["sample", "t", "--count", "1", "--seconds", "1", "-o", "new.wav"], place)
    assert outcome.code == 4
    assert outcome.err.startswith("new.wav does not fit")
    assert outcome.err.count("\n") == 1
    assert not list(place.glob("*new*"))
