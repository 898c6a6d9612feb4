"""Weights of NVIDIA/waveglow as those of `singlow.models.WaveGlow`."""

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from singlow.errors import DataError
from singlow.originals.state import State, assign, convolution, entry

if TYPE_CHECKING:
    from singlow.models.waveglow import WaveGlow

_STEP = re.compile(r"level_(\d+)/(mixing|coupling)\.(.+)$")
_UPSAMPLE = re.compile(r"upsample/(kernel|bias)$")
CYCLE = 1  # steps of the published model in one cycle of `Repeat`
_OVERLAP = 4  # frames of the mel on which a sample depends


def arguments_of(state: State) -> dict[str, Any]:
    """Return the arguments of the preset `waveglow_original` that a state determines.

    Raises:
        DataError: the state is not that of a WaveGlow, or its last level has fewer steps.
    """
    steps = _count(state, r"convinv\.(\d+)\.conv\.weight")
    channels = [len(entry(state, f"convinv.{step}.conv.weight")) for step in range(steps)]
    levels = [step for step in range(steps) if not step or channels[step] < channels[step - 1]]
    if [n * (levels[1] if len(levels) > 1 else steps) for n in range(len(levels))] != levels or (
        steps % len(levels)
    ):
        raise DataError(
            "Expected a WaveGlow with the same number of steps between all early outputs. "
            f"Received: {steps} steps, of which {levels} begin with fewer channels."
        )
    first = entry(state, f"WN.0.start.{_kernel(state, 'WN.0.start')}")
    taps = entry(state, f"WN.0.in_layers.0.{_kernel(state, 'WN.0.in_layers.0')}")
    bins, _, samples = entry(state, "upsample.weight").shape
    return {
        "k_glow": steps // len(levels),
        "l_glow": len(levels),
        "squeeze": channels[0],
        "early_size": channels[0] - channels[levels[1]] if len(levels) > 1 else 2,
        "width": len(first),
        "layers": _count(state, r"WN\.0\.in_layers\.(\d+)\."),
        "kernel_size": taps.shape[-1],
        "n_mels": bins,
        "hop_length": samples // _OVERLAP,
    }


def _count(state: State, pattern: str) -> int:
    numbers = [int(match[1]) for match in map(re.compile(pattern).match, state) if match]
    if not numbers:
        raise DataError("Expected the weights of a WaveGlow. Received: others.")
    return max(numbers) + 1


def _kernel(state: State, name: str) -> str:
    return "weight_v" if f"{name}.weight_v" in state else "weight"


def load(flow: "WaveGlow", state: State) -> None:
    """Set the weights of a flow of the preset `waveglow_original` to those of a state.

    The flow has `arguments_of(state)`. It then computes the same latents and the same audio.

    Raises:
        DataError: a weight is missing or has another shape.
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
            level, layer, part = int(match[1]), match[2], match[3]
            first = level * settings["k_glow"]
            steps = range(first, first + settings["k_glow"])
            if layer == "mixing":
                return np.stack([entry(state, f"convinv.{n}.conv.weight")[..., 0] for n in steps])
            part = part.removeprefix("network.").replace(".", "/")
            return np.stack([_network(state, f"WN.{n}.", part, settings) for n in steps])
        if match := _UPSAMPLE.search(path):
            array = entry(state, "upsample.bias" if match[1] == "bias" else "upsample.weight")
            return array if match[1] == "bias" else array.transpose(2, 0, 1)
        raise DataError(f"Expected a flow of waveglow_original. Received: the weight {path}.")

    return value


def _network(state: State, prefix: str, path: str, settings: Mapping[str, Any]) -> np.ndarray:
    """Return a weight of a `WaveNet` at a path inside it."""
    layer, part = path.split("/")
    if layer == "last":
        # The original puts shifts first; `AffineCoupling` puts log-scales first.
        values = convolution(state, [f"{prefix}end"], part)
        return np.roll(values, values.shape[-1] // 2, axis=-1)
    if layer == "first":
        return convolution(state, [f"{prefix}start"], part)
    kind, index = layer.rsplit("_", 1)
    if kind == "condition" and f"{prefix}cond_layer.bias" not in state:  # early versions
        return convolution(state, [f"{prefix}cond_layers.{index}"], part)
    if kind == "condition":
        values = convolution(state, [f"{prefix}cond_layer"], part)
        size = 2 * settings["width"]
        return values[..., int(index) * size : (int(index) + 1) * size]
    name = {"dilated": "in_layers", "mixed": "res_skip_layers"}[kind]
    return convolution(state, [f"{prefix}{name}.{index}"], part)
