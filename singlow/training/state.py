"""A flow and its optimizer: made from a run's settings, taken apart into tensors, put back."""

from collections.abc import Mapping
from typing import Any

from singlow.errors import DataError
from singlow.runs.checkpoint import Checkpoint
from singlow.runs.opening import build_flow
from singlow.runs.tensors import described, read_tensors

EMA_MOMENTUM = 0.999
GRADIENT_NORM = 10.0


def settled(config: Mapping[str, Any], flow: Any) -> tuple[dict[str, Any], Any]:
    """The settings with every argument of the flow, also those nobody set, and the flow for them.

    A flow that is given who speaks is made again for the speakers of the run's data.

    Raises:
        DataError: there is only one, or nothing of one to train on or to hold out.
    """
    from singlow.data.sources.layouts import sources_of
    from singlow.data.sources.splits import require_all_singers
    from singlow.data.store.dataset import read_info

    arguments = {key: value for key, value in flow.get_config().items() if key != "name"}
    if "speakers" in arguments:
        count = len(config["data"]["singers"])
        source = " ".join(sources_of(config["data"]["dataset"]))
        if count < 2:
            raise DataError(
                f"{source}: Expected recordings of at least two speakers, a "
                f"folder each. Received: those of {config['data']['singers'][0]} alone."
            )
        require_all_singers(read_info(config["data"]["directory"]), source, flow.multiple)
        if count != arguments["speakers"]:
            arguments["speakers"] = count
            flow = build_flow({**config, "arguments": arguments})
    return {**config, "arguments": arguments}, flow


def compile_flow(flow: Any, training: Mapping[str, Any]) -> None:
    """Give the flow its optimizer, built, so that its state can be read and set."""
    import keras

    from singlow.training.optimizer import GuardedAdam
    from singlow.training.schedules import WarmUp

    schedule = WarmUp(training["learning_rate"], training["warmup_steps"], training["decay_steps"])
    optimizer = GuardedAdam(
        schedule,
        global_clipnorm=GRADIENT_NORM,
        use_ema=True,
        ema_momentum=EMA_MOMENTUM,
        anneals=bool(training.get("plateau")),
        name="adam",
    )
    flow.compile(optimizer, jit_compile=_jit_compile(flow, keras.backend.backend()))
    optimizer.build(flow.trainable_variables)


def _jit_compile(flow: Any, backend: str) -> bool:
    if backend == "jax":
        return True
    import tensorflow as tf

    # XLA is slower than plain kernels on a CPU, and TensorFlow's lacks the plain form's slogdet.
    return bool(tf.config.list_physical_devices("GPU")) and (
        flow.get_config().get("mixing") != "plain"
    )


def capture(flow: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The averaged weights, and everything that training goes on from: tensors by path."""
    from keras import ops

    synchronise(flow)
    averages = {id(v): average for v, average in flow.optimizer.averages()}
    model = {v.path: ops.convert_to_numpy(averages.get(id(v), v)) for v in flow.weights}
    state = {path: ops.convert_to_numpy(v) for path, v in _everything(flow).items()}
    return model, state


def restore(flow: Any, checkpoint: Checkpoint) -> None:
    """Put trained weights, optimizer, averages and random state back as they were.

    Raises:
        DataError: the checkpoint is of another model.
    """
    variables = _everything(flow)
    tensors = read_tensors(checkpoint.state, described(variables))
    for path, variable in variables.items():
        variable.assign(tensors[path])


def synchronise(flow: Any) -> None:
    """Bring the variables up to date, which JAX's `fit` does not do by itself."""
    import keras

    if keras.backend.backend() == "jax" and getattr(flow, "_jax_state", None) is not None:
        flow.jax_state_sync()


def _everything(flow: Any) -> dict[str, Any]:
    variables = [*flow.variables, *flow.optimizer.variables]
    named = {v.path: v for v in variables}
    if len(named) != len(variables):
        raise RuntimeError("Expected every variable to have a path of its own. Received: doubles.")
    return named
