"""What every network inside a coupling has in common."""

from collections.abc import Callable
from typing import Any, Self

import keras

from singlow.bijections.base import Fold, rebuilt
from singlow.networks.weightnorm import Convolution
from singlow.ops.stateless import Bindings
from singlow.ops.tensors import Shape, Tensor


class Network(keras.layers.Layer):
    """A function of time, `y = network(x, condition, frame_mask)`, free of any flow.

    Padded frames are seen as the zeros beyond the end of a clip, so a padded clip gives what the
    clip alone would. Subclasses write `build(x_shape, condition_shape=None)`, `_run(x, condition,
    frame_mask, training)` and `receptive_field`.

    Args:
        channels: output channels; `None` lets the coupling that owns the network decide.

    Call arguments:
        x: `(batch, time, inputs)`.
        condition: `(batch, time, features)` or `(batch, 1, features)`; given always or never.
        frame_mask: `(batch, time)`, 1 for valid frames.
        training: whether units are dropped.

    Raises:
        ValueError: a condition is missing, or given to a network that was built without one.
    """

    def __init__(self, channels: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.channels = channels
        self.conditioned = False

    @property
    def receptive_field(self) -> tuple[int, int]:
        """How many frames before and after its own an output frame depends on."""
        raise NotImplementedError(f"{type(self).__name__} does not write `receptive_field`.")

    def call(
        self,
        x: Tensor,
        condition: Tensor | None = None,
        frame_mask: Tensor | None = None,
        training: bool | None = None,
    ) -> Tensor:
        if self.conditioned != (condition is not None):
            expected = "a condition" if self.conditioned else "no condition"
            given = "condition=None" if condition is None else f"one of shape {condition.shape}"
            raise ValueError(
                f"Expected {expected} for {self.name}, as it was built. Received: {given}."
            )
        return self._run(x, condition, frame_mask, training)

    def _run(
        self, x: Tensor, condition: Tensor | None, frame_mask: Tensor | None, training: bool | None
    ) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} does not write `_run`.")

    def folded(self, precision: str | None = None) -> tuple[Self, Fold]:
        """An equal network without weight norm; see `InvertibleLayer.folded`."""
        settings: dict[str, Any] = {"dtype": precision} if precision else {}
        settings |= {"weight_norm": False} if getattr(self, "weight_norm", False) else {}
        again = rebuilt(self, **settings)
        pairs = list(zip(self._flatten_layers(), again._flatten_layers(), strict=True))

        def fold(value: Callable[[keras.Variable], Tensor]) -> Bindings:
            made: Bindings = []
            for layer, other in pairs:
                if isinstance(layer, Convolution):
                    made += zip(other.weights, layer.effective_weights(value), strict=True)
                elif not layer._layers:
                    made += zip(other.weights, map(value, layer.weights), strict=True)
            return made

        return again, fold

    def _output_channels(self, x_shape: Shape) -> int:
        return x_shape[-1] if self.channels is None else self.channels

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "channels": self.channels}


def reach(fields: list[tuple[int, int]]) -> tuple[int, int]:
    """The receptive field of layers run one after another."""
    return sum(before for before, _ in fields), sum(after for _, after in fields)
