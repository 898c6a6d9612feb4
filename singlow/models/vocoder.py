"""The base class of vocoders: a waveform from a mel spectrogram."""

from typing import Any

import keras
import numpy as np
from keras import ops

from singlow.models.flow import Inputs
from singlow.models.paper import Paper
from singlow.networks import FrameEncoder
from singlow.spectral import MelRecipe, mel_spectrogram

FRAMES = "frames"
MEL_LIMITS = {
    "mel_width": 2**13,
    "hop_length": 2**16,
    "n_fft": 2**16,
    "n_mels": 2**12,
}


class Vocoder(Paper):
    """A flow on raw audio whose networks read a mel spectrogram, the input `mel`.

    With the setting `conditioning="frames"` the mel is encoded at its own frame rate, and what the
    networks compute from it is repeated. Otherwise the layer that `_upsampler` returns maps it to
    the rate of the audio. Among the settings of a subclass are `recipe`, `sample_rate`,
    `hop_length`, `n_fft`, `n_mels` and `mel_width`.

    Attributes:
        recipe: the mel's recipe; its highest frequency is at most half of the sample rate.
    """

    derived = ("mel",)
    recipe: MelRecipe

    def build(self, input_shape: dict[str, Any]) -> None:
        settings = self._settings
        if settings["conditioning"] == FRAMES:
            self.mel_network = FrameEncoder(
                settings["mel_width"], causal=settings.get("causal", False), name="mel_encoder"
            )
        else:
            self.mel_network = self._upsampler()
        self.mel_network.build((None, None, settings["n_mels"]))
        super().build(input_shape)

    def _upsampler(self) -> keras.layers.Layer:
        raise NotImplementedError(f"{type(self).__name__} does not implement `_upsampler`.")

    @property
    def margin(self) -> int:
        return self.recipe.n_fft // 2

    def condition(self, inputs: Inputs, training: bool | None = None) -> Any:
        mel = ops.cast(inputs["mel"], self.compute_dtype)
        frame_mask = inputs.get("frame_mask")
        if frame_mask is not None:
            frame_mask = frame_mask[:, :: self._settings["hop_length"]]
        condition = self.mel_network(mel, frame_mask)
        return {"coarse": condition} if self._settings["conditioning"] == FRAMES else condition

    def condition_shape(self) -> Any:
        settings = self._settings
        if settings["conditioning"] == FRAMES:
            return {"coarse": (None, None, settings["mel_width"])}
        return (None, None, settings["n_mels"])

    def mel_of(self, audio: np.ndarray) -> np.ndarray:
        """The mel of a recording, which covers its length rounded up to whole frames.

        Args:
            audio: `(time,)` or `(time, 1)` float in [-1, 1] at the model's rate.

        Returns:
            `(ceil(time / hop_length), n_mels)` float32.

        Raises:
            ValueError: the audio is too short.
        """
        audio = np.asarray(audio, np.float32)
        audio = audio[:, 0] if audio.ndim == 2 and audio.shape[1] == 1 else audio
        hop = self.recipe.hop_length
        return mel_spectrogram(audio, self.recipe)[: -(-len(audio) // hop)]

    def inputs_of_recording(self, x: np.ndarray) -> dict[str, np.ndarray]:
        return {"mel": self.mel_of(x)[None]}

    def inputs_of(self, clip: Any, x: np.ndarray) -> dict[str, np.ndarray]:
        mel = mel_spectrogram(x[:, 0], self.recipe, centred=False)
        return {"mel": mel[: (len(x) - 2 * self.margin) // self.recipe.hop_length]}
