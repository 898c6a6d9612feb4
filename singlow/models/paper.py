"""What flows of papers share: their settings are their configuration, held to their ranges."""

import inspect
from collections.abc import Mapping
from typing import Any, Self

import keras

from singlow.bijections.repeat import BACKPROP
from singlow.errors import UsageError
from singlow.models.flow import Flow
from singlow.models.presets import preset

MOST_CHANNELS = 2**12
MOST_SAMPLES = 2**20  # that a latent frame may stand for
_MOST = {
    "k_glow": 1000,
    "l_glow": 20,
    "squeeze": MOST_SAMPLES,
    "level_squeeze": MOST_SAMPLES,
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
    """A published flow: the keyword arguments of its constructor are the whole configuration.

    A subclass's `__init__` sets `_settings` to what `settings_of` makes of them before it
    assembles its parts.
    """

    _settings: dict[str, Any]

    @classmethod
    def from_preset(cls, name: str, **overrides: Any) -> Self:
        """The model of a preset, with any argument replaced.

        Raises:
            UsageError: there is no such preset, or it is of another model.
        """
        chosen = preset(name)
        if chosen.model != cls.__name__.lower():
            raise UsageError(
                f"Expected a preset of {cls.__name__}. Received: {name}, which is of "
                f"{chosen.model}."
            )
        return cls(**{**chosen.arguments, **overrides})

    def get_config(self) -> dict[str, Any]:
        """The keyword arguments this model was made with: JSON-able, and all of it."""
        return {**self._settings, "name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Self:
        return cls(**config)

    @property
    def multiple(self) -> int:
        """Lengths this flow takes are multiples of this many samples."""
        return samples_a_frame(self._settings)

    @property
    def receptive_field(self) -> tuple[int, int]:
        """How many samples before and after its own a coupling of the first level reads."""
        before, after = self._network().receptive_field
        return before * self._settings["squeeze"], after * self._settings["squeeze"]

    def _network(self) -> keras.layers.Layer:
        raise NotImplementedError(f"{type(self).__name__} does not write `_network`.")

    def _network_policy(self) -> str | None:
        return "mixed_bfloat16" if self._settings["precision"] == "bfloat16" else None


def settings_of(model: type, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The settings among `arguments`, lists for tuples, held to the ranges that all models share.

    Raises:
        ValueError: one is out of its range.
    """
    names = list(inspect.signature(model.__init__).parameters)[1:]
    given = {name: _plain(arguments[name]) for name in names if name != "name"}
    for name, most in _MOST.items():
        values = given.get(name, [])
        for value in values if isinstance(values, list) else [values]:
            if not 1 <= value <= most:
                raise ValueError(
                    f"Expected {name} from 1 to {most}. Received: {name}={str(given[name])[:80]}."
                )
    if samples_a_frame(given) > MOST_SAMPLES:
        raise ValueError(
            f"Expected squeeze * level_squeeze ** (l_glow - 1) of at most {MOST_SAMPLES}. "
            f"Received: {samples_a_frame(given)}; give a smaller l_glow."
        )
    check_choices(given, _CHOICES)
    return given


def samples_a_frame(given: Mapping[str, Any]) -> int:
    """Samples that a frame of the last level stands for."""
    return given["squeeze"] * given["level_squeeze"] ** (given["l_glow"] - 1)


def check_choices(given: Mapping[str, Any], choices: Mapping[str, tuple]) -> None:
    """Refuse a value that is none of its choices.

    Raises:
        ValueError: as it says.
    """
    for name, known in choices.items():
        if given[name] not in known:
            raise ValueError(f"Expected {name} in {known}. Received: {name}={given[name]!r}.")


def check_channels(channels: list[int]) -> None:
    """Refuse channels of levels that cannot be split, or that no machine holds.

    Raises:
        ValueError: as it says.
    """
    if channels[0] < 2:
        raise ValueError(
            f"Expected at least two channels after the first squeeze. Received: {channels[0]}; "
            "give a larger squeeze."
        )
    if max(channels) > MOST_CHANNELS:
        raise ValueError(
            f"Expected at most {MOST_CHANNELS} channels a level. Received: {max(channels)}; "
            "give a smaller squeeze or level_squeeze."
        )


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, list | tuple) else value
