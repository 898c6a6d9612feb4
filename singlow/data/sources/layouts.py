"""Folders of recordings: which files there are, and who sings what in them."""

import dataclasses
import os
import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from singlow.data.sources.clip import Clip
from singlow.data.sources.tables import has_bars, read_ljspeech, read_manifest
from singlow.errors import DataError, UsageError
from singlow.progress import Report

LAYOUTS = ("auto", "folders", "blow", "fsdd", "ljspeech", "manifest")
_NAMES = "wav wave rf64 w64 flac ogg oga opus mp3 aif aiff aifc m4a aac wma mp4"
SUFFIXES = frozenset(f".{name}" for name in _NAMES.split())
_FSDD = re.compile(r"(\d)_([^\W\d_]+)_(\d+)")
_BLOW = re.compile(r"([^_]+)_(.+)")


def find_clips(
    sources: Sequence[str | os.PathLike], layout: str = "auto", report: Report = lambda _: None
) -> tuple[list[Clip], str]:
    """Find the recordings under `sources`.

    Args:
        sources: folders or files; `LABEL=SRC` names the singer of a flat folder, and the style of
            everything in it.
        layout: one of `LAYOUTS`. "auto" takes the first that fits: a manifest (`manifest.csv` with
            a column `path`), LJSpeech (`metadata.csv` of `id|text` beside `wavs`), singer folders,
            FSDD (`<digit>_<speaker>_<take>`), Blow (`<speaker>_<utterance>`), one flat folder.
        report: receives a line about files that a table does not list.

    Returns:
        The clips in a fixed order, each with its own id, and the layout that was chosen. A file
        that a table lists is a clip whether it is there or not.

    Raises:
        UsageError: a source does not exist, or `layout` is unknown.
        DataError: a source holds no audio, or not in the layout given.
    """
    if layout not in LAYOUTS:
        raise UsageError(f"Expected a layout of {', '.join(LAYOUTS)}. Received: {layout!r}.")
    if not sources:
        raise UsageError("Expected at least one folder of audio. Received: none.")
    parted = [part_source(os.fspath(source)) for source in sources]
    clips, chosen = [], []
    for label, root in parted:
        found, name = _find(label, root, layout, report)
        if len(parted) > 1:
            prefix = label or root.name
            found = [dataclasses.replace(clip, id=f"{prefix}/{clip.id}") for clip in found]
        clips += found
        chosen.append(name)
    return _unique(clips), ", ".join(dict.fromkeys(chosen))


def sources_of(dataset: str | os.PathLike | Sequence[str]) -> list[str]:
    """What a dataset is made from: one source, or several in a list."""
    single = isinstance(dataset, str | os.PathLike)
    return [os.fspath(dataset)] if single else list(dataset)


def part_source(source: str) -> tuple[str, Path]:
    """The label ("" without one) and the absolute path of `LABEL=SRC`.

    Raises:
        UsageError: there is no such file or folder.
    """
    label, sign, rest = source.partition("=")
    if os.path.exists(source) or not sign:
        label, rest = "", source
    path = Path(rest)
    if not path.exists():
        raise UsageError(f"Expected a folder of audio or a file. Received: {rest}, not there.")
    return label, Path(os.path.abspath(path))


def _find(label: str, root: Path, layout: str, report: Report) -> tuple[list[Clip], str]:
    if root.is_file():
        return [Clip(root, label or root.stem, label, id=root.stem)], "file"
    paths = list(find_files(root))
    if layout == "auto":
        layout = _detect(root, paths)
    if layout == "manifest":
        clips = read_manifest(root)
    elif layout == "ljspeech":
        clips = read_ljspeech(root, paths, label, report)
    elif layout in ("fsdd", "blow"):
        clips = _read_names(root, paths, layout)
    else:
        clips = [_in_folder(root, path, label) for path in paths]
    if not clips:
        raise DataError(f"{root}: holds no audio file ({_NAMES}). Name another folder.")
    styled = [dataclasses.replace(clip, style=clip.style or label) for clip in clips]
    return styled, layout


def find_files(folder: Path, suffixes: Collection[str] = SUFFIXES) -> Iterator[Path]:
    """The files below a folder with one of these suffixes, those of recordings by default.

    Links to folders are followed, each folder is walked once, and what is hidden is left out. The
    order is always the same.
    """
    seen = set()
    for inner, names, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(inner)
        if real in seen:
            names.clear()
            continue
        seen.add(real)
        names[:] = sorted(name for name in names if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in suffixes:
                yield Path(inner, name)


def _detect(root: Path, paths: list[Path]) -> str:
    if (root / "manifest.csv").is_file():
        return "manifest"
    if has_bars(root / "metadata.csv"):
        return "ljspeech"
    if any(path.parent != root and path.parent.parent != root for path in paths):
        nested = {path.relative_to(root).parts[0] for path in paths}
    else:
        nested = {path.parent.name for path in paths if path.parent != root}
    if len(nested) > 1:
        return "folders"
    stems = [path.stem for path in paths]
    if stems and all(_FSDD.fullmatch(stem) for stem in stems):
        return "fsdd"
    speakers = [match[1] for stem in stems if (match := _BLOW.fullmatch(stem))]
    repeated = len(set(speakers)) > 1 and 2 * len(set(speakers)) <= len(speakers)
    return "blow" if repeated and len(speakers) == len(stems) else "folders"


def _in_folder(root: Path, path: Path, label: str) -> Clip:
    inside = path.relative_to(root)
    singer = inside.parts[0] if len(inside.parts) > 1 else label or root.name
    return Clip(path, singer, id=inside.with_suffix("").as_posix())


def _read_names(root: Path, paths: list[Path], layout: str) -> list[Clip]:
    pattern, group = (_FSDD, 2) if layout == "fsdd" else (_BLOW, 1)
    clips = []
    for path in paths:
        match = pattern.fullmatch(path.stem)
        if match is None:
            raise DataError(f"{path}: its name does not fit the layout {layout}; try another.")
        clip = Clip(path, match[group], id=path.relative_to(root).with_suffix("").as_posix())
        if layout == "fsdd":
            split = "validation" if int(match[3]) < 5 else "train"
            clip = dataclasses.replace(clip, text=match[1], split=split)
        clips.append(clip)
    return clips


def _unique(clips: list[Clip]) -> list[Clip]:
    """Ids that two files share get the file's suffix, then a number."""
    shared, seen, result = defaultdict(int), set(), []
    for clip in clips:
        shared[clip.id] += 1
    for clip in clips:
        name = clip.id + (clip.path.suffix if shared[clip.id] > 1 else "")
        number, id = 1, name
        while id in seen:
            number += 1
            id = f"{name}#{number}"
        seen.add(id)
        result.append(dataclasses.replace(clip, id=id))
    return result
