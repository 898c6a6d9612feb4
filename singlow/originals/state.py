"""The state of an original model: arrays by name, and their use for a model of singlow."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from singlow.errors import DataError

if TYPE_CHECKING:
    from singlow.models.flow import Flow
    from singlow.originals.tensors import StoredTensor

State = Mapping[str, np.ndarray]
"""Arrays by the names of a checkpoint of the original; batch axes and channels come first."""


class StoredState(Mapping):
    """The state in a file, whose arrays are read when they are looked up.

    Half precision becomes float32. Weights of the weight norm of later versions of PyTorch have
    their earlier names, `weight_g` and `weight_v`.

    Args:
        tensors: tensors in the file by name.
    """

    def __init__(self, tensors: Mapping[str, "StoredTensor"]) -> None:
        self._tensors = {_earlier(name): tensor for name, tensor in tensors.items()}

    def __getitem__(self, name: str) -> np.ndarray:
        array = self._tensors[name].load()
        return array.astype(np.float32) if array.dtype == np.float16 else array

    def __contains__(self, name: object) -> bool:
        return name in self._tensors

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    @property
    def count(self) -> int:
        """Number of values in all arrays."""
        return sum(int(np.prod(tensor.shape)) for tensor in self._tensors.values())


def _earlier(name: str) -> str:
    path, dot, last = name.rpartition(".parametrizations.weight.original")
    return f"{path}.weight_{'gv'[int(last)]}" if dot and last in ("0", "1") else name


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
        part: `"kernel"`, `"gain"` or `"bias"`; the kernel is `weight_v` if there is weight norm. If
            weight norm was removed from the original, the gain is the norm of the weight.
    """
    original = {"kernel": "weight_v", "gain": "weight_g", "bias": "bias"}[part]
    arrays = []
    for name in names:
        key = f"{name}.{original}"
        if part == "kernel" and key not in state:
            key = f"{name}.weight"
        if part == "gain" and key not in state and f"{name}.weight" in state:
            arrays.append(np.sqrt((entry(state, f"{name}.weight") ** 2).sum(axis=(1, 2))))
        else:
            arrays.append(entry(state, key))
    if part == "kernel":
        return np.concatenate([array.transpose(2, 1, 0) for array in arrays], axis=-1)
    return np.concatenate([array.reshape(-1) for array in arrays])


def assign(flow: "Flow", value: Callable[[str], np.ndarray]) -> None:
    """Set all weights of a flow, one after another, so that one at a time is in memory.

    Args:
        flow: the flow.
        value: the new value of the weight at a path.

    Raises:
        DataError: a value is missing or has another shape, or is not finite; the weights before it
            are set.
    """
    for weight in flow.weights:
        weight.assign(checked(weight.path, value(weight.path), tuple(weight.shape)))


def checked(path: str, value: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return the value of a weight after a check of its shape and its numbers.

    Raises:
        DataError: it has another shape, or is not finite.
    """
    array = np.asarray(value)
    if array.shape != shape or not np.isfinite(array).all():
        raise DataError(
            f"Expected finite values of shape {shape} for {path}. Received: shape {array.shape}."
        )
    return array
