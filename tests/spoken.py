"""A user-defined model with a sequence input, a prior with means, two losses and no squeeze."""

from typing import ClassVar

import keras
import numpy as np
from keras import ops

from singlow.bijections import ActNorm, Chain, ConditionalShift
from singlow.inputs import Input
from singlow.models import Gaussian, Paper, Preset, settings_of
from singlow.signals import Audio

TRAINING = {"window_size": 0.032, "batch_size": 4, "learning_rate": 1e-2, "warmup_steps": 1}
TRAINING |= {"epochs": 2, "steps_per_epoch": 4}


class Spoken(Paper):
    """A flow of audio and text: the text shifts `x` and predicts the latents' mean and length."""

    presets: ClassVar = {
        "spoken_tiny": Preset("A tiny model that reads text.", {"width": 4}, TRAINING)
    }

    def __init__(self, width: int = 4, sample_rate: int = 16000, name: str = "spoken"):
        self._settings = settings_of(Spoken, locals())
        super().__init__(
            Chain([ActNorm(name="norm"), ConditionalShift(name="shift")], name="chain"),
            Audio(sample_rate),
            {"text": Input("sequence", "int32", size=256)},
            loss_weights={"bits_per_sample": 1.0, "duration": 0.1},
            name=name,
        )

    def build(self, input_shape):
        self.table = keras.layers.Embedding(256, self._settings["width"], name="table")
        self.heads = keras.layers.Dense(2, name="heads")  # mean of the latents, log-duration
        self.table.build((None, None))
        self.heads.build(self.condition_shape())
        super().build(input_shape)

    def condition(self, inputs, training=None):
        mask = inputs["text_mask"][..., None]
        return ops.sum(self.table(inputs["text"]) * mask, axis=1) / ops.sum(mask, axis=1)

    def condition_shape(self):
        return (None, self._settings["width"])

    def prior(self, inputs, z=None, training=None):
        return Gaussian([self.heads(self.condition(inputs))[:, None, :1]])

    def loss_terms(self, inputs, outputs):
        length = ops.sum(inputs["text_mask"], axis=1)
        error = ops.square(self.heads(self.condition(inputs))[:, 1] - ops.log(length))
        return {**super().loss_terms(inputs, outputs), "duration": (error, ops.ones_like(error))}

    def sample_lengths(self, inputs, count, length):
        letters = np.asarray(ops.convert_to_numpy(inputs["text_mask"])).sum(axis=1)
        return np.full(count, length) if length else np.int64(100 * letters)
