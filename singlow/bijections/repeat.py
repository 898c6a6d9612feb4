"""A level's equal steps."""

from typing import Any, Self

import keras

from singlow.bijections.base import InvertibleLayer, Shape, Tensor, deserialize, serialize
from singlow.bijections.compose import Chain


@keras.saving.register_keras_serializable("singlow")
class Repeat(InvertibleLayer):
    """`times` steps of the same make, each with weights of its own.

    Every step draws its own start: the given step is the pattern from which all are made.

    Args:
        step: a bijection that keeps the shape.
        times: how many steps; at least 1.
        backprop: `"stored"` keeps each step's activations for the backward pass.

    Raises:
        ValueError: `times` is below 1, `backprop` is unknown, or the step changes the shape.
    """

    def __init__(
        self, step: InvertibleLayer, times: int, backprop: str = "stored", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if times < 1:
            raise ValueError(f"Expected at least one step. Received: times={times}.")
        if backprop != "stored":
            raise ValueError(f"Expected backprop='stored'. Received: backprop={backprop!r}.")
        self.times = times
        self.backprop = backprop
        self._step_config = serialize(step)
        self.steps = Chain([self._make(index) for index in range(times)], name="steps")

    def _make(self, index: int) -> InvertibleLayer:
        config = {**self._step_config["config"], "name": f"step_{index}"}
        return deserialize({**self._step_config, "config": config})

    def build(self, x_shape: Shape, condition_shape: Shape | None = None) -> None:
        self.steps.build(x_shape, condition_shape)
        step = self.steps.layers[0]
        if step.latent_shape(x_shape) != tuple(x_shape):
            raise ValueError(
                "Expected a step that keeps the shape. Received: "
                f"{step.name}, which maps {tuple(x_shape)} to {step.latent_shape(x_shape)}."
            )

    def call(
        self,
        x: Tensor,
        condition: Tensor | None = None,
        frame_mask: Tensor | None = None,
        reverse: bool = False,
        training: bool | None = None,
    ) -> tuple[Tensor, Tensor]:
        return self.steps(x, condition, frame_mask, reverse=reverse, training=training)

    def adapt(
        self, x: Tensor, condition: Tensor | None = None, frame_mask: Tensor | None = None
    ) -> Tensor:
        return self.steps.adapt(x, condition, frame_mask)

    def get_config(self) -> dict[str, Any]:
        own = {"step": self._step_config, "times": self.times, "backprop": self.backprop}
        return {**super().get_config(), **own}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(**{**config, "step": deserialize(config["step"])})
