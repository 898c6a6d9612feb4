"""Adam that refuses a gradient which is not finite, and keeps averages."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import keras
from keras import ops

from singlow.ops.tensors import Tensor, owned


@keras.saving.register_keras_serializable("singlow")
class GuardedAdam(keras.optimizers.Adam):
    """Adam that applies nothing when a gradient is not finite, and remembers its norm.

    A refused step leaves weights, moments, averages and the step count as they were; only
    `refused` counts it. With `use_ema=True` the averages follow
    `average <- m * average + (1 - m) * weight` with `m = min(ema_momentum, (1 + t) / (10 + t))`, so
    that those of a short run are not still the initial weights. They stay averages:
    the end of `fit` does not write them over the trained weights (`swap_averages` puts them in
    place while a model is evaluated).

    Args:
        anneals: whether the learning rate has a factor of its own, for `anneal` to lower.

    Attributes:
        gradient_norm: scalar variable, the global norm of the last gradient, before clipping.
        refused: scalar int32 variable, how many steps were refused so far.
    """

    def __init__(self, *args: Any, anneals: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.anneals = anneals

    def build(self, variables: Sequence[keras.Variable]) -> None:
        super().build(variables)
        if self.anneals:
            self.rate_factor = self.add_variable((), initializer="ones", name="rate_factor")
        for variable, average in self.averages():
            average.assign(owned(variable.value))
        self.gradient_norm = self.add_variable((), initializer="zeros", name="gradient_norm")
        self.refused = self.add_variable((), initializer="zeros", dtype="int32", name="refused")

    def anneal(self, factor: float) -> None:
        """Begin anew, as an optimizer just made, at `factor` times its learning rate until now."""
        self.rate_factor.assign(self.rate_factor * factor)
        for variable in (*self._momentums, *self._velocities, self._iterations):
            variable.assign(ops.zeros_like(variable))

    def _get_current_learning_rate(self) -> Tensor:
        rate = super()._get_current_learning_rate()
        return rate * self.rate_factor if self.anneals and self.built else rate

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "anneals": self.anneals}

    def averages(self) -> list[tuple[keras.Variable, keras.Variable]]:
        """Pairs of a trainable variable and its average."""
        if not self.use_ema:
            return []
        pairs = zip(self._trainable_variables, self._model_variables_moving_average, strict=True)
        return [(variable, average) for variable, average in pairs if average is not None]

    def swap_averages(self) -> None:
        """Exchange weights and averages, exactly; a second call puts them back."""
        for variable, average in self.averages():
            trained = ops.convert_to_numpy(variable)
            variable.assign(ops.convert_to_numpy(average))
            average.assign(trained)

    def apply(
        self,
        grads: Sequence[Tensor | None],
        trainable_variables: Sequence[keras.Variable] | None = None,
    ) -> None:
        if not self.built:
            self.build(trainable_variables)
        grads = [None if g is None else ops.convert_to_tensor(g) for g in grads]
        norm = _global_norm(grads)
        finite = ops.isfinite(norm)
        self.gradient_norm.assign(norm)
        self.refused.assign_add(ops.cast(ops.logical_not(finite), "int32"))
        if self._fused:
            self._shared = {"finite": finite}
            super().apply(grads, trainable_variables)
            self._iterations.assign_sub(ops.cast(ops.logical_not(finite), self._iterations.dtype))
        else:
            self._apply_and_choose(finite, grads, trainable_variables)

    @property
    def _fused(self) -> bool:
        """Whether each update is one operation, guarded by what is multiplied with."""
        others = (self.amsgrad, self.weight_decay, self.clipnorm, self.clipvalue, not self.epsilon)
        rare = (self.gradient_accumulation_steps, self.ema_overwrite_frequency)
        own = (v.constraint or v.overwrite_with_gradient for v in self._trainable_variables)
        return keras.backend.backend() == "tensorflow" and not any((*others, *rare, *own))

    def _apply_and_choose(
        self,
        finite: Tensor,
        grads: Sequence[Tensor | None],
        trainable_variables: Sequence[keras.Variable] | None,
    ) -> None:
        # A branch would need every variable and gradient as an input: both outcomes are computed.
        kept = [
            v
            for v in [*self._trainable_variables, *self.variables]
            if v is not self.gradient_norm and v is not self.refused
        ]
        before = [ops.copy(v.value) for v in kept]
        super().apply(grads, trainable_variables)
        for variable, old in zip(kept, before, strict=True):
            variable.assign(ops.where(finite, variable.value, old))

    def update_step(self, gradient: Tensor, variable: Any, learning_rate: Tensor) -> None:
        if not self._fused:
            super().update_step(gradient, variable, learning_rate)
            return
        # The same update as one operation: a fraction of the graph, and one pass over memory.
        import tensorflow as tf

        index = self._get_variable_index(variable)
        with self._in_turn() as turns:
            scalars = self._scalars(variable.dtype, learning_rate)
            gradient = ops.cast(gradient, variable.dtype)
            update = tf.raw_ops.ResourceApplyAdam(
                var=variable.handle,
                m=self._momentums[index].value.handle,
                v=self._velocities[index].value.handle,
                grad=tf.math.multiply_no_nan(gradient, scalars["clip"]),
                **scalars["adam"],
            )
            turns.append(update)

    @contextlib.contextmanager
    def _in_turn(self) -> Iterator[list[Any]]:
        """One variable after another, so that what is made for one is freed before the next.

        Gives a list to add to what the next one waits for.
        """
        import tensorflow as tf

        turns: list[Any] = []
        with tf.control_dependencies(self._shared.get("turns", [])):
            yield turns
        self._shared["turns"] = turns

    def _scalars(self, dtype: Any, learning_rate: Tensor) -> dict[str, Any]:
        """What the updates of all variables of a dtype share.

        Where the gradient is refused, `clip` and the rate are 0, and moments are kept whole.
        """
        if dtype not in self._shared:
            finite = self._shared["finite"]
            step = ops.cast(self.iterations + 1, dtype)
            betas = [ops.cast(beta, dtype) for beta in (self.beta_1, self.beta_2)]
            kept = [ops.where(finite, beta, ops.ones_like(beta)) for beta in betas]
            clip = ops.where(finite, self._clip_factor(), 0.0)
            self._shared[dtype] = {
                "clip": ops.cast(clip, dtype),
                "adam": {
                    "beta1": kept[0],
                    "beta2": kept[1],
                    "beta1_power": betas[0] ** step,
                    "beta2_power": betas[1] ** step,
                    "epsilon": ops.cast(self.epsilon, dtype),
                    "lr": ops.cast(ops.where(finite, learning_rate, 0.0), dtype),
                },
            }
        return self._shared[dtype]

    def _clip_factor(self) -> Tensor:
        if not self.global_clipnorm:
            return ops.ones_like(self.gradient_norm)
        return ops.minimum(1.0, self.global_clipnorm / self.gradient_norm.value)

    def _clip_gradients(self, grads: Sequence[Tensor | None]) -> Sequence[Tensor | None]:
        if self._fused:
            return grads
        if not self.global_clipnorm:
            return super()._clip_gradients(grads)
        factors = {dtype: ops.cast(self._clip_factor(), dtype) for dtype in _dtypes(grads)}
        return [None if g is None else g * factors[g.dtype] for g in grads]

    def _update_model_variables_moving_average(
        self, trainable_variables: Sequence[keras.Variable]
    ) -> None:
        t = ops.cast(self.iterations, "float32")
        warm = ops.minimum(self.ema_momentum, (1.0 + t) / (10.0 + t))
        share = 1.0 - ops.where(t > 0, warm, 0.0)  # the first average is the first weight
        shares = {dtype: ops.cast(share, dtype) for dtype in _dtypes(trainable_variables)}
        if not self._fused:
            for variable, average in self.averages():
                average.assign_add(shares[variable.dtype] * (variable.value - average.value))
            return
        import tensorflow as tf

        finite = self._shared["finite"]
        descent = {dtype: ops.where(finite, -share, 0.0 * share) for dtype, share in shares.items()}
        for variable, average in self.averages():
            with self._in_turn() as turns:
                update = tf.raw_ops.ResourceApplyGradientDescent(
                    var=average.value.handle,
                    alpha=descent[variable.dtype],
                    delta=variable.value - average.value,
                )
                turns.append(update)

    def finalize_variable_values(self, var_list: Sequence[keras.Variable]) -> None:
        """Leave the trained weights as they are at the end of `fit`."""


def _dtypes(tensors: Sequence[Any]) -> set[Any]:
    return {t.dtype for t in tensors if t is not None}


def _global_norm(gradients: Sequence[Tensor | None]) -> Tensor:
    found = [g for g in gradients if g is not None]
    if found and keras.backend.backend() == "tensorflow":
        import tensorflow as tf  # half of the sum in one operation, and no square is kept

        halves = [ops.cast(tf.nn.l2_loss(_at_least_float32(g)), "float32") for g in found]
        return tf.sqrt(2.0 * tf.add_n(halves))
    return ops.sqrt(sum(ops.sum(ops.square(ops.cast(g, "float32"))) for g in found))


def _at_least_float32(x: Tensor) -> Tensor:
    return ops.cast(x, keras.backend.result_type(x.dtype, "float32"))
