"""FloWaveNet: a waveform from a mel spectrogram."""

import math
from collections.abc import Sequence
from types import MappingProxyType
from typing import Any

import keras

from singlow.bijections import (
    ActNorm,
    AffineCoupling,
    Chain,
    InvertibleConv,
    InvertibleLayer,
    MultiScale,
    Repeat,
    Squeezed,
    Swap,
)
from singlow.inputs import Input
from singlow.models.levels import Leveled, check_channels, leveled_settings, positions_of_frame
from singlow.models.paper import check_choices, recipe_of
from singlow.models.presets import Preset
from singlow.models.vocoder import FRAMES, MEL_LIMITS, Vocoder
from singlow.networks import GatedConvNet, Upsample
from singlow.signals import Audio
from singlow.spectral import RECIPES

HALVES = "halves"


class FloWaveNet(Vocoder, Leveled):
    """A flow on raw audio whose couplings read a mel spectrogram.

    There are `l_glow` blocks of `k_glow` steps. Each block squeezes time into channels, the first
    by `squeeze` and the later ones by `level_squeeze`. A step is an ActNorm, a mixing of channels
    and an affine coupling with a gated convolutional network. After every `split_every` blocks but
    the last, half of the channels become latents, standardised by a coupling that reads the other
    half. All networks are convolutions, so a mel of any length gives `hop_length` samples for each
    of its frames, in one pass.

    Inputs beside `x` `(batch, time, 1)`: `mel` `(batch, time / hop_length, n_mels)`. Frame `i` is
    centred on sample `hop_length * i`.

    The preset `flowavenet_original` is the published code: `conditioning="halves"` upsamples the
    mel to the rate of the audio and squeezes it with the audio, so that each network reads half of
    the mel bins, and the other half in the next step. In that mode, the networks have the 3,236,352
    weights of the code that have no effect. The other presets compute what a network reads of the
    mel once at the frame rate, from all bins, and repeat it.

    Args:
        k_glow: steps in a block (K).
        l_glow: number of blocks (L).
        squeeze: samples that become one frame in the first block.
        level_squeeze: frames that become one in each later block.
        split_every: number of blocks after which half of the channels become latents.
        width: channels inside the coupling networks.
        layers: dilated layers of a network.
        kernel_size: taps of its convolutions.
        dilation_base: factor between the dilations of neighbouring layers.
        causal: whether the networks read only present and past frames; in the paper such a model
            has a mean opinion score of 3.36, and the other 3.95 (Table 4).
        conditioning: `"frames"`, or `"halves"` as published.
        mel_width: channels of the mel's encoder, for `"frames"`.
        upsample_scales: factors of the mel's transposed convolutions, for `"halves"`; their
            product is `hop_length`.
        mixing: how the channels of a step are mixed: `"swap"`, which exchanges the halves after
            each coupling, or `"plu"`, an invertible 1x1 convolution.
        scale: the scale of the couplings: `"bounded"`, `"sigmoid"`, `"exp"` or `"additive"`.
        scale_limit: bound of a `"bounded"` log-scale.
        recipe: name of the mel's recipe in `singlow.spectral.RECIPES`: `"flowavenet"`, or
            `"tacotron"`, that of Tacotron 2, Glow-TTS and Flowtron.
        sample_rate: Hz of the audio.
        hop_length: samples between frames of the mel.
        n_fft: samples of a Fourier transform of the mel.
        n_mels: number of mel bins.
        precision: `"float32"`, or `"bfloat16"` for the networks inside couplings.
        backprop: `"stored"`, or `"inverted"` for memory that does not grow with `k_glow`.

    Raises:
        ValueError: a setting is out of range, or the squeezes do not divide `hop_length`.

    References:
        Kim, Lee, Song, Kim and Yoon, FloWaveNet: A Generative Flow for Raw Audio, 2019,
        https://arxiv.org/abs/1811.02155
    """

    def __init__(
        self,
        k_glow: int = 16,
        l_glow: int = 1,
        squeeze: int = 16,
        level_squeeze: int = 2,
        split_every: int = 4,
        width: int = 64,
        layers: int = 2,
        kernel_size: int = 3,
        dilation_base: int = 8,
        causal: bool = False,
        conditioning: str = "frames",
        mel_width: int = 96,
        upsample_scales: Sequence[int] = (16, 16),
        mixing: str = "plu",
        scale: str = "bounded",
        scale_limit: float = 2.0,
        recipe: str = "flowavenet",
        sample_rate: int = 22050,
        hop_length: int = 256,
        n_fft: int = 1024,
        n_mels: int = 80,
        precision: str = "float32",
        backprop: str = "stored",
        name: str = "flowavenet",
    ) -> None:
        self._settings = leveled_settings(FloWaveNet, locals(), _LIMITS)
        _check(self._settings)
        self.recipe = recipe_of(self._settings, n_mels)
        blocks = [self._block(index) for index in range(l_glow)]
        levels = [blocks[start : start + split_every] for start in range(0, l_glow, split_every)]
        for level in levels[:-1]:
            level.append(self._split_prior())
        chains = [Chain(level, name=f"level_{index}") for index, level in enumerate(levels)]
        bijection = MultiScale(chains, name="levels") if len(chains) > 1 else chains[0]
        inputs = {"mel": Input("frames", "float32", n_mels, hop=hop_length)}
        super().__init__(bijection, Audio(sample_rate), inputs, name=name)

    def _upsampler(self) -> Upsample:
        return Upsample(self._settings["upsample_scales"], name="upsample")

    @property
    def context(self) -> tuple[int, int]:
        """Samples before and after its own that a latent depends on, and the other way round.

        Samples on which its mel condition depends are included.
        """
        settings = self._settings
        before, after = self._network().receptive_field
        frame = settings["squeeze"]
        total = 0
        for index in range(settings["l_glow"]):
            total += settings["k_glow"] * frame
            if _splits(settings, index):
                total += frame
            frame *= settings["level_squeeze"]
        frames = self.mel_network.receptive_field
        hop = settings["hop_length"]
        return before * total + hop * frames[0], after * total + hop * frames[1]

    def _block(self, index: int) -> InvertibleLayer:
        settings = self._settings
        halves = settings["conditioning"] == HALVES
        parts = ("first", "last") if halves else ("all",)
        steps = [layer for number, part in enumerate(parts) for layer in self._step(number, part)]
        times = settings["k_glow"] // len(parts)
        repeat = Repeat(Chain(steps, name="step"), times, settings["backprop"], name="repeat")
        factor = settings["level_squeeze"] if index else settings["squeeze"]
        order = "channel" if halves else "time"
        return Squeezed(repeat, factor, order, name=f"block_{index}")

    def _step(self, number: int, part: str) -> list[InvertibleLayer]:
        layers: list[InvertibleLayer] = [ActNorm(name=f"act_norm_{number}")]
        if self._settings["mixing"] == "plu":
            layers.append(InvertibleConv(name=f"mixing_{number}"))
        layers.append(self._coupling(f"coupling_{number}", part))
        if self._settings["mixing"] == "swap":
            layers.append(Swap(name=f"swap_{number}"))
        return layers

    def _split_prior(self) -> AffineCoupling:
        return self._coupling("prior", "all")

    def _coupling(self, name: str, part: str) -> AffineCoupling:
        settings = self._settings
        return AffineCoupling(
            self._network(part),
            settings["scale"],
            limit=settings["scale_limit"],
            shift_first=True,
            name=name,
        )

    def _network(self, part: str = "all") -> GatedConvNet:
        settings = self._settings
        return GatedConvNet(
            settings["width"],
            settings["layers"],
            settings["kernel_size"],
            settings["dilation_base"],
            settings["causal"],
            part=part,
            redundant=settings["conditioning"] == HALVES,
            name="network",
            dtype=self._network_policy(),
        )


_LIMITS = {
    "split_every": 20,
    "kernel_size": 2**10,
    "dilation_base": 2**10,
    "upsample_scales": 2**10,
    **MEL_LIMITS,
}
_CHOICES = {
    "conditioning": (FRAMES, HALVES),
    "mixing": ("swap", "plu"),
    "causal": (False, True),
    "recipe": tuple(RECIPES),
}


def _splits(settings: dict[str, Any], index: int) -> bool:
    """Whether half of the channels become latents after a block."""
    return (index + 1) % settings["split_every"] == 0 and index + 1 < settings["l_glow"]


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
    channels = [settings["squeeze"]]
    for index in range(settings["l_glow"] - 1):
        left = channels[-1] // 2 if _splits(settings, index) else channels[-1]
        channels.append(left * settings["level_squeeze"])
    check_channels(channels)
    frame, hop = positions_of_frame(settings), settings["hop_length"]
    if hop % frame:
        raise ValueError(
            "Expected hop_length to be a multiple of the squeezes together, "
            f"squeeze * level_squeeze ** (l_glow - 1) = {frame}. Received: hop_length={hop}."
        )
    if settings["mixing"] == "swap" and any(count % 2 for count in channels):
        raise ValueError(
            f"Expected even numbers of channels with mixing='swap'. Received: {channels}."
        )
    if settings["conditioning"] != HALVES:
        return
    scales = settings["upsample_scales"]
    if math.prod(scales) != hop or any(scale % 2 for scale in scales):
        raise ValueError(
            "Expected even upsample_scales whose product is hop_length. "
            f"Received: upsample_scales={scales}, hop_length={hop}."
        )
    if settings["k_glow"] % 2 or settings["mixing"] != "swap" or settings["n_mels"] % 2:
        raise ValueError(
            "Expected an even k_glow and n_mels, and mixing='swap', with conditioning='halves'. "
            f"Received: k_glow={settings['k_glow']}, n_mels={settings['n_mels']}, "
            f"mixing={settings['mixing']!r}."
        )


_AS_PUBLISHED = {
    "window_size": 0.72,
    "batch_size": 8,
    "learning_rate": 0.001,
    "warmup_steps": 1,
    "halve_steps": 200_000,
    "clip_norm": 1.0,
    "epochs": 700,
    "steps_per_epoch": 1000,
}
FloWaveNet.presets = MappingProxyType(
    {
        "flowavenet_small": Preset(
            "Speech at 22 kHz, for a CPU: one block of 16 steps, squeeze 16, 64 channels.",
            arguments={
                "k_glow": 16,
                "l_glow": 1,
                "squeeze": 16,
                "width": 64,
                "layers": 2,
                "dilation_base": 8,
                "mel_width": 96,
                "sample_rate": 22050,
            },
            training={
                "window_size": 0.743,
                "batch_size": 2,
                "learning_rate": 0.003,
                "warmup_steps": 100,
                "decay_steps": 1000,
                "epochs": 25,
                "steps_per_epoch": 500,
            },
        ),
        "flowavenet": Preset(
            "The published depth and width, conditioned on all mel bins at the frame rate.",
            arguments={
                "k_glow": 6,
                "l_glow": 8,
                "squeeze": 2,
                "level_squeeze": 2,
                "width": 256,
                "dilation_base": 2,
                "mel_width": 80,
                "mixing": "swap",
                "sample_rate": 22050,
            },
            training=_AS_PUBLISHED,
        ),
        "flowavenet_original": Preset(
            "The published FloWaveNet: 8 blocks x 6 steps, squeeze 2, 256 channels.",
            arguments={
                "k_glow": 6,
                "l_glow": 8,
                "squeeze": 2,
                "level_squeeze": 2,
                "width": 256,
                "dilation_base": 2,
                "conditioning": HALVES,
                "mixing": "swap",
                "scale": "exp",
                "sample_rate": 22050,
            },
            training=_AS_PUBLISHED,
        ),
        "flowavenet_tiny": Preset(
            "A small model of two levels for tests and first tries, too small to sound good.",
            arguments={
                "k_glow": 2,
                "l_glow": 2,
                "squeeze": 8,
                "level_squeeze": 2,
                "split_every": 1,
                "width": 16,
                "dilation_base": 2,
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
keras.saving.register_keras_serializable("singlow")(FloWaveNet)
