"""The state of an original model: arrays by name, and their use for a model of singlow."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from singlow.errors import DataError

if TYPE_CHECKING:
    from singlow.models.flow import Flow

State = Mapping[str, np.ndarray]
"""Arrays by the names of a checkpoint of the original; batch axes and channels come first."""


def entry(state: State, name: str) -> np.ndarray:
    """Return an array of a state.

    Raises:
        DataError: the state has no array of this name.
    """
    if name not in state:
        raise DataError(f"Expected the weight {name} of the original. Received: none.")
    return np.asarray(state[name])


def convolution(state: State, names: Sequence[str], part: str) -> np.ndarray:
    """Return a weight of a `Convolution` over time whose filters are those of several originals.

    Args:
        state: the state.
        names: names of the original convolutions, in the order of the filters.
        part: `"kernel"`, `"gain"` or `"bias"`; the kernel is `weight_v` if there is weight norm.
    """
    original = {"kernel": "weight_v", "gain": "weight_g", "bias": "bias"}[part]
    arrays = []
    for name in names:
        key = f"{name}.{original}"
        if part == "kernel" and key not in state:
            key = f"{name}.weight"
        arrays.append(entry(state, key))
    if part == "kernel":
        return np.concatenate([array.transpose(2, 1, 0) for array in arrays], axis=-1)
    return np.concatenate([array.reshape(-1) for array in arrays])


def assign(flow: "Flow", value: Callable[[str], np.ndarray]) -> None:
    """Set all weights of a flow.

    Args:
        flow: the flow.
        value: the new value of the weight at a path.

    Raises:
        DataError: a value is missing or has another shape, or is not finite.
    """
    values = [(weight, np.asarray(value(weight.path))) for weight in flow.weights]
    for weight, array in values:
        if array.shape != tuple(weight.shape) or not np.isfinite(array).all():
            raise DataError(
                f"Expected finite values of shape {tuple(weight.shape)} for {weight.path}. "
                f"Received: shape {array.shape}."
            )
    for weight, array in values:
        weight.assign(array)
