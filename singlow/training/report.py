"""What train.py says before and after training."""

import math
import os
import sys
import time
from collections.abc import Mapping
from typing import Any

from singlow.data.sources.layouts import sources_of
from singlow.runs.run import Run


def introduce(flow: Any, run: Run, config: Mapping[str, Any], train: Any, held_out: Any) -> None:
    """Print what is about to be trained, on what."""
    data, training = config["data"], config["training"]
    singers = f"{len(data['singers'])} singer{'s' if len(data['singers']) != 1 else ''}"
    print(
        f"{run.name}: {config['preset']}, {_weights(flow):,} weights, "
        f"{training['epochs']} epochs of {training['steps_per_epoch']} batches of "
        f"{training['batch_size']}."
    )
    print(
        f"{' '.join(sources_of(data['dataset']))}: {train.clips} clips to train on and "
        f"{held_out.clips} held out, "
        f"{singers}, {flow.signal.sample_rate} Hz; records in {os.path.relpath(data['directory'])}."
    )


def conclude(run: Run, config: Mapping[str, Any], train: Any, held_out: Any) -> None:
    """Print where the run lies, how to look at it, what to listen to, and what it costs."""
    from rich.console import Console

    from singlow.evaluation.likelihood import measure, table
    from singlow.runs.opening import load_flow

    checkpoint = run.checkpoint()
    measured = measure(load_flow(config, checkpoint), train, held_out)
    samples = sorted((run.logs / "samples").glob(f"epoch-{checkpoint.epoch:04d}-t*.wav"))
    print()
    Console(soft_wrap=not sys.stdout.isatty()).print(table({"": measured[""]}, run.name))
    print(f"Run          {os.path.relpath(run.directory)}")
    print(f"TensorBoard  tensorboard --logdir {os.path.relpath(run.logs)}")
    for index, path in enumerate(samples):
        print(f"{'Samples' if index == 0 else '':13}{os.path.relpath(path)}")


def describe(config: Mapping[str, Any]) -> None:
    """Print size, reach, latents, memory and time of a step; write nothing."""
    import numpy as np

    from singlow.runs.data import window_length
    from singlow.runs.opening import build_flow
    from singlow.training.state import compile_flow

    training = config["training"]
    flow = build_flow(config)
    rate, batch = flow.signal.sample_rate, training["batch_size"]
    window = window_length(config, flow)
    shape = (batch, window, flow.signal.channels)
    noise = 0.1 * np.random.default_rng(0).standard_normal(shape)
    x = {"x": noise.astype("float32")}
    x |= {name: np.zeros(batch, np.int32) for name in flow.conditions_on}
    flow.adapt(x)
    compile_flow(flow, training)
    before, after = flow.receptive_field
    latents = ", ".join(
        str(tuple(z.shape[1:])) for z in flow.encode({k: v[:1] for k, v in x.items()})
    )
    flow.train_on_batch(x)
    began = time.perf_counter()
    for _ in range(3):
        flow.train_on_batch(x)
    seconds = (time.perf_counter() - began) / 3
    peak = _peak_memory()
    print(f"Preset           {config['preset']}")
    print(f"Parameters       {_weights(flow):,}")
    print(
        f"Receptive field  {before + after + 1} samples of one coupling "
        f"({1e3 * (before + after + 1) / rate:.0f} ms)"
    )
    print(
        f"Window           {window} samples ({window / rate:.3f} s), a multiple of {flow.multiple}"
    )
    print(f"Latents          {latents}")
    if peak is not None:
        print(f"Memory           {peak:.2f} GB at its peak, libraries included, batch {batch}")
    print(f"Seconds a step   {seconds:.3f}")


def _weights(flow: Any) -> int:
    return sum(math.prod(variable.shape) for variable in flow.trainable_variables)


def _peak_memory() -> float | None:
    """Return the peak memory of this process in GB; None where the system does not measure it."""
    try:
        import resource
    except ImportError:
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
