"""Test `data_loader.py` from the command line: exit codes and errors of one line."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import data_loader
from singlow.__main__ import main
from singlow.data.store.dataset import read_info
from singlow.data.store.records import index_shard
from tests.datasets import corpus, shard_bytes
from tests.songs import command
from tests.sounds import save, song

ROOT = Path(__file__).resolve().parents[1]


def run(*arguments, cwd=ROOT) -> subprocess.CompletedProcess:
    command = [sys.executable, str(ROOT / "data_loader.py"), *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120)


def test_help_is_quick_and_complete():
    line = [sys.executable, "-X", "importtime", str(ROOT / "data_loader.py"), "--help"]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "singlow.commands.prepare" in imported
    assert not imported & {"tensorflow", "keras", "jax", "numpy", "librosa", "matplotlib"}
    for flag in ("--out", "--layout", "--sampling_rate", "--channel_size", "--workers", "--seed"):
        assert flag in done.stdout


def test_flags_set_what_they_name(tmp_path):
    (tmp_path / "x").mkdir()
    source = corpus(tmp_path / "in", {"a": [0.5, 0.5], "b": [0.5, 0.5]})
    flags = {"sampling_rate": 8000, "channel_size": 2, "workers": 1, "seed": 4, "level": -25}
    line = [part for name, value in flags.items() for part in (f"--{name}", value)]
    done = run(f"human={source}", "--out", tmp_path / "out", "--layout", "folders", *line)
    assert done.returncode == 0, done.stderr
    assert "Layout: folders" in done.stdout
    info = read_info(tmp_path / "out")
    assert (info["sample_rate"], info["channels"]) == (8000, 2)
    assert info["settings"]["seed"] == 4
    assert info["settings"]["level"] == -25


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "no SRC"),
        (["in"], 2, "no --out"),
        (["nowhere", "--out", "out"], 2, "nowhere"),
        (["in", "--out", "out", "--layout", "fancy"], 2, "fancy"),
        (["in", "--out", "out", "--sampling_rate", "5"], 2, "sampling_rate"),
        (["in", "--out", "out", "--nonsense", "5"], 2, "Received: --nonsense."),
        (["in", "--out", "out", "--nonsense"], 2, "Received: --nonsense."),
        (["in", "--out", "out", "--workers", "many"], 2, "workers"),
        (["in", "--out"], 2, "--out"),
        (["empty", "--out", "out"], 3, "holds no audio"),
        (["in", "--out", "file/out"], 2, "file: Expected a folder"),
        (["--verify", "empty"], 3, "dataset_info.json"),
        (["--recover", "empty"], 3, "dataset_info.json"),
        (["in", "--verify", "empty"], 2, "alone"),
    ],
)
def test_mistakes_have_their_exit_code_and_no_traceback(arguments, code, message, tmp_path):
    save(tmp_path / "in" / "a.wav", song(2.0))
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_exit_code_4(tmp_path):
    save(tmp_path / "in" / "a.wav", song(2.0))
    (tmp_path / "out").mkdir(mode=0o555)
    done = run("in", "--out", "out", cwd=tmp_path)
    assert done.returncode == 4
    assert "Traceback" not in done.stderr


def test_the_verb_and_the_script_are_one(tmp_path):
    corpus(tmp_path / "in", {"a": [0.3, 0.3]})
    for number, (program, verb) in enumerate([(data_loader.main, []), (main, ["prepare"])]):
        out = tmp_path / f"{number}"
        assert command(program, [*verb, "in", "-o", out, "--workers", 1], tmp_path).code == 0
        assert command(program, [*verb, "in"], tmp_path).code == 2
    assert shard_bytes(tmp_path / "0") == shard_bytes(tmp_path / "1")


def test_verify_and_recover(tmp_path):
    corpus(tmp_path / "in", {"a": [0.3] * 20})
    assert run("in", "--out", "out", "--workers", "1", cwd=tmp_path).returncode == 0
    assert "all intact" in run("--verify", "out", cwd=tmp_path).stdout
    path = next((tmp_path / "out").glob("train.tfrecord-00000-*"))
    record = index_shard(path)[0][0]
    body = bytearray(path.read_bytes())
    body[record.start + 100] ^= 1
    path.write_bytes(body)
    done = run("--verify", "out", cwd=tmp_path)
    assert done.returncode == 3
    assert f"{path.name}: record 0, at byte 0" in done.stdout
    assert run("--recover", "out", cwd=tmp_path).returncode == 0
    assert "all intact" in run("--verify", "out", cwd=tmp_path).stdout
