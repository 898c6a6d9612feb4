"""Call a layer with other tensors in place of its variables."""

from collections.abc import Callable
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


def run_updating(
    bindings: Bindings, function: Callable[..., Any], *arguments: Any
) -> tuple[Any, dict[int, Tensor]]:
    """Call a function that assigns variables, with the tensors of `bindings` for their values.

    The variables themselves do not change.

    Returns:
        What the function returned, and the values that it assigned, by the position of their
        variable in `bindings`.
    """
    with keras.StatelessScope(state_mapping=bindings) as scope:
        before = [scope.get_current_value(variable) for variable, _ in bindings]
        result = function(*arguments)
        after = [scope.get_current_value(variable) for variable, _ in bindings]
    pairs = enumerate(zip(before, after, strict=True))
    return result, {index: new for index, (old, new) in pairs if new is not old}


def values_of(layer: keras.layers.Layer, bindings: Bindings) -> list[Tensor]:
    """Return the values of the trainable variables, with the tensors of `bindings` for theirs."""
    with keras.StatelessScope(state_mapping=bindings) as scope:
        values = [scope.get_current_value(v) for v in layer.trainable_variables]
    pairs = zip(values, layer.trainable_variables, strict=True)
    return [v.value if value is None else value for value, v in pairs]


def read(variable: keras.Variable) -> Tensor:
    """The value of a variable as a tensor, on TensorFlow too."""
    return ops.cast(variable, variable.dtype)
