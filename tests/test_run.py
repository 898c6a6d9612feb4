"""A run's directory has complete checkpoints only, one trainer at a time, and checked settings."""

import errno
import json

import numpy as np
import pytest

from singlow import files
from singlow.errors import DataError, EnvironmentFault, UsageError
from singlow.runs import checkpoint as checkpoint_module
from singlow.runs import tensors
from singlow.runs.run import find, locate
from singlow.runs.settings import read_config
from tests.runs import CONFIG, run_in, save


@pytest.fixture
def run(tmp_path):
    run = run_in(tmp_path)
    run.directory.mkdir(parents=True)
    run.write_config(CONFIG)
    return run


def test_tensors_are_read_as_they_were_written(tmp_path):
    path = tmp_path / "x.safetensors"
    arrays = {
        "a": np.arange(6, dtype=np.float32).reshape(2, 3).T,
        "scalar": np.array(7, np.int32),
        "seed": np.array([1, 2], np.uint32),
        "double": np.array([np.pi]),
    }
    digest = tensors.write_tensors(path, arrays)
    assert digest == files.sha256(path)
    described = {name: (str(a.dtype), a.shape) for name, a in arrays.items()}
    read = tensors.read_tensors(path, described)
    for name, array in arrays.items():
        assert read[name].dtype == array.dtype
        assert read[name].shape == array.shape
        assert (read[name] == array).all()
    for name, wrong in (
        ("a", ("float32", (6,))),
        ("scalar", ("float32", ())),
        ("a", ("int32", (2, 3))),
    ):
        with pytest.raises(DataError, match=f"Expected {name} to be"):
            tensors.read_tensors(path, {**described, name: wrong})
    with pytest.raises(DataError, match="lacks new"):
        tensors.read_tensors(path, {**described, "new": ("float32", ())})
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(DataError, match="not a safetensors file"):
        tensors.read_tensors(path, described)


def test_widths_of_integers_are_not_part_of_the_format(tmp_path):
    """TensorFlow counts steps in int64, JAX in int32."""
    path = tmp_path / "x.safetensors"
    tensors.write_tensors(path, {"step": np.array(7), "seed": np.array([1, 2**31], np.uint32)})
    read = tensors.read_tensors(path, {"step": ("int32", ()), "seed": ("int64", (2,))})
    assert [read["step"].dtype, read["seed"].dtype] == [np.int32, np.int64]
    assert (read["step"], *read["seed"]) == (7, 1, 2**31)
    with pytest.raises(DataError, match="Expected seed to fit into int32"):
        tensors.read_tensors(path, {"step": ("int64", ()), "seed": ("int32", (2,))})


def test_checkpoints_of_earlier_versions_have_a_held_out_loss(run):
    saved = run.save(1, {}, {}, {"held_out_bits": 9.5, "history": [9.5]})
    assert saved.held_out == 9.5


def test_the_last_two_and_the_best_are_kept(run):
    for epoch, bits in enumerate((3.0, 1.0, 2.0, 2.5, 2.2), start=1):
        save(run, epoch, bits)
    assert [c.epoch for c in run.checkpoints()] == [2, 4, 5]
    assert run.checkpoint("best").epoch == 2
    assert run.checkpoint("newest").epoch == 5
    assert run.checkpoint("4").epoch == 4
    with pytest.raises(UsageError, match=r"in 2, 4, 5\. Received: 3"):
        run.checkpoint("3")


@pytest.mark.parametrize("name", ["model.safetensors", "state.safetensors", "manifest.json"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(run, capsys, name):
    save(run, 1)
    path = save(run, 2).path / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content if name != "manifest.json" else content[:40])
    assert run.checkpoint().epoch == 1
    assert "epoch-0002 is damaged" in capsys.readouterr().err
    (run.directory / "epoch-0001" / "state.safetensors").unlink()
    with pytest.raises(DataError, match="every checkpoint is damaged"):
        run.checkpoint()


def test_a_run_without_a_checkpoint_is_refused(run):
    with pytest.raises(UsageError, match="no checkpoint yet"):
        run.checkpoint()


@pytest.mark.parametrize("failing", range(1, 6))
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_leaves_the_checkpoint_before_whole(run, monkeypatch, failing, code):
    save(run, 1)
    calls = 0

    def full(descriptor: int) -> None:
        nonlocal calls
        calls += 1
        if calls == failing:
            raise OSError(code, "No space left on device")

    for module in (tensors, files):
        monkeypatch.setattr(module, "sync", full)
    with pytest.raises(EnvironmentFault) as error:
        save(run, 2)
    assert "epoch-000" in str(error.value)
    assert "Free some space" in str(error.value)
    monkeypatch.undo()
    assert run.checkpoint("1").fault() is None
    run.clean()
    assert not list(run.directory.glob(".tmp-*"))
    assert save(run, 2).fault() is None


def test_too_little_space_is_seen_before_writing(run, monkeypatch):
    save(run, 1)
    usage = checkpoint_module.shutil.disk_usage(run.directory)
    monkeypatch.setattr(checkpoint_module.shutil, "disk_usage", lambda _: usage._replace(free=100))
    with pytest.raises(EnvironmentFault, match="epoch-0001 is whole"):
        save(run, 2)
    assert [c.epoch for c in run.checkpoints()] == [1]


def test_one_trainer_at_a_time(run):
    other = locate("t", run.directory.parent, run.logs.parent)
    refused = pytest.raises(UsageError, match="being trained by another process")
    with run.lock(), refused, other.lock():
        pass
    with run.lock():
        pass


def test_fresh_moves_checkpoints_and_logs_aside(run):
    save(run, 1)
    (run.logs / "train").mkdir(parents=True)
    with run.begin({**CONFIG, "preset": "other"}, fresh=True):
        assert run.config["preset"] == "other"
        assert not run.checkpoints()
    old = run.directory.with_name("t.old-1")
    assert read_config(old / "config.json") == CONFIG
    assert (old / "epoch-0001").is_dir()
    assert (run.logs.with_name("t.old-1") / "train").is_dir()
    with run.begin(CONFIG, fresh=True):
        pass
    assert run.directory.with_name("t.old-2").is_dir()


def test_leftovers_of_a_killed_trainer_are_removed(run):
    half = run.directory / ".tmp-epoch-0003"
    half.mkdir()
    (half / "model.safetensors").write_bytes(b"half")
    with run.begin(CONFIG):
        assert not half.exists()


def test_the_last_checkpoint_is_kept_when_newer_ones_are_damaged(run):
    for epoch, bits in ((1, 1.0), (3, 2.0), (4, 2.0)):
        save(run, epoch, bits)
    for epoch in (3, 4):
        (run.directory / f"epoch-{epoch:04d}" / "state.safetensors").write_bytes(b"")
    assert run.checkpoint().epoch == 1
    save(run, 2, 3.0)
    assert [c.epoch for c in run.checkpoints()] == [1, 2]
    assert run.checkpoint().epoch == 2


def test_a_damaged_checkpoint_is_not_the_best_to_keep(run):
    for epoch, bits in ((1, 2.0), (2, 1.0)):
        save(run, epoch, bits)
    (run.directory / "epoch-0002" / "model.safetensors").write_bytes(b"")
    for epoch in (3, 4):
        save(run, epoch, 3.0)
    assert [c.epoch for c in run.checkpoints()] == [1, 3, 4]


@pytest.mark.parametrize("bits", [10**400, "x", None, [1]], ids=["huge", "text", "none", "list"])
def test_a_loss_that_is_no_number_counts_as_infinite(run, bits):
    saved = run.save(1, {}, {}, {"held_out": bits, "history": [bits, 1.0]})
    assert saved.held_out == np.inf
    assert saved.history == [np.inf, 1.0]


def test_a_missing_run_is_refused_with_the_known_ones(run):
    with pytest.raises(UsageError, match="Known runs: t"):
        find("nope", run.directory.parent)
    assert find("t", run.directory.parent).directory == run.directory
    assert find(str(run.directory), run.directory.parent).directory == run.directory


@pytest.mark.parametrize("name", ["", "..", ".hidden", "a b", "-x"])
def test_names_that_no_folder_may_have(tmp_path, name):
    with pytest.raises(UsageError, match="Expected a run name"):
        locate(name, tmp_path, tmp_path)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", json.dumps({**CONFIG, "version": 99}), json.dumps({**CONFIG, "arguments": 3})],
)
def test_damaged_settings_are_refused(run, text):
    (run.directory / "config.json").write_text(text)
    with pytest.raises(DataError, match=r"config\.json"):
        run.config  # noqa: B018


@pytest.mark.parametrize(
    ("part", "key", "value"),
    [
        *[("training", "seed", value) for value in (None, "abc", -1, 2**40, True)],
        *[("training", "window_size", value) for value in ("1", np.inf, 1e9)],
        *[("training", "batch_size", value) for value in ("4", 2.5, 10**400)],
        *[("training", "learning_rate", value) for value in (None, -1)],
        ("training", "warmup_steps", 0),
        ("training", "no_such", 1),
        ("data", "dataset", 3),
        ("data", "directory", 5),
    ],
)
def test_settings_out_of_their_range_are_named(run, part, key, value):
    run.write_config({**CONFIG, part: {**CONFIG[part], key: value}})
    with pytest.raises(DataError, match=rf"config\.json: .*{key}") as error:
        run.config  # noqa: B018
    assert len(str(error.value)) < 400


@pytest.mark.parametrize(("part", "key"), [("training", "decay_steps"), ("data", "dataset")])
def test_missing_settings_are_named(run, part, key):
    rest = {name: value for name, value in CONFIG[part].items() if name != key}
    run.write_config({**CONFIG, part: rest})
    with pytest.raises(DataError, match=rf"config\.json: .*{key}"):
        run.config  # noqa: B018
