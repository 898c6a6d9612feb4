"""Conditions: what the networks inside bijections read beside `x`.

A condition is one of

- an item condition `(batch, features)`, the same at every position of `x`;
- a frames condition of the rank of `x`, `(batch, time, features)` or
  `(batch, height, width, features)`, with one entry for every position of `x`;
- a sequence `{"values": (batch, length, features), "mask": (batch, length)}`;
- a mapping of these by name, where networks read several.

The kind of a tensor follows from its rank, never from its length. Layers that change the resolution
of `x` change that of frames conditions too, and pass other conditions on. Shapes of conditions have
the same form, with tuples in place of tensors.
"""

from collections.abc import Callable, Mapping
from typing import Any

import keras

from singlow.ops.tensors import Shape

Condition = Any  # a tensor, a sequence, or a mapping of them by name


def is_sequence(entry: Any) -> bool:
    """Whether this entry of a condition, or of its shape, is a sequence."""
    return isinstance(entry, Mapping) and set(entry) == {"values", "mask"}


def is_item(entry: Any) -> bool:
    """Whether this entry of a condition, or of its shape, is the same at every position."""
    return not isinstance(entry, Mapping) and len(_shape(entry)) == 2


def entries(condition: Any) -> dict[str, Any]:
    """The entries of a condition, or of its shape, by name; a single one has the name `""`."""
    if condition is None:
        return {}
    if isinstance(condition, Mapping) and not is_sequence(condition):
        return dict(condition)
    return {"": condition}


def map_tensors(function: Callable[..., Any], condition: Any, *others: Any) -> Any:
    """The condition with `function` applied to every tensor, those of masks included.

    Args:
        function: takes a tensor of `condition` and those at the same place in `others`.
        condition: to map; `None` stays `None`.
        others: conditions of the same structure.
    """
    return None if condition is None else keras.tree.map_structure(function, condition, *others)


def map_frames(function: Callable[[Any], Any], condition: Any) -> Any:
    """The condition, or its shape, with `function` applied to every frames entry."""
    if condition is None or is_sequence(condition) or is_item(condition):
        return condition
    if isinstance(condition, Mapping):
        return {name: map_frames(function, entry) for name, entry in condition.items()}
    return function(condition)


def at_positions(entry: Any, rank: int) -> Any:
    """An item entry with axes of length 1 for the positions of `x`; a frames entry as it is.

    Args:
        entry: `(batch, features)` or a tensor of the rank of `x`.
        rank: number of axes of `x`.
    """
    if not is_item(entry):
        return entry
    return entry[(slice(None), *[None] * (rank - 2), slice(None))]


def require_one(name: str, condition: Any) -> None:
    """Raise an error for a condition, or its shape, that is not a single item or frames condition.

    Args:
        name: of the layer, for the message.
        condition: to check.

    Raises:
        ValueError: the condition is missing, or is a sequence or a mapping.
    """
    if condition is None or isinstance(condition, Mapping):
        received = "condition=None" if condition is None else "a sequence or a mapping"
        raise ValueError(f"Expected one item or frames condition for {name}. Received: {received}.")


def check_condition(name: str, x_shape: Shape, condition: Any) -> None:
    """Raise an error for a condition whose frames entries are not aligned with `x`.

    Args:
        name: of the layer, for the message.
        x_shape: of `x`.
        condition: to check; its sizes may be `None`.

    Raises:
        ValueError: the rank or a length differs from that of `x`; the message names both shapes.
    """
    for key, entry in entries(condition).items():
        if is_sequence(entry) or is_item(entry):
            continue
        shape, label = _shape(entry), f"condition {key!r}" if key else "condition"
        pairs = zip(shape[:-1], x_shape[:-1], strict=False)
        if len(shape) != len(x_shape) or any(None not in p and p[0] != p[1] for p in pairs):
            expected = ", ".join("any" if n is None else str(n) for n in x_shape[:-1])
            raise ValueError(
                f"Expected {label} of {name} with shape (batch, features), or ({expected}, "
                f"features) aligned with x. Received: {shape}."
            )


def _shape(entry: Any) -> tuple[int | None, ...]:
    return tuple(entry) if isinstance(entry, tuple | list) else tuple(entry.shape)
