"""Texts in files beside recordings: `NAME.txt` or `NAME.lab`, or LibriSpeech's `*.trans.txt`."""

import dataclasses
import os
import re
from collections.abc import Sequence
from pathlib import Path

from singlow.data.sources.clips import Clip
from singlow.names import normal, shown
from singlow.progress import Report

SUFFIXES = (".txt", ".lab")
LARGEST = 64 << 10
_TABLE = ".trans.txt"
_LARGEST_TABLE = 16 << 20
_TIMED = re.compile(r"\d+(?:\.\d+)?\s+\d+(?:\.\d+)?(?:\s.*)?")  # a label file's start and stop


def read_transcripts(root: Path, clips: Sequence[Clip], report: Report) -> list[Clip]:
    """Return the clips with the texts in files beside their recordings.

    A clip that has a text keeps it. A file that cannot be used as a text is reported and left out:
    one that is not UTF-8, is too large, is empty, or holds times of labels.

    Args:
        root: folder of the recordings, for messages.
        clips: the clips.
        report: receives a line with the number of texts if there are any, and a line about files
            that cannot be used.
    """
    result, faults = [], []
    folders: dict[Path, _Folder] = {}
    found = 0
    for clip in clips:
        if not clip.text:
            folder = folders.get(clip.path.parent)
            if folder is None:
                folder = folders[clip.path.parent] = _Folder(clip.path.parent, faults)
            text = folder.text(clip.path, faults)
            found += bool(text)
            clip = dataclasses.replace(clip, text=text)
        result.append(clip)
    if found:
        report(f"{root}: {found} of {len(clips)} recording(s) have a text beside them.")
    if faults:
        more = f", and {len(faults) - 1} more" if len(faults) > 1 else ""
        report(f"Not used as a text: {faults[0]}{more}.")
    return result


class _Folder:
    """The texts in a folder.

    Args:
        path: the folder.
        faults: receives a line for each table that cannot be used.
    """

    def __init__(self, path: Path, faults: list[str]) -> None:
        self._names: dict[str, str] = {}
        self._texts: dict[str, str] = {}
        try:
            names = sorted(entry.name for entry in os.scandir(path) if entry.is_file())
        except OSError:
            names = []
        for name in names:
            self._names.setdefault(_key(name), name)
            if name.endswith(_TABLE):
                self._read_table(path / name, faults)

    def _read_table(self, path: Path, faults: list[str]) -> None:
        """Read the lines `ID TEXT` of a chapter."""
        text, fault = _read(path, _LARGEST_TABLE)
        if fault:
            faults.append(f"{shown(os.fspath(path))}: {fault}")
        for line in text.splitlines():
            id, _, spoken = line.partition(" ")
            self._texts.setdefault(normal(id), spoken.strip())

    def text(self, path: Path, faults: list[str]) -> str:
        """Return the text of a recording, "" if there is none."""
        for suffix in SUFFIXES:
            name = self._names.get(_key(path.stem + suffix))
            if name is None:
                continue
            file = path.with_name(name)
            text, fault = _read(file, LARGEST)
            lines = text.split("\n")
            if not fault and all(_TIMED.fullmatch(line.strip()) for line in lines if line.strip()):
                fault = "holds times of labels" if text else "is empty"
            if not fault:
                return text
            faults.append(f"{shown(os.fspath(file))}: {fault}")
        return self._texts.get(normal(path.stem), "")


def _key(name: str) -> str:
    stem, dot, suffix = name.rpartition(".")
    return normal(f"{stem}{dot}{suffix.lower()}")


def _read(path: Path, largest: int) -> tuple[str, str]:
    """Return the text of a file and what is wrong with it, of which one is ""."""
    try:
        with open(path, "rb") as file:
            data = file.read(largest + 1)
        if len(data) > largest:
            return "", f"is larger than {largest >> 10} kB"
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return "", f"is not UTF-8 (byte {error.start})"
    except OSError as error:
        return "", f"cannot be read: {error.strerror}"
    if "\0" in text:
        return "", "is not text"
    return text.strip(), ""
