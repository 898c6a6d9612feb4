"""Steps of equal structure, run as one loop over stacked weights."""

from collections.abc import Callable, Sequence
from typing import Any, Self

import keras
import numpy as np
from keras import ops

from singlow.bijections.base import Fold, InvertibleLayer, deserialize, serialize
from singlow.bijections.conditions import Condition
from singlow.ops.control import compiled, scan, with_backward
from singlow.ops.masks import count_frames
from singlow.ops.stateless import Bindings, read, run_bound, run_updating
from singlow.ops.tensors import Shape, Tensor

BACKPROP = ("stored", "inverted")


@keras.saving.register_keras_serializable("singlow")
class Repeat(InvertibleLayer):
    """`f = f_n . ... . f_1`: `times` steps of equal structure, each with its own weights.

    A weight of shape `s` of a step becomes a weight of shape `(times, *s)`, initialised separately
    for each step. The steps run in one loop, so neither the traced graph nor compile time grows
    with `times`. With `backprop="inverted"` the backward pass recomputes the input of each step
    from its output instead of storing it, so memory does not grow either, at the cost of one more
    evaluation of each network.

    Args:
        step: a bijection that keeps the shape; the template of all steps. It may hold weights and
            seed generators, but a call must not change other state. Classes of one's own in it
            need `keras.saving.register_keras_serializable`.
        times: number of steps; at least 1.
        backprop: `"stored"` or `"inverted"`.

    Raises:
        ValueError: `times` is below 1, `backprop` is unknown, or the step changes the shape.

    References:
        Gomez, Ren, Urtasun and Grosse, The Reversible Residual Network, 2017 (activations from
        outputs), https://arxiv.org/abs/1707.04585
    """

    def __init__(
        self, step: InvertibleLayer, times: int, backprop: str = "stored", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if times < 1:
            raise ValueError(f"Expected at least one step. Received: times={times}.")
        if backprop not in BACKPROP:
            raise ValueError(
                f"Expected backprop to be one of {BACKPROP}. Received: backprop={backprop!r}."
            )
        self.times = times
        self.backprop = backprop
        self._step_config = serialize(step)
        self._pattern = Pattern(deserialize(self._step_config))
        self._ways: dict[tuple[bool, bool | None], Callable[..., Any]] = {}

    @property
    def step(self) -> InvertibleLayer:
        """The template of the steps. Its weights are placeholders that no step uses."""
        return self._pattern.layer

    def build(self, x_shape: Shape, condition_shape: Any = None) -> None:
        self._pattern.build(x_shape, condition_shape)
        latent = self.step.latent_shape(x_shape)
        if latent != tuple(x_shape):
            raise ValueError(
                "Expected a step that keeps the shape. Received: "
                f"{self.step.name}, which maps {tuple(x_shape)} to {latent}."
            )
        drawn = [[ops.convert_to_numpy(slot) for slot in self._pattern.slots]]
        for _ in range(self.times - 1):
            other = deserialize(self._step_config)
            other.build(x_shape, condition_shape)
            drawn.append([ops.convert_to_numpy(weight) for weight in other.weights])
        self.stacked = [
            self._add_given(
                self._pattern.name_of(slot), np.stack(values), slot.trainable, slot.dtype
            )
            for slot, values in zip(self._pattern.slots, zip(*drawn, strict=True), strict=True)
        ]
        if self._pattern.seeds:
            self.seed_generator = keras.random.SeedGenerator(name="seed_generator")

    def step_weights(self, index: int) -> dict[str, np.ndarray]:
        """The weights of one step by name, as in `stacked`.

        Raises:
            IndexError: there is no such step.
        """
        if not 0 <= index < self.times:
            raise IndexError(f"Expected a step of 0..{self.times - 1}. Received: {index}.")
        return {v.name: ops.convert_to_numpy(v[index]) for v in self.stacked}

    def call(
        self,
        x: Tensor,
        condition: Condition = None,
        frame_mask: Tensor | None = None,
        reverse: bool = False,
        training: bool | None = None,
    ) -> tuple[Tensor, Tensor]:
        x = ops.convert_to_tensor(x)
        stacked = [read(v) for v in self.stacked]
        seeds = self._seeds(training)
        return self._turns(bool(reverse), training)(x, condition, frame_mask, stacked, seeds)

    def _turns(self, reverse: bool, training: bool | None) -> Callable[..., tuple[Tensor, Tensor]]:
        if (reverse, training) not in self._ways:
            loop = self._inverted if self.backprop == "inverted" and not reverse else self._loop

            def way(
                x: Tensor, condition: Any, frame_mask: Any, stacked: list[Any], seeds: list[Any]
            ) -> tuple[Tensor, Tensor]:
                values = self._pattern.fold(stacked) + seeds
                return loop(x, condition, frame_mask, values, reverse, training)

            self._ways[reverse, training] = compiled(way)
        return self._ways[reverse, training]

    def _seeds(self, training: bool | None) -> list[Tensor]:
        """Derive a state for every step and seed generator from one draw.

        The loop reads the states like weights, so that recomputation drops the same units.
        """
        if not self._pattern.seeds:
            return []
        state = self.seed_generator.next() if training else self.seed_generator.state.value
        return self._pattern.seed_states(state, self.times)

    def _loop(
        self,
        x: Tensor,
        condition: Condition,
        frame_mask: Tensor | None,
        values: Sequence[Tensor],
        reverse: bool,
        training: bool | None,
        differentiated: bool = True,
    ) -> tuple[Tensor, Tensor]:
        def turn(carry: list[Tensor], values: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
            x, total = carry
            x, log_det = run_bound(
                self._pattern.folded,
                self._pattern.bind(values),
                x,
                condition,
                frame_mask,
                reverse=reverse,
                training=training,
            )
            return [x, total + log_det], []

        start = [x, 0.0 * count_frames(x)]
        (x, log_det), _ = scan(turn, start, values, self.times, (), reverse, differentiated)
        return x, log_det

    def _inverted(
        self,
        x: Tensor,
        condition: Condition,
        frame_mask: Tensor | None,
        values: Sequence[Tensor],
        reverse: bool,
        training: bool | None,
    ) -> tuple[Tensor, Tensor]:
        places = self._pattern.learned
        leaves = [] if condition is None else keras.tree.flatten(condition)
        given = 1 + len(leaves)  # inputs that are differentiated beside the weights

        def packed(leaves: Sequence[Tensor]) -> Condition:
            if condition is None:
                return None
            return keras.tree.pack_sequence_as(condition, list(leaves))

        def split(learned: list[Tensor], fixed: list[Any]) -> tuple[Any, ...]:
            frame_mask, values = fixed[0], list(fixed[1])
            for place, weight in zip(places, learned[given:], strict=True):
                values[place] = weight
            return learned[0], packed(learned[1:given]), frame_mask, values

        def forward(learned: list[Tensor], fixed: list[Any]) -> tuple[Tensor, Tensor]:
            return self._loop(*split(learned, fixed), reverse, training, differentiated=False)

        def backward(
            outputs: tuple[Tensor, Tensor],
            learned: list[Tensor],
            fixed: list[Any],
            upstream: Sequence[Tensor],
        ) -> list[Tensor]:
            _, condition, frame_mask, values = split(learned, fixed)
            dz, dlog_det = upstream

            def turn(
                carry: list[Tensor], values: list[Tensor]
            ) -> tuple[list[Tensor], list[Tensor]]:
                y, dy, *dleaves = carry
                y, dy, dcondition, dweights = self._pattern.folded.pull_back(
                    y, dy, dlog_det, condition, frame_mask, self._pattern.bind(values), training
                )
                if dleaves:
                    more = keras.tree.flatten(dcondition)
                    dleaves = [a + b for a, b in zip(dleaves, more, strict=True)]
                return [y, dy, *dleaves], dweights

            start = [outputs[0], dz, *(ops.zeros_like(leaf) for leaf in learned[1:given])]
            like = [self._pattern.inner[place].value for place in places]
            carry, dweights = scan(
                turn, start, values, self.times, like, reverse=True, differentiated=False
            )
            return [*carry[1:], *dweights]

        weights = [values[place] for place in places]
        learned = [x, *leaves, *weights]
        return with_backward(forward, backward)(learned, [frame_mask, list(values)])

    def adapt(
        self, x: Tensor, condition: Condition = None, frame_mask: Tensor | None = None
    ) -> Tensor:
        self._build_for(x, condition)
        slots, changed = self._pattern.slots, set()

        def turn(carry: list[Tensor], values: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
            bindings = list(zip(slots, values, strict=True))
            given = (carry[0], condition, frame_mask)
            x, new = run_updating(bindings, self.step.adapt, *given)
            changed.update(new)
            return [x], [new.get(place, value) for place, value in enumerate(values)]

        x = ops.convert_to_tensor(x, dtype=self.compute_dtype)
        stacked, like = [read(v) for v in self.stacked], [slot.value for slot in slots]
        (x,), adapted = scan(turn, [x], stacked, self.times, like, differentiated=False)
        for place in changed:  # the others keep their memory
            self.stacked[place].assign(adapted[place])
        return x

    def folded(
        self, tile: int | None = None, precision: str | None = None
    ) -> tuple["Repeat", Fold]:
        step, fold = self.step.folded(tile, precision)
        policy = self.dtype_policy.name
        again = Repeat(step, self.times, self.backprop, name=self.name, dtype=policy)
        again.build_from_config(self.get_build_config())

        def fold_all(value: Callable[[keras.Variable], Tensor]) -> Bindings:
            stacked = [value(v) for v in self.stacked]
            made = folded_values(fold, self._pattern.slots, stacked, step.weights)
            return list(zip(again.stacked, made, strict=True))

        return again, fold_all

    def get_config(self) -> dict[str, Any]:
        own = {"step": self._step_config, "times": self.times, "backprop": self.backprop}
        return {**super().get_config(), **own}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(**{**config, "step": deserialize(config["step"])})


class Pattern:
    """A template layer whose variables are bound to other tensors in each iteration of a loop.

    The loop runs the folded layer, so that whatever depends on weights alone is computed for all
    iterations at once, before the loop. Keras does not track the layer, because this object is not
    a Keras object.

    Attributes:
        layer: the template.
        slots: the weights of `layer`, once built.
        folded: the layer that the loop runs.
        inner: the weights of `folded`.
        seeds: the states of the seed generators of `folded`.
        learned: the positions of the trainable weights in `inner`.
    """

    def __init__(self, layer: InvertibleLayer) -> None:
        self.layer = layer

    def build(self, x_shape: Shape, condition_shape: Any) -> None:
        """Build the template and collect its weights."""
        self.layer.build(x_shape, condition_shape)
        self.slots: list[keras.Variable] = list(self.layer.weights)
        self.folded, self._fold = self.layer.folded()
        self.inner: list[keras.Variable] = list(self.folded.weights)
        known = {id(slot) for slot in self.inner}
        self.seeds = [v for v in self.folded.variables if id(v) not in known]
        self.learned = [place for place, slot in enumerate(self.inner) if slot.trainable]

    def fold(self, stacked: Sequence[Tensor]) -> list[Tensor]:
        """Map `(times, ...)` tensors for `slots` to those for `inner`."""
        return folded_values(self._fold, self.slots, stacked, self.inner)

    def name_of(self, slot: keras.Variable) -> str:
        """The path of a weight inside the template, with dots."""
        return slot.path.removeprefix(f"{self.layer.path}/").replace("/", ".")

    def bind(self, values: Sequence[Tensor]) -> Bindings:
        """Pairs of every inner weight and seed with the tensor that replaces its value."""
        return list(zip(self.inner + self.seeds, values, strict=True))

    def seed_states(self, state: Tensor, times: int) -> list[Tensor]:
        """`(times, ...)` states for every seed generator, derived from one state."""
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
    """The tensors that `fold` computes from values for `slots`, in the order of `inner`."""
    given = {id(slot): value for slot, value in zip(slots, values, strict=True)}
    made = {id(variable): tensor for variable, tensor in fold(lambda slot: given[id(slot)])}
    return [made[id(variable)] for variable in inner]
