"""Commands whose output is closed, cut off or of another alphabet; Ctrl-C while modules load."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from singlow.data.prepare.folder import own_folder
from tests.songs import command

ROOT = Path(__file__).resolve().parents[1]
HEAD = "import os, sys\nfrom singlow.errors import run_command\n"


def shell(line: str, **environment: str) -> subprocess.CompletedProcess:
    """Run a line of sh in which `$PYTHON` is this interpreter."""
    known = {**os.environ, "PYTHON": sys.executable, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run(
        ["sh", "-c", line], cwd=ROOT, env=known, capture_output=True, text=True, timeout=60
    )


@pytest.fixture
def script(tmp_path):
    """Write `main` of a command; returns the line that runs it."""

    def write(body: str, lasting: bool = False) -> str:
        path = tmp_path / "command.py"
        lines = "".join(f"    {line}\n" for line in body.splitlines())
        path.write_text(f"{HEAD}def main():\n{lines}run_command(main, lasting={lasting})\n")
        return f'"$PYTHON" "{path}"'

    return write


def test_names_that_the_terminal_cannot_show_are_escaped(script):
    line = script("print('caf\\u00e9', '\\udcff')\nprint('\\u00e9', file=sys.stderr)")
    for coding in ("ascii", "utf-8"):
        said = shell(line, PYTHONIOENCODING=coding)
        assert said.returncode == 0, said.stderr
        assert "\\udcff" in said.stdout
    said = shell(line, PYTHONIOENCODING="ascii")
    assert "caf\\xe9" in said.stdout
    assert "\\xe9" in said.stderr


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_closed_streams_are_no_fault(script, tmp_path, closed):
    body = "sys.stdout.isatty(); sys.stderr.isatty()\nprint(1); print(2, file=sys.stderr)\n"
    line = script(f"{body}open({str(tmp_path / 'done')!r}, 'x')")
    said = shell(f"{line} {closed}")
    assert (said.returncode, (tmp_path / "done").is_file()) == (0, True)
    assert (tmp_path / "done").read_text() == ""


@pytest.mark.parametrize("merged", ["", "2>&1"])
@pytest.mark.parametrize(("lasting", "code"), [(False, 5), (True, 0)])
def test_output_that_nobody_reads(script, tmp_path, merged, lasting, code):
    body = "for i in range(50000): print('line', i, file=(sys.stdout, sys.stderr)[MERGED * i % 2])"
    line = script(body.replace("MERGED", str(int(bool(merged)))), lasting)
    said = shell(f"( {line} {merged}; echo $? > '{tmp_path}/code' ) | head -n 1")
    assert said.stdout == "line 0\n"
    assert said.stderr == ""
    assert int((tmp_path / "code").read_text()) == code


def test_short_output_that_nobody_reads(script, tmp_path):
    """It breaks only when it is flushed at the end."""
    line = script("print('help')\nsys.exit(0)")
    said = shell(f"( sleep 0.2; {line}; echo $? > '{tmp_path}/code' ) | true")
    assert said.stderr == ""
    assert int((tmp_path / "code").read_text()) == 5


def test_a_report_that_nobody_reads_is_no_fault_of_the_folder(tmp_path):
    with pytest.raises(BrokenPipeError), own_folder(tmp_path):
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")


@pytest.mark.parametrize(
    ("number", "code", "words"),
    [
        (errno.EEXIST, 2, "exists and is no folder"),
        (errno.ENOTDIR, 2, "below a file"),
        (errno.EISDIR, 2, "is a folder"),
        (errno.ENAMETOOLONG, 2, "too long a name"),
        (errno.ELOOP, 2, "leads back to itself"),
        (errno.EACCES, 4, "permissions"),
    ],
)
def test_paths_that_cannot_be_used_are_told_in_one_line(tmp_path, number, code, words):
    def main():
        raise OSError(number, os.strerror(number), "some/path")

    said = command(main, [], tmp_path)
    assert said.code == code
    assert said.err.startswith("some/path ")
    assert words in said.err
    assert said.err.count("\n") == 1


@pytest.mark.parametrize("line", ["train.py --help", "-m singlow --help"])
def test_ctrl_c_while_modules_load(tmp_path, line):
    (tmp_path / "tyro.py").write_text("raise KeyboardInterrupt")
    said = shell(f'"$PYTHON" {line}', PYTHONPATH=str(tmp_path))
    assert said.returncode == 5
    assert said.stderr == "Interrupted. Run the same command again to go on.\n"
