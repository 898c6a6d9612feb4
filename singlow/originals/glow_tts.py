"""Weights of jaywalnut310/glow-tts and of Coqui TTS as those of `singlow.models.GlowTTS`."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from keras import ops

from singlow.errors import DataError
from singlow.originals.state import State, assign, convolution, entry

if TYPE_CHECKING:
    from singlow.models.glow_tts import GlowTTS

CYCLE = 1  # steps of the published model in one cycle of `Repeat`
STEPS = "num_flow_blocks_dec"  # argument of the flow for the number of steps
_TABLES = {148: "glow_tts", 149: "glow_tts_blank", 67: "coqui", 131: "coqui_ipa"}
_STEP = re.compile(r"decoder/repeat/(act_norm|mixing|coupling)\.(.+)$")
_NORM = {"gamma": ("gamma", "weight"), "beta": ("beta", "bias")}
_NORM |= {"moving_mean": ("running_mean",), "moving_variance": ("running_var",)}
_ATTENTION = {"query": "conv_q", "key": "conv_k", "value": "conv_v", "output": "conv_o"}
_SEPARABLE = {"first": "time_conv", "depthwise": "depth_conv", "last": "time_conv2"}
_SEPARABLE |= {"first_norm": "norm1", "middle_norm": "norm2", "last_norm": "norm3"}


def encoder_state(state: State) -> State:
    """Return a state with the names of the encoder of Coqui TTS, without their prefix.

    Args:
        state: of a whole model of either original, or of an encoder of Coqui TTS alone.
    """
    whole = "encoder.emb.weight" in state
    names = {}
    for name in state:
        own = name.removeprefix("encoder.") if whole else name
        own = re.sub(r"^pre\.", "prenet.", own)
        names[re.sub(r"^proj_w\.", "duration_predictor.", own)] = name
    return _Renamed(state, names)


class _Renamed(Mapping):
    """A state with other names, whose arrays are read when they are looked up."""

    def __init__(self, state: State, names: Mapping[str, str]) -> None:
        self._state, self._names = state, names

    def __getitem__(self, name: str) -> np.ndarray:
        return self._state[self._names[name]]

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def arguments_of(state: State) -> dict[str, Any]:
    """Return the arguments of the preset `glow_tts_original` that a state determines.

    A state does not determine `dilation_rate`, `sigmoid_scale`, the dilations of an encoder, and
    the number of heads without relative positions. The table of symbols follows from their number,
    if it is that of a published table; otherwise the model reads ids. The names of the weights show
    in which form a model predicts durations: the published code and Coqui TTS differ.

    Raises:
        DataError: the state is not that of a Glow-TTS.
    """
    text = encoder_state(state)
    arguments = {**_encoder_arguments(state, text), **_flow_arguments(state)}
    if "emb_g.weight" in state:
        speakers, size = entry(state, "emb_g.weight").shape
        arguments |= {"use_speaker_embedding": True, "num_speakers": speakers}
        arguments |= {"c_in_channels": size}
    return arguments


def _encoder_arguments(state: State, text: State) -> dict[str, Any]:
    symbols, width = entry(text, "emb.weight").shape
    original = any(name.startswith(("proj_w.", "encoder.proj_w.")) for name in state)
    kind, params = _encoder_of(text)
    table = {"front_end": "ids", "characters": None}
    if symbols in _TABLES:
        table = {"characters": _TABLES[symbols], "add_blank": _TABLES[symbols].endswith("_blank")}
    return {
        **table,
        "num_chars": symbols,
        "hidden_channels_enc": width,
        "hidden_channels_dp": len(entry(text, "duration_predictor.conv_1.bias")),
        "out_channels": len(entry(text, "proj_m.bias")),
        "mean_only": "proj_s.weight" not in text,
        "durations": "log" if original else "log1p",
        "encoder_type": kind,
        "encoder_params": params,
        "use_encoder_prenet": any(name.startswith("prenet.") for name in text),
    }


def _encoder_of(text: State) -> tuple[str, dict[str, Any]]:
    """Return the type of an encoder and its parameters."""
    if "encoder.ffn_layers.0.conv_1.weight" in text:
        wide, width, taps = entry(text, "encoder.ffn_layers.0.conv_1.weight").shape
        params = {"num_layers": _count(text, r"encoder\.ffn_layers\.(\d+)\.")}
        params |= {"hidden_channels_ffn": wide, "kernel_size": taps, "rel_attn_window_size": None}
        table = text.get("encoder.attn_layers.0.emb_rel_k")
        if table is not None:
            params |= {"rel_attn_window_size": table.shape[1] // 2}
            params |= {"num_heads": width // table.shape[2], "heads_share": len(table) == 1}
        return "rel_pos_transformer", params
    if "encoder.conv_layers.0.weight" in text:
        taps = entry(text, "encoder.conv_layers.0.weight").shape[-1]
        layers = _count(text, r"encoder\.conv_layers\.(\d+)\.")
        return "gated_conv", {"num_layers": layers, "kernel_size": taps}
    if "encoder.layers.0.depth_conv.weight" in text:
        taps = entry(text, "encoder.layers.0.depth_conv.weight").shape[-1]
        layers = _count(text, r"encoder\.layers\.(\d+)\.")
        params = {"num_layers": layers, "kernel_size": taps, "original_padding": True}
        return "time_depth_separable", params
    first = "encoder.res_blocks.0.conv_bn_blocks.0.conv1d.weight"
    blocks = _count(text, r"encoder\.res_blocks\.(\d+)\.")
    return "residual_conv_bn", {
        "num_conv_blocks": _count(text, r"encoder\.res_blocks\.0\.conv_bn_blocks\.(\d+)\."),
        "kernel_size": entry(text, first).shape[-1],
        "dilations": [(1, 2, 4)[i % 3] for i in range(blocks)],
        "original_padding": True,
    }


def _flow_arguments(state: State) -> dict[str, Any]:
    if "decoder.flows.0.logs" not in state:
        return {}
    channels = entry(state, "decoder.flows.0.logs").size
    network = "decoder.flows.2.wn"
    taps = entry(state, f"{network}.in_layers.0.weight_v").shape[-1]
    return {
        "num_flow_blocks_dec": _count(state, r"decoder\.flows\.(\d+)\.logs"),
        "num_squeeze": channels // len(entry(encoder_state(state), "proj_m.bias")),
        "num_splits": len(entry(state, "decoder.flows.1.weight")),
        "hidden_channels_dec": len(entry(state, "decoder.flows.2.start.bias")),
        "kernel_size_dec": taps,
        "num_block_layers": _count(state, rf"{re.escape(network)}\.in_layers\.(\d+)\."),
    }


def _count(state: State, pattern: str) -> int:
    """Return the number of different numbers that a pattern finds at the start of names."""
    return len({match[1] for name in state if (match := re.match(pattern, name))})


def load(flow: "GlowTTS", state: State) -> None:
    """Set the weights of a flow of the preset `glow_tts_original` to those of a state.

    The flow has `arguments_of(state)`, plain mixing and the scale `"exp"` or a sigmoid. It then
    finds the same alignments, and computes the same latents, losses and speech.

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
    text = encoder_state(state)

    def value(path: str) -> np.ndarray:
        match = _STEP.search(path)
        if match is None:
            return _text_weight(text, path)
        read = {"act_norm": _act_norm, "mixing": _mixing, "coupling": _coupling}[match[1]]
        return np.stack([read(state, step, match[2]) for step in range(settings[STEPS])])

    return value


def load_encoder(flow: "GlowTTS", state: State) -> None:
    """Set the weights of the encoder of a flow to those of a state, and keep those of its decoder.

    Raises:
        DataError: a weight is missing or has another shape.
    """
    text = encoder_state(state)
    kept = {weight.path: ops.convert_to_numpy(weight) for weight in flow.bijection.weights}
    assign(flow, lambda path: kept[path] if path in kept else _text_weight(text, path))


def _act_norm(state: State, step: int, part: str) -> np.ndarray:
    if part == "adapted":
        return np.ones(())
    log_scale = entry(state, f"decoder.flows.{3 * step}.logs").reshape(-1)
    if part == "log_scale":
        return log_scale
    return entry(state, f"decoder.flows.{3 * step}.bias").reshape(-1) * np.exp(-log_scale)


def _mixing(state: State, step: int, part: str) -> np.ndarray:
    if part != "kernel":
        raise DataError("Expected a flow with plain mixing. Received: another form.")
    return entry(state, f"decoder.flows.{3 * step + 1}.weight")


def _coupling(state: State, step: int, path: str) -> np.ndarray:
    """Return a weight of a `WaveNet` at a path inside the coupling."""
    prefix = f"decoder.flows.{3 * step + 2}."
    layer, part = path.removeprefix("network.").split(".")
    kind, _, number = layer.partition("_")
    if kind == "first":
        return convolution(state, [f"{prefix}start"], part)
    if kind == "last":
        # The original returns the shift and then the log-scale; couplings read them the other way.
        return np.roll(
            array := convolution(state, [f"{prefix}end"], part), array.shape[-1] // 2, -1
        )
    if kind == "mixed":
        return convolution(state, [f"{prefix}wn.res_skip_layers.{number}"], part)
    embedded = f"{prefix}wn.cond_layer"
    own = (
        convolution(state, [f"{prefix}wn.in_layers.{number}"], part) if kind == "dilated" else None
    )
    if own is not None and (part != "bias" or f"{embedded}.bias" not in state):
        return own
    # One convolution of the speaker's vector serves all layers of the original.
    array = convolution(state, [embedded], part)
    size = len(entry(state, f"{prefix}wn.in_layers.{number}.bias"))
    array = array[..., int(number) * size : (int(number) + 1) * size]
    return array if own is None else own + array


def _text_weight(text: State, path: str) -> np.ndarray:
    """Return a weight of the encoder at a path."""
    parts = path.split("/")[1:]
    if parts == ["token_table"]:
        return entry(text, "emb.weight")
    if parts == ["embeddings"]:
        return entry(text, "emb_g.weight")
    layer, part = parts[0], parts[-1]
    if layer in ("mean_head", "scale_head"):
        return _linear(text, {"mean_head": "proj_m", "scale_head": "proj_s"}[layer], part)
    if layer == "prenet" and len(parts) == 2:
        return _linear(text, "prenet.0", part)
    read: dict[str, Callable[..., np.ndarray]] = {
        "prenet": _prenet,
        "duration_predictor": _predictor,
        "encoder": _encoder,
    }
    return read[layer](text, parts[1:])


def _linear(text: State, name: str, part: str) -> np.ndarray:
    """Return a weight of a `Dense` from a convolution with one tap."""
    array = convolution(text, [name], part)
    return array[0] if part == "kernel" else array


def _norm(text: State, name: str, part: str) -> np.ndarray:
    names = [f"{name}.{each}" for each in _NORM[part]]
    return entry(text, next((each for each in names if each in text), names[0])).reshape(-1)


def _prenet(text: State, parts: list[str]) -> np.ndarray:
    kind, _, number = parts[0].partition("_")
    if kind == "last":
        return _linear(text, "prenet.proj", parts[1])
    if kind == "norm":
        return _norm(text, f"prenet.norm_layers.{number}", parts[1])
    return convolution(text, [f"prenet.conv_layers.{number}"], parts[1])


def _predictor(text: State, parts: list[str]) -> np.ndarray:
    kind, _, number = parts[0].partition("_")
    if kind == "last":
        return _linear(text, "duration_predictor.proj", parts[1])
    name = f"duration_predictor.{kind}_{int(number) + 1}"
    read = _norm if kind == "norm" else lambda text, name, part: convolution(text, [name], part)
    return read(text, name, parts[1])


def _encoder(text: State, parts: list[str]) -> np.ndarray:
    """Return a weight of an encoder of any type."""
    layer, part = parts[0], parts[-1]
    if layer in ("last", "last_norm"):  # of the residual convolutions
        name = {"last": "postnet.0", "last_norm": "postnet.1"}[layer]
        return (_linear if layer == "last" else _norm)(text, name, part)
    kind, *numbers = re.split(r"_(?=\d)", layer)
    number = numbers[0]
    if kind == "attention":
        return _attention(text, f"encoder.attn_layers.{number}.", parts[1:])
    if kind in ("widen", "narrow"):
        name = {"widen": "conv_1", "narrow": "conv_2"}[kind]
        return convolution(text, [f"encoder.ffn_layers.{number}.{name}"], part)
    if kind == "attention_norm":
        return _norm(text, f"encoder.norm_layers_1.{number}", part)
    if kind in _SEPARABLE:
        name = f"encoder.layers.{number}.{_SEPARABLE[kind]}"
        if kind == "depthwise":
            array = entry(text, f"{name}.{'weight' if part == 'kernel' else 'bias'}")
            return array.transpose(2, 0, 1) if part == "kernel" else array
        return (_norm if kind.endswith("norm") else _linear)(text, name, part)
    if len(numbers) == 2:
        name = f"encoder.res_blocks.{number}.conv_bn_blocks.{numbers[1]}."
        if kind == "norm":
            return _norm(text, f"{name}norm", part)
        return convolution(text, [f"{name}conv1d"], part)
    if kind == "norm":
        gated = f"encoder.norm_layers.{number}"
        name = gated if f"{gated}.gamma" in text else f"encoder.norm_layers_2.{number}"
        return _norm(text, name, part)
    return convolution(text, [f"encoder.conv_layers.{number}"], part)


def _attention(text: State, prefix: str, parts: list[str]) -> np.ndarray:
    if len(parts) == 1:
        names = {"relative_keys": "emb_rel_k", "relative_values": "emb_rel_v"}
        return entry(text, prefix + names[parts[0]])
    return _linear(text, prefix + _ATTENTION[parts[0]], parts[1])
