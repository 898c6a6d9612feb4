"""The models that a run may name, and their presets."""

import collections
import contextlib
import dataclasses
import inspect
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from importlib import import_module
from typing import Any

from singlow.backend import start_backend
from singlow.errors import UsageError
from singlow.models.presets import Preset

_HOMES = {
    "singlow": "SinGlow",
    "blow": "Blow",
    "glow": "Glow",
    "flowavenet": "FloWaveNet",
    "waveglow": "WaveGlow",
    "glow_tts": "GlowTTS",
    "flowtron": "Flowtron",
}
_REGISTERED: dict[str, type] = {}


def model_names() -> list[str]:
    """The names of all models: those of singlow, then those registered by the user."""
    return [*_HOMES, *_REGISTERED]


def model_class(name: str) -> type:
    """The class of a model, a subclass of `singlow.models.Paper`.

    Raises:
        UsageError: there is no such model; the known ones are listed.
    """
    if name in _REGISTERED:
        return _REGISTERED[name]
    if name not in _HOMES:
        raise UsageError(f"Expected a model in {', '.join(model_names())}. Received: {name}.")
    start_backend()
    return getattr(import_module(f"singlow.models.{name}"), _HOMES[name])


def register_model(name: str, model: type) -> type:
    """Register a user-defined model, so that runs, `singlow.train` and commands find it by name.

    Only a call of this function adds a model; no file of a run can.

    Args:
        name: for `--model` and config.json.
        model: a subclass of `singlow.models.Paper` with at least one preset.

    Raises:
        ValueError: the name belongs to a model of singlow, or the class has no preset, or a preset
            has the name of one of another model.
    """
    if name in _HOMES or not getattr(model, "presets", None):
        raise ValueError(
            f"Expected a name not in {', '.join(_HOMES)} and a class with presets. "
            f"Received: {name!r}, {model.__name__}."
        )
    others = [other for other in model_names() if other != name]
    taken = {preset for other in others for preset in model_class(other).presets}
    if taken & set(model.presets):
        raise ValueError(
            "Expected presets with names that no other model uses. "
            f"Received: {', '.join(sorted(taken & set(model.presets)))}."
        )
    _REGISTERED[name] = model
    return model


def presets() -> Mapping[str, Preset]:
    """The presets of all models, by name."""
    return {
        name: dataclasses.replace(preset, model=model)
        for model in model_names()
        for name, preset in model_class(model).presets.items()
    }


def preset(name: str) -> Preset:
    """The preset of this name.

    Raises:
        UsageError: there is no such preset; the known ones are listed.
    """
    known = presets()
    if name not in known:
        raise UsageError(f"Expected a preset in {', '.join(known)}. Received: {name}.")
    return known[name]


def default_preset(model: str) -> str:
    """Return the name of the model's default preset.

    Raises:
        UsageError: there is no such model.
    """
    return next(iter(model_class(model).presets))


def preset_of_dataset(dataset: str, model: str | None = None) -> str | None:
    """Return the name of the first preset, of a model or of any, for a dataset, or `None`."""
    fits = (
        name
        for name, each in presets().items()
        if each.dataset == dataset and model in (None, each.model)
    )
    return next(fits, None)


def build_model(name: str, arguments: Mapping[str, Any]) -> Any:
    """Create the model `name` with these constructor arguments.

    Layers without an explicit name are numbered from the start of each model, so that a weight has
    the same path whenever the model is created.

    Raises:
        UsageError: there is no such model or argument, or a value is out of its range.
    """
    model = model_class(name)
    known = [key for key in inspect.signature(model).parameters if key != "name"]
    unknown = sorted(set(arguments) - set(known) - {"name"})
    if unknown:
        near = get_close_matches(unknown[0], known, 1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise UsageError(
            f"Expected arguments of {name}: {', '.join(known)}. "
            f"Received: {', '.join(unknown)}.{hint}"
        )
    _check_kinds(model, arguments)
    try:
        with _numbered_from_zero():
            return model(**arguments)
    except (ValueError, TypeError) as error:
        raise UsageError(str(error)) from error


@contextlib.contextmanager
def _numbered_from_zero() -> Iterator[None]:
    """Number unnamed Keras layers from zero in this block, and continue the numbers afterwards."""
    from keras.src.backend.common import global_state

    numbers = global_state.get_global_attribute("object_name_uids")
    global_state.set_global_attribute("object_name_uids", collections.defaultdict(int))
    try:
        yield
    finally:
        global_state.set_global_attribute("object_name_uids", numbers)


_KINDS = {int: "a whole number", bool: "true or false", str: "a word"}


def _check_kinds(model: type, arguments: Mapping[str, Any]) -> None:
    """Check the types of arguments against those of the defaults.

    Raises:
        UsageError: an argument has another type.
    """
    for key, parameter in inspect.signature(model).parameters.items():
        default = parameter.default
        if key not in arguments or default in (inspect.Parameter.empty, None):
            continue
        value = arguments[key]
        if isinstance(default, tuple | list):
            kinds = {type(v) for v in default} | {int}
            fits = isinstance(value, list | tuple) and all(type(v) in kinds for v in value)
            kind = "a list of whole numbers, as in [3,1,3]" if kinds == {int} else "a list"
        elif isinstance(default, float):
            fits, kind = type(value) in (int, float), "a number"
        else:
            fits = type(value) is type(default)
            kind = _KINDS.get(type(default), f"a {type(default).__name__}")
        if not fits:
            raise UsageError(f"Expected {key} to be {kind}. Received: {key}={value!r}.")
