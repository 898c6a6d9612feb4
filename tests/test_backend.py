"""Which frameworks are loaded: the one that KERAS_BACKEND names, and no other."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def python(program: str, *arguments: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="JAX is not installed")
def test_a_run_is_loaded_on_jax_without_tensorflow(tmp_path):
    program = """
import sys
from pathlib import Path
from singlow.runs.opening import build_flow, load_flow
from tests.runs import CONFIG, run_in

config = {**CONFIG, "arguments": {"k_glow": 1, "l_glow": 1, "squeeze": 4, "width": 4}}
flow, again = build_flow(config), build_flow(config)
weights = {v.path: v.numpy() for v in flow.weights}
assert all((weights[v.path] == v.numpy()).all() for v in again.weights)
run = run_in(Path(sys.argv[1]))
run.directory.mkdir(parents=True)
saved = run.save(1, weights, {}, {})
loaded = load_flow(config, saved)
assert all((weights[v.path] == v.numpy()).all() for v in loaded.weights)
print(sorted({"jax", "tensorflow"} & set(sys.modules)))
"""
    assert python(program, str(tmp_path), KERAS_BACKEND="jax", JAX_PLATFORMS="cpu") == "['jax']"


def test_an_empty_backend_is_tensorflow():
    program = "from singlow.backend import start_backend; print(start_backend())"
    assert python(program, KERAS_BACKEND="") == "tensorflow"
