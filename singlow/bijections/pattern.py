"""The step of a loop, out of Keras's sight."""

from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from singlow.bijections.base import Bindings, InvertibleLayer, Shape, Tensor


class Pattern:
    """A layer whose variables are slots that each turn of a loop fills with its own weights.

    Attributes:
        layer: the layer; no part of a Keras layer that holds this object.
        slots: its weights, once built.
        seeds: the states of its seed generators.
        learned: the places of trainable weights among `slots`.
    """

    def __init__(self, layer: InvertibleLayer) -> None:
        self.layer = layer

    def build(self, x_shape: Shape, condition_shape: Shape | None) -> None:
        """Build the layer and find its slots."""
        self.layer.build(x_shape, condition_shape)
        self.slots: list[keras.Variable] = list(self.layer.weights)
        known = {id(slot) for slot in self.slots}
        self.seeds = [v for v in self.layer.variables if id(v) not in known]
        self.learned = [place for place, slot in enumerate(self.slots) if slot.trainable]

    def name_of(self, slot: keras.Variable) -> str:
        """A slot's path inside the layer, with dots."""
        return slot.path.removeprefix(f"{self.layer.path}/").replace("/", ".")

    def bind(self, values: Sequence[Tensor]) -> Bindings:
        """Pairs of every slot and seed with the tensor to take in its place."""
        return list(zip(self.slots + self.seeds, values, strict=True))

    def seed_states(self, state: Tensor, times: int) -> list[Tensor]:
        """From one state, `(times, ...)` states for every seed generator."""
        offset = np.stack([np.arange(times), np.zeros(times, int)], axis=-1)
        return [
            state + ops.cast(7919 * offset + (104729 * number, 0), state.dtype)
            for number in range(len(self.seeds))
        ]
