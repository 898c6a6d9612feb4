"""The learning rate over time: a climb, then a slow fall."""

from typing import Any

import keras
from keras import ops

from singlow.ops.tensors import Tensor


@keras.saving.register_keras_serializable("singlow")
class WarmUp(keras.optimizers.schedules.LearningRateSchedule):
    """`rate(t) = peak * min((t + 1) / warmup_steps, 1) / sqrt(1 + t / decay_steps)`.

    Nothing in it depends on how long training will last, so that a run can be lengthened later
    and still be the run it would have been.

    Args:
        peak: learning rate that the warm-up climbs to.
        warmup_steps: steps of the climb.
        decay_steps: steps after which the rate has fallen to `peak / sqrt(2)`; `None` for no decay.

    Raises:
        ValueError: a number is not positive.
    """

    def __init__(
        self, peak: float, warmup_steps: int = 100, decay_steps: int | None = None
    ) -> None:
        super().__init__()
        if peak <= 0 or warmup_steps < 1 or (decay_steps is not None and decay_steps < 1):
            raise ValueError(
                "Expected peak > 0, warmup_steps >= 1 and decay_steps >= 1. "
                f"Received: peak={peak}, warmup_steps={warmup_steps}, decay_steps={decay_steps}."
            )
        self.peak = peak
        self.warmup_steps = warmup_steps
        self.decay_steps = decay_steps

    def __call__(self, step: Tensor) -> Tensor:
        t = ops.cast(step, "float32")
        rate = self.peak * ops.minimum((t + 1.0) / self.warmup_steps, 1.0)
        return rate if self.decay_steps is None else rate / ops.sqrt(1.0 + t / self.decay_steps)

    def get_config(self) -> dict[str, Any]:
        return {
            "peak": self.peak,
            "warmup_steps": self.warmup_steps,
            "decay_steps": self.decay_steps,
        }
