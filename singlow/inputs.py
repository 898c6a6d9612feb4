"""Declarations of the inputs that a model reads beside `x`."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

KINDS = ("item", "frames", "sequence")
MASK = "_mask"  # suffix of the input that marks the valid positions of a sequence
EMBEDDING = "_embedding"  # suffix of the input that is given in place of an id


@dataclass(frozen=True)
class Input:
    """An input of a model beside `x`.

    Args:
        kind: `"item"`, one value for each item of the batch (a speaker, a class, a d-vector);
            `"frames"`, aligned with `x`, one value every `hop` positions (a mel spectrogram);
            `"sequence"`, with a length of its own and a mask `NAME_mask` (tokens).
        dtype: `"float32"`, or `"int32"` for ids and tokens.
        size: number of features of a float32 input; number of ids of an int32 input.
        hop: positions of `x` for each frame, along every axis; for kind `"frames"` alone.
        embedding: number of features of a learned embedding of the ids. `NAME_embedding`, of shape
            `(batch, embedding)`, may then be given in place of the ids.

    Shapes:
        item: `(batch, size)` float32 or `(batch,)` int32.
        frames: `(batch, positions / hop, size)` float32 or `(batch, positions / hop)` int32; for
            images there is an axis for the height and one for the width.
        sequence: `(batch, length, size)` float32 or `(batch, length)` int32; the mask is
            `(batch, length)` float32, 1 where the sequence is valid.

    Raises:
        ValueError: a value is unknown or out of its range.
    """

    kind: str
    dtype: str = "float32"
    size: int = 1
    hop: int = 1
    embedding: int | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"Expected kind in {KINDS}. Received: kind={self.kind!r}.")
        if self.dtype not in ("float32", "int32"):
            raise ValueError(f"Expected dtype float32 or int32. Received: dtype={self.dtype!r}.")
        if min(self.size, self.hop, self.embedding or 1) < 1:
            raise ValueError(f"Expected sizes of at least 1. Received: {asdict(self)}.")
        if self.embedding is not None and (self.kind, self.dtype) != ("item", "int32"):
            raise ValueError(
                f"Expected embedding with kind item and dtype int32. Received: {asdict(self)}."
            )

    @property
    def features(self) -> int:
        """Features of what a network reads: of the embedding, or of the input itself."""
        return self.embedding or (self.size if self.dtype == "float32" else 1)

    def shape(self, batch: Any, positions: Any, length: Any = None) -> tuple[Any, ...]:
        """The shape of a batch of this input; sizes may be `None`.

        Args:
            batch: items.
            positions: positions of `x` along time, or `(height, width)` of images.
            length: positions of a sequence.
        """
        axes = positions if isinstance(positions, tuple) else (positions,)
        middle = {
            "item": (),
            "frames": tuple(None if n is None else n // self.hop for n in axes),
            "sequence": (length,),
        }[self.kind]
        last = (self.size,) if self.dtype == "float32" else ()
        return (batch, *middle, *last)

    def dummy(self, name: str, batch: int, positions: Any, length: int = 8) -> dict[str, Any]:
        """A batch of this input for dry runs and checks: ids in turn, or noise from a fixed seed.

        Args:
            name: of the input.
            batch: items.
            positions: positions of `x` along time, or `(height, width)` of images.
            length: positions of a sequence.
        """
        shape = self.shape(batch, positions, length)
        if self.dtype == "int32":
            value = np.arange(np.prod(shape), dtype=np.int64).reshape(shape) % self.size
        else:
            value = 0.1 * np.random.default_rng(0).standard_normal(shape)
        batch_of = {name: value.astype(self.dtype)}
        if self.kind == "sequence":
            batch_of[name + MASK] = np.ones((batch, length), np.float32)
        return batch_of


def input_names(inputs: Mapping[str, Input]) -> set[str]:
    """The keys of a batch that a declaration of inputs allows beside `x` and `frame_mask`."""
    names = set(inputs)
    names |= {name + MASK for name, entry in inputs.items() if entry.kind == "sequence"}
    return names | {name + EMBEDDING for name, entry in inputs.items() if entry.embedding}
