"""The verb `check`: whether a trained run still inverts, and its log-determinant is right."""

import math
from pathlib import Path
from typing import Any

import numpy as np

from singlow.commands.places import Epoch, RunName
from singlow.errors import DataError, SinglowError, UsageError
from singlow.runs.opening import Opened, open_run

LARGEST_ERROR = 1e-4
LEAST_RATIO = 80.0
ROUNDING = 10.0
LOG_DET = 1e-6
_CLIPS = 4
Given = dict[str, np.ndarray]


def check(run: RunName, epoch: Epoch = "newest") -> None:
    """Measure x -> z -> x, z -> x -> z and the log-determinant of a run; fail when one is off.

    x -> z -> x fails above 1e-4 or under 80 dB. z -> x -> z, from drawn latents, cannot be better
    than x rounded to float32 allows: it fails above ten times the error that this rounding alone
    makes, measured with a copy of the flow in float64.

    Args:
        run: name under checkpoints/, or a path.
        epoch: which checkpoint.
    """
    from singlow.backend import start_backend

    if start_backend() != "tensorflow":
        raise UsageError("check needs float64, hence TensorFlow: run it without KERAS_BACKEND=jax.")
    from singlow.runs.opening import load_flow

    opened = open_run(run, epoch)
    exact = load_flow(opened.config, opened.checkpoint, "float64")
    given, source = _clips(opened)
    print(f"{opened.run.name}, epoch {opened.checkpoint.epoch}, on {source}.")
    failures = [
        *_data_first(opened.flow, given),
        *_latents_first(opened.flow, exact, given),
        *_log_det(exact, given),
    ]
    if failures:
        raise SinglowError(f"Run {opened.run.name} fails its check: {'; '.join(failures)}.")
    print("All within their limits.")


def _data_first(flow: Any, given: Given) -> list[str]:
    x = given["x"]
    back = _numpy(flow.decode(flow.encode(given), flow.condition(given)))
    error = np.abs(back.astype(np.float64) - x).max()
    ratio = _decibels(x, back)
    print(
        f"x -> z -> x    largest error {error:.2e} (limit {LARGEST_ERROR:.0e}), "
        f"ratio {ratio:.1f} dB (limit {LEAST_RATIO:.0f} dB)"
    )
    failed = not (error <= LARGEST_ERROR and ratio >= LEAST_RATIO)
    return [f"x -> z -> x is off by {error:.2e}, {ratio:.1f} dB"] if failed else []


def _latents_first(flow: Any, exact: Any, given: Given) -> list[str]:
    rng = np.random.default_rng(0)
    z = [rng.standard_normal(latent.shape).astype(np.float32) for latent in flow.encode(given)]
    error = _largest(flow.encode({**given, "x": flow.decode(z, flow.condition(given))}), z)
    rounded = _numpy(exact.decode(z, exact.condition(given))).astype(np.float32)
    alone = _largest(exact.encode({**given, "x": rounded.astype(np.float64)}), z)
    print(
        f"z -> x -> z    largest error {error:.2e}, "
        f"{error / max(alone, 1e-300):.1f} times the {alone:.2e} of rounding x (limit {ROUNDING:g})"
    )
    return [] if error <= ROUNDING * alone else [f"z -> x -> z is off by {error:.2e}"]


def _log_det(exact: Any, given: Given) -> list[str]:
    from keras import ops

    from singlow.testing import check_log_det

    start = given["x"].shape[1] // 2 // exact.multiple * exact.multiple
    window = given["x"][:1, start : start + exact.multiple].astype(np.float64)
    condition = exact.condition({name: value[:1] for name, value in given.items()})
    try:
        with np.errstate(invalid="ignore"):
            error = check_log_det(
                exact.bijection, ops.convert_to_tensor(window), condition, tolerance=math.inf
            )
    except AssertionError:  # not a number, which no tolerance allows
        error = math.nan
    print(
        f"log_det        error {error:.2e} a dimension against autodiff, {exact.multiple} samples "
        f"in float64 (limit {LOG_DET:.0e})"
    )
    return [] if error <= LOG_DET else [f"log_det is off by {error:.2e} a dimension"]


def _clips(opened: Opened) -> tuple[Given, str]:
    """Held-out windows of the run's data, or of the built-in corpus when those are gone."""
    from singlow.data.feed.windows import Windows
    from singlow.data.sources.layouts import sources_of
    from singlow.runs.data import window_length

    flow, training = opened.flow, opened.config["training"]
    window = window_length(opened.config, flow)
    directory = Path(opened.config["data"].get("directory", ""))
    if (directory / "dataset_info.json").is_file():
        held_out = Windows(
            directory,
            "validation",
            window,
            _CLIPS,
            training["seed"],
            multiple=flow.multiple,
            training=False,
            speakers=True,
        )
        if (held_out.sample_rate, held_out.channels) != (flow.sample_rate, flow.channels):
            raise DataError(
                f"{directory}: Expected {flow.sample_rate} Hz and {flow.channels} "
                f"channel(s). Received: {held_out.sample_rate} Hz and {held_out.channels}. Build "
                "it again as the run began, or move it away to check on a synthetic clip."
            )
        if held_out.steps:
            batch = held_out.batch(0)
            given = {name: batch[name] for name in ("x", *flow.conditions_on)}
            sources = sources_of(opened.config["data"]["dataset"])
            return given, f"held-out clips of {' '.join(sources)}"
    given = {"x": _synthetic(flow, window)}
    given |= {name: np.zeros(_CLIPS, np.int32) for name in flow.conditions_on}
    return given, "a synthetic clip, since the run's own data are gone"


def _synthetic(flow: Any, window: int) -> np.ndarray:
    from singlow.audio import dequantize, resample, to_channels
    from singlow.choir import corpus

    clip = next(corpus.clips(clips_per_singer=1))
    audio = resample(dequantize(clip.audio), clip.sample_rate, flow.sample_rate)
    audio = np.resize(to_channels(audio, flow.channels), (_CLIPS * window, flow.channels))
    return audio.reshape(_CLIPS, window, flow.channels).astype(np.float32)


def _largest(latents: list[Any], expected: list[np.ndarray]) -> float:
    pairs = zip(latents, expected, strict=True)
    return max(float(np.abs(_numpy(a).astype(np.float64) - b).max()) for a, b in pairs)


def _numpy(tensor: Any) -> np.ndarray:
    from keras import ops

    return ops.convert_to_numpy(tensor)


def _decibels(reference: np.ndarray, estimate: np.ndarray) -> float:
    from singlow.audio import snr_db

    return snr_db(reference, estimate)
