"""A run on several devices equals one on a single device up to rounding, and either continues."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from singlow.devices import Devices, check_devices
from singlow.errors import UsageError
from tests.conftest import BACKEND
from tests.songs import write_songs

ROOT = Path(__file__).resolve().parents[1]
STEPS = 20
FOUR = "--xla_force_host_platform_device_count=4"
PROGRAM = f"""
import sys
from singlow.training import fit, report

report.conclude = lambda *_: None  # the checkpoints are enough
fit.open_run = lambda run: run
fit_flow = fit.fit

def counted(flow, *rest):
    fit_flow(flow, *rest)
    print("copies", [len(v.value.sharding.device_set) for v in flow.weights])

fit.fit = counted

def train(run, devices, epochs):
    fit.train(
        model="blow", preset="blow_tiny", dataset="songs", run=run, devices=devices, epochs=epochs,
        steps_per_epoch={STEPS}, batch_size=4, window_size=0.032,
        arguments={{"k_glow": 2, "l_glow": 1, "squeeze": 8, "width": 8, "embedding_size": 4}},
    )

train("one", 1, 2)
train("four", 4, 1)
train("four", 1, 2)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    pytest.importorskip("jax")
    folder = tmp_path_factory.mktemp("devices")
    write_songs(folder / "songs")
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "KERAS_BACKEND": "jax",
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} {FOUR}",
    }
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    (folder / "output.txt").write_text(done.stdout)
    return folder


def checkpoint(folder: Path, run: str, epoch: int) -> dict[str, np.ndarray]:
    path = folder / "checkpoints" / run / f"epoch-{epoch:04d}"
    return {**load_file(path / "model.safetensors"), **load_file(path / "state.safetensors")}


@pytest.mark.parametrize("epoch", [1, 2])
def test_weights_on_four_devices_are_those_on_one(folder: Path, epoch: int):
    one, four = (checkpoint(folder, run, epoch) for run in ("one", "four"))
    assert set(one) == set(four)
    assert int(one["adam/iteration"]) == epoch * STEPS
    for path, expected in one.items():
        size = float(np.abs(expected).max(initial=0))
        np.testing.assert_allclose(four[path], expected, atol=1e-3 * size + 1e-9, err_msg=path)


def test_every_device_has_all_variables(folder: Path):
    lines = (folder / "output.txt").read_text().splitlines()
    copies = [set(json.loads(line.removeprefix("copies "))) for line in lines if "copies" in line]
    assert copies == [{1}, {4}, {1}]


def test_another_number_of_devices_is_said_to_change_rounding(folder: Path):
    assert "devices 4 then and 1 now" in (folder / "output.txt").read_text()


def test_one_device_distributes_nothing():
    batch = {"x": np.ones((3, 2))}
    with Devices(1).scope():
        assert Devices(1).place(batch)["x"] is batch["x"]
    check_devices(1, 3)


@pytest.mark.skipif(BACKEND != "tensorflow", reason="JAX trains on several devices")
def test_several_devices_are_refused_on_tensorflow():
    with pytest.raises(UsageError, match=r"Expected --devices 1 on tensorflow\. Received: 2; set"):
        check_devices(2, 4)


@pytest.mark.skipif(BACKEND != "jax", reason="TensorFlow trains on one device")
def test_devices_that_are_missing_or_do_not_divide_the_batch_are_refused(monkeypatch):
    import jax

    count = jax.device_count()
    with pytest.raises(UsageError, match=f"at most {count}, as many as JAX finds here .cpu"):
        check_devices(count + 1, 4 * (count + 1))
    monkeypatch.setattr(jax, "device_count", lambda: 4)
    with pytest.raises(UsageError, match=r"multiple of --devices, 4\. Received: 6"):
        check_devices(4, 6)
    check_devices(4, 8)
