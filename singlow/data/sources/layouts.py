"""Find the recordings in folders, and the singer of each."""

import dataclasses
import os
import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from singlow.data.sources.clips import (
    Clip,
    differing_parents,
    with_normal_names,
    with_unique_ids,
)
from singlow.data.sources.tables import has_bars, read_ljspeech, read_manifest
from singlow.data.sources.transcripts import read_transcripts
from singlow.data.store.dataset import INFO
from singlow.errors import DataError, UsageError
from singlow.names import find_path, normal, shown
from singlow.progress import Report

LAYOUTS = ("auto", "folders", "blow", "fsdd", "ljspeech", "manifest")
BUILTIN = "builtin"
BUILTINS = (BUILTIN, "spoken", "spoken-styles", "spoken-english")
"""Names of the corpora that singlow makes itself, which need no folder."""
PICTURES = ("digits", "mnist", "cifar10", "cifar100")
"""Names of datasets of pictures."""
NAMED = (*BUILTINS, *PICTURES)


def _suffixes(names: str) -> frozenset[str]:
    return frozenset(f".{name}" for name in names.split())


_DECODED = (
    "wav wave rf64 w64 flac ogg oga opus mp3 mp2 mpa aif aiff aifc caf au snd voc sph nist paf pvf "
    "svx 8svx avr sds"
)
FOREIGN = _suffixes(
    "m4a m4b m4p aac wma mp4 webm weba mka mkv mov 3gp 3g2 ac3 eac3 dts ape wv mpc tta tak amr awb "
    "ra rm ram dsf dff aa aax qcp gsm vox spx asf m4v avi"
)
"""Suffixes of audio files that libsndfile cannot decode, and that ffmpeg can convert."""
SUFFIXES = _suffixes(_DECODED) | FOREIGN
"""Suffixes of all files that are treated as recordings."""

_FOREIGN_CONTENT = (
    rb"\x1aE\xdf\xa3|....ftyp(M4|mp4|mp7|isom|iso|dash|3g|qt)|#!AMR|wvpk|MAC |MPCK|MP\+|TTA1|tBaK"
    rb"|0&\xb2u\x8ef\xcf\x11|\x0bw|DSD |FRM8|RIFF....AVI "
)
_DECODED_CONTENT = (
    rb"RI(FF|FX)....WAVE|RF64....WAVE|riff\x2e\x91\xcf\x11|FORM....AIF[FC]|fLaC|OggS|ID3|caff"
    rb"|\.snd|NIST_1A|Creative Voice File"
)
_FOREIGN = re.compile(_FOREIGN_CONTENT, re.DOTALL)
_AUDIO = re.compile(_FOREIGN_CONTENT + b"|" + _DECODED_CONTENT, re.DOTALL)
_CONTAINER = re.compile(
    r"wavs?\d*|waves?|flacs?|mp3s?|ogg|opus|aiff?|audios?|clips|recordings|samples|sounds|takes"
    r"|utterances|data|songs",
    re.IGNORECASE,
)
_FSDD = re.compile(r"(\d)_([^\W\d_]+)_(\d+)")
_BLOW = re.compile(r"([^_]+)_(.+)")
_PATTERNS = {"fsdd": "<digit>_<speaker>_<take>", "blow": "<speaker>_<utterance>"}


@dataclasses.dataclass
class _Source:
    """The clips of one source.

    Attributes:
        clips: the clips, in a fixed order.
        layout: the layout that was chosen.
        prefix: first part of the clips' ids if there are several sources.
        homes: maps the name of a singer to the folder or file that the singer is named after. It
            has no entry for a singer that is named by a label, a table or a pattern of file names,
            or after one of several folders in the source.
    """

    clips: list[Clip]
    layout: str
    prefix: str
    homes: dict[str, Path] = dataclasses.field(default_factory=dict)


def find_clips(
    sources: Sequence[str | os.PathLike], layout: str = "auto", report: Report = lambda _: None
) -> tuple[list[Clip], str]:
    """Find the recordings under `sources`.

    Args:
        sources: folders or files. In `LABEL=SRC`, the label is the singer's name if the folder has
            no subfolders, and the style of every recording that has none.
        layout: one of `LAYOUTS`. "auto" chooses the first layout that fits: a manifest
            (`manifest.csv` with a column `path`), LJSpeech (`metadata.csv` with lines `id|text`,
            beside `wavs`), one folder per singer, a labelled folder, FSDD
            (`<digit>_<speaker>_<take>`), Blow (`<speaker>_<utterance>`), one flat folder.
        report: is called with one line for each guess that may be wrong, with a line if there are
            files that a table does not list, and with lines about texts beside recordings.

    Returns:
        The clips in a fixed order, each with a unique id, and the name of the layout that was
        chosen. In the layouts "folders" and "blow", `NAME.txt` or `NAME.lab` beside a recording is
        its text, and so is its line in a file `*.trans.txt`. If a table lists a file that is
        missing, the file has a clip all the same.

    Raises:
        UsageError: a source does not exist, or `layout` is unknown.
        DataError: a source holds no audio, or its files do not fit the layout.
    """
    if layout not in LAYOUTS:
        raise UsageError(
            f"Expected the layout to be one of {', '.join(LAYOUTS)}. Received: {layout!r}."
        )
    if not sources:
        raise UsageError("Expected at least one folder of audio. Received: none.")
    pairs = [part_source(os.fspath(source)) for source in sources]
    results = [_find(label, root, layout, report) for label, root in pairs]
    _distinguish(results, report)
    clips = []
    for source in results:
        for clip in source.clips:
            id = f"{source.prefix}/{clip.id}" if len(results) > 1 else clip.id
            clips.append(with_normal_names(dataclasses.replace(clip, id=id)))
    layouts = dict.fromkeys(source.layout for source in results)
    return with_unique_ids(clips), ", ".join(layouts)


def sources_of(dataset: str | os.PathLike | Sequence[str | os.PathLike]) -> list[str]:
    """Return the sources of a dataset as a list, whether it is one source or several."""
    single = isinstance(dataset, str | os.PathLike)
    return [os.fspath(dataset)] if single else [os.fspath(source) for source in dataset]


def part_source(source: str) -> tuple[str, Path]:
    """Split `LABEL=SRC` into the label, "" if there is none, and the absolute path of the source.

    `~` is expanded.

    Raises:
        UsageError: there is no such file or folder.
    """
    label, sign, rest = source.partition("=")
    if not sign or os.path.exists(find_path(source)):
        label, rest = "", source
    path = find_path(rest)
    if not rest or not os.path.exists(path):
        raise UsageError(
            "Expected a folder of audio or an audio file. Received: "
            f"{shown(rest) or 'an empty name'}, which does not exist."
        )
    return label, Path(os.path.abspath(path))


def require_sources(dataset: str | os.PathLike | Sequence[str | os.PathLike]) -> None:
    """Check that all sources of a dataset exist, before the dataset is prepared.

    Args:
        dataset: a name in `NAMED`, one source or several.

    Raises:
        UsageError: a file or folder is missing.
    """
    for source in sources_of(dataset):
        if source not in NAMED:
            part_source(source)


def _find(label: str, root: Path, layout: str, report: Report) -> _Source:
    if root.is_file():
        clip = Clip(root, label or root.stem, label, id=root.stem)
        (clip,) = read_transcripts(root, [clip], report)
        homes = {} if label else {clip.singer: root}
        return _Source([clip], "file", label or root.stem, homes)
    paths = list(find_files(root, by_content=True, report=report))
    chosen = _detect(root, paths, label) if layout == "auto" else layout
    if chosen == "manifest":
        clips = read_manifest(root)
    elif chosen == "ljspeech":
        clips = read_ljspeech(root, paths, label, report)
    elif chosen in _PATTERNS:
        clips = _read_names(root, paths, chosen)
        if chosen == "blow":
            clips = read_transcripts(root, clips, report)
        if layout == "auto":
            report(_guess(root, clips, chosen))
    else:
        base = _base(root, paths)
        clips = [_in_folder(root, base, path, label) for path in paths]
        clips = read_transcripts(root, clips, report)
    if not clips and (root / INFO).is_file():
        raise DataError(f"{root}: Expected recordings. Received: records, which can be trained on.")
    if not clips:
        raise DataError(
            f"{root}: holds no audio file (wav, flac, ogg, opus, mp3, aiff, caf, au, ...). Give "
            "another folder."
        )
    styled = [dataclasses.replace(clip, style=clip.style or label) for clip in clips]
    return _Source(styled, chosen, label or root.name, _homes(root, styled, chosen, label))


def find_files(
    folder: Path,
    suffixes: Collection[str] = SUFFIXES,
    by_content: bool = False,
    report: Report = lambda _: None,
) -> Iterator[Path]:
    """Yield the files below a folder with one of these suffixes, by default those of recordings.

    Links to folders are followed, each folder is visited once, and hidden files and folders are
    left out. The order is always the same.

    Args:
        folder: where to look.
        suffixes: in lower case, with the dot.
        by_content: whether to yield also files with other suffixes whose first bytes are those of
            an audio format.
        report: is called with one line for every folder that cannot be read.
    """

    def leave_out(error: OSError) -> None:
        report(f"Left out: {error.filename}: cannot be read: {error.strerror}.")

    seen = set()
    for inner, names, files in os.walk(folder, onerror=leave_out, followlinks=True):
        real = os.path.realpath(inner)
        if real in seen:
            names.clear()
            continue
        seen.add(real)
        names[:] = sorted(name for name in names if not name.startswith("."))
        for name in sorted(files):
            if name.startswith("."):
                continue
            path = Path(inner, name)
            if path.suffix.lower() in suffixes or (by_content and _begins_as(path, _AUDIO)):
                yield path


def needs_conversion(path: Path) -> bool:
    """Return whether a file is audio that ffmpeg has to convert, by its suffix or first bytes."""
    return path.suffix.lower() in FOREIGN or _begins_as(path, _FOREIGN)


def _begins_as(path: Path, content: re.Pattern[bytes]) -> bool:
    try:
        if not path.is_file():
            return False
        with open(path, "rb") as file:
            return bool(content.match(file.read(32)))
    except OSError:
        return False


def _detect(root: Path, paths: list[Path], label: str) -> str:
    if (root / "manifest.csv").is_file():
        return "manifest"
    if has_bars(root / "metadata.csv"):
        return "ljspeech"
    base = _base(root, paths)
    if label or any(path.parent != base for path in paths):
        return "folders"
    stems = [path.stem for path in paths]
    if stems and all(_FSDD.fullmatch(stem) for stem in stems):
        return "fsdd"
    speakers = [match[1] for stem in stems if (match := _BLOW.fullmatch(stem))]
    repeated = len(set(speakers)) > 1 and 2 * len(set(speakers)) <= len(speakers)
    return "blow" if repeated and len(speakers) == len(stems) else "folders"


def _base(root: Path, paths: list[Path]) -> Path:
    """Return the folder that holds the singers' folders.

    That is `root`, or a folder in it that has a name such as `wavs` and holds all recordings.
    """
    base = root
    while True:
        inner = {path.relative_to(base).parts[0] for path in paths}
        name = inner.pop() if len(inner) == 1 else ""
        if not _CONTAINER.fullmatch(name) or not (base / name).is_dir():
            return base
        base = base / name


def _in_folder(root: Path, base: Path, path: Path, label: str) -> Clip:
    inside = path.relative_to(base)
    singer = inside.parts[0] if len(inside.parts) > 1 else label or root.name
    return Clip(path, singer, id=path.relative_to(root).with_suffix("").as_posix())


def _read_names(root: Path, paths: list[Path], layout: str) -> list[Clip]:
    pattern, group = (_FSDD, 2) if layout == "fsdd" else (_BLOW, 1)
    clips = []
    for path in paths:
        match = pattern.fullmatch(path.stem)
        if match is None:
            raise DataError(
                f"{path}: Expected a name of the form {_PATTERNS[layout]} for the layout {layout}. "
                "Give another --layout."
            )
        clip = Clip(path, match[group], id=path.relative_to(root).with_suffix("").as_posix())
        if layout == "fsdd":
            split = "validation" if int(match[3]) < 5 else "train"
            clip = dataclasses.replace(clip, text=match[1], split=split)
        clips.append(clip)
    return clips


def _guess(root: Path, clips: list[Clip], layout: str) -> str:
    names = sorted({clip.singer for clip in clips})
    listed = ", ".join(map(shown, names[:5])) + (", ..." if len(names) > 5 else "")
    return (
        f"{root}: the singers are guessed from file names of the form "
        f"{_PATTERNS[layout]}: {listed}. "
        "If this is one singer, give --layout folders, or NAME=DIR to name the singer."
    )


def _homes(root: Path, clips: list[Clip], layout: str, label: str) -> dict[str, Path]:
    """Return the folders that singers are named after, by singer; see `_Source.homes`."""
    names = {clip.singer for clip in clips}
    if layout in _PATTERNS:
        return {}
    if root.name in names and not label:
        return {root.name: root}
    base = _base(root, [clip.path for clip in clips]) if layout == "folders" else root
    (name,) = names if len(names) == 1 else ("",)
    return {name: base / name} if layout == "folders" and name and (base / name).is_dir() else {}


def _distinguish(sources: list[_Source], report: Report) -> None:
    """Rename singers with the same name in several sources, after parent folders that differ."""
    clashing: dict[str, list[tuple[_Source, str, Path]]] = defaultdict(list)
    for source in sources:
        for name, home in source.homes.items():
            clashing[normal(name)].append((source, name, home))
    renamed = {}
    for group in clashing.values():
        homes = list({os.path.realpath(home): home for *_, home in group}.values())
        if len(homes) < 2:
            continue
        parents = differing_parents(homes)
        names = {os.path.realpath(h): name for h, name in zip(homes, parents, strict=True)}
        for source, name, home in group:
            new = names[os.path.realpath(home)]
            renamed[new] = home
            source.prefix = new if source.prefix == name else source.prefix
            source.clips = [
                dataclasses.replace(clip, singer=new) if clip.singer == name else clip
                for clip in source.clips
            ]
    if renamed:
        listed = ", ".join(f"{shown(name)} of {home}" for name, home in list(renamed.items())[:5])
        report(
            f"{len(renamed)} sources have the same name, so their singers are named after parent "
            f"folders that differ: {listed}. Give NAME=DIR to name a singer."
        )
