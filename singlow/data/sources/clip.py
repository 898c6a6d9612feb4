"""A recording as a corpus tells of it."""

import dataclasses
from pathlib import Path


@dataclasses.dataclass(frozen=True)
class Clip:
    """A recording, or a segment of one.

    Attributes:
        path: of the file.
        singer: name.
        style: as "human" or "virtual"; "" when nobody said.
        text: what is sung; "" when nobody said.
        id: unique in its corpus.
        split: "train" or "validation" where the corpus decides it, else "".
        start: first frame of a segment, at the dataset's rate.
        stop: the frame after its last; None for the end.
    """

    path: Path
    singer: str
    style: str = ""
    text: str = ""
    id: str = ""
    split: str = ""
    start: int = 0
    stop: int | None = None
