"""The step of a loop, out of Keras's sight."""

from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from singlow.bijections.base import Fold, InvertibleLayer, Shape, Tensor
from singlow.bijections.bound import Bindings


class Pattern:
    """A layer whose variables are slots that each turn of a loop fills with its own weights.

    What runs is the layer folded: what depends on weights alone is computed for all turns at once,
    before the loop.

    Attributes:
        layer: the layer; no part of a Keras layer that holds this object.
        slots: its weights, once built.
        folded: the layer that runs.
        inner: its weights.
        seeds: the states of its seed generators.
        learned: the places of trainable weights among `inner`.
    """

    def __init__(self, layer: InvertibleLayer) -> None:
        self.layer = layer

    def build(self, x_shape: Shape, condition_shape: Shape | None) -> None:
        """Build the layer and find its slots."""
        self.layer.build(x_shape, condition_shape)
        self.slots: list[keras.Variable] = list(self.layer.weights)
        self.folded, self._fold = self.layer.folded()
        self.inner: list[keras.Variable] = list(self.folded.weights)
        known = {id(slot) for slot in self.inner}
        self.seeds = [v for v in self.folded.variables if id(v) not in known]
        self.learned = [place for place, slot in enumerate(self.inner) if slot.trainable]

    def fold(self, stacked: Sequence[Tensor]) -> list[Tensor]:
        """From `(times, ...)` tensors for `slots` to those for `inner`."""
        return folded_values(self._fold, self.slots, stacked, self.inner)

    def name_of(self, slot: keras.Variable) -> str:
        """A slot's path inside the layer, with dots."""
        return slot.path.removeprefix(f"{self.layer.path}/").replace("/", ".")

    def bind(self, values: Sequence[Tensor]) -> Bindings:
        """Pairs of every inner weight and seed with the tensor to take in its place."""
        return list(zip(self.inner + self.seeds, values, strict=True))

    def seed_states(self, state: Tensor, times: int) -> list[Tensor]:
        """From one state, `(times, ...)` states for every seed generator."""
        offset = np.stack([np.arange(times), np.zeros(times, int)], axis=-1)
        return [
            state + ops.cast(7919 * offset + (104729 * number, 0), state.dtype)
            for number in range(len(self.seeds))
        ]


def folded_values(
    fold: Fold,
    slots: Sequence[keras.Variable],
    values: Sequence[Tensor],
    inner: Sequence[keras.Variable],
) -> list[Tensor]:
    """What a fold makes of values for `slots`, in the order of `inner`."""
    given = {id(slot): value for slot, value in zip(slots, values, strict=True)}
    made = {id(variable): tensor for variable, tensor in fold(lambda slot: given[id(slot)])}
    return [made[id(variable)] for variable in inner]
