"""The base class of networks inside bijections, and how they read a condition."""

from collections.abc import Callable, Mapping
from typing import Any, Self

import keras
from keras import ops

from singlow.bijections.base import Fold, rebuilt
from singlow.bijections.conditions import Condition, at_positions, entries, is_coarse, is_sequence
from singlow.networks.weightnorm import Convolution
from singlow.ops.stateless import Bindings
from singlow.ops.tensors import Shape, Tensor, full_precision


class Network(keras.layers.Layer):
    """A network inside a bijection, `y = network(x, condition, frame_mask)`.

    Padded frames are treated as the zeros beyond the end of a clip, so that a padded clip has the
    outputs of the clip alone. Subclasses implement `build(x_shape, condition_shape=None)`,
    `_run(x, condition, frame_mask, training)` and `receptive_field`.

    A network computes in full precision whatever the global dtype policy is. Only an explicit
    `dtype`, such as `"mixed_bfloat16"`, changes that.

    Args:
        channels: output channels; when `None`, the coupling that owns the network sets them.

    Call arguments:
        x: `(batch, time, inputs)` or `(batch, height, width, inputs)`.
        condition: see `singlow.bijections.conditions`; needed in every call if the network was
            built with one, and refused otherwise.
        frame_mask: `(batch, time)`, 1 for valid frames.
        training: whether dropout is active.

    Raises:
        ValueError: a condition is missing, or is given to a network that was built without one.
    """

    def __init__(self, channels: int | None = None, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "dtype": kwargs.get("dtype") or full_precision()})
        self.channels = channels
        self.conditioned = False

    @property
    def receptive_field(self) -> tuple[int, int]:
        """Positions before and after its own, along each axis, that an output depends on."""
        raise NotImplementedError(f"{type(self).__name__} does not implement `receptive_field`.")

    def call(
        self,
        x: Tensor,
        condition: Condition = None,
        frame_mask: Tensor | None = None,
        training: bool | None = None,
    ) -> Tensor:
        if self.conditioned != (condition is not None):
            expected = "a condition" if self.conditioned else "no condition"
            received = "condition=None" if condition is None else "a condition"
            raise ValueError(
                f"Expected {expected} for {self.name}, as it was built. Received: {received}."
            )
        return self._run(x, condition, frame_mask, training)

    def _run(
        self, x: Tensor, condition: Condition, frame_mask: Tensor | None, training: bool | None
    ) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} does not implement `_run`.")

    def folded(self, precision: str | None = None) -> tuple[Self, Fold]:
        """An equal network without weight norm, and its weights; as `InvertibleLayer.folded`."""
        settings: dict[str, Any] = {"dtype": precision} if precision else {}
        settings |= {"weight_norm": False} if getattr(self, "weight_norm", False) else {}
        again = rebuilt(self, **settings)
        pairs = list(zip(self._flatten_layers(), again._flatten_layers(), strict=True))

        def fold(value: Callable[[keras.Variable], Tensor]) -> Bindings:
            made: Bindings = []
            for layer, other in pairs:
                if isinstance(layer, Convolution):
                    made += zip(other.weights, layer.effective_weights(value), strict=True)
                else:
                    made += zip(_own_weights(other), map(value, _own_weights(layer)), strict=True)
            return made

        return again, fold

    def _output_channels(self, x_shape: Shape) -> int:
        return x_shape[-1] if self.channels is None else self.channels

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "channels": self.channels}


def _own_weights(layer: keras.layers.Layer) -> list[keras.Variable]:
    """The weights of a layer without those of the layers inside."""
    inner = {id(weight) for each in layer._layers for weight in each.weights}
    return [weight for weight in layer.weights if id(weight) not in inner]


def condition_convolutions(
    condition_shape: Any, filters: int, name: str, use_bias: bool = False, **settings: Any
) -> dict[str, Convolution]:
    """Built 1x1 convolutions, one for each entry of a condition, by name.

    Args:
        condition_shape: of the condition; `None` without one.
        filters: output channels.
        name: of the convolution of a single condition; that of an entry `key` is `name_key`.
        use_bias: whether they have a bias.
        settings: other arguments of `Convolution`.

    Raises:
        ValueError: an entry is a sequence, which only attention can read.
    """
    convolutions = {}
    for key, shape in entries(condition_shape).items():
        if is_sequence(shape):
            raise ValueError(
                f"Expected item or frames conditions for {name}. "
                f"Received: a sequence{f' {key!r}' if key else ''}."
            )
        label = f"{name}_{key}" if key else name
        convolutions[key] = Convolution(filters, use_bias=use_bias, name=label, **settings)
        convolutions[key].build(tuple(shape["coarse"] if is_coarse(shape) else shape))
    return convolutions


def add_condition(
    hidden: Tensor, convolutions: Mapping[str, Convolution], condition: Condition
) -> Tensor:
    """`hidden + sum_i W_i c_i` over the entries of a condition, at the positions of `hidden`.

    The product of a coarse entry is computed at its own resolution and repeated.

    Args:
        hidden: `(batch, time, filters)` or `(batch, height, width, filters)`.
        convolutions: what `condition_convolutions` returned.
        condition: entries of the same names.
    """
    for key, entry in entries(condition).items():
        if is_coarse(entry):
            hidden = _add_repeated(hidden, convolutions[key](entry["coarse"]))
        else:
            hidden = hidden + at_positions(convolutions[key](entry), len(hidden.shape))
    return hidden


def _add_repeated(x: Tensor, coarse: Tensor) -> Tensor:
    """`x + coarse`, with each entry of `coarse` at all of its positions of `x`."""
    shape, channels = ops.shape(x), x.shape[-1]
    rows = ops.reshape(x, (shape[0], ops.shape(coarse)[1], -1, channels)) + coarse[:, :, None]
    return ops.reshape(rows, (shape[0], shape[1], channels))


def reach(fields: list[tuple[int, int]]) -> tuple[int, int]:
    """The receptive field of layers that run one after another."""
    return sum(before for before, _ in fields), sum(after for _, after in fields)
