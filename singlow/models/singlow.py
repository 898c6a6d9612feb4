"""SinGlow: Glow for singing, on raw audio."""

from collections.abc import Sequence
from types import MappingProxyType
from typing import Any

import keras

from singlow.bijections import AffineCoupling, InvertibleLayer, MultiScale, PositionalAffine
from singlow.models.levels import (
    Leveled,
    check_channels,
    glow_level,
    glow_step,
    leveled_settings,
)
from singlow.models.paper import check_choices
from singlow.models.presets import Preset
from singlow.networks import ConvNet, WaveNet
from singlow.signals import Audio


class SinGlow(Leveled):
    """A multi-scale flow on raw audio: `l_glow` levels of `k_glow` steps.

    Each level squeezes time into channels, the first by `squeeze` and the later ones by
    `level_squeeze`, and runs `k_glow` steps of ActNorm, invertible 1x1 convolution and affine
    coupling. After each level but the last, half of the channels become latents, standardised by a
    coupling that reads the other half. All networks are convolutions over time, so `x` may have any
    length that is a multiple of `model.multiple` samples.

    The preset `singlow_original` is the published model with its defects corrected:

    - the scale of a coupling is `sigmoid(h + 2)`, and its last convolution starts at zero
      (published: weights around 2 saturate the sigmoid, whose gradient vanishes);
    - the shift is unbounded (published: in (0, 1));
    - ActNorms inside the networks are initialised from data and keep their weights when reloaded;
    - the 1x1 convolutions keep the plain matrix, with an exact log-determinant;
    - the 4x4 kernels on audio of width 1 keep the only column of four that reads audio, which
      leaves 154,844 of 265,436 weights;
    - the prior of the last level, one mean and deviation for each of the 64 positions of a
      one-second window, repeats for other lengths;
    - log-deviations of the priors are bounded, dropout is off in evaluation, and the gradient
      penalty is left out.

    Args:
        k_glow: steps in a level (K).
        l_glow: number of levels (L).
        squeeze: samples that become one frame in the first level.
        level_squeeze: frames that become one in each later level.
        network: `"convnet"` or `"wavenet"`.
        width: channels inside the coupling networks.
        kernel_sizes: taps of the convolutions of a `"convnet"`.
        dilations: frames between the taps of each convolution.
        layers: number of dilated layers of a `"wavenet"`, each of `kernel_sizes[0]` taps.
        activation: activation of a `"convnet"`.
        act_norm: whether a `"convnet"` has an ActNorm after each activation.
        dropout: share of hidden units dropped while training.
        weight_norm: whether to normalise the convolutions of the networks.
        scale: the scale of the couplings: `"bounded"`, `"sigmoid"`, `"exp"` or `"additive"`.
        mixing: form of the 1x1 convolutions: `"plu"` or `"plain"`.
        prior_kernel_sizes: taps of the networks of the split priors; `()` for no split priors.
        prior_scale: the scale of the split priors.
        prior_period: number of positions of the last level's prior; 0 for none.
        channels: audio channels, 1 or 2.
        sample_rate: Hz of the audio.
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
        self._settings = leveled_settings(SinGlow, locals())
        _check(self._settings)
        levels = [self._level(index) for index in range(l_glow)]
        super().__init__(MultiScale(levels, name="levels"), Audio(sample_rate, channels), name=name)

    @property
    def context(self) -> tuple[int, int] | None:
        """Samples before and after its own that a latent depends on, and the other way round.

        `None` for a prior by position, which depends on where a piece of audio starts.
        """
        settings = self._settings
        if settings["prior_period"]:
            return None
        step = read = self._network().receptive_field
        if settings["prior_kernel_sizes"]:
            # The step before a split prior does not read what the prior moves.
            prior = self._split_prior().network.receptive_field
            read = tuple(map(max, step, prior))
        before = after = 0
        for level in range(settings["l_glow"]):
            frame = settings["squeeze"] * settings["level_squeeze"] ** level
            ends = read if level < settings["l_glow"] - 1 else step
            before += frame * ((settings["k_glow"] - 1) * step[0] + ends[0])
            after += frame * ((settings["k_glow"] - 1) * step[1] + ends[1])
        return before, after

    def _level(self, index: int) -> InvertibleLayer:
        settings = self._settings
        prior: InvertibleLayer | None = None
        last = index == settings["l_glow"] - 1
        if not last and settings["prior_kernel_sizes"]:
            prior = self._split_prior()
        if last and settings["prior_period"]:
            prior = PositionalAffine(settings["prior_period"], name="prior")
        step = glow_step(self._network(), settings["scale"], settings["mixing"])
        factor = settings["level_squeeze"] if index else settings["squeeze"]
        return glow_level(step, settings["k_glow"], settings["backprop"], factor, index, prior)

    def _split_prior(self) -> AffineCoupling:
        settings = self._settings
        network = ConvNet(
            settings["width"],
            settings["prior_kernel_sizes"],
            weight_norm=settings["weight_norm"],
            name="network",
            dtype=self._network_policy(),
        )
        return AffineCoupling(network, settings["prior_scale"], name="prior")

    def _network(self) -> ConvNet | WaveNet:
        settings = self._settings
        shared = {
            "weight_norm": settings["weight_norm"],
            "dropout": settings["dropout"],
            "name": "network",
            "dtype": self._network_policy(),
        }
        if settings["network"] == "wavenet":
            taps = settings["kernel_sizes"][0]
            return WaveNet(settings["width"], settings["layers"], taps, **shared)
        return ConvNet(
            settings["width"],
            settings["kernel_sizes"],
            settings["dilations"],
            activation=settings["activation"],
            act_norm=settings["act_norm"],
            **shared,
        )


_CHOICES = {"network": ("convnet", "wavenet"), "channels": (1, 2)}


def _check(settings: dict[str, Any]) -> None:
    """Check the arguments that models do not share.

    Raises:
        ValueError: an argument is out of its range.
    """
    if not settings["kernel_sizes"]:
        raise ValueError("Expected kernel_sizes of at least one. Received: none.")
    try:
        keras.activations.get(settings["activation"])
    except ValueError:
        raise ValueError(
            "Expected an activation that Keras knows, such as relu. Received: "
            f"activation={settings['activation'][:80]!r}."
        ) from None
    check_choices(settings, _CHOICES)
    channels = [settings["squeeze"] * settings["channels"]]
    for _ in range(settings["l_glow"] - 1):
        channels.append(channels[-1] // 2 * settings["level_squeeze"])
    check_channels(channels)


SinGlow.presets = MappingProxyType(
    {
        "singlow_16k": Preset(
            "Singing at 16 kHz; trains in minutes on the CPU of a laptop.",
            arguments={
                "k_glow": 8,
                "l_glow": 1,
                "squeeze": 16,
                "width": 96,
                "kernel_sizes": (3, 1, 3),
                "dilations": (1, 1, 32),
                "sample_rate": 16000,
            },
            training={
                "window_size": 0.512,
                "batch_size": 4,
                "learning_rate": 0.003,
                "warmup_steps": 100,
                "decay_steps": 1000,
                "epochs": 11,
                "steps_per_epoch": 1000,
            },
        ),
        "singlow_original": Preset(
            "The published SinGlow: 12 steps x 8 levels, squeeze 2, width 32.",
            arguments={
                "k_glow": 12,
                "l_glow": 8,
                "squeeze": 2,
                "level_squeeze": 2,
                "width": 32,
                "kernel_sizes": (4, 1, 4),
                "dilations": (1, 1, 1),
                "activation": "relu6",
                "act_norm": True,
                "dropout": 0.1,
                "weight_norm": False,
                "scale": "sigmoid",
                "mixing": "plain",
                "prior_kernel_sizes": (1,),
                "prior_period": 64,
                "sample_rate": 16384,
            },
            training={
                "window_size": 1.0,
                "batch_size": 32,
                "learning_rate": 0.001,
                "warmup_steps": 200,
                "epochs": 50,
                "steps_per_epoch": 200,
            },
        ),
        "singlow_tiny": Preset(
            "A small model of two levels for tests and first tries, too small to sound good.",
            arguments={
                "k_glow": 2,
                "l_glow": 2,
                "squeeze": 8,
                "width": 16,
                "kernel_sizes": (3, 1, 3),
                "dilations": (1, 1, 2),
                "sample_rate": 16000,
            },
            training={
                "window_size": 0.128,
                "batch_size": 4,
                "learning_rate": 0.001,
                "warmup_steps": 10,
                "epochs": 2,
                "steps_per_epoch": 20,
            },
        ),
    }
)
keras.saving.register_keras_serializable("singlow")(SinGlow)
