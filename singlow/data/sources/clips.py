"""Clips: recordings with their labels, whose ids and singers are unique over all sources."""

import dataclasses
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from singlow.errors import UsageError
from singlow.names import RESERVED, normal, shown


@dataclasses.dataclass(frozen=True)
class Clip:
    """A recording, or a segment of one.

    Attributes:
        path: path of the file.
        singer: name of the singer.
        style: style of singing, for instance "human" or "virtual"; "" when unknown.
        text: text that is sung; "" when unknown.
        id: id of the clip, unique in its corpus.
        split: "train" or "validation" if the corpus defines the split, else "".
        start: index of the first sample of a segment, at the dataset's rate.
        stop: index after the last sample of a segment; None for the end of the recording.
        times: times of the symbols of the text, as `write_times` stores them; "" when unknown.
        content: hash of the decoded samples of the whole file; "" before it is decoded. Copies of a
            recording have the same hash.
    """

    path: Path
    singer: str
    style: str = ""
    text: str = ""
    id: str = ""
    split: str = ""
    start: int = 0
    stop: int | None = None
    times: str = ""
    content: str = ""


def with_unique_ids(clips: Sequence[Clip]) -> list[Clip]:
    """Return the clips with unique ids.

    An id that several clips share gets the suffix of the file, and then a number if necessary."""
    shared = Counter(clip.id for clip in clips)
    numbers, seen, result = Counter(), set(), []
    for clip in clips:
        name = clip.id + (clip.path.suffix if shared[clip.id] > 1 else "")
        id = name
        while id in seen:
            numbers[name] += 1
            id = f"{name}#{numbers[name] + 1}"
        seen.add(id)
        result.append(dataclasses.replace(clip, id=id))
    return result


def with_normal_names(clip: Clip) -> Clip:
    """Return the clip with the names of its singer and style in Unicode's composed form."""
    return dataclasses.replace(clip, singer=normal(clip.singer), style=normal(clip.style))


def differing_parents(paths: Sequence[Path]) -> list[str]:
    """Return different names for files or folders of the same name, taken from their parents.

    Args:
        paths: absolute paths, all different.

    Returns:
        A name for each path: that of the nearest parents that all differ. `a/wavs` and `b/wavs`
        become `a` and `b`. If the parents at no depth all differ, several parents are joined:
        `a/1/wavs`, `a/2/wavs` and `b/1/wavs` become `a-1`, `a-2` and `b-1`.
    """
    parts = [path.parent.parts[1:][::-1] for path in paths]
    deepest = max(map(len, parts))
    for depth in range(deepest):
        names = [part[depth] if depth < len(part) else "" for part in parts]
        if len(set(map(normal, names))) == len(names):
            return [name or path.stem for name, path in zip(names, paths, strict=True)]
    for depth in range(1, deepest + 1):
        names = ["-".join(part[:depth][::-1]) for part in parts]
        if len(set(map(normal, names))) == len(names):
            break
    return [name or path.stem for name, path in zip(names, paths, strict=True)]


def require_free_names(clips: Iterable[Clip]) -> None:
    """Raise an error if a singer's name is a word of the command line.

    Raises:
        UsageError: a singer is named "all" or "auto".
    """
    for clip in clips:
        if clip.singer in RESERVED:
            raise UsageError(
                f"Expected a singer's name other than {' and '.join(RESERVED)}, which are words of "
                f"the command line. Received: {clip.singer}, of {shown(os.fspath(clip.path))}. "
                "Rename the folder, or name its singer: NAME=DIR."
            )
