"""Compare held-out likelihoods with lossless codecs and baselines without a network.

For quantised audio the cost of a flow is an upper bound of the size that a lossless codec built on
it reaches, so the two are comparable; see `singlow.signals`. The cost of a codec is the size of its
coded frames alone, without containers, tags and file headers, because a flow has none of these.
Small pictures are compressed by PNG as one tall picture, for the same reason.
"""

import functools
import io
import math
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import soundfile

from singlow.errors import DataError
from singlow.evaluation.figures import Estimate, ratio_difference, ratio_estimate
from singlow.names import shown
from singlow.signals import Audio, Image, Signal
from singlow.tables import table as text_table

if TYPE_CHECKING:
    from rich.table import Table

    from singlow.data.feed.windows import Windows
    from singlow.models.flow import Flow

Codec = Callable[[np.ndarray], float]
"""A function from a stored clip, int16 `(time, channels)`, to its size in bits."""

FLAC, WAVPACK, PNG = "FLAC -8", "WavPack -hh -x6", "PNG"
GAUSSIAN, PIXELS = "Gaussian", "independent pixels"
NO_WAVPACK = "WavPack's best mode is left out: the program wavpack is not in PATH."
_OPTIONAL, _LARGE = 0x20, 0x80  # flags in the ids of WavPack's sub-blocks


@dataclass(frozen=True)
class Gaussian:
    """One mean and variance for all values of a signal, including dequantisation noise.

    Attributes:
        signal: the signal.
        mean: mean of the values, in the units of `x`.
        variance: variance of the values, in the squared units of `x`.
    """

    signal: Signal
    mean: float
    variance: float

    @classmethod
    def fitted(cls, signal: Signal, clips: Iterable[np.ndarray]) -> "Gaussian":
        """Fit a Gaussian to stored clips, which are int16 `(time, channels)` for audio."""
        count, total, square = 0, 0.0, 0.0
        for clip in clips:
            x = _centres(signal, clip)
            count += x.size
            total += float(x.sum())
            square += float(np.square(x).sum())
        mean = total / max(1, count)
        return cls(signal, mean, max(square / max(1, count) - mean**2, 0.0) + _noise(signal))

    def cost(self, clip: np.ndarray) -> float:
        """Return the cost of a stored clip, averaged over its noise, in the signal's unit."""
        x = _centres(self.signal, clip)
        spread = float(np.square(x - self.mean).sum()) + x.size * _noise(self.signal)
        log_prob = -0.5 * (x.size * math.log(2 * math.pi * self.variance) + spread / self.variance)
        return float(self.signal.cost(log_prob, x.size))


@dataclass(frozen=True)
class IndependentPixels:
    """A histogram for each value of an image, independent of all others.

    Attributes:
        signal: the signal.
        counts: number of pictures with each stored value, `(height, width, channels, 2**bits)`.
        pictures: number of pictures.
    """

    signal: Image
    counts: np.ndarray
    pictures: int

    @classmethod
    def fitted(cls, signal: Image, clips: Iterable[np.ndarray]) -> "IndependentPixels":
        """Fit to stored pictures, with one further count of every value."""
        counts = np.zeros((*signal.shape(1)[1:], 2**signal.bits), np.uint32)
        pictures = 0
        for clip in clips:
            pictures += 1
            index = cls._index(signal, clip)
            known = np.take_along_axis(counts, index, axis=-1)
            np.put_along_axis(counts, index, known + 1, axis=-1)
        return cls(signal, counts, pictures)

    def cost(self, clip: np.ndarray) -> float:
        """Return the cost of a stored picture in bits."""
        known = np.take_along_axis(self.counts, self._index(self.signal, clip), axis=-1)
        share = (known + 1.0) / (self.pictures + 2**self.signal.bits)
        return -float(np.log2(share).sum())

    @staticmethod
    def _index(signal: Image, clip: np.ndarray) -> np.ndarray:
        return np.right_shift(clip, 8 - signal.bits).astype(np.int64)[..., None]


def png_bits(pictures: np.ndarray, bits: int) -> int:
    """Return the size in bits of pictures below each other in one PNG file, without its header.

    Args:
        pictures: uint8 `(pictures, height, width, channels)`.
        bits: number of bits of a value; the highest are kept.
    """
    from PIL import Image as Pillow

    kept = np.right_shift(pictures, 8 - bits).reshape(-1, *pictures.shape[2:])
    file = io.BytesIO()
    if kept.shape[-1] == 1 and bits <= 4:
        picture = Pillow.fromarray(kept[..., 0], "P")
        picture.putpalette([0] * 3 * 2**bits)
        picture.save(file, "png", optimize=True, bits=bits if bits != 3 else 4)
    else:
        Pillow.fromarray(kept[..., 0] if kept.shape[-1] == 1 else kept).save(
            file, "png", optimize=True
        )
    content, position, size = file.getvalue(), 8, 0
    while position < len(content):
        length, kind = struct.unpack_from(">I4s", content, position)
        size += length if kind == b"IDAT" else 0
        position += 12 + length
    return 8 * size


def _centres(signal: Signal, clip: np.ndarray) -> np.ndarray:
    """Return the middles of the quantisation steps of a stored clip, float64."""
    return signal.dequantize(clip, 0.5).astype(np.float64)


def _noise(signal: Signal) -> float:
    """Return the variance of dequantisation noise."""
    return 2.0 ** (-2 * signal.step_bits) / 12 if signal.step_bits else 0.0


def flac_bits(clip: np.ndarray, sample_rate: int) -> int:
    """Return the size in bits of the coded frames of a clip as FLAC of level 8.

    Args:
        clip: int16 `(time, channels)`.
        sample_rate: Hz.
    """
    file = io.BytesIO()
    soundfile.write(file, clip, sample_rate, format="FLAC", subtype="PCM_16", compression_level=1.0)
    content = file.getvalue()
    position, last = 4, False
    while not last:  # a metadata block starts with flag and kind, 24 bits of length
        last = bool(content[position] & 0x80)
        position += 4 + int.from_bytes(content[position + 1 : position + 4], "big")
    return 8 * (len(content) - position)


def wavpack_bits(clip: np.ndarray, sample_rate: int) -> int:
    """Return the size in bits of a clip in WavPack's best mode, without data that decoding ignores.

    Args:
        clip: int16 `(time, channels)`.
        sample_rate: Hz.

    Raises:
        DataError: the program wavpack does not encode the clip.
    """
    with tempfile.TemporaryDirectory(prefix="singlow-") as folder:
        source, result = Path(folder, "clip.wav"), Path(folder, "clip.wv")
        soundfile.write(source, clip, sample_rate, subtype="PCM_16")
        done = subprocess.run(
            ["wavpack", "-q", "-y", "-hh", "-x6", str(source), "-o", str(result)],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        if done.returncode or not result.is_file():
            raise DataError(
                f"Expected wavpack to encode {len(clip)} samples. Received: exit code "
                f"{done.returncode}, {done.stderr.strip()[-200:]}."
            )
        content = result.read_bytes()
    size = position = 0
    while content[position : position + 4] == b"wvpk":
        stop = position + 8 + struct.unpack_from("<I", content, position + 4)[0]
        if struct.unpack_from("<I", content, position + 20)[0]:  # samples in the block
            size += stop - position - _optional_bytes(content[position + 32 : stop])
        position = stop
    return 8 * size


def _optional_bytes(block: bytes) -> int:
    """Count the bytes in a WavPack block that decoding ignores, such as a copy of a wav header."""
    total = position = 0
    while position < len(block):
        kind = block[position]
        large = bool(kind & _LARGE)
        head = 4 if large else 2
        words = int.from_bytes(block[position + 1 : position + head], "little")
        total += (head + 2 * words) if kind & _OPTIONAL else 0
        position += head + 2 * words
    return total


@dataclass(frozen=True)
class Likelihood:
    """The mean costs of clips per value, in the signal's unit, with intervals over clips.

    Attributes:
        clips: number of clips.
        values: number of values; for audio, samples of all channels.
        unit: name of the unit of the costs.
        flow: cost under the flow.
        others: costs under codecs and under a baseline that is fitted to the training clips, by
            name: an independent Gaussian, or for images an independent histogram of each pixel.
        differences: the flow's cost minus that of each codec, by name.
    """

    clips: int
    values: int
    unit: str
    flow: Estimate
    others: dict[str, Estimate]
    differences: dict[str, Estimate]


class _Row(NamedTuple):
    """The costs of one clip."""

    flow: float
    valid: int  # values that the flow's cost covers, without an incomplete end
    values: int
    others: dict[str, float]


def measure(
    flow: "Flow", train: "Windows", held_out: "Windows", wavpack: bool | None = None
) -> dict[str, Likelihood]:
    """Measure the likelihood of the held-out clips, of all together and of each singer.

    Args:
        flow: the flow with its averaged weights.
        train: windows of the clips that the baseline is fitted to.
        held_out: windows with `training=False`.
        wavpack: whether WavPack encodes the clips; if None, it does where it is installed.

    Returns:
        The likelihood of all clips under the key `""`, then that of each singer's clips by name.
    """
    signal = flow.signal
    clips = (train.clip(i)[1] for i in range(train.clips))
    costs = flow_costs(flow, held_out)
    indices = [i for i in range(held_out.clips) if held_out.clip(i)[0] in costs]
    if isinstance(signal, Image):
        baseline = PIXELS, IndependentPixels.fitted(signal, clips).cost
        shares: dict[str, float] = {}
        names = {i: held_out.singers[held_out.singer(i)] for i in indices}
        for group in ("", *dict.fromkeys(names.values())):
            own = [held_out.clip(i)[1] for i in indices if group in ("", names[i])]
            shares[group] = png_bits(np.stack(own), signal.bits) / len(own)
        codecs: dict[str, Codec] = {PNG: lambda clip: shares[""]}
    else:
        baseline = GAUSSIAN, Gaussian.fitted(signal, clips).cost
        codecs = _codecs(signal, wavpack)
    with ThreadPoolExecutor() as pool:  # WavPack runs in processes of its own
        rows = pool.map(lambda i: _row(held_out.clip(i), costs, baseline, codecs), indices)
        groups: dict[str, list[_Row]] = {}
        for index, row in zip(indices, rows, strict=True):
            for group in ("", held_out.singers[held_out.singer(index)]):
                if isinstance(signal, Image):
                    row = row._replace(others={**row.others, PNG: shares[group]})
                groups.setdefault(group, []).append(row)
    return {group: _summed(rows, signal.unit) for group, rows in groups.items()}


def _codecs(signal: Signal, wavpack: bool | None) -> dict[str, Codec]:
    """Return functions from a stored clip to its size in bits, by the name of the codec."""
    if not isinstance(signal, Audio):
        return {}
    codecs = {FLAC: functools.partial(flac_bits, sample_rate=signal.sample_rate)}
    if has_wavpack() if wavpack is None else wavpack:
        codecs[WAVPACK] = functools.partial(wavpack_bits, sample_rate=signal.sample_rate)
    return codecs


def has_wavpack() -> bool:
    """Return whether the program wavpack is in PATH."""
    return shutil.which("wavpack") is not None


def _row(
    clip: tuple[str, np.ndarray],
    costs: Mapping[str, tuple[float, int]],
    baseline: tuple[str, Codec],
    codecs: Mapping[str, Codec],
) -> _Row:
    name, stored = clip
    others = {codec: float(bits(stored)) for codec, bits in codecs.items()}
    title, cost = baseline
    return _Row(*costs[name], stored.size, {**others, title: cost(stored)})


def _summed(rows: list[_Row], unit: str) -> Likelihood:
    flow, valid, values = ([row[k] for row in rows] for k in range(3))
    others = {name: [row.others[name] for row in rows] for name in rows[0].others}
    return Likelihood(
        clips=len(rows),
        values=sum(values),
        unit=unit,
        flow=ratio_estimate(flow, valid),
        others={name: ratio_estimate(costs, values) for name, costs in others.items()},
        differences={
            name: ratio_difference(flow, valid, costs, values)
            for name, costs in others.items()
            if name not in (GAUSSIAN, PIXELS)
        },
    )


def flow_costs(flow: "Flow", windows: "Windows") -> dict[str, tuple[float, int]]:
    """Return every clip's cost in the signal's unit and its number of values, by the clip's id.

    Args:
        flow: the flow.
        windows: windows with `training=False`; padding is not counted.
    """
    from keras import ops

    costs: dict[str, tuple[float, int]] = {}
    for step in range(windows.steps):
        batch = windows.batch(step)
        log_prob = ops.convert_to_numpy(flow.log_prob(batch)).astype(np.float64)
        counts = flow.signal.count(ops.convert_to_tensor(batch["x"]), batch.get("frame_mask"))
        counts = ops.convert_to_numpy(counts).astype(np.int64)
        for name, cost, count in zip(
            windows.clip_names(step), flow.signal.cost(log_prob, counts), counts, strict=True
        ):
            before = costs.get(name, (0.0, 0))
            costs[name] = (before[0] + float(cost), before[1] + int(count))
    return costs


def table(measured: Mapping[str, Likelihood], name: str) -> "Table":
    """Return the costs with their intervals as a table with one row for each singer.

    Args:
        measured: what `measure` returned.
        name: name of the flow's run.
    """
    everything = measured[""]
    head = ["", "clips", name, *everything.others, *(f"less {c}" for c in everything.differences)]
    rows = []
    for group, row in measured.items():
        costs = [row.flow, *row.others.values()]
        cells = [cost.shown("{:.3f}") for cost in costs]
        cells += [difference.shown("{:+.3f}") for difference in row.differences.values()]
        rows.append([shown(group) or "all", str(row.clips), *cells])
    compressed = (
        "Only the coded frames of a codec count. "
        if PNG not in everything.others
        else "PNG compresses all pictures of a row in one file, so that it has no interval. "
    )
    caption = (
        f"± is half of a 95 % interval over clips. {compressed}"
        f"Columns with less hold the cost of {name} minus that of the codec on the same clips."
    )
    return text_table(f"Held-out {everything.unit}", head, rows, caption)
