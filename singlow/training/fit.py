"""Train a run: prepare its data, initialise or restore the flow, fit it, and report results."""

import contextlib
import errno
import os
import shlex
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from singlow.backend import describe_machine
from singlow.devices import Devices
from singlow.errors import DataError, EnvironmentFault, Interrupted, UsageError
from singlow.names import shown
from singlow.runs.data import open_windows, prepare_data, window_length
from singlow.runs.opening import TrainedRun, build_flow, load_averages, open_run, plain_keras
from singlow.runs.run import Run, locate
from singlow.runs.settings import Request, changes_since, resolve

if TYPE_CHECKING:
    from singlow.data.feed.utterances import Utterances
    from singlow.data.feed.windows import Windows
    from singlow.models.flow import Flow

_LABELS = {"speaker": ("speakers", "num_speakers"), "label": ("classes",)}
"""Inputs of ids, and the names of the constructor argument for their number."""


def train(
    model: str | None = None,
    preset: str | None = None,
    dataset: str | os.PathLike | Sequence[str | os.PathLike] | None = None,
    *,
    layout: str | None = None,
    data_dir: str | os.PathLike | None = None,
    run: str | os.PathLike | None = None,
    fresh: bool = False,
    arguments: Mapping[str, Any] | None = None,
    checkpoints: str | os.PathLike = "checkpoints",
    logs: str | os.PathLike = "logs",
    **training: Any,
) -> TrainedRun:
    """Train a flow on recordings, or continue a run that exists.

    An argument that is missing or `None` has the value of the preset, or of the run if it exists.
    The function sets the random seeds of Keras, numpy and Python.

    Args:
        model: name of the model, `"singlow"` by default.
        preset: name of a preset, by default the first of the model.
        dataset: `"builtin"` (the default), `"spoken"` or another built-in corpus, one or several
            folders of recordings, `LABEL=DIR` to name a singer or a style, or a folder of records.
        layout: where the singers' names come from; see `singlow.prepare`.
        data_dir: folder in which the records of a folder of recordings are stored; beside the
            recordings when `None`.
        run: name of the run, or the path of its folder; the preset's name when `None`.
        fresh: whether to rename an existing run of this name and start again.
        arguments: constructor arguments of the model, for instance `{"k_glow": 4}`.
        checkpoints: folder with one folder for each run.
        logs: folder with the TensorBoard events and the samples of each run.
        **training: training settings: `window_size` (seconds), `batch_size`, `epochs`,
            `steps_per_epoch`, `learning_rate`, `warmup_steps`, `decay_steps` and `halve_steps`
            (`None` for no decay), `clip_norm`, `temperature`, `seed`, `patience`, `plateau`,
            `restarts`, `augment`, `balanced`, `min_rms`, `noam`, `rectified`, `beta_2`, `devices`
            (number of devices that every batch is distributed over, on JAX; like `epochs` and
            `patience` it may change when a run continues).

    Returns:
        The run with its newest checkpoint.

    Raises:
        UsageError: a setting is unknown or out of its range, the run exists with other settings, or
            another process trains it.
        DataError: the recordings cannot be used, or are not those that the run began with.
        EnvironmentFault: a folder cannot be written, or the disk is full.
        Interrupted: Ctrl-C or SIGTERM ends training; the same call continues the run.

    Example:
        >>> import singlow
        >>> run = singlow.train(preset="singlow_tiny", epochs=1)  # doctest: +SKIP
        >>> x, lengths = run.coder.sample(count=2, length=32000)  # doctest: +SKIP
    """
    from singlow.training import report

    request = Request.of(
        model=model,
        preset=preset,
        dataset=dataset,
        layout=layout,
        arguments=arguments,
        **training,
    )
    place = locate_run(request, run, checkpoints, logs)
    config = resolve(request, place, fresh)
    place.require_free()
    devices = Devices(config["training"]["devices"])
    with devices.scope():
        flow = build_flow(config)
    window_length(config, flow)
    config = prepare_data(
        config,
        data_dir,
        dataset=request.dataset,
        signal=flow.signal,
        name=place.name,
        report=print,
    )
    with devices.scope():
        config, flow = with_all_arguments(config, flow)
    if not place.exists or fresh:
        config["machine"] = describe_machine(devices.count)
    windows = open_windows(config, flow)
    report.introduce(flow, place, config, *windows)
    with place.begin(config, fresh):
        fit(flow, place, config, *windows)
    trained = open_run(place)
    report.conclude(trained, *windows)
    return trained


def locate_run(
    request: Request,
    run: str | os.PathLike | None,
    checkpoints: str | os.PathLike,
    logs: str | os.PathLike,
) -> Run:
    """Return the run of a request, which may not exist yet.

    Raises:
        UsageError: the name cannot be that of a folder, or the model is unknown.
    """
    places = (Path(place).expanduser() for place in (checkpoints, logs))
    return locate(os.fspath(run or request.name), *places)


def with_all_arguments(config: Mapping[str, Any], flow: "Flow") -> tuple[dict[str, Any], "Flow"]:
    """Return the settings with all arguments of the flow, and the flow for the labels of the data.

    A flow with the input `speaker` or `label` needs an id for each singer, or each class, of the
    data. If the numbers differ, and the constructor of the flow has the argument `speakers`,
    `num_speakers` or `classes`, the flow is built again. For pictures of a single class, `classes`
    is 0.

    Raises:
        DataError: the data has a single singer, or a singer has no training clip or no held-out
            clip.
        UsageError: the flow has too few ids and no such argument.
    """
    from singlow.data.sources.layouts import sources_of
    from singlow.data.sources.splits import require_all_singers
    from singlow.data.store.dataset import read_info

    arguments = {key: value for key, value in flow.get_config().items() if key != "name"}
    for name, known in _LABELS.items():
        if name not in flow.inputs:
            continue
        argument = next((each for each in known if each in arguments), known[0])
        labels, ids = config["data"]["singers"], flow.inputs[name].size
        source = " ".join(map(shown, sources_of(config["data"]["dataset"])))
        count = len(labels)
        if name == "speaker":
            if count < 2:
                raise DataError(
                    f"{source}: Expected recordings of at least two speakers, a folder each. "
                    f"Received: those of {shown(labels[0])} alone."
                )
            require_all_singers(read_info(config["data"]["directory"]), source, flow.multiple)
        elif count < 2:
            count = 0
        if ids != count and argument in arguments:
            arguments[argument] = count
            flow = build_flow({**config, "arguments": arguments})
        elif ids < count:
            raise UsageError(
                f"Expected {config['model']} with at least {count} ids of {known[0]}, as many as "
                f"{source} has. Received: {ids}."
            )
    return {**config, "arguments": arguments}, flow


def large_batch(windows: "Windows | Utterances", batches: int) -> dict[str, np.ndarray]:
    """Return several batches as one, so that the initialisation from data depends on many clips.

    Batches of different lengths are padded with zeros; their masks mark what is valid.
    """
    parts = [windows.batch(step) for step in range(batches)]
    joined = {}
    for name in parts[0]:
        arrays = [part[name] for part in parts]
        longest = max(array.shape[1] for array in arrays) if arrays[0].ndim > 1 else 0
        joined[name] = np.concatenate([_padded(array, longest) for array in arrays])
    return joined


def _padded(array: np.ndarray, length: int) -> np.ndarray:
    """Return an array with zeros up to a length of its second axis."""
    missing = length - array.shape[1] if array.ndim > 1 else 0
    return np.pad(array, [(0, 0), (0, missing), *[(0, 0)] * (array.ndim - 2)]) if missing else array


def fit(
    flow: "Flow",
    run: Run,
    config: Mapping[str, Any],
    train: "Windows | Utterances",
    held_out: "Windows | Utterances",
) -> None:
    """Train until the run's last epoch, from its newest checkpoint or from new weights.

    Args:
        flow: a flow that `build_flow` returned, in the scope of the run's devices.
        run: the run, which `begin` has locked.
        config: settings of the run.
        train: the training windows.
        held_out: the held-out windows.

    Raises:
        Interrupted: Ctrl-C or SIGTERM ends training; the run can continue from its newest
            checkpoint.
        DataError: every checkpoint is damaged.
        EnvironmentFault: a checkpoint does not fit on the disk.
    """
    from singlow.runs.events import EventLog
    from singlow.training import callbacks
    from singlow.training.optimizer import compile_flow, restore
    from singlow.training.samples import SampleWriter

    training = config["training"]
    steps = training["steps_per_epoch"]
    devices = Devices(training["devices"])
    newest = run.checkpoint() if run.checkpoints() else None
    imported = newest is not None and "imported" in newest.manifest
    if newest is None:
        flow.adapt(devices.place(large_batch(train, flow.adapt_batches)))
    elif imported:
        load_averages(flow, newest)
    with plain_keras(), devices.scope():
        compile_flow(flow, training)
        # In this scope, Keras keeps the updated variables copied to all devices.
        flow.make_train_function()
        flow.make_test_function()
    done, history, changes = 0, [], ""
    if newest is not None:
        if not imported:
            restore(flow, newest)
        done, history = newest.epoch, list(newest.history)
        print(f"Going on with {shown(run.name)} after epoch {done}.")
        changes = changes_since(config, describe_machine(devices.count))
    patience = callbacks.Patience(training["patience"], history)
    plateau = callbacks.Plateau(training["plateau"], training["restarts"], history)
    if done >= training["epochs"] or patience.exhausted or plateau.exhausted:
        print(f"{shown(run.name)} has been trained for {done} epochs; --epochs N lengthens it.")
        return
    if changes:
        print(changes)
    interactive = sys.stdout.isatty() or "ipykernel" in sys.modules
    with (
        _stoppable(run, training["epochs"]),
        _original_errors(train, held_out),
        contextlib.ExitStack() as open_logs,
    ):
        logs = [
            open_logs.enter_context(contextlib.closing(EventLog(run.logs / name, done * steps + 1)))
            for name in ("train", "validation")
        ]
        samples = SampleWriter(
            run.logs / "samples",
            logs[1],
            training["temperature"],
            training["seed"],
            held_out,
        )
        guard = callbacks.Guard(train, steps, logs[0])
        flow.fit(
            train.as_dataset(done * steps, place=devices.place),
            initial_epoch=done,
            epochs=training["epochs"],
            steps_per_epoch=steps,
            validation_data=held_out.as_dataset(place=devices.place),
            shuffle=False,
            verbose=1 if interactive else 2,
            callbacks=[
                callbacks.Progress(flow.monitor),
                guard,
                callbacks.Events(*logs, samples, guard, steps),
                callbacks.Inversion(devices.place(train.batch(0)), logs[0], steps),
                callbacks.History(flow.monitor, history),
                plateau,
                callbacks.Checkpoints(run, history),
                patience,
                callbacks.Averages(),
            ],
        )


@contextlib.contextmanager
def _original_errors(*windows: "Windows | Utterances") -> Iterator[None]:
    """Raise the original error if reading data fails, instead of the one that TensorFlow raises."""
    try:
        yield
    except Exception:
        for fault in (each.fault for each in windows if each.fault is not None):
            raise fault from None
        raise


@contextlib.contextmanager
def _stoppable(run: Run, epochs: int) -> Iterator[None]:
    """End training at Ctrl-C, SIGTERM or a full disk, and report the command that continues it.

    Raises:
        Interrupted: Ctrl-C or SIGTERM ends training.
        EnvironmentFault: the disk is full.
    """

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    # Only the main thread can set signal handlers.
    main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, stop) if main else None
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted(f"Interrupted; {_saved(run, epochs)}") from None
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise EnvironmentFault(
            f"{run.directory}: the disk is full; free some space; {_saved(run, epochs)}"
        ) from error
    finally:
        if main:
            signal.signal(signal.SIGTERM, before)


def _saved(run: Run, epochs: int) -> str:
    saved = run.checkpoints()
    kept = f"epoch {saved[-1].epoch} of {epochs} is saved" if saved else "nothing is saved yet"
    script = Path(sys.argv[0]).name == "train.py"
    words = ["python3", *(["train.py"] if script else ["-m", "singlow", "train"])]
    words += ["--run", run.argument]
    places = (run.directory.parent, run.logs.parent)
    named = run.argument == run.name
    if named and not script and places != (Path("checkpoints"), Path("logs")):
        words += ["--checkpoints", str(places[0]), "--logs", str(places[1])]
    return f"{kept}. Go on with: {shlex.join(words)}"
