"""Every notebook runs from a fresh clone with tiny settings, and is committed without outputs."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from tests.datasets import builtin

ROOT = Path(__file__).resolve().parents[1]
BOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
TINY = """
PRESET, EPOCHS, STEPS, FOLDER = "singlow_tiny", 1, 5, {folder!r}
STRENGTHS, TEMPERATURES = (0.0, 1.0, 1.25), (0.3, 0.7)
"""
# Notebooks run in another process: kernels leave sockets open, which pytest reports as errors.
EXECUTE = """
import sys, nbformat
from nbclient import NotebookClient
source, result, folder = sys.argv[1:]
book = nbformat.read(source, as_version=4)
NotebookClient(book, timeout=300, resources={"metadata": {"path": folder}}).execute()
nbformat.write(book, result)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The working folder that the notebooks share, as in one clone, with the built-in corpus."""
    folder = tmp_path_factory.mktemp("clone")
    shutil.copytree(builtin(), folder / "data")
    return folder


def parameters(book):
    return [i for i, cell in enumerate(book.cells) if "parameters" in cell.metadata.get("tags", ())]


def test_there_are_two():
    assert [path.stem for path in BOOKS] == ["experiment", "run"]


@pytest.mark.parametrize("path", BOOKS, ids=lambda path: path.stem)
def test_kept_without_outputs(path):
    book = nbformat.read(path, as_version=4)
    nbformat.validate(book)
    cells = [cell for cell in book.cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in cells)
    assert len(parameters(book)) == 1


@pytest.mark.parametrize(
    "path",
    [pytest.param(path, marks=[pytest.mark.slow] * (path.stem == "experiment")) for path in BOOKS],
    ids=lambda path: path.stem,
)
def test_every_cell_runs(path, folder):
    book = nbformat.read(path, as_version=4)
    tiny = nbformat.v4.new_code_cell(TINY.format(folder=str(folder)), id="tiny")
    book.cells.insert(parameters(book)[0] + 1, tiny)
    source, result = folder / f"{path.stem}-tiny.ipynb", folder / f"{path.stem}-done.ipynb"
    nbformat.write(book, source)
    done = subprocess.run(
        [sys.executable, "-c", EXECUTE, source, result, ROOT / "notebooks"],
        env={**os.environ, "IPYTHONDIR": str(folder), "JUPYTER_RUNTIME_DIR": str(folder)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    cells = nbformat.read(result, as_version=4).cells
    shown = [output for cell in cells for output in cell.get("outputs", ())]
    assert not [output for output in shown if output.output_type == "error"]
    assert sum("image/png" in output.get("data", {}) for output in shown) >= 5
    players = [o for o in shown if "<audio" in o.get("data", {}).get("text/html", "")]
    assert len(players) >= 5
