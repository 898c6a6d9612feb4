"""Test that flags of train.py set their settings, and that wrong ones are refused in one line."""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from common_definitions import Settings
from singlow.commands.flags import parse
from singlow.commands.train import arguments_of
from singlow.errors import UsageError
from singlow.runs.run import Run, locate
from singlow.runs.settings import Request, absolute_source, resolve

ROOT = Path(__file__).resolve().parents[1]
TINY = ["--preset", "singlow_tiny"]


def request(flags: list[str]) -> Request:
    """Return the request that `singlow.train` receives with these flags."""
    settings = arguments_of(parse(Settings, flags))
    return Request.of(**{key: settings[key] for key in settings if key not in _PLACES})


_PLACES = ("run", "fresh", "data_dir")


def settled(flags: list[str], folder: Path) -> dict:
    return resolve(request([*TINY, *flags]), locate("nowhere", folder, folder))


@pytest.mark.parametrize(
    ("flags", "part", "key", "value"),
    [
        (["--k_glow", "3"], "arguments", "k_glow", 3),
        (["--k-glow", "3"], "arguments", "k_glow", 3),
        (["--l_glow", "4"], "arguments", "l_glow", 4),
        (["--sampling_rate", "22050"], "arguments", "sample_rate", 22050),
        (["--channel_size", "2"], "arguments", "channels", 2),
        (["--precision", "bfloat16"], "arguments", "precision", "bfloat16"),
        (["--backprop", "inverted"], "arguments", "backprop", "inverted"),
        (["--window_size", "0.5"], "training", "window_size", 0.5),
        (["--epochs", "7"], "training", "epochs", 7),
        (["--steps_per_epoch", "9"], "training", "steps_per_epoch", 9),
        (["--batch_size", "5"], "training", "batch_size", 5),
        (["--learning_rate", "3e-4"], "training", "learning_rate", 3e-4),
        (["--temperature", "0.9"], "training", "temperature", 0.9),
        (["--seed", "11"], "training", "seed", 11),
        (["--patience", "4"], "training", "patience", 4),
        (["--devices", "1"], "training", "devices", 1),
        (["--set", "width=24"], "arguments", "width", 24),
        (["--set", "dilations=[1,2,4]"], "arguments", "dilations", [1, 2, 4]),
        (["--set", "scale=exp"], "arguments", "scale", "exp"),
        (["--set", "weight_norm=false"], "arguments", "weight_norm", False),
        (["--set", "warmup_steps=5"], "training", "warmup_steps", 5),
        (["--preset", "singlow_16k", "--set", "decay_steps=null"], "training", "decay_steps", None),
        (["--dataset", "builtin"], "data", "dataset", "builtin"),
        (["--dataset", "/songs"], "data", "dataset", "/songs"),
        (["--layout", "folders"], "data", "layout", "folders"),
        (["--dataset", "~/songs"], "data", "dataset", str(Path.home() / "songs")),
    ],
)
def test_a_flag_reaches_the_settings(tmp_path, flags, part, key, value):
    assert settled(flags, tmp_path)[part][key] == value


def test_several_set(tmp_path):
    arguments = settled(["--set", "width=24", "--set", "dropout=0.1"], tmp_path)["arguments"]
    assert (arguments["width"], arguments["dropout"]) == (24, 0.1)


def test_a_dataset_is_absolute_behind_its_label(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("choir", "a=b"):
        (tmp_path / name).mkdir()
    for source, expected in (
        ("human=choir", f"human={tmp_path}/choir"),
        ("choir", f"{tmp_path}/choir"),
        ("a=b", f"{tmp_path}/a=b"),
        ("human=gone", f"human={tmp_path}/gone"),
        (f"{tmp_path}/gone=here", f"{tmp_path}/gone=here"),
        ("builtin", "builtin"),
    ):
        assert settled(["--dataset", source], tmp_path)["data"]["dataset"] == expected
        assert absolute_source(expected) == expected


def test_a_dataset_may_have_several_sources(tmp_path):
    for label in ("human", "virtual"):
        (tmp_path / label).mkdir()
    sources = [f"{label}={tmp_path / label}" for label in ("human", "virtual")]
    assert settled(["--dataset", *sources], tmp_path)["data"]["dataset"] == sources


def test_model_preset_and_run_name():
    wanted = request(["--model", "singlow", "--preset", "singlow_original"])
    assert (wanted.model, wanted.preset) == ("singlow", "singlow_original")
    assert wanted.name == "singlow_original"
    assert request([]).name == "singlow_16k"
    assert request(["--model", "blow"]).name == "blow_small"


def test_settings_of_training_are_set_like_arguments():
    wanted = request(["--set", "augment=false", "--set", "conditioning=additive"])
    assert wanted.training == {"augment": False}
    assert wanted.arguments == {"conditioning": "additive"}


def test_a_setting_of_zero_is_given():
    assert request(["--seed", "0", "--patience", "0"]).training == {"seed": 0, "patience": 0}


def test_numbers_of_numpy_are_numbers():
    import numpy as np

    wanted = Request(arguments={"dilations": (1, np.int64(2))}, training={"epochs": np.int32(3)})
    assert json.dumps([wanted.arguments, wanted.training]) == (
        '[{"dilations": [1, 2]}, {"epochs": 3}]'
    )


def test_flags_that_need_no_settings():
    flags = parse(Settings, ["--run", "t", "--fresh", "--dry_run", "--data_dir", "/records"])
    assert (flags.run, flags.fresh, flags.dry_run, flags.data_dir) == (
        "t",
        True,
        True,
        Path("/records"),
    )


@pytest.mark.parametrize(
    "flags",
    [
        ["--image_size", "32"],
        ["--k_glow", "three"],
        ["--k_glow"],
        ["--precision", "float16"],
        ["--backprop", "none"],
        ["--epochs", "0"],
        ["--learning_rate", "-1"],
        ["--window_size", "0"],
        ["--learning_rate", "nan"],
        ["--seed", "4294967296"],
        ["--window_size", "1e9"],
        ["--set", "batch_size=2.5"],
        ["--set", "epochs=1.5"],
        ["--set", "width"],
        ["--set", "width=8", "--set", "width=24"],
        ["--k_glow", "2", "--set", "k_glow=3"],
        ["--preset", "unheard_of"],
        ["--model", "flowtron"],
        ["--model", "blow", "--preset", "singlow_tiny"],
        ["--set", "augment=1"],
        ["--dataset"],
        ["--set", "min_rms=2"],
        ["--layout", "other"],
        ["extra"],
    ],
)
def test_a_wrong_flag_is_refused_in_one_line(tmp_path, flags):
    with pytest.raises(UsageError) as error:
        resolve(
            request(flags if "--preset" in flags else [*TINY, *flags]),
            locate("nowhere", tmp_path, tmp_path),
        )
    assert "\n" not in str(error.value)
    assert error.value.exit_code == 2


def test_a_request_that_cannot_be_stored_is_refused():
    with pytest.raises(UsageError, match="arguments that JSON can store"):
        Request(arguments={"scale": object()})


class TestARunThatExists:
    @pytest.fixture
    def run(self, tmp_path) -> Run:
        run = locate("t", tmp_path / "checkpoints", tmp_path / "logs")
        run.directory.mkdir(parents=True)
        run.write_config(settled(["--k_glow", "3", "--seed", "5"], tmp_path))
        return run

    def resumed(self, run: Run, *flags: str) -> dict:
        return resolve(request(list(flags)), run)

    def test_keeps_its_settings_when_nothing_is_given(self, run):
        assert self.resumed(run) == run.config

    def test_may_be_given_the_same_again(self, run):
        same = ["--k_glow", "3", *TINY, "--dataset", "builtin", "--window_size", "0.128"]
        assert self.resumed(run, *same) == run.config

    def test_lists_all_that_differ(self, run):
        with pytest.raises(UsageError) as error:
            self.resumed(run, "--k_glow", "2", "--seed", "6", "--batch_size", "4")
        assert "k_glow is 3, given 2" in str(error.value)
        assert "seed is 5, given 6" in str(error.value)
        assert "batch_size" not in str(error.value)

    def test_may_continue_on_another_number_of_devices(self, run, monkeypatch):
        monkeypatch.setattr("singlow.runs.settings.check_devices", lambda *_: None)
        assert self.resumed(run, "--devices", "2")["training"]["devices"] == 2

    def test_may_be_lengthened(self, run):
        config = self.resumed(run, "--epochs", "50", "--patience", "3")
        assert (config["training"]["epochs"], config["training"]["patience"]) == (50, 3)

    def test_in_bfloat16_is_not_for_jax_on_a_cpu(self, tmp_path, monkeypatch):
        run = locate("b", tmp_path / "checkpoints", tmp_path / "logs")
        run.directory.mkdir(parents=True)
        run.write_config(settled(["--precision", "bfloat16"], tmp_path))
        monkeypatch.setattr("singlow.runs.settings.start_backend", lambda: "jax")
        for fresh in (False, True):
            wanted = request([*TINY, "--precision", "bfloat16"])
            with pytest.raises(UsageError, match="Expected --precision float32 for JAX on a CPU"):
                resolve(wanted, run, fresh)

    def test_fresh_ignores_it(self, run):
        config = resolve(request([*TINY, "--k_glow", "1"]), run, fresh=True)
        assert config["arguments"]["k_glow"] == 1


@pytest.mark.parametrize("command", [["train.py"], ["-m", "singlow"], ["-m", "singlow", "check"]])
def test_help_loads_no_framework(command):
    """The limit of processor time is lower than the time to import a framework."""
    script = (
        "import runpy, sys; sys.argv = sys.argv[1:] + ['--help']\n"
        "try:\n"
        "    if sys.argv[0] == '-m': sys.argv.pop(0); runpy.run_module(sys.argv[0], "
        "run_name='__main__', alter_sys=True)\n"
        "    else: runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "except SystemExit as left: assert not left.code, left.code\n"
        "import json; print(json.dumps(sorted({n.split('.')[0] for n in sys.modules})))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    began = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    done = subprocess.run(
        [sys.executable, "-c", script, *command],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    seconds = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - began
    assert "usage" in done.stdout
    loaded = set(json.loads(done.stdout.splitlines()[-1]))
    assert not loaded & {"keras", "tensorflow", "jax", "librosa", "matplotlib", "scipy"}
    assert seconds < 3
