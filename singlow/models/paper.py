"""The base class of models of papers, whose constructor's arguments are their configuration."""

import dataclasses
import inspect
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from singlow.bijections.repeat import BACKPROP
from singlow.errors import UsageError
from singlow.models.flow import Flow
from singlow.models.presets import Preset
from singlow.spectral import RECIPES, MelRecipe

_LIMITS = {
    "width": 2**13,
    "kernel_sizes": 2**10,
    "prior_kernel_sizes": 2**10,
    "dilations": 2**20,
    "layers": 20,
    "speakers": 2**16,
    "embedding_size": 2**13,
    "sample_rate": 384_000,
}
_CHOICES = {"precision": ("float32", "bfloat16"), "backprop": BACKPROP}


class Paper(Flow):
    """A published flow, whose constructor's keyword arguments are its whole configuration.

    The `__init__` of a subclass sets `self._settings = settings_of(cls, locals())` first, and then
    creates the parts.

    Attributes:
        presets: named arguments with training settings; the first is the default of the model.
    """

    presets: ClassVar[Mapping[str, Preset]] = {}
    _settings: dict[str, Any]

    @classmethod
    def from_preset(cls, name: str, **overrides: Any) -> Self:
        """Create the model of a preset, with any argument replaced.

        Raises:
            UsageError: the model has no such preset.
            ValueError: an argument is out of its range.
        """
        if name not in cls.presets:
            raise UsageError(
                f"Expected a preset of {cls.__name__} in {', '.join(cls.presets)}. "
                f"Received: {name}."
            )
        return cls(**{**cls.presets[name].arguments, **overrides})

    def get_config(self) -> dict[str, Any]:
        """The keyword arguments of the constructor, JSON-able."""
        named = "name" in inspect.signature(type(self).__init__).parameters
        return {**self._settings, **({"name": self.name} if named else {})}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Self:
        return cls(**config)

    def _network_policy(self) -> str | None:
        return "mixed_bfloat16" if self._settings.get("precision") == "bfloat16" else None


def settings_of(
    model: type, arguments: Mapping[str, Any], limits: Mapping[str, int] | None = None
) -> dict[str, Any]:
    """The constructor's arguments of a model, with lists for tuples, after a check of their ranges.

    Args:
        model: the class of the model.
        arguments: `locals()` of its constructor.
        limits: largest values by name, beside those that all models share.

    Raises:
        ValueError: an argument is out of its range.
    """
    names = list(inspect.signature(model.__init__).parameters)[1:]
    settings = {name: _plain(arguments[name]) for name in names if name != "name"}
    for name, most in {**_LIMITS, **(limits or {})}.items():
        values = settings.get(name, [])
        for value in values if isinstance(values, list) else [values]:
            if value is not None and not 1 <= value <= most:
                raise ValueError(
                    f"Expected {name} from 1 to {most}. "
                    f"Received: {name}={str(settings[name])[:80]}."
                )
    check_choices(settings, {name: known for name, known in _CHOICES.items() if name in settings})
    return settings


def check_choices(settings: Mapping[str, Any], choices: Mapping[str, tuple]) -> None:
    """Check that settings have one of their allowed values.

    Raises:
        ValueError: a setting has another value; the message lists the allowed ones.
    """
    for name, known in choices.items():
        if settings[name] not in known:
            raise ValueError(f"Expected {name} in {known}. Received: {name}={settings[name]!r}.")


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, list | tuple) else value


def recipe_of(settings: Mapping[str, Any], n_mels: int) -> MelRecipe:
    """The recipe of the mels of a model, whose settings replace parts of a named one.

    Args:
        settings: with `recipe`, a name in `RECIPES`, `sample_rate`, `hop_length` and `n_fft`.
        n_mels: number of mel bins.
    """
    base = RECIPES[settings["recipe"]]
    own = {key: settings[key] for key in ("sample_rate", "hop_length", "n_fft")}
    high = min(base.high, settings["sample_rate"] / 2)
    return dataclasses.replace(base, high=high, n_mels=n_mels, **own)
