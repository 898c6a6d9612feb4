"""Annealing when held-out bits no longer fall."""

import math
from collections.abc import Sequence
from typing import Any

import keras

from singlow.training.state import synchronise

FACTOR = 0.2
_GAIN = 1e-4


class Plateau(keras.callbacks.Callback):
    """Lowers the learning rate to a fifth, with a new Adam, when held-out bits no longer fall.

    An epoch is better when it costs less than the best before it by one part in ten thousand.
    After `epochs` epochs without a better one the optimizer is annealed, and the count begins anew;
    after `restarts` of those, training stops instead. As it is decided from the history alone, a
    resumed run does as the whole one would.

    Args:
        epochs: how many; 0 never anneals.
        restarts: how often to anneal before stopping.
        history: held-out bits per sample by epoch, this one's too.

    References:
        Serra, Pascual and Segura, Blow: a single-scale hyperconditioned flow for non-parallel
        raw-audio voice conversion, 2019, https://arxiv.org/abs/1906.00794
    """

    def __init__(self, epochs: int, restarts: int, history: Sequence[float]) -> None:
        super().__init__()
        self.epochs = epochs
        self.restarts = restarts
        self.history = history

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        reached = self._plateaus()
        if not reached or reached[-1] != len(self.history):
            return
        waited = f"No fewer held-out bits for {self.epochs} epochs"
        if self.exhausted:
            print(f"\n{waited} after {self.restarts} restarts: stopping.")
            self.model.stop_training = True
        else:
            print(f"\n{waited}: a new Adam at {FACTOR:g} times the learning rate.")
            synchronise(self.model)
            self.model.optimizer.anneal(FACTOR)

    @property
    def exhausted(self) -> bool:
        """Whether waiting longer is pointless."""
        return len(self._plateaus()) > self.restarts

    def _plateaus(self) -> list[int]:
        """The epochs at whose end bits had not fallen for long enough."""
        reached: list[int] = []
        best, waited = math.inf, 0
        for epoch, bits in enumerate(self.history if self.epochs else (), 1):
            if bits < best - _GAIN * abs(best) or (math.isfinite(bits) and math.isinf(best)):
                best, waited = bits, 0
                continue
            waited += 1
            if waited == self.epochs:
                reached.append(epoch)
                waited = 0
        return reached
