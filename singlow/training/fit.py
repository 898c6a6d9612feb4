"""Training a run: data, start from data or from a checkpoint, `fit`, and its ends."""

import contextlib
import errno
import shlex
import signal
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from singlow.errors import EnvironmentFault, Interrupted
from singlow.runs.run import Run
from singlow.training.state import compile_flow, restore

ADAPT_BATCHES = 4


def large_batch(windows: Any, batches: int = ADAPT_BATCHES) -> dict[str, np.ndarray]:
    """Several batches as one, for a data-dependent start that no single clip decides."""
    parts = [windows.batch(step) for step in range(batches)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def fit(flow: Any, run: Run, config: Mapping[str, Any], train: Any, held_out: Any) -> None:
    """Train until the run's last epoch, from its newest checkpoint or from a start by data.

    Raises:
        Interrupted: Ctrl-C or SIGTERM; the same run goes on from its newest checkpoint.
        DataError: every checkpoint is damaged.
        EnvironmentFault: a checkpoint does not fit on the disk.
    """
    from singlow.runs.events import EventLog
    from singlow.training import callbacks
    from singlow.training.plateau import Plateau
    from singlow.training.samples import SampleWriter

    training = config["training"]
    steps = training["steps_per_epoch"]
    newest = run.checkpoint() if run.checkpoints() else None
    if newest is None:
        flow.adapt(large_batch(train))
    compile_flow(flow, training)
    done, history = 0, []
    if newest is not None:
        restore(flow, newest)
        done, history = newest.epoch, list(newest.history)
        print(f"Going on with {run.name} after epoch {done}.")
    patience = callbacks.Patience(training["patience"], history)
    plateau = Plateau(training["plateau"], training["restarts"], history)
    if done >= training["epochs"] or patience.exhausted or plateau.exhausted:
        print(f"{run.name} has been trained for {done} epochs; --epochs N lengthens it.")
        return
    moving = sys.stdout.isatty() or "ipykernel" in sys.modules
    with (
        _stoppable(run, training["epochs"]),
        _told(train, held_out),
        contextlib.ExitStack() as open_logs,
    ):
        logs = [
            open_logs.enter_context(contextlib.closing(EventLog(run.logs / name, done * steps + 1)))
            for name in ("train", "validation")
        ]
        samples = SampleWriter(
            run.logs / "samples",
            logs[1],
            training["temperature"],
            training["seed"],
            held_out,
        )
        guard = callbacks.Guard(train, steps, logs[0])
        flow.fit(
            train.as_dataset(start_step=done * steps),
            initial_epoch=done,
            epochs=training["epochs"],
            steps_per_epoch=steps,
            validation_data=held_out.as_dataset(),
            shuffle=False,
            verbose=1 if moving else 2,
            callbacks=[
                callbacks.Progress(),
                guard,
                callbacks.Events(*logs, samples, guard, steps),
                callbacks.Inversion(train.batch(0), logs[0], steps),
                callbacks.History(history),
                plateau,
                callbacks.Checkpoints(run, history),
                patience,
                callbacks.Averages(),
            ],
        )


@contextlib.contextmanager
def _told(*windows: Any) -> Iterator[None]:
    """A fault while reading data, as it was before TensorFlow wrapped it."""
    try:
        yield
    except Exception:
        for fault in (each.fault for each in windows if each.fault is not None):
            raise fault from None
        raise


@contextlib.contextmanager
def _stoppable(run: Run, epochs: int) -> Iterator[None]:
    """Ctrl-C, SIGTERM and a full disk end training with the command that goes on with it."""

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted(f"Interrupted; {_saved(run, epochs)}") from None
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise EnvironmentFault(
            f"{run.directory}: the disk is full; free some space; {_saved(run, epochs)}"
        ) from error
    finally:
        signal.signal(signal.SIGTERM, before)


def _saved(run: Run, epochs: int) -> str:
    saved = run.checkpoints()
    kept = f"epoch {saved[-1].epoch} of {epochs} is saved" if saved else "nothing is saved yet"
    return f"{kept}. Go on with: python3 train.py --run {shlex.quote(run.argument)}"
