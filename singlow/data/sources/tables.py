"""Tables that label recordings: `manifest.csv`, or the `metadata.csv` of LJSpeech."""

import csv
import dataclasses
import io
import os
import shlex
from pathlib import Path

from singlow.data.sources.clips import Clip
from singlow.data.store.records import PREPARE
from singlow.errors import DataError
from singlow.names import find_path, normal, shown
from singlow.progress import Report

LARGEST = 256 << 20


def has_bars(table: Path) -> bool:
    """Return whether the first line of a file has a `|`, as in LJSpeech's table of `id|text`.

    Other programs use the name `metadata.csv` too, for instance for a list of titles and years.

    Raises:
        DataError: the file cannot be opened.
    """
    if not table.is_file():
        return False
    try:
        with open(table, "rb") as file:
            return b"|" in file.readline(1 << 16)
    except OSError as error:
        raise DataError(f"{table}: cannot be read: {error.strerror}.") from None


def read_ljspeech(root: Path, paths: list[Path], label: str, report: Report) -> list[Clip]:
    """Return the clips listed in `metadata.csv`, in lines of `id|text` or `id|text|spoken text`.

    The last tenth of the lines is held out, as in the published code of FloWaveNet.

    Args:
        root: folder of the table.
        paths: paths of the recordings in the folder. An id without a recording gets a path in
            `wavs`.
        label: name of the singer; with "", the singer is named after the folder.
        report: receives a line if the table does not list every recording.

    Raises:
        DataError: the table cannot be read, repeats an id, or has a line with other parts.
    """
    table = root / "metadata.csv"
    by_stem: dict[str, Path] = {}
    for path in sorted(paths, key=lambda path: (path.suffix.lower() != ".wav", path)):
        by_stem.setdefault(normal(path.stem), path)
    clips, lines = [], {}
    for number, line in enumerate(io.StringIO(_text(table), newline=None), 1):
        id, *texts = line.rstrip("\n").split("|")
        if not texts or "\0" in id:
            raise DataError(f"{table}: line {number} is not `id|text`. {_other_layout(root)}")
        if len(texts) > 2:
            raise DataError(
                f"{table}: line {number}: expected `id|text|spoken text`. Received: "
                f"{len(texts) + 1} parts. Remove | from the text of {shown(id)}."
            )
        first = lines.setdefault(normal(id), number)
        if first != number:
            raise DataError(
                f"{table}: line {number}: expected a new id. Received: {shown(id)}, which line "
                f"{first} has too. Remove one of the lines."
            )
        text = texts[1] if len(texts) > 1 and texts[1] else texts[0]
        path = by_stem.get(normal(id), root / "wavs" / f"{id}.wav")
        clips.append(Clip(path, label or root.name, text=text, id=id))
    unlisted = len(set(paths) - {clip.path for clip in clips})
    if unlisted:
        report(f"{table} does not list {unlisted} of {len(paths)} file(s); they are left out.")
    held_out = max(1, round(0.1 * len(clips)))
    return [
        dataclasses.replace(
            clip, split="validation" if number >= len(clips) - held_out else "train"
        )
        for number, clip in enumerate(clips)
    ]


def read_manifest(root: Path) -> list[Clip]:
    """Return the clips listed in `manifest.csv`.

    The column `path` is required and holds paths relative to the folder. The columns `singer`,
    `text`, `style` and `split` are optional.

    Raises:
        DataError: the table cannot be read.
    """
    table = root / "manifest.csv"
    rows = csv.DictReader(io.StringIO(_text(table), newline=""), strict=True)
    clips = []
    try:
        for row in rows:
            clips.append(_read_row(root, row))
    except (csv.Error, ValueError) as error:
        number = rows.reader.line_num
        raise DataError(f"{table}: line {number}: {error}. {_other_layout(root)}") from None
    return clips


def _read_row(root: Path, row: dict[str | None, str | list[str] | None]) -> Clip:
    """Return the clip that a line of the table describes.

    Raises:
        ValueError: the line describes no clip; the message is the reason."""
    row = {key: (value or "").strip() for key, value in row.items() if isinstance(value, str)}
    if not row.get("path"):
        raise ValueError("expected a value in a column named path. Received: none")
    path = Path(os.path.abspath(find_path(str(root / os.path.expanduser(row["path"])))))
    split = row.get("split", "")
    inside = Path(os.path.relpath(path, root))
    if "\0" in row["path"] or not inside.name:
        raise ValueError(f"expected the path of a file. Received: {row['path'][:80]!r}")
    if split not in ("", "train", "validation"):
        raise ValueError(f"expected split train or validation. Received: {split[:80]!r}")
    id, singer = inside.with_suffix("").as_posix(), row.get("singer") or root.name
    return Clip(path, singer, row.get("style", ""), row.get("text", ""), id, split)


def _text(table: Path) -> str:
    try:
        if not table.is_file():
            raise DataError(f"{table}: Expected a table in a file. Received: none.")
        if table.stat().st_size > LARGEST:
            raise DataError(f"{table}: Expected at most {LARGEST >> 20} MB. Received: more.")
        data = table.read_bytes()
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{table}: line {line}: expected UTF-8 text. Received: byte {error.start}, which is "
            "not. Save the table as UTF-8."
        ) from None
    except OSError as error:
        raise DataError(f"{table}: cannot be read: {error.strerror}.") from None


def _other_layout(root: Path) -> str:
    """Return advice for a table that does not describe recordings."""
    return (
        "Correct the table, or ignore it: "
        f"{PREPARE} {shlex.quote(str(root))} --out DIR --layout folders"
    )
