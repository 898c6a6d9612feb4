"""Call a layer with other tensors in place of its variables."""

from typing import Any

import keras
from keras import ops

from singlow.ops.tensors import Tensor

Bindings = list[tuple[keras.Variable, Tensor]]


def run_bound(
    layer: keras.layers.Layer, bindings: Bindings, *inputs: Tensor | None, **settings: Any
) -> Any:
    """Call a layer with the tensors of `bindings` in place of its variables.

    The variables themselves do not change.
    """
    with keras.StatelessScope(state_mapping=bindings):
        return layer(*inputs, **settings)


def values_of(layer: keras.layers.Layer, bindings: Bindings) -> list[Tensor]:
    """Return the values of the trainable variables, with the tensors of `bindings` for theirs."""
    with keras.StatelessScope(state_mapping=bindings) as scope:
        values = [scope.get_current_value(v) for v in layer.trainable_variables]
    pairs = zip(values, layer.trainable_variables, strict=True)
    return [v.value if value is None else value for value, v in pairs]


def read(variable: keras.Variable) -> Tensor:
    """The value of a variable as a tensor, on TensorFlow too."""
    return ops.cast(variable, variable.dtype)
