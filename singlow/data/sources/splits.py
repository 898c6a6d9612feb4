"""Which clips are held out from training, or which stretches of a clip."""

import dataclasses
import hashlib
import re
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from singlow.data.sources.clip import Clip
from singlow.data.store.dataset import SPLITS, entries
from singlow.errors import DataError

_STRETCH = re.compile(r"(.*)@[0-9]+\.[0-9]{3}", re.DOTALL)
_PURPOSE = {"train": "train on", "validation": "hold out"}


def split(
    clips: Sequence[Clip],
    frames: Sequence[int],
    sample_rate: int,
    share: float = 0.1,
    seed: int = 0,
) -> tuple[list[Clip], list[Clip]]:
    """Part clips into those to train on and those held out.

    Every singer of two or more clips has at least one of them held out. A singer's only clip is
    parted into contiguous segments with a gap between them, so that no held-out sample is near one
    that was trained on. A split that the corpus states is kept, unless it leaves one side empty.
    Which clips are held out depends on their ids and the seed, not on their order.

    Args:
        clips: of a corpus.
        frames: length of each.
        sample_rate: Hz of those lengths.
        share: of every singer's clips to hold out.
        seed: of the choice.

    Returns:
        train and validation clips; segments have `start`, `stop` and ids with the segment's second.
    """
    if len({clip.split for clip in clips}) == 1:
        clips = [dataclasses.replace(clip, split="") for clip in clips]
    singers: dict[str, list[int]] = defaultdict(list)
    for index, clip in enumerate(clips):
        singers[clip.singer].append(index)
    chosen: dict[int, str] = {}
    for indices in singers.values():
        free = [index for index in indices if not clips[index].split]
        if len(indices) == 1 and free:
            continue
        fixed = sum(clips[index].split == "validation" for index in indices)
        count = max(1, round(share * len(indices))) - fixed
        count = min(count, len(indices) - fixed - 1)
        free.sort(key=lambda index: _draw(seed, clips[index].id))
        chosen |= dict.fromkeys(free[: max(0, count)], "validation")
        chosen |= dict.fromkeys(free[max(0, count) :], "train")
    train, validation = [], []
    for index, clip in enumerate(clips):
        fate = clip.split or chosen.get(index)
        if fate is None:
            kept, held = _segments(clip, frames[index], sample_rate, share, seed)
            train += kept
            validation += held
        else:
            (train if fate == "train" else validation).append(clip)
    return train, validation


def _draw(seed: int, id: str) -> bytes:
    return hashlib.blake2b(f"{seed}/{id}".encode("utf-8", "surrogateescape")).digest()


def _segments(
    clip: Clip, frames: int, sample_rate: int, share: float, seed: int
) -> tuple[list[Clip], list[Clip]]:
    """Hold out one stretch of every minute, at a place drawn by the seed; a second's gap around."""
    parts = max(1, round(frames / (60 * sample_rate)))
    bounds = [frames * part // parts for part in range(parts + 1)]
    kept, held, start = [], [], 0
    for part in range(parts):
        span = bounds[part + 1] - bounds[part]
        size, gap = max(1, int(span * share)), min(sample_rate, span // 20)
        draw = int.from_bytes(_draw(seed, f"{clip.id}/{part}")[:4], "big")
        first = bounds[part] + ((draw * (span - size + 1)) >> 32)
        kept.append((start, first - gap))
        held.append((first, first + size))
        start = first + size + gap
    kept.append((start, frames))
    shortest = max(1, min(sample_rate // 2, frames // 20))

    def name(span: tuple[int, int]) -> Clip:
        begin, end = span
        id = f"{clip.id}@{begin / sample_rate:.3f}"
        return dataclasses.replace(clip, id=id, start=begin, stop=end)

    return [name(span) for span in kept if span[1] - span[0] >= shortest], [*map(name, held)]


def told(info: dict[str, Any]) -> str:
    """Who is held out in stretches of the only recording there is, as a line; "" for nobody.

    Args:
        info: what `dataset_info.json` holds.
    """
    bases: dict[int, set[str]] = defaultdict(set)
    for part in SPLITS:
        for entry in entries(info, part):
            match = _STRETCH.fullmatch(entry.id)
            bases[entry.singer].add(match[1] if match else f"{part}/{entry.id}")
    alone = [name for name, place in info["singers"].items() if len(bases[place]) == 1]
    if not alone:
        return ""
    return (
        f"A single recording of {_names(alone)}: stretches of it are held out, a second or less "
        "from what is trained on. Others that can be held out whole would tell more."
    )


def require_everybody(info: dict[str, Any], source: str, least: int) -> None:
    """Refuse a dataset in which somebody is not to be trained on, or not held out.

    Args:
        info: what `dataset_info.json` holds.
        source: what the dataset was made from, to be named.
        least: samples below which a clip is not used.

    Raises:
        DataError: as it says; all whom it concerns are named.
    """
    for part in SPLITS:
        heard = {entry.singer for entry in entries(info, part) if entry.frames >= least}
        missing = [name for name, place in info["singers"].items() if place not in heard]
        if missing:
            raise DataError(
                f"{source}: Expected at least {least} samples of every speaker to "
                f"{_PURPOSE[part]}. Received: none of {_names(missing)}; add longer recordings of "
                "them, or leave them out."
            )


def _names(names: list[str], most: int = 5) -> str:
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown
