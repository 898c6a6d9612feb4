"""The optimizer of a run: Adam with a guard, its schedule, and saving and restoring its state."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import keras
from keras import ops

from singlow.backend import require_one_replica
from singlow.ops.tensors import Tensor, owned
from singlow.runs.checkpoint import Checkpoint
from singlow.runs.tensors import described, read_tensors

if TYPE_CHECKING:
    from singlow.models.flow import Flow

EMA_MOMENTUM = 0.999
GRADIENT_NORM = 10.0


@keras.saving.register_keras_serializable("singlow")
class WarmUp(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate schedule with a linear warm-up and a slow decay, or a decay by halves.

        rate(t) = peak * min((t + 1) / warmup_steps, 1) / sqrt(1 + t / decay_steps)
                  * 2^-floor(t / halve_steps)

    With `noam` the rate decays as `sqrt(warmup_steps / (t + 1))` after the warm-up.

    The schedule does not depend on the number of epochs. A run that is continued for more epochs
    therefore equals a run that had this number of epochs from the start.

    Args:
        peak: learning rate at the end of the warm-up.
        warmup_steps: number of steps of the warm-up.
        decay_steps: number of steps after which the rate is `peak / sqrt(2)`; `None` for no decay.
        halve_steps: number of steps after which the rate is halved, each time; `None` for never.

        noam: whether to decay as in the Transformer's schedule.

    Raises:
        ValueError: a number is not positive.

    References:
        Vaswani et al., Attention Is All You Need, 2017 (noam), https://arxiv.org/abs/1706.03762
    """

    def __init__(
        self,
        peak: float,
        warmup_steps: int = 100,
        decay_steps: int | None = None,
        halve_steps: int | None = None,
        noam: bool = False,
    ) -> None:
        super().__init__()
        if peak <= 0 or min(warmup_steps, decay_steps or 1, halve_steps or 1) < 1:
            raise ValueError(
                "Expected peak > 0, warmup_steps >= 1, decay_steps >= 1 and halve_steps >= 1. "
                f"Received: peak={peak}, warmup_steps={warmup_steps}, decay_steps={decay_steps}, "
                f"halve_steps={halve_steps}."
            )
        self.peak = peak
        self.warmup_steps = warmup_steps
        self.decay_steps = decay_steps
        self.halve_steps = halve_steps
        self.noam = noam

    def __call__(self, step: Tensor) -> Tensor:
        t = ops.cast(step, "float32")
        progress = (t + 1.0) / self.warmup_steps
        rate = self.peak * ops.minimum(progress, ops.rsqrt(progress) if self.noam else 1.0)
        if self.halve_steps is not None:
            rate = rate * 0.5 ** ops.floor(t / self.halve_steps)
        return rate if self.decay_steps is None else rate / ops.sqrt(1.0 + t / self.decay_steps)

    def get_config(self) -> dict[str, Any]:
        return {
            "peak": self.peak,
            "warmup_steps": self.warmup_steps,
            "decay_steps": self.decay_steps,
            "halve_steps": self.halve_steps,
            "noam": self.noam,
        }


@keras.saving.register_keras_serializable("singlow")
class GuardedAdam(keras.optimizers.Adam):
    """Adam that skips gradients that are not finite, and computes averages of the weights.

    A skipped step does not change the weights, the moments, the averages or the step count; it is
    counted only in `refused`. With `use_ema=True` the averages follow

        average <- m * average + (1 - m) * weight        m = min(ema_momentum, (1 + t) / (10 + t))

    so that the averages do not contain the initial weights, even in a short run. At its end
    `fit` does not replace the trained weights by the averages; `swap_averages` exchanges them for
    an evaluation. With `gradient_accumulation_steps` the accumulated gradient is clipped.

    With `rectified` this is RAdam: the learning rate has a factor that is small while few gradients
    determine the second moments. In the first steps, where their variance is not finite, it is 0.

    Args:
        anneals: whether the learning rate has a factor that `anneal` lowers.
        rectified: whether the learning rate is rectified.

    Attributes:
        gradient_norm: scalar variable, the global norm of the last gradient before clipping, or of
            the last accumulated gradient with `gradient_accumulation_steps`.
        refused: scalar int32 variable, the number of skipped steps.

    Raises:
        UsageError: a `tf.distribute` strategy with replicas is active.

    References:
        Liu et al., On the Variance of the Adaptive Learning Rate and Beyond, 2020 (RAdam),
        https://arxiv.org/abs/1908.03265
    """

    def __init__(
        self, *args: Any, anneals: bool = False, rectified: bool = False, **kwargs: Any
    ) -> None:
        require_one_replica()
        super().__init__(*args, **kwargs)
        self.anneals = anneals
        self.rectified = rectified

    def build(self, variables: Sequence[keras.Variable]) -> None:
        require_one_replica()
        super().build(variables)
        if self.anneals:
            self.rate_factor = self.add_variable(
                (), initializer="ones", dtype="float32", name="rate_factor"
            )
        for variable, average in self.averages():
            average.assign(owned(variable.value))
        self.gradient_norm = self.add_variable(
            (), initializer="zeros", dtype="float32", name="gradient_norm"
        )
        self.refused = self.add_variable((), initializer="zeros", dtype="int32", name="refused")

    def anneal(self, factor: float) -> None:
        """Reset the moments and the step count, and multiply the learning rate by `factor`."""
        self.rate_factor.assign(self.rate_factor * factor)
        for variable in (*self._momentums, *self._velocities, self._iterations):
            variable.assign(ops.zeros_like(variable))

    def _get_current_learning_rate(self) -> Tensor:
        rate = super()._get_current_learning_rate()
        if self.rectified:
            rate = rate * self._rectification()
        return rate * self.rate_factor if self.anneals and self.built else rate

    def _rectification(self) -> Tensor:
        """The factor of the next step's learning rate, from 0 to 1."""
        t = ops.cast(self.iterations + 1, "float32")
        decay = self.beta_2**t
        longest = 2.0 / (1.0 - self.beta_2) - 1.0
        length = longest - 2.0 * t * decay / (1.0 - decay)
        known = ops.maximum(length, 5.0)
        share = (known - 4.0) * (known - 2.0) * longest
        share = share / ((longest - 4.0) * (longest - 2.0) * known)
        return ops.where(length > 5.0, ops.sqrt(share), 0.0)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "anneals": self.anneals, "rectified": self.rectified}

    def averages(self) -> list[tuple[keras.Variable, keras.Variable]]:
        """Return pairs of a trainable variable and its average."""
        if not self.use_ema:
            return []
        pairs = zip(self._trainable_variables, self._model_variables_moving_average, strict=True)
        return [(variable, average) for variable, average in pairs if average is not None]

    def swap_averages(self) -> None:
        """Exchange weights and averages exactly; a second call restores them."""
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
        if not self.gradient_accumulation_steps:
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
        """Whether each update is one operation, which `multiply_no_nan` guards."""
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
        # Both outcomes are computed: a branch would need all variables and gradients as inputs.
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
        # One fused operation makes the graph much smaller and needs a single pass over memory.
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
        """Run the updates one after another, so that the tensors of each are freed before the next.

        Yields:
            A list, to which the block adds the operations that the next update waits for.
        """
        import tensorflow as tf

        turns: list[Any] = []
        with tf.control_dependencies(self._shared.get("turns", [])):
            yield turns
        self._shared["turns"] = turns

    def _scalars(self, dtype: Any, learning_rate: Tensor) -> dict[str, Any]:
        """Return the scalars that the updates of all variables of a dtype share.

        If the gradient is not finite, `clip` and the learning rate are 0, and the moments do not
        decay.
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
        if self.gradient_accumulation_steps:
            self.gradient_norm.assign(_global_norm(grads))
        if not self.global_clipnorm:
            return super()._clip_gradients(grads)
        factors = {dtype: ops.cast(self._clip_factor(), dtype) for dtype in _dtypes(grads)}
        return [None if g is None else g * factors[g.dtype] for g in grads]

    def _update_model_variables_moving_average(
        self, trainable_variables: Sequence[keras.Variable]
    ) -> None:
        t = ops.cast(self.iterations, "float32")
        warm = ops.minimum(self.ema_momentum, (1.0 + t) / (10.0 + t))
        share = 1.0 - ops.where(t > 0, warm, 0.0)  # the first average equals the first weight
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
        """Keep the trained weights at the end of `fit`, where Keras would assign the averages."""


def _dtypes(tensors: Sequence[Any]) -> set[Any]:
    return {t.dtype for t in tensors if t is not None}


def _global_norm(gradients: Sequence[Tensor | None]) -> Tensor:
    present = [g for g in gradients if g is not None]
    if present and keras.backend.backend() == "tensorflow":
        import tensorflow as tf  # `l2_loss` is half of the sum of squares and stores no squares

        halves = [ops.cast(tf.nn.l2_loss(_at_least_float32(g)), "float32") for g in present]
        return tf.sqrt(2.0 * tf.add_n(halves))
    return ops.sqrt(sum(ops.sum(ops.square(ops.cast(g, "float32"))) for g in present))


def _at_least_float32(x: Tensor) -> Tensor:
    return ops.cast(x, keras.backend.result_type(x.dtype, "float32"))


def compile_flow(flow: "Flow", training: Mapping[str, Any]) -> None:
    """Compile a flow with its optimizer, and build the optimizer, so that it can be restored.

    Args:
        flow: the flow.
        training: training settings: `learning_rate`, `warmup_steps`, `decay_steps`, and optionally
            `halve_steps`, `noam`, `rectified`, `beta_2`, `clip_norm` and `plateau`.
    """
    schedule = WarmUp(
        training["learning_rate"],
        training["warmup_steps"],
        training["decay_steps"],
        training.get("halve_steps"),
        training.get("noam", False),
    )
    optimizer = GuardedAdam(
        schedule,
        beta_2=training.get("beta_2", 0.999),
        rectified=training.get("rectified", False),
        global_clipnorm=training.get("clip_norm", GRADIENT_NORM),
        use_ema=True,
        ema_momentum=EMA_MOMENTUM,
        anneals=bool(training.get("plateau")),
        name="adam",
    )
    flow.compile(optimizer, jit_compile=_jit_compile(flow))
    optimizer.build(flow.trainable_variables)


def _jit_compile(flow: "Flow") -> bool:
    if keras.backend.backend() == "jax":
        return True
    import tensorflow as tf

    # XLA is slower than TensorFlow's kernels on a CPU, and lacks slogdet for `mixing="plain"`.
    return bool(tf.config.list_physical_devices("GPU")) and (
        flow.get_config().get("mixing") != "plain"
    )


def capture(flow: "Flow") -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the averaged weights and the state that training continues from.

    Returns:
        Two dictionaries of numpy arrays by path: the averaged weights; and the trained weights, the
        averages, the state of the optimizer and the random state."""
    synchronise(flow)
    averages = {id(v): average for v, average in flow.optimizer.averages()}
    model = {v.path: ops.convert_to_numpy(averages.get(id(v), v)) for v in flow.weights}
    state = {path: ops.convert_to_numpy(v) for path, v in _variables(flow).items()}
    return model, state


def restore(flow: "Flow", checkpoint: Checkpoint) -> None:
    """Assign trained weights, optimizer, averages and random state from a checkpoint.

    A checkpoint of one backend can be restored on another, because integers are converted to the
    width that the backend uses.

    Raises:
        DataError: the checkpoint is damaged or belongs to another model.
    """
    variables = _variables(flow)
    tensors = read_tensors(checkpoint.state, described(variables))
    for path, variable in variables.items():
        variable.assign(tensors[path])


def synchronise(flow: "Flow") -> None:
    """Update the variables of a flow during `fit`; on JAX, `fit` stores their values elsewhere."""
    if keras.backend.backend() == "jax" and getattr(flow, "_jax_state", None) is not None:
        flow.jax_state_sync()


def current(flow: "Flow", variable: keras.Variable) -> Any:
    """Return the value of a variable of the optimizer during `fit`, as an array of numpy.

    On JAX this reads one variable, where `synchronise` assigns all of them.
    """
    state = getattr(flow, "_jax_state", None)
    if state is None or flow._jax_state_synced:
        return ops.convert_to_numpy(variable)
    index = next(i for i, known in enumerate(flow.optimizer.variables) if known is variable)
    return ops.convert_to_numpy(state["optimizer_variables"][index])


def _variables(flow: "Flow") -> dict[str, keras.Variable]:
    variables = [*flow.variables, *flow.optimizer.variables]
    named = {v.path: v for v in variables}
    if len(named) != len(variables):
        raise RuntimeError("Expected every variable to have its own path. Received: equal paths.")
    return named
