"""Test how files are written atomically, set aside, copied and locked."""

import contextlib
import errno
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from singlow import files
from singlow.errors import UsageError
from singlow.files import (
    atomic_write,
    keep_copy,
    lock_folder,
    require_writable,
    set_aside,
    write_text,
)

ROOT = Path(__file__).resolve().parents[1]


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_file_is_complete_or_missing(tmp_path):
    path = tmp_path / "made" / "text"
    with contextlib.suppress(KeyboardInterrupt), atomic_write(path) as file:
        file.write(b"half")
        raise KeyboardInterrupt
    assert names(path.parent) == set()
    write_text(path, "ganz für \udcff")
    assert path.read_text("utf-8") == "ganz für \\udcff"
    assert names(path.parent) == {"text"}


@pytest.mark.skipif(os.name != "posix", reason="modes are those of POSIX")
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664, 0o444])
def test_an_existing_file_keeps_its_mode(tmp_path, mode):
    path = tmp_path / "secret"
    path.write_text("old")
    path.chmod(mode)
    write_text(path, "new")
    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == mode


@pytest.mark.skipif(os.name != "posix", reason="modes are those of POSIX")
@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_a_new_file_has_the_mode_of_the_umask(tmp_path, umask):
    before = os.umask(umask)
    try:
        write_text(tmp_path / "new", "new")
        assert os.umask(umask) == umask
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o666 & ~umask


def test_links_planted_under_likely_names_are_not_followed(tmp_path):
    victim, path = tmp_path / "victim", tmp_path / "out" / "a.json"
    victim.write_text("precious")
    path.parent.mkdir()
    for name in (".tmp-a.json", f".a.json.{os.getpid()}.partial", "a.json.tmp", "a.json"):
        (path.parent / name).symlink_to(victim)
    write_text(path, "new")
    assert victim.read_text() == "precious"
    assert path.read_text() == "new"
    assert not path.is_symlink()


def test_a_device_is_written_and_not_replaced():
    write_text(Path(os.devnull), "text")
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)


def test_long_names_can_be_written(tmp_path):
    path = tmp_path / ("ö" * 120 + ".json")
    write_text(path, "new")
    assert names(tmp_path) == {path.name}


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_an_error_of_the_disk_names_the_file_and_leaves_the_old_one(tmp_path, monkeypatch, code):
    path = tmp_path / "a"
    path.write_text("old")

    def fail(descriptor: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(files, "sync", fail)
    with pytest.raises(OSError, match=os.strerror(code)) as caught:
        write_text(path, "new")
    assert caught.value.filename == str(path)
    assert path.read_text() == "old"
    assert names(tmp_path) == {"a"}


def test_a_folder_is_checked_without_being_created(tmp_path):
    require_writable(tmp_path / "a" / "b")
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="file: Expected a folder"):
        require_writable(tmp_path / "file" / "b")
    assert names(tmp_path) == {"file"}


def test_setting_aside_takes_the_next_free_number_for_all(tmp_path):
    run, logs = tmp_path / "runs" / "a", tmp_path / "logs" / "a"
    for number in (1, 2, 3):
        run.mkdir(parents=True)
        if number != 2:
            logs.mkdir(parents=True)
        assert set_aside(run, logs) == tmp_path / "runs" / f"a.old-{number}"
    (tmp_path / "logs" / "a.old-4").symlink_to("nowhere")
    run.mkdir()
    assert set_aside(run, logs).name == "a.old-5"
    assert names(tmp_path / "logs") == {"a.old-1", "a.old-3", "a.old-4"}


@pytest.mark.parametrize("links", [True, False])
def test_a_copy_outlives_the_replacement_of_a_file(tmp_path, monkeypatch, links):
    path = tmp_path / "shard"

    def refuse(*_, **__):
        raise PermissionError(errno.EPERM, "no links here")

    if not links:
        monkeypatch.setattr(os, "link", refuse)
    for text in ("first", "second"):
        write_text(path, text)
        copy = keep_copy(path, "damaged")
        assert not links or keep_copy(path, "damaged") == copy
    write_text(path, "third")
    kept = [(tmp_path / name).read_text() for name in ("shard.damaged", "shard.damaged-2")]
    assert kept == ["first", "second"]


def test_a_folder_is_locked_once(tmp_path):
    folder = tmp_path / "run"
    with lock_folder(folder) as first:
        assert first
        with lock_folder(folder) as second:
            assert not second
        with lock_folder(folder) as third:
            assert not third
    with lock_folder(folder) as again:
        assert again
    assert names(folder) == set()


def holder(folder: Path) -> subprocess.Popen:
    """Start a process that locks a folder, prints a line and waits."""
    program = (
        "import sys, time\nfrom pathlib import Path\nfrom singlow.files import lock_folder\n"
        "with lock_folder(Path(sys.argv[1])) as acquired:\n"
        "    print(acquired, flush=True)\n    time.sleep(60)\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", program, str(folder)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def test_a_folder_is_locked_once_without_the_locks_of_the_system(tmp_path):
    program = (
        "import sys, warnings\nsys.modules.update(fcntl=None, resource=None)\n"
        "warnings.simplefilter('error')\n"
        "from pathlib import Path\nfrom singlow.files import lock_folder\n"
        "folder = Path(sys.argv[1])\n"
        "for _ in range(2):\n"
        "    with lock_folder(folder) as first, lock_folder(folder) as second:\n"
        "        print(first, second)\n"
        "print(list(folder.iterdir()))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "run")],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.stdout.splitlines() == ["True False", "True False", "[]"], done.stderr


def test_a_killed_process_releases_its_lock(tmp_path):
    with holder(tmp_path) as process:
        assert process.stdout.readline() == "True\n"
        with lock_folder(tmp_path) as acquired:
            assert not acquired
        process.send_signal(signal.SIGKILL)
        process.wait()
    with lock_folder(tmp_path) as acquired:
        assert acquired


def test_a_folder_set_aside_while_it_is_locked_can_be_made_anew(tmp_path):
    folder = tmp_path / "run"
    with lock_folder(folder):
        set_aside(folder)
        with lock_folder(folder) as new:
            assert new
            with lock_folder(folder) as second:
                assert not second
    with holder(folder) as process:
        assert process.stdout.readline() == "True\n"
        process.kill()


def test_a_folder_set_aside_between_opening_and_locking_is_noticed(tmp_path, monkeypatch):
    folder, real, moved = tmp_path / "run", files.FileLock, []

    class Slow(real):
        def acquire(self, *arguments, **settings):
            result = super().acquire(*arguments, **settings)
            if not moved:
                moved.append(set_aside(folder))
            return result

    monkeypatch.setattr(files, "FileLock", Slow)
    with lock_folder(folder) as acquired:
        assert acquired
        assert (folder / files.LOCK).is_file()
    assert len(moved) == 1


def test_the_end_of_an_old_lock_leaves_a_new_one(tmp_path):
    folder = tmp_path / "run"
    with contextlib.ExitStack() as stack:
        with lock_folder(folder):
            set_aside(folder)
            process = stack.enter_context(holder(folder))
            assert process.stdout.readline() == "True\n"
        with lock_folder(folder) as acquired:
            assert not acquired
        process.kill()
