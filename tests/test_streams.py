"""Commands handle closed streams, broken pipes, other encodings, and Ctrl-C while loading."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from singlow.data.prepare.folder import own_folder
from singlow.errors import DataError, warn
from singlow.streams import escape
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
    """Return a function that writes the `main` of a command and returns the line that runs it."""

    def write(body: str, lasting: bool = False) -> str:
        path = tmp_path / "command.py"
        lines = "".join(f"    {line}\n" for line in body.splitlines())
        path.write_text(f"{HEAD}def main():\n{lines}run_command(main, lasting={lasting})\n")
        return f'"$PYTHON" "{path}"'

    return write


def test_names_that_the_terminal_cannot_show_are_escaped(script):
    line = script("print('caf\\u00e9', '\\udcff')\nprint('\\u00e9', file=sys.stderr)")
    for coding in ("ascii", "utf-8"):
        outcome = shell(line, PYTHONIOENCODING=coding)
        assert outcome.returncode == 0, outcome.stderr
        assert "\\udcff" in outcome.stdout
    outcome = shell(line, PYTHONIOENCODING="ascii")
    assert "caf\\xe9" in outcome.stdout
    assert "\\xe9" in outcome.stderr


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_closed_streams_are_no_error(script, tmp_path, closed):
    body = "sys.stdout.isatty(); sys.stderr.isatty()\nprint(1); print(2, file=sys.stderr)\n"
    line = script(f"{body}open({str(tmp_path / 'done')!r}, 'x')")
    outcome = shell(f"{line} {closed}")
    assert (outcome.returncode, (tmp_path / "done").is_file()) == (0, True)
    assert (tmp_path / "done").read_text() == ""


@pytest.mark.parametrize("merged", ["", "2>&1"])
@pytest.mark.parametrize(("lasting", "code"), [(False, 5), (True, 0)])
def test_output_whose_reader_has_gone(script, tmp_path, merged, lasting, code):
    body = "for i in range(50000): print('line', i, file=(sys.stdout, sys.stderr)[MERGED * i % 2])"
    line = script(body.replace("MERGED", str(int(bool(merged)))), lasting)
    outcome = shell(f"( {line} {merged}; echo $? > '{tmp_path}/code' ) | head -n 1")
    assert outcome.stdout == "line 0\n"
    assert outcome.stderr == ""
    assert int((tmp_path / "code").read_text()) == code


def test_short_output_whose_reader_has_gone(script, tmp_path):
    """The pipe breaks only when the output is flushed at the end."""
    line = script("print('help')\nsys.exit(0)")
    outcome = shell(f"( sleep 0.2; {line}; echo $? > '{tmp_path}/code' ) | true")
    assert outcome.stderr == ""
    assert int((tmp_path / "code").read_text()) == 5


def test_a_broken_pipe_is_no_fault_of_the_folder(tmp_path):
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
def test_paths_that_cannot_be_used_are_reported_in_one_line(tmp_path, number, code, words):
    def main():
        raise OSError(number, os.strerror(number), "some/path")

    outcome = command(main, [], tmp_path)
    assert outcome.code == code
    assert outcome.err.startswith("some/path ")
    assert words in outcome.err
    assert outcome.err.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain é 歌", "plain é 歌"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("\x9b31m", "\\u009b31m"),
        ("two\nlines\u2028", "two\\x0alines\\u2028"),
        ("\udc83\udce9", "\\x83\\xe9"),
    ],
)
def test_names_are_shown_without_control_characters(text, shown):
    assert escape(text) == shown


def test_messages_and_warnings_are_escaped_lines(tmp_path):
    def main():
        warn("clip \x1b[2J\n is odd")
        raise DataError("song\x1b[2J.wav:\n  empty")

    outcome = command(main, [], tmp_path)
    assert outcome.code == 3
    assert outcome.err == "Warning: clip \\x1b[2J is odd\nsong\\x1b[2J.wav: empty\n"


@pytest.mark.parametrize("line", ["train.py --help", "-m singlow --help"])
def test_ctrl_c_while_modules_load(tmp_path, line):
    (tmp_path / "tyro.py").write_text("raise KeyboardInterrupt")
    outcome = shell(f'"$PYTHON" {line}', PYTHONPATH=str(tmp_path))
    assert outcome.returncode == 5
    assert outcome.stderr == "Interrupted. Run the same command again to go on.\n"
