"""Trained runs, opened: the flow of a run with the weights of one of its checkpoints."""

import functools
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from singlow.backend import start_backend
from singlow.errors import UsageError
from singlow.runs.checkpoint import Checkpoint
from singlow.runs.run import Run, find
from singlow.runs.tensors import described, read_tensors

CHECKPOINTS = Path("checkpoints")


@dataclass
class Opened:
    """A run with one of its checkpoints, and the flow loaded from it."""

    run: Run
    config: dict[str, Any]
    checkpoint: Checkpoint
    flow: Any

    @functools.cached_property
    def coder(self) -> Any:
        """The flow folded for inference, on recordings of any length."""
        return self.flow.for_inference()

    @property
    def fingerprint(self) -> str:
        """Of the weights: the SHA-256 of their file."""
        return self.checkpoint.manifest["sha256"]["model.safetensors"]


def open_run(
    name: str,
    epoch: str = "newest",
    speakers: bool | None = None,
    advice: str = "use migrate",
) -> Opened:
    """Load a run by its name under checkpoints/, or by its path.

    Args:
        name: or path.
        epoch: which checkpoint.
        speakers: whether the flow must be one that is told who speaks, or must not; None for any.
        advice: what to do with one that is not told.

    Raises:
        UsageError: there is no such run or epoch, or it is of the other kind.
        DataError: it is damaged.
    """
    run = find(name, CHECKPOINTS)
    config = run.config
    _check_kind(run, config, speakers, advice)
    checkpoint = run.checkpoint(epoch)
    return Opened(run, config, checkpoint, load_flow(config, checkpoint))


def _check_kind(run: Run, config: dict[str, Any], speakers: bool | None, advice: str) -> None:
    if speakers is None or speakers == ("speakers" in config["arguments"]):
        return
    if speakers:
        raise UsageError(
            f"Expected a run whose flow is told who speaks. Received: {run.name}, which is of "
            f"{config['model']}; {advice}."
        )
    raise UsageError(
        f"Expected a run whose flow is not told who speaks. Received: {run.name}, which is of "
        f"{config['model']}; use convert."
    )


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


def load_averages(flow: Any, checkpoint: Checkpoint) -> None:
    """Give a flow of any precision the averaged weights of a checkpoint.

    Raises:
        DataError: the checkpoint is of another model.
    """
    variables = {v.path: v for v in flow.weights}
    stored = {
        path: ("float32" if kind == "float64" else kind, shape)
        for path, (kind, shape) in described(variables).items()
    }
    for path, tensor in read_tensors(checkpoint.model, stored).items():
        variables[path].assign(tensor.astype(variables[path].dtype))


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
