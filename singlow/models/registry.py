"""The closed list of models that a run may name, and their presets."""

import dataclasses
import inspect
from collections.abc import Mapping
from difflib import get_close_matches
from importlib import import_module
from typing import Any

from singlow.backend import start_backend
from singlow.errors import UsageError
from singlow.models.presets import Preset

_HOMES = {"singlow": "SinGlow", "blow": "Blow"}
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
    """Add a model of one's own, so that runs, `singlow.train` and every command find it by name.

    A file of a run can never add a model: only code that calls this function can.

    Args:
        name: for `--model` and config.json.
        model: a subclass of `singlow.models.Paper` with at least one preset.

    Raises:
        ValueError: the name belongs to a model of singlow, or the class has no preset.
    """
    if name in _HOMES or not getattr(model, "presets", None):
        raise ValueError(
            f"Expected a name not in {', '.join(_HOMES)} and a class with presets. "
            f"Received: {name!r}, {model.__name__}."
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
    """The name of the preset that a model has when none is given.

    Raises:
        UsageError: there is no such model.
    """
    return next(iter(model_class(model).presets))


def build_model(name: str, arguments: Mapping[str, Any]) -> Any:
    """The model `name` with these constructor arguments.

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
        return model(**arguments)
    except (ValueError, TypeError) as error:
        raise UsageError(str(error)) from error


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
            fits = isinstance(value, list | tuple) and all(type(v) is int for v in value)
            kind = "a list of whole numbers, as in [3,1,3]"
        elif isinstance(default, float):
            fits, kind = type(value) in (int, float), "a number"
        else:
            fits, kind = type(value) is type(default), _KINDS[type(default)]
        if not fits:
            raise UsageError(f"Expected {key} to be {kind}. Received: {key}={value!r}.")
