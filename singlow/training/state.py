"""A flow and its optimizer: made from a run's settings, taken apart into tensors, put back."""

import inspect
from collections.abc import Mapping
from typing import Any

from singlow.errors import DataError, UsageError
from singlow.training.backend import start_backend
from singlow.training.checkpoint import Checkpoint
from singlow.training.tensors import Description, read_tensors

EMA_MOMENTUM = 0.999
GRADIENT_NORM = 10.0


def build_flow(config: Mapping[str, Any], **overrides: Any) -> Any:
    """The flow of a run's settings, its weights drawn from the run's seed.

    Args:
        config: what config.json says.
        overrides: arguments of the model to replace.

    Raises:
        UsageError: the model has no such argument, or a value does not suit it.
    """
    start_backend()
    import keras

    from singlow.models.registry import MODELS, build_model

    arguments = {**config["arguments"], **overrides}
    if config["model"] in MODELS:
        _check_kinds(MODELS[config["model"]], arguments)
    keras.utils.set_random_seed(int(config["training"]["seed"]))
    return build_model(config["model"], arguments)


def settled(config: Mapping[str, Any], flow: Any) -> tuple[dict[str, Any], Any]:
    """The settings with every argument of the flow, also those nobody set, and the flow for them.

    A flow that is given who speaks is made again for the speakers of the run's data.

    Raises:
        DataError: there is only one, or nothing of one to train on or to hold out.
    """
    from singlow.data.corpora import sources_of
    from singlow.data.dataset import read_info
    from singlow.data.heldout import require_everybody

    arguments = {key: value for key, value in flow.get_config().items() if key != "name"}
    if "speakers" in arguments:
        count = len(config["data"]["singers"])
        source = " ".join(sources_of(config["data"]["dataset"]))
        if count < 2:
            raise DataError(
                f"{source}: Expected recordings of at least two speakers, a "
                f"folder each. Received: those of {config['data']['singers'][0]} alone."
            )
        require_everybody(read_info(config["data"]["directory"]), source, flow.multiple)
        if count != arguments["speakers"]:
            arguments["speakers"] = count
            flow = build_flow({**config, "arguments": arguments})
    return {**config, "arguments": arguments}, flow


def compile_flow(flow: Any, training: Mapping[str, Any]) -> None:
    """Give the flow its optimizer, built, so that its state can be read and set."""
    import keras

    from singlow.training.optimizer import GuardedAdam
    from singlow.training.schedule import WarmUp

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
    tensors = read_tensors(checkpoint.state, _described(variables))
    for path, variable in variables.items():
        variable.assign(tensors[path])


def load_averages(flow: Any, checkpoint: Checkpoint) -> None:
    """Give a flow of any precision the averaged weights of a checkpoint.

    Raises:
        DataError: the checkpoint is of another model.
    """
    variables = {v.path: v for v in flow.weights}
    stored = {
        path: ("float32" if kind == "float64" else kind, shape)
        for path, (kind, shape) in _described(variables).items()
    }
    for path, tensor in read_tensors(checkpoint.model, stored).items():
        variables[path].assign(tensor.astype(variables[path].dtype))


def load_flow(config: Mapping[str, Any], checkpoint: Checkpoint, dtype: str = "float32") -> Any:
    """A run's flow with its averaged weights, its networks in full precision too.

    Args:
        config: what config.json says.
        checkpoint: whose weights.
        dtype: `"float32"`, or `"float64"` for a reference.

    Raises:
        DataError: the checkpoint is of another model.
    """
    start_backend()
    import keras

    before = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx(dtype)
    keras.config.set_dtype_policy(dtype)
    try:
        flow = build_flow(config, precision="float32")
    finally:
        keras.config.set_floatx(before[0])
        keras.config.set_dtype_policy(before[1])
    load_averages(flow, checkpoint)
    return flow


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


def _described(variables: Mapping[str, Any]) -> Description:
    return {path: (str(v.dtype), tuple(v.shape)) for path, v in variables.items()}


def _check_kinds(model: type, arguments: Mapping[str, Any]) -> None:
    for key, parameter in inspect.signature(model).parameters.items():
        default = parameter.default
        if key not in arguments or default is inspect.Parameter.empty:
            continue
        value = arguments[key]
        if isinstance(default, tuple | list):
            right = isinstance(value, list | tuple) and all(type(v) is int for v in value)
            kind = "a list of whole numbers, as in [3,1,3]"
        elif isinstance(default, float):
            right, kind = type(value) in (int, float), "a number"
        else:
            right, kind = type(value) is type(default), _KINDS[type(default)]
        if not right:
            raise UsageError(f"Expected {key} to be {kind}. Received: {key}={value!r}.")


_KINDS = {int: "a whole number", bool: "true or false", str: "a word"}
