"""The verb `check`: whether a run still inverts, and whether its log-determinant is right."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from singlow.commands.places import Epoch, OnlyRun, only_run
from singlow.errors import SinglowError, UsageError
from singlow.runs.opening import open_run

if TYPE_CHECKING:
    from singlow.models.flow import Flow
    from singlow.runs.opening import TrainedRun

LARGEST_ERROR = 1e-4  # largest error of x -> z -> x, for x in [-1, 1)
LEAST_RATIO = 80.0  # decibels
LARGEST_LATENT_ERROR = 0.1  # largest error of z -> x -> z; the deviation of most latents is 1
LARGEST_FACTOR = 10.0  # largest ratio of the error of z -> x -> z to that of rounding x alone
LEAST_LATENT_ERROR = 1e-3  # smaller errors of z -> x -> z pass, whatever their ratio
LARGEST_LOG_DET_ERROR = 1e-6  # error per dimension
_ITEMS = 4
_DIMENSIONS = 256  # size of the piece on which the log-determinant is measured
Batch = dict[str, np.ndarray]


def check(run: OnlyRun = None, epoch: Epoch = "newest") -> None:
    """Measure x -> z -> x, z -> x -> z and the log-determinant of a run; fail if one is wrong.

    x -> z -> x fails above an error of 1e-4 or below a ratio of 80 dB. z -> x -> z starts from
    latents drawn from the run's prior. It fails above an error of 0.1. It also fails above an error
    of 1e-3 that is more than ten times that of a copy of the flow in float64 in which only x is
    rounded to float32. The
    log-determinant is compared with that of the Jacobian over several frames.

    Args:
        run: Name under checkpoints/, or a path; by default the only run there.
        epoch: Checkpoint to use.
    """
    from singlow.backend import start_backend

    if start_backend() != "tensorflow":
        raise UsageError(
            "Expected the TensorFlow backend, since check needs float64. Received: "
            "KERAS_BACKEND=jax. Run it without KERAS_BACKEND."
        )
    from singlow.runs.opening import load_flow

    opened = open_run(only_run(run), epoch)
    exact = load_flow(opened.config, opened.checkpoint, "float64")
    batch, source = _batch(opened)
    print(f"{opened.run.name}, epoch {opened.checkpoint.epoch}, on {source}.")
    failures = [
        *_check_data(opened.flow, batch),
        *_check_latents(opened.flow, exact, batch),
        *_check_log_det(exact, batch),
    ]
    if failures:
        raise SinglowError(f"Run {opened.run.name} fails its check: {'; '.join(failures)}.")
    print("All within their limits.")


def _check_data(flow: "Flow", batch: Batch) -> list[str]:
    """Compare `x` with `decode(encode(x))` in its valid positions and return what fails."""
    from singlow.audio import snr_db

    x, mask = batch["x"].astype(np.float64), batch.get("frame_mask")
    decoded = _numpy(flow.decode(flow.encode(batch), _beside(batch)))
    if mask is not None:
        x, decoded = x * mask[..., None], decoded * mask[..., None]
    error, ratio = np.abs(decoded - x).max(), snr_db(x, decoded)
    limit = LARGEST_ERROR * max(1.0, np.abs(x).max())
    print(
        f"x -> z -> x    largest error {error:.2e} (limit {limit:.0e}), "
        f"ratio {ratio:.1f} dB (limit {LEAST_RATIO:.0f} dB)"
    )
    passed = error <= limit and ratio >= LEAST_RATIO
    return [] if passed else [f"x -> z -> x is off by {error:.2e}, {ratio:.1f} dB"]


def _check_latents(flow: "Flow", exact: "Flow", batch: Batch) -> list[str]:
    """Compare drawn latents `z` with `encode(decode(z))` and return what fails."""
    beside = {name: value for name, value in _beside(batch).items() if name != "frame_mask"}
    z = _drawn_latents(flow, beside, *batch["x"].shape[:2])
    error = _largest(flow.encode({**beside, "x": flow.decode(z, beside)}), z)
    rounded = _numpy(exact.decode(z, beside)).astype(np.float32).astype(np.float64)
    alone = _largest(exact.encode({**beside, "x": rounded}), z)
    print(
        f"z -> x -> z    largest error {error:.2e} (limit {LARGEST_LATENT_ERROR:g}), "
        f"{error / max(alone, 1e-300):.1f} times the {alone:.2e} of rounding x "
        f"(limit {LARGEST_FACTOR:g} above an error of {LEAST_LATENT_ERROR:g})"
    )
    limit = max(LEAST_LATENT_ERROR, LARGEST_FACTOR * alone)
    passed = error <= LARGEST_LATENT_ERROR and error <= limit
    return [] if passed else [f"z -> x -> z is off by {error:.2e}"]


def _check_log_det(exact: "Flow", batch: Batch) -> list[str]:
    """Compare the log-determinant with that of the Jacobian and return what fails."""
    from keras import ops

    from singlow.testing import check_log_det

    piece = _piece(exact, batch)
    x = ops.convert_to_tensor(piece["x"].astype(np.float64))
    try:
        with np.errstate(invalid="ignore"):
            condition = exact.condition(exact.checked({"x": None, **_beside(piece)}))
            error = check_log_det(exact.bijection, x, condition, tolerance=math.inf)
    except AssertionError:  # NaN, which no tolerance allows
        error = math.nan
    positions = " x ".join(map(str, x.shape[1:-1]))
    print(
        f"log_det        error {error:.2e} a dimension against autodiff, {positions} positions "
        f"in float64 (limit {LARGEST_LOG_DET_ERROR:.0e})"
    )
    return [] if error <= LARGEST_LOG_DET_ERROR else [f"log_det is off by {error:.2e} a dimension"]


def _drawn_latents(flow: "Flow", inputs: Batch, count: int, length: int) -> list[np.ndarray]:
    """Draw latents from the flow's prior for these inputs, in the way of `Flow.sample`."""
    from keras import ops

    checked = flow.checked({"x": None, **inputs})
    longest = int(flow.sample_lengths(checked, count, length).max())
    whole = -(-longest // flow.multiple) * flow.multiple
    shapes = flow.latent_shapes(count, whole)
    if flow.signal.maskable:
        checked["frame_mask"] = ops.ones((count, whole), flow.compute_dtype)
    latents = flow.prior(checked).sample(np.random.default_rng(0), shapes, temperature=1.0)
    return [_numpy(latent).astype(np.float32) for latent in latents]


def _piece(flow: "Flow", batch: Batch) -> Batch:
    """Return the first item, cut to several frames: it is small enough for a dense Jacobian."""
    item = {name: value[:1] for name, value in batch.items() if name != "frame_mask"}
    x = item["x"]
    if not flow.signal.maskable:
        side = _smallest_side(flow)
        return {**item, "x": x[:, :side, :side]}
    hops = {name: entry.hop for name, entry in flow.inputs.items() if entry.kind == "frames"}
    frame = math.lcm(flow.multiple, *hops.values())
    # A piece of one frame of the coarsest level still has several frames of every other level.
    length = frame * max(1, _DIMENSIONS // (frame * x.shape[-1]))
    start = max(0, x.shape[1] - length) // 2 // frame * frame
    for name, hop in {"x": 1, **hops}.items():
        steps = np.arange(start // hop, (start + length) // hop) % item[name].shape[1]
        item[name] = item[name][:, steps]  # a short item is repeated
    return item


def _smallest_side(flow: "Flow") -> int:
    """Return the side of the smallest square that holds several frames of an image."""
    height, width, channels = flow.signal.shape(1, None)[1:]
    for side in range(2, min(height, width)):
        shapes = flow.bijection.latent_shape((1, side, side, channels))
        shapes = shapes if isinstance(shapes, list) else [shapes]
        if sum(math.prod(shape[1:]) for shape in shapes) == side * side * channels:
            return min(max(4, 2 * side), height, width)
    return min(height, width)


def _batch(opened: "TrainedRun") -> tuple[Batch, str]:
    """Return held-out windows of the run's data, or a synthetic batch, and a description of it."""
    from singlow.data.sources.layouts import sources_of
    from singlow.runs.data import open_windows, window_length

    flow, config = opened.flow, opened.config
    directory = Path(config["data"].get("directory", ""))
    if (directory / "dataset_info.json").is_file():
        held_out = open_windows(config, flow)[1]
        batch = {name: value[:_ITEMS] for name, value in held_out.batch(0).items()}
        kind = "clips" if flow.signal.maskable else "pictures"
        return batch, f"held-out {kind} of {' '.join(sources_of(config['data']['dataset']))}"
    window = window_length(config, flow)
    batch = flow.dummy_inputs(_ITEMS, window)
    if not hasattr(flow.signal, "sample_rate"):
        return batch, "random data, since the run's own data are gone"
    batch["x"] = _synthetic(flow, window)
    return batch, "a synthetic clip, since the run's own data are gone"


def _synthetic(flow: "Flow", window: int) -> np.ndarray:
    """Return windows of a clip of the built-in corpus, `(_ITEMS, window, channels)`."""
    from singlow.audio import dequantize, resample, to_channels
    from singlow.choir import corpus

    clip = next(corpus.clips(clips_per_singer=1))
    signal = flow.signal
    audio = resample(dequantize(clip.audio), clip.sample_rate, signal.sample_rate)
    audio = np.resize(to_channels(audio, signal.channels), (_ITEMS * window, signal.channels))
    return audio.reshape(_ITEMS, window, signal.channels).astype(np.float32)


def _beside(batch: Batch) -> Batch:
    return {name: value for name, value in batch.items() if name != "x"}


def _largest(latents: Sequence[Any], expected: Sequence[np.ndarray]) -> float:
    pairs = zip(latents, expected, strict=True)
    errors = [np.abs(_numpy(a).astype(np.float64) - b).max() for a, b in pairs]
    return float(np.max(errors))  # unlike max, np.max returns NaN if an error is NaN


def _numpy(tensor: Any) -> np.ndarray:
    from keras import ops

    return ops.convert_to_numpy(tensor)
