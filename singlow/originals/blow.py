"""Weights of joansj/blow as those of `singlow.models.Blow`."""

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.linalg

from singlow.errors import DataError
from singlow.originals.state import State, assign, convolution, entry

if TYPE_CHECKING:
    from singlow.models.blow import Blow

_STEP = re.compile(r"block_(\d+)/repeat/(mixing|act_norm|coupling)\.(.+)$")
CYCLE = 1  # steps of the published model in one cycle of `Repeat`


def arguments_of(state: State) -> dict[str, Any]:
    """Return the arguments of the preset `blow_original` that a state determines.

    Raises:
        DataError: the state is not that of a Blow.
    """
    steps = [re.match(r"blocks\.(\d+)\.flows\.(\d+)\.", name) for name in state]
    places = [(int(match[1]), int(match[2])) for match in steps if match]
    if not places:
        raise DataError("Expected the weights of a Blow. Received: others.")
    factor = entry(state, "blocks.0.flows.0.mixer.w_s").size
    speakers, size = entry(state, "embedding.weight").shape
    return {
        "l_glow": max(places)[0] + 1,
        "k_glow": max(step for _, step in places) + 1,
        "squeeze": factor,
        "level_squeeze": factor,
        "width": len(entry(state, "blocks.0.flows.0.coupling.net.net.1.weight")),
        "speakers": speakers,
        "embedding_size": size,
    }


def load(flow: "Blow", state: State) -> None:
    """Set the weights of a flow of the preset `blow_original` to those of a state.

    The flow has `arguments_of(state)`. It then computes the same latents and conversions. The
    original squeezes frames in another order of channels, which the first 1x1 convolution of each
    block undoes.

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
        if path.endswith("embeddings"):
            return entry(state, "embedding.weight")
        match = _STEP.search(path)
        if match is None:
            raise DataError(f"Expected a flow of blow_original. Received: the weight {path}.")
        block, layer, part = int(match[1]), match[2], match[3]
        factor = settings["level_squeeze"] if block else settings["squeeze"]
        prefixes = [f"blocks.{block}.flows.{step}." for step in range(settings["k_glow"])]
        read = {"act_norm": _act_norm, "coupling": _network}
        if layer == "mixing":
            factors = [1 if step else factor for step in range(len(prefixes))]
            pairs = zip(prefixes, factors, strict=True)
            return np.stack([_mixing(state, f"{p}mixer.", part, f) for p, f in pairs])
        return np.stack([read[layer](state, prefix, part) for prefix in prefixes])

    return value


def _mixing(state: State, prefix: str, part: str, factor: int) -> np.ndarray:
    """Return a weight of an `InvertibleConv` that reads frames squeezed by `factor` before it."""
    names = ("w_p", "w_l", "w_u", "w_s", "s_sign")
    permutation, lower, upper, log_scale, sign = (entry(state, prefix + name) for name in names)
    one = np.eye(len(log_scale))
    triangle = np.triu(upper, 1) + np.diag(sign * np.exp(log_scale))
    matrix = permutation @ (np.tril(lower, -1) + one) @ triangle
    channels = len(log_scale) // factor
    order = np.arange(len(log_scale)).reshape(channels, factor).T.reshape(-1)
    permutation, lower, upper = scipy.linalg.lu(matrix[:, order])
    diagonal = np.diag(upper)
    return {
        "permutation": permutation,
        "sign": np.sign(diagonal),
        "lower": np.tril(lower, -1),
        "upper": np.triu(upper, 1),
        "log_diagonal": np.log(np.abs(diagonal)),
    }[part]


def _act_norm(state: State, prefix: str, part: str) -> np.ndarray:
    if part == "adapted":
        return np.ones(())
    name = {"shift": "m", "log_scale": "logs"}[part]
    return entry(state, f"{prefix}norm.{name}").reshape(-1)


def _network(state: State, prefix: str, path: str) -> np.ndarray:
    """Return a weight of a `HyperNet` at a path inside the coupling."""
    prefix = f"{prefix}coupling.net."
    layer, part = path.removeprefix("network.").split(".")
    if layer != "adapter":
        number = {"hidden": 1, "last": 3}[layer]
        return convolution(state, [f"{prefix}net.{number}"], part)
    name = {"kernel": "weight", "bias": "bias"}[part]
    taps = entry(state, f"{prefix}adapt_w.{name}")
    bias = entry(state, f"{prefix}adapt_b.{name}")
    # The original stores the taps of each output channel side by side; HyperNet stores them apart.
    width = len(bias)
    taps = np.moveaxis(taps.reshape(width, -1, *taps.shape[1:]), 1, 0).reshape(taps.shape)
    return np.concatenate([taps, bias]).T
