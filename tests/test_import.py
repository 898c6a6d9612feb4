"""Checkpoints of the originals become runs that compute the same, and wrong ones are refused."""

import json
import os
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from singlow.commands import VERBS
from singlow.commands.flags import run_verb
from singlow.errors import DataError, UsageError
from singlow.originals.importer import CARD, Imported, import_checkpoint
from singlow.runs.opening import TrainedRun, open_run
from tests import full_size
from tests.sounds import save, song
from tests.test_flow import to_numpy
from tests.torch_files import FORMS, Module, module, write_old, write_zip

PARITY = Path(__file__).parent / "parity"
KINDS = {
    "blow": ("models.blow", "Model"),
    "flowavenet": ("model", "Flowavenet"),
    "waveglow": ("glow", "WaveGlow"),
}


def stored(name: str) -> dict[str, np.ndarray]:
    with np.load(PARITY / f"{name}.npz", allow_pickle=False) as file:
        return {key: file[key] for key in file.files}


def state_of(name: str, dtype: str = "float32") -> "OrderedDict[str, np.ndarray]":
    arrays = stored(name).items()
    pairs = ((key[7:], value) for key, value in arrays if key.startswith("weight/"))
    return OrderedDict((key, value.astype(dtype)) for key, value in pairs)


def imported_in(folder: Path, path: Path, run: str = "mine", **settings) -> Imported:
    return import_checkpoint(
        path, run, checkpoints=folder / "checkpoints", logs=folder / "logs", **settings
    )


def opened(folder: Path, run: str = "mine") -> TrainedRun:
    return open_run(run, checkpoints=folder / "checkpoints")


def swapped(array: np.ndarray) -> np.ndarray:
    """Exchange channels and time."""
    return array.swapaxes(1, 2)


def errors_of(name: str, run: TrainedRun) -> dict[str, float]:
    """Return the largest difference from each stored output of an original."""
    numbers, flow = stored(name), run.flow
    if name == "blow":
        x, speaker = numbers["in/x"][..., None], numbers["in/speaker"]
        z = swapped(to_numpy(flow.encode({"x": x, "speaker": speaker})[0])).reshape(len(x), -1)
        return {"z": np.abs(z - numbers["out/z"]).max()}
    mel = {"mel": swapped(numbers["in/mel"])}
    if name == "flowavenet":
        inputs = {"x": swapped(numbers["in/x"]), **mel}
        found = to_numpy(flow.log_prob(inputs)).mean() / inputs["x"][0].size
        return {"log_prob": abs(found - numbers["out/log_p"] - numbers["out/log_det"])}
    z = flow.encode({"x": numbers["in/x"][..., None], **mel})
    z = swapped(np.concatenate([to_numpy(latent) for latent in z], axis=-1))
    x = to_numpy(flow.sample(mel, temperature=0.0)[0])[..., 0]
    return {
        "z": np.abs(z - numbers["out/z"]).max() / np.abs(numbers["out/z"]).max(),
        "x": np.abs(x - numbers["out/inferred_at_sigma_0"]).max(),
    }


@pytest.mark.parametrize(
    ("name", "form", "whole", "place"),
    [
        ("blow", "old", True, ""),
        ("flowavenet", "zip", False, "state_dict"),
        ("waveglow", "zip", True, "model"),
    ],
)
def test_an_imported_run_computes_what_the_original_computes(name, form, whole, place, tmp_path):
    state = state_of(name)
    if name == "flowavenet":  # trained with DataParallel
        state = OrderedDict((f"module.{key}", value) for key, value in state.items())
    value = module(state, KINDS[name]) if whole else state
    content = {place: value, "optimizer": {"state": {}}, "iteration": 7} if place else value
    path = FORMS[form](tmp_path / f"{name}.pt", content)
    imported = imported_in(tmp_path, path)
    assert imported.original.model == name
    assert imported.count == sum(array.size for array in state.values())
    run = opened(tmp_path)
    assert run.config["preset"] == f"{name}_original"
    assert run.config["imported"]["file"] == path.name
    assert run.checkpoint.epoch == 0
    for output, error in errors_of(name, run).items():
        assert error < 1e-5, output
    card = (imported.run.directory / CARD).read_text("utf-8")
    assert imported.original.source in card
    assert run.config["imported"]["sha256"] in card


@pytest.mark.parametrize("name", ["glow_tts", "glow_tts_speakers"])
def test_an_imported_glow_tts_aligns_as_the_original(name, tmp_path):
    numbers, state = stored(name), state_of(name)
    path, config = tmp_path / "it.safetensors", tmp_path / "config.json"
    state = {key: np.ascontiguousarray(value) for key, value in state.items()}
    safetensors.numpy.save_file(state, path)
    settings = json.loads(str(numbers["config"]))
    own = {key: settings[key] for key in ("dilation_rate", "sigmoid_scale") if key in settings}
    data = {"sampling_rate": 22050, "filter_length": 1024, "hop_length": 256}
    config.write_text(json.dumps({"data": {**data, "n_mel_channels": 8}, "model": own}))
    imported = imported_in(tmp_path, path, config=config)
    assert imported.original.source == "jaywalnut310/glow-tts"
    assert imported.from_config["dilation_rate"] == 2
    flow, lengths = opened(tmp_path).flow, numbers["in/mel_lengths"] // 2 * 2
    frames, tokens = numbers["in/mel"].shape[2] // 2 * 2, numbers["in/text"].shape[1]
    inputs = {
        "x": swapped(numbers["in/mel"])[:, :frames].astype("float32"),
        "frame_mask": (np.arange(frames) < lengths[:, None]).astype("float32"),
        "text": numbers["in/text"].astype("int32"),
        "text_mask": (np.arange(tokens) < numbers["in/text_lengths"][:, None]).astype("float32"),
    }
    if "in/speaker" in numbers:
        inputs["speaker"] = numbers["in/speaker"]
    expected = numbers["out/attention"][:, 0].sum(axis=2)
    np.testing.assert_array_equal(flow.align(inputs), expected)
    z = to_numpy(flow.encode(inputs)[0]).reshape(len(lengths), frames, -1)
    error = np.abs(z - swapped(numbers["out/z"])) * inputs["frame_mask"][..., None]
    assert error.max() < 1e-4


def test_an_imported_flowtron_computes_what_the_original_computes(tmp_path):
    numbers, state = stored("flowtron"), state_of("flowtron")
    path, config = tmp_path / "it.pt", tmp_path / "config.json"
    write_zip(path, {"state_dict": state, "iteration": 7})
    data = {"sampling_rate": 22050, "filter_length": 1024, "hop_length": 256}
    config.write_text(json.dumps({"data_config": data, "model_config": {"n_mel_channels": 6}}))
    imported = imported_in(tmp_path, path, config=config)
    assert imported.original.source == "NVIDIA/flowtron"
    flow, frames = opened(tmp_path).flow, numbers["in/mel"].shape[2]
    lengths, tokens = numbers["in/mel_lengths"], numbers["in/text"].shape[1]
    inputs = {
        "x": swapped(numbers["in/mel"]).astype("float32"),
        "frame_mask": (np.arange(frames) < lengths[:, None]).astype("float32"),
        "text": numbers["in/text"].astype("int32"),
        "text_mask": (np.arange(tokens) < numbers["in/text_lengths"][:, None]).astype("float32"),
        "speaker": numbers["in/speaker"].astype("int32"),
    }
    z = to_numpy(flow.encode(inputs)[0])
    error = np.abs(z - numbers["out/z"].swapaxes(0, 1)) * inputs["frame_mask"][..., None]
    assert error.max() < 1e-4


def test_weights_without_weight_norm_and_in_half_precision_are_imported(tmp_path):
    state = state_of("waveglow")
    for name in [name for name in state if name.endswith("weight_v")]:
        stem = name.removesuffix("_v")
        v, gain = state.pop(name), state.pop(f"{stem}_g")
        state[stem] = gain * v / np.sqrt((v**2).sum(axis=(1, 2), keepdims=True))
    state = OrderedDict((name, np.ascontiguousarray(value)) for name, value in state.items())
    path = tmp_path / "waveglow.safetensors"
    safetensors.numpy.save_file(state, path)
    imported_in(tmp_path, path)
    assert max(errors_of("waveglow", opened(tmp_path)).values()) < 1e-5
    half = OrderedDict((name, value.astype("float16")) for name, value in state.items())
    imported_in(tmp_path, write_zip(tmp_path / "it.pt", {"model": half}), "half")
    assert 1e-5 < max(errors_of("waveglow", opened(tmp_path, "half")).values()) < 0.1


def test_later_and_earlier_names_of_weights_are_read(tmp_path):
    from singlow.originals.state import StoredState
    from singlow.originals.waveglow import arguments_of

    state, width = state_of("waveglow"), 6
    for flow in range(4):
        for part in ("weight_v", "weight_g", "bias"):
            values = state.pop(f"WN.{flow}.cond_layer.{part}")
            for layer in range(2):
                piece = values[2 * width * layer : 2 * width * (layer + 1)]
                state[f"WN.{flow}.cond_layers.{layer}.{part}"] = piece.copy()
    later = {"weight_g": "original0", "weight_v": "original1"}
    renamed = OrderedDict()
    for name, value in state.items():
        stem, _, last = name.rpartition(".")
        last = f"parametrizations.weight.{later[last]}" if last in later else last
        renamed[f"{stem}.{last}"] = value
    path = write_zip(tmp_path / "it.pt", {"state_dict": renamed})
    from singlow.originals.checkpoint import read_checkpoint, weights_of

    read = StoredState(weights_of(read_checkpoint(path)).tensors)
    assert arguments_of(read)["layers"] == 2
    assert len(read) == len(state)
    imported_in(tmp_path, path)
    assert max(errors_of("waveglow", opened(tmp_path)).values()) < 1e-5


def test_settings_come_from_the_config_and_say_so(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_zip(tmp_path / "it.pt", {"model": module(state_of("waveglow"), KINDS["waveglow"])})
    data = {"sampling_rate": 24000, "filter_length": 2048, "hop_length": 256, "win_length": 2048}
    settings = {"data_config": {**data, "mel_fmin": 0.0, "mel_fmax": 8000.0}, "train_config": {}}
    (tmp_path / "config.json").write_text(json.dumps(settings))
    run_verb(VERBS, "", ["import", "it.pt", "--run", "mine", "--config", "config.json"])
    said = capsys.readouterr().out
    assert "weights of NVIDIA/waveglow, under model, in a whole glow.WaveGlow." in said
    assert "From the settings: sample_rate 24000, n_fft 2048, hop_length 256." in said
    assert "As published: recipe tacotron." in said
    run = opened(tmp_path)
    assert run.flow.recipe.sample_rate == 24000
    assert run.flow.recipe.n_fft == 2048
    with pytest.raises(UsageError, match="Run mine exists"):
        run_verb(VERBS, "", ["import", "it.pt", "--run", "mine"])
    run_verb(VERBS, "", ["import", "it.pt", "--run", "mine", "--fresh", "--sampling_rate", "16000"])
    assert "moved to checkpoints/mine.old-1" in capsys.readouterr().out
    assert opened(tmp_path).flow.signal.sample_rate == 16000


def test_settings_of_blow_are_read_from_its_own_file(tmp_path):
    path = write_old(tmp_path / "it.model.pt", module(state_of("blow"), KINDS["blow"]))
    args = Module("argparse", "Namespace", {"sr": 22050, "nblocks": 3, "device": "cuda"})
    config = write_old(tmp_path / "it.args.pt", args)
    imported = imported_in(tmp_path, path, config=config)
    assert imported.from_config == {"sample_rate": 22050}
    assert imported.assumed == {}
    assert opened(tmp_path).config["data"]["singers"] == ["0", "1", "2", "3", "4"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"data_config": {"hop_length": 300}}, "Expected hop_length 256, which the weights have"),
        ({"data_config": {"sampling_rate": "x"}}, "sampling_rate|sample_rate to be a whole number"),
        ({"data_config": {"sampling_rate": 22050, "mel_fmax": 11025.0}}, "Expected mel_fmax 8000"),
        ({"epochs": 3}, "Expected settings of NVIDIA/waveglow"),
        ([1], "Expected settings of NVIDIA/waveglow"),
    ],
)
def test_settings_that_contradict_the_weights_are_refused(settings, message, tmp_path):
    path = write_zip(tmp_path / "it.pt", {"model": state_of("waveglow")})
    config = tmp_path / "config.json"
    config.write_text(json.dumps(settings))
    with pytest.raises(DataError, match=message):
        imported_in(tmp_path, path, config=config)
    assert not (tmp_path / "checkpoints" / "mine").exists()


def changed(**entries: np.ndarray | None) -> dict[str, np.ndarray]:
    state = {**state_of("waveglow"), **entries}
    return {key: value for key, value in state.items() if value is not None}


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"x": np.ones(3)}, "Received: 1 others: x"),
        (changed(**{"WN.1.end.bias": None}), r"Expected the weight WN\.1\.end\.bias"),
        (changed(**{"WN.1.end.bias": np.ones(9)}), "whose shapes belong together"),
        (changed(**{"upsample.bias": np.ones(4)}), r"Expected finite values of shape \(3,\)"),
        (changed(**{"upsample.bias": np.full(3, np.nan)}), "Expected finite values"),
        (changed(**{"convinv.3.conv.weight": None}), "same number of steps"),
    ],
)
def test_states_that_are_no_whole_model_are_refused(state, message, tmp_path):
    path = write_zip(tmp_path / "it.pt", {"state_dict": state})
    with pytest.raises(DataError, match=rf"^{path}: (?!{path}).*{message}"):
        imported_in(tmp_path, path)
    assert not (tmp_path / "checkpoints" / "mine").exists()


@pytest.mark.slow
def test_training_goes_on_from_imported_weights(tmp_path, monkeypatch):
    from singlow import train

    monkeypatch.chdir(tmp_path)
    path = write_zip(tmp_path / "it.pt", {"state_dict": state_of("waveglow")})
    run = imported_in(tmp_path, path).run
    short = {"epochs": 1, "steps_per_epoch": 1, "batch_size": 2, "window_size": 0.05}
    config = run.config
    run.write_config({**config, "training": {**config["training"], **short}})
    before = opened(tmp_path).flow.get_weights()
    for number in range(4):
        save(tmp_path / "songs" / "ada" / f"{number}.wav", song(1.0, 22050, seed=number), 22050)
    trained = train(run="mine", dataset=tmp_path / "songs")
    assert trained.checkpoint.epoch == 1
    after = trained.flow.get_weights()
    moved = max(np.abs(a - b).max() for a, b in zip(after, before, strict=True))
    assert 0 < moved < 1e-3  # one step of the published learning rate, 1e-4


IMPORT = """
import os, resource, sys
from singlow.models import preset
from singlow.originals.importer import import_checkpoint
from singlow.runs.opening import build_flow
name, path = sys.argv[1:]
tiny = dict(preset(f"{name}_tiny").arguments)
build_flow({"model": name, "arguments": tiny, "training": {"seed": 0}})
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(import_checkpoint(path, "full").count)
print(1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / os.path.getsize(path))
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", full_size.COUNTS)
def test_a_full_size_checkpoint_is_imported_in_little_memory(name, tmp_path):
    state = full_size.state_of(name)
    count = sum(array.size for array in state.values())
    assert count == (full_size.COUNTS[name] or count)
    path = write_zip(tmp_path / "it.pt", {"state_dict": state})
    del state
    done = subprocess.run(
        [sys.executable, "-c", IMPORT, name, str(path)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    imported, ratio = done.stdout.split()
    assert int(imported) == count
    assert float(ratio) < 1.3
    from safetensors import safe_open

    with safe_open(tmp_path / "checkpoints/full/epoch-0000/model.safetensors", "numpy") as file:
        assert sum(np.prod(file.get_slice(key).get_shape()) for key in file.keys()) > 0.9 * count  # noqa: SIM118
