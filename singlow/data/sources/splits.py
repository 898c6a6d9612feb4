"""Choose the clips, or the segments of a clip, that are held out from training."""

import dataclasses
import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from singlow.data.sources.clips import Clip
from singlow.data.store.dataset import SPLITS, entries, labels_of
from singlow.errors import DataError
from singlow.names import shown

_SEGMENT = re.compile(r"@[0-9]+\.[0-9]{3}$")
_PURPOSE = {"train": "train on", "validation": "hold out"}


def split(
    clips: Sequence[Clip],
    frames: Sequence[int],
    sample_rate: int | None,
    share: float = 0.1,
    seed: int = 0,
) -> tuple[list[Clip], list[Clip]]:
    """Divide clips into training clips and held-out clips.

    If a singer has two or more recordings, at least one of them is held out. If a singer has a
    single recording, it is divided into contiguous segments with gaps between them, so that no
    held-out sample is near a training sample. Copies of a recording, which have the same `content`,
    are always on the same side. A recording of several singers is held out only if one of
    them has too few others. A split that the corpus defines is kept, unless it leaves one side
    empty. The choice depends on the ids, the contents and the seed, but not on the order of clips.

    Args:
        clips: all clips of the corpus.
        frames: number of samples of each clip, per channel.
        sample_rate: rate of the clips, in Hz; `None` for pictures, which are not divided.
        share: fraction of every singer's recordings to hold out.
        seed: random seed for choosing the held-out clips.

    Returns:
        Training clips and held-out clips. A segment has `start` and `stop`, and its id ends with
        its start in seconds.
    """
    if len({clip.split for clip in clips}) == 1:
        clips = [dataclasses.replace(clip, split="") for clip in clips]
    ids: dict[str, str] = {}  # one id for each recording, however many copies it has
    stated: dict[str, str] = {}
    singers: dict[str, dict[str, None]] = defaultdict(dict)
    for clip in clips:
        key = _recording(clip)
        ids[key] = min(ids.get(key, clip.id), clip.id)
        stated[key] = max(stated.get(key, ""), clip.split)  # copies with both splits are held out
        singers[clip.singer][key] = None
    owners = Counter(key for own in singers.values() for key in own)
    sides = {key: side for key, side in stated.items() if side}
    segmented = {
        key
        for own in singers.values()
        for key in own
        if len(own) == 1 and key not in sides and sample_rate
    }
    for own in sorted(singers.values(), key=len):
        free = [key for key in own if key not in sides and key not in segmented]
        fixed = sum(sides.get(key) == "validation" for key in own)
        count = min(max(1, round(share * len(own))) - fixed, len(own) - fixed - 1)
        free.sort(key=lambda key: (owners[key], _draw(seed, ids[key])))
        sides |= dict.fromkeys(free[: max(0, count)], "validation")
        sides |= dict.fromkeys(free[max(0, count) :], "train")
    train, validation = [], []
    for clip, length in zip(clips, frames, strict=True):
        key = _recording(clip)
        if key in segmented:
            kept, held = _segments(clip, ids[key], length, sample_rate, share, seed)
            train += kept
            validation += held
        else:
            (train if sides[key] == "train" else validation).append(clip)
    return train, validation


def _recording(clip: Clip) -> str:
    """Return a key that a clip shares with its copies and with no other clip."""
    return clip.content or f"id {clip.id}"


def _draw(seed: int, id: str) -> bytes:
    return hashlib.blake2b(f"{seed}/{id}".encode("utf-8", "surrogateescape")).digest()


def _segments(
    clip: Clip, drawn_by: str, frames: int, sample_rate: int, share: float, seed: int
) -> tuple[list[Clip], list[Clip]]:
    """Hold out one segment of every minute, at a random place, between gaps of at most a second."""
    parts = max(1, round(frames / (60 * sample_rate)))
    bounds = [frames * part // parts for part in range(parts + 1)]
    kept, held, start = [], [], 0
    for part in range(parts):
        span = bounds[part + 1] - bounds[part]
        size, gap = max(1, int(span * share)), min(sample_rate, span // 20)
        draw = int.from_bytes(_draw(seed, f"{drawn_by}/{part}")[:4], "big")
        first = bounds[part] + ((draw * (span - size + 1)) >> 32)
        kept.append((start, first - gap))
        held.append((first, first + size))
        start = first + size + gap
    kept.append((start, frames))
    shortest = max(1, min(sample_rate // 2, frames // 20))

    def segment(span: tuple[int, int]) -> Clip:
        begin, end = span
        id = f"{clip.id}@{begin / sample_rate:.3f}"
        # The text is that of the whole recording; which part of it a segment has is unknown.
        return dataclasses.replace(clip, id=id, start=begin, stop=end, text="", times="")

    return [segment(span) for span in kept if span[1] - span[0] >= shortest], [
        segment(span) for span in held
    ]


def origin(id: str) -> str:
    """Return the id of a clip's recording: the clip's own id without the start of a segment."""
    return _SEGMENT.sub("", id)


def describe_segmented(info: Mapping[str, Any]) -> str:
    """Return a line that lists the singers with a single recording, which is split into segments.

    Args:
        info: content of a `dataset_info.json`.

    Returns:
        The line, or "" if every singer has several recordings.
    """
    recordings: dict[int, set[str]] = defaultdict(set)
    for part in SPLITS:
        for entry in entries(info, part):
            recordings[entry.singer].add(origin(entry.id))
    alone = [name for name, number in info["singers"].items() if len(recordings[number]) == 1]
    if not alone:
        return ""
    return (
        f"A single recording of {_listed(alone)}: segments of it are held out, at most "
        "a second away from its training segments. Add recordings for a better measurement."
    )


def describe_copies(info: Mapping[str, Any]) -> str:
    """Return a line that lists recordings or pictures that are equal, or "" if there are none.

    Args:
        info: content of a `dataset_info.json`.
    """
    groups = info.get("copies", [])
    if not groups:
        return ""
    singers = defaultdict(set)
    for part in SPLITS:
        for entry in entries(info, part):
            singers[origin(entry.id)].add(entry.singer)
    mixed = [group for group in groups if len(set().union(*(singers[id] for id in group))) > 1]
    words = (
        ("picture", "pixel", "classes") if "image" in info else ("recording", "sample", "singers")
    )
    kind, unit, labels = words
    line = (
        f"{sum(len(group) - 1 for group in groups)} {kind}(s) are copies of others, {unit} for "
        f"{unit}; copies are trained on or held out together: {_listed(map(_equal, groups))}."
    )
    if mixed:
        line += (
            f" The same {kind} has several {labels}; correct the labels: "
            f"{_listed(map(_equal, mixed))}."
        )
    return line


def _equal(ids: Sequence[str], most: int = 3) -> str:
    line = " = ".join(ids[:most])
    return f"{line} = {len(ids) - most} more" if len(ids) > most else line


def require_all_singers(info: Mapping[str, Any], source: str, shortest: int) -> None:
    """Raise an error if a singer has no training clip or no held-out clip.

    Args:
        info: content of a `dataset_info.json`.
        source: the recordings of the dataset, for the message.
        shortest: smallest number of samples of a clip that counts.

    Raises:
        DataError: a singer is missing; the message names all missing singers.
    """
    for part in SPLITS:
        present = {entry.singer for entry in entries(info, part) if entry.frames >= shortest}
        missing = [name for name, number in labels_of(info).items() if number not in present]
        if missing:
            raise DataError(
                f"{source}: Expected at least {shortest} samples of every speaker to "
                f"{_PURPOSE[part]}. Received: none of {_listed(missing)}; add longer recordings of "
                "them, or leave them out."
            )


def _listed(names: Iterable[str], most: int = 5) -> str:
    names = [shown(name) for name in names]
    listed = ", ".join(names[:most])
    return f"{listed} and {len(names) - most} more" if len(names) > most else listed
