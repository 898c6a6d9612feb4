"""The settings of a run: from flags and a preset to config.json, and back."""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from singlow.data.sources.layouts import part_source
from singlow.errors import DataError, UsageError
from singlow.models.presets import preset

if TYPE_CHECKING:
    from singlow.runs.run import Run

DEFAULT_PRESETS = {"singlow": "singlow_16k", "blow": "blow_small"}
DEFAULT_DATASET = "builtin"
FLAGS = {"channel_size": "channels", "sampling_rate": "sample_rate"}  # flags named otherwise
ARGUMENTS = ("k_glow", "l_glow", "channels", "sample_rate", "precision", "backprop")
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
    flags = {FLAGS.get(key, key): value for key, value in flags.items() if value not in (None, ())}
    overrides = [_parsed(text) for text in flags.get("set", ())]
    names = [key for key, _ in overrides]
    for key in names:
        if key in flags or names.count(key) > 1:
            other = f"--{_flag(key)}" if key in flags else f"--set {key}"
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


def resolve(given: Mapping[str, Any], run: "Run", fresh: bool = False) -> dict[str, Any]:
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
        return FLAGS.get(key, key), json.loads(value)
    except ValueError:
        return FLAGS.get(key, key), value


FORMAT = "singlow-run"
VERSION = 1
FREE = ("epochs", "patience")  # they change when a run ends, not what it is
_LARGEST = 1 << 20


def read_config(path: Path) -> dict[str, Any]:
    """The settings in a config.json.

    Raises:
        DataError: it is missing, damaged or of another kind.
    """
    try:
        if path.stat().st_size > _LARGEST:
            raise DataError(f"{path}: larger than any run's settings.")
        config = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise DataError(f"{path}: missing; this is not a run.") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not readable as JSON ({error}).") from error
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        raise DataError(f"{path}: not the settings of a singlow run.")
    if config.get("version") != VERSION:
        raise DataError(
            f"{path}: Expected version {VERSION} of the run format. "
            f"Received: {str(config.get('version'))[:40]}; install the singlow that wrote it."
        )
    kinds = {"model": str, "preset": str, "arguments": dict, "data": dict, "training": dict}
    for key, kind in kinds.items():
        if not isinstance(config.get(key), kind):
            raise DataError(f"{path}: Expected {key} to be a {kind.__name__}. It is not.")
    data = {"directory": "", **config["data"]}
    if not isinstance(data["directory"], str):
        raise DataError(f"{path}: Expected directory of data to be a str. It is not.")
    dataset = data.get("dataset")
    sources = dataset if isinstance(dataset, list) else [dataset]
    if not sources or not all(isinstance(source, str) for source in sources):
        raise DataError(f"{path}: Expected dataset of data to be a str, or several. It is not.")
    try:
        require_training(config["training"])
    except UsageError as error:
        raise DataError(f"{path}: {error}") from None
    later = {key: DEFAULTS[key] for key in LATER}
    arguments = {FLAGS.get(key, key): value for key, value in config["arguments"].items()}
    return {**config, "arguments": arguments, "training": {**later, **config["training"]}}


def refuse_differences(name: str, config: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Refuse what was given where it disagrees with the settings of a run.

    Args:
        name: of the run.
        config: its settings.
        given: `arguments` and `training`, and where given `model`, `preset` and `dataset`.

    Raises:
        UsageError: something disagrees; everything that does is listed.
    """
    pairs = [(key, config[key], given[key]) for key in ("model", "preset") if key in given]
    if "dataset" in given:
        pairs.append(("dataset", config["data"].get("dataset"), given["dataset"]))
    for part in ("arguments", "training"):
        pairs += [(key, config[part].get(key), value) for key, value in given[part].items()]
    differing = [
        f"{_flag(key)} is {_shown(old)}, given {_shown(new)}"
        for key, old, new in pairs
        if key not in FREE and not _same(old, new)
    ]
    if differing:
        raise UsageError(
            f"Run {name} exists with other settings: {'; '.join(differing)}. Leave them out to go "
            "on with it, give another --run NAME, or --fresh to move it aside."
        )


def common(config: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as `refuse_differences` takes them: those of `config` that `known` has too."""
    parts = {
        part: {key: value for key, value in config[part].items() if key in known[part]}
        for part in ("arguments", "training")
    }
    return {
        "model": config["model"],
        "preset": config["preset"],
        "dataset": config["data"].get("dataset"),
        **parts,
    }


def _same(old: Any, new: Any) -> bool:
    return json.dumps(old) == json.dumps(new) or (
        isinstance(old, float) and isinstance(new, int | float) and old == new
    )


def _flag(key: str) -> str:
    """The flag or `--set` key of a setting."""
    return next((flag for flag, name in FLAGS.items() if name == key), key)


def _shown(value: Any) -> str:
    return value if isinstance(value, str | Path) else json.dumps(value)


DEFAULTS = {
    "window_size": None,
    "batch_size": None,
    "learning_rate": None,
    "warmup_steps": None,
    "decay_steps": None,
    "epochs": None,
    "steps_per_epoch": None,
    "temperature": 0.7,
    "seed": 0,
    "patience": 0,
    "plateau": 0,
    "restarts": 2,
    "augment": False,
    "balanced": False,
    "min_rms": 0.0,
}
LATER = ("plateau", "restarts", "augment", "balanced", "min_rms")  # older runs are without them
_COUNT = 2**31 - 1
_RANGES = {
    "window_size": (1e-6, 600),  # seconds
    "batch_size": (1, 2**16),
    "learning_rate": (1e-12, 100),
    "warmup_steps": (1, _COUNT),
    "decay_steps": (1, _COUNT),
    "epochs": (1, _COUNT),
    "steps_per_epoch": (1, _COUNT),
    "temperature": (0, 100),
    "seed": (0, 2**32 - 1),
    "patience": (0, _COUNT),
    "plateau": (0, _COUNT),
    "restarts": (0, _COUNT),
    "augment": (False, True),
    "balanced": (False, True),
    "min_rms": (0, 1),
}
_REAL = ("window_size", "learning_rate", "temperature", "min_rms")


def check_training(training: Mapping[str, Any]) -> None:
    """Hold training settings to their kinds and ranges; `decay_steps` may be `None`.

    Raises:
        UsageError: one is out of its range, or no number.
    """
    for key, value in training.items():
        if key not in _RANGES:
            raise UsageError(f"Expected settings in {', '.join(_RANGES)}. Received: {key[:80]}.")
        if key == "decay_steps" and value is None:
            continue
        least, most = _RANGES[key]
        if type(least) is bool:
            if type(value) is not bool:
                raise UsageError(
                    f"Expected {key} to be true or false. Received: {str(value)[:40]}."
                )
            continue
        kind = "a number" if key in _REAL else "a whole number"
        right = type(value) is int or (type(value) is float and key in _REAL)
        if not right or not least <= value <= most:
            raise UsageError(
                f"Expected {key} to be {kind} from {least:g} to {most:.10g}. "
                f"Received: {str(value)[:40]}."
            )


def require_training(training: Mapping[str, Any]) -> None:
    """Hold the training settings of a run to their kinds and ranges, and to being all there.

    Those that a run of an earlier version could not have are not missed.

    Raises:
        UsageError: one is missing, unknown, out of its range, or no number.
    """
    missing = [key for key in DEFAULTS if key not in training and key not in LATER]
    if missing:
        raise UsageError(f"Expected {', '.join(missing)} among the training settings.")
    check_training(training)
