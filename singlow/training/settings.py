"""The settings of a run: from flags and a preset to config.json, and the flags that disagree."""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib import metadata
from typing import Any

from singlow.data.corpora import part_source
from singlow.errors import UsageError
from singlow.models.presets import preset
from singlow.training.config import FORMAT, FREE, VERSION, refuse_differences
from singlow.training.limits import DEFAULTS, check_training
from singlow.training.run import Run

DEFAULT_PRESETS = {"singlow": "singlow_16k", "blow": "blow_small"}
DEFAULT_DATASET = "builtin"
ARGUMENTS = ("k_glow", "l_glow", "channel_size", "sampling_rate", "precision", "backprop")
_LIBRARIES = ("tensorflow", "keras", "jax", "numpy", "soundfile", "soxr", "safetensors")


def given(flags: Any) -> dict[str, Any]:
    """What a user gave, sorted by where it goes: what is `None` or empty was not given.

    Args:
        flags: the dataclass of train.py's flags.

    Raises:
        UsageError: a value is out of its range, or `--set` is not KEY=VALUE.
    """
    flags = asdict(flags)
    if flags.get("dataset") == ():
        raise UsageError("Expected --dataset builtin or DIR, one or several. Received: none.")
    flags = {key: value for key, value in flags.items() if value not in (None, ())}
    overrides = [_parsed(text) for text in flags.get("set", ())]
    names = [key for key, _ in overrides]
    for key in names:
        if key in flags or names.count(key) > 1:
            other = f"--{key}" if key in flags else f"--set {key}"
            raise UsageError(f"Expected {key} once. Received: {other} and --set {key}.")
    values = {**flags, **dict(overrides)}
    training = {key: values[key] for key in DEFAULTS if key in values}
    check_training(training)
    arguments = {key: flags[key] for key in ARGUMENTS if key in flags}
    arguments.update((key, value) for key, value in overrides if key not in DEFAULTS)
    if "dataset" in flags:
        flags["dataset"] = absolute_sources(flags["dataset"])
    kept = {key: flags[key] for key in ("model", "preset", "dataset", "data_dir") if key in flags}
    return {**kept, "arguments": arguments, "training": training}


def absolute_sources(dataset: Sequence[str]) -> str | list[str]:
    """What `--dataset` names, wherever one stands; a list when there are several."""
    sources = [absolute_source(source) for source in dataset]
    return sources[0] if len(sources) == 1 else sources


def absolute_source(dataset: str) -> str:
    """One source of a dataset, wherever one stands: `builtin`, a path, or `LABEL=PATH`.

    What is not there keeps its words: a run that has its records goes on without its recordings.
    """
    if dataset == DEFAULT_DATASET:
        return dataset
    try:
        label, path = part_source(dataset)
    except UsageError:
        label, sign, rest = dataset.partition("=")
        if not sign or os.sep in label:
            return os.path.abspath(dataset)
        path = os.path.abspath(rest)
    return f"{label}={path}" if label else str(path)


def resolve(given: Mapping[str, Any], run: Run, fresh: bool = False) -> dict[str, Any]:
    """The settings to train `run` with: its own when it exists, else the preset's with `given`.

    Args:
        given: what `given` returned.
        run: where to train.
        fresh: take no notice of a run that exists.

    Raises:
        UsageError: the run exists with other settings, which are listed; a preset, model or value
            is unknown; or it trains in bfloat16, and this is JAX on a CPU.
        DataError: the run's config.json is damaged.
    """
    if fresh or not run.exists:
        config = _new(given)
        _check_precision(config)
        return config
    config = run.config
    refuse_differences(run.name, config, given)
    _check_precision(config)
    free = {key: given["training"][key] for key in FREE if key in given["training"]}
    return {**config, "training": {**config["training"], **free}}


def default_name(given: Mapping[str, Any]) -> str:
    """What a run is called when nobody said."""
    return given.get("preset") or DEFAULT_PRESETS[_model(given)]


def _model(given: Mapping[str, Any]) -> str:
    name = given.get("model", "singlow")
    if name not in DEFAULT_PRESETS:
        raise UsageError(f"Expected a model in {', '.join(DEFAULT_PRESETS)}. Received: {name}.")
    return name


def _new(given: Mapping[str, Any]) -> dict[str, Any]:
    name = default_name(given)
    chosen = preset(name)
    if "model" in given and _model(given) != chosen.model:
        raise UsageError(
            f"Expected a preset of {given['model']}. Received: {name}, which is of {chosen.model}."
        )
    training = {**DEFAULTS, **chosen.training, **given["training"]}
    missing = [key for key in training if training[key] is None and key != "decay_steps"]
    if missing:
        raise UsageError(f"Expected preset {name} to set {', '.join(missing)}.")
    config = {
        "format": FORMAT,
        "version": VERSION,
        "model": chosen.model,
        "preset": name,
        "arguments": {**chosen.arguments, **given["arguments"]},
        "data": {"dataset": given.get("dataset", DEFAULT_DATASET)},
        "training": training,
        "versions": versions(),
    }
    return json.loads(json.dumps(config))


def versions() -> dict[str, str]:
    """Versions of Python and of the libraries that a run depends on."""
    found = {"python": platform.python_version()}
    for name in ("singlow", *_LIBRARIES):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            if name == "singlow":
                import singlow

                found[name] = singlow.__version__
    return found


def _check_precision(config: Mapping[str, Any]) -> None:
    if config["arguments"].get("precision") != "bfloat16":
        return
    if os.environ.get("KERAS_BACKEND") != "jax":
        return
    import jax

    if jax.default_backend() == "cpu":
        raise UsageError(
            "Expected --precision float32 for JAX on a CPU, where bfloat16 is ten times slower. "
            "Received: bfloat16."
        )


def _parsed(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or not key.isidentifier():
        raise UsageError(f'Expected --set KEY=VALUE, as in --set width=96. Received: "{text}".')
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value
