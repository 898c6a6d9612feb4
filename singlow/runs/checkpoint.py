"""One checkpoint: a folder that exists whole or not at all."""

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
    """A folder `epoch-0007` with the weights, the state and a manifest of their hashes."""

    path: Path
    epoch: int

    @property
    def model(self) -> Path:
        """The averaged weights: what is evaluated, and what every verb loads."""
        return self.path / FILES[0]

    @property
    def state(self) -> Path:
        """What training goes on from."""
        return self.path / FILES[1]

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """Facts about the checkpoint and the SHA-256 of its files; empty when unreadable."""
        path = self.path / "manifest.json"
        try:
            if path.stat().st_size > _LARGEST_MANIFEST:
                return {}
            manifest = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError, RecursionError):
            return {}
        return manifest if isinstance(manifest, dict) else {}

    @property
    def held_out_bits(self) -> float:
        """Held-out bits per sample when it was written; infinite when there are none."""
        return _bits(self.manifest.get("held_out_bits"))

    @property
    def history(self) -> list[float]:
        """Held-out bits per sample of every epoch so far."""
        history = self.manifest.get("history")
        if not isinstance(history, list):
            return []
        return [_bits(bits) for bits in history]

    def fault(self) -> str | None:
        """What is wrong with it, or `None` when every file is there and has its hash."""
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


def _bits(value: Any) -> float:
    """A number that a manifest holds; infinite when it is none, or too large for one."""
    try:
        bits = float(value) if isinstance(value, int | float) else math.inf
    except OverflowError:
        return math.inf
    return bits if math.isfinite(bits) else math.inf


def checkpoints_in(directory: Path) -> list[Checkpoint]:
    """All checkpoints of a folder, oldest first, not looked into; none when it is not there."""
    if not directory.is_dir():
        return []
    found = [(path, _EPOCH.fullmatch(path.name)) for path in directory.iterdir()]
    numbered = sorted((int(match[1]), path) for path, match in found if match and path.is_dir())
    return [Checkpoint(path, epoch) for epoch, path in numbered]


def choose(known: Sequence[Checkpoint], which: str, name: str) -> Checkpoint:
    """The whole checkpoint with the fewest held-out bits, or that of an epoch.

    Args:
        known: those of a run.
        which: `"best"` or an epoch's number.
        name: of the run.

    Raises:
        UsageError: there is none.
        DataError: the one asked for is damaged.
    """
    if which == "best":
        ranked = sorted(known, key=lambda c: (c.held_out_bits, -c.epoch))
        chosen = next((c for c in ranked if c.fault() is None), None)
    else:
        chosen = next((c for c in known if str(c.epoch) == which), None)
    if chosen is None:
        listed = ", ".join(str(c.epoch) for c in known) or "none"
        raise UsageError(f"Expected an epoch of run {name} in {listed}. Received: {which}.")
    if (fault := chosen.fault()) is not None:
        raise DataError(f"{chosen.path} is damaged ({fault}).")
    return chosen


@contextlib.contextmanager
def fitting(path: Path) -> Iterator[None]:
    """Write a checkpoint inside this; a full disk is told with what is whole.

    Args:
        path: `.../epoch-0007`.

    Raises:
        EnvironmentFault: it does not fit on the disk; the checkpoints before it are untouched.
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
            "Free some space and run the same command again to go on."
        ) from error


def write_checkpoint(
    path: Path, files: Mapping[str, Mapping[str, Any]], facts: Mapping[str, Any]
) -> Checkpoint:
    """Write a checkpoint's folder: a temporary one first, through to the disk, then renamed.

    Args:
        path: `.../epoch-0007`; a damaged one of that name is replaced.
        files: tensors by file name.
        facts: what the manifest says beside the hashes.

    Raises:
        OSError: it could not be written; what was there is as it was.
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
    except OSError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return Checkpoint(path, int(path.name.rpartition("-")[2]))


def prune(known: Iterable[Checkpoint], written: int) -> None:
    """Remove all but the last two checkpoints up to `written` and the best whole one of them.

    Args:
        known: all checkpoints of a run, oldest first.
        written: the epoch just written; later ones are of a branch that was abandoned.
    """
    known = list(known)
    for checkpoint in (c for c in known if c.epoch > written):
        remove(checkpoint.path)
    kept = [c for c in known if c.epoch <= written]
    ranked = sorted(kept, key=lambda c: (c.held_out_bits, -c.epoch))
    best = next((c for c in ranked if c.epoch == written or c.fault() is None), None)
    for checkpoint in kept[:-2]:
        if checkpoint is not best:
            remove(checkpoint.path)
