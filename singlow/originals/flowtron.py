"""Weights of NVIDIA/flowtron as those of `singlow.models.Flowtron`."""

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from singlow.originals.state import State, assign, convolution, entry

if TYPE_CHECKING:
    from singlow.models.flowtron import Flowtron

CYCLE = None  # the model has no `Repeat`
_SYMBOLS = 185  # of the published table
_STEP = re.compile(r"step_(\d+)/network/(.+)$")
_ATTENTION = ("query", "key", "value")
_LSTM = {"kernel": "weight_ih", "recurrent_kernel": "weight_hh"}
_HEADS = {"weight_head": "prob", "means_head": "mean", "log_variances_head": "log_var"}
_NORM = {"gamma": "weight", "beta": "bias"}


def arguments_of(state: State) -> dict[str, Any]:
    """Return the arguments of the preset `flowtron_original` that a state determines.

    A state determines the table of symbols if it has the size of the published one; otherwise the
    model reads ids. It does not determine the scale of fixed means.

    Raises:
        DataError: the state is not that of a Flowtron.
    """
    symbols, width = entry(state, "embedding.weight").shape
    speakers, size = entry(state, "speaker_embedding.weight").shape
    count = _count(state, r"flows\.(\d+)\.")
    layers = _count(state, r"flows\.0\.lstm\.weight_ih_l(\d+)$")
    table = {} if symbols == _SYMBOLS else {"front_end": "ids", "characters": None}
    arguments = {
        **table,
        "num_chars": symbols,
        "n_text_dim": width,
        "num_speakers": speakers,
        "use_speaker_embedding": speakers > 1,
        "n_speaker_dim": size,
        "n_encoder_layers": _count(state, r"encoder\.convolutions\.(\d+)\."),
        "n_flows": count,
        "n_mel_channels": len(entry(state, "flows.0.conv.bias")) // 2,
        "n_attn_channels": len(entry(state, "flows.0.attention_layer.query.linear_layer.weight")),
        "n_hidden": entry(state, "flows.0.conv.weight").shape[1],
        "n_lstm_layers": layers,
        "use_gate_layer": any(".gate_layer." in name for name in state),
        "use_cumm_attention": "flows.0.attn_cond_layer.location_conv_out.conv.bias" in state,
    }
    if "gaussian_mixture.prob_layer.linear_layer.bias" in state:
        arguments |= {
            "n_components": len(entry(state, "gaussian_mixture.prob_layer.linear_layer.bias")),
            "fixed_gaussian": "gaussian_mixture.mean_layer.linear_layer.weight" not in state,
            "mel_encoder_n_hidden": len(entry(state, "mel_encoder.convolutions.0.0.conv.bias")),
        }
    return arguments


def _count(state: State, pattern: str) -> int:
    """Return the number of different numbers that a pattern finds at the start of names."""
    return len({match[1] for name in state if (match := re.match(pattern, name))})


def load(flow: "Flowtron", state: State) -> None:
    """Set the weights of a flow of the preset `flowtron_original` to those of a state.

    The flow has `arguments_of(state)`. The two biases of each LSTM of the original are added.

    Raises:
        DataError: a weight is missing or has another shape.
    """
    assign(flow, values_of(state, flow.get_config()))


def values_of(state: State, settings: Mapping[str, Any]) -> Callable[[str], np.ndarray]:
    """Return a function from the path of a weight of a flow to its value.

    Args:
        state: of the original.
        settings: of the flow.
    """

    def value(path: str) -> np.ndarray:
        match = _STEP.search(path)
        if match is not None:
            number = int(match[1])
            inner = "ar_step." if number % 2 else ""
            return _step_weight(state, f"flows.{number}.{inner}", match[2].split("/"))
        return _outer_weight(state, path.split("/")[1:])

    return value


def _outer_weight(state: State, parts: list[str]) -> np.ndarray:
    """Return a weight outside of the steps at a path."""
    layer, part = parts[0], parts[-1]
    if layer == "token_table":
        return entry(state, "embedding.weight")
    if layer == "embeddings":
        return entry(state, "speaker_embedding.weight")
    if layer == "speaker_vector":
        return entry(state, "speaker_embedding.weight")[0]
    if layer == "trained_steps":
        return np.zeros(())
    if layer == "fixed_means":
        return entry(state, "gaussian_mixture.mean")[0]
    if layer in _HEADS:
        return _linear(state, f"gaussian_mixture.{_HEADS[layer]}_layer.linear_layer", part)
    kind, _, number = parts[1].partition("_")
    if kind in ("forward", "backward"):
        return _lstm(state, f"{layer}.lstm", "l0" + "_reverse" * (kind == "backward"), part)
    name = f"{layer}.convolutions.{number}"
    if kind == "norm":
        return entry(state, f"{name}.1.{_NORM[part]}")
    return convolution(state, [f"{name}.0.conv"], part)


def _step_weight(state: State, prefix: str, parts: list[str]) -> np.ndarray:
    """Return a weight of an `AttentiveLSTM` at a path inside it."""
    layer, part = parts[0], parts[-1]
    if layer == "query_lstm":
        return _lstm(state, f"{prefix}attention_lstm", "l0", part)
    if layer == "gate":
        return _linear(state, f"{prefix}gate_layer.linear_layer", part)
    if layer == "last":
        array = convolution(state, [f"{prefix}conv"], part)
        return array[0] if part == "kernel" else array
    if layer == "attention":
        return _attention(state, prefix, parts[1:])
    kind, _, number = layer.partition("_")
    if kind == "lstm":
        return _lstm(state, f"{prefix}lstm", f"l{number}", part)
    return _linear(state, f"{prefix}dense_layer.layers.{number}.linear_layer", part)


def _attention(state: State, prefix: str, parts: list[str]) -> np.ndarray:
    layer, part = parts[0], parts[-1]
    if layer == "score":
        return entry(state, f"{prefix}attention_layer.v.linear_layer.weight")[0]
    if layer in _ATTENTION:
        return _linear(state, f"{prefix}attention_layer.{layer}.linear_layer", part)
    name = {"location_0": "location_conv_hidden", "location_1": "location_conv_out"}[layer]
    return convolution(state, [f"{prefix}attn_cond_layer.{name}.conv"], part)


def _linear(state: State, name: str, part: str) -> np.ndarray:
    return entry(state, f"{name}.weight").T if part == "kernel" else entry(state, f"{name}.bias")


def _lstm(state: State, name: str, layer: str, part: str) -> np.ndarray:
    """Return a weight of an `LSTM`, whose gates have the order of the original."""
    if part == "bias":
        return entry(state, f"{name}.bias_ih_{layer}") + entry(state, f"{name}.bias_hh_{layer}")
    return entry(state, f"{name}.{_LSTM[part]}_{layer}").T
