"""A run's directory: its settings, its checkpoints, and who may write there.

`checkpoints/RUN/` holds `config.json` (model, preset, arguments, data, training, versions),
`epoch-0007/` folders with `model.safetensors`, `state.safetensors` and `manifest.json`, and
`.lock`, which is held while somebody trains.
"""

import contextlib
import json
import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from singlow.errors import DataError, EnvironmentFault, Interrupted, UsageError
from singlow.files import lock_folder, require_writable, set_aside, write_text
from singlow.runs.checkpoint import (
    FILES,
    Checkpoint,
    checkpoints_in,
    choose,
    fitting,
    prune,
    write_checkpoint,
)
from singlow.runs.settings import common, read_config, refuse_differences

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")


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
        return checkpoints_in(self.directory)

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
        return choose(known, which, self.name)

    def save(
        self,
        epoch: int,
        model: Mapping[str, Any],
        state: Mapping[str, Any],
        facts: Mapping[str, Any],
    ) -> Checkpoint:
        """Write the checkpoint of `epoch` whole, then drop the ones no longer needed.

        The last two and the one with the fewest held-out bits are kept; later epochs than this one
        are of a branch that training went back from, and go.

        Args:
            epoch: epochs done.
            model: the averaged weights by path.
            state: everything else that training goes on from, by path.
            facts: what the manifest says beside the hashes; `held_out_bits` chooses the best.

        Raises:
            EnvironmentFault: it does not fit on the disk; the checkpoints before it are untouched.
        """
        path = self.directory / f"epoch-{epoch:04d}"
        with fitting(path):
            written = write_checkpoint(path, dict(zip(FILES, (model, state), strict=True)), facts)
        prune(self.checkpoints(), epoch)
        return written

    def clean(self) -> None:
        """Remove what a killed trainer left half written, and nothing else."""
        _clean(self.directory)

    def require_free(self) -> None:
        """Refuse what `begin` would refuse for its place, before long work; nothing is written.

        Raises:
            UsageError: somebody is training it, or the folder is no run's.
        """
        _require_own(self.directory, self.logs)
        if (self.directory / ".lock").exists():
            with self.lock():
                pass

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Be the only trainer of this run; the system lets go when the process ends, however.

        Raises:
            UsageError: somebody is training it.
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
        """Train here, alone, with these settings, which are stored.

        Settings are compared under the lock: another trainer may have come and gone meanwhile.
        A first start that fails without a checkpoint leaves no config.json; when it was
        interrupted, or the disk was full, it stays, so that `--run` alone goes on.

        Args:
            config: what config.json is to say.
            fresh: move a run that exists aside first.

        Raises:
            UsageError: somebody is training it, the folder is no run's, or a run is there that has
                other settings.
        """
        _require_own(self.directory, self.logs)
        if fresh and self.exists:
            with self.lock():
                print(f"The run that was there is now {self.set_aside()}.")
        with self.lock():
            _require_own(self.directory, self.logs)
            self.clean()
            known = self.config if self.exists else None
            if known is not None:
                refuse_differences(self.name, known, common(config, known))
            if known != config:
                self.write_config(config)
            with self._first() if known is None else contextlib.nullcontext():
                yield

    @contextlib.contextmanager
    def _first(self) -> Iterator[None]:
        """A start that fails, for another reason than being stopped, leaves no run behind."""
        try:
            yield
        except (Interrupted, EnvironmentFault):
            raise
        except Exception:
            if not self.checkpoints():
                (self.directory / "config.json").unlink(missing_ok=True)
            raise

    def set_aside(self) -> Path:
        """Move checkpoints and logs to `NAME.old-1`, or the next free number; returns where.

        Raises:
            UsageError: there is no run.
        """
        return _set_aside(self.directory, self.logs)


def locate(run: str, checkpoints: Path, logs: Path) -> Run:
    """The run of this name under `checkpoints`, or at this path when there is a slash in it.

    A run at a path keeps its logs inside it.

    Raises:
        UsageError: the name cannot be a folder's, or the folder is the one that holds all runs.
    """
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


_LEFTOVER = re.compile(r"\.tmp-(config\.json(-\w+)?|(removed-)?epoch-\d{4,})")


def _require_own(directory: Path, logs: Path) -> None:
    """Refuse a folder with files in it that is no run; one that is missing or empty may become one.

    Args:
        directory: of the run.
        logs: of the run, maybe inside it.

    Raises:
        UsageError: no trainer put there what is in it, or it is a file.
        EnvironmentFault: the system lets nothing be made there.
    """
    if directory.is_file():
        raise UsageError(f"{directory}: Expected a folder for the run. Received: a file.")
    require_writable(directory)
    require_writable(logs)
    if not directory.exists() or (directory / "config.json").is_file():
        return
    own = {".lock", *([logs.name] if logs.parent == directory else [])}
    names = sorted(path.name for path in directory.iterdir())
    other = next((n for n in names if n not in own and not _LEFTOVER.fullmatch(n)), None)
    if other is not None:
        raise UsageError(
            f"{directory}: holds other files ({other}) and is no run. Give another --run."
        )


def _clean(directory: Path) -> None:
    """Remove what a killed trainer left half written, and nothing else."""
    for path in directory.iterdir():
        if _LEFTOVER.fullmatch(path.name):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink()


def _set_aside(directory: Path, logs: Path) -> Path:
    """Move a run's folders to `NAME.old-1`, or the next free number; returns where it is now.

    Raises:
        UsageError: there is no run in it.
    """
    if not (directory / "config.json").is_file():
        raise UsageError(f"Expected a run in {directory}. Received: a folder without config.json.")
    companions = () if logs.is_relative_to(directory) else (logs,)
    return set_aside(directory, *companions)
