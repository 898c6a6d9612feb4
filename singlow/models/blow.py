"""Blow: voice conversion on raw audio by a flow that is conditioned on the speaker."""

from types import MappingProxyType
from typing import Any

import keras

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
from singlow.inputs import Input
from singlow.models.levels import Leveled, check_channels, leveled_settings
from singlow.models.paper import check_choices
from singlow.models.presets import Preset
from singlow.networks import ConvNet, HyperNet
from singlow.signals import Audio


class Blow(Leveled):
    """A single-scale flow on raw audio whose couplings are conditioned on the speaker.

    There are `l_glow` blocks of `k_glow` steps. Each block squeezes time into channels, the first
    by `squeeze` and the later ones by `level_squeeze`; all channels pass through all blocks. A step
    is an invertible 1x1 convolution, an ActNorm and an affine coupling; the weights of the first
    layer of its network are computed from the speaker's embedding. The latents depend little on the
    speaker, so a voice is converted by

        z = f(x, e_source)        y = f^-1(z, e_target)

    Inputs beside `x` `(batch, time, 1)`: `speaker` `(batch,)`, whole numbers below `speakers`, or
    `speaker_embedding` `(batch, embedding_size)` in its place.

    The preset `blow_original` is the published model. Its scale `sigmoid(h + 2) + 1e-7` may
    approach zero, where the inverse explodes; the other presets bound it.

    Args:
        speakers: number of speakers.
        k_glow: steps in a block (K).
        l_glow: number of blocks (L).
        squeeze: samples that become one frame in the first block.
        level_squeeze: frames that become one in each later block.
        width: channels inside the coupling networks.
        embedding_size: features of a speaker's embedding.
        conditioning: `"hyper"`, the weights of the first layer depend on the speaker; or an
            ablation of the paper: `"additive"`, the speaker shifts the outputs of that layer; or
            `"additive_before_act_norm"`, the speaker shifts the data before each ActNorm, and the
            networks do not depend on it. In the paper 66.2, 39.5 and 22.5 % of conversions were
            classified as the target (5 minutes per speaker, 100 epochs; Table 1), at nearly the
            same likelihood.
        multi_scale: whether half of the channels become latents after each block, another
            ablation.
        weight_norm: whether to normalise the convolutions of the networks.
        scale: the scale of the couplings: `"bounded"`, `"sigmoid"`, `"floored_sigmoid"`, `"exp"`
            or `"additive"`.
        scale_limit: bound of a `"bounded"` log-scale. Conversion encodes and inverts with different
            speakers, so the log-scale of a step may be wrong by twice this bound, and with large
            bounds conversions contain bursts of noise.
        shift_first: whether couplings shift before they scale, `s (x + t)` and not `s x + t`.
        sample_rate: Hz of the audio.
        precision: `"float32"`, or `"bfloat16"` for the networks inside couplings.
        backprop: `"stored"`, or `"inverted"` for memory that does not grow with `k_glow`.

    Raises:
        ValueError: a setting is out of range.

    References:
        Serra, Pascual and Segura, Blow: a single-scale hyperconditioned flow for non-parallel
        raw-audio voice conversion, 2019, https://arxiv.org/abs/1906.00794
    """

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
        shift_first: bool = False,
        sample_rate: int = 16000,
        precision: str = "float32",
        backprop: str = "stored",
        name: str = "blow",
    ) -> None:
        self._settings = leveled_settings(Blow, locals())
        _check(self._settings)
        blocks = [self._block(index) for index in range(l_glow)]
        bijection = (
            MultiScale(blocks, name="blocks") if multi_scale else Chain(blocks, name="blocks")
        )
        inputs = {"speaker": Input("item", "int32", speakers, embedding=embedding_size)}
        super().__init__(bijection, Audio(sample_rate), inputs, name=name)

    def _block(self, index: int) -> InvertibleLayer:
        settings = self._settings
        repeat = Repeat(self._step(), settings["k_glow"], settings["backprop"], name="repeat")
        factor = settings["level_squeeze"] if index else settings["squeeze"]
        return Squeezed(repeat, factor, name=f"block_{index}")

    def _step(self) -> Chain:
        settings = self._settings
        coupling = AffineCoupling(
            self._network(),
            settings["scale"],
            limit=settings["scale_limit"],
            shift_first=settings["shift_first"],
            name="coupling",
        )
        parts = [InvertibleConv(name="mixing"), ActNorm(name="act_norm"), coupling]
        if settings["conditioning"] == "additive_before_act_norm":
            parts[1:1] = [ConditionalShift(name="shift")]
            parts[-1] = WithoutCondition(coupling, name="unconditional")
        return Chain(parts, name="step")

    def _network(self) -> ConvNet | HyperNet:
        settings = self._settings
        shared = {"name": "network", "dtype": self._network_policy()}
        if settings["conditioning"] == "hyper":
            return HyperNet(settings["width"], settings["weight_norm"], **shared)
        return ConvNet(settings["width"], weight_norm=settings["weight_norm"], **shared)


_CHOICES = {
    "conditioning": ("hyper", "additive", "additive_before_act_norm"),
    "multi_scale": (False, True),
    "shift_first": (False, True),
}


def _check(settings: dict[str, Any]) -> None:
    """Check the arguments that models do not share.

    Raises:
        ValueError: an argument is out of its range.
    """
    check_choices(settings, _CHOICES)
    channels = [settings["squeeze"]]
    for _ in range(settings["l_glow"] - 1):
        left = channels[-1] // 2 if settings["multi_scale"] else channels[-1]
        channels.append(left * settings["level_squeeze"])
    check_channels(channels)
    read = [count - count // 2 for count in channels]
    wrong = [count for count in read if settings["width"] % count]
    if not settings["scale_limit"] > 0:
        raise ValueError(
            f"Expected scale_limit above 0. Received: scale_limit={settings['scale_limit']}."
        )
    if settings["conditioning"] == "hyper" and wrong:
        raise ValueError(
            f"Expected width to be a multiple of the channels that the couplings read, {read}. "
            f"Received: width={settings['width']}."
        )


_AUGMENTED = {"augment": True, "min_rms": 0.025}
_AS_PUBLISHED = {
    "window_size": 0.256,
    "batch_size": 114,
    "learning_rate": 0.0001,
    "warmup_steps": 1,
    "epochs": 999,
    "steps_per_epoch": 500,
    "plateau": 10,
    **_AUGMENTED,
}
Blow.presets = MappingProxyType(
    {
        "blow_small": Preset(
            "Voices at 16 kHz, 3 blocks x 10 steps; trains within an hour on a CPU.",
            arguments={
                "k_glow": 10,
                "l_glow": 3,
                "squeeze": 8,
                "level_squeeze": 2,
                "width": 128,
                "scale_limit": 0.5,
                "sample_rate": 16000,
            },
            training={
                "window_size": 0.256,
                "batch_size": 16,
                "learning_rate": 0.003,
                "warmup_steps": 100,
                "decay_steps": 1000,
                "epochs": 20,
                "steps_per_epoch": 500,
                **_AUGMENTED,
            },
        ),
        "blow_fast": Preset(
            "The ablation of the paper with 3 blocks x 32 steps, squeeze 8, 512 channels.",
            arguments={
                "k_glow": 32,
                "l_glow": 3,
                "squeeze": 8,
                "level_squeeze": 8,
                "width": 512,
                "scale_limit": 0.5,
                "sample_rate": 16000,
            },
            training=_AS_PUBLISHED,
        ),
        "blow_original": Preset(
            "The published Blow: 8 blocks x 12 steps, squeeze 2, 512 channels.",
            arguments={
                "k_glow": 12,
                "l_glow": 8,
                "squeeze": 2,
                "level_squeeze": 2,
                "width": 512,
                "weight_norm": False,
                "scale": "floored_sigmoid",
                "shift_first": True,
                "sample_rate": 16000,
            },
            training=_AS_PUBLISHED,
        ),
        "blow_tiny": Preset(
            "A small model of two blocks for tests and first tries, too small to sound good.",
            arguments={
                "k_glow": 2,
                "l_glow": 2,
                "squeeze": 8,
                "level_squeeze": 2,
                "width": 16,
                "embedding_size": 8,
                "scale_limit": 0.5,
                "sample_rate": 16000,
            },
            training={
                "window_size": 0.128,
                "batch_size": 4,
                "learning_rate": 0.001,
                "warmup_steps": 10,
                "epochs": 2,
                "steps_per_epoch": 20,
                **_AUGMENTED,
            },
        ),
    }
)
keras.saving.register_keras_serializable("singlow")(Blow)
