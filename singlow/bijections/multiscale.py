"""Multi-scale latents: some of the channels become latents after each level."""

from typing import Any, Self

import keras
from keras import ops

from singlow.bijections.base import (
    Fold,
    InvertibleLayer,
    deserialize,
    inversion_error,
    rebuilt,
    serialize,
)
from singlow.bijections.conditions import Condition
from singlow.ops.masks import halves
from singlow.ops.tensors import Shape, Tensor, split_at


@keras.saving.register_keras_serializable("singlow")
class MultiScale(InvertibleLayer):
    """Levels, each of which factors out some of the channels as latents.

    With `h_0 = x` and `[h_i, z_i] = level_i(h_(i-1))`, the last half of the channels `z_i` becomes
    a latent and `h_i` is the input of the next level; the whole output of the last level is a
    latent. The latents are a list, finest first. A prior of `z_i` given `h_i` is a coupling at the
    end of its level, so that the latents are standard normal at every level.

    With `early`, the first `early` channels become a latent instead of the last half.

    Args:
        levels: bijections, usually `Squeezed`.
        early: number of channels that become a latent after each level but the last; half of them
            when `None`.

    Raises:
        ValueError: no level is given, `early` is below 1, or a level before the last has too few
            output channels.

    References:
        Dinh, Sohl-Dickstein and Bengio, Density Estimation Using Real NVP, 2017,
        https://arxiv.org/abs/1605.08803; Prenger, Valle and Catanzaro, WaveGlow, 2018 (`early`),
        https://arxiv.org/abs/1811.00002
    """

    def __init__(
        self, levels: list[InvertibleLayer], early: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if not levels or (early is not None and early < 1):
            raise ValueError(
                "Expected at least one level, and early of at least 1 or None. "
                f"Received: {len(levels)} levels, early={early}."
            )
        self.levels = list(levels)
        self.early = early

    def build(self, x_shape: Shape, condition_shape: Any = None) -> None:
        for level in self.levels:
            if not level.built:
                level.build(x_shape, condition_shape)
            condition_shape = level.latent_condition_shape(condition_shape)
            latent = level.latent_shape(x_shape)
            early = self._early(latent[-1])
            if level is not self.levels[-1] and not 0 < early < latent[-1]:
                raise ValueError(
                    f"Expected more than {max(1, early)} channels to split after {level.name}. "
                    f"Received: {latent[-1]}."
                )
            x_shape = (*latent[:-1], latent[-1] - early)

    def _early(self, channels: int) -> int:
        """The number of channels that become a latent."""
        return channels // 2 if self.early is None else self.early

    def _split(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """The channels that the next level reads, and those that become a latent."""
        if self.early is None:
            return halves(h)
        latent, kept = split_at(h, self.early)
        return kept, latent

    def _joined(self, kept: Tensor, latent: Tensor) -> Tensor:
        parts = [kept, latent] if self.early is None else [latent, kept]
        return ops.concatenate(parts, axis=-1)

    def _forward(
        self, x: Tensor, condition: Condition, frame_mask: Tensor | None, training: bool | None
    ) -> tuple[list[Tensor], Tensor]:
        latents, total = [], 0
        for level in self.levels:
            x, log_det = level(x, condition, frame_mask, training=training)
            condition, frame_mask = level.at_latents(condition, frame_mask)
            total = total + log_det
            if level is not self.levels[-1]:
                x, latent = self._split(x)
                latents.append(latent)
        return [*latents, x], total

    def _inverse(
        self,
        z: list[Tensor],
        condition: Condition,
        frame_mask: Tensor | None,
        training: bool | None,
    ) -> tuple[Tensor, Tensor]:
        if len(z) != len(self.levels):
            raise ValueError(
                f"Expected {len(self.levels)} latents, one for each level. Received: {len(z)}."
            )
        given = [(condition, frame_mask)]
        for level in self.levels[:-1]:
            given.append(level.at_latents(*given[-1]))
        x, total = z[-1], 0
        for index in reversed(range(len(self.levels))):
            if index < len(self.levels) - 1:
                x = self._joined(x, z[index])
            level = self.levels[index]
            x, log_det = level(x, *given[index], reverse=True, training=training)
            total = total + log_det
        return x, total

    def inversion_errors(
        self, x: Tensor, condition: Condition = None, frame_mask: Tensor | None = None
    ) -> list[Tensor]:
        errors = []
        for level in self.levels:
            latent = level(x, condition, frame_mask)[0]
            errors.append(inversion_error(level, x, latent, condition, frame_mask))
            condition, frame_mask = level.at_latents(condition, frame_mask)
            x = self._split(latent)[0] if level is not self.levels[-1] else latent
        return errors

    def adapt(
        self, x: Tensor, condition: Condition = None, frame_mask: Tensor | None = None
    ) -> list[Tensor]:
        latents = []
        for level in self.levels:
            x = level.adapt(x, condition, frame_mask)
            condition, frame_mask = level.at_latents(condition, frame_mask)
            if level is not self.levels[-1]:
                x, latent = self._split(x)
                latents.append(latent)
        return [*latents, x]

    def folded(self, tile: int | None = None, precision: str | None = None) -> tuple[Self, Fold]:
        parts = [level.folded(tile, precision) for level in self.levels]
        layer = rebuilt(self, levels=[level for level, _ in parts])
        return layer, lambda value: [pair for _, fold in parts for pair in fold(value)]

    def latent_shape(self, x_shape: Shape) -> list[Shape]:
        shapes = []
        for level in self.levels:
            latent = level.latent_shape(x_shape)
            early = self._early(latent[-1])
            shapes.append((*latent[:-1], early))
            x_shape = (*latent[:-1], latent[-1] - early)
        return [*shapes[:-1], latent]

    def latent_condition_shape(self, condition_shape: Any) -> Any:
        for level in self.levels:
            condition_shape = level.latent_condition_shape(condition_shape)
        return condition_shape

    def at_latents(
        self, condition: Condition = None, frame_mask: Tensor | None = None
    ) -> tuple[Condition, list[Tensor | None]]:
        masks = []
        for level in self.levels:
            condition, frame_mask = level.at_latents(condition, frame_mask)
            masks.append(frame_mask)
        return condition, masks

    def get_config(self) -> dict[str, Any]:
        levels = [serialize(level) for level in self.levels]
        return {**super().get_config(), "levels": levels, "early": self.early}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(**{**config, "levels": [deserialize(level) for level in config["levels"]]})
