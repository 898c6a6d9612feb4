"""Measure start, speed and memory of training and inference, and the machine's peak speed.

    python3 benchmarks/train.py [CASE ...] [--steps 7] [--json FILE]
    KERAS_BACKEND=jax python3 benchmarks/train.py

Each case runs in its own process. The columns are:

- `start`: the time of the first training step, with tracing and compilation, minus that of a later
  step;
- `step`: the mean time of a later step in `fit`;
- `GFLOP a step`: multiplications and additions of convolutions and 1x1 convolutions only, counted
  as three times those of the forward pass;
- `peak`: operations per second of a product of two large square matrices in the same precision and
  process;
- `share`: operations per second of a training step, divided by that peak;
- `memory`: the peak memory of the process minus its memory before the model was created, or the
  peak of an accelerator;
- `coding`: seconds of audio that are encoded and decoded in one second;
- `decoding`: seconds of audio that are decoded in one second, as in synthesis;
- `round trip`: the signal-to-noise ratio of the decoded audio, with randomly changed weights.

The table is printed in Markdown; `--json` also writes it to a file.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LEAST_SECONDS = 3.0  # shortest time over which steady steps are measured
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))


@dataclass(frozen=True)
class Case:
    """A flow and how it is trained.

    Attributes:
        make: creates the model.
        batch: clips in a batch.
        window: samples in a clip.
        bfloat16: whether its networks run in bfloat16.
        seconds: length of the audio that is encoded and decoded.
    """

    make: Callable[[], Any]
    batch: int
    window: int
    bfloat16: bool = False
    seconds: float = 10.0


def preset(name: str, **overrides: Any) -> Callable[[], Any]:
    """Return a function that creates the model of a preset."""

    def make() -> Any:
        from singlow.models import model_class, preset

        return model_class(preset(name).model).from_preset(name, **overrides)

    return make


def blow(**overrides: Any) -> Callable[[], Any]:
    """Return a function that creates the published Blow, for the 108 speakers of the paper."""
    return preset("blow_original", **{"speakers": 108, "precision": "bfloat16", **overrides})


def deep(steps: int, backprop: str) -> Case:
    """Return a case of 128 channels and `steps` steps, to measure how memory grows with depth."""
    return Case(preset("singlow_16k", width=128, k_glow=steps, backprop=backprop), 32, 16384)


def flowavenet(name: str = "flowavenet_original", **overrides: Any) -> Case:
    """Return a case of a FloWaveNet of the published width and depth, by default in bfloat16."""
    arguments = {"precision": "bfloat16", **overrides}
    bfloat16 = arguments["precision"] == "bfloat16"
    return Case(preset(name, **arguments), 1, 15872, bfloat16, seconds=2.0)


CASES: dict[str, Case] = {
    "singlow_16k": Case(preset("singlow_16k"), 4, 8192),
    "singlow_16k, inverted": Case(preset("singlow_16k", backprop="inverted"), 4, 8192),
    "singlow_16k, bfloat16": Case(preset("singlow_16k", precision="bfloat16"), 4, 8192, True),
    "singlow_original": Case(preset("singlow_original"), 32, 16384),
    "singlow_tiny": Case(preset("singlow_tiny"), 4, 2048),
    "blow_small": Case(preset("blow_small", speakers=10), 16, 4096),
    "blow_original": Case(blow(), 16, 4096, True),
    "blow_original, inverted": Case(blow(backprop="inverted"), 16, 4096, True),
    "blow_original, float32": Case(blow(precision="float32"), 16, 4096),
    "blow_original, float32, inverted": Case(
        blow(precision="float32", backprop="inverted"), 16, 4096
    ),
    "blow_original, 24 steps": Case(blow(k_glow=24), 16, 4096, True),
    "flowavenet_small": Case(preset("flowavenet_small"), 2, 16384),
    "flowavenet": flowavenet("flowavenet"),
    "flowavenet_original": flowavenet(),
    "flowavenet_original, inverted": flowavenet(backprop="inverted"),
    "flowavenet_original, float32": flowavenet(precision="float32"),
    "flowavenet_original, float32, inverted": flowavenet(precision="float32", backprop="inverted"),
    "128 wide, 12 steps": deep(12, "stored"),
    "128 wide, 48 steps": deep(48, "stored"),
    "128 wide, inverted, 12 steps": deep(12, "inverted"),
    "128 wide, inverted, 48 steps": deep(48, "inverted"),
}
COLUMNS = {
    "weights": ("weights", "{:,.0f}"),
    "start_seconds": ("start, s", "{:.1f}"),
    "step_seconds": ("step, s", "{:.3f}"),
    "samples_per_second": ("samples/s", "{:,.0f}"),
    "arithmetic": ("GFLOP a step", "{:.1f}"),
    "peak": ("peak, GFLOP/s", "{:.0f}"),
    "share": ("share", "{:.0%}"),
    "memory": ("memory, GB", "{:.2f}"),
    "coding": ("coding, x real time", "{:.1f}"),
    "decoding": ("decoding, x real time", "{:.1f}"),
    "round_trip": ("round trip, dB", "{:.0f}"),
}


def median(job: Callable[[], Any], times: int) -> float:
    """Return the median time of a job, in seconds."""
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        job()
        taken.append(time.perf_counter() - began)
    return sorted(taken)[times // 2]


def matrix_peak(precision: str) -> float:
    """Return the operations per second of a product of square matrices in this precision."""
    import keras
    import numpy as np
    from keras import ops

    from singlow.models.traced import traced

    size = 2048 if accelerator() is None else 8192
    a = ops.cast(np.random.default_rng(0).standard_normal((size, size), np.float32), precision)
    product = traced(keras.layers.Identity(), lambda a: ops.matmul(a, a)[0, :1], precise=False)

    def job() -> None:
        ops.convert_to_numpy(product(a))

    job()
    return 2 * size**3 / median(job, 7)


def accelerator() -> Any:
    """Return the device of JAX, or None if it is a CPU."""
    import keras

    if keras.backend.backend() != "jax":
        return None
    import jax

    device = jax.devices()[0]
    return None if device.platform == "cpu" else device


def arithmetic(flow: Any, window: int) -> float:
    """Return the operations of all convolutions and 1x1 convolutions for one clip, forward only.

    Those of layers outside of the bijection, such as a mel's encoder, are not counted.
    """
    frames = _frames(flow, window)
    hops = [entry.hop for entry in flow.inputs.values() if entry.kind == "frames"]
    coarse = isinstance(flow.condition_shape(), dict) and "coarse" in flow.condition_shape()
    total = 0.0
    for weight in flow.trainable_variables:
        parts = weight.path.replace("/", ".").split(".")
        level = next((part for part in reversed(parts) if part in frames), None)
        if parts[-1] in ("kernel", "upper") and level is not None:
            size = math.prod(weight.shape)
            if "adapter" in parts:
                # The adapter runs once per clip, and its outputs are weights for every frame.
                total += 2.0 * (size + 3 / 4 * size / weight.shape[-2] * frames[level])
            elif coarse and parts[-2].startswith("condition_"):
                total += 2.0 * size * window / hops[0]
            else:
                total += 2.0 * frames[level] * size
    return total


def _frames(flow: Any, window: int) -> dict[str, int]:
    """Return the number of frames in each level, by the level's name."""
    frames = {}
    for level in getattr(flow.bijection, "levels", None) or [flow.bijection]:
        for block in getattr(level, "layers", [level]):
            window //= getattr(block, "factor", 1)
            if hasattr(block, "factor"):
                frames[block.name] = window
        frames[level.name] = window  # of a prior at the end of a level
    return frames


def peak_memory() -> float:
    """Return the peak memory in GB, of the accelerator if there is one, else of this process."""
    device = accelerator()
    if device is not None:
        return device.memory_stats()["peak_bytes_in_use"] / 1e9
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


class Batches:
    """Return the same batch for every step, with the interface of `Windows`."""

    def __init__(self, inputs: dict[str, Any]) -> None:
        self._inputs = inputs

    def batch_form(self) -> dict[str, tuple[tuple[int, ...], type]]:
        """Return the shape and type of each entry of a batch, by name."""
        return {name: (value.shape, value.dtype.type) for name, value in self._inputs.items()}

    def noted_batch(self, step: int) -> dict[str, Any]:
        """Return the batch for any step."""
        return self._inputs


def train(flow: Any, inputs: dict[str, Any], steps: int) -> float:
    """Return the seconds that `fit` takes for `steps` steps on one batch, without its start."""
    import keras

    from singlow.data.feed import backends

    class Clock(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            if batch == 0:
                self.began = time.perf_counter()

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            for value in logs.values():
                float(value)  # waits for the device
            self.seconds = time.perf_counter() - self.began

    clock = Clock()
    batches = backends.dataset(Batches(inputs), 0, steps)
    flow.fit(batches, verbose=0, shuffle=False, callbacks=[clock])
    return clock.seconds


def moved(weight: Any, rng: Any) -> Any:
    """Return a weight plus noise of deviation 0.01, or less if the weight has many inputs."""
    inputs = math.prod(weight.shape[1:-1])  # the first axis is usually that of the steps
    by = min(0.01, 0.1 * inputs**-0.5)
    return weight + by * rng.standard_normal(weight.shape).astype("float32")


def measure(case: Case, steps: int) -> dict[str, float] | None:
    """Return all figures of a case; None for bfloat16 on a CPU with JAX, which is not supported."""
    import keras
    import numpy as np
    from keras import ops

    from singlow.audio import snr_db
    from singlow.training.optimizer import compile_flow

    if case.bfloat16 and keras.backend.backend() == "jax" and accelerator() is None:
        return None
    held = 0.0 if accelerator() else peak_memory()
    rng = np.random.default_rng(0)
    flow = case.make()
    inputs = flow.dummy_inputs(case.batch, case.window)
    few = {name: value[:2] for name, value in inputs.items()}
    flow.adapt(few)
    compile_flow(flow, {"learning_rate": 1e-4, "warmup_steps": 100, "decay_steps": None})

    first = train(flow, inputs, 1)
    seconds = train(flow, inputs, steps) / steps
    times = round(LEAST_SECONDS / seconds)
    if times > steps:
        seconds = train(flow, inputs, times) / times
    memory = peak_memory() - held
    peak = matrix_peak("bfloat16" if case.bfloat16 else "float32")
    operations = 3 * case.batch * arithmetic(flow, case.window)
    weights = sum(math.prod(v.shape) for v in flow.trainable_variables)
    flow = case.make()
    flow.adapt(few)
    for variable in flow.trainable_variables:
        variable.assign(moved(variable, rng))
    rate = flow.signal.sample_rate
    length = max(1, int(case.seconds * rate) // flow.multiple) * flow.multiple
    song = (0.1 * rng.standard_normal((1, length, 1))).astype("float32")

    conditions = {name: value[:1] for name, value in inputs.items() if name != "x"}
    for name, entry in flow.inputs.items():
        if entry.kind == "frames":
            shape = (1, length // entry.hop, entry.size)
            conditions[name] = np.resize(conditions[name], shape)
    flow = flow.for_inference()
    latents = flow.encode({"x": song, **conditions})

    def code() -> np.ndarray:
        return ops.convert_to_numpy(flow.decode(flow.encode({"x": song, **conditions}), conditions))

    def decode() -> np.ndarray:
        return ops.convert_to_numpy(flow.decode(latents, conditions))

    back = code()
    return {
        "weights": weights,
        "start_seconds": first - seconds,
        "step_seconds": seconds,
        "samples_per_second": case.batch * case.window / seconds,
        "arithmetic": operations / 1e9,
        "peak": peak / 1e9,
        "share": operations / seconds / peak,
        "memory": memory,
        "coding": length / rate / median(code, 3),
        "decoding": length / rate / median(decode, 3),
        "round_trip": snr_db(song, back),
    }


def alone(name: str, steps: int) -> dict[str, float] | None:
    """Run `measure` in another process and return its result."""
    command = [sys.executable, __file__, name, "--steps", str(steps), "--alone"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Measure the cases, print the table and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "cases", nargs="*", metavar="CASE", help=f"cases, all by default: {'; '.join(CASES)}"
    )
    parser.add_argument("--steps", type=int, default=7, help="least number of timed steps")
    parser.add_argument("--json", type=Path, help="file for the figures")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    unknown = [name for name in arguments.cases if name not in CASES]
    if unknown:
        parser.error(f"Expected cases in {'; '.join(CASES)}. Received: {'; '.join(unknown)}.")
    if arguments.alone:
        from singlow.backend import start_backend

        start_backend()
        print(json.dumps(measure(CASES[arguments.cases[0]], arguments.steps)))
        return
    backend = os.environ.get("KERAS_BACKEND", "tensorflow")
    names = arguments.cases or list(CASES)
    print(f"| {backend} | " + " | ".join(title for title, _ in COLUMNS.values()) + " |")
    print("|---" * (len(COLUMNS) + 1) + "|")
    results = {}
    for name in names:
        result = alone(name, arguments.steps)
        if result is None:
            continue
        results[name] = result
        cells = [form.format(results[name][key]) for key, (_, form) in COLUMNS.items()]
        size = f"{CASES[name].batch} x {CASES[name].window}"
        print(f"| {name}, {size} | {' | '.join(cells)} |", flush=True)
    if arguments.json:
        arguments.json.write_text(
            json.dumps({"backend": backend, "cases": results}, indent=2) + "\n"
        )


if __name__ == "__main__":
    main()
