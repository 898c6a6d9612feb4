"""Build a dataset from pictures: decode and resize them, hold some out, and write shards."""

import dataclasses
import hashlib
import os
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from singlow.data.prepare.assemble import summary, write_dataset
from singlow.data.prepare.folder import (
    STAGING,
    cache_folder,
    fingerprint,
    hash_of,
    own_folder,
    own_shards,
    printable,
    remove_empty,
    reusable,
)
from singlow.data.sources.clips import Clip
from singlow.data.sources.layouts import PICTURES, sources_of
from singlow.data.sources.pictures import find_pictures, load_named
from singlow.data.sources.splits import describe_copies
from singlow.data.store.dataset import CACHE, INFO, MOST_PIXELS, read_info
from singlow.errors import DataError, UsageError
from singlow.names import shown
from singlow.pictures import decode_picture, quiet_about_sizes, squared
from singlow.progress import Report, progress

_EDITION = 1
_LISTED = 20


def prepare_pictures(
    sources: str | os.PathLike | Sequence[str | os.PathLike] = "digits",
    out: str | os.PathLike | None = None,
    *,
    data_dir: str | os.PathLike | None = None,
    img_size: int = 32,
    channels: int = 3,
    seed: int = 0,
    validation_share: float = 0.1,
    report: Report = print,
) -> Path:
    """Return a folder of records of pictures, and build it first if it is missing or outdated.

    The central square of every picture is resized to `img_size`. The bytes of a dataset depend only
    on the files and the settings.

    Args:
        sources: the name of a dataset in `singlow.data.sources.layouts.PICTURES`, a folder with
            `dataset_info.json`, or folders of pictures, with one folder for each class.
        out: the folder of the records. By default it is `<folder>/.singlow/<fingerprint>` beside
            the first source, or in "data" for a dataset with a name.
        data_dir: folder in which `<fingerprint>` is created instead.
        img_size: height and width of the records, in pixels.
        channels: 1 for grey, 3 for red, green and blue.
        seed: random seed for choosing the held-out pictures.
        validation_share: fraction of every class's pictures to hold out.
        report: receives one line at a time for the user.

    Returns:
        A folder with `dataset_info.json`.

    Raises:
        DataError: no picture can be used, or existing records have another size.
        UsageError: a source does not exist, or an argument cannot be used.
        EnvironmentFault: the folder cannot be written, another process builds in it, or a dataset
            cannot be downloaded.
    """
    sources = sources_of(sources)
    settings = _settings(img_size, channels, seed, validation_share)
    named = [source for source in sources if source in PICTURES]
    ready = [
        source
        for source in sources
        if source not in PICTURES and (Path(source).expanduser() / INFO).is_file()
    ]
    if len(sources) > 1 and (ready or named):
        raise UsageError(
            "Expected folders of pictures as several sources. "
            f"Received: {(ready or named)[0]}, which can only be used alone."
        )
    if ready:
        if out is not None:
            raise UsageError(
                f"Expected pictures for {out}. Received: {ready[0]}, which holds records. Use that "
                "folder as it is."
            )
        _check_fit(Path(ready[0]).expanduser(), img_size, channels)
        return Path(ready[0]).expanduser()
    report = printable(report)
    folder = None if data_dir is None else Path(data_dir).expanduser()
    if named:
        mark = hash_of({"pictures": _EDITION, "name": named[0], **settings})
        place = Path(out).expanduser() if out else (folder or Path("data")) / f"{named[0]}-{mark}"
        _build_named(named[0], place, mark, settings, report)
        return place
    clips, layout = find_pictures(sources, report)
    mark = fingerprint(clips, settings, layout)
    cache = folder or cache_folder(sources[0])
    place = Path(out).expanduser() if out else cache / mark
    try:
        _build(clips, place, mark, settings, sources, report)
    finally:
        if cache.name == CACHE:
            remove_empty([cache])
    return place


def _settings(img_size: int, channels: int, seed: int, share: float) -> dict[str, Any]:
    """Check the settings of a build, and return them under their names in the description.

    Raises:
        UsageError: a setting is out of its range.
    """
    for name, value, low, high in (
        ("img_size", img_size, 1, MOST_PIXELS),
        ("seed", seed, 0, 2**63 - 1),
        ("validation_share", share, 0.001, 0.9),
    ):
        if not low <= value <= high:
            raise UsageError(f"Expected {name} from {low} to {high}. Received: {value}.")
    if channels not in (1, 3):
        raise UsageError(f"Expected channel_size 1 or 3 for pictures. Received: {channels}.")
    return {
        "img_size": img_size,
        "channel_size": channels,
        "seed": seed,
        "validation_share": share,
    }


def _build_named(name: str, out: Path, mark: str, settings: dict[str, Any], report: Report) -> None:
    with own_folder(out):
        if reusable(out, mark, report) is not None:
            return
        own_shards(out)
        source = load_named(name)
        from PIL import Image

        def fit(index: int) -> np.ndarray:
            pixels, size = source.pixels[index], settings["img_size"]
            border = max(0, size - len(pixels)) if source.padded else 0
            if border:
                before, after = border // 2, border - border // 2
                pixels = np.pad(pixels, ((before, after), (before, after), (0, 0)))
            mode = "L" if settings["channel_size"] == 1 else "RGB"
            picture = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
            return squared(picture.convert(mode), size)

        numbers = {clip.id: index for index, clip in enumerate(source.clips)}
        about = {"layout": name, "sources": [], "fingerprint": mark, "rejected": []}
        _write(out, source.clips, lambda clip: fit(numbers[clip.id]), settings, about, report)


def _build(
    clips: Sequence[Clip],
    out: Path,
    mark: str,
    settings: dict[str, Any],
    sources: Sequence[str],
    report: Report,
) -> None:
    with own_folder(out):
        if reusable(out, mark, report) is not None:
            return
        own_shards(out)
        scratch = out / STAGING
        scratch.mkdir(exist_ok=True)
        size, channels = settings["img_size"], settings["channel_size"]
        shape = (len(clips), size, size, channels)
        # A file, because the pictures of a large folder do not fit in memory.
        pixels = np.lib.format.open_memmap(
            scratch / "pixels.npy", mode="w+", dtype=np.uint8, shape=shape
        )
        reasons: dict[int, str] = {}
        contents: dict[int, str] = {}

        def decode(index: int) -> None:
            try:
                pixels[index] = squared(decode_picture(clips[index].path, channels), size)
            except DataError as error:
                reasons[index] = str(error).removeprefix(f"{clips[index].path}: ")
                return
            contents[index] = hashlib.blake2b(pixels[index].tobytes(), digest_size=16).hexdigest()

        with (
            progress("Reading", len(clips)) as advance,
            quiet_about_sizes(),
            ThreadPoolExecutor() as pool,
        ):
            for _ in pool.map(decode, range(len(clips))):
                advance()
        kept = [index for index in range(len(clips)) if index not in reasons]
        rejected = [
            {"path": shown(clips[index].id + clips[index].path.suffix), "reason": reasons[index]}
            for index in sorted(reasons)
        ]
        for entry in rejected[:_LISTED]:
            report(f"Left out: {entry['path']}: {entry['reason']}")
        if len(rejected) > _LISTED:
            report(f"Left out: {len(rejected) - _LISTED} more; all are listed in {INFO}.")
        if not kept:
            shutil.rmtree(scratch, ignore_errors=True)
            raise DataError(
                f"None of {len(clips)} picture(s) can be used; the first, {rejected[0]['path']}: "
                f"{rejected[0]['reason']}"
            )
        numbers = {clips[index].id: index for index in kept}
        about = {
            "layout": "pictures",
            "sources": [Path(source).name for source in sources],
            "fingerprint": mark,
            "rejected": rejected,
        }
        used = [dataclasses.replace(clips[index], content=contents[index]) for index in kept]
        _write(out, used, lambda clip: pixels[numbers[clip.id]], settings, about, report)


def _write(
    out: Path,
    clips: Sequence[Clip],
    read: Any,
    settings: dict[str, Any],
    about: dict[str, Any],
    report: Report,
) -> None:
    scratch = out / STAGING
    scratch.mkdir(exist_ok=True)
    with progress("Writing", len(clips)) as advance:
        info = write_dataset(
            out,
            scratch,
            clips,
            [settings["img_size"] ** 2] * len(clips),
            read,
            settings,
            about,
            advance,
        )
    shutil.rmtree(scratch, ignore_errors=True)
    report(f"{out}: {summary(info)}.")
    if line := describe_copies(info):
        report(line)


def _check_fit(directory: Path, img_size: int, channels: int) -> None:
    info = read_info(directory)
    have = (*info.get("image", ("no picture",)), info["channels"])
    if have != (img_size, img_size, channels):
        raise DataError(
            f"{directory}: Expected pictures of {img_size} x {img_size} pixels and {channels} "
            f"channel(s). Received: {' x '.join(map(str, have[:-1]))} and {have[-1]}. Give "
            "--img_size and --channel_size as those of the records, or build them again."
        )
