"""Conditions: what the networks inside bijections read beside `x`.

A condition is one of

- an item condition `(batch, features)`, the same at every position of `x`;
- a frames condition of the rank of `x`, `(batch, time, features)` or
  `(batch, height, width, features)`, with one entry for every position of `x`;
- a coarse condition `{"coarse": (batch, frames, features)}`, with one entry for every few positions
  of `x`, the same number of positions for each; networks repeat what they compute from it;
- a sequence `{"values": (batch, length, features), "mask": (batch, length)}`;
- a mapping of these by name, where networks read several.

The kind of a tensor follows from its rank, never from its length. Layers that change the resolution
of `x` change that of frames conditions too, and pass other conditions on, also coarse ones, which
keep their own resolution. Shapes of conditions have the same form, with tuples in place of tensors.
"""

from collections.abc import Callable, Mapping
from typing import Any

import keras

from singlow.ops.tensors import Shape

Condition = Any  # a tensor, a sequence, or a mapping of them by name


def is_sequence(entry: Any) -> bool:
    """Whether this entry of a condition, or of its shape, is a sequence."""
    return isinstance(entry, Mapping) and set(entry) == {"values", "mask"}


def is_coarse(entry: Any) -> bool:
    """Whether this entry of a condition, or of its shape, is coarse."""
    return isinstance(entry, Mapping) and set(entry) == {"coarse"}


def is_item(entry: Any) -> bool:
    """Whether this entry of a condition, or of its shape, is the same at every position."""
    return not isinstance(entry, Mapping) and len(_shape(entry)) == 2


def entries(condition: Any) -> dict[str, Any]:
    """The entries of a condition, or of its shape, by name; a single one has the name `""`."""
    if condition is None:
        return {}
    if isinstance(condition, Mapping) and not is_sequence(condition) and not is_coarse(condition):
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
    if condition is None or is_sequence(condition) or is_coarse(condition) or is_item(condition):
        return condition
    if isinstance(condition, Mapping):
        return {name: map_frames(function, entry) for name, entry in condition.items()}
    return function(condition)


def map_coarse(function: Callable[[Any], Any], condition: Any) -> Any:
    """The condition, or its shape, with `function` applied to every coarse entry's tensor."""
    if is_coarse(condition):
        return {"coarse": function(condition["coarse"])}
    if isinstance(condition, Mapping) and not is_sequence(condition):
        return {name: map_coarse(function, entry) for name, entry in condition.items()}
    return condition


def coarse_entries(condition: Any) -> list[Any]:
    """The tensors, or shapes, of the coarse entries of a condition."""
    return [entry["coarse"] for entry in entries(condition).values() if is_coarse(entry)]


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
        ValueError: the rank or a length differs from that of `x`, or the length of `x` is no
            multiple of that of a coarse entry; the message names both shapes.
    """
    for key, entry in entries(condition).items():
        if is_coarse(entry):
            _check_coarse(name, x_shape, _shape(entry["coarse"]))
            continue
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


def _check_coarse(name: str, x_shape: Shape, shape: Shape) -> None:
    fits = len(shape) == len(x_shape) == 3
    if fits and None not in (shape[1], x_shape[1]):
        fits = shape[1] > 0 and x_shape[1] % shape[1] == 0
    if not fits or (None not in (shape[0], x_shape[0]) and shape[0] != x_shape[0]):
        raise ValueError(
            f"Expected a coarse condition of {name} with shape (batch, frames, features), whose "
            f"frames divide those of x. Received: {shape} with x {x_shape}."
        )


def _shape(entry: Any) -> tuple[int | None, ...]:
    return tuple(entry) if isinstance(entry, tuple | list) else tuple(entry.shape)
