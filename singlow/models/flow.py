"""A normalizing flow as a Keras model: a bijection over a base distribution."""

import functools
import itertools
import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from singlow.bijections.base import (
    InvertibleLayer,
    Tensor,
    count_frames,
    sum_frames,
)
from singlow.models.bases import StandardNormal
from singlow.models.traced import traced

LOG_2 = math.log(2.0)
STEPS_OF_16_BIT = 15.0  # log2 of the steps in one unit of amplitude: 16 bits span [-1, 1)


class Flow(keras.Model):
    """`log p(x) = sum_i log p(z_i) + log |det dz/dx|` with `z = bijection(x)`.

    Called on a dictionary with `x` of shape `(batch, time, channels)` in +-1 and, where wanted,
    `frame_mask` `(batch, time)` and `condition`, it returns the latents, finest first, and
    `log p(x)` of shape `(batch,)`, natural logarithm. Trained with `compile` and `fit`; the loss is
    the mean number of bits a sample costs, `-log2 p(y) / D + 15`, at the precision of 16-bit audio:
    with dequantised `y`, what a lossless codec built on this flow would spend.

    Papers are subclasses whose `__init__` assembles the bijection; its keyword arguments are the
    whole configuration.

    Args:
        bijection: what turns data into latents.
        channels: channels of the data.
        base: the latents' distribution; a standard normal when `None`.

    References:
        Rezende and Mohamed, Variational Inference with Normalizing Flows, 2015,
        https://arxiv.org/abs/1505.05770
    """

    def __init__(
        self,
        bijection: InvertibleLayer,
        channels: int = 1,
        base: StandardNormal | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.bijection = bijection
        self.base = StandardNormal() if base is None else base
        self.channel_size = channels
        self.levels = len(self._latent_shapes((None, None, channels)))
        self._means = {
            name: keras.metrics.Mean(name=name)
            for name in ("bits_per_sample", "z_mean", "z_square")
        }
        self._level_means = [
            {name: keras.metrics.Mean(name=f"{name}_{i}") for name in ("z_mean", "z_square")}
            for i in range(self.levels)
        ]
        self._directions: dict[str, Callable[..., Any]] = {}
        self.build({"x": (None, None, channels)})

    def build(self, input_shape: dict[str, Any]) -> None:
        if not self.bijection.built:
            self.bijection.build(input_shape["x"], input_shape.get("condition"))

    @functools.cached_property
    def multiple(self) -> int:
        """Lengths this flow takes are multiples of this many samples."""
        return next(length for length in itertools.count(1) if self._fits(length))

    def _fits(self, length: int) -> bool:
        shapes = self._latent_shapes((None, length, self.channel_size))
        return sum(math.prod(s[1:]) for s in shapes) == length * self.channel_size

    def _latent_shapes(self, x_shape: tuple[int | None, ...]) -> list[tuple[int | None, ...]]:
        shapes = self.bijection.latent_shape(x_shape)
        return shapes if isinstance(shapes, list) else [shapes]

    def call(
        self, inputs: dict[str, Tensor], training: bool | None = None
    ) -> tuple[list[Tensor], Tensor]:
        condition, frame_mask = inputs.get("condition"), inputs.get("frame_mask")
        z, log_det = self.bijection(inputs["x"], condition, frame_mask, training=training)
        z = z if isinstance(z, list) else [z]
        log_prob = log_det
        for latent, mask in zip(z, self._masks(frame_mask), strict=True):
            log_prob = log_prob + self.base.log_prob(latent, mask)
        return z, log_prob

    def _masks(self, frame_mask: Tensor | None) -> list[Tensor | None]:
        masks = self.bijection.at_latents(None, frame_mask)[1]
        return masks if isinstance(masks, list) else [masks]

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Tensor:
        z, log_prob = y_pred
        frame_mask = x.get("frame_mask")
        samples = count_frames(ops.convert_to_tensor(x["x"]), frame_mask) * self.channel_size
        total = ops.sum(samples)
        bits = -ops.sum(log_prob) / (LOG_2 * total) + STEPS_OF_16_BIT
        self._means["bits_per_sample"].update_state(bits, sample_weight=total)
        for level, (latent, mask) in enumerate(zip(z, self._masks(frame_mask), strict=True)):
            weight = ops.sum(count_frames(latent, mask)) * latent.shape[-1]
            for name, values in (("z_mean", latent), ("z_square", ops.square(latent))):
                mean = ops.sum(sum_frames(values, mask)) / weight
                self._means[name].update_state(mean, sample_weight=weight)
                self._level_means[level][name].update_state(mean, sample_weight=weight)
        return bits

    def get_metrics_result(self) -> dict[str, Tensor]:
        """`bits_per_sample`, and mean and variance of the latents, all and by level."""
        results = {"bits_per_sample": self._means["bits_per_sample"].result()}
        for suffix, means in [("", self._means)] + [
            (f"_{i}", level) for i, level in enumerate(self._level_means)
        ]:
            mean, square = means["z_mean"].result(), means["z_square"].result()
            results[f"z_mean{suffix}"] = mean
            results[f"z_variance{suffix}"] = square - ops.square(mean)
        return results

    def adapt(self, inputs: dict[str, Tensor]) -> None:
        """Set data-dependent weights from one large batch, eagerly and once."""
        inputs = {name: ops.convert_to_tensor(value) for name, value in inputs.items()}
        self.bijection.adapt(inputs["x"], inputs.get("condition"), inputs.get("frame_mask"))

    def log_prob(self, inputs: dict[str, Tensor] | Tensor) -> Tensor:
        """`log p(x)`, natural logarithm: `(batch,)`.

        Args:
            inputs: `x` itself or the dictionary of `call`.

        Raises:
            ValueError: the length is not a multiple of `multiple`.
        """
        return self._traced("forward")(self._inputs(inputs))[1]

    def encode(self, inputs: dict[str, Tensor] | Tensor) -> list[Tensor]:
        """All latents of `x`, finest first; nothing is lost.

        Args:
            inputs: `x` itself, `(batch, time, channels)`, or the dictionary of `call`.

        Raises:
            ValueError: the length is not a multiple of `multiple`.
        """
        return self._traced("forward")(self._inputs(inputs))[0]

    def decode(self, z: list[Tensor], condition: Tensor | None = None) -> Tensor:
        """The data of latents from `encode` or of one's own: `(batch, time, channels)`."""
        z = [ops.convert_to_tensor(latent, dtype=self.compute_dtype) for latent in z]
        latents = z if isinstance(self.bijection.latent_shape((None, None, 1)), list) else z[0]
        return self._traced("inverse")(latents, condition)[0]

    def _traced(self, direction: str) -> Callable[..., Any]:
        if direction not in self._directions:
            function = {
                "forward": lambda inputs: self(inputs, training=False),
                "errors": self._errors,
                "inverse": lambda z, condition: self.bijection.inverse(z, condition),
            }[direction]
            self._directions[direction] = traced(self, function)
        return self._directions[direction]

    def sample(
        self,
        count: int = 1,
        length: int = 16000,
        temperature: float = 0.7,
        seed: int | None = None,
        condition: Tensor | None = None,
    ) -> Tensor:
        """Draw `count` clips: `bijection^-1(temperature * noise)`, `(count, length, channels)`.

        Args:
            count: how many.
            length: samples of each; any number, cut from the next multiple of `multiple`.
            temperature: deviation of the noise; 1 is the model itself, less is calmer.
            seed: what the noise is drawn from; the same on every backend.
            condition: what the clips are drawn given.

        Raises:
            ValueError: a number is negative, or there is nothing to draw.
        """
        if count < 1 or length < 1 or temperature < 0:
            raise ValueError(
                "Expected count and length of at least 1 and temperature of at least 0. Received: "
                f"count={count}, length={length}, temperature={temperature}."
            )
        rng = np.random.default_rng(seed)
        whole = -(-length // self.multiple) * self.multiple
        shapes = self._latent_shapes((count, whole, self.channel_size))
        noise = [temperature * self.base.sample(rng, shape) for shape in shapes]
        return self.decode(noise, condition)[:, :length]

    def for_inference(self, tile: int | None = 4096) -> "Flow":
        """This flow as it is now, for encoding, decoding, sampling and likelihoods alone.

        Weight norm is folded into the convolutions, ActNorms into the mixings after them, inverses
        are stored, and networks run in the precision of their weights over tiles of time, so that
        songs of any length fit in memory. Equal to this flow up to rounding.

        Args:
            tile: frames that a network sees at a time; all of them when `None`.
        """
        bijection = self.bijection.for_inference(tile)
        flow = Flow(bijection, self.channel_size, self.base, name=self.name)
        flow.sampling_rate = getattr(self, "sampling_rate", None)
        return flow

    def inversion_errors(self, inputs: dict[str, Tensor] | Tensor) -> list[float]:
        """The largest `|f^-1(f(h)) - h|` of each level, in its own units, finest first.

        Args:
            inputs: `x` itself or the dictionary of `call`.

        Raises:
            ValueError: the length is not a multiple of `multiple`.
        """
        errors = self._traced("errors")(self._inputs(inputs))
        return [float(ops.convert_to_numpy(error)) for error in errors]

    def _errors(self, inputs: dict[str, Tensor]) -> list[Tensor]:
        given = inputs["x"], inputs.get("condition"), inputs.get("frame_mask")
        return self.bijection.inversion_errors(*given)

    def _inputs(self, inputs: dict[str, Tensor] | Tensor) -> dict[str, Tensor]:
        inputs = inputs if isinstance(inputs, dict) else {"x": inputs}
        inputs = {name: ops.convert_to_tensor(value) for name, value in inputs.items()}
        if inputs["x"].shape[1] % self.multiple:
            raise ValueError(
                f"Expected a length that is a multiple of {self.multiple} samples for {self.name}. "
                f"Received: {inputs['x'].shape[1]}; pad it."
            )
        return inputs

    def as_distribution(self, length: int) -> Any:
        """This flow as a `tensorflow_probability` distribution over clips of `length` samples.

        Raises:
            RuntimeError: Keras does not run on TensorFlow, or tensorflow_probability is missing.
        """
        from singlow.models.distribution import distribution_of

        return distribution_of(self, length)
