"""A run's directory: its settings, its checkpoints, and who may write there.

`checkpoints/RUN/` holds `config.json` (model, preset, arguments, data, training, versions),
`epoch-0007/` folders with `model.safetensors`, `state.safetensors` and `manifest.json`, and
`.lock`, which is held while somebody trains.
"""

import contextlib
import errno
import json
import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from singlow.errors import DataError, EnvironmentFault, UsageError
from singlow.training.checkpoint import FILES, Checkpoint, remove, write_checkpoint, write_text
from singlow.training.config import read_config
from singlow.training.lock import hold

_EPOCH = re.compile(r"epoch-(\d{4,})")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")


@dataclass
class Run:
    """A run: `directory` with its checkpoints, `logs` with its TensorBoard events and samples."""

    directory: Path
    logs: Path
    warned: set[str] = field(default_factory=set, repr=False)

    @property
    def name(self) -> str:
        """What the run is called."""
        return self.directory.name

    @property
    def argument(self) -> str:
        """What to give as `--run` or RUN to mean this run."""
        return str(self.directory) if self.logs.parent == self.directory else self.name

    @property
    def exists(self) -> bool:
        """Whether training has begun here."""
        return (self.directory / "config.json").is_file()

    @property
    def config(self) -> dict[str, Any]:
        """The settings it was started with.

        Raises:
            DataError: config.json is missing, damaged or of another kind.
        """
        return read_config(self.directory / "config.json")

    def write_config(self, config: Mapping[str, Any]) -> None:
        """Store the settings, whole or not at all."""
        write_text(self.directory / "config.json", json.dumps(config, indent=2) + "\n")

    def checkpoints(self) -> list[Checkpoint]:
        """All checkpoints, oldest first, not looked into."""
        if not self.directory.is_dir():
            return []
        found = [(p, _EPOCH.fullmatch(p.name)) for p in self.directory.iterdir()]
        numbered = sorted((int(m[1]), p) for p, m in found if m and p.is_dir())
        return [Checkpoint(path, epoch) for epoch, path in numbered]

    def newest(self) -> Checkpoint | None:
        """The newest checkpoint that is whole; a damaged newer one is named in a warning."""
        for checkpoint in reversed(self.checkpoints()):
            fault = checkpoint.fault()
            if fault is None:
                return checkpoint
            if checkpoint.path.name not in self.warned:
                self.warned.add(checkpoint.path.name)
                print(
                    f"Warning: {checkpoint.path} is damaged ({fault}); going back to the one "
                    "before it.",
                    file=sys.stderr,
                )
        return None

    def checkpoint(self, which: str = "newest") -> Checkpoint:
        """The checkpoint to use: `"newest"`, `"best"` (by held-out bits) or an epoch's number.

        Raises:
            UsageError: there is no such checkpoint.
            DataError: the one asked for, or every one, is damaged.
        """
        known = self.checkpoints()
        if which == "newest":
            newest = self.newest()
            if newest is not None:
                return newest
            if known:
                raise DataError(
                    f"{self.directory}: every checkpoint is damaged; train it again with --fresh."
                )
            raise UsageError(
                f"Run {self.name} has no checkpoint yet: its first epoch has not ended. Start "
                "train.py with the same settings to go on with it."
            )
        if which == "best":
            whole = [c for c in known if c.fault() is None]
            chosen = min(whole, key=lambda c: (c.held_out_bits, -c.epoch), default=None)
        else:
            chosen = next((c for c in known if str(c.epoch) == which), None)
        if chosen is None:
            listed = ", ".join(str(c.epoch) for c in known) or "none"
            raise UsageError(
                f"Expected an epoch of run {self.name} in {listed}. Received: {which}."
            )
        if (fault := chosen.fault()) is not None:
            raise DataError(f"{chosen.path} is damaged ({fault}).")
        return chosen

    def save(
        self,
        epoch: int,
        model: Mapping[str, Any],
        state: Mapping[str, Any],
        facts: Mapping[str, Any],
    ) -> Checkpoint:
        """Write the checkpoint of `epoch` whole, then drop the ones no longer needed.

        The last two and the one with the fewest held-out bits are kept.

        Args:
            epoch: epochs done.
            model: the averaged weights by path.
            state: everything else that training goes on from, by path.
            facts: what the manifest says beside the hashes; `held_out_bits` chooses the best.

        Raises:
            EnvironmentFault: it does not fit on the disk; the checkpoints before it are untouched.
        """
        path = self.directory / f"epoch-{epoch:04d}"
        try:
            written = write_checkpoint(path, dict(zip(FILES, (model, state), strict=True)), facts)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise
            kept = self.checkpoints()
            safe = f"{kept[-1].path.name} is whole" if kept else "nothing was saved before it"
            raise EnvironmentFault(
                f"{path}: the checkpoint does not fit on the disk ({error.strerror}); {safe}. "
                "Free some space and run the same command again to go on."
            ) from error
        self._prune()
        return written

    def _prune(self) -> None:
        known = self.checkpoints()
        best = min(known, key=lambda c: (c.held_out_bits, -c.epoch), default=None)
        for checkpoint in known[:-2]:
            if checkpoint.path != best.path:
                remove(checkpoint.path)

    def clean(self) -> None:
        """Remove what a killed trainer left half written."""
        for leftover in self.directory.glob(".tmp-*"):
            shutil.rmtree(leftover, ignore_errors=True) if leftover.is_dir() else leftover.unlink()

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Be the only trainer of this run; the system lets go when the process ends, however.

        Raises:
            UsageError: somebody is training it.
        """
        with hold(self.directory) as held:
            if not held:
                raise UsageError(
                    f"Run {self.name} is being trained by another process. Wait for it, or give "
                    "another --run NAME."
                )
            yield

    @contextlib.contextmanager
    def begin(self, config: Mapping[str, Any], fresh: bool = False) -> Iterator[None]:
        """Train here, alone, with these settings, which are stored.

        Args:
            config: what config.json is to say.
            fresh: move a run that exists aside first.

        Raises:
            UsageError: somebody is training it.
        """
        if fresh and self.directory.exists():
            with self.lock():
                print(f"The run that was there is now {self.set_aside()}.")
        with self.lock():
            self.clean()
            if not self.exists or self.config != config:
                self.write_config(config)
            yield

    def set_aside(self) -> Path:
        """Move checkpoints and logs to `NAME.old-1`, or the next free number; returns where."""
        number = 1
        while any(_old(path, number).exists() for path in (self.directory, self.logs)):
            number += 1
        if self.logs.exists() and not self.logs.is_relative_to(self.directory):
            self.logs.rename(_old(self.logs, number))
        if self.directory.exists():
            self.directory.rename(_old(self.directory, number))
        return _old(self.directory, number)


def _old(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.old-{number}")


def locate(run: str, checkpoints: Path, logs: Path) -> Run:
    """The run of this name under `checkpoints`, or at this path when there is a slash in it.

    A run at a path keeps its logs inside it.

    Raises:
        UsageError: the name cannot be a folder's.
    """
    if "/" in run or os.sep in run:
        directory = Path(os.path.abspath(run))
        if directory.parent == Path(os.path.abspath(checkpoints)):
            return locate(directory.name, checkpoints, logs)
        return Run(directory, directory / "logs")
    if not _NAME.fullmatch(run):
        raise UsageError(
            "Expected a run name of letters, digits, '_', '-', '+' and '.', or a path with a "
            f"slash. Received: {run!r}."
        )
    return Run(checkpoints / run, logs / run)


def find(run: str, checkpoints: Path) -> Run:
    """A run that exists.

    Raises:
        UsageError: there is none of this name; the known ones are listed.
    """
    found = locate(run, checkpoints, checkpoints.parent / "logs")
    if found.exists:
        return found
    known = sorted(p.parent.name for p in checkpoints.glob("*/config.json"))
    listed = ", ".join(known) if known else "none; python3 train.py makes one"
    raise UsageError(f"No run {run!r} under {checkpoints}. Known runs: {listed}.")
