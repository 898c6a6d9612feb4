"""Blow: voice conversion on raw audio by a flow that is given who speaks."""

from typing import Any

import keras
from keras import ops

from singlow.bijections import (
    ActNorm,
    AffineCoupling,
    Chain,
    ConditionalShift,
    InvertibleConv,
    InvertibleLayer,
    MultiScale,
    Repeat,
    Squeezed,
    WithoutCondition,
)
from singlow.models.paper import Paper, check_channels, check_choices, settings_of
from singlow.networks import ConvNet, HyperNet
from singlow.ops.tensors import Tensor


class Blow(Paper):
    """A single-scale flow on raw audio whose couplings know the speaker.

    `l_glow` blocks of `k_glow` steps; each block squeezes time into channels, by `squeeze` at the
    first and by `level_squeeze` after it, and nothing leaves before the end. A step is an
    invertible 1x1 convolution, an ActNorm and an affine coupling whose network takes its first
    layer from the speaker's embedding. The latents know little of who spoke, so a voice is
    converted by

        z = f(x, e_source)        y = f^-1(z, e_target)

    Called on `x` `(batch, time, 1)` and `speaker` `(batch,)`, whole numbers below `speakers`, or
    `condition` `(batch, 1, embedding_size)`, embeddings of one's own, in its place.

    The preset `blow_original` is the published model. Where its code shifts before it scales,
    `s (x + m)`, this scales first, `s x + t`: the same maps. Its scale, `sigmoid(h + 2)`, may come
    near to zero, where the inverse explodes; the other presets bound it.

    Args:
        speakers: how many there are.
        k_glow: steps a block (K).
        l_glow: blocks (L).
        squeeze: samples that become one frame at the first block.
        level_squeeze: frames that become one at each later block.
        width: channels inside the coupling networks.
        embedding_size: numbers that stand for a speaker.
        conditioning: `"hyper"`, the first layer's weights made from the speaker; or one of the
            paper's ablations, `"additive"`, that layer's outputs shifted by the speaker, and
            `"additive_before_act_norm"`, the data shifted before each ActNorm, by networks that do
            not know the speaker. With these 66.2, 39.5 and 22.5 % of conversions were heard as the
            target (5 minutes a speaker, 100 epochs; Table 1), at nearly one likelihood.
        multi_scale: another: half of the channels leave after each block.
        weight_norm: normalise the networks' convolutions.
        scale: the couplings' scale: `"bounded"`, `"sigmoid"`, `"exp"` or `"additive"`.
        scale_limit: of a `"bounded"` log-scale. Conversion ends in the inverse of another voice
            than the one that was seen, so a step may be off by twice this, and all steps together
            burst where it is large.
        sample_rate: Hz of the audio it is for.
        precision: `"float32"`, or `"bfloat16"` for the networks inside couplings.
        backprop: `"stored"`, or `"inverted"` for memory that does not grow with `k_glow`.

    Raises:
        ValueError: a setting is out of range.

    References:
        Serra, Pascual and Segura, Blow: a single-scale hyperconditioned flow for non-parallel
        raw-audio voice conversion, 2019, https://arxiv.org/abs/1906.00794
    """

    conditions_on = ("speaker",)

    def __init__(
        self,
        speakers: int = 1,
        k_glow: int = 10,
        l_glow: int = 3,
        squeeze: int = 8,
        level_squeeze: int = 2,
        width: int = 128,
        embedding_size: int = 128,
        conditioning: str = "hyper",
        multi_scale: bool = False,
        weight_norm: bool = True,
        scale: str = "bounded",
        scale_limit: float = 2.0,
        sample_rate: int = 16000,
        precision: str = "float32",
        backprop: str = "stored",
        name: str = "blow",
    ) -> None:
        self._settings = settings_of(Blow, locals())
        _check(self._settings)
        blocks = [self._block(index) for index in range(l_glow)]
        bijection = (
            MultiScale(blocks, name="blocks") if multi_scale else Chain(blocks, name="blocks")
        )
        super().__init__(bijection, condition_size=embedding_size, name=name)
        self.sample_rate = sample_rate

    def build(self, input_shape: dict[str, Any]) -> None:
        self.embeddings = self.add_weight(
            name="embeddings",
            shape=(self._settings["speakers"], self._settings["embedding_size"]),
            initializer=keras.initializers.RandomNormal(stddev=1.0),
        )
        super().build(input_shape)

    def condition(self, inputs: dict[str, Tensor]) -> Tensor:
        if "condition" in inputs:
            return inputs["condition"]
        # A product, since the gradient of looking a row up is sparse.
        rows = ops.one_hot(inputs["speaker"], self._settings["speakers"], dtype=self.compute_dtype)
        return ops.matmul(rows, self.embeddings)[:, None]

    def _block(self, index: int) -> InvertibleLayer:
        given = self._settings
        repeat = Repeat(self._step(), given["k_glow"], given["backprop"], name="repeat")
        factor = given["level_squeeze"] if index else given["squeeze"]
        return Squeezed(repeat, factor, name=f"block_{index}")

    def _step(self) -> Chain:
        given = self._settings
        coupling = AffineCoupling(
            self._network(), given["scale"], limit=given["scale_limit"], name="coupling"
        )
        parts = [InvertibleConv(name="mixing"), ActNorm(name="act_norm"), coupling]
        if given["conditioning"] == "additive_before_act_norm":
            parts[1:1] = [ConditionalShift(name="shift")]
            parts[-1] = WithoutCondition(coupling, name="unconditional")
        return Chain(parts, name="step")

    def _network(self) -> ConvNet | HyperNet:
        given = self._settings
        shared = {"name": "network", "dtype": self._network_policy()}
        if given["conditioning"] == "hyper":
            return HyperNet(given["width"], given["weight_norm"], **shared)
        return ConvNet(given["width"], weight_norm=given["weight_norm"], **shared)


_CHOICES = {
    "conditioning": ("hyper", "additive", "additive_before_act_norm"),
    "multi_scale": (False, True),
}


def _check(given: dict[str, Any]) -> None:
    check_choices(given, _CHOICES)
    channels = [given["squeeze"]]
    for _ in range(given["l_glow"] - 1):
        left = channels[-1] // 2 if given["multi_scale"] else channels[-1]
        channels.append(left * given["level_squeeze"])
    check_channels(channels)
    read = [count - count // 2 for count in channels]
    wrong = [count for count in read if given["width"] % count]
    if not given["scale_limit"] > 0:
        raise ValueError(
            f"Expected scale_limit above 0. Received: scale_limit={given['scale_limit']}."
        )
    if given["conditioning"] == "hyper" and wrong:
        raise ValueError(
            f"Expected width to be a multiple of the channels that the couplings read, {read}. "
            f"Received: width={given['width']}."
        )


keras.saving.register_keras_serializable("singlow")(Blow)
