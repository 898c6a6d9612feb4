"""WaveGlow: a waveform from a mel spectrogram, by WaveNets over groups of samples."""

from types import MappingProxyType
from typing import Any

import keras

from singlow.bijections import (
    AffineCoupling,
    Chain,
    InvertibleConv,
    InvertibleLayer,
    MultiScale,
    Repeat,
    Squeezed,
)
from singlow.inputs import Input
from singlow.models.levels import check_channels
from singlow.models.paper import check_choices, recipe_of, settings_of
from singlow.models.presets import Preset
from singlow.models.vocoder import FRAMES, MEL_LIMITS, Vocoder
from singlow.networks import TransposedConvolution, WaveNet
from singlow.signals import Audio
from singlow.spectral import RECIPES

UPSAMPLED = "upsampled"
OVERLAP = 4  # frames of the mel on which each sample depends, as published


class WaveGlow(Vocoder):
    """A flow on groups of samples whose couplings are WaveNets that read a mel spectrogram.

    `squeeze` neighbouring samples are the channels of one frame. There are `l_glow` levels of
    `k_glow` steps; a step is an invertible 1x1 convolution and an affine coupling with a WaveNet
    that is not causal. After each level but the last, `early_size` channels become latents. All
    networks are convolutions, so a mel of any length gives `hop_length` samples for each of its
    frames, in one pass.

    Inputs beside `x` `(batch, time, 1)`: `mel` `(batch, time / hop_length, n_mels)`. Frame `i` is
    centred on sample `hop_length * i`.

    The preset `waveglow_original` is the published code: a transposed convolution maps the mel to
    the rate of the audio, the 1x1 convolutions are arbitrary matrices, and the scales are not
    bounded. In that mode, each sample depends on the frame of its place and the three before it.
    The other presets compute what a network reads of the mel once at the frame rate and repeat it.

    Args:
        k_glow: steps in a level (K).
        l_glow: number of levels (L).
        squeeze: samples that become one frame.
        early_size: channels that become latents after each level but the last.
        width: channels inside the WaveNets.
        layers: dilated layers of a WaveNet.
        kernel_size: taps of its convolutions.
        dilation_base: factor between the dilations of neighbouring layers.
        conditioning: `"frames"`, or `"upsampled"` as published.
        mel_width: channels of the mel's encoder, for `"frames"`.
        mixing: the 1x1 convolutions: `"plu"`, or `"plain"` as published, see `InvertibleConv`.
        scale: the scale of the couplings: `"bounded"`, `"sigmoid"`, `"exp"` or `"additive"`.
        scale_limit: bound of a `"bounded"` log-scale.
        recipe: name of the mel's recipe in `singlow.spectral.RECIPES`: `"tacotron"`, that of
            Tacotron 2, Glow-TTS and Flowtron, or `"flowavenet"`.
        sample_rate: Hz of the audio.
        hop_length: samples between frames of the mel, a multiple of `squeeze`.
        n_fft: samples of a Fourier transform of the mel.
        n_mels: number of mel bins.
        precision: `"float32"`, or `"bfloat16"` for the networks inside couplings.
        backprop: `"stored"`, or `"inverted"` for memory that does not grow with `k_glow`.

    Raises:
        ValueError: a setting is out of range, or `squeeze` does not divide `hop_length`.

    References:
        Prenger, Valle and Catanzaro, WaveGlow: A Flow-based Generative Network for Speech
        Synthesis, 2018, https://arxiv.org/abs/1811.00002
    """

    def __init__(
        self,
        k_glow: int = 4,
        l_glow: int = 3,
        squeeze: int = 8,
        early_size: int = 2,
        width: int = 64,
        layers: int = 6,
        kernel_size: int = 3,
        dilation_base: int = 2,
        conditioning: str = FRAMES,
        mel_width: int = 128,
        mixing: str = "plu",
        scale: str = "bounded",
        scale_limit: float = 2.0,
        recipe: str = "tacotron",
        sample_rate: int = 22050,
        hop_length: int = 256,
        n_fft: int = 1024,
        n_mels: int = 80,
        precision: str = "float32",
        backprop: str = "stored",
        name: str = "waveglow",
    ) -> None:
        self._settings = settings_of(WaveGlow, locals(), _LIMITS)
        _check(self._settings)
        self.recipe = recipe_of(self._settings, n_mels)
        levels = [
            Repeat(self._step(), k_glow, backprop, name=f"level_{index}") for index in range(l_glow)
        ]
        inner = MultiScale(levels, early_size, name="levels") if l_glow > 1 else levels[0]
        order = "channel" if conditioning == UPSAMPLED else "time"
        bijection = Squeezed(inner, squeeze, order, name="groups")
        inputs = {"mel": Input("frames", "float32", n_mels, hop=hop_length)}
        super().__init__(bijection, Audio(sample_rate), inputs, name=name)

    def _upsampler(self) -> TransposedConvolution:
        settings = self._settings
        filters, scale = settings["n_mels"], settings["hop_length"]
        return TransposedConvolution(filters, scale, OVERLAP, name="upsample")

    @property
    def receptive_field(self) -> tuple[int, int]:
        """Samples before and after its own that one coupling reads."""
        before, after = self._network().receptive_field
        return before * self._settings["squeeze"], after * self._settings["squeeze"]

    @property
    def context(self) -> tuple[int, int]:
        """Samples before and after its own that a latent depends on, and the other way round.

        Samples on which its mel condition depends are included.
        """
        settings = self._settings
        steps = settings["k_glow"] * settings["l_glow"]
        before, after = (steps * reach for reach in self.receptive_field)
        frames = self.mel_network.receptive_field
        hop = settings["hop_length"]
        return before + hop * frames[0], after + hop * frames[1]

    def _step(self) -> InvertibleLayer:
        settings = self._settings
        coupling = AffineCoupling(
            self._network(), settings["scale"], limit=settings["scale_limit"], name="coupling"
        )
        return Chain([InvertibleConv(settings["mixing"], name="mixing"), coupling], name="step")

    def _network(self) -> WaveNet:
        settings = self._settings
        return WaveNet(
            settings["width"],
            settings["layers"],
            settings["kernel_size"],
            settings["dilation_base"],
            plain_last=True,
            redundant=settings["conditioning"] == UPSAMPLED,
            name="network",
            dtype=self._network_policy(),
        )


_LIMITS = {
    "k_glow": 1000,
    "l_glow": 20,
    "squeeze": 2**12,
    "early_size": 2**12,
    "kernel_size": 2**10,
    "dilation_base": 2**10,
    **MEL_LIMITS,
}
_CHOICES = {
    "conditioning": (FRAMES, UPSAMPLED),
    "mixing": ("plu", "plain"),
    "recipe": tuple(RECIPES),
}


def _check(settings: dict[str, Any]) -> None:
    """Check the arguments that models do not share.

    Raises:
        ValueError: an argument is out of its range.
    """
    check_choices(settings, _CHOICES)
    if not settings["scale_limit"] > 0:
        raise ValueError(
            f"Expected scale_limit above 0. Received: scale_limit={settings['scale_limit']}."
        )
    squeeze, early = settings["squeeze"], settings["early_size"]
    channels = [squeeze - early * level for level in range(settings["l_glow"])]
    if channels[-1] < 2:
        raise ValueError(
            "Expected at least 2 channels in the last level, squeeze - early_size * (l_glow - 1). "
            f"Received: squeeze={squeeze}, early_size={early}, l_glow={settings['l_glow']}."
        )
    check_channels(channels)
    if settings["hop_length"] % squeeze:
        raise ValueError(
            "Expected hop_length to be a multiple of squeeze. "
            f"Received: hop_length={settings['hop_length']}, squeeze={squeeze}."
        )


WaveGlow.presets = MappingProxyType(
    {
        "waveglow_small": Preset(
            "Speech at 22 kHz, for a CPU: groups of 16 samples, 64 channels.",
            arguments={
                "k_glow": 3,
                "l_glow": 3,
                "squeeze": 16,
                "early_size": 4,
                "width": 64,
                "layers": 5,
                "sample_rate": 22050,
            },
            training={
                "window_size": 0.5,
                "batch_size": 4,
                "learning_rate": 0.001,
                "warmup_steps": 100,
                "decay_steps": 1000,
                "epochs": 10,
                "steps_per_epoch": 500,
            },
        ),
        "waveglow_original": Preset(
            "The published WaveGlow: 12 steps, groups of 8 samples, 256 channels.",
            arguments={
                "k_glow": 4,
                "l_glow": 3,
                "squeeze": 8,
                "early_size": 2,
                "width": 256,
                "layers": 8,
                "conditioning": UPSAMPLED,
                "mixing": "plain",
                "scale": "exp",
                "sample_rate": 22050,
            },
            training={
                "window_size": 0.72,
                "batch_size": 12,
                "learning_rate": 0.0001,
                "warmup_steps": 1,
                "epochs": 1000,
                "steps_per_epoch": 1000,
                "temperature": 0.6,
            },
        ),
        "waveglow_tiny": Preset(
            "A small model of two levels for tests and first tries, too small to sound good.",
            arguments={
                "k_glow": 2,
                "l_glow": 2,
                "squeeze": 8,
                "early_size": 2,
                "width": 16,
                "layers": 2,
                "mel_width": 16,
                "sample_rate": 22050,
            },
            training={
                "window_size": 0.1,
                "batch_size": 4,
                "learning_rate": 0.001,
                "warmup_steps": 10,
                "epochs": 2,
                "steps_per_epoch": 20,
            },
        ),
    }
)
keras.saving.register_keras_serializable("singlow")(WaveGlow)
