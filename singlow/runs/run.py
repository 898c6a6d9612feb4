"""The directory of a run: its settings, its checkpoints, and the lock of its trainer.

`checkpoints/RUN/` holds `config.json` (model, preset, arguments, data, training, versions),
`epoch-0007/` folders with `model.safetensors`, `state.safetensors` and `manifest.json`, and
`.lock` while a process trains the run.
"""

import contextlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from singlow.errors import DataError, EnvironmentFault, Interrupted, UsageError, warn
from singlow.files import lock_folder, require_writable, set_aside, write_text
from singlow.names import shown, suggest
from singlow.runs.checkpoint import (
    FILES,
    Checkpoint,
    checkpoints_in,
    choose,
    full_disk_named,
    prune,
    write_checkpoint,
)
from singlow.runs.settings import read_config, refuse_other_config

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")
_LEFTOVER = re.compile(r"\.tmp-(config\.json(-\w+)?|(removed-)?epoch-\d{4,})")


@dataclass
class Run:
    """A run: `directory` has its checkpoints, `logs` its TensorBoard events and samples."""

    directory: Path
    logs: Path
    warned: set[str] = field(default_factory=set, repr=False)

    @property
    def name(self) -> str:
        """The name of the run."""
        return self.directory.name

    @property
    def argument(self) -> str:
        """The value of `--run` or RUN that stands for this run."""
        return str(self.directory) if self.logs.parent == self.directory else self.name

    @property
    def exists(self) -> bool:
        """Whether training has begun here."""
        return (self.directory / "config.json").is_file()

    @property
    def config(self) -> dict[str, Any]:
        """The settings of the run.

        Raises:
            DataError: config.json is missing, damaged, or of another kind.
        """
        return read_config(self.directory / "config.json")

    def write_config(self, config: Mapping[str, Any]) -> None:
        """Store the settings, whole or not at all."""
        write_text(self.directory / "config.json", json.dumps(config, indent=2) + "\n")

    def checkpoints(self) -> list[Checkpoint]:
        """All checkpoints, oldest first, unchecked."""
        return checkpoints_in(self.directory)

    def newest(self) -> Checkpoint | None:
        """The newest checkpoint that is whole; a warning names newer ones that are damaged."""
        for checkpoint in reversed(self.checkpoints()):
            fault = checkpoint.fault()
            if fault is None:
                return checkpoint
            if checkpoint.path.name not in self.warned:
                self.warned.add(checkpoint.path.name)
                warn(
                    f"{checkpoint.path} is damaged ({fault}); going back to the checkpoint before."
                )
        return None

    def checkpoint(self, which: str = "newest") -> Checkpoint:
        """The checkpoint to use: `"newest"`, `"best"` (by held-out loss) or an epoch's number.

        Raises:
            UsageError: there is no such checkpoint.
            DataError: the checkpoint, or every checkpoint, is damaged.
        """
        known = self.checkpoints()
        if which != "newest":
            return choose(known, which, self.name)
        newest = self.newest()
        if newest is not None:
            return newest
        if known:
            raise DataError(
                f"{self.directory}: every checkpoint is damaged; train it again with --fresh."
            )
        raise UsageError(
            f"Run {self.name} has no checkpoint yet: its first epoch has not ended. Train with "
            "the same settings to continue it."
        )

    def save(
        self,
        epoch: int,
        model: Mapping[str, Any],
        state: Mapping[str, Any],
        facts: Mapping[str, Any],
    ) -> Checkpoint:
        """Write the checkpoint of an epoch, then remove those that are no longer needed.

        The last two checkpoints and the one with the lowest held-out loss are kept. Checkpoints of
        later epochs are removed: training went back to a checkpoint before them.

        Args:
            epoch: number of epochs done.
            model: the averaged weights by path.
            state: everything else that training continues from, by path.
            facts: entries of the manifest; `held_out` decides which checkpoint is the best.

        Raises:
            EnvironmentFault: the checkpoint does not fit on the disk; earlier ones are untouched.
        """
        path = self.directory / f"epoch-{epoch:04d}"
        with full_disk_named(path):
            written = write_checkpoint(path, dict(zip(FILES, (model, state), strict=True)), facts)
        prune(self.checkpoints(), epoch)
        return written

    def clean(self) -> None:
        """Remove the unfinished files and folders of a killed trainer, and nothing else."""
        for path in self.directory.iterdir():
            if _LEFTOVER.fullmatch(path.name):
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink()

    def require_free(self) -> None:
        """Refuse, before long work, a place that `begin` would refuse; nothing is written.

        Raises:
            UsageError: another process trains the run, or the folder is not that of a run.
            EnvironmentFault: nothing can be written there.
        """
        self._require_own()
        if (self.directory / ".lock").exists():
            with self.lock():
                pass

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Lock the run against other trainers; the system unlocks it when the process ends.

        Raises:
            UsageError: another process trains the run.
        """
        with lock_folder(self.directory) as acquired:
            if not acquired:
                raise UsageError(
                    f"Run {self.name} is being trained by another process. Wait for it, or give "
                    "another --run NAME."
                )
            yield

    @contextlib.contextmanager
    def begin(self, config: Mapping[str, Any], fresh: bool = False) -> Iterator[None]:
        """Lock the run and store its settings, for training in the block.

        Settings are compared under the lock, because another trainer may have stored its own after
        `config` was resolved. If a first start fails before a checkpoint is written, config.json is
        removed; if it is interrupted, or the disk is full, config.json stays, so that `--run` alone
        continues the run.

        Args:
            config: the settings to store.
            fresh: whether to move a run that exists aside first.

        Raises:
            UsageError: another process trains the run, the folder is not that of a run, or the run
                has other settings.
        """
        self._require_own()
        if fresh and self.exists:
            with self.lock():
                print(f"The existing run was moved to {self.set_aside()}.")
        with self.lock():
            self._require_own()
            self.clean()
            known = self.config if self.exists else None
            if known is not None:
                refuse_other_config(self.name, known, config)
            if known != config:
                self.write_config(config)
            with self._first() if known is None else contextlib.nullcontext():
                yield

    @contextlib.contextmanager
    def _first(self) -> Iterator[None]:
        """Remove config.json if the block fails without a checkpoint, unless it was interrupted."""
        try:
            yield
        except (Interrupted, EnvironmentFault):
            raise
        except Exception:
            if not self.checkpoints():
                (self.directory / "config.json").unlink(missing_ok=True)
            raise

    def set_aside(self) -> Path:
        """Rename checkpoints and logs to `NAME.old-1`, or the next free number.

        Returns:
            The new path of the checkpoints.

        Raises:
            UsageError: there is no run.
        """
        if not self.exists:
            raise UsageError(
                f"Expected a run in {self.directory}. Received: a folder without config.json."
            )
        inside = self.logs.is_relative_to(self.directory)
        return set_aside(self.directory, *(() if inside else (self.logs,)))

    def _require_own(self) -> None:
        """Refuse a folder with files that no trainer wrote; a missing or empty one may be used.

        Raises:
            UsageError: the folder has other files, or it is a file.
            EnvironmentFault: nothing can be written there.
        """
        if self.directory.is_file():
            raise UsageError(f"{self.directory}: Expected a folder for the run. Received: a file.")
        require_writable(self.directory)
        require_writable(self.logs)
        if not self.directory.exists() or self.exists:
            return
        own = {".lock", *([self.logs.name] if self.logs.parent == self.directory else [])}
        names = sorted(path.name for path in self.directory.iterdir())
        other = next((n for n in names if n not in own and not _LEFTOVER.fullmatch(n)), None)
        if other is not None:
            raise UsageError(
                f"{self.directory}: holds other files ({shown(other)}) and is no run. Give another "
                "--run."
            )


def locate(run: str, checkpoints: Path, logs: Path) -> Run:
    """The run of this name under `checkpoints`, or at this path if it has a slash.

    A run at a path keeps its logs inside it.

    Raises:
        UsageError: the name cannot be that of a folder, or the folder is the one of all runs.
    """
    run = os.path.expanduser(run)
    if "/" in run or os.sep in run:
        directory = Path(os.path.abspath(run))
        if Path(os.path.realpath(checkpoints)).is_relative_to(os.path.realpath(directory)):
            raise UsageError(
                f"Expected the folder of one run. Received: {run}, which holds {checkpoints}. Give "
                "a name or another path."
            )
        if directory.parent == Path(os.path.abspath(checkpoints)):
            return locate(directory.name, checkpoints, logs)
        return Run(directory, directory / "logs")
    if not NAME.fullmatch(run):
        raise UsageError(
            "Expected a run name of letters, digits, '_', '-', '+' and '.', or a path with a "
            f"slash. Received: {run!r}."
        )
    return Run(checkpoints / run, logs / run)


def find(run: str, checkpoints: Path) -> Run:
    """The run of this name or path, which must exist.

    Raises:
        UsageError: there is no such run; the message lists the known ones.
    """
    located = locate(run, checkpoints, checkpoints.parent / "logs")
    if located.exists:
        return located
    known = sorted(p.parent.name for p in checkpoints.glob("*/config.json"))
    listed = ", ".join(map(shown, known)) if known else "none; python3 -m singlow train creates one"
    raise UsageError(
        f"No run {run!r} under {checkpoints}. Known runs: {listed}.{suggest(run, known)}"
    )
