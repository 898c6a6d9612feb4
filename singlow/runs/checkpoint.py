"""Checkpoints: folders with weights, state and manifest, which are written atomically."""

import contextlib
import errno
import json
import math
import re
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from singlow.errors import DataError, EnvironmentFault, UsageError
from singlow.files import remove, sha256, sync_folder, write_text
from singlow.runs.tensors import size_of, write_tensors

FILES = ("model.safetensors", "state.safetensors")
_EPOCH = re.compile(r"epoch-(\d{4,})")
_LARGEST_MANIFEST = 1 << 22


@dataclass(frozen=True)
class Checkpoint:
    """A folder `epoch-0007` with the weights, the state, and a manifest of their hashes.

    Attributes:
        path: path of the folder.
        epoch: number of completed epochs.
    """

    path: Path
    epoch: int

    @property
    def model(self) -> Path:
        """The file of the averaged weights, which evaluation and all commands use."""
        return self.path / FILES[0]

    @property
    def state(self) -> Path:
        """The file of the weights, optimizer and random state that training continues from."""
        return self.path / FILES[1]

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """The manifest with the SHA-256 of each file; empty if it cannot be read."""
        path = self.path / "manifest.json"
        try:
            if path.stat().st_size > _LARGEST_MANIFEST:
                return {}
            manifest = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError, RecursionError):
            return {}
        return manifest if isinstance(manifest, dict) else {}

    @property
    def held_out(self) -> float:
        """The held-out loss that ranks the epochs; infinite if there is none."""
        # Earlier versions wrote `held_out_bits`.
        return _loss(self.manifest.get("held_out", self.manifest.get("held_out_bits")))

    @property
    def history(self) -> list[float]:
        """The held-out loss of every epoch up to this one; infinite where there is none."""
        history = self.manifest.get("history")
        return [_loss(value) for value in history] if isinstance(history, list) else []

    def fault(self) -> str | None:
        """Return a description of the damage, or `None` if every file has its hash."""
        hashes = self.manifest.get("sha256")
        if not isinstance(hashes, dict):
            return "manifest.json is missing or unreadable"
        for name in FILES:
            try:
                if sha256(self.path / name) != hashes.get(name):
                    return f"{name} is not what was written"
            except OSError as error:
                return f"{name}: {error.strerror}"
        return None


def _loss(value: Any) -> float:
    """Return a finite number of a manifest as a float, and infinity for any other value."""
    try:
        loss = float(value) if isinstance(value, int | float) else math.inf
    except OverflowError:
        return math.inf
    return loss if math.isfinite(loss) else math.inf


def checkpoints_in(directory: Path) -> list[Checkpoint]:
    """Return all checkpoints in a folder, oldest first and unchecked; none if it is missing."""
    if not directory.is_dir():
        return []
    matches = [(path, _EPOCH.fullmatch(path.name)) for path in directory.iterdir()]
    numbered = sorted((int(match[1]), path) for path, match in matches if match and path.is_dir())
    return [Checkpoint(path, epoch) for epoch, path in numbered]


def choose(known: Sequence[Checkpoint], which: str, name: str) -> Checkpoint:
    """Return the intact checkpoint with the lowest held-out loss, or the checkpoint of an epoch.

    Args:
        known: the checkpoints of a run.
        which: `"best"`, or the number of an epoch.
        name: name of the run, for the message.

    Raises:
        UsageError: there is no such checkpoint.
        DataError: the checkpoint is damaged.
    """
    if which == "best":
        chosen = next((c for c in _ranked(known) if c.fault() is None), None)
    else:
        chosen = next((c for c in known if str(c.epoch) == which), None)
    if chosen is None:
        listed = ", ".join(str(c.epoch) for c in known) or "none"
        raise UsageError(f"Expected an epoch of run {name} in {listed}. Received: {which}.")
    if (fault := chosen.fault()) is not None:
        raise DataError(f"{chosen.path} is damaged ({fault}).")
    return chosen


def _ranked(known: Iterable[Checkpoint]) -> list[Checkpoint]:
    """Return checkpoints in order of their held-out loss; of equal losses, the latest is first."""
    return sorted(known, key=lambda c: (c.held_out, -c.epoch))


@contextlib.contextmanager
def full_disk_named(path: Path) -> Iterator[None]:
    """Raise an error that names the last saved checkpoint if the disk is full in the block.

    Args:
        path: path of the checkpoint that is written, `.../epoch-0007`.

    Raises:
        EnvironmentFault: the disk is full.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        kept = checkpoints_in(path.parent)
        safe = f"{kept[-1].path.name} is whole" if kept else "nothing was saved before it"
        raise EnvironmentFault(
            f"{path}: the checkpoint does not fit on the disk ({error.strerror}); {safe}. "
            "Free some space and run the same command again to continue."
        ) from error


def write_checkpoint(
    path: Path, files: Mapping[str, Mapping[str, Any]], facts: Mapping[str, Any]
) -> Checkpoint:
    """Write a checkpoint to a temporary folder, synchronise it with the disk, then rename it.

    If anything fails, the temporary folder is removed.

    Args:
        path: path of the checkpoint, `.../epoch-0007`; a damaged one is replaced.
        files: tensors by file name.
        facts: entries of the manifest besides the hashes.

    Raises:
        OSError: the checkpoint cannot be written; nothing else has changed.
    """
    folder = path.parent / f".tmp-{path.name}"
    shutil.rmtree(folder, ignore_errors=True)
    need = sum(size_of(tensors) for tensors in files.values())
    if shutil.disk_usage(path.parent).free < need:
        raise OSError(errno.ENOSPC, f"{need / 1e6:.1f} MB are needed", str(path))
    try:
        folder.mkdir()
        hashes = {name: write_tensors(folder / name, files[name]) for name in files}
        manifest = {**facts, "written": time.time(), "sha256": hashes}
        write_text(folder / "manifest.json", json.dumps(manifest, indent=2) + "\n")
        sync_folder(folder)
        if path.exists():
            remove(path)
        folder.rename(path)
        sync_folder(path.parent)
    except Exception:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return Checkpoint(path, int(path.name.rpartition("-")[2]))


def prune(known: Iterable[Checkpoint], written: int) -> None:
    """Remove all checkpoints except the last two up to an epoch, and the best intact one of these.

    Args:
        known: all checkpoints of a run, oldest first.
        written: epoch of the checkpoint that was just written. Later checkpoints are removed,
            because training continued from an earlier one.
    """
    known = list(known)
    for checkpoint in (c for c in known if c.epoch > written):
        remove(checkpoint.path)
    kept = [c for c in known if c.epoch <= written]
    best = next((c for c in _ranked(kept) if c.epoch == written or c.fault() is None), None)
    for checkpoint in kept[:-2]:
        if checkpoint is not best:
            remove(checkpoint.path)
