"""The table: every bijection that is public, in every form, with the shapes it is tried on."""

import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import keras
import numpy as np
from keras import ops

from singlow import bijections as b
from singlow.bijections.base import InvertibleLayer
from singlow.models import SinGlow
from singlow.networks import ConvNet, HyperNet, WaveNet
from singlow.ops.tensors import Tensor
from singlow.testing import nudge
from tests.conftest import PRECISIONS

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Case:
    """One layer and what to try it on.

    Attributes:
        make: builds the layer anew.
        x: data shape.
        condition: shape of the condition, None for a layer without.
        multiple: lengths it takes are multiples of this.
        compiles: whether TensorFlow's XLA takes it; if not, why.
        weights: whether it has trainable weights.
        tolerance: largest inversion error in float32; 1e-4 when None.
    """

    make: Callable[[], InvertibleLayer]
    x: Shape
    condition: Shape | None = None
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


def embedding(features: int) -> keras.layers.Layer:
    return keras.layers.Dense(features, activation="tanh")


SLOGDET = "TensorFlow's XLA has no slogdet"

CASES: dict[str, Case] = {
    "act_norm": Case(b.ActNorm, (3, 6, 4)),
    "act_norm, image": Case(b.ActNorm, (2, 4, 4, 3)),
    "positional affine": Case(lambda: b.PositionalAffine(4), (2, 6, 3)),
    "invertible conv, plu": Case(b.InvertibleConv, (2, 5, 4)),
    "invertible conv, plain": Case(lambda: b.InvertibleConv("plain"), (2, 5, 3), compiles=SLOGDET),
    "permutation": Case(b.Permutation, (2, 5, 6), weights=False),
    "permutation, given": Case(lambda: b.Permutation([2, 0, 1]), (2, 5, 3), weights=False),
    "folded linear": Case(folded_linear, (2, 5, 3), weights=False),
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
        lambda: b.AffineCoupling(small_net()), (3, 8, 4), condition=(3, 1, 2)
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
    "coupling, wavenet, conditional": Case(
        lambda: b.AffineCoupling(WaveNet(6, 2)), (2, 8, 4), condition=(2, 8, 3)
    ),
    "coupling, hyper": Case(lambda: b.AffineCoupling(HyperNet(6)), (2, 8, 4), condition=(2, 1, 3)),
    "coupling, hyper, in tiles": Case(
        lambda: b.AffineCoupling(HyperNet(6), tile=3), (2, 8, 4), condition=(2, 1, 3)
    ),
    "coupling, in tiles": Case(lambda: b.AffineCoupling(small_net(), tile=3), (2, 8, 4)),
    "coupling, sigmoid, in tiles, conditional": Case(
        lambda: b.AffineCoupling(WaveNet(6, 2), "sigmoid", tile=3), (2, 8, 4), condition=(2, 8, 3)
    ),
    "chain": Case(step, (2, 8, 4)),
    "chain, conditional": Case(shifted_step, (2, 8, 4), condition=(2, 8, 3)),
    "inverse": Case(lambda: b.Inverse(step()), (2, 8, 4)),
    "inverse, conditional": Case(lambda: b.Inverse(step()), (2, 8, 4), condition=(2, 1, 3)),
    "repeat": Case(lambda: b.Repeat(step(), 3), (2, 8, 4)),
    "repeat, conditional": Case(lambda: b.Repeat(step(), 2), (2, 8, 4), condition=(2, 8, 3)),
    "repeat, inverted": Case(lambda: b.Repeat(step(), 3, "inverted"), (2, 8, 4)),
    "repeat, inverted, conditional": Case(
        lambda: b.Repeat(step(), 2, "inverted"), (2, 8, 4), condition=(2, 8, 3)
    ),
    "repeat, inverted, hyper": Case(hyper_steps, (2, 8, 4), condition=(2, 1, 3)),
    "repeat, inside a repeat": Case(
        lambda: b.Repeat(b.Chain([b.Repeat(step(), 2), b.Flip()]), 2), (2, 8, 4)
    ),
    "squeezed": Case(lambda: b.Squeezed(step(), 4), (2, 16, 1), multiple=4),
    "squeezed, conditional": Case(
        lambda: b.Squeezed(step(), 4), (2, 16, 1), condition=(2, 16, 2), multiple=4
    ),
    "squeezed, image": Case(
        lambda: b.Squeezed(b.Chain([b.ActNorm(), b.InvertibleConv()]), 2), (2, 4, 6, 3), multiple=2
    ),
    "multi-scale": Case(two_levels, (2, 16, 2), multiple=4),
    "multi-scale, conditional": Case(two_levels, (2, 16, 2), condition=(2, 16, 3), multiple=4),
    "multi-scale, condition for all frames": Case(
        two_levels, (2, 16, 2), condition=(2, 1, 3), multiple=4
    ),
    "with condition": Case(
        lambda: b.WithCondition(step(), embedding(3)), (2, 8, 4), condition=(2, 8, 2)
    ),
    "with condition, for all frames": Case(
        lambda: b.WithCondition(step(), embedding(3)), (2, 8, 4), condition=(2, 1, 2)
    ),
    "singlow_tiny": Case(tiny, (2, 32, 1), multiple=8),
}

IGNORED = {
    "InvertibleLayer": "the face itself: it maps nothing",
    "Wrapper": "what layers around one other share: it maps nothing",
}


# float32 runs the code that float64 runs, and JAX runs every case in it: these stand for the rest.
IN_FLOAT32 = (
    "invertible conv, plu",
    "coupling, sigmoid, in tiles, conditional",
    "repeat, inverted, hyper",
    "multi-scale, conditional",
    "singlow_tiny",
)


def tried(names: Iterable[str] = CASES, everywhere: bool = False) -> list[tuple[str, str]]:
    """Cases with the precisions that they are tried in; with each of them `everywhere`."""
    return [
        (name, precision)
        for name in names
        for precision in PRECISIONS
        if everywhere or precision == PRECISIONS[-1] or name in IN_FLOAT32
    ]


def data(shape: Shape, seed: int = 1) -> Tensor:
    """Normal noise of `shape` in the precision of the test."""
    rng = np.random.default_rng(seed)
    return ops.convert_to_tensor(rng.standard_normal(shape).astype(keras.config.floatx()))


def given(case: Case) -> tuple[Tensor, Tensor | None]:
    """Data and condition of a case."""
    return data(case.x, 1), None if case.condition is None else data(case.condition, 2)


def built(case: Case) -> InvertibleLayer:
    """The layer as it starts, with its weights."""
    layer = case.make()
    if not layer.built:
        layer.build(case.x, case.condition)
    return layer


def ready(case: Case) -> InvertibleLayer:
    """The layer, built and moved away from its start; made once for every precision."""
    return _ready(case, keras.config.floatx())


@functools.cache
def _ready(case: Case, precision: str) -> InvertibleLayer:
    keras.utils.set_random_seed(0)
    layer = built(case)
    nudge(layer)
    return layer


def mapped(case: Case) -> tuple[Tensor | list[Tensor], Tensor]:
    """What the layer of `ready` makes of `given`; run once for every precision."""
    return _mapped(case, keras.config.floatx())


@functools.cache
def _mapped(case: Case, precision: str) -> tuple[Tensor | list[Tensor], Tensor]:
    return ready(case)(*given(case))


def parts(output: Tensor | list[Tensor]) -> list[np.ndarray]:
    """An output, or all latents of a multi-scale one, as arrays."""
    output = output if isinstance(output, list) else [output]
    return [ops.convert_to_numpy(part) for part in output]


def tolerance(exact: float = 1e-12, rough: float = 2e-5) -> float:
    """The tolerance for the precision of the test."""
    return exact if keras.config.floatx() == "float64" else rough


# Each has a like in the table that stays: what is too slow to trace and compile once more.
HAVE_A_LIKE = (
    "multi-scale",
    "multi-scale, condition for all frames",
    "coupling, in tiles",
    "repeat, inside a repeat",
    "repeat, conditional",
    "repeat, inverted, conditional",
    "squeezed, image",
    "coupling, wavenet",
)
