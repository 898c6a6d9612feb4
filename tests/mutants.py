"""Put plausible bugs into a copy of the package, one at a time, and see whether the tests fail.

    python3 tests/mutants.py [NAME ...]

Each mutant replaces text in one file and names the test files that are expected to fail. A mutant
that fails none of them is reported as a survivor. pytest does not collect this script.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]


class Mutant(NamedTuple):
    """A bug: text `old` of a file under singlow/ becomes `new`; `tests` should fail."""

    file: str
    old: str
    new: str
    tests: str


MUTANTS = {
    "act norm, log-det counted once": Mutant(
        "bijections/actnorm.py",
        "return z, count_frames(x, frame_mask) * ops.sum(self.log_scale)",
        "return z, 0.0 * count_frames(x, frame_mask) + ops.sum(self.log_scale)",
        "conformance/test_log_det.py",
    ),
    "act norm, adapts again": Mutant(
        "bijections/actnorm.py",
        "known = read(self.adapted) > 0",
        "known = read(self.adapted) > 2",
        "conformance/test_adapt.py",
    ),
    "act norm, padding in the start": Mutant(
        "bijections/actnorm.py",
        "if frame_mask is not None:\n            weight",
        "if False:\n            weight",
        "conformance/test_adapt.py",
    ),
    "affine, sign of the inverse's log-det": Mutant(
        "bijections/affine.py",
        "return (y - shift) * ops.exp(-log_scale), -sum_frames(log_scale)",
        "return (y - shift) * ops.exp(-log_scale), sum_frames(log_scale)",
        "conformance/test_inversion.py",
    ),
    "affine, sigmoid offset": Mutant(
        "bijections/affine.py",
        "ops.log_sigmoid(log_scale + 2.0)",
        "ops.log_sigmoid(log_scale + 1.0)",
        "conformance/test_start.py",
    ),
    "affine, bound without its limit": Mutant(
        "bijections/affine.py",
        "log_scale = bound(log_scale, self.limit)",
        "log_scale = bound(log_scale)",
        "test_affine.py",
    ),
    "squeeze, mask shifted": Mutant(
        "bijections/squeezed.py",
        "frame_mask = frame_mask[:, :: self.factor]",
        "frame_mask = frame_mask[:, self.factor - 1 :: self.factor] * 0 + 1",
        "conformance/test_frame_mask.py",
    ),
    "tiles, margin off by one": Mutant(
        "bijections/tiles.py",
        "margins = (before, count * tile - length + after)",
        "margins = (max(0, before - 1), count * tile - length + after + 1)",
        "conformance",
    ),
    "repeat, one seed for all steps": Mutant(
        "bijections/repeat.py",
        "7919 * offset",
        "0 * offset",
        "conformance/test_repeat.py",
    ),
    "weight norm, gain squared": Mutant(
        "networks/weightnorm.py",
        "kernel = kernel * (ops.cast(gain, kernel.dtype) / _norm(kernel, axes))",
        "kernel = kernel * (ops.cast(gain, kernel.dtype) / _norm(kernel, axes) ** 2)",
        "conformance/test_start.py",
    ),
    "wavenet, gate without its sigmoid": Mutant(
        "networks/wavenet.py",
        "* ops.sigmoid(gate)",
        "* gate",
        "test_networks.py",
    ),
    "temperature squared": Mutant(
        "models/priors.py",
        "return [temperature * rng.standard_normal(shape) for shape in shapes]",
        "return [temperature**2 * rng.standard_normal(shape) for shape in shapes]",
        "test_flow.py",
    ),
    "prior without its constant": Mutant(
        "models/priors.py",
        "sum_frames(-0.5 * (ops.square(latent) + math.log(2.0 * math.pi)), mask)",
        "sum_frames(-0.5 * ops.square(latent), mask)",
        "test_flow.py",
    ),
    "masked samples counted in the bits": Mutant(
        "signals.py",
        "return count_frames(x, frame_mask) * x.shape[-1]",
        "return count_frames(x) * x.shape[-1]",
        "test_flow.py",
    ),
    "bits of 15-bit audio": Mutant(
        "signals.py",
        "return 15.0  # 2**16 steps in two units of amplitude",
        "return 14.0  # 2**16 steps in two units of amplitude",
        "test_flow.py",
    ),
    "decode without its mask": Mutant(
        "models/flow.py",
        'condition, frame_mask = self.condition(inputs), inputs.get("frame_mask")\n'
        "        return self.bijection.inverse",
        "condition, frame_mask = self.condition(inputs), None\n"
        "        return self.bijection.inverse",
        "test_flow.py",
    ),
    "unknown speakers accepted": Mutant(
        "models/flow.py",
        "ids.size and not 0 <= ids.min() <= ids.max() < entry.size",
        "False",
        "test_blow.py",
    ),
    "embeddings lost for inference": Mutant(
        "models/flow.py",
        "            its.assign(owned(mine.value))",
        "            pass",
        "test_blow.py test_flow.py",
    ),
    "loss weights ignored": Mutant(
        "models/flow.py",
        "loss = loss + self.loss_weights[name] * mean",
        "loss = loss + mean",
        "test_own_model.py test_flow.py",
    ),
    "momentum of the averages": Mutant(
        "training/optimizer.py", "EMA_MOMENTUM = 0.999", "EMA_MOMENTUM = 0.9", "test_optimizer.py"
    ),
    "clip norm": Mutant(
        "training/optimizer.py", "GRADIENT_NORM = 10.0", "GRADIENT_NORM = 1.0", "test_optimizer.py"
    ),
    "decay of the learning rate": Mutant(
        "training/optimizer.py",
        "rate / ops.sqrt(1.0 + t / self.decay_steps)",
        "rate / (1.0 + t / self.decay_steps)",
        "test_optimizer.py",
    ),
    "evaluation of trained weights": Mutant(
        "training/callbacks.py",
        "        synchronise(self.model)\n        self.model.optimizer.swap_averages()\n",
        "        synchronise(self.model)\n",
        "test_callbacks.py",
    ),
    "plateau after one epoch less": Mutant(
        "training/callbacks.py",
        "            if waited == self.epochs:",
        "            if waited + 1 == self.epochs:",
        "test_callbacks.py test_plateau.py",
    ),
    "worst checkpoint kept": Mutant(
        "runs/checkpoint.py",
        "for checkpoint in kept[:-2]:",
        "for checkpoint in kept[:-3]:",
        "test_run.py",
    ),
    "one noise for all seeds": Mutant(
        "data/feed/windows.py",
        "rng = np.random.default_rng([self.seed, position])",
        "rng = np.random.default_rng([0, position])",
        "test_pipeline.py",
    ),
    "one order for all passes": Mutant(
        "data/feed/windows.py",
        "return np.random.default_rng([self.seed, number]).permutation(self._pool)",
        "return np.random.default_rng([self.seed, 0]).permutation(self._pool)",
        "test_pipeline.py",
    ),
    "dequantisation without noise": Mutant(
        "signals.py",
        "return np.add(stored, noise, dtype=np.float32) * np.float32(2.0**-15)",
        "return np.add(stored, 0.5, dtype=np.float32) * np.float32(2.0**-15)",
        "test_pipeline.py",
    ),
    "emphasis with one exponent": Mutant(
        "data/feed/augmentations.py",
        "np.abs(amount) ** (2.0 ** np.arange(_TAPS))",
        "np.abs(amount) ** (1.0 + np.arange(_TAPS))",
        "test_augmentations.py",
    ),
    "twice as much held out": Mutant(
        "data/sources/splits.py",
        "round(share * len(own))",
        "round(2 * share * len(own))",
        "test_corpora.py test_build.py",
    ),
    "no gap around held-out stretches": Mutant(
        "data/sources/splits.py",
        "gap = max(1, int(span * share)), min(sample_rate, span // 20)",
        "gap = max(1, int(span * share)), 0",
        "test_corpora.py test_build.py",
    ),
    "quantised by truncation": Mutant(
        "audio/arrays.py", "np.round(", "np.trunc(", "test_audio.py test_build.py"
    ),
    "mono as a sum": Mutant(
        "audio/arrays.py",
        "column *= audio.dtype.type(1 / len(group))",
        "column *= audio.dtype.type(1)",
        "test_audio.py",
    ),
    "slerp towards the wrong end": Mutant(
        "latents/methods.py",
        "weights = np.sin((1 - strength) * angle), np.sin(strength * angle)",
        "weights = np.sin(strength * angle), np.sin((1 - strength) * angle)",
        "test_migrate.py",
    ),
    "moments without the target's mean": Mutant(
        "latents/methods.py",
        "return ((z - source.mean) * scale + target.mean).astype(z.dtype)",
        "return ((z - source.mean) * scale + source.mean).astype(z.dtype)",
        "test_migrate.py",
    ),
    "bursts go unnoticed": Mutant(
        "latents/approach.py", "if not burst.any():", "if True:", "test_migrate.py"
    ),
    "conversion at another loudness": Mutant(
        "voices/convert.py",
        "result *= np.float32(root_mean_square(audio[:, sounding]) / rms)",
        "result *= np.float32(1)",
        "test_voices.py",
    ),
    "certainty without prior votes": Mutant(
        "voices/identify.py",
        "return (self.votes + 1) / (self.excerpts + self.known)",
        "return self.votes / self.excerpts",
        "test_voices.py",
    ),
    "FLAC with its container": Mutant(
        "evaluation/likelihood.py",
        "return 8 * (len(content) - position)",
        "return 8 * len(content)",
        "test_likelihood.py",
    ),
    "significance without chance": Mutant(
        "latents/separation.py",
        "return self.value > max(self.limit, self.chance)",
        "return self.value >= min(self.limit, self.chance)",
        "test_separation.py test_project.py",
    ),
}


def run(name: str, mutant: Mutant) -> bool:
    """Return whether the tests of a mutant fail."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        copy = Path(folder, "copy")
        _copy(copy)
        path = copy / "singlow" / mutant.file
        text = path.read_text("utf-8")
        if text.count(mutant.old) < 1:
            raise SystemExit(f"{name}: the text to replace is not in singlow/{mutant.file}.")
        path.write_text(text.replace(mutant.old, mutant.new, 1), "utf-8")
        tests = [f"tests/{test}" for test in mutant.tests.split()]
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
        done = subprocess.run(
            command, cwd=copy, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": ""}
        )
        if done.returncode not in (0, 1):
            raise SystemExit(f"{name}: pytest failed to run.\n{done.stdout[-2000:]}{done.stderr}")
        return done.returncode == 1


def _copy(copy: Path) -> None:
    """Copy the files that git tracks."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, copy / name)


def main() -> None:
    """Run the mutants that are named, or all, and report the survivors."""
    names = sys.argv[1:] or list(MUTANTS)
    survivors = []
    for name in names:
        began = time.monotonic()
        caught = run(name, MUTANTS[name])
        survivors += [] if caught else [name]
        verdict = "caught" if caught else "SURVIVED"
        print(f"{verdict:9} {name} ({time.monotonic() - began:.0f} s)", flush=True)
    print(f"{len(names) - len(survivors)} of {len(names)} caught.")
    sys.exit(bool(survivors))


if __name__ == "__main__":
    main()
