"""Glow: images, with classes if there are any."""

import math
from collections.abc import Sequence
from types import MappingProxyType
from typing import Any

import keras
from keras import ops

from singlow.bijections import AffineCoupling, MultiScale
from singlow.bijections.affine import bound
from singlow.bijections.conditions import Condition
from singlow.inputs import Input
from singlow.models.flow import Inputs, Terms
from singlow.models.levels import MOST_LEVELS, MOST_STEPS, check_channels, glow_level, glow_step
from singlow.models.paper import Paper, check_choices, settings_of
from singlow.models.presets import Preset
from singlow.models.priors import Gaussian, Prior
from singlow.networks import ConvNet
from singlow.ops.tensors import Tensor
from singlow.signals import Image

LABEL = "label"
CLASS_BITS = "class_bits"
_LIMITS = {"k_glow": MOST_STEPS, "l_glow": MOST_LEVELS, "img_size": 2**12, "embedding_size": 2**13}
_CHOICES = {"channels": (1, 3), "conditioning": ("prior", "couplings")}


class Glow(Paper):
    """A multi-scale flow on images: `l_glow` levels of `k_glow` steps.

    Each level squeezes 2 x 2 pixels into channels, and runs `k_glow` steps of ActNorm, invertible
    1x1 convolution and affine coupling. After each level but the last, half of the channels become
    latents, standardised by a coupling that reads the other half. The latents of the last level
    have a learned Gaussian prior, a mean `m` and a log-deviation `s` for each channel:

        z_L ~ N(m + A e, exp(bound(s + B e))^2)

    `e` is the embedding of the image's class; without classes, `A` and `B` are left out. With
    classes and `weight_y`, a linear map of the mean of `z_L` over its positions predicts the class,
    and its cross-entropy in bits is a further term of the loss.

    Inputs beside `x` `(batch, img_size, img_size, channels)`: with classes, `label` `(batch,)`,
    whole numbers below `classes`, or `label_embedding` `(batch, embedding_size)` in its place.

    Differences to OpenAI's code, where they matter: convolutions see zeros beyond the border, and
    no further channel that marks it; the scale of a coupling is applied before its shift; the
    factors 3 on logarithmic scales are left out; 1x1 convolutions are PLU by default; the
    log-deviations of priors are bounded.

    Args:
        k_glow: steps in a level (K).
        l_glow: number of levels (L).
        img_size: height and width of the images, a multiple of `2^l_glow`.
        channels: 1 for grey, 3 for red, green and blue.
        n_bits: number of bits of a value, from 1 to 8; of 8-bit values the highest are kept.
        classes: number of classes; 0 for images without classes.
        conditioning: what depends on the class: `"prior"`, the prior of the last level, as in the
            paper, so that latents do not depend on the class; or `"couplings"`, the networks of all
            couplings too.
        embedding_size: features of a class's embedding.
        weight_y: weight of the class prediction in the loss; 0 for none.
        width: channels inside the coupling networks.
        kernel_sizes: taps of the convolutions of the coupling networks.
        activation: activation of the networks.
        act_norm: whether the networks have an ActNorm after each activation.
        weight_norm: whether to normalise the convolutions of the networks.
        dropout: share of hidden units dropped while training.
        scale: the scale of the couplings: `"bounded"`, `"sigmoid"`, `"exp"` or `"additive"`.
        mixing: form of the 1x1 convolutions: `"plu"` or `"plain"`.
        prior_kernel_sizes: taps of the networks of the split priors; `()` for no split priors.
        precision: `"float32"`, or `"bfloat16"` for the networks inside couplings.
        backprop: `"stored"`, or `"inverted"` for memory that does not grow with `k_glow`.

    Raises:
        ValueError: a setting is out of range, or `img_size` is not a multiple of `2^l_glow`.

    References:
        Kingma and Dhariwal, Glow: Generative Flow with Invertible 1x1 Convolutions, 2018,
        https://arxiv.org/abs/1807.03039
    """

    def __init__(
        self,
        k_glow: int = 32,
        l_glow: int = 3,
        img_size: int = 32,
        channels: int = 3,
        n_bits: int = 8,
        classes: int = 0,
        conditioning: str = "prior",
        embedding_size: int = 16,
        weight_y: float = 0.01,
        width: int = 512,
        kernel_sizes: Sequence[int] = (3, 1, 3),
        activation: str = "relu",
        act_norm: bool = True,
        weight_norm: bool = False,
        dropout: float = 0.0,
        scale: str = "sigmoid",
        mixing: str = "plu",
        prior_kernel_sizes: Sequence[int] = (3,),
        precision: str = "float32",
        backprop: str = "stored",
        name: str = "glow",
    ) -> None:
        self._settings = settings_of(Glow, locals(), _LIMITS)
        _check(self._settings)
        levels = []
        for index in range(l_glow):
            step = glow_step(self._network(kernel_sizes, act_norm), scale, mixing)
            prior = None
            if index < l_glow - 1 and prior_kernel_sizes:
                network = self._network(prior_kernel_sizes, False)
                prior = AffineCoupling(network, "bounded", name="prior")
            levels.append(glow_level(step, k_glow, backprop, 2, index, prior))
        signal = Image(img_size, img_size, channels, n_bits)
        entry = Input("item", "int32", size=max(1, classes), embedding=embedding_size)
        weights = {signal.metric: 1.0, CLASS_BITS: weight_y}
        super().__init__(
            MultiScale(levels, name="levels"),
            signal,
            {LABEL: entry} if classes else None,
            loss_weights=weights if classes and weight_y else None,
            name=name,
        )

    def _network(self, kernel_sizes: Sequence[int], act_norm: bool) -> ConvNet:
        settings = self._settings
        return ConvNet(
            settings["width"],
            kernel_sizes,
            activation=settings["activation"],
            act_norm=act_norm,
            weight_norm=settings["weight_norm"],
            dropout=settings["dropout"],
            name="network",
            dtype=self._network_policy(),
        )

    def build(self, input_shape: dict[str, Any]) -> None:
        channels = self.latent_shapes(1, None)[-1][-1]
        self.top = self.add_weight(name="top", shape=(2 * channels,), initializer="zeros")
        if self.inputs:
            embedded = (None, self._settings["embedding_size"])
            self.class_prior = keras.layers.Dense(
                2 * channels, use_bias=False, kernel_initializer="zeros", name="class_prior"
            )
            self.class_prior.build(embedded)
        if CLASS_BITS in self.loss_weights:
            self.prediction = keras.layers.Dense(
                self._settings["classes"], kernel_initializer="zeros", name="prediction"
            )
            self.prediction.build((None, channels))
        super().build(input_shape)

    def condition(self, inputs: Inputs, training: bool | None = None) -> Condition:
        couplings = self._settings["conditioning"] == "couplings"
        return self.embed(LABEL, inputs) if self.inputs and couplings else None

    def condition_shape(self) -> Any:
        couplings = self._settings["conditioning"] == "couplings"
        return super().condition_shape() if self.inputs and couplings else None

    def prior(
        self, inputs: Inputs, z: Sequence[Tensor] | None = None, training: bool | None = None
    ) -> Prior:
        parameters = self.top.value[None]
        if self.inputs:
            parameters = parameters + self.class_prior(self.embed(LABEL, inputs))
        mean, log_scale = ops.split(parameters[:, None, None], 2, axis=-1)
        zeros = [ops.zeros((1, 1, 1, 1), mean.dtype)] * (self.num_levels - 1)
        return Gaussian([*zeros, mean], [*zeros, bound(log_scale)])

    def predict_classes(self, z: Sequence[Tensor]) -> Tensor:
        """The logarithm of the predicted probability of each class, `(batch, classes)`.

        Args:
            z: latents as from `encode`, finest first.

        Raises:
            ValueError: the model does not predict classes.
        """
        if CLASS_BITS not in self.loss_weights:
            raise ValueError(
                f"Expected a model with classes and weight_y above 0. Received: {self.name}."
            )
        return ops.log_softmax(self.prediction(ops.mean(z[-1], axis=(1, 2))), axis=-1)

    def loss_terms(self, inputs: Inputs, outputs: tuple[Any, ...]) -> Terms:
        terms = super().loss_terms(inputs, outputs)
        if CLASS_BITS in self.loss_weights:
            known = ops.one_hot(inputs[LABEL], self._settings["classes"], dtype=outputs[1].dtype)
            bits = -ops.sum(known * self.predict_classes(outputs[0]), axis=-1) / math.log(2.0)
            terms[CLASS_BITS] = (bits, ops.ones_like(bits))
        return terms


def _check(settings: dict[str, Any]) -> None:
    """Check the arguments that models do not share.

    Raises:
        ValueError: an argument is out of its range.
    """
    if not settings["kernel_sizes"]:
        raise ValueError("Expected kernel_sizes of at least one. Received: none.")
    for name, most in (("classes", 2**16), ("weight_y", 1e6)):
        if not 0 <= settings[name] <= most:
            raise ValueError(f"Expected {name} from 0 to {most:g}. Received: {settings[name]}.")
    check_choices(settings, _CHOICES)
    size, unit = settings["img_size"], 2 ** settings["l_glow"]
    if size % unit:
        near = sorted({max(1, size // unit) * unit, (size // unit + 1) * unit})
        raise ValueError(
            f"Expected img_size to be a multiple of {unit} for l_glow={settings['l_glow']}. "
            f"Received: {size}; the nearest are {' and '.join(map(str, near))}."
        )
    channels = [4 * settings["channels"]]
    for _ in range(settings["l_glow"] - 1):
        channels.append(channels[-1] // 2 * 4)
    check_channels(channels)


def _training(**settings: Any) -> dict[str, Any]:
    return {
        "window_size": None,
        "batch_size": 64,
        "learning_rate": 0.001,
        "warmup_steps": 500,
        "epochs": 100,
        "steps_per_epoch": 500,
        **settings,
    }


_CIFAR = {
    "k_glow": 32,
    "l_glow": 3,
    "img_size": 32,
    "channels": 3,
    "width": 512,
    "classes": 0,
}
_CIFAR_TRAINING = _training(warmup_steps=7000, epochs=1000, steps_per_epoch=782)

Glow.presets = MappingProxyType(
    {
        "glow_small": Preset(
            "Digits of 8 x 8 pixels, with classes; trains in minutes on the CPU of a laptop.",
            arguments={
                "k_glow": 12,
                "l_glow": 2,
                "img_size": 8,
                "channels": 1,
                "n_bits": 4,
                "classes": 10,
                "width": 64,
                "scale": "bounded",
                "weight_norm": True,
                "act_norm": False,
                "dropout": 0.1,
            },
            training=_training(warmup_steps=100, decay_steps=1000, epochs=12, steps_per_epoch=250),
            dataset="digits",
        ),
        "glow_mnist": Preset(
            "Handwritten digits of MNIST, padded to 32 x 32 pixels, with classes.",
            arguments={
                "k_glow": 16,
                "l_glow": 3,
                "img_size": 32,
                "channels": 1,
                "classes": 10,
                "width": 128,
            },
            training=_training(steps_per_epoch=938),
            dataset="mnist",
        ),
        "glow_cifar10": Preset(
            "The published Glow for CIFAR-10: 32 steps x 3 levels, width 512.",
            arguments=_CIFAR,
            training=_CIFAR_TRAINING,
            dataset="cifar10",
        ),
        "glow_cifar100": Preset(
            "The same model with the 100 classes of CIFAR-100.",
            arguments={**_CIFAR, "classes": 100},
            training=_CIFAR_TRAINING,
            dataset="cifar100",
        ),
        "glow_original_tf2": Preset(
            "GLOW-tf2's settings: 16 steps x 3 levels, width 512, dropout, ReLU6.",
            arguments={
                "k_glow": 16,
                "l_glow": 3,
                "img_size": 32,
                "channels": 3,
                "width": 512,
                "activation": "relu6",
                "dropout": 0.1,
                "mixing": "plain",
                "prior_kernel_sizes": (1,),
            },
            training=_training(epochs=1000, steps_per_epoch=782),
            dataset="cifar10",
        ),
        "glow_tiny": Preset(
            "A small model of two levels for tests, too small for good pictures.",
            arguments={
                "k_glow": 2,
                "l_glow": 2,
                "img_size": 8,
                "channels": 1,
                "n_bits": 4,
                "classes": 10,
                "width": 8,
            },
            training=_training(batch_size=8, warmup_steps=10, epochs=2, steps_per_epoch=10),
            dataset="digits",
        ),
    }
)
keras.saving.register_keras_serializable("singlow")(Glow)
