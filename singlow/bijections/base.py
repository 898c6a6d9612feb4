"""The invertible layer: one interface for every bijection and every composite."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from singlow.bijections.conditions import Condition, check_condition, map_tensors
from singlow.ops.control import compiled, vjp
from singlow.ops.masks import masked
from singlow.ops.stateless import Bindings, read, run_bound, values_of
from singlow.ops.tensors import Shape, Tensor, full_precision, owned

Fold = Callable[[Callable[[keras.Variable], Tensor]], Bindings]


class InvertibleLayer(keras.layers.Layer):
    """A bijection `z = f(x | condition)` with its log-determinant.

    Both directions return `(output, log_det)`. `log_det` has shape `(batch,)`, is at least float32,
    and belongs to the direction that ran: `log |det dz/dx|` forward, `log |det dx/dz|` in reverse,
    so that it sums to zero over a round trip.

    A subclass implements `_forward(x, condition, frame_mask, training)` and `_inverse` with the
    same arguments, and `build(x_shape, condition_shape=None)` if it has weights. A layer that
    changes the shape also implements `latent_shape`, `latent_condition_shape` and `at_latents`. A
    layer with data-dependent initial weights also implements `adapt`. Tests of all properties run
    for every layer in `tests/conformance/cases.py`.

    A layer computes in full precision whatever the global dtype policy is; only an explicit `dtype`
    changes that.

    Call arguments:
        x: `(batch, time, channels)` or `(batch, height, width, channels)`; latents when `reverse`.
        condition: see `singlow.bijections.conditions`.
        frame_mask: `(batch, time)`, 1 for valid frames and 0 for padding. Padded frames change
            neither the log-determinant nor the valid frames. Images take no mask.
        reverse: whether to map latents to data.
        training: whether dropout is active.

    Raises:
        ValueError: `x` is neither a sequence of frames nor an image; a mask is given for an image,
            or its length differs from that of `x`; or a condition is not aligned with `x`.

    References:
        Rezende and Mohamed, Variational Inference with Normalizing Flows, 2015,
        https://arxiv.org/abs/1505.05770
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "dtype": kwargs.get("dtype") or full_precision()})

    def build(self, x_shape: Shape, condition_shape: Any = None) -> None:
        """Create the weights for `x` and a condition of these shapes; the base class has none."""

    def call(
        self,
        x: Tensor,
        condition: Condition = None,
        frame_mask: Tensor | None = None,
        reverse: bool = False,
        training: bool | None = None,
    ) -> tuple[Tensor, Tensor]:
        self._check_call(x, condition, frame_mask, reverse)
        run = self._inverse if reverse else self._forward
        return run(x, condition, frame_mask, training)

    def inverse(
        self, z: Tensor, condition: Condition = None, frame_mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Map latents to data: `(x, log |det dx/dz|)`.

        Raises:
            ValueError: the layer has not been built and has no weights.
        """
        if not self.built:
            raise ValueError(
                f"Expected a built layer to invert: call {self.name} on data or build it first. "
                "Received: an unbuilt layer."
            )
        return self(z, condition=condition, frame_mask=frame_mask, reverse=True)

    def adapt(
        self, x: Tensor, condition: Condition = None, frame_mask: Tensor | None = None
    ) -> Tensor:
        """Set data-dependent weights from `x`, once; return the layer's output.

        It runs eagerly on TensorFlow, and traced on JAX: choose values with `ops.where`.
        """
        return self(x, condition=condition, frame_mask=frame_mask)[0]

    def inversion_errors(
        self, x: Tensor, condition: Condition = None, frame_mask: Tensor | None = None
    ) -> list[Tensor]:
        """The largest `|f^-1(f(x)) - x|` in valid frames, for each level of the layer."""
        z = self(x, condition, frame_mask)[0]
        return [inversion_error(self, x, z, condition, frame_mask)]

    def pull_back(
        self,
        y: Tensor,
        dy: Tensor,
        dlog_det: Tensor,
        condition: Condition,
        frame_mask: Tensor | None,
        bindings: Bindings,
        training: bool | None = None,
    ) -> tuple[Tensor, Tensor, Condition, list[Tensor]]:
        """The backward pass from the output alone: `x = f^-1(y)`, then the gradients at `x`.

        Args:
            y: the output.
            dy: gradient with respect to `y`.
            dlog_det: gradient with respect to the log-determinant, `(batch,)`.
            condition: as for `call`.
            frame_mask: as for `call`.
            bindings: pairs of a variable and the tensor that replaces its value.
            training: as for `call`.

        Returns:
            `x`, and the gradients with respect to `x`, the condition (of the same structure) and
            each of `trainable_variables`.
        """
        x, _ = run_bound(self, bindings, y, condition, frame_mask, reverse=True, training=training)

        def function(x: Tensor, condition: Condition, weights: list[Tensor]) -> tuple:
            pairs = [*bindings, *zip(self.trainable_variables, weights, strict=True)]
            return run_bound(self, pairs, x, condition, frame_mask, training=training)

        _, pull = vjp(function, x, condition, values_of(self, bindings))
        return (x, *pull((dy, dlog_det)))

    def folded(
        self, tile: int | None = None, precision: str | None = None
    ) -> tuple["InvertibleLayer", Fold]:
        """An equal layer that is cheaper to run, and the function that computes its weights.

        Whatever depends on weights alone (norms, matrix products, inverses) becomes a weight of the
        folded layer. A layer without such parts is copied, and one without weights is returned
        unchanged.

        Args:
            tile: number of frames that a coupling's network sees at a time; all when `None`.
            precision: dtype policy of the networks; unchanged when `None`.

        Returns:
            The folded layer, built, and a differentiable function `fold`. `fold(value)` returns
            pairs of a variable of the folded layer and its tensor. `value` maps a variable of this
            layer to a tensor of its shape, or of that shape after leading axes, for a stack of
            layers.
        """
        return copied(self) if self.weights else (self, lambda value: [])

    def for_inference(self, tile: int | None = None) -> "InvertibleLayer":
        """Return the folded layer with the current weights and networks in full precision.

        Args:
            tile: number of frames that a coupling's network sees at a time; all when `None`.
        """
        layer, fold = self.folded(tile, self.variable_dtype)
        made: list[keras.Variable] = []

        def run(values: list[Tensor]) -> list[Tensor]:
            given = {id(v): value for v, value in zip(self.weights, values, strict=True)}
            pairs = fold(lambda variable: _in_float64(given[id(variable)]))
            made[:] = [variable for variable, _ in pairs]
            # Copies, because JAX returns an input that does not change as it is.
            return [owned(ops.cast(tensor, variable.dtype)) for variable, tensor in pairs]

        tensors = compiled(run)([read(v) for v in self.weights])
        for variable, tensor in zip(made, tensors, strict=True):
            variable.assign(tensor)
        return layer

    def latent_shape(self, x_shape: Shape) -> Shape | list[Shape]:
        """The shape of the latents for data of `x_shape`; a list for multi-scale latents."""
        return tuple(x_shape)

    def latent_condition_shape(self, condition_shape: Any) -> Any:
        """The shape of the condition at the resolution of the latents."""
        return condition_shape

    def at_latents(
        self, condition: Condition = None, frame_mask: Tensor | None = None
    ) -> tuple[Condition, Any]:
        """The condition and frame mask at the resolution of the latents."""
        return condition, frame_mask

    def _build_for(self, x: Tensor, condition: Condition) -> None:
        if not self.built:
            shapes = map_tensors(lambda entry: tuple(entry.shape), condition)
            self.build(tuple(x.shape), shapes)

    def _check_call(
        self, x: Tensor, condition: Condition, frame_mask: Tensor | None, reverse: bool
    ) -> None:
        """Check shapes; latents of another resolution are checked by the layers inside."""
        if isinstance(x, list | tuple) or len(x.shape) not in (3, 4):
            if isinstance(x, list | tuple) and reverse:
                return
            raise ValueError(
                f"Expected x of {self.name} with shape (batch, time, channels) or (batch, height, "
                f"width, channels). Received: {getattr(x, 'shape', type(x).__name__)}."
            )
        if reverse and self.latent_shape(tuple(x.shape)) != tuple(x.shape):
            return
        check_condition(self.name, tuple(x.shape), condition)
        if frame_mask is None:
            return
        pairs = zip(frame_mask.shape, x.shape[:2], strict=False)
        wrong = any(None not in pair and pair[0] != pair[1] for pair in pairs)
        if len(x.shape) != 3 or len(frame_mask.shape) != 2 or wrong:
            raise ValueError(
                f"Expected frame_mask of {self.name} with shape (batch, time) for x (batch, time, "
                f"channels), and none for images. Received: frame_mask {tuple(frame_mask.shape)} "
                f"with x {tuple(x.shape)}."
            )

    def _add_given(
        self, name: str, value: np.ndarray, trainable: bool, dtype: str | None = None
    ) -> keras.Variable:
        """Add a weight with the initial value `value`."""
        return self.add_weight(
            name=name,
            shape=value.shape,
            dtype=dtype,
            trainable=trainable,
            initializer=lambda shape, dtype=None: ops.convert_to_tensor(value, dtype=dtype),
        )

    def _forward(
        self, x: Tensor, condition: Condition, frame_mask: Tensor | None, training: bool | None
    ) -> tuple[Tensor, Tensor]:
        raise NotImplementedError(f"{type(self).__name__} does not implement `_forward`.")

    def _inverse(
        self, z: Tensor, condition: Condition, frame_mask: Tensor | None, training: bool | None
    ) -> tuple[Tensor, Tensor]:
        raise NotImplementedError(f"{type(self).__name__} does not implement `_inverse`.")


def inversion_error(
    layer: InvertibleLayer,
    x: Tensor,
    z: Tensor,
    condition: Condition = None,
    frame_mask: Tensor | None = None,
) -> Tensor:
    """The largest `|f^-1(z) - x|` in valid frames, for `z = f(x)`."""
    back = layer.inverse(z, condition, frame_mask)[0]
    return ops.max(ops.abs(masked(back - x, frame_mask)))


def _in_float64(x: Tensor) -> Tensor:
    """A tensor of floats in float64 on TensorFlow; JAX has no float64 by default."""
    floating = keras.backend.is_float_dtype(keras.backend.standardize_dtype(x.dtype))
    if keras.backend.backend() == "jax" or not floating:
        return x
    return ops.cast(x, "float64")


def rebuilt(layer: keras.layers.Layer, **settings: Any) -> Any:
    """Create and build a layer with the config of `layer`, where `settings` replace entries."""
    again = type(layer).from_config({**layer.get_config(), **settings})
    again.build_from_config(layer.get_build_config())
    return again


def copied(layer: Any) -> tuple[Any, Fold]:
    """A copy of a built layer with weights of its own, and the function that computes them."""
    copy = rebuilt(layer)
    pairs = list(zip(copy.weights, layer.weights, strict=True))
    return copy, lambda value: [(own, value(original)) for own, original in pairs]


def serialize(layer: keras.layers.Layer | None) -> dict[str, Any] | None:
    """A nested layer as the JSON-able part of a config; the outer layer builds it."""
    if layer is None:
        return None
    config = keras.saving.serialize_keras_object(layer)
    config.pop("build_config", None)
    return config


def deserialize(config: Any) -> Any:
    """The nested layer of a config; a layer is returned as it is."""
    return keras.saving.deserialize_keras_object(config) if isinstance(config, dict) else config
