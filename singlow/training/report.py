"""Reports of training: before it starts, at its end, and for a dry run."""

import math
import os
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from singlow.data.sources.layouts import sources_of
from singlow.devices import Devices
from singlow.names import shown
from singlow.runs.data import positions_per_second, window_length
from singlow.runs.opening import TrainedRun, build_flow, plain_keras
from singlow.runs.run import Run
from singlow.runs.settings import Request, resolve
from singlow.streams import escape

_NAMED = 10  # largest number of clips that are named

if TYPE_CHECKING:
    from singlow.data.feed.windows import Windows
    from singlow.models.flow import Flow


def introduce(
    flow: "Flow", run: Run, config: Mapping[str, Any], train: "Windows", held_out: "Windows"
) -> None:
    """Print the size of a model, the length of its training, and the data that it is trained on."""
    data, training = config["data"], config["training"]
    count = len(data["singers"])
    if "height" in data:
        kind = "pictures"
        facts = (
            f"{count} class{'es' if count != 1 else ''}, {data['width']} x {data['height']} pixels"
        )
    else:
        kind = "clips"
        facts = f"{count} singer{'s' if count != 1 else ''}, {data['sample_rate']} Hz"
    print(
        f"{shown(run.name)}: {escape(config['preset'])}, {_weights(flow):,} weights, "
        f"{training['epochs']} epochs of {training['steps_per_epoch']} batches of "
        f"{training['batch_size']}."
    )
    print(
        f"{' '.join(map(shown, sources_of(data['dataset'])))}: {train.clips} {kind} to train on "
        f"and {held_out.clips} held out, {facts}; records in "
        f"{escape(os.path.relpath(data['directory']))}."
    )
    for windows in (train, held_out):
        _report_left_out(getattr(windows, "left_out", []))


def _report_left_out(left_out: Sequence[tuple[str, str]]) -> None:
    for name, reason in left_out[:_NAMED]:
        print(f"Left out: {shown(name)}: {escape(reason)}")
    if len(left_out) > _NAMED:
        print(f"Left out: {len(left_out) - _NAMED} more.")


def conclude(trained: TrainedRun, train: "Windows", held_out: "Windows") -> None:
    """Print the likelihoods of a run, its folder, its samples, and the command of TensorBoard."""
    from singlow.evaluation.likelihood import measure, table
    from singlow.tables import print_tables

    run = trained.run
    measured = measure(trained.flow, train, held_out)
    samples = sorted((run.logs / "samples").glob(f"epoch-{trained.checkpoint.epoch:04d}-t*"))
    print()
    print_tables(table({"": measured[""]}, run.name))
    print(f"Run          {escape(os.path.relpath(run.directory))}")
    print(f"TensorBoard  tensorboard --logdir {shlex.quote(escape(os.path.relpath(run.logs)))}")
    audible = any(path.suffix == ".wav" for path in samples)
    suffix = ".wav" if audible else trained.flow.signal.suffix
    for index, path in enumerate(path for path in samples if path.suffix == suffix):
        print(f"{'Samples' if index == 0 else '':13}{escape(os.path.relpath(path))}")


def describe(
    run: str | os.PathLike | None = None,
    fresh: bool = False,
    checkpoints: str | os.PathLike = "checkpoints",
    logs: str | os.PathLike = "logs",
    data_dir: str | os.PathLike | None = None,
    **settings: Any,
) -> None:
    """Print the size, receptive field, latents, memory and step time of a model, for a dry run.

    Args:
        run: name of the run, or the path of its folder; the preset's name when `None`.
        fresh: whether to ignore an existing run.
        checkpoints: folder with one folder for each run.
        logs: folder with the logs of each run.
        data_dir: ignored, because a dry run prepares no data.
        **settings: `model`, `preset`, `dataset`, `layout`, `arguments` and training settings; see
            `singlow.train`.

    Raises:
        UsageError: a setting is unknown or out of its range, a source does not exist, or the run
            exists with other settings.
    """
    from singlow.data.sources.layouts import require_sources
    from singlow.training.fit import locate_run

    request = Request.of(**settings)
    if request.dataset is not None:
        require_sources(request.dataset)
    config = resolve(request, locate_run(request, run, checkpoints, logs), fresh)
    with Devices(config["training"]["devices"]).scope():
        flow = build_flow(config)
        window, batch_size = window_length(config, flow), config["training"]["batch_size"]
        batch = flow.dummy_inputs(batch_size, window)
        seconds = _seconds_per_step(flow, batch, config["training"])
    memory = _peak_memory()
    latents = ", ".join(str(tuple(shape[1:])) for shape in flow.latent_shapes(1, window))
    print(f"Preset           {config['preset']}")
    print(f"Parameters       {_weights(flow):,}")
    if flow.signal.maskable:
        rate = positions_per_second(flow.signal)
        if hasattr(flow, "receptive_field"):
            field = sum(flow.receptive_field) + 1
            print(f"Receptive field  {field} samples of one coupling ({1e3 * field / rate:.0f} ms)")
        print(
            f"Window           {window} samples ({window / rate:.3f} s), a multiple of "
            f"{flow.multiple}"
        )
    print(f"Latents          {latents}")
    if memory is not None:
        print(
            f"Memory           {memory:.2f} GB at its peak, libraries included, batch {batch_size}"
        )
    print(f"Seconds a step   {seconds:.3f}")


def _seconds_per_step(flow: "Flow", batch: dict[str, Any], training: Mapping[str, Any]) -> float:
    from singlow.training.optimizer import compile_flow

    flow.adapt(batch)
    with plain_keras():
        compile_flow(flow, training)
    flow.train_on_batch(batch)
    start = time.perf_counter()
    for _ in range(3):
        flow.train_on_batch(batch)
    return (time.perf_counter() - start) / 3


def _weights(flow: "Flow") -> int:
    return sum(math.prod(variable.shape) for variable in flow.trainable_variables)


def _peak_memory() -> float | None:
    """Return the peak memory of this process in GB, or `None` if the system does not measure it."""
    try:
        import resource
    except ImportError:
        return None
    unit = 1 if sys.platform == "darwin" else 1024  # bytes
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9
