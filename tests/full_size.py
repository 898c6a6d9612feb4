"""Names, shapes and random weights of the originals at their published sizes."""

from collections import OrderedDict
from collections.abc import Iterator

import numpy as np

Shapes = Iterator[tuple[str, tuple[int, ...]]]
COUNTS = {"blow": None, "flowavenet": 182_644_788, "waveglow": 87_879_272}


def _normed(name: str, filters: int, channels: int, taps: int) -> Shapes:
    yield f"{name}.bias", (filters,)
    yield f"{name}.weight_g", (filters, 1, 1)
    yield f"{name}.weight_v", (filters, channels, taps)


def _blow() -> Shapes:
    width, features = 512, 128
    for block in range(8):
        channels = 2 ** (block + 1)
        for flow in range(12):
            start = f"blocks.{block}.flows.{flow}"
            for name in ("w_l", "w_u", "w_p", "u_mask", "l_mask", "l_eye"):
                yield f"{start}.mixer.{name}", (channels, channels)
            for name in ("w_s", "s_sign"):
                yield f"{start}.mixer.{name}", (channels,)
            for name in ("m", "logs"):
                yield f"{start}.norm.{name}", (1, channels, 1)
            for name, filters in (("adapt_w", 3 * width), ("adapt_b", width)):
                yield f"{start}.coupling.net.{name}.weight", (filters, features)
                yield f"{start}.coupling.net.{name}.bias", (filters,)
            for number, filters, taps in ((1, width, 1), (3, channels, 3)):
                yield f"{start}.coupling.net.net.{number}.weight", (filters, width, taps)
                yield f"{start}.coupling.net.net.{number}.bias", (filters,)
    yield "embedding.weight", (108, features)


def _gated(name: str, channels: int, bins: int, outputs: int) -> Shapes:
    width = 256
    yield from _normed(f"{name}.front_conv.0.conv", width, channels, 3)
    for layer in range(2):
        block = f"{name}.res_blocks.{layer}"
        for part in ("filter_conv", "gate_conv"):
            yield from _normed(f"{block}.{part}.conv", width, width, 3)
            yield from _normed(f"{block}.{part}_c", width, bins, 1)
        for part in ("res_conv", "skip_conv"):
            yield from _normed(f"{block}.{part}", width, width, 1)
    yield from _normed(f"{name}.final_conv.1.conv", width, width, 1)
    yield f"{name}.final_conv.3.scale", (1, outputs, 1)
    yield f"{name}.final_conv.3.conv.weight", (outputs, width, 1)
    yield f"{name}.final_conv.3.conv.bias", (outputs,)


def _flowavenet() -> Shapes:
    for block, channels in enumerate((2, 4, 8, 16, 16, 32, 64, 128)):
        bins = 80 * 2**block
        for flow in range(6):
            start = f"blocks.{block}.flows.{flow}"
            yield f"{start}.actnorm.loc", (1, channels, 1)
            yield f"{start}.actnorm.scale", (1, channels, 1)
            yield from _gated(f"{start}.coupling.net", channels // 2, bins, channels)
        if block == 3:
            yield from _gated(f"blocks.{block}.prior", channels // 2, 2 * bins, channels)
    for number in (0, 2):
        yield f"upsample_conv.{number}.bias", (1,)
        yield f"upsample_conv.{number}.weight_g", (1, 1, 1, 1)
        yield f"upsample_conv.{number}.weight_v", (1, 1, 3, 32)


def _waveglow() -> Shapes:
    width, layers, bins, groups = 256, 8, 80, 8
    yield "upsample.weight", (bins, bins, 1024)
    yield "upsample.bias", (bins,)
    for flow in range(12):
        channels = groups - 2 * (flow // 4)
        start = f"WN.{flow}"
        yield f"convinv.{flow}.conv.weight", (channels, channels, 1)
        yield from _normed(f"{start}.start", width, channels // 2, 1)
        yield from _normed(f"{start}.cond_layer", 2 * width * layers, bins * groups, 1)
        for layer in range(layers):
            yield from _normed(f"{start}.in_layers.{layer}", 2 * width, width, 3)
            outputs = 2 * width if layer < layers - 1 else width
            yield from _normed(f"{start}.res_skip_layers.{layer}", outputs, width, 1)
        yield f"{start}.end.weight", (channels, width, 1)
        yield f"{start}.end.bias", (channels,)


def state_of(name: str) -> "OrderedDict[str, np.ndarray]":
    """Return random float32 weights of an original at its published size."""
    rng = np.random.default_rng(0)
    shapes = {"blow": _blow, "flowavenet": _flowavenet, "waveglow": _waveglow}[name]()
    return OrderedDict((key, _random(rng, key, shape)) for key, shape in shapes)


def _random(rng: np.random.Generator, name: str, shape: tuple[int, ...]) -> np.ndarray:
    if name.endswith(("w_p", "l_eye", "convinv", "conv.weight")) and shape[0] == shape[1]:
        return np.eye(shape[0], dtype="float32").reshape(shape)
    if name.endswith(("weight_g", "actnorm.scale", "s_sign", "mask")):
        return np.ones(shape, "float32")
    return 0.02 * rng.standard_normal(shape, "float32")
