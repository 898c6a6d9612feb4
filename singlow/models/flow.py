"""A normalizing flow as a Keras model: a bijection over a base distribution."""

import functools
import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from keras import ops

from singlow.bijections.base import InvertibleLayer
from singlow.models.bases import StandardNormal
from singlow.models.measured import Measured
from singlow.models.traced import traced
from singlow.ops.masks import count_frames
from singlow.ops.tensors import Tensor

LOG_2 = math.log(2.0)
STEPS_OF_16_BIT = 15.0  # log2 of the steps in one unit of amplitude: 16 bits span [-1, 1)


class Flow(Measured):
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
        condition_size: features of the condition that holds for all frames; `None` without one.

    References:
        Rezende and Mohamed, Variational Inference with Normalizing Flows, 2015,
        https://arxiv.org/abs/1505.05770
    """

    conditions_on: tuple[str, ...] = ()  # inputs beside x that `condition` is made from
    context: tuple[int, int] | None = None  # samples around its own that a latent depends on

    def __init__(
        self,
        bijection: InvertibleLayer,
        channels: int = 1,
        base: StandardNormal | None = None,
        condition_size: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.bijection = bijection
        self.base = StandardNormal() if base is None else base
        self.channels = channels
        self.condition_size = condition_size
        self.levels = len(self._latent_shapes((None, None, channels)))
        self._start_means(self.levels)
        self._directions: dict[str, Callable[..., Any]] = {}
        shapes = {"x": (None, None, channels)}
        if condition_size is not None:
            shapes["condition"] = (None, 1, condition_size)
        self.build(shapes)

    def build(self, input_shape: dict[str, Any]) -> None:
        if not self.bijection.built:
            self.bijection.build(input_shape["x"], input_shape.get("condition"))

    @functools.cached_property
    def multiple(self) -> int:
        """Lengths this flow takes are multiples of this many samples."""
        return next(length for length in itertools.count(1) if self._fits(length))

    def _fits(self, length: int) -> bool:
        shapes = self._latent_shapes((None, length, self.channels))
        return sum(math.prod(s[1:]) for s in shapes) == length * self.channels

    def _latent_shapes(self, x_shape: tuple[int | None, ...]) -> list[tuple[int | None, ...]]:
        shapes = self.bijection.latent_shape(x_shape)
        return shapes if isinstance(shapes, list) else [shapes]

    def call(
        self, inputs: dict[str, Tensor], training: bool | None = None
    ) -> tuple[list[Tensor], Tensor]:
        x, condition, frame_mask = self._parts(inputs)
        z, log_det = self.bijection(x, condition, frame_mask, training=training)
        z = z if isinstance(z, list) else [z]
        log_prob = log_det
        for latent, mask in zip(z, self._masks(frame_mask), strict=True):
            log_prob = log_prob + self.base.log_prob(latent, mask)
        return z, log_prob

    def condition(self, inputs: dict[str, Tensor]) -> Tensor | None:
        """What the bijection is given beside `x`: here the input of that name, if there is one.

        A paper's model makes it from inputs of its own, and takes it as it is where it is given.
        """
        return inputs.get("condition")

    def _parts(self, inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor | None, Tensor | None]:
        return inputs["x"], self.condition(inputs), inputs.get("frame_mask")

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
        samples = count_frames(ops.convert_to_tensor(x["x"]), frame_mask) * self.channels
        total = ops.sum(samples)
        bits = -ops.sum(log_prob) / (LOG_2 * total) + STEPS_OF_16_BIT
        self._update_means(bits, total, z, self._masks(frame_mask))
        return bits

    def adapt(self, inputs: dict[str, Tensor]) -> None:
        """Set data-dependent weights from one large batch, eagerly and once."""
        inputs = {name: ops.convert_to_tensor(value) for name, value in inputs.items()}
        self.bijection.adapt(*self._parts(inputs))

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
            precise = direction != "errors"  # those are what training meets
            self._directions[direction] = traced(self, function, precise)
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
        shapes = self._latent_shapes((count, whole, self.channels))
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
        flow = Flow(bijection, self.channels, self.base, self.condition_size, name=self.name)
        flow.sample_rate = getattr(self, "sample_rate", None)
        flow.context = self.context
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
        return self.bijection.inversion_errors(*self._parts(inputs))

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
