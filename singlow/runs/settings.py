"""The settings of a run: derive them from a request and a preset, and read and check them."""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from singlow.backend import start_backend
from singlow.data.sources.layouts import LAYOUTS, NAMED, PICTURES, part_source, sources_of
from singlow.devices import check_devices
from singlow.errors import DataError, UsageError
from singlow.names import shown, suggest

if TYPE_CHECKING:
    from singlow.runs.run import Run

FORMAT, VERSION = "singlow-run", 1
DEFAULT_MODEL = "singlow"
DEFAULT_RATE, DEFAULT_CHANNELS = 16000, 1
FLAGS = {"channel_size": "channels", "sampling_rate": "sample_rate"}  # names of arguments, by flag
FREE = ("epochs", "patience", "devices")  # settings that may change when a run continues
_LIBRARIES = ("tensorflow", "keras", "jax", "numpy", "soundfile", "soxr", "safetensors")
_LARGEST = 1 << 20  # largest size of a config.json, in bytes
_COUNT = 2**31 - 1


@dataclass(frozen=True)
class _Setting:
    """A training setting: its type, its range, and its default.

    Attributes:
        kind: type of the value: `int`, `float` or `bool`.
        least: smallest value.
        most: largest value.
        default: default value; `None` if presets must set the value, or if `optional`.
        optional: whether `None` is a valid value.
        later: whether runs of earlier versions may lack the setting.
    """

    kind: type
    least: float = 0
    most: float = 1
    default: Any = None
    optional: bool = False
    later: bool = False

    def check(self, name: str, value: Any) -> None:
        """Check the type and the range of a value.

        Raises:
            UsageError: the value has another type or is out of its range.
        """
        if value is None and self.optional:
            return
        if self.kind is bool:
            if type(value) is not bool:
                raise UsageError(
                    f"Expected {name} to be true or false. Received: {str(value)[:40]}."
                )
            return
        real = self.kind is float
        fits = type(value) is int or (real and type(value) is float)
        if not fits or not self.least <= value <= self.most:
            raise UsageError(
                f"Expected {name} to be {'a number' if real else 'a whole number'} from "
                f"{self.least:g} to {self.most:.10g}. Received: {str(value)[:40]}."
            )


TRAINING = {
    "window_size": _Setting(float, 1e-6, 600, optional=True),  # seconds; None for images
    "batch_size": _Setting(int, 1, 2**16),
    "learning_rate": _Setting(float, 1e-12, 100),
    "warmup_steps": _Setting(int, 1, _COUNT),
    "decay_steps": _Setting(int, 1, _COUNT, optional=True),
    "halve_steps": _Setting(int, 1, _COUNT, optional=True, later=True),
    "clip_norm": _Setting(float, 1e-9, 1e9, 10.0, later=True),
    "noam": _Setting(bool, default=False, later=True),
    "rectified": _Setting(bool, default=False, later=True),
    "beta_2": _Setting(float, 0.5, 0.999999, 0.999, later=True),
    "epochs": _Setting(int, 1, _COUNT),
    "steps_per_epoch": _Setting(int, 1, _COUNT),
    "temperature": _Setting(float, 0, 100, 0.7),
    "seed": _Setting(int, 0, 2**32 - 1, 0),
    "patience": _Setting(int, 0, _COUNT, 0),
    "plateau": _Setting(int, 0, _COUNT, 0, later=True),
    "restarts": _Setting(int, 0, _COUNT, 2, later=True),
    "augment": _Setting(bool, default=False, later=True),
    "balanced": _Setting(bool, default=False, later=True),
    "min_rms": _Setting(float, 0, 1, 0.0, later=True),
    "devices": _Setting(int, 1, 2**12, 1, later=True),
}
DEFAULTS = {name: setting.default for name, setting in TRAINING.items()}


@dataclass(frozen=True)
class Request:
    """The settings that a user requests. All others are those of the preset or the existing run.

    Args:
        model: name of the model.
        preset: name of the preset.
        dataset: a dataset with a name, as `"builtin"`, a source, or several sources. Paths are
            stored as absolute paths.
        layout: where the singers' names come from; see `singlow.prepare`.
        arguments: arguments of the model's constructor, by name.
        training: training settings by name, as in `TRAINING`.

    Raises:
        UsageError: a training setting is unknown or out of its range, an argument cannot be stored
            as JSON, the layout is unknown, or there is no source.
    """

    model: str | None = None
    preset: str | None = None
    dataset: str | os.PathLike | Sequence[str | os.PathLike] | None = None
    layout: str | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        arguments = {FLAGS.get(key, key): _plain(v) for key, v in self.arguments.items()}
        try:
            json.dumps(arguments)
        except (TypeError, ValueError) as error:
            raise UsageError(
                f"Expected arguments that JSON can store. Received: {error}."
            ) from error
        object.__setattr__(self, "arguments", arguments)
        object.__setattr__(self, "training", {k: _plain(v) for k, v in self.training.items()})
        check_training(self.training)
        if self.layout not in (None, *LAYOUTS):
            raise UsageError(f"Expected layout in {', '.join(LAYOUTS)}. Received: {self.layout}.")
        if self.dataset is not None:
            object.__setattr__(self, "dataset", absolute_sources(sources_of(self.dataset)))

    @classmethod
    def of(cls, **settings: Any) -> "Request":
        """Create a request from keyword arguments.

        Settings that are `None` are ignored, except `decay_steps` and `halve_steps`, for which
        `None` means no decay.

        Args:
            **settings: `model`, `preset`, `dataset`, `layout`, `arguments` and training settings.

        Raises:
            UsageError: a setting is unknown or out of its range.
        """
        own = ("model", "preset", "dataset", "layout", "arguments")
        present = {
            key: value
            for key, value in settings.items()
            if value is not None or (key in TRAINING and TRAINING[key].optional)
        }
        training = {key: value for key, value in present.items() if key not in own}
        return cls(**{key: present[key] for key in own if key in present}, training=training)

    @property
    def name(self) -> str:
        """The default name of a run, which is the name of its preset.

        The preset of a dataset of pictures with a name is one that is made for it, as is, without
        a model, that of any dataset with a name.

        Raises:
            UsageError: the model is unknown.
        """
        from singlow.models.registry import default_preset, preset_of_dataset

        if self.preset is not None:
            return self.preset
        made = None
        if self.dataset in PICTURES or (self.model is None and self.dataset in NAMED[1:]):
            made = preset_of_dataset(self.dataset, self.model)
        return made or default_preset(self.model or DEFAULT_MODEL)


def _plain(value: Any) -> Any:
    """Convert numbers of numpy to Python's, and tuples and arrays to lists, for JSON."""
    value = value.tolist() if hasattr(value, "tolist") else value
    return [_plain(each) for each in value] if isinstance(value, tuple | list) else value


def absolute_sources(dataset: Sequence[str]) -> str | list[str]:
    """Return the sources of a dataset with absolute paths; a single source is returned as a str.

    Raises:
        UsageError: there is no source.
    """
    sources = [absolute_source(source) for source in dataset]
    if not sources:
        raise UsageError("Expected dataset builtin, spoken or DIR, one or several. Received: none.")
    return sources[0] if len(sources) == 1 else sources


def absolute_source(source: str) -> str:
    """Return a source with an absolute path: a name in `NAMED`, a path, or `LABEL=PATH`.

    The path need not exist, because a run that has its records does not need the recordings.
    """
    if source in NAMED:
        return source
    try:
        label, path = part_source(source)
    except UsageError:
        label, sign, rest = source.partition("=")
        if not sign or os.sep in label:
            return os.path.abspath(os.path.expanduser(source))
        path = os.path.abspath(os.path.expanduser(rest))
    return f"{label}={path}" if label else str(path)


def resolve(request: Request, run: "Run", fresh: bool = False) -> dict[str, Any]:
    """Return the settings of an existing run, or new settings from the request.

    The dataset is not compared here: `prepare_data` later checks whether it has the same content.

    Args:
        request: settings that the user requests.
        run: the run to train.
        fresh: whether to ignore an existing run.

    Raises:
        UsageError: the run exists with other settings, which the message lists; a preset, model or
            value is unknown; the run trains in bfloat16 and Keras runs on JAX on a CPU; or this
            machine cannot distribute its batches over the devices.
        DataError: the run's config.json is damaged.
    """
    if fresh or not run.exists:
        config = _new(request)
    else:
        config = run.config
        refuse_differences(run.name, config, request)
        free = {key: request.training[key] for key in FREE if key in request.training}
        config = {**config, "training": {**config["training"], **free}}
    _check_precision(config)
    check_devices(config["training"]["devices"], config["training"]["batch_size"])
    return config


def _new(request: Request) -> dict[str, Any]:
    from singlow.models.registry import model_class, preset

    chosen = preset(request.name)
    if request.model is not None:
        model_class(request.model)
        if request.model != chosen.model:
            raise UsageError(
                f"Expected a preset of {request.model}. Received: {request.name}, which is of "
                f"{chosen.model}."
            )
    check_training(chosen.training)
    training = {**DEFAULTS, **chosen.training, **request.training}
    missing = [key for key in training if training[key] is None and not TRAINING[key].optional]
    if missing:
        raise UsageError(f"Expected preset {request.name} to set {', '.join(missing)}.")
    config = {
        "format": FORMAT,
        "version": VERSION,
        "model": chosen.model,
        "preset": request.name,
        "arguments": {**chosen.arguments, **request.arguments},
        "data": {"dataset": request.dataset or chosen.dataset, "layout": request.layout or "auto"},
        "training": training,
        "versions": versions(),
    }
    return json.loads(json.dumps(config))


def versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that affect a run, by name."""
    known = {"python": platform.python_version()}
    for name in ("singlow", *_LIBRARIES):
        try:
            known[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            if name == "singlow":
                import singlow

                known[name] = singlow.__version__
    return known


def changes_since(config: Mapping[str, Any], machine: Mapping[str, Any]) -> str:
    """Return a line about changes of versions or machine that affect rounding since a run began.

    Args:
        config: settings of the run; those of earlier versions do not describe the machine.
        machine: description of this machine.

    Returns:
        The line, or "" if nothing differs.
    """
    then = {**config.get("versions", {}), "devices": 1, **config.get("machine", {})}
    now = {**versions(), **machine}
    differing = [
        f"{key} {then.get(key, 'none')} then and {now.get(key, 'none')} now"
        for key in {**then, **now}
        if then.get(key) != now.get(key) and ("machine" in config or key not in machine)
    ]
    if not differing:
        return ""
    return (
        f"This run began on another set-up: {', '.join(differing)}. Its weights will not be "
        "bit for bit those of an unbroken run."
    )


def _check_precision(config: Mapping[str, Any]) -> None:
    if config["arguments"].get("precision") != "bfloat16" or start_backend() != "jax":
        return
    import jax

    if jax.default_backend() == "cpu":
        raise UsageError(
            "Expected --precision float32 for JAX on a CPU, where bfloat16 is ten times slower. "
            "Received: bfloat16."
        )


def read_config(path: Path) -> dict[str, Any]:
    """Read and check the settings in a config.json.

    Settings of earlier versions are renamed, and those that are missing get their defaults.

    Raises:
        DataError: the file is missing or damaged, or is not a config.json of singlow.
    """
    try:
        if path.stat().st_size > _LARGEST:
            raise DataError(f"{path}: Expected at most {_LARGEST} bytes. Received: a larger file.")
        config = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise DataError(f"{path}: missing; this is not a run.") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not readable as JSON ({error}).") from error
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        raise DataError(f"{path}: Expected the settings of a singlow run. Received: another file.")
    if config.get("version") != VERSION:
        raise DataError(
            f"{path}: Expected version {VERSION} of the run format. "
            f"Received: {str(config.get('version'))[:40]}; install the singlow that wrote it."
        )
    kinds = {"model": str, "preset": str, "arguments": dict, "data": dict, "training": dict}
    for key, kind in kinds.items():
        if not isinstance(config.get(key), kind):
            raise DataError(
                f"{path}: Expected {key} to be a {kind.__name__}. "
                f"Received: {str(config.get(key))[:40]}."
            )
    try:
        data = _checked_data(config["data"])
        training = _checked_training(config["training"])
    except UsageError as error:
        raise DataError(f"{path}: {error}") from None
    for key in ("versions", "machine"):
        if not isinstance(config.get(key, {}), dict):
            raise DataError(
                f"{path}: Expected {key} to be a dict. Received: {str(config[key])[:40]}."
            )
    arguments = {FLAGS.get(key, key): value for key, value in config["arguments"].items()}
    return {**config, "arguments": arguments, "data": data, "training": training}


def _checked_data(data: Mapping[str, Any]) -> dict[str, Any]:
    data = {"layout": "auto", **data}
    if "level" in data:  # the name of `loudness` in runs of earlier versions
        data["loudness"] = data.pop("level")
    for key in ("directory", "layout"):
        if not isinstance(data.get(key, ""), str):
            raise UsageError(
                f"Expected {key} of data to be a str. Received: {str(data[key])[:40]}."
            )
    dataset = data.get("dataset")
    sources = dataset if isinstance(dataset, list) else [dataset]
    if not sources or not all(isinstance(source, str) for source in sources):
        raise UsageError(
            "Expected dataset of data to be a str or a list of them. "
            f"Received: {str(dataset)[:40]}."
        )
    return data


def _checked_training(training: Mapping[str, Any]) -> dict[str, Any]:
    missing = [key for key in TRAINING if key not in training and not TRAINING[key].later]
    if missing:
        raise UsageError(f"Expected {', '.join(missing)} among the training settings.")
    check_training(training)
    return {**{key: value for key, value in DEFAULTS.items() if TRAINING[key].later}, **training}


def check_training(training: Mapping[str, Any]) -> None:
    """Check the types and ranges of training settings.

    Raises:
        UsageError: a setting is unknown, has another type, or is out of its range.
    """
    for key, value in training.items():
        if key not in TRAINING:
            raise UsageError(
                f"Expected settings in {', '.join(TRAINING)}. Received: {shown(key[:80])}."
                f"{suggest(key, TRAINING)}"
            )
        TRAINING[key].check(key, value)


def refuse_differences(name: str, config: Mapping[str, Any], request: Request) -> None:
    """Raise an error if a request differs from the settings of a run, except for the dataset.

    Args:
        name: name of the run.
        config: settings of the run.
        request: settings that the user requests.

    Raises:
        UsageError: settings differ; the message lists all of them.
    """
    pairs = [
        ("model", config["model"], request.model),
        ("preset", config["preset"], request.preset),
        ("layout", config["data"].get("layout", "auto"), request.layout),
    ]
    pairs = [pair for pair in pairs if pair[2] is not None]
    unknown = sorted(set(request.arguments) - set(config["arguments"]))
    if unknown:
        raise UsageError(
            f"Expected arguments of {config['model']}: {', '.join(config['arguments'])}. "
            f"Received: {', '.join(unknown)}.{suggest(unknown[0], config['arguments'])}"
        )
    for part in ("arguments", "training"):
        wanted = getattr(request, part)
        pairs += [(key, config[part].get(key), value) for key, value in wanted.items()]
    differing = [
        (key, old, new) for key, old, new in pairs if key not in FREE and not _same(old, new)
    ]
    if differing:
        raise other_settings(name, differing)


def other_settings(name: str, differing: Sequence[tuple[str, Any, Any]]) -> UsageError:
    """Return the error for settings that differ from those of a run.

    Args:
        name: name of the run.
        differing: name, old value and new value of each setting that differs."""
    listed = "; ".join(
        f"{_flag(key)} is {_json(old)}, given {_json(new)}" for key, old, new in differing
    )
    return UsageError(
        f"Run {name} exists with other settings: {listed}. Leave them out to continue it, give "
        "another --run NAME, or --fresh to move it aside."
    )


def refuse_other_config(name: str, stored: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    """Raise an error if settings differ from those that another process has stored meanwhile.

    Args:
        name: name of the run.
        stored: stored settings of the run.
        config: settings to train the run with; arguments that `stored` lacks are not compared, and
            neither is the dataset of an imported run that was not trained yet.

    Raises:
        UsageError: settings differ; the message lists all of them.
    """
    arguments, training = (
        {key: value for key, value in config[part].items() if key in stored[part]}
        for part in ("arguments", "training")
    )
    request = Request(config["model"], config["preset"], arguments=arguments, training=training)
    refuse_differences(name, stored, request)
    contents = [each["data"].get("content") for each in (stored, config)]
    datasets = [each["data"].get("dataset") for each in (stored, config)]
    first, second = datasets if None in contents else contents
    if first != second and not (contents[0] is None and "imported" in stored):
        raise other_settings(name, [("dataset", *datasets)])


def _same(old: Any, new: Any) -> bool:
    return json.dumps(old) == json.dumps(new) or (
        isinstance(old, float) and isinstance(new, int | float) and old == new
    )


def _flag(key: str) -> str:
    """Return the flag or the `--set` key of a setting."""
    return next((flag for flag, name in FLAGS.items() if name == key), key)


def _json(value: Any) -> str:
    return shown(value) if isinstance(value, str) else json.dumps(value)
