"""Start-up, speed and memory of training and inference, against the machine's own peak.

    python3 benchmarks/train.py [CASE ...] [--steps 7] [--json FILE]
    KERAS_BACKEND=jax python3 benchmarks/train.py

Each case runs in a process of its own. `start` is the first training step, traced and compiled,
less a steady one; `step` is the median of the steady ones; `arithmetic` counts the multiplications
and additions of convolutions and channel mixings alone, three times those of the forward pass;
`share` is their rate over that of a product of two 2048 x 2048 matrices in the same precision and
process; `memory` is the process's peak less what it held before the model was made; `coding` is
seconds of audio encoded and decoded in a second. Prints a table in Markdown, and writes JSON.
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
    "blow_original, 24 steps": Case(blow(k_glow=24), 16, 4096, True),
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
}


def median(job: Callable[[], Any], times: int) -> float:
    """Median seconds of a job."""
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        job()
        taken.append(time.perf_counter() - began)
    return sorted(taken)[times // 2]


def matrix_peak(precision: str, size: int = 2048) -> float:
    """Operations a second of a product of two square matrices."""
    from keras import ops

    from singlow.models.traced import traced

    a = ops.cast(ops.ones((size, size)), precision)
    product = traced(_Nothing(), lambda a: ops.matmul(a, a))

    def job() -> None:
        ops.convert_to_numpy(product(a)[0, :1])

    job()
    return 2 * size**3 / median(job, 7)


class _Nothing:
    variables = ()


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


def resident() -> float:
    """Peak resident memory of this process in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def measure(case: Case, steps: int) -> dict[str, float]:
    """All figures of one case."""
    import numpy as np

    from singlow.training.state import compile_flow

    peak = matrix_peak("bfloat16" if case.bfloat16 else "float32")
    held = resident()
    flow = case.make()
    rng = np.random.default_rng(0)
    shape = (case.batch, case.window, flow.channel_size)
    inputs = {"x": (0.1 * rng.standard_normal(shape)).astype("float32")}
    inputs |= {name: np.arange(case.batch, dtype="int32") % 2 for name in flow.conditions_on}
    flow.adapt({name: value[:2] for name, value in inputs.items()})
    compile_flow(flow, {"learning_rate": 1e-4, "warmup_steps": 100, "decay_steps": None})

    def step() -> None:
        flow.train_on_batch(inputs)

    began = time.perf_counter()
    step()
    first = time.perf_counter() - began
    step()
    seconds = median(step, steps)
    memory = resident() - held
    operations = 3 * case.batch * arithmetic(flow, case.window)
    weights = sum(math.prod(v.shape) for v in flow.trainable_variables)
    rate = flow.sampling_rate
    length = max(1, 10 * rate // flow.multiple) * flow.multiple
    song = (0.1 * rng.standard_normal((1, length, flow.channel_size))).astype("float32")

    given = {name: value[:1] for name, value in inputs.items()} | {"x": song}
    condition = flow.condition(given)
    given = {"x": song} | ({} if condition is None else {"condition": condition})
    flow = flow.for_inference()

    def code() -> None:
        np.asarray(flow.decode(flow.encode(given), condition))

    code()
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
    }


def alone(name: str, steps: int) -> dict[str, float]:
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
        from singlow.training.backend import start_backend

        start_backend()
        print(json.dumps(measure(CASES[given.cases[0]], given.steps)))
        return
    backend = os.environ.get("KERAS_BACKEND", "tensorflow")
    names = given.cases or [
        name for name, case in CASES.items() if backend == "tensorflow" or not case.bfloat16
    ]
    print(f"| {backend} | " + " | ".join(title for title, _ in COLUMNS.values()) + " |")
    print("|---" * (len(COLUMNS) + 1) + "|")
    results = {}
    for name in names:
        results[name] = alone(name, given.steps)
        cells = [form.format(results[name][key]) for key, (_, form) in COLUMNS.items()]
        size = f"{CASES[name].batch} x {CASES[name].window}"
        print(f"| {name}, {size} | {' | '.join(cells)} |", flush=True)
    if given.json:
        given.json.write_text(json.dumps({"backend": backend, "cases": results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
