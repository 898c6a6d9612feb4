"""Every command of the README runs at a tiny size, and the files that it names exist."""

import contextlib
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.songs import TINY, TINY_BLOW, TINY_FLOWAVENET, cheap, singlow, train, write_songs

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text("utf-8")
SHORT = ["--epochs", "1", "--steps_per_epoch", "2"]
TOY = [*TINY, *SHORT]
TOY_VOICES = [*TINY_BLOW, *SHORT]
TOY_VOCODER = [*TINY_FLOWAVENET, *SHORT]
TOY_SPEECH = ["--preset", "glow_tts_tiny", "--run", "glow_tts_small", "--dataset", "speech", *SHORT]
TOY_PICTURES = ["--k_glow", "1", "--batch_size", "8", "--set", "width=4", *SHORT]


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with songs, in which the commands of the README run."""
    folder = tmp_path_factory.mktemp("reader")
    write_songs(folder / "my_songs", rate=22050, channels=2, takes=4)
    for path in write_songs(folder / "speech").glob("*/*.wav"):
        path.with_suffix(".txt").write_text("sakana no hanashi")
    (folder / "song.wav").write_bytes((folder / "my_songs/ada/0.wav").read_bytes())
    return folder


def run(line: str, place: Path) -> None:
    program, *arguments = shlex.split(line)
    if program == "make":
        subprocess.run(["make", "-n", *arguments], cwd=ROOT, check=True, capture_output=True)
        done = train([*TOY, "--run", "singlow_16k", "--dataset", "my_songs"], place)
    elif program == "source":
        assert arguments == [".venv/bin/activate"]
        return
    else:
        assert program == "singlow"
        verb, *flags = arguments
        if verb == "train":
            toys = {"blow": TOY_VOICES, "glow": TOY_PICTURES}
            toys |= {"flowavenet": TOY_VOCODER, "glow_tts": TOY_SPEECH}
            flags = [*next((toys[name] for name in toys if name in flags), TOY), *flags]
        with cheap() if verb == "train" else contextlib.nullcontext():
            done = singlow([verb, *flags], place)
    assert done.code == 0, f"{line}\n{done.err}"


def test_every_command_runs(place):
    lines = [line for block in blocks("bash") for line in block.strip().splitlines()]
    assert lines[0] == "make train"
    for line in lines:
        run(line, place)
    assert (place / "back.wav").is_file()
    assert (place / "song.npz").is_file()
    assert list((place / "logs/singlow_16k/samples").glob("*.wav"))
    assert (place / "logs/mine/latents/latents.png").is_file()
    assert (place / "converted/song_to_bo.wav").is_file()
    assert len(list((place / "as_cy").glob("*_to_cy.wav"))) == 4
    assert (place / "voices-conversion/listening.html").is_file()
    assert (place / "eight.png").is_file()
    assert (place / "sentence.wav").is_file()
    assert len(list((place / "vocoded").glob("*.wav"))) == 2


def test_the_library_example_runs(place, monkeypatch):
    monkeypatch.chdir(place)
    (example,) = blocks("python")
    names = {}
    exec(example, names)
    assert abs(names["back"] - names["x"]).numpy().max() < 1e-4
    assert tuple(names["new"].shape) == (2, 16000, 1)


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)]+)\)", README):
        assert target.startswith("https://") or (ROOT / target).exists(), target
