"""Test the imports of each backend, runs that change backends, and the user's Keras settings."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.runs import CONFIG, run_in

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


needs_jax = pytest.mark.skipif(
    importlib.util.find_spec("jax") is None, reason="JAX is not installed"
)


SMALL = {"k_glow": 1, "l_glow": 1, "squeeze": 4, "width": 4, "dropout": 0.5}


def train_step(folder: str) -> int:
    """Restore the newest checkpoint of a run, if any, train for one step, and save a checkpoint.

    Returns:
        The number of steps of the optimizer.
    """
    from singlow.runs.opening import build_flow
    from singlow.training.optimizer import capture, compile_flow, restore

    run = run_in(Path(folder))
    config = {**CONFIG, "arguments": SMALL}
    flow = build_flow(config)
    compile_flow(flow, config["training"])
    known = run.checkpoints()
    if known:
        restore(flow, known[-1])
    else:
        run.directory.mkdir(parents=True)
        run.write_config(config)
    flow.train_on_batch({"x": noise(64)})
    run.save(len(known) + 1, *capture(flow), {})
    return int(flow.optimizer.iterations.numpy())


def noise(length: int) -> np.ndarray:
    return 0.1 * np.random.default_rng(0).standard_normal((1, length, 1)).astype("float32")


def check_opened(folder: str) -> None:
    """Open the run of `train_step`, and encode, decode and sample with it."""
    from singlow.runs.opening import open_run

    run = open_run(run_in(Path(folder)))
    x = noise(64)
    np.testing.assert_allclose(run.coder.decode(run.coder.encode(x)), x, atol=1e-5)
    assert run.coder.sample(length=50, seed=0)[0].shape == (1, 50, 1)
    assert np.asarray(run.flow.log_prob(x)).dtype == np.float32


TRAIN_STEP = "import sys; from tests.test_backend import train_step; print(train_step(sys.argv[1]))"
ON_JAX = {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}


def check_loaded(folder: str) -> None:
    """Check that settings decide the initial weights, and that a checkpoint holds all weights."""
    from singlow.runs.opening import build_flow, load_flow

    run = run_in(Path(folder))
    flow, again = build_flow(run.config), build_flow(run.config)
    assert all(
        (v.numpy() == w.numpy()).all() for v, w in zip(flow.weights, again.weights, strict=True)
    )
    before = run.checkpoint()
    weights = {v.path: v.numpy() + 1 for v in flow.weights}
    saved = run.save(before.epoch + 1, weights, {}, {})
    loaded = load_flow(run.config, saved)
    assert all((weights[v.path] == v.numpy()).all() for v in loaded.weights)
    shutil.rmtree(saved.path)


@needs_jax
def test_a_run_may_change_backends_and_jax_needs_no_tensorflow(tmp_path):
    """TensorFlow uses int64 for the step count and the seed, and JAX uses 32 bits."""
    program = """
import sys
from tests.test_backend import check_loaded, train_step

steps = train_step(sys.argv[1])
check_loaded(sys.argv[1])
print(steps, sorted({"jax", "tensorflow"} & set(sys.modules)))
"""
    assert python(program, str(tmp_path), **ON_JAX) == "1 ['jax']"
    assert train_step(str(tmp_path)) == 2
    assert python(TRAIN_STEP, str(tmp_path), **ON_JAX, JAX_ENABLE_X64="1") == "3"


def test_an_empty_backend_is_tensorflow_and_the_configuration_of_keras_changes_no_run(tmp_path):
    train_step(str(tmp_path))
    settings = {"floatx": "float16", "epsilon": 1e-4, "image_data_format": "channels_first"}
    (tmp_path / "keras.json").write_text(json.dumps(settings))
    program = """
import sys
from singlow.backend import start_backend
from tests.test_backend import check_opened, train_step

backend, steps = start_backend(), train_step(sys.argv[1])
check_opened(sys.argv[1])
import keras
print(backend, steps, keras.config.floatx(), keras.config.image_data_format())
"""
    result = python(program, str(tmp_path), KERAS_BACKEND="", KERAS_HOME=str(tmp_path))
    assert result == "tensorflow 2 float16 channels_first"


@needs_jax
def test_the_backend_is_the_one_that_keras_runs_on(tmp_path):
    (tmp_path / "keras.json").write_text(json.dumps({"backend": "jax"}))
    program = "import keras; from singlow.backend import start_backend; print(start_backend())"
    variables = {"KERAS_BACKEND": "", "KERAS_HOME": str(tmp_path), "JAX_PLATFORMS": "cpu"}
    assert python(program, **variables) == "jax"


def test_a_configuration_that_keras_refuses_is_one_line(tmp_path):
    (tmp_path / "keras.json").write_text(json.dumps({"floatx": "bfloat16"}))
    program = """
from singlow.backend import start_backend
from singlow.errors import EnvironmentFault
try:
    start_backend()
except EnvironmentFault as error:
    print(error)
"""
    line = python(program, KERAS_BACKEND="tensorflow", KERAS_HOME=str(tmp_path))
    assert line.startswith("Keras cannot be imported (Invalid `floatx`")


def test_a_machine_that_differs_is_described_in_one_line(monkeypatch):
    from singlow.backend import describe_machine, start_backend
    from singlow.runs.settings import changes_since, versions

    start_backend()
    config = {"versions": versions(), "machine": describe_machine()}
    assert changes_since(config, describe_machine()) == ""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2}, raising=False)
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    config["versions"]["numpy"] = "1.0"
    line = changes_since(config, describe_machine())
    cores = config["machine"]["cores"]
    assert f"cores {cores} then and 3 now" in line
    assert f"numpy 1.0 then and {np.__version__} now" in line
    assert line.count("\n") == 0
    if "onednn" in config["machine"]:
        assert "onednn 1 then and 0 now" in line
    old = {"versions": versions()}
    assert changes_since(old, describe_machine()) == ""
