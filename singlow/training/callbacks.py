"""The callbacks of a run: averages, guard, events, checkpoints, plateaus and patience.

Their order matters. `Averages` must be the last: in `on_test_end`, the callbacks before it use the
averaged weights. In `on_epoch_end` all callbacks use the trained weights.
"""

import math
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import keras
from keras import ops

from singlow.errors import UsageError, warn
from singlow.runs.events import EventLog
from singlow.runs.run import Run
from singlow.training.optimizer import capture, current, synchronise
from singlow.training.samples import SampleWriter

if TYPE_CHECKING:
    from singlow.data.feed.windows import Windows

ANNEALING = 0.2  # factor that the learning rate is multiplied by at a plateau
_GAIN = 1e-4  # smallest relative decrease of the loss that counts as an improvement
_NAMED_CLIPS = 20


class Progress(keras.callbacks.ProgbarLogger):
    """Keras's progress bar with the most important values; TensorBoard has all of them.

    Args:
        monitor: name of the loss that ranks the epochs.
    """

    def __init__(self, monitor: str) -> None:
        super().__init__()
        self.shown = (monitor, "z_variance", f"val_{monitor}")

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        super().on_train_batch_end(batch, self._chosen(logs))

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        super().on_epoch_end(epoch, self._chosen(logs))

    def _chosen(self, logs: dict[str, Any] | None) -> dict[str, Any]:
        return {key: logs[key] for key in self.shown if key in (logs or {})}


class Averages(keras.callbacks.Callback):
    """Evaluates the averaged weights, and restores the trained ones exactly afterwards."""

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        synchronise(self.model)
        self.model.optimizer.swap_averages()

    def on_test_end(self, logs: dict[str, Any] | None = None) -> None:
        self.model.optimizer.swap_averages()


class Guard(keras.callbacks.Callback):
    """Warns about gradients that are not finite, and names the clips of their batches once.

    Args:
        windows: the training windows.
        steps_per_epoch: number of batches in an epoch.
        log: log of TensorBoard's events, which receives the same message.

    Attributes:
        norms: norms of the finite gradients of the current epoch.

    Raises:
        UsageError: no gradient of an epoch is finite.
    """

    def __init__(self, windows: "Windows", steps_per_epoch: int, log: EventLog) -> None:
        super().__init__()
        self.windows = windows
        self.steps_per_epoch = steps_per_epoch
        self.log = log
        self.norms: list[float] = []
        self._named: set[str] = set()

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._refused = int(ops.convert_to_numpy(self.model.optimizer.refused))

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._epoch = epoch
        self.norms = []

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        optimizer = self.model.optimizer
        refused = int(current(self.model, optimizer.refused))
        if refused == self._refused:
            self.norms.append(float(current(self.model, optimizer.gradient_norm)))
            return
        self._refused = refused
        step = self._epoch * self.steps_per_epoch + batch
        clips = [str(name) for name in self.windows.clip_names(step)]
        new = list(dict.fromkeys(clip for clip in clips if clip not in self._named))
        self._named.update(new)
        if new:
            more = f" and {len(new) - _NAMED_CLIPS} more" if len(new) > _NAMED_CLIPS else ""
            message = (
                f"The gradient of step {step} was not finite and was not applied. "
                f"Its clips: {', '.join(new[:_NAMED_CLIPS])}{more}."
            )
            print(file=sys.stderr)
            warn(message)
            self.log.text("refused", message, step)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if not self.norms:
            raise UsageError(
                f"No gradient of epoch {epoch + 1} was finite. Start again with --fresh and a "
                "lower --learning_rate."
            )


class Events(keras.callbacks.Callback):
    """Writes the scalars and samples of every epoch for TensorBoard, and the samples as files.

    Args:
        train: log of the events of training.
        held_out: log of the events of held-out data and of the samples.
        samples: writer of the samples.
        guard: callback that stores the norms of the gradients.
        steps_per_epoch: number of batches in an epoch.
    """

    def __init__(
        self,
        train: EventLog,
        held_out: EventLog,
        samples: SampleWriter,
        guard: Guard,
        steps_per_epoch: int,
    ) -> None:
        super().__init__()
        self.train = train
        self.held_out = held_out
        self.samples = samples
        self.guard = guard
        self.steps_per_epoch = steps_per_epoch

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._epoch = epoch
        self._start = time.perf_counter()
        self._seconds = math.nan

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self._seconds = time.perf_counter() - self._start

    def on_test_end(self, logs: dict[str, Any] | None = None) -> None:
        epoch = self._epoch + 1
        self.samples.write(self.model, epoch, epoch * self.steps_per_epoch)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        step = (epoch + 1) * self.steps_per_epoch
        held_out = {k.removeprefix("val_"): v for k, v in logs.items() if k.startswith("val_")}
        train = {key: value for key, value in logs.items() if not key.startswith("val_")}
        optimizer = self.model.optimizer
        train["gradient_norm"] = sum(self.guard.norms) / max(1, len(self.guard.norms))
        train["learning_rate"] = float(ops.convert_to_numpy(optimizer.learning_rate))
        train["steps_per_second"] = self.steps_per_epoch / self._seconds
        # If the loss has a single term, both are equal, and the loss is left out.
        left_out = {"loss"} if len(self.model.loss_weights) == 1 else set()
        for log, values in ((self.train, train), (self.held_out, held_out)):
            log.scalars({key: v for key, v in values.items() if key not in left_out}, step)


class Inversion(keras.callbacks.Callback):
    """Writes the inversion error of each level on one batch, with the trained weights, every epoch.

    Args:
        batch: the batch to invert.
        log: log of TensorBoard's events.
        steps_per_epoch: number of batches in an epoch.
    """

    limit = 1e-3

    def __init__(self, batch: dict[str, Any], log: EventLog, steps_per_epoch: int) -> None:
        super().__init__()
        self.batch = batch
        self.log = log
        self.steps_per_epoch = steps_per_epoch

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        synchronise(self.model)
        errors = self.model.inversion_errors(self.batch)
        scalars = {f"inversion_error_{level}": error for level, error in enumerate(errors)}
        self.log.scalars(scalars, (epoch + 1) * self.steps_per_epoch)
        for level, error in enumerate(errors):
            if not error <= self.limit:
                print(file=sys.stderr)
                warn(
                    f"level {level} inverts to {error:.1e} after epoch {epoch + 1} "
                    f"(limit {self.limit:.0e}). A lower --learning_rate or --set scale=bounded "
                    "keeps it invertible."
                )


class History(keras.callbacks.Callback):
    """Appends the monitored held-out loss of every epoch to a list that other callbacks read.

    Args:
        monitor: name of the loss that ranks the epochs.
        losses: held-out losses of the completed epochs; the callback appends to this list.
    """

    def __init__(self, monitor: str, losses: list[float]) -> None:
        super().__init__()
        self.monitor = monitor
        self.losses = losses

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.losses.append(float(logs[f"val_{self.monitor}"]))


class Checkpoints(keras.callbacks.Callback):
    """Writes a checkpoint at the end of every epoch.

    Args:
        run: the run.
        losses: held-out losses by epoch, including the last epoch.
    """

    def __init__(self, run: Run, losses: Sequence[float]) -> None:
        super().__init__()
        self.run = run
        self.losses = losses

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        history = [loss if math.isfinite(loss) else None for loss in self.losses]
        facts = {
            "epoch": epoch + 1,
            "monitor": self.model.monitor,
            "held_out": history[-1],
            "history": history,
        }
        model, state = capture(self.model)
        self.run.save(epoch + 1, model, state, facts)


class Patience(keras.callbacks.Callback):
    """Stops training when the held-out loss has not decreased for some epochs.

    The decision depends only on the history of losses. A resumed run therefore stops at the same
    epoch as an uninterrupted run.

    Args:
        epochs: number of epochs to wait; 0 never stops.
        losses: held-out losses by epoch.
    """

    def __init__(self, epochs: int, losses: Sequence[float]) -> None:
        super().__init__()
        self.epochs = epochs
        self.losses = losses

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self.exhausted:
            print(f"\nNo lower held-out loss for {self.epochs} epochs: stopping.")
            self.model.stop_training = True

    @property
    def exhausted(self) -> bool:
        """Whether the loss has not decreased for `epochs` epochs."""
        if not self.epochs or not self.losses:
            return False
        losses = [loss if math.isfinite(loss) else math.inf for loss in self.losses]
        return len(losses) - 1 - losses.index(min(losses)) >= self.epochs


class Plateau(keras.callbacks.Callback):
    """Divides the learning rate by five and resets Adam when the held-out loss stops decreasing.

    An epoch is an improvement if its loss is lower than the best earlier loss by more than one part
    in ten thousand. After `epochs` epochs without an improvement the optimizer is annealed, and the
    count starts again. After `restarts` such resets, training stops instead. The decision depends
    only on the history of losses. A resumed run therefore equals an uninterrupted run.

    Args:
        epochs: number of epochs to wait; 0 never anneals.
        restarts: number of times to anneal before stopping.
        losses: held-out losses by epoch, including the last epoch.

    References:
        Serra, Pascual and Segura, Blow: a single-scale hyperconditioned flow for non-parallel
        raw-audio voice conversion, 2019, https://arxiv.org/abs/1906.00794
    """

    def __init__(self, epochs: int, restarts: int, losses: Sequence[float]) -> None:
        super().__init__()
        self.epochs = epochs
        self.restarts = restarts
        self.losses = losses

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        plateaus = self._plateaus()
        if not plateaus or plateaus[-1] != len(self.losses):
            return
        waited = f"No lower held-out loss for {self.epochs} epochs"
        if self.exhausted:
            print(f"\n{waited} after {self.restarts} restarts: stopping.")
            self.model.stop_training = True
        else:
            print(f"\n{waited}: Adam is reset, with {ANNEALING:g} times the learning rate.")
            synchronise(self.model)
            self.model.optimizer.anneal(ANNEALING)

    @property
    def exhausted(self) -> bool:
        """Whether the loss has stopped decreasing after all restarts."""
        return len(self._plateaus()) > self.restarts

    def _plateaus(self) -> list[int]:
        """Return the epochs, counted from 1, after which Adam is annealed or training stops."""
        plateaus: list[int] = []
        best, waited = math.inf, 0
        for epoch, loss in enumerate(self.losses if self.epochs else (), 1):
            if loss < best - _GAIN * abs(best) or (math.isfinite(loss) and math.isinf(best)):
                best, waited = loss, 0
                continue
            waited += 1
            if waited == self.epochs:
                plateaus.append(epoch)
                waited = 0
        return plateaus
