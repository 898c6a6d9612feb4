"""Load trained runs: create the flow of a run and assign the weights of a checkpoint."""

import contextlib
import functools
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from singlow.backend import start_backend
from singlow.errors import UsageError
from singlow.runs.checkpoint import Checkpoint
from singlow.runs.run import Run, find
from singlow.runs.tensors import described, read_tensors

if TYPE_CHECKING:
    from singlow.models.flow import Flow

CHECKPOINTS = Path("checkpoints")


@dataclass(repr=False)
class TrainedRun:
    """A run, one of its checkpoints, and the flow with the weights of this checkpoint.

    Attributes:
        run: the run, with its directories.
        config: settings of the run.
        checkpoint: checkpoint that the weights are read from.
        flow: the flow with the averaged weights of the checkpoint.
    """

    run: Run
    config: dict[str, Any]
    checkpoint: Checkpoint
    flow: "Flow"

    @functools.cached_property
    def coder(self) -> "Flow":
        """The flow folded for inference, for recordings of any length."""
        return self.flow.for_inference()

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of the file with the weights, in hexadecimal."""
        return self.checkpoint.manifest["sha256"]["model.safetensors"]

    @property
    def name(self) -> str:
        """The name of the run."""
        return self.run.name

    def __repr__(self) -> str:
        return f"<TrainedRun {self.name}, {self.config['preset']}, epoch {self.checkpoint.epoch}>"


def open_run(
    run: str | os.PathLike | Run | TrainedRun,
    epoch: str | int = "newest",
    checkpoints: str | os.PathLike | None = None,
) -> TrainedRun:
    """Load a trained run.

    Args:
        run: name of the run, path of its folder, or a run that is already open.
        epoch: `"newest"`, `"best"` (by the held-out loss) or the number of an epoch; ignored for a
            run that is already open.
        checkpoints: folder of all runs, in which the name is looked up; `checkpoints` by default.

    Returns:
        The run with its flow. `flow` encodes, decodes and samples; `coder` is the same flow, folded
        for inference.

    Raises:
        UsageError: there is no such run or epoch.
        DataError: the run is damaged.

    Example:
        >>> import singlow
        >>> run = singlow.open_run("mine")  # doctest: +SKIP
        >>> x, lengths = run.coder.sample(count=2, length=32000)  # doctest: +SKIP
    """
    if isinstance(run, TrainedRun):
        return run
    if not isinstance(run, Run):
        run = find(os.fspath(run), Path(checkpoints or CHECKPOINTS).expanduser())
    config = run.config
    checkpoint = run.checkpoint(str(epoch))
    return TrainedRun(run, config, checkpoint, load_flow(config, checkpoint))


def require_input(run: TrainedRun, name: str, advice: str = "use another run") -> None:
    """Raise an error if the flow of a run does not have an input.

    Args:
        run: the run.
        name: name of the input, for instance `"speaker"`.
        advice: what the user can do instead, for the message.

    Raises:
        UsageError: the flow does not have the input.
    """
    if name not in run.flow.inputs:
        raise UsageError(
            f"Expected a run with the input {name}. Received: {run.name}, a {run.config['model']} "
            f"{_with(run)}; {advice}."
        )


def require_no_inputs(run: TrainedRun, advice: str = "use another run") -> None:
    """Raise an error if the flow of a run has inputs besides `x`.

    Args:
        run: the run.
        advice: what the user can do instead, for the message.

    Raises:
        UsageError: the flow has an input.
    """
    if run.flow.inputs:
        raise UsageError(
            f"Expected a run without inputs. Received: {run.name}, a {run.config['model']} "
            f"{_with(run)}; {advice}."
        )


def _with(run: TrainedRun) -> str:
    names = ", ".join(run.flow.inputs)
    return f"with the input {names}" if names else "without inputs"


def build_flow(config: Mapping[str, Any], dtype: str = "float32", **overrides: Any) -> "Flow":
    """Create the flow that the settings of a run describe; the run's seed sets the initial weights.

    Args:
        config: settings of a run.
        dtype: type of the weights, `"float32"`, or `"float64"` for reference results.
        overrides: constructor arguments that replace those of the run.

    Raises:
        UsageError: the model is unknown, has no such argument, or a value is out of its range.
    """
    start_backend()
    import keras

    from singlow.models.registry import build_model

    keras.utils.set_random_seed(int(config["training"]["seed"]))
    with plain_keras(dtype):
        return build_model(config["model"], {**config["arguments"], **overrides})


def load_flow(config: Mapping[str, Any], checkpoint: Checkpoint, dtype: str = "float32") -> "Flow":
    """Create the flow of a run with the averaged weights of a checkpoint.

    The networks compute in full precision, even if the run trains them in bfloat16.

    Args:
        config: settings of a run.
        checkpoint: checkpoint that the weights are read from.
        dtype: type of the weights, `"float32"`, or `"float64"` for reference results.

    Raises:
        DataError: the checkpoint is damaged or belongs to another model.
        UsageError: the model is unknown, has no such argument, or a value is out of its range.
    """
    start_backend()
    full = {"precision": "float32"} if "precision" in config["arguments"] else {}
    flow = build_flow(config, dtype, **full)
    load_averages(flow, checkpoint)
    return flow


def load_averages(flow: "Flow", checkpoint: Checkpoint) -> None:
    """Assign the averaged weights of a checkpoint to a flow of any precision.

    Raises:
        DataError: the checkpoint is damaged or belongs to another model.
    """
    variables = {v.path: v for v in flow.weights}
    stored = {
        path: ("float32" if kind == "float64" else kind, shape)
        for path, (kind, shape) in described(variables).items()
    }
    for path, tensor in read_tensors(checkpoint.model, stored).items():
        variables[path].assign(tensor.astype(variables[path].dtype))


@contextlib.contextmanager
def plain_keras(dtype: str = "float32") -> Iterator[None]:
    """Set the defaults of Keras in the block, and restore the user's configuration afterwards.

    Args:
        dtype: type of the layers that the block creates, `"float32"` or `"float64"`.
    """
    import keras

    floatx, policy = keras.config.floatx(), keras.config.dtype_policy()
    data_format = keras.config.image_data_format()
    keras.config.set_floatx(dtype)
    keras.config.set_dtype_policy(dtype)
    keras.config.set_image_data_format("channels_last")
    try:
        yield
    finally:
        keras.config.set_floatx(floatx)
        keras.config.set_dtype_policy(policy)
        keras.config.set_image_data_format(data_format)
