"""Weights of ksw0306/FloWaveNet as those of `singlow.models.FloWaveNet`."""

import math
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from singlow.errors import DataError
from singlow.originals.state import State, assign, convolution, entry

if TYPE_CHECKING:
    from singlow.models.flowavenet import FloWaveNet

_STEP = re.compile(r"block_(\d+)/repeat/(act_norm|coupling)_(\d)\.(.+)$")
_PRIOR = re.compile(r"level_(\d+)/prior/network/(.+)$")
_UPSAMPLE = re.compile(r"upsample/(kernel|gain|bias)_(\d)$")
CYCLE = 2  # steps of the published model in one cycle of `Repeat`, one for each half of the mel


def arguments_of(state: State) -> dict[str, Any]:
    """Return the arguments of the preset `flowavenet_original` that a state determines.

    Raises:
        DataError: the state is not that of a FloWaveNet.
    """
    blocks = _count(state, r"blocks\.(\d+)\.")
    channels = [entry(state, f"blocks.{block}.flows.0.actnorm.loc").size for block in range(blocks)]
    splits = [n + 1 for n in range(blocks - 1) if channels[n + 1] == channels[n]]
    first = entry(state, "blocks.0.flows.0.coupling.net.front_conv.0.conv.weight_v")
    condition = entry(state, "blocks.0.flows.0.coupling.net.res_blocks.0.filter_conv_c.weight_v")
    stages = _count(state, r"upsample_conv\.(\d+)\.") // 2 + 1  # activations stand between them
    names = [f"upsample_conv.{2 * stage}.weight_v" for stage in range(stages)]
    scales = [entry(state, name).shape[-1] // 2 for name in names]
    return {
        "l_glow": blocks,
        "k_glow": _count(state, r"blocks\.0\.flows\.(\d+)\."),
        "split_every": splits[0] if splits else blocks,
        "layers": _count(state, r"blocks\.0\.flows\.0\.coupling\.net\.res_blocks\.(\d+)\."),
        "width": len(first),
        "kernel_size": first.shape[-1],
        "n_mels": condition.shape[1],
        "upsample_scales": scales,
        "hop_length": math.prod(scales),
    }


def _count(state: State, pattern: str) -> int:
    numbers = [int(match[1]) for match in map(re.compile(pattern).match, state) if match]
    if not numbers:
        raise DataError("Expected the weights of a FloWaveNet. Received: others.")
    return max(numbers) + 1


def load(flow: "FloWaveNet", state: State) -> None:
    """Set the weights of a flow of the preset `flowavenet_original` to those of a state.

    The flow has `arguments_of(state)`. It then computes the same likelihood and the same audio.

    Raises:
        DataError: a weight is missing, has another shape, or a scale of an ActNorm is not positive.
    """
    assign(flow, values_of(state, flow.get_config()))


def values_of(state: State, settings: Mapping[str, Any]) -> Callable[[str], np.ndarray]:
    """Return the function from the path of a weight of such a flow to its value.

    Args:
        state: the state.
        settings: the arguments of the flow.
    """

    def value(path: str) -> np.ndarray:
        if match := _STEP.search(path):
            block, layer, number, part = int(match[1]), match[2], int(match[3]), match[4]
            steps = range(number, settings["k_glow"], CYCLE)
            prefixes = [f"blocks.{block}.flows.{step}." for step in steps]
            if layer == "act_norm":
                return np.stack([_act_norm(state, f"{p}actnorm.", part) for p in prefixes])
            part = part.removeprefix("network.").replace(".", "/")
            return np.stack([_network(state, f"{p}coupling.net.", part) for p in prefixes])
        if match := _PRIOR.search(path):
            block = (int(match[1]) + 1) * settings["split_every"] - 1
            return _network(state, f"blocks.{block}.prior.", match[2], prior=True)
        if match := _UPSAMPLE.search(path):
            return _upsample(state, f"upsample_conv.{2 * int(match[2])}", match[1])
        raise DataError(f"Expected a flow of flowavenet_original. Received: the weight {path}.")

    return value


def _act_norm(state: State, prefix: str, part: str) -> np.ndarray:
    if part == "adapted":
        return np.ones(())
    if part == "shift":
        return entry(state, f"{prefix}loc").reshape(-1)
    scale = entry(state, f"{prefix}scale").reshape(-1)
    if not (scale > 0).all():
        raise DataError(f"Expected {prefix}scale above 0. Received: {scale.min():.3g}.")
    return np.log(scale)


def _network(state: State, prefix: str, path: str, prior: bool = False) -> np.ndarray:
    """Return a weight of a `GatedConvNet` at a path inside it."""
    if path == "scale":
        return _outputs(entry(state, f"{prefix}final_conv.3.scale").reshape(-1), prior)
    layer, part = path.split("/")
    if layer == "last":
        # The original subtracts t and divides by exp(s); `AffineCoupling` adds and multiplies.
        return -_outputs(convolution(state, [f"{prefix}final_conv.3.conv"], part), prior)
    if layer == "first":
        return convolution(state, [f"{prefix}front_conv.0.conv"], part)
    if layer == "hidden":
        return convolution(state, [f"{prefix}final_conv.1.conv"], part)
    kind, index = layer.rsplit("_", 1)
    names = {
        "dilated": ("filter_conv.conv", "gate_conv.conv"),
        "condition": ("filter_conv_c", "gate_conv_c"),
        "mixed": ("res_conv", "skip_conv"),
    }[kind]
    return convolution(state, [f"{prefix}res_blocks.{index}.{name}" for name in names], part)


def _outputs(values: np.ndarray, prior: bool) -> np.ndarray:
    """Return values of the output channels, log-scales first; priors have their means first."""
    return np.roll(values, values.shape[-1] // 2, axis=-1) if prior else values


def _upsample(state: State, name: str, part: str) -> np.ndarray:
    original = {"kernel": "weight_v", "gain": "weight_g", "bias": "bias"}[part]
    array = entry(state, f"{name}.{original}")
    return array[0, 0].T if part == "kernel" else array.reshape(())
