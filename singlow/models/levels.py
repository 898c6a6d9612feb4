"""The base class of Glow-like models: levels of equal steps, each level after a squeeze."""

import math
from collections.abc import Mapping
from typing import Any

import keras

from singlow.bijections import (
    ActNorm,
    AffineCoupling,
    Chain,
    InvertibleConv,
    InvertibleLayer,
    Repeat,
    Squeezed,
)
from singlow.models.paper import Paper, settings_of

MOST_LEVELS, MOST_STEPS = 20, 1000
MOST_CHANNELS = 2**12
MOST_POSITIONS = 2**20  # positions of x in one frame of a latent
_LIMITS = {
    "k_glow": MOST_STEPS,
    "l_glow": MOST_LEVELS,
    "squeeze": MOST_POSITIONS,
    "level_squeeze": MOST_POSITIONS,
}


class Leveled(Paper):
    """A flow of `l_glow` levels of `k_glow` steps.

    The first level squeezes by `squeeze`, each later one by `level_squeeze`.
    """

    @property
    def multiple(self) -> int:
        """Lengths of `x` along time must be multiples of this number of positions."""
        return math.lcm(positions_of_frame(self._settings), *self._hops())

    @property
    def receptive_field(self) -> tuple[int, int]:
        """Positions of `x` before and after its own that a coupling of the first level reads."""
        before, after = self._network().receptive_field
        return before * self._settings["squeeze"], after * self._settings["squeeze"]

    def _network(self) -> keras.layers.Layer:
        raise NotImplementedError(f"{type(self).__name__} does not implement `_network`.")


def glow_step(network: keras.layers.Layer, scale: str, mixing: str) -> Chain:
    """A step of Glow: ActNorm, invertible 1x1 convolution and affine coupling.

    Args:
        network: network of the coupling.
        scale: scale of the coupling; see `AffineCoupling`.
        mixing: form of the convolution; see `InvertibleConv`.
    """
    coupling = AffineCoupling(network, scale, name="coupling")
    mixed = InvertibleConv(mixing, name="mixing")
    return Chain([ActNorm(name="act_norm"), mixed, coupling], name="step")


def glow_level(
    step: InvertibleLayer,
    times: int,
    backprop: str,
    factor: int,
    index: int,
    prior: InvertibleLayer | None = None,
) -> Squeezed:
    """A level of Glow: a squeeze, equal steps, and the prior of the channels that leave.

    Args:
        step: a step.
        times: number of steps.
        backprop: see `Repeat`.
        factor: factor of the squeeze.
        index: number of the level, for its name.
        prior: follows the steps.
    """
    parts = [Repeat(step, times, backprop, name="repeat"), *([prior] if prior else [])]
    return Squeezed(Chain(parts, name="chain"), factor, name=f"level_{index}")


def leveled_settings(
    model: type, arguments: Mapping[str, Any], limits: Mapping[str, int] | None = None
) -> dict[str, Any]:
    """`settings_of` a model with levels, whose squeezes together must not be too large.

    Args:
        model: the class of the model.
        arguments: `locals()` of its constructor.
        limits: largest values by name, beside those that models with levels share.

    Raises:
        ValueError: an argument is out of its range.
    """
    settings = settings_of(model, arguments, {**_LIMITS, **(limits or {})})
    if positions_of_frame(settings) > MOST_POSITIONS:
        raise ValueError(
            f"Expected squeeze * level_squeeze ** (l_glow - 1) of at most {MOST_POSITIONS}. "
            f"Received: {positions_of_frame(settings)}; use a smaller l_glow."
        )
    return settings


def positions_of_frame(settings: Mapping[str, Any]) -> int:
    """Positions of `x` in one frame of the last level."""
    return settings["squeeze"] * settings["level_squeeze"] ** (settings["l_glow"] - 1)


def check_channels(channels: list[int]) -> None:
    """Check that levels have enough channels to be split, and not too many for memory.

    Args:
        channels: of each level, after its squeeze.

    Raises:
        ValueError: the first level has fewer than two, or one has more than `MOST_CHANNELS`.
    """
    if channels[0] < 2:
        raise ValueError(
            f"Expected at least two channels after the first squeeze. Received: {channels[0]}; "
            "use a larger squeeze."
        )
    if max(channels) > MOST_CHANNELS:
        raise ValueError(
            f"Expected at most {MOST_CHANNELS} channels in a level. Received: {max(channels)}; "
            "use a smaller squeeze or level_squeeze."
        )
