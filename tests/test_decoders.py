"""Test worker processes: a crash or hang rejects only one file, and a full disk rejects none."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from singlow.data.prepare import decoders, worker
from singlow.errors import EnvironmentFault
from tests.datasets import build, corpus, shard_bytes
from tests.sounds import save, song

ROOT = Path(__file__).resolve().parents[1]


def test_memory_is_limited_for_one_file_alone(tmp_path, monkeypatch):
    source = corpus(tmp_path / "in", {"a": [0.5, 0.5]})
    save(source / "a" / "long.flac", np.zeros((48_000_000, 1), np.int16), 16000)
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "from singlow.data.prepare import worker\n"
        "worker.MEMORY = 300 << 20\n"
        "worker.main()\n"
    )
    monkeypatch.setattr(decoders, "_CODE", code)
    (entry,) = build(source, tmp_path / "out")["rejected"]
    assert entry["path"] == "a/long.flac"
    assert "memory" in entry["reason"]


def test_limits_of_a_worker():
    assert (worker.MEMORY, worker.CPU_SECONDS, worker.SILENCE) == (4 << 30, 1800, -60.0)
    assert decoders.PATIENCE == 10.0


def test_a_hang_and_a_crash_cost_one_file_each(tmp_path, monkeypatch):
    source = corpus(tmp_path / "in", {"a": [0.5, 0.5, 0.5, 0.5]})
    save(source / "a" / "hangs.wav", song(0.5))
    save(source / "a" / "crashes.wav", song(0.5))
    monkeypatch.setattr(decoders, "PATIENCE", 1.0)
    spoiler = (
        "import os, time\n"
        "from singlow.data.prepare import worker\n"
        "real = worker.load_audio\n"
        "def load_audio(path, *rest):\n"
        "    if 'hangs' in path: time.sleep(1000)\n"
        "    if 'crashes' in path: os.kill(os.getpid(), 11)\n"
        "    return real(path, *rest)\n"
        "worker.load_audio = load_audio\n"
    )
    monkeypatch.setattr(
        decoders, "_CODE", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{spoiler}worker.main()"
    )
    start = time.monotonic()
    info = build(source, tmp_path / "out", workers=2)
    assert time.monotonic() - start < 100  # the decoder would sleep for 1000 seconds
    reasons = {entry["path"]: entry["reason"] for entry in info["rejected"]}
    assert reasons == {
        "a/hangs.wav": "hangs: no progress within 1 s",
        "a/crashes.wav": "crashes the decoder (SIGSEGV)",
    }
    assert sum(part["clips"] for part in info["splits"].values()) == 4


def test_a_full_disk_rejects_no_file(tmp_path, monkeypatch):
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "from singlow.data.prepare import worker\n"
        "def stage(*_): raise OSError(28, 'No space left on device')\n"
        "worker.stage = stage\n"
        "worker.main()\n"
    )
    monkeypatch.setattr(decoders, "_CODE", code)
    source = corpus(tmp_path / "in", {"a": [0.5, 0.5]})
    with pytest.raises(EnvironmentFault, match=r"No space left.*run the same command again"):
        build(source, tmp_path / "out")
    monkeypatch.undo()
    assert build(source, tmp_path / "out")["rejected"] == []


@pytest.mark.parametrize("moment", [1, 4, 9])
def test_a_killed_build_continues_to_the_same_bytes(moment, tmp_path):
    source = corpus(tmp_path / "in", {"a": [0.5] * 8, "b": [0.4] * 4})
    build(source, tmp_path / "whole")
    code = (
        "import sys, time\n"
        "from singlow.data.prepare import build, decoders\n"
        "real = decoders.decode_all\n"
        "def decode_all(*arguments):\n"
        "    for count, result in enumerate(real(*arguments), 1):\n"
        "        yield result\n"
        f"        if count == {moment}: print('now', flush=True); time.sleep(100)\n"
        "decoders.decode_all = decode_all\n"
        "build.build_dataset([sys.argv[1]], sys.argv[2], workers=1, report=lambda _: None)\n"
    )
    out = tmp_path / "out"
    command = [sys.executable, "-c", code, str(source), str(out)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"now\n"
        process.send_signal(signal.SIGKILL)
    assert not (out / "dataset_info.json").exists()
    part = next((out / ".building").glob("part-*"))
    part.write_bytes(part.read_bytes() + b"cut in the middle of a record")
    decoded = []
    real = decoders._Process.decode

    def decode(self, job):
        decoded.append(job["path"])
        return real(self, job)

    decoders._Process.decode = decode
    try:
        build(source, out)
    finally:
        decoders._Process.decode = real
    assert len(decoded) <= 12 - moment
    assert shard_bytes(out) == shard_bytes(tmp_path / "whole")


def test_interrupting_leaves_no_process(tmp_path, monkeypatch):
    pids = []
    real = decoders.decode_all

    def decode_all(*arguments):
        for result in real(*arguments):
            pids.extend(_children())
            raise KeyboardInterrupt
            yield result

    monkeypatch.setattr(decoders, "decode_all", decode_all)
    with pytest.raises(KeyboardInterrupt):
        build(corpus(tmp_path / "in"), tmp_path / "out")
    time.sleep(0.2)
    assert not set(pids) & set(_children())


def _children() -> list[str]:
    listing = subprocess.run(
        ["ps", "-o", "pid=,args=", "--ppid", str(os.getpid())], capture_output=True, text=True
    ).stdout
    return [line.split()[0] for line in listing.splitlines() if "worker" in line]
