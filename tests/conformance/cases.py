"""The table of cases holds every public bijection in every form, with shapes to test it on."""

import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from singlow import bijections as b
from singlow.bijections.base import InvertibleLayer, deserialize, serialize
from singlow.models import FloWaveNet, SinGlow, WaveGlow
from singlow.networks import (
    AttentiveLSTM,
    ConvNet,
    DurationPredictor,
    Encoder,
    GatedConvNet,
    GatedConvolutions,
    HyperNet,
    Network,
    Prenet,
    RecurrentEncoder,
    RelativeTransformer,
    ResidualConvolutions,
    SeparableConvolutions,
    WaveNet,
)
from singlow.ops.masks import masked
from singlow.ops.tensors import Tensor
from singlow.testing import nudge
from tests.conftest import PRECISIONS

Shape = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Case:
    """A layer and the shapes it is tested on.

    Attributes:
        make: creates the layer.
        x: shape of the data.
        condition: shape of the condition, or a mapping of shapes; None without a condition.
        multiple: lengths must be multiples of this.
        compiles: True if TensorFlow's XLA compiles the layer, else the reason why it does not.
        weights: whether the layer has trainable weights.
        tolerance: largest inversion error in float32; 1e-4 when None.
    """

    make: Callable[[], InvertibleLayer]
    x: Shape
    condition: Any = None
    multiple: int = 1
    compiles: bool | str = True
    weights: bool = True
    tolerance: float | None = None


def small_net(**kwargs) -> ConvNet:
    return ConvNet(6, (3, 1, 2), (1, 1, 3), **kwargs)


def step(**kwargs) -> b.Chain:
    return b.Chain([b.ActNorm(), b.InvertibleConv(), b.AffineCoupling(small_net())], **kwargs)


def two_levels() -> b.MultiScale:
    prior = b.AffineCoupling(ConvNet(4, (1,)))
    return b.MultiScale(
        [b.Squeezed(b.Chain([b.Repeat(step(), 2), prior]), 2), b.Squeezed(b.Repeat(step(), 1), 2)]
    )


def tiny() -> InvertibleLayer:
    return SinGlow.from_preset("singlow_tiny", squeeze=4).bijection


def gated(**kwargs) -> GatedConvNet:
    return GatedConvNet(6, 2, **kwargs)


def published_steps() -> b.Repeat:
    """Return steps of FloWaveNet, whose networks read the halves of the condition in turn."""
    parts = []
    for part in ("first", "last"):
        network = gated(part=part, redundant=True)
        coupling = b.AffineCoupling(network, "exp", shift_first=True)
        parts += [b.ActNorm(), coupling, b.Swap()]
    return b.Repeat(b.Chain(parts), 2, "inverted")


def vocoder() -> InvertibleLayer:
    return FloWaveNet.from_preset("flowavenet_tiny", squeeze=4, width=6, mel_width=5).bijection


def grouped() -> InvertibleLayer:
    """Return the bijection of a WaveGlow as published, on groups of samples."""
    settings = {
        "conditioning": "upsampled",
        "mixing": "plain",
        "scale": "exp",
        "backprop": "inverted",
    }
    return WaveGlow.from_preset(
        "waveglow_tiny", squeeze=6, width=6, n_mels=2, hop_length=12, **settings
    ).bijection


def hyper_steps() -> b.Repeat:
    parts = [b.InvertibleConv(), b.ActNorm(), b.AffineCoupling(HyperNet(6, weight_norm=False))]
    return b.Repeat(b.Chain(parts), 2, "inverted")


def shifted_step() -> b.Chain:
    coupling = b.WithoutCondition(b.AffineCoupling(small_net()))
    return b.Chain([b.InvertibleConv(), b.ConditionalShift(), b.ActNorm(), coupling])


def folded_linear() -> InvertibleLayer:
    matrix = np.array([[2.0, 1, 0], [0, 1, 1], [1, 0, 3]])
    layer = b.FoldedLinear(trainable=False)
    layer.build((None, None, 3))
    layer.matrix.assign(matrix)
    layer.inverse_matrix.assign(np.linalg.inv(matrix))
    layer.shift.assign(np.arange(3))
    layer.log_det.assign(np.linalg.slogdet(matrix)[1])
    return layer


def image_net(**kwargs) -> ConvNet:
    return ConvNet(6, (3, 1, 2), (1, 1, 2), **kwargs)


def image_step() -> b.Chain:
    return b.Chain([b.ActNorm(), b.InvertibleConv(), b.AffineCoupling(image_net())])


def image_levels() -> b.MultiScale:
    prior = b.AffineCoupling(ConvNet(4, (1,)))
    levels = [b.Chain([b.Repeat(image_step(), 2, "inverted"), prior]), b.Repeat(image_step(), 1)]
    return b.MultiScale([b.Squeezed(level, 2) for level in levels])


@keras.saving.register_keras_serializable("singlow_tests")
class Reader(Network):
    """A network of a sequence: `y = W [x, mean of the valid values]`, with padding masked."""

    receptive_field = (0, 0)

    def build(self, x_shape, condition_shape=None):
        self.conditioned = True
        self.dense = keras.layers.Dense(
            self._output_channels(x_shape),
            kernel_initializer="zeros",
            name="dense",
            dtype=self.dtype_policy,
        )
        self.dense.build((None, None, x_shape[-1] + condition_shape["text"]["values"][-1]))

    def _run(self, x, condition, frame_mask, training):
        values, mask = condition["text"]["values"], condition["text"]["mask"][..., None]
        mean = ops.sum(values * mask, axis=1) / ops.sum(mask, axis=1)
        mean = mean[:, None] + ops.zeros_like(x[..., :1])
        return self.dense(masked(ops.concatenate([x, mean], axis=-1), frame_mask))


@keras.saving.register_keras_serializable("singlow_tests")
class Encoded(Network):
    """A network that encodes its frames as tokens, and then maps each of them linearly."""

    receptive_field = (8, 8)

    def __init__(self, encoders, channels=None, **kwargs):
        super().__init__(channels, **kwargs)
        self.encoders = list(encoders)

    def build(self, x_shape, condition_shape=None):
        for encoder in self.encoders:
            encoder.build(x_shape)
        self.dense = keras.layers.Dense(
            self._output_channels(x_shape),
            kernel_initializer="zeros",
            name="dense",
            dtype=self.dtype_policy,
        )
        alone = isinstance(self.encoders[-1], DurationPredictor)
        self.dense.build((None, None, 1 if alone else x_shape[-1]))

    def _run(self, x, condition, frame_mask, training):
        for encoder in self.encoders:
            x = encoder(x, frame_mask, training=training)
        return self.dense(x if len(x.shape) == 3 else x[..., None])

    def get_config(self):
        return {**super().get_config(), "encoders": [serialize(e) for e in self.encoders]}

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "encoders": [deserialize(e) for e in config["encoders"]]})


def encoders() -> list[Encoder]:
    return [
        Prenet(2, 3),
        GatedConvolutions(2, 3),
        RelativeTransformer(1, 2, 6, window=1, heads_share=False, block=2, proximity=True),
        ResidualConvolutions([1, 2]),
        SeparableConvolutions(2, 3),
        RecurrentEncoder(None, 1, 3),
        DurationPredictor(6),
    ]


def autoregressive(backward: bool = False, scale: str = "bounded", **kwargs) -> InvertibleLayer:
    return b.AutoregressiveAffine(AttentiveLSTM(None, 4, 1, 5, **kwargs), scale, backward=backward)


TEXT = {"text": {"values": (2, 5, 3), "mask": (2, 5)}}


def embedding(features: int) -> keras.layers.Layer:
    return keras.layers.Dense(features, activation="tanh")


SLOGDET = "TensorFlow's XLA has no slogdet"

CASES: dict[str, Case] = {
    "act_norm": Case(b.ActNorm, (3, 6, 4)),
    "act_norm, image": Case(b.ActNorm, (2, 4, 4, 3)),
    "positional affine": Case(lambda: b.PositionalAffine(4), (2, 6, 3)),
    "invertible conv, plu": Case(b.InvertibleConv, (2, 5, 4)),
    "invertible conv, plain": Case(lambda: b.InvertibleConv("plain"), (2, 5, 3), compiles=SLOGDET),
    "invertible conv, plu, in groups": Case(lambda: b.InvertibleConv(group_size=4), (2, 5, 12)),
    "invertible conv, plain, in groups": Case(
        lambda: b.InvertibleConv("plain", group_size=4), (2, 5, 8), compiles=SLOGDET
    ),
    "permutation": Case(b.Permutation, (2, 5, 6), weights=False),
    "permutation, given": Case(lambda: b.Permutation([2, 0, 1]), (2, 5, 3), weights=False),
    "folded linear": Case(folded_linear, (2, 5, 3), weights=False),
    "swap": Case(b.Swap, (2, 5, 4), weights=False),
    "flip": Case(b.Flip, (2, 5, 3), weights=False),
    "coupling, bounded": Case(lambda: b.AffineCoupling(small_net()), (3, 8, 4)),
    "coupling, tightly bounded": Case(lambda: b.AffineCoupling(small_net(), limit=0.5), (3, 8, 4)),
    "coupling, odd channels": Case(lambda: b.AffineCoupling(small_net()), (2, 8, 5)),
    "coupling, sigmoid": Case(lambda: b.AffineCoupling(small_net(), "sigmoid"), (3, 8, 4)),
    "coupling, exp": Case(lambda: b.AffineCoupling(small_net(), "exp"), (3, 8, 4)),
    "coupling, additive": Case(lambda: b.AffineCoupling(small_net(), "additive"), (3, 8, 4)),
    "coupling, conditional": Case(
        lambda: b.AffineCoupling(small_net()), (3, 8, 4), condition=(3, 8, 2)
    ),
    "coupling, condition for all frames": Case(
        lambda: b.AffineCoupling(small_net()), (3, 8, 4), condition=(3, 2)
    ),
    "coupling, without weight norm": Case(
        lambda: b.AffineCoupling(small_net(weight_norm=False)), (2, 8, 4)
    ),
    "coupling, act norm inside": Case(
        lambda: b.AffineCoupling(small_net(act_norm=True)), (2, 8, 4)
    ),
    "coupling, causal": Case(lambda: b.AffineCoupling(small_net(causal=True)), (2, 8, 4)),
    "coupling, wavenet": Case(lambda: b.AffineCoupling(WaveNet(6, 3)), (2, 8, 4)),
    "coupling, wavenet, causal": Case(
        lambda: b.AffineCoupling(WaveNet(6, 3, causal=True)), (2, 8, 4)
    ),
    "coupling, wavenet, published": Case(
        lambda: b.AffineCoupling(WaveNet(6, 2, plain_last=True, redundant=True), "exp"),
        (2, 8, 4),
        condition=(2, 8, 3),
    ),
    "coupling, wavenet, conditional": Case(
        lambda: b.AffineCoupling(WaveNet(6, 2)), (2, 8, 4), condition=(2, 8, 3)
    ),
    "coupling, wavenet, plain last": Case(
        lambda: b.AffineCoupling(WaveNet(6, 2, dropout=0.1, plain_last=True)),
        (2, 8, 4),
        condition=(2, 3),
    ),
    "coupling, encoders": Case(lambda: b.AffineCoupling(Encoded(encoders())), (2, 8, 8)),
    "coupling, relative transformer": Case(
        lambda: b.AffineCoupling(Encoded([RelativeTransformer(2, 2, 6, window=2)])), (2, 8, 8)
    ),
    "coupling, hyper": Case(lambda: b.AffineCoupling(HyperNet(6)), (2, 8, 4), condition=(2, 3)),
    "coupling, hyper, in tiles": Case(
        lambda: b.AffineCoupling(HyperNet(6), tile=3), (2, 8, 4), condition=(2, 3)
    ),
    "coupling, in tiles": Case(lambda: b.AffineCoupling(small_net(), tile=3), (2, 8, 4)),
    "coupling, sigmoid, in tiles, conditional": Case(
        lambda: b.AffineCoupling(WaveNet(6, 2), "sigmoid", tile=3), (2, 8, 4), condition=(2, 8, 3)
    ),
    "coupling, floored sigmoid, shift first": Case(
        lambda: b.AffineCoupling(small_net(), "floored_sigmoid", shift_first=True), (3, 8, 4)
    ),
    "coupling, gated": Case(lambda: b.AffineCoupling(gated()), (2, 8, 4)),
    "coupling, gated, causal, conditional": Case(
        lambda: b.AffineCoupling(gated(causal=True)), (2, 8, 4), condition=(2, 8, 3)
    ),
    "coupling, coarse": Case(
        lambda: b.AffineCoupling(gated()), (2, 8, 4), condition={"coarse": (2, 4, 3)}, multiple=2
    ),
    "coupling, coarse, in tiles": Case(
        lambda: b.AffineCoupling(WaveNet(6, 2), tile=3),
        (2, 8, 4),
        condition={"coarse": (2, 4, 3)},
        multiple=2,
    ),
    "autoregressive": Case(autoregressive, (2, 6, 3), condition=TEXT),
    "autoregressive, backward": Case(
        lambda: autoregressive(backward=True, scale="exp"), (2, 6, 3), condition=TEXT
    ),
    "autoregressive, cumulative": Case(
        lambda: autoregressive(cumulative=True), (2, 5, 2), condition=TEXT
    ),
    "autoregressive, without a text": Case(
        lambda: autoregressive(backward=True, scale="additive"), (2, 6, 3)
    ),
    "repeat, autoregressive": Case(
        lambda: b.Repeat(b.Chain([autoregressive(), autoregressive(backward=True)]), 2),
        (2, 5, 3),
        condition=TEXT,
    ),
    "chain": Case(step, (2, 8, 4)),
    "chain, conditional": Case(shifted_step, (2, 8, 4), condition=(2, 8, 3)),
    "inverse": Case(lambda: b.Inverse(step()), (2, 8, 4)),
    "inverse, conditional": Case(lambda: b.Inverse(step()), (2, 8, 4), condition=(2, 3)),
    "repeat": Case(lambda: b.Repeat(step(), 3), (2, 8, 4)),
    "repeat, conditional": Case(lambda: b.Repeat(step(), 2), (2, 8, 4), condition=(2, 8, 3)),
    "repeat, inverted": Case(lambda: b.Repeat(step(), 3, "inverted"), (2, 8, 4)),
    "repeat, inverted, conditional": Case(
        lambda: b.Repeat(step(), 2, "inverted"), (2, 8, 4), condition=(2, 8, 3)
    ),
    "repeat, inverted, hyper": Case(hyper_steps, (2, 8, 4), condition=(2, 3)),
    "repeat, inverted, swapped": Case(published_steps, (2, 8, 4), condition=(2, 8, 6)),
    "repeat, inverted, coarse": Case(
        lambda: b.Repeat(step(), 2, "inverted"),
        (2, 8, 4),
        condition={"coarse": (2, 4, 2)},
        multiple=2,
    ),
    "repeat, inside a repeat": Case(
        lambda: b.Repeat(b.Chain([b.Repeat(step(), 2), b.Flip()]), 2), (2, 8, 4)
    ),
    "squeezed": Case(lambda: b.Squeezed(step(), 4), (2, 16, 1), multiple=4),
    "squeezed, conditional": Case(
        lambda: b.Squeezed(step(), 4), (2, 16, 1), condition=(2, 16, 2), multiple=4
    ),
    "squeezed, channel by channel": Case(
        lambda: b.Squeezed(step(), 4, "channel"), (2, 16, 2), condition=(2, 16, 2), multiple=4
    ),
    "squeezed, image": Case(
        lambda: b.Squeezed(b.Chain([b.ActNorm(), b.InvertibleConv()]), 2), (2, 4, 6, 3), multiple=2
    ),
    "multi-scale": Case(two_levels, (2, 16, 2), multiple=4),
    "multi-scale, conditional": Case(two_levels, (2, 16, 2), condition=(2, 16, 3), multiple=4),
    "multi-scale, condition for all frames": Case(
        two_levels, (2, 16, 2), condition=(2, 3), multiple=4
    ),
    "with condition": Case(
        lambda: b.WithCondition(step(), embedding(3)), (2, 8, 4), condition=(2, 8, 2)
    ),
    "with condition, for all frames": Case(
        lambda: b.WithCondition(step(), embedding(3)), (2, 8, 4), condition=(2, 2)
    ),
    "coupling, item and frames": Case(
        lambda: b.AffineCoupling(WaveNet(6, 2)),
        (2, 8, 4),
        condition={"mel": (2, 8, 3), "speaker": (2, 2)},
    ),
    "coupling, sequence": Case(lambda: b.AffineCoupling(Reader()), (2, 8, 4), condition=TEXT),
    "coupling, item and frames, in tiles": Case(
        lambda: b.AffineCoupling(small_net(), tile=3),
        (2, 8, 4),
        condition={"mel": (2, 8, 3), "speaker": (2, 2)},
    ),
    "multi-scale, item and frames": Case(
        two_levels, (2, 16, 2), condition={"mel": (2, 16, 3), "speaker": (2, 2)}, multiple=4
    ),
    "repeat, inverted, sequence": Case(
        lambda: b.Repeat(b.AffineCoupling(Reader()), 2, "inverted"), (2, 8, 4), condition=TEXT
    ),
    "squeezed, sequence": Case(
        lambda: b.Squeezed(b.AffineCoupling(Reader()), 2), (2, 8, 2), condition=TEXT, multiple=2
    ),
    "coupling, image": Case(lambda: b.AffineCoupling(image_net()), (2, 3, 4, 4)),
    "coupling, image, item": Case(
        lambda: b.AffineCoupling(image_net()), (2, 4, 4, 3), condition=(2, 3)
    ),
    "coupling, image, aligned condition": Case(
        lambda: b.AffineCoupling(image_net(weight_norm=False)),
        (2, 4, 3, 4),
        condition=(2, 4, 3, 2),
    ),
    "repeat, inverted, image, item": Case(
        lambda: b.Repeat(image_step(), 2, "inverted"), (2, 3, 3, 4), condition=(2, 2)
    ),
    "multi-scale, image": Case(image_levels, (2, 8, 8, 1), multiple=4),
    "squeezed, image, aligned condition": Case(
        lambda: b.Squeezed(image_step(), 2), (1, 4, 4, 2), condition=(1, 4, 4, 1), multiple=2
    ),
    "singlow_tiny": Case(tiny, (2, 32, 1), multiple=8),
    "multi-scale, early": Case(
        lambda: b.Squeezed(b.MultiScale([step(), step(), step()], early=2), 8, "channel"),
        (2, 32, 1),
        multiple=8,
    ),
    "waveglow, published": Case(
        grouped, (2, 24, 1), condition=(2, 24, 2), multiple=6, compiles=SLOGDET
    ),
    "flowavenet_tiny": Case(vocoder, (2, 32, 1), condition={"coarse": (2, 4, 5)}, multiple=8),
}

IGNORED = {
    "InvertibleLayer": "the base class of bijections",
    "Wrapper": "the base class of bijections that wrap another",
    "FrameEncoder": "outside of the bijection of FloWaveNet; tests/test_flowavenet.py",
    "TransposedConvolution": "outside of the bijection of WaveGlow; tests/test_waveglow.py",
    "Upsample": "outside of the bijection of FloWaveNet; tests/test_parity.py",
    "Encoder": "the base class of networks over tokens",
}


# JAX compiles only these cases in the tests of `sampled_case`, and more cases in other tests.
ON_JAX = (
    "act_norm, image",
    "invertible conv, plu",
    "invertible conv, plu, in groups",
    "coupling, relative transformer",
    "coupling, hyper, in tiles",
    "coupling, item and frames",
    "coupling, image, item",
    "repeat, inverted, hyper",
    "multi-scale, conditional",
    "squeezed, sequence",
)
# On TensorFlow, float32 runs the code of float64; JAX runs every case in float32.
IN_FLOAT32 = (
    "invertible conv, plu",
    "coupling, sigmoid, in tiles, conditional",
    "repeat, inverted, hyper",
    "multi-scale, conditional",
    "singlow_tiny",
)


def tried(names: Iterable[str] = CASES, everywhere: bool = False) -> list[tuple[str, str]]:
    """Return pairs of a case's name and a precision; `everywhere` pairs it with every precision."""
    return [
        (name, precision)
        for name in names
        for precision in PRECISIONS
        if everywhere or precision == PRECISIONS[-1] or name in IN_FLOAT32
    ]


def data(shape: Shape, seed: int = 1) -> Tensor:
    """Return normal noise of `shape` in the precision of the test."""
    rng = np.random.default_rng(seed)
    return ops.convert_to_tensor(rng.standard_normal(shape).astype(keras.config.floatx()))


def given(case: Case) -> tuple[Tensor, Tensor | None]:
    """Return data and a condition for a case."""
    return data(case.x, 1), _condition(case.condition)


def _condition(shape: Any, key: str = "") -> Any:
    if shape is None:
        return None
    if isinstance(shape, dict):
        return {name: _condition(entry, name) for name, entry in shape.items()}
    if key == "mask":
        valid = np.arange(shape[1]) < shape[1] - np.arange(shape[0])[:, None]
        return ops.convert_to_tensor(valid.astype(keras.config.floatx()))
    return data(shape, 2)


def built(case: Case) -> InvertibleLayer:
    """Create the layer of a case, build it and return it with its initial weights."""
    layer = case.make()
    if not layer.built:
        layer.build(case.x, case.condition)
    return layer


def ready(case: Case) -> InvertibleLayer:
    """Return the layer with weights moved from their initial values, cached for each precision."""
    return _ready(case, keras.config.floatx())


@functools.cache
def _ready(case: Case, precision: str) -> InvertibleLayer:
    keras.utils.set_random_seed(0)
    layer = built(case)
    nudge(layer)
    return layer


def mapped(case: Case) -> tuple[Tensor | list[Tensor], Tensor]:
    """Return the output of the layer of `ready` for `given`, cached for each precision."""
    return _mapped(case, keras.config.floatx())


@functools.cache
def _mapped(case: Case, precision: str) -> tuple[Tensor | list[Tensor], Tensor]:
    return ready(case)(*given(case))


def parts(output: Tensor | list[Tensor]) -> list[np.ndarray]:
    """Return an output, or all multi-scale latents, as a list of arrays."""
    output = output if isinstance(output, list) else [output]
    return [ops.convert_to_numpy(part) for part in output]


def tolerance(exact: float = 1e-12, rough: float = 2e-5) -> float:
    """Return `exact` for tests in float64 and `rough` for tests in float32."""
    return exact if keras.config.floatx() == "float64" else rough


# These cases are slow to trace and compile, and each is similar to another one that is compiled.
NOT_COMPILED = (
    "autoregressive",
    "autoregressive, cumulative",
    "autoregressive, without a text",
    "repeat, autoregressive",
    "multi-scale",
    "multi-scale, condition for all frames",
    "multi-scale, item and frames",
    "coupling, tightly bounded",
    "coupling, in tiles",
    "coupling, item and frames, in tiles",
    "coupling, wavenet, conditional",
    "inverse, conditional",
    "repeat",
    "repeat, inside a repeat",
    "repeat, conditional",
    "repeat, inverted, conditional",
    "squeezed, conditional",
    "squeezed, image",
    "coupling, wavenet",
    "coupling, gated",
    "coupling, coarse",
    "repeat, inverted, coarse",
    "with condition, for all frames",
)
