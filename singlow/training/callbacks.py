"""What happens beside the gradient: averages, guard, events, checkpoints, patience.

Their order matters: `Averages` stands last, so that those before it see the averaged weights in
`on_test_end`, and the trained ones in `on_epoch_end`.
"""

import math
import sys
import time
from typing import Any

import keras
from keras import ops

from singlow.errors import UsageError
from singlow.runs.events import EventLog
from singlow.runs.run import Run
from singlow.training.samples import SampleWriter
from singlow.training.state import capture, synchronise

_NAMED_CLIPS = 20


class Progress(keras.callbacks.ProgbarLogger):
    """Keras's progress bar with the figures that matter; TensorBoard has them all."""

    shown = ("bits_per_sample", "z_variance", "val_bits_per_sample")

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        super().on_train_batch_end(batch, self._chosen(logs))

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        super().on_epoch_end(epoch, self._chosen(logs))

    def _chosen(self, logs: dict[str, Any] | None) -> dict[str, Any]:
        return {key: logs[key] for key in self.shown if key in (logs or {})}


class Averages(keras.callbacks.Callback):
    """Evaluates the averaged weights; afterwards the trained ones are back, bit for bit."""

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        synchronise(self.model)
        self.model.optimizer.swap_averages()

    def on_test_end(self, logs: dict[str, Any] | None = None) -> None:
        self.model.optimizer.swap_averages()


class Guard(keras.callbacks.Callback):
    """Names the clips of a batch whose gradient was not finite, each clip once.

    Args:
        windows: the training data; `clip_names(step)` are the clips of a batch.
        steps_per_epoch: batches an epoch.
        log: TensorBoard's events, which say the same.

    Raises:
        UsageError: no gradient of a whole epoch was finite.
    """

    def __init__(self, windows: Any, steps_per_epoch: int, log: EventLog) -> None:
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
        synchronise(self.model)
        refused = int(ops.convert_to_numpy(self.model.optimizer.refused))
        if refused == self._refused:
            self.norms.append(float(ops.convert_to_numpy(self.model.optimizer.gradient_norm)))
            return
        self._refused = refused
        step = self._epoch * self.steps_per_epoch + batch
        clips = [str(name) for name in self.windows.clip_names(step)]
        new = list(dict.fromkeys(clip for clip in clips if clip not in self._named))
        self._named.update(new)
        if new:
            more = f" and {len(new) - _NAMED_CLIPS} more" if len(new) > _NAMED_CLIPS else ""
            said = (
                f"The gradient of step {step} was not finite and was not applied. "
                f"Its clips: {', '.join(new[:_NAMED_CLIPS])}{more}."
            )
            print(f"\nWarning: {said}", file=sys.stderr)
            self.log.text("refused", said, step)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if not self.norms:
            raise UsageError(
                f"No gradient of epoch {epoch + 1} was finite. Start again with --fresh and a "
                "lower --learning_rate."
            )


class Events(keras.callbacks.Callback):
    """Writes every epoch's scalars and samples for TensorBoard, and the samples as files.

    Args:
        train: events of training.
        held_out: events of held-out data, and of the samples.
        samples: writes the samples.
        guard: knows the gradients' norms.
        steps_per_epoch: batches an epoch.
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
        self._began = time.perf_counter()
        self._seconds = math.nan

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self._seconds = time.perf_counter() - self._began

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
        for log, values in ((self.train, train), (self.held_out, held_out)):
            log.scalars({key: value for key, value in values.items() if key != "loss"}, step)


class Inversion(keras.callbacks.Callback):
    """Writes every epoch how far each level is from inverting, on one batch as it is trained.

    Args:
        batch: what is inverted.
        log: TensorBoard's events.
        steps_per_epoch: batches an epoch.
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
                print(
                    f"\nWarning: level {level} inverts to {error:.1e} after epoch {epoch + 1} "
                    f"(limit {self.limit:.0e}). A lower --learning_rate or --set scale=bounded "
                    "keeps it invertible.",
                    file=sys.stderr,
                )


class History(keras.callbacks.Callback):
    """Remembers the held-out bits per sample of every epoch, for those after it.

    Args:
        bits: those of the epochs so far; grows.
    """

    def __init__(self, bits: list[float]) -> None:
        super().__init__()
        self.bits = bits

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.bits.append(float(logs["val_bits_per_sample"]))


class Checkpoints(keras.callbacks.Callback):
    """Writes a checkpoint at the end of every epoch.

    Args:
        run: where.
        history: held-out bits per sample of the epochs, this one's too.
    """

    def __init__(self, run: Run, history: list[float]) -> None:
        super().__init__()
        self.run = run
        self.history = history

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        history = [bits if math.isfinite(bits) else None for bits in self.history]
        facts = {"epoch": epoch + 1, "held_out_bits": history[-1], "history": history}
        model, state = capture(self.model)
        self.run.save(epoch + 1, model, state, facts)


class Patience(keras.callbacks.Callback):
    """Stops when held-out bits have not fallen for some epochs; a resumed run remembers them.

    Args:
        epochs: how many; 0 never stops.
        history: held-out bits per sample by epoch, as `History` keeps it.
    """

    def __init__(self, epochs: int, history: list[float]) -> None:
        super().__init__()
        self.epochs = epochs
        self.history = history

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self.exhausted:
            print(f"\nNo fewer held-out bits for {self.epochs} epochs: stopping.")
            self.model.stop_training = True

    @property
    def exhausted(self) -> bool:
        """Whether waiting longer is pointless."""
        if not self.epochs or not self.history:
            return False
        bits = [b if math.isfinite(b) else math.inf for b in self.history]
        return len(bits) - 1 - bits.index(min(bits)) >= self.epochs
