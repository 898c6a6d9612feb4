"""Start-up, speed and memory of training and inference, against the machine's own peak.

    python3 benchmarks/train.py [CASE ...] [--steps 7] [--json FILE]
    KERAS_BACKEND=jax python3 benchmarks/train.py

Each case runs in a process of its own. `start` is the first training step, traced and compiled,
less a steady one; `step` is the mean of the steady ones, inside `fit`; `arithmetic` counts the
multiplications and additions of convolutions and channel mixings alone, three times those of the
forward pass; `share` is their rate over that of a product of two large square matrices in the same
precision and process; `memory` is the process's peak less what it held before the model was made,
or an accelerator's own peak; `coding` is seconds of audio encoded and decoded in a second, and
`round trip` how that audio comes back from weights that are no longer those it was made with.
Prints a table in Markdown, and writes JSON.
"""

import argparse
import json
import math
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LEAST_SECONDS = 3.0  # of steady steps
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))


@dataclass(frozen=True)
class Case:
    """A flow and how it is trained.

    Attributes:
        make: builds it.
        batch: clips.
        window: samples.
        bfloat16: whether its networks run in bfloat16.
    """

    make: Callable[[], Any]
    batch: int
    window: int
    bfloat16: bool = False


def preset(name: str, **overrides: Any) -> Callable[[], Any]:
    """Builds a preset."""

    def make() -> Any:
        from singlow.models import MODELS, PRESETS

        return MODELS[PRESETS[name].model].from_preset(name, **overrides)

    return make


def blow(**overrides: Any) -> Callable[[], Any]:
    """Builds the published Blow, for the 108 speakers of its paper."""
    return preset("blow_original", **{"speakers": 108, "precision": "bfloat16", **overrides})


def deep(steps: int, backprop: str) -> Case:
    """Of one size but for its depth: what memory grows by."""
    return Case(preset("singlow_16k", width=128, k_glow=steps, backprop=backprop), 32, 16384)


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
    "round_trip": ("round trip, dB", "{:.0f}"),
}


def median(job: Callable[[], Any], times: int) -> float:
    """Median seconds of a job."""
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        job()
        taken.append(time.perf_counter() - began)
    return sorted(taken)[times // 2]


def matrix_peak(precision: str) -> float:
    """Operations a second of a product of two square matrices, as the networks would take it."""
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
    """JAX's device when it is no CPU, else None."""
    import keras

    if keras.backend.backend() != "jax":
        return None
    import jax

    device = jax.devices()[0]
    return None if device.platform == "cpu" else device


def arithmetic(flow: Any, window: int) -> float:
    """Operations of convolutions and mixings for one clip forward."""
    frames = _frames(flow, window)
    total = 0.0
    for weight in flow.trainable_variables:
        parts = weight.path.replace("/", ".").split(".")
        if parts[-1] in ("kernel", "upper"):
            level = next(part for part in parts if part in frames)
            # What an adapter makes, once a clip, is used at every frame by one input channel.
            size = math.prod(weight.shape)
            made = 3 / 4 * size / weight.shape[-2] * frames[level] if "adapter" in parts else 0
            total += 2.0 * (size + made if made else frames[level] * size)
    return total


def _frames(flow: Any, window: int) -> dict[str, int]:
    """Frames of each level, by its name."""
    frames = {}
    for level in getattr(flow.bijection, "levels", None) or flow.bijection.layers:
        window //= level.factor
        frames[level.name] = window
    return frames


def peak_memory() -> float:
    """Peak memory in GB: an accelerator's, else what of this process was resident."""
    device = accelerator()
    if device is not None:
        return device.memory_stats()["peak_bytes_in_use"] / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


class Batches:
    """One batch, again and again, in the form in which `Windows` are fed."""

    def __init__(self, inputs: dict[str, Any]) -> None:
        self._inputs = inputs

    def batch_form(self) -> dict[str, tuple[tuple[int, ...], type]]:
        """Keys, shapes and types."""
        return {name: (value.shape, value.dtype.type) for name, value in self._inputs.items()}

    def noted_batch(self, step: int) -> dict[str, Any]:
        """The batch of any step."""
        return self._inputs


def train(flow: Any, inputs: dict[str, Any], steps: int) -> float:
    """Seconds of so many steps of `fit` on one batch, from the first's begin to the epoch's end."""
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
    """A weight moved at random by up to 0.01, and so that products move by up to about a tenth."""
    inputs = math.prod(weight.shape[1:-1])  # the first axis is that of the steps in most
    by = min(0.01, 0.1 * inputs**-0.5)
    return weight + by * rng.standard_normal(weight.shape).astype("float32")


def measure(case: Case, steps: int) -> dict[str, float] | None:
    """All figures of one case; none of bfloat16 on JAX's CPU backend, which is refused there."""
    import keras
    import numpy as np
    from keras import ops

    from singlow.audio import snr_db
    from singlow.training.state import compile_flow

    if case.bfloat16 and keras.backend.backend() == "jax" and accelerator() is None:
        return None
    held = 0.0 if accelerator() else peak_memory()
    rng = np.random.default_rng(0)
    flow = case.make()
    inputs = {"x": 0.1 * rng.standard_normal((case.batch, case.window, 1)).astype("float32")}
    inputs |= {name: np.arange(case.batch, dtype="int32") % 2 for name in flow.conditions_on}
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
    rate = flow.sample_rate
    length = max(1, 10 * rate // flow.multiple) * flow.multiple
    song = (0.1 * rng.standard_normal((1, length, 1))).astype("float32")

    given = {name: value[:1] for name, value in inputs.items()} | {"x": song}
    condition = flow.condition(given)
    given = {"x": song} | ({} if condition is None else {"condition": condition})
    flow = flow.for_inference()

    def code() -> np.ndarray:
        return ops.convert_to_numpy(flow.decode(flow.encode(given), condition))

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
        "round_trip": snr_db(song, back),
    }


def alone(name: str, steps: int) -> dict[str, float] | None:
    """`measure` in a process of its own."""
    command = [sys.executable, __file__, name, "--steps", str(steps), "--alone"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Measure, print the table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of: {'; '.join(CASES)}")
    parser.add_argument("--steps", type=int, default=7)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    unknown = [name for name in given.cases if name not in CASES]
    if unknown:
        parser.error(f"Expected cases in {'; '.join(CASES)}. Received: {'; '.join(unknown)}.")
    if given.alone:
        from singlow.backend import start_backend

        start_backend()
        print(json.dumps(measure(CASES[given.cases[0]], given.steps)))
        return
    backend = os.environ.get("KERAS_BACKEND", "tensorflow")
    names = given.cases or list(CASES)
    print(f"| {backend} | " + " | ".join(title for title, _ in COLUMNS.values()) + " |")
    print("|---" * (len(COLUMNS) + 1) + "|")
    results = {}
    for name in names:
        found = alone(name, given.steps)
        if found is None:
            continue
        results[name] = found
        cells = [form.format(results[name][key]) for key, (_, form) in COLUMNS.items()]
        size = f"{CASES[name].batch} x {CASES[name].window}"
        print(f"| {name}, {size} | {' | '.join(cells)} |", flush=True)
    if given.json:
        given.json.write_text(json.dumps({"backend": backend, "cases": results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
