"""The directory of a run: its settings, its checkpoints, and its lock.

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
    """A run.

    Attributes:
        directory: folder of its settings and checkpoints.
        logs: folder of its TensorBoard events and samples.
        warned: names of the damaged checkpoints that a warning has named."""

    directory: Path
    logs: Path
    warned: set[str] = field(default_factory=set, repr=False)

    @property
    def name(self) -> str:
        """The name of the run."""
        return self.directory.name

    @property
    def argument(self) -> str:
        """The value of `--run` or RUN that selects this run."""
        return str(self.directory) if self.logs.parent == self.directory else self.name

    @property
    def exists(self) -> bool:
        """Whether the folder has a config.json, because training of the run has begun."""
        return (self.directory / "config.json").is_file()

    @property
    def config(self) -> dict[str, Any]:
        """The settings of the run.

        Raises:
            DataError: config.json is missing or damaged, or belongs to another program.
        """
        return read_config(self.directory / "config.json")

    def write_config(self, config: Mapping[str, Any]) -> None:
        """Store the settings atomically."""
        write_text(self.directory / "config.json", json.dumps(config, indent=2) + "\n")

    def checkpoints(self) -> list[Checkpoint]:
        """Return all checkpoints, oldest first, without checking them."""
        return checkpoints_in(self.directory)

    def newest(self) -> Checkpoint | None:
        """Return the newest intact checkpoint, and warn about newer ones that are damaged."""
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
        """Return a checkpoint: `"newest"`, `"best"` (by held-out loss) or the number of an epoch.

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
        """Write the checkpoint of an epoch, and remove those that are not needed any more.

        The last two checkpoints and the one with the lowest held-out loss are kept. Checkpoints of
        later epochs are removed, because training continued from an earlier one.

        Args:
            epoch: number of completed epochs.
            model: the averaged weights by path.
            state: weights, optimizer and random state that training continues from, by path.
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
        """Remove the temporary files and folders that a killed training process has left."""
        for path in self.directory.iterdir():
            if _LEFTOVER.fullmatch(path.name):
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink()

    def require_free(self) -> None:
        """Check early that `begin` can use the folder, without writing anything.

        Raises:
            UsageError: another process trains the run, or the folder belongs to no run.
            EnvironmentFault: the folder cannot be written.
        """
        self._require_own()
        if (self.directory / ".lock").exists():
            with self.lock():
                pass

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Lock the run against other training processes; the system unlocks it if this one ends.

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

        The settings are compared after the run is locked, because another process may have stored
        its own after `config` was resolved. If the first training of a run fails before it writes a
        checkpoint, config.json is removed. If it is interrupted, or the disk is full, config.json
        remains, so that `--run` alone continues the run.

        Args:
            config: the settings to store.
            fresh: whether to rename an existing run first.

        Raises:
            UsageError: another process trains the run, the folder belongs to no run, or the run has
                other settings.
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
        """Rename the folders of checkpoints and logs to `NAME.old-1`, or to the next free number.

        Returns:
            The new path of the folder of checkpoints.

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
        """Check that the folder is missing or empty, or that it belongs to a run.

        Raises:
            UsageError: the folder has other files, or its path is that of a file.
            EnvironmentFault: the folder cannot be written.
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
    """Return the run with a name in `checkpoints`, or the run at a path, which contains a slash.

    The logs of a run at a path are stored in its folder.

    Raises:
        UsageError: the name cannot be that of a folder, or the folder is or contains
            `checkpoints`.
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
    """Return the existing run with a name or a path.

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
