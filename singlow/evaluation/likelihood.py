"""Held-out bits per sample, beside a lossless codec and an independent Gaussian.

16-bit audio `k / 32768` with uniform dequantisation `y = (k + u) / 32768` costs
`-log2 p(y) / D + 15` bits per sample: at most what a codec built on `p` would save.
"""

import io
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

_STEP = 1.0 / 32768.0


@dataclass(frozen=True)
class Gaussian:
    """One mean and variance for every sample, in units of +-1, dequantisation included."""

    mean: float
    variance: float

    @classmethod
    def fitted(cls, clips: Iterable[np.ndarray]) -> "Gaussian":
        """Fitted to int16 clips `(time, channels)`."""
        count, total, square = 0, 0.0, 0.0
        for clip in clips:
            y = (clip.astype(np.float64) + 0.5) * _STEP
            count += y.size
            total += float(y.sum())
            square += float(np.square(y).sum())
        mean = total / max(1, count)
        return cls(mean, max(square / max(1, count) - mean**2, 0.0) + _STEP**2 / 12)

    def bits(self, clip: np.ndarray) -> float:
        """Expected cost of an int16 clip in bits, over its dequantisation noise."""
        y = (clip.astype(np.float64) + 0.5) * _STEP
        spread = float(np.square(y - self.mean).sum()) + y.size * _STEP**2 / 12
        nats = 0.5 * (y.size * math.log(2 * math.pi * self.variance) + spread / self.variance)
        return nats / math.log(2) + 15.0 * y.size


def flac_bits(clip: np.ndarray, sample_rate: int) -> int:
    """Size in bits of an int16 clip `(time, channels)` as a FLAC file at level 8, all of it."""
    import soundfile

    file = io.BytesIO()
    soundfile.write(file, clip, sample_rate, format="FLAC", subtype="PCM_16", compression_level=1.0)
    return 8 * len(file.getvalue())


@dataclass(frozen=True)
class Likelihood:
    """Bits per sample of some clips.

    Attributes:
        clips: how many.
        samples: how many, all channels counted.
        flow: of the flow.
        flac: of FLAC, level 8.
        gaussian: of an independent Gaussian, fitted to the training clips.
    """

    clips: int
    samples: int
    flow: float
    flac: float
    gaussian: float


def measure(flow: Any, train: Any, held_out: Any) -> dict[str, Likelihood]:
    """Likelihoods of the held-out clips: all of them under `""`, then singer by singer.

    Args:
        flow: with its averaged weights in place.
        train: `Windows` to fit the Gaussian to.
        held_out: `Windows` with `training=False`.
    """
    from singlow.data.store.dataset import entries, read_info

    found = entries(read_info(held_out.directory), held_out.split)
    singers = {entry.id: held_out.singers[entry.singer] for entry in found}
    gaussian = Gaussian.fitted(train.clip(i)[1] for i in range(train.clips))
    of_flow = flow_bits(flow, held_out)
    groups: dict[str, list[tuple[int, int, float, float, float, int]]] = {}
    for i in range(held_out.clips):
        name, audio = held_out.clip(i)
        if name not in of_flow or not audio.size:
            continue
        bits, samples = of_flow[name]
        flac = flac_bits(audio, held_out.sample_rate)
        row = (1, samples, bits, flac, gaussian.bits(audio), audio.size)
        for group in ("", singers[name]):
            groups.setdefault(group, []).append(row)
    return {group: _summed(rows) for group, rows in groups.items()}


def _summed(rows: list[tuple[int, int, float, float, float, int]]) -> Likelihood:
    clips, samples, flow, flac, gaussian, size = (sum(column) for column in zip(*rows, strict=True))
    return Likelihood(clips, size, flow / samples, flac / size, gaussian / size)


def flow_bits(flow: Any, windows: Any) -> dict[str, tuple[float, int]]:
    """Bits and samples of every clip under a flow, by the clip's id."""
    from keras import ops

    costs: dict[str, tuple[float, int]] = {}
    for step in range(windows.steps):
        batch = windows.batch(step)
        log_prob = ops.convert_to_numpy(flow.log_prob(batch)).astype(np.float64)
        mask = batch.get("frame_mask", np.ones(batch["x"].shape[:2]))
        counts = np.asarray(mask).sum(axis=1).astype(int) * batch["x"].shape[2]
        bits = -log_prob / math.log(2) + 15.0 * counts
        for name, cost, count in zip(windows.clip_names(step), bits, counts, strict=True):
            before = costs.get(name, (0.0, 0))
            costs[name] = (before[0] + float(cost), before[1] + int(count))
    return costs


def table(measured: dict[str, Likelihood], name: str) -> Any:
    """The figures as a `rich` table.

    Args:
        measured: what `measure` returned.
        name: of the flow's run.
    """
    from rich.table import Table

    shown = Table(title="Held-out bits per sample", title_justify="left")
    shown.add_column("")
    for column in ("clips", name, "FLAC -8", "Gaussian"):
        shown.add_column(column, justify="right")
    for group, row in measured.items():
        figures = (f"{value:.3f}" for value in (row.flow, row.flac, row.gaussian))
        shown.add_row(group or "all", f"{row.clips}", *figures)
    return shown
