"""One checkpoint: a folder that exists whole or not at all."""

import contextlib
import errno
import json
import math
import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from singlow.training.tensors import sha256, size_of, sync, write_tensors

FILES = ("model.safetensors", "state.safetensors")
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
        bits = self.manifest.get("held_out_bits")
        number = isinstance(bits, int | float) and math.isfinite(bits)
        return float(bits) if number else math.inf

    @property
    def history(self) -> list[float]:
        """Held-out bits per sample of every epoch so far."""
        history = self.manifest.get("history")
        if not isinstance(history, list):
            return []
        return [float(b) if isinstance(b, int | float) else math.inf for b in history]

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


def remove(path: Path) -> None:
    """Remove a folder so that no half of it ever bears its name."""
    doomed = path.parent / f".tmp-removed-{path.name}"
    shutil.rmtree(doomed, ignore_errors=True)
    path.rename(doomed)
    shutil.rmtree(doomed, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write a small file, whole or not at all."""
    temporary = path.parent / f".tmp-{path.name}"
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            sync(file.fileno())
        temporary.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Wait until the names in a folder are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        sync(descriptor)
    finally:
        os.close(descriptor)
