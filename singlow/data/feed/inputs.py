"""The inputs of a batch: computed from clips, checked, padded and stacked."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from singlow.data.store.dataset import Clips
from singlow.errors import UsageError
from singlow.inputs import MASK, Input


@dataclasses.dataclass(frozen=True)
class ClipFacts:
    """The labels of a clip in a dataset.

    Attributes:
        id: id of the clip, unique in the dataset.
        singer: index of the singer in the dataset's list of singers, or of a picture's class.
        style: style of singing, for instance "human" or "virtual"; "" when unknown.
        text: text that is sung or spoken; "" when unknown.
    """

    id: str
    singer: int
    style: str
    text: str


InputsOf = Callable[[ClipFacts, np.ndarray], dict[str, np.ndarray]]


def clip_facts(clips: Clips, clip: int, labelled: bool = True) -> ClipFacts:
    """Return the labels of a clip.

    Args:
        clips: clips of a dataset.
        clip: index of the clip.
        labelled: whether style and text are read from the record, too.
    """
    entry, features = clips.entries[clip], clips.features(clip) if labelled else {}
    style, text = (features.get(key, b"").decode("utf-8", "replace") for key in ("style", "text"))
    return ClipFacts(entry.id, entry.singer, style, text)


def checked(
    values: Mapping[str, np.ndarray], inputs: Mapping[str, Input], positions: int, unit: str
) -> dict[str, np.ndarray]:
    """Return the inputs of a clip after a check of their names and shapes.

    Args:
        values: what a model's `inputs_of` returned.
        inputs: inputs of the model, by name.
        positions: number of positions of `x`.
        unit: what a position is called in the message.

    Raises:
        UsageError: there is no value for an input, or a value of another shape.
    """
    for name, wanted in inputs.items():
        received = np.shape(values[name]) if name in values else None
        length = received[0] if received else None
        expected = wanted.shape(None, positions, length)[1:]
        if received != expected:
            raise UsageError(
                f"Expected inputs_of to return {name} of shape {expected} for {positions} {unit} "
                f"of x. Received: {'no value' if received is None else received}."
            )
    return dict(values)


def stacked(
    rows: Sequence[Mapping[str, np.ndarray]],
    inputs: Mapping[str, Input],
    lengths: Mapping[str, int],
) -> dict[str, np.ndarray]:
    """Return the inputs of a batch, with padded sequences and their masks.

    Args:
        rows: inputs of each item.
        inputs: inputs of the model, by name.
        lengths: length to which each sequence is padded, by name.
    """
    batch = {}
    for name, wanted in inputs.items():
        values = [np.asarray(row[name], wanted.dtype) for row in rows]
        if wanted.kind != "sequence":
            batch[name] = np.stack(values)
            continue
        shape = wanted.shape(len(rows), None, lengths[name])
        batch[name] = np.zeros(shape, wanted.dtype)
        batch[name + MASK] = np.zeros(shape[:2], np.float32)
        for row, value in enumerate(values):
            batch[name][row, : len(value)] = value
            batch[name + MASK][row, : len(value)] = 1
    return batch


def balanced(singers: np.ndarray) -> np.ndarray:
    """Return indices of items, repeated so that every singer has the same number.

    Args:
        singers: singer of each item, `(items,)`.
    """
    groups = [np.flatnonzero(singers == singer) for singer in np.unique(singers)]
    return np.concatenate([np.resize(group, max(map(len, groups))) for group in groups])
