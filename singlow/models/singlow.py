"""SinGlow: a Glow for singing, on raw audio."""

from collections.abc import Sequence
from typing import Any

import keras

from singlow.bijections import (
    ActNorm,
    AffineCoupling,
    Chain,
    InvertibleConv,
    InvertibleLayer,
    MultiScale,
    PositionalAffine,
    Repeat,
    Squeezed,
)
from singlow.models.paper import Paper, check_channels, check_choices, settings_of
from singlow.networks import ConvNet, WaveNet


class SinGlow(Paper):
    """A multi-scale flow on raw audio: `l_glow` levels of `k_glow` steps.

    Each level squeezes time into channels, by `squeeze` at the first and by `level_squeeze` after
    it, and runs `k_glow` steps of ActNorm, invertible 1x1 convolution and affine coupling; after
    each but the last, half of the channels leave as latents, standardised by a coupling that reads
    the half that stays. All networks are convolutions over time, so any multiple of
    `model.multiple` samples is a length it takes.

    The preset `singlow_original` is the published model as it was meant. Where its code does not do
    what it says, this does: the coupling's scale is `sigmoid(h + 2)` and its last convolution
    starts at zero (there, weights around 2 saturated the sigmoid, and its gradient was zero); the
    shift is free (there, in (0, 1)); ActNorms inside the networks start from data and stay so when
    reloaded; the 1x1 convolutions keep the plain matrix but with an exact log-determinant; the
    4x4 kernels on audio of width 1 keep the one column of four that ever saw audio, which leaves
    154,844 of 265,436 weights; the last level's prior, one mean and deviation for each of the 64
    positions of a one-second window, repeats for longer and shorter input; log-deviations of the
    priors are bounded; dropout is off in evaluation; and the gradient penalty is left out.

    Args:
        k_glow: steps a level (K).
        l_glow: levels (L).
        squeeze: samples that become one frame at the first level.
        level_squeeze: frames that become one at each later level.
        network: `"convnet"` or `"wavenet"`.
        width: channels inside the coupling networks.
        kernel_sizes: taps of the convolutions of a `"convnet"`.
        dilations: frames between the taps of each.
        layers: dilated layers of a `"wavenet"`, of `kernel_sizes[0]` taps.
        activation: activation of a `"convnet"`.
        act_norm: data-dependent affine maps inside a `"convnet"`.
        dropout: share of hidden units dropped while training.
        weight_norm: normalise the networks' convolutions.
        scale: the couplings' scale: `"bounded"`, `"sigmoid"`, `"exp"` or `"additive"`.
        mixing: form of the 1x1 convolutions: `"plu"` or `"plain"`.
        prior_kernel_sizes: taps of the split priors' networks; `()` for no split priors.
        prior_scale: the split priors' scale.
        prior_period: positions of the last level's prior; 0 for none.
        channels: audio channels, 1 or 2.
        sample_rate: Hz of the audio it is for.
        precision: `"float32"`, or `"bfloat16"` for the networks inside couplings.
        backprop: `"stored"`, or `"inverted"` for memory that does not grow with `k_glow`.

    Raises:
        ValueError: a setting is out of range.

    References:
        Yang, SinGlow, 2021, https://github.com/yhbcode000/SinGlow; Kingma and Dhariwal, Glow:
        Generative Flow with Invertible 1x1 Convolutions, 2018, https://arxiv.org/abs/1807.03039
    """

    def __init__(
        self,
        k_glow: int = 8,
        l_glow: int = 1,
        squeeze: int = 16,
        level_squeeze: int = 2,
        network: str = "convnet",
        width: int = 96,
        kernel_sizes: Sequence[int] = (3, 1, 3),
        dilations: Sequence[int] = (1, 1, 32),
        layers: int = 5,
        activation: str = "relu",
        act_norm: bool = False,
        dropout: float = 0.0,
        weight_norm: bool = True,
        scale: str = "bounded",
        mixing: str = "plu",
        prior_kernel_sizes: Sequence[int] = (3, 1, 3),
        prior_scale: str = "bounded",
        prior_period: int = 0,
        channels: int = 1,
        sample_rate: int = 16000,
        precision: str = "float32",
        backprop: str = "stored",
        name: str = "singlow",
    ) -> None:
        self._settings = settings_of(SinGlow, locals())
        _check(self._settings)
        levels = [self._level(index) for index in range(l_glow)]
        super().__init__(MultiScale(levels, name="levels"), channels=channels, name=name)
        self.sample_rate = sample_rate

    @property
    def context(self) -> tuple[int, int] | None:
        """How many samples before and after its own a latent depends on, and the other way round.

        `None` where that is not to be told from the samples: the prior goes by position.
        """
        given = self._settings
        if given["prior_period"]:
            return None
        step = read = self._network().receptive_field
        if given["prior_kernel_sizes"]:
            # What a prior moves is not read by the step beside it.
            prior = self._split_prior().network.receptive_field
            read = tuple(map(max, step, prior))
        before = after = 0
        for level in range(given["l_glow"]):
            frame = given["squeeze"] * given["level_squeeze"] ** level
            ends = read if level < given["l_glow"] - 1 else step
            before += frame * ((given["k_glow"] - 1) * step[0] + ends[0])
            after += frame * ((given["k_glow"] - 1) * step[1] + ends[1])
        return before, after

    def _level(self, index: int) -> InvertibleLayer:
        given = self._settings
        repeat = Repeat(self._step(), given["k_glow"], given["backprop"], name="repeat")
        parts: list[InvertibleLayer] = [repeat]
        last = index == given["l_glow"] - 1
        if not last and given["prior_kernel_sizes"]:
            parts.append(self._split_prior())
        if last and given["prior_period"]:
            parts.append(PositionalAffine(given["prior_period"], name="prior"))
        factor = given["level_squeeze"] if index else given["squeeze"]
        return Squeezed(Chain(parts, name="chain"), factor, name=f"level_{index}")

    def _step(self) -> Chain:
        coupling = AffineCoupling(self._network(), self._settings["scale"], name="coupling")
        mixing = InvertibleConv(self._settings["mixing"], name="mixing")
        return Chain([ActNorm(name="act_norm"), mixing, coupling], name="step")

    def _split_prior(self) -> AffineCoupling:
        given = self._settings
        network = ConvNet(
            given["width"],
            given["prior_kernel_sizes"],
            weight_norm=given["weight_norm"],
            name="network",
            dtype=self._network_policy(),
        )
        return AffineCoupling(network, given["prior_scale"], name="prior")

    def _network(self) -> ConvNet | WaveNet:
        given = self._settings
        shared = {
            "weight_norm": given["weight_norm"],
            "dropout": given["dropout"],
            "name": "network",
            "dtype": self._network_policy(),
        }
        if given["network"] == "wavenet":
            return WaveNet(given["width"], given["layers"], given["kernel_sizes"][0], **shared)
        return ConvNet(
            given["width"],
            given["kernel_sizes"],
            given["dilations"],
            activation=given["activation"],
            act_norm=given["act_norm"],
            **shared,
        )


_CHOICES = {"network": ("convnet", "wavenet"), "channels": (1, 2)}


def _check(given: dict[str, Any]) -> None:
    if not given["kernel_sizes"]:
        raise ValueError("Expected kernel_sizes of at least one. Received: none.")
    try:
        keras.activations.get(given["activation"])
    except ValueError:
        raise ValueError(
            "Expected an activation that Keras knows, as relu. Received: "
            f"activation={given['activation'][:80]!r}."
        ) from None
    check_choices(given, _CHOICES)
    channels = [given["squeeze"] * given["channels"]]
    for _ in range(given["l_glow"] - 1):
        channels.append(channels[-1] // 2 * given["level_squeeze"])
    check_channels(channels)


keras.saving.register_keras_serializable("singlow")(SinGlow)
