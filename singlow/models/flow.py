"""A normalizing flow as a Keras model: a bijection over a prior."""

import contextlib
import contextvars
import functools
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import keras
import numpy as np
from keras import ops

from singlow.backend import require_one_replica
from singlow.bijections.base import InvertibleLayer, deserialize, serialize
from singlow.bijections.conditions import Condition
from singlow.inputs import EMBEDDING, MASK, Input, input_names
from singlow.models.priors import Prior, StandardNormal
from singlow.models.traced import traced, updating
from singlow.ops.masks import count_frames, sum_frames
from singlow.ops.tensors import Shape, Tensor, full_precision, owned
from singlow.signals import Audio, Signal, signal_from_config

if TYPE_CHECKING:
    import tensorflow_probability as tfp

Inputs = Mapping[str, Any]
Terms = dict[str, tuple[Tensor, Tensor]]

# Replaces the bijection that a constructor assembles. Only `for_inference` sets it.
_REPLACEMENT: contextvars.ContextVar[InvertibleLayer | None] = contextvars.ContextVar(
    "replacement", default=None
)


@keras.saving.register_keras_serializable("singlow")
class Flow(keras.Model):
    """`log p(x | c) = log p(z | c) + log |det dz/dx|` with `z = bijection(x, c)`.

    A flow is called on a dictionary with `x`, optionally `frame_mask` `(batch, time)`, and the
    declared `inputs`. It returns the latents, finest first, and `log p(x)` of shape `(batch,)`, a
    natural logarithm. `compile` and `fit` train it. The default loss is the signal's metric, which
    for audio is the mean number of bits per sample.

    The model of a paper is a subclass whose `__init__` assembles the bijection. Data, training and
    all commands rely on three declarations:

    - `signal`: what `x` is;
    - `inputs`: what the model is given beside `x`, by name;
    - `loss_weights`: the terms of the loss, which `loss_terms` computes, with their weights, and
      `monitor`, the term by which epochs are compared.

    A subclass may also override `condition`, which maps inputs to what the bijection reads, with
    `condition_shape`; `prior`; `sample_lengths`; and `inputs_of`, which reads its inputs from a
    clip. Layers outside of the bijection are created and built in `build`, before `super().build`.

    Args:
        bijection: maps data to latents.
        signal: what `x` is; mono audio at 16 kHz when `None`.
        inputs: what the model is given beside `x`.
        base: the distribution of the latents, standard normal when `None`; see `prior`.
        loss_weights: weights of the terms of the loss; the signal's metric alone when `None`.
        monitor: name of the term by which epochs are compared; the signal's metric when `None`.

    Attributes:
        context: numbers of samples before and after its own on which a latent depends, and vice
            versa. If it is `None`, because it is not known, long audio is processed at once.
        margin: number of samples before and after an example that `inputs_of` receives with it, for
            inputs such as spectra, which depend on the samples around it.
        adapt_batches: number of training batches from which a run initialises the flow.
        derived: names of the inputs that `inputs_of_recording` computes.

    References:
        Rezende and Mohamed, Variational Inference with Normalizing Flows, 2015,
        https://arxiv.org/abs/1505.05770
    """

    context: tuple[int, int] | None = None
    margin: int = 0
    adapt_batches: int = 4
    derived: tuple[str, ...] = ()

    def __init__(
        self,
        bijection: InvertibleLayer,
        signal: Signal | None = None,
        inputs: Mapping[str, Input] | None = None,
        base: Prior | None = None,
        loss_weights: Mapping[str, float] | None = None,
        monitor: str | None = None,
        **kwargs: Any,
    ) -> None:
        require_one_replica()
        super().__init__(**{**kwargs, "dtype": kwargs.get("dtype") or full_precision()})
        self.bijection = _REPLACEMENT.get() or bijection
        self.signal = Audio() if signal is None else signal
        self.inputs = dict(inputs or {})
        self.base = StandardNormal() if base is None else base
        self.loss_weights = dict(loss_weights or {self.signal.metric: 1.0})
        self.monitor = monitor or self.signal.metric
        if self.monitor not in self.loss_weights:
            raise ValueError(
                f"Expected monitor to be one of the losses {', '.join(self.loss_weights)}. "
                f"Received: monitor={self.monitor!r}."
            )
        self.num_levels = len(self.latent_shapes(None, None))
        self._directions: dict[str, Callable[..., Any]] = {}
        self._create_means()
        if not self.signal.maskable and not self._fits(1):
            raise ValueError(
                f"Expected a size that the squeezes of {self.name} divide. "
                f"Received: {self.signal.shape(None, None)[1:]}."
            )
        self.build({"x": self.signal.shape(None, None)})

    def build(self, input_shape: dict[str, Any]) -> None:
        """Create the weights; a subclass with layers outside of the bijection builds them first."""
        embedded = [name for name, entry in self.inputs.items() if entry.embedding]
        for name in embedded:
            entry = self.inputs[name]
            table = self.add_weight(
                name="embeddings" if len(embedded) == 1 else f"{name}_embeddings",
                shape=(entry.size, entry.embedding),
                initializer=keras.initializers.RandomNormal(stddev=1.0),
            )
            self._tables[name] = table
        if not self.bijection.built:
            self.bijection.build(tuple(input_shape["x"]), self.condition_shape())

    @functools.cached_property
    def _tables(self) -> dict[str, keras.Variable]:
        return {}

    @functools.cached_property
    def multiple(self) -> int:
        """Lengths of `x` along time must be multiples of this number; 1 for images.

        It is the least number that all squeezes and the hops of all frames inputs divide.
        """
        if not self.signal.maskable:
            return 1
        least = next(length for length in itertools.count(1) if self._fits(length))
        return math.lcm(least, *self._hops())

    def _hops(self) -> list[int]:
        return [entry.hop for entry in self.inputs.values() if entry.kind == "frames"]

    def _fits(self, length: int) -> bool:
        shapes = self.latent_shapes(1, length)
        return sum(math.prod(s[1:]) for s in shapes) == math.prod(self.signal.shape(1, length)[1:])

    def latent_shapes(self, batch: int | None, length: int | None) -> list[Shape]:
        """The shapes of all latents, finest first, for a batch of `x` of this length."""
        shapes = self.bijection.latent_shape(self.signal.shape(batch, length))
        return shapes if isinstance(shapes, list) else [shapes]

    # What a subclass may override.

    def condition(self, inputs: Inputs, training: bool | None = None) -> Condition:
        """Compute the condition of the bijection; see `singlow.bijections.conditions`.

        By default these are the float32 inputs and the embeddings of ids: a single one as it is,
        several as a mapping by name, and `None` without any. Each entry of a frames input is
        repeated `hop` times, so that there is one for every position of `x`.

        Args:
            inputs: the declared inputs by name; `x` and `frame_mask` may be absent.
            training: whether dropout is active.
        """
        read = {}
        for name, entry in self.inputs.items():
            if entry.embedding:
                read[name] = self.embed(name, inputs)
            elif entry.dtype == "float32":
                value = ops.cast(inputs[name], self.compute_dtype)
                if entry.kind == "sequence":
                    mask = ops.cast(inputs[name + MASK], self.compute_dtype)
                    value = {"values": value, "mask": mask}
                elif entry.kind == "frames" and entry.hop > 1:
                    for axis in range(1, len(value.shape) - 1):
                        value = ops.repeat(value, entry.hop, axis=axis)
                read[name] = value
        return next(iter(read.values())) if len(read) == 1 else read or None

    def condition_shape(self) -> Any:
        """The shape of what `condition` returns, with `None` for the batch and for lengths."""
        shapes: dict[str, Any] = {}
        for name, entry in self.inputs.items():
            if entry.embedding:
                shapes[name] = (None, entry.embedding)
            elif entry.kind == "sequence" and entry.dtype == "float32":
                shapes[name] = {"values": (None, None, entry.size), "mask": (None, None)}
            elif entry.kind == "frames" and entry.dtype == "float32":
                shapes[name] = (*self.signal.shape(None, None)[:-1], entry.size)
            elif entry.dtype == "float32":
                shapes[name] = (None, entry.size)
        return next(iter(shapes.values())) if len(shapes) == 1 else shapes or None

    def prior(
        self, inputs: Inputs, z: Sequence[Tensor] | None = None, training: bool | None = None
    ) -> Prior:
        """The distribution of the latents given the inputs: `base` unless it is overridden.

        Args:
            inputs: the declared inputs by name, and `frame_mask`; in `sample`, its length is that
                of the `x` that is drawn.
            z: the latents that are scored, for a prior that is aligned with them; `None` when
                latents are drawn.
            training: whether dropout is active.
        """
        return self.base

    def loss_terms(self, inputs: Inputs, outputs: tuple[Any, ...]) -> Terms:
        """The terms of the loss by name, each as totals and counts of the items, `(batch,)`.

        A term is `sum(totals) / sum(counts)`, over a batch in training and over all data in
        evaluation. It differs from `keras.Model.losses`, the tensors given to `add_loss`.

        Args:
            inputs: the batch.
            outputs: what `call` returned.
        """
        count = self.signal.count(ops.convert_to_tensor(inputs["x"]), inputs.get("frame_mask"))
        return {self.signal.metric: (self.signal.cost(outputs[1], count), count)}

    def sample_lengths(self, inputs: Inputs, count: int, length: int | None) -> np.ndarray:
        """The number of positions along time of each sample, `(count,)` int64.

        By default the height of images, else `length`, else the length of the frames inputs, else
        one second of audio. A model that decides lengths itself overrides this.

        Args:
            inputs: the declared inputs by name.
            count: number of samples.
            length: what the caller of `sample` asks for; `None` lets the model decide.
        """
        frames = [
            inputs[name].shape[1] * entry.hop
            for name, entry in self.inputs.items()
            if entry.kind == "frames" and name in inputs
        ]
        default = min(frames) if frames else getattr(self.signal, "sample_rate", self.multiple)
        fixed = self.signal.shape(count, None)[1]
        return np.full(count, fixed or length or default, np.int64)

    def inputs_of(self, clip: Any, x: np.ndarray) -> dict[str, np.ndarray]:
        """Read the declared inputs of one training example from its clip.

        By default an int32 item is the clip's singer, and an int32 sequence is the clip's text as
        bytes of UTF-8. Any other input must be read by an override.

        Args:
            clip: has `id`, `singer` (an int), `style` and `text`.
            x: the example, `(time, channels)`, with `margin` more samples before and after it.

        Raises:
            NotImplementedError: an input is of another kind.
        """
        values = {}
        for name, entry in self.inputs.items():
            if (entry.kind, entry.dtype) == ("item", "int32"):
                values[name] = np.int32(clip.singer)
            elif (entry.kind, entry.dtype) == ("sequence", "int32"):
                values[name] = np.frombuffer(clip.text.encode("utf-8"), np.uint8).astype(np.int32)
            else:
                raise NotImplementedError(
                    f"{type(self).__name__} does not implement `inputs_of` for the input {name!r}."
                )
        return values

    def inputs_of_recording(self, x: np.ndarray) -> dict[str, np.ndarray]:
        """The inputs `derived`, which follow from a recording alone, as a batch of 1; here none.

        Args:
            x: a recording of any length at the rate of the signal, `(time, channels)`.

        Returns:
            The inputs by name; frames cover the length rounded up to `multiple`.

        Raises:
            ValueError: the recording is too short.
        """
        return {}

    # What Keras calls.

    def call(self, inputs: Inputs | Tensor, training: bool | None = None) -> tuple[Any, ...]:
        inputs = _as_dictionary(inputs)
        x, frame_mask = ops.convert_to_tensor(inputs["x"]), inputs.get("frame_mask")
        self.signal.check(x, frame_mask)
        condition = self.condition(inputs, training)
        z, log_det = self.bijection(x, condition, frame_mask, training=training)
        z = z if isinstance(z, list) else [z]
        prior = self.prior(inputs, z, training)
        return z, log_det + prior.log_prob(z, self._latent_masks(frame_mask))

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Tensor:
        inputs = _as_dictionary(x)
        loss = 0.0
        terms = self.loss_terms(inputs, y_pred)
        if set(terms) != set(self.loss_weights):
            raise ValueError(
                f"Expected loss_terms to return {', '.join(self.loss_weights)}, the names of "
                f"loss_weights. Received: {', '.join(terms)}."
            )
        for name, (total, count) in terms.items():
            if sample_weight is not None:
                weight = ops.cast(ops.reshape(sample_weight, (-1,)), total.dtype)
                total, count = total * weight, count * weight
            divisor = ops.sum(count)
            mean = ops.divide_no_nan(ops.sum(total), divisor)
            self._means[name].update_state(mean, sample_weight=divisor)
            loss = loss + self.loss_weights[name] * mean
        added = sum(self.losses[1:], self.losses[0]) if self.losses else 0.0
        self._means["added_loss"].update_state(added)
        self._update_latent_means(y_pred[0], self._latent_masks(inputs.get("frame_mask")))
        return loss + added

    def fit(self, x: Any = None, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Train as `keras.Model.fit` does; `sample_weight` weights the items of `x`."""
        return super().fit(x, _targets(y, kwargs.get("sample_weight")), *args, **kwargs)

    def evaluate(self, x: Any = None, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Evaluate as `keras.Model.evaluate` does; `sample_weight` weights the items of `x`."""
        return super().evaluate(x, _targets(y, kwargs.get("sample_weight")), *args, **kwargs)

    def get_metrics_result(self) -> dict[str, Tensor]:
        """The loss, its terms, and the mean and variance of the latents, in total and by level."""
        terms = {name: self._means[name].result() for name in self.loss_weights}
        loss = self._means["added_loss"].result()
        for name, weight in self.loss_weights.items():
            loss = loss + weight * terms[name]
        results = {"loss": loss, **terms}
        for suffix, means in [("", self._means)] + [
            (f"_{i}", level) for i, level in enumerate(self._level_means)
        ]:
            mean, square = means["z_mean"].result(), means["z_square"].result()
            results[f"z_mean{suffix}"] = mean
            results[f"z_variance{suffix}"] = square - ops.square(mean)
        return results

    @property
    def metrics_names(self) -> list[str]:
        """The names of the values that `evaluate` returns, in their order."""
        results = self.get_metrics_result()
        known = [metric.name for metric in self.metrics if metric.name in results]
        return [*known, *sorted(set(results) - set(known))]

    def _create_means(self) -> None:
        names = [*self.loss_weights, "added_loss", "z_mean", "z_square"]
        self._means = {name: keras.metrics.Mean(name=name) for name in names}
        self._level_means = [
            {name: keras.metrics.Mean(name=f"{name}_{i}") for name in ("z_mean", "z_square")}
            for i in range(self.num_levels)
        ]

    def _update_latent_means(self, z: Sequence[Tensor], masks: Sequence[Tensor | None]) -> None:
        for level, (latent, mask) in enumerate(zip(z, masks, strict=True)):
            weight = ops.sum(count_frames(latent, mask)) * latent.shape[-1]
            for name, values in (("z_mean", latent), ("z_square", ops.square(latent))):
                mean = ops.sum(sum_frames(values, mask)) / weight
                self._means[name].update_state(mean, sample_weight=weight)
                self._level_means[level][name].update_state(mean, sample_weight=weight)

    def _latent_masks(self, frame_mask: Tensor | None) -> list[Tensor | None]:
        masks = self.bijection.at_latents(None, frame_mask)[1]
        return masks if isinstance(masks, list) else [masks]

    def get_config(self) -> dict[str, Any]:
        """The parts of this flow, JSON-able; subclasses return their constructor's arguments."""
        return {
            "bijection": serialize(self.bijection),
            "signal": self.signal.get_config(),
            "inputs": {name: vars(entry) for name, entry in self.inputs.items()},
            "base": keras.saving.serialize_keras_object(self.base),
            "loss_weights": self.loss_weights,
            "monitor": self.monitor,
            "name": self.name,
            "dtype": self.dtype_policy.name,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Self:
        parts = dict(config)
        parts["bijection"] = deserialize(parts["bijection"])
        parts["signal"] = signal_from_config(parts["signal"])
        parts["inputs"] = {name: Input(**entry) for name, entry in parts["inputs"].items()}
        parts["base"] = keras.saving.deserialize_keras_object(parts["base"])
        return cls(**parts)

    # What users call.

    def embed(self, name: str, inputs: Inputs) -> Tensor:
        """The embedding of an id, `(batch, embedding)`: looked up, or as given in its place.

        Args:
            name: of an input that declares an embedding.
            inputs: with `name`, or with `NAME_embedding`.
        """
        given = inputs.get(name + EMBEDDING)
        if given is not None:
            return ops.cast(given, self.compute_dtype)
        # A product, because the gradient of a look-up is sparse.
        table = self._tables[name]
        rows = ops.one_hot(inputs[name], table.shape[0], dtype=self.compute_dtype)
        return ops.matmul(rows, table)

    def embedding_table(self, name: str) -> np.ndarray:
        """All embeddings of an input's ids: `(size, embedding)`."""
        return ops.convert_to_numpy(self._tables[name])

    def adapt(self, inputs: Inputs | Tensor) -> None:
        """Initialise data-dependent weights from one large batch, once.

        Args:
            inputs: `x` itself, or the dictionary of `call`.

        Raises:
            ValueError: `x` does not vary, or its shape, length or inputs do not fit.
        """
        inputs = self.checked(inputs)
        x = ops.convert_to_numpy(inputs["x"])
        if not np.ptp(x) > 0:
            raise ValueError(
                "Expected data that varies, to initialise from. "
                f"Received: x with the single value {x.flat[0]}."
            )
        updating(self, self._adapt)(inputs)

    def _adapt(self, inputs: Inputs) -> None:
        self.bijection.adapt(inputs["x"], self.condition(inputs), inputs.get("frame_mask"))

    def log_prob(self, inputs: Inputs | Tensor) -> Tensor:
        """`log p(x)`, natural logarithm: `(batch,)`.

        Args:
            inputs: `x` itself, or the dictionary of `call`.

        Raises:
            ValueError: the length is not a multiple of `multiple`, or an input does not fit.
        """
        return self._traced("forward")(self.checked(inputs))[1]

    def encode(self, inputs: Inputs | Tensor) -> list[Tensor]:
        """All latents of `x`, finest first; `decode` restores `x` from them.

        Args:
            inputs: `x` itself, or the dictionary of `call`.

        Raises:
            ValueError: the length is not a multiple of `multiple`, or an input does not fit.
        """
        return self._traced("forward")(self.checked(inputs))[0]

    def decode(self, z: Sequence[Tensor], inputs: Inputs | None = None) -> Tensor:
        """The data `x` of latents.

        Args:
            z: latents as from `encode`, finest first.
            inputs: the dictionary of `call`; `x` is ignored.

        Raises:
            ValueError: the shapes of the latents are not those of one batch, or an input is missing
                or does not fit.
        """
        given = self.checked({**(inputs or {}), "x": None})
        z = [ops.convert_to_tensor(latent, dtype=self.compute_dtype) for latent in z]
        self._check_latents(z, given)
        return self._traced("inverse")(z, given)

    def sample(
        self,
        inputs: Inputs | None = None,
        count: int = 1,
        length: int | None = None,
        temperature: float = 0.7,
        seed: int | None = None,
    ) -> tuple[Tensor, np.ndarray]:
        """Draw `x`: decode latents that are drawn from the prior.

        Args:
            inputs: what the samples are conditioned on, a dictionary; its batch is their number.
                `x` and `frame_mask` are ignored. Frames inputs are cut to the length of the
                samples, or continued with their last frame.
            count: number of samples; ignored when `inputs` are given.
            length: positions along time; any number. `None` lets the model decide. Images have a
                fixed size.
            temperature: scale of the deviations from the prior's mean; 1 is the model itself.
            seed: of the noise, which is the same on every backend.

        Returns:
            `x`, as long as the longest sample, and the length of each sample `(batch,)`. A sample
            does not depend on the lengths of the others.

        Raises:
            ValueError: a number is out of range, or an input is missing or does not fit.
        """
        given = self.checked({**(inputs or {}), "x": None, "frame_mask": None})
        count = len(next(iter(given.values()))) if given else count
        if count < 1 or (length is not None and length < 1) or not temperature >= 0:
            raise ValueError(
                "Expected count and length of at least 1 and temperature of at least 0. Received: "
                f"count={count}, length={length}, temperature={temperature}."
            )
        rng = np.random.default_rng(seed)
        lengths = self.sample_lengths(given, count, length)
        if lengths.max() < 1:
            raise ValueError("Expected samples of at least one position. Received: lengths of 0.")
        whole = -(-lengths // self.multiple) * self.multiple
        shapes = self.latent_shapes(count, int(whole.max()))
        if self.signal.maskable:
            valid = np.arange(whole.max()) < whole[:, None]
            given["frame_mask"] = ops.convert_to_tensor(valid.astype(self.compute_dtype))
            for name, entry in self.inputs.items():
                if entry.kind == "frames":  # the last frame is repeated up to the multiple
                    last = given[name].shape[1] - 1
                    index = np.minimum(np.arange(whole.max() // entry.hop), last)
                    given[name] = ops.take(given[name], index, axis=1)
        z = self.prior(given).sample(rng, shapes, temperature)
        if (whole == whole.max()).all():
            given.pop("frame_mask", None)
        return self.decode(z, given)[:, : int(lengths.max())], lengths

    def for_inference(self, tile: int | None = 4096) -> Self:
        """A copy of this flow with its current weights that is cheaper to run.

        Weight norm is folded into the convolutions, ActNorms into the 1x1 convolutions, inverse
        matrices are stored, and networks run in full precision over tiles of time, so that audio of
        any length fits in memory. The copy equals this flow up to rounding and is of the same
        class, with the same inputs and everything that computes conditions.

        Args:
            tile: number of frames that a network sees at a time; all when `None`.
        """
        bijection = self.bijection.for_inference(tile)
        if type(self).get_config is Flow.get_config:
            # The parts themselves, not their configs: their classes need not be registered.
            parts = {"signal": self.signal, "inputs": self.inputs, "base": self.base}
            parts |= {"loss_weights": self.loss_weights, "monitor": self.monitor}
            parts |= {"name": self.name, "dtype": self.dtype_policy.name}
            copy = type(self)(bijection, **parts)
        else:
            with _replacing(bijection):
                copy = type(self).from_config(self.get_config())
        for mine, its in zip(self._outer_weights(), copy._outer_weights(), strict=True):
            its.assign(owned(mine.value))
        return copy

    def _outer_weights(self) -> list[keras.Variable]:
        """Weights outside of the bijection, as embeddings and layers that compute conditions."""
        inner = {id(weight) for weight in self.bijection.weights}
        return [weight for weight in self.weights if id(weight) not in inner]

    def inversion_errors(self, inputs: Inputs | Tensor) -> list[float]:
        """The largest `|f^-1(f(h)) - h|` of each level, in the units of its input, finest first.

        Args:
            inputs: `x` itself, or the dictionary of `call`.
        """
        errors = self._traced("errors")(self.checked(inputs))
        return [float(ops.convert_to_numpy(error)) for error in errors]

    def dummy_inputs(self, batch: int, length: int) -> dict[str, np.ndarray]:
        """A batch of noise with the declared inputs, for dry runs and checks.

        Args:
            batch: items.
            length: positions of `x` along time.
        """
        noise = np.random.default_rng(0).standard_normal(self.signal.shape(batch, length))
        values = {"x": (0.1 * noise).astype(np.float32)}
        for name, entry in self.inputs.items():
            values |= entry.dummy(name, batch, noise.shape[1:-1])
        return values

    def as_distribution(self, length: int) -> "tfp.distributions.Distribution":
        """This flow as a `tensorflow_probability` distribution over clips of `length` positions.

        Raises:
            RuntimeError: Keras does not run on TensorFlow, or tensorflow_probability is missing.
            ValueError: `length` is not a multiple of `multiple`, or the flow has inputs.
        """
        from singlow.models.distribution import distribution_of

        return distribution_of(self, length)

    def _traced(self, direction: str) -> Callable[..., Any]:
        if direction not in self._directions:
            function = {
                "forward": lambda inputs: self(inputs, training=False),
                "errors": self._level_errors,
                "inverse": self._decoded,
            }[direction]
            precise = direction != "errors"  # these are measured in the precision of training
            self._directions[direction] = traced(self, function, precise)
        return self._directions[direction]

    def _level_errors(self, inputs: Inputs) -> list[Tensor]:
        condition = self.condition(inputs)
        return self.bijection.inversion_errors(inputs["x"], condition, inputs.get("frame_mask"))

    def _decoded(self, z: list[Tensor], inputs: Inputs) -> Tensor:
        several = isinstance(self.bijection.latent_shape(self.signal.shape(None, None)), list)
        condition, frame_mask = self.condition(inputs), inputs.get("frame_mask")
        return self.bijection.inverse(z if several else z[0], condition, frame_mask)[0]

    def checked(self, inputs: Inputs | Tensor) -> dict[str, Tensor]:
        """Check the names, shapes and ids of inputs, and convert them to tensors.

        Args:
            inputs: `x` itself, or the dictionary of `call`; `x` may be `None`.

        Raises:
            ValueError: an input is missing, unknown, or does not fit.
        """
        given = {k: v for k, v in _as_dictionary(inputs).items() if v is not None}
        unknown = sorted(set(given) - {"x", "frame_mask"} - input_names(self.inputs))
        needed = [*self.inputs]
        needed += [n + MASK for n, entry in self.inputs.items() if entry.kind == "sequence"]
        missing = [name for name in needed if name not in given and name + EMBEDDING not in given]
        if unknown or missing:
            raise ValueError(
                f"Expected inputs {', '.join(['x', *needed])} for {self.name}. Received: "
                + "; ".join(
                    [f"unknown {', '.join(unknown)}"] * bool(unknown)
                    + [f"no {', '.join(missing)}"] * bool(missing)
                )
                + "."
            )
        for name, entry in self.inputs.items():
            if name in given and entry.dtype == "int32":
                ids = np.asarray(ops.convert_to_numpy(given[name]))
                if ids.dtype.kind not in "iu" or (
                    ids.size and not 0 <= ids.min() <= ids.max() < entry.size
                ):
                    raise ValueError(
                        f"Expected {name} as whole numbers from 0 to {entry.size - 1}. Received: "
                        f"{ids.ravel()[:8].tolist()}."
                    )
        tensors = {name: ops.convert_to_tensor(value) for name, value in given.items()}
        tensors = {
            name: value if name == "x" else self._in_compute_dtype(value)
            for name, value in tensors.items()
        }
        if "x" in tensors:
            self.signal.check(tensors["x"], tensors.get("frame_mask"))
            self._check_length(tensors["x"].shape[1])
        self._check_inputs(tensors)
        if "frame_mask" in tensors:
            self._check_mask(given["frame_mask"])
        return tensors

    def _check_inputs(self, tensors: Mapping[str, Tensor]) -> None:
        """Raise an error for inputs whose shapes are not those of one batch."""
        if not tensors:
            return
        first = tensors.get("x", next(iter(tensors.values())))
        batch = first.shape[0] if len(first.shape) else None
        x = tensors.get("x", tensors.get("frame_mask"))
        if x is None or not self.signal.maskable:
            positions: Any = self.signal.shape(None, None)[1:-1]
        else:
            positions = x.shape[1]
        expected = {}
        for name, entry in self.inputs.items():
            value = tensors.get(name)
            length = value.shape[1] if value is not None and len(value.shape) > 1 else None
            expected[name] = entry.shape(batch, positions, length)
            expected[name + MASK] = (batch, length)
            expected[name + EMBEDDING] = (batch, entry.embedding)
        for name, shape in expected.items():
            if name in tensors and not _fits_shape(tensors[name].shape, shape):
                raise ValueError(
                    f"Expected {name} of shape {_shown(shape)}. "
                    f"Received: {tuple(tensors[name].shape)}."
                )

    def _check_latents(self, z: Sequence[Tensor], inputs: Mapping[str, Tensor]) -> None:
        """Raise an error for latents that are not those of one batch with these inputs."""
        shapes = [tuple(latent.shape) for latent in z]
        known = self.latent_shapes(None, None)
        frames = self.latent_shapes(None, self.multiple)
        batches = {shape[0] for shape in shapes} | {value.shape[0] for value in inputs.values()}
        fits = len(shapes) == len(known) and len(batches - {None}) <= 1
        fits = fits and all(map(_fits_shape, shapes, known))
        if fits and self.signal.maskable:
            sizes = [(shape[1], some[1]) for shape, some in zip(shapes, frames, strict=True)]
            if "frame_mask" in inputs:
                sizes.append((inputs["frame_mask"].shape[1], self.multiple))
            for name, entry in self.inputs.items():
                if entry.kind == "frames":
                    sizes.append((inputs[name].shape[1], self.multiple // entry.hop))
            fits = len({size / unit for size, unit in sizes if size is not None}) <= 1
        if not fits:
            wanted = ", ".join(map(_shown, known))
            received = ", ".join(map(str, shapes))
            others = "".join(f", {name} {tuple(value.shape)}" for name, value in inputs.items())
            raise ValueError(
                f"Expected latents of shapes {wanted}, of one batch and length with the inputs. "
                f"Received: {received or 'none'}{others}."
            )

    def _in_compute_dtype(self, value: Tensor) -> Tensor:
        floating = keras.backend.is_float_dtype(keras.backend.standardize_dtype(value.dtype))
        return ops.cast(value, self.compute_dtype if floating else "int32")

    def _check_length(self, length: int | None) -> None:
        if length is None:
            return
        if length < 1 or length % self.multiple:
            raise ValueError(
                f"Expected a length that is a multiple of {self.multiple} for {self.name}. "
                f"Received: {length}; pad x and give a frame_mask."
            )

    def _check_mask(self, frame_mask: Any) -> None:
        """Raise an error for a mask other than ones, a multiple of `multiple`, and then zeros."""
        mask = np.asarray(ops.convert_to_numpy(frame_mask))
        valid = mask.sum(axis=1).astype(np.int64)
        expected = np.arange(mask.shape[1]) < valid[:, None]
        if not np.array_equal(mask, expected.astype(mask.dtype)) or (valid % self.multiple).any():
            raise ValueError(
                "Expected a frame_mask of ones, then zeros, whose numbers of ones are multiples of "
                f"{self.multiple}. Received: {valid[:8].tolist()} ones."
            )


@contextlib.contextmanager
def _replacing(bijection: InvertibleLayer) -> Iterator[None]:
    token = _REPLACEMENT.set(bijection)
    try:
        yield
    finally:
        _REPLACEMENT.reset(token)


def _targets(y: Any, sample_weight: Any) -> Any:
    """Placeholder targets where weights are given alone, which Keras would ignore."""
    return np.zeros(len(sample_weight)) if y is None and sample_weight is not None else y


def _fits_shape(shape: Sequence[int], expected: Sequence[int | None]) -> bool:
    """Whether a shape has the expected sizes; `None` is any size, or one that is not known."""
    return len(shape) == len(expected) and all(
        None in (size, wanted) or size == wanted
        for size, wanted in zip(shape, expected, strict=True)
    )


def _shown(shape: Sequence[int | None]) -> str:
    return str(tuple(shape)).replace("None", "any")


def _as_dictionary(inputs: Any) -> dict[str, Any]:
    return dict(inputs) if isinstance(inputs, Mapping) else {"x": inputs}
