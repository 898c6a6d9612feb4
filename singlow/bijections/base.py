"""The invertible layer: one face for every bijection and every composite."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from singlow.ops.control import vjp
from singlow.ops.masks import masked
from singlow.ops.stateless import Bindings, run_bound, values_of
from singlow.ops.tensors import Shape, Tensor

Fold = Callable[[Callable[[keras.Variable], Tensor]], Bindings]


class InvertibleLayer(keras.layers.Layer):
    """A bijection `z = f(x | condition)` with its log-determinant.

    Both directions return `(output, log_det)`, `log_det` of shape `(batch,)`, at least float32, for
    the direction that ran: `log |det dz/dx|` forward, `log |det dx/dz|` in reverse, so that a round
    trip sums to zero.

    Writing one: `_forward(x, condition, frame_mask, training)` and `_inverse` with the same
    arguments, and `build(x_shape, condition_shape=None)` when there are weights. A layer that
    changes the shape also writes `latent_shape`, `latent_condition_shape` and `at_latents`; one
    that starts from data writes `adapt`. Add it to `tests/conformance/cases.py` and every property
    is tested.

    Call arguments:
        x: `(batch, time, channels)` or `(batch, height, width, channels)`; latents when `reverse`.
        condition: `(batch, time, features)`, or `(batch, 1, features)` to hold for all frames.
        frame_mask: `(batch, time)`, 1 for valid frames and 0 for padding. Padded frames change
            neither the log-determinant nor the valid frames.
        reverse: run latent -> data.
        training: whether units are dropped.

    References:
        Rezende and Mohamed, Variational Inference with Normalizing Flows, 2015,
        https://arxiv.org/abs/1505.05770
    """

    def build(self, x_shape: Shape, condition_shape: Shape | None = None) -> None:
        """Make the weights for data and condition of these shapes; none unless it is written."""

    def call(
        self,
        x: Tensor,
        condition: Tensor | None = None,
        frame_mask: Tensor | None = None,
        reverse: bool = False,
        training: bool | None = None,
    ) -> tuple[Tensor, Tensor]:
        run = self._inverse if reverse else self._forward
        return run(x, condition, frame_mask, training)

    def inverse(
        self, z: Tensor, condition: Tensor | None = None, frame_mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Map latents to data: `(x, log |det dx/dz|)`.

        Raises:
            ValueError: the layer has not been built, so it has no weights to invert with.
        """
        if not self.built:
            raise ValueError(
                f"Expected a built layer to invert: call {self.name} on data or build it first. "
                "Received: an unbuilt layer."
            )
        return self(z, condition=condition, frame_mask=frame_mask, reverse=True)

    def adapt(
        self, x: Tensor, condition: Tensor | None = None, frame_mask: Tensor | None = None
    ) -> Tensor:
        """Set data-dependent weights from `x`, eagerly and once; return the layer's output."""
        return self(x, condition=condition, frame_mask=frame_mask)[0]

    def _build_for(self, x: Tensor, condition: Tensor | None) -> None:
        if not self.built:
            self.build(tuple(x.shape), None if condition is None else tuple(condition.shape))

    def inversion_errors(
        self, x: Tensor, condition: Tensor | None = None, frame_mask: Tensor | None = None
    ) -> list[Tensor]:
        """The largest `|f^-1(f(x)) - x|` in valid frames, for each level that it has."""
        z = self(x, condition, frame_mask)[0]
        return [inversion_error(self, x, z, condition, frame_mask)]

    def pull_back(
        self,
        y: Tensor,
        dy: Tensor,
        dlog_det: Tensor,
        condition: Tensor | None,
        frame_mask: Tensor | None,
        bindings: Bindings,
        training: bool | None = None,
    ) -> tuple[Tensor, Tensor, Tensor | None, list[Tensor]]:
        """The backward pass from the output alone: `x = f^-1(y)`, then the gradients there.

        Args:
            y: the output.
            dy: gradient with respect to it.
            dlog_det: gradient with respect to the log-determinant, `(batch,)`.
            condition: as for `call`.
            frame_mask: as for `call`.
            bindings: pairs of a variable and the tensor to take in its place.
            training: as for `call`.

        Returns:
            `x`, and the gradients with respect to `x`, the condition (`None` without one) and each
            of `trainable_variables`.
        """
        x, _ = run_bound(self, bindings, y, condition, frame_mask, reverse=True, training=training)

        def function(x: Tensor, condition: Tensor | None, weights: list[Tensor]) -> tuple:
            pairs = [*bindings, *zip(self.trainable_variables, weights, strict=True)]
            return run_bound(self, pairs, x, condition, frame_mask, training=training)

        _, pull = vjp(function, x, condition, values_of(self, bindings))
        return (x, *pull((dy, dlog_det)))

    def folded(
        self, tile: int | None = None, precision: str | None = None
    ) -> tuple["InvertibleLayer", Fold]:
        """An equal layer that is cheaper to run, built, and how to come by its weights.

        What depends on weights alone (norms, products of matrices, inverses) becomes a weight of
        that layer. A layer without such parts is its own folded one.

        Args:
            tile: frames that a coupling's network sees at a time; all of them when `None`.
            precision: dtype policy of the networks; their own when `None`.

        Returns:
            The folded layer, and a differentiable function that gives its weights: from a function
            of this layer's variables, each to a tensor of its shape after any axes for many layers
            at once, to pairs of a variable of the folded layer and its tensor.
        """
        return self, lambda value: [(v, value(v)) for v in self.weights]

    def for_inference(self, tile: int | None = None) -> "InvertibleLayer":
        """The folded layer with the weights as they are, its networks in their weights' precision.

        Args:
            tile: frames that a coupling's network sees at a time; all of them when `None`.
        """
        layer, fold = self.folded(tile, self.variable_dtype)
        for variable, tensor in fold(_exact):
            variable.assign(ops.cast(tensor, variable.dtype))
        return layer

    def latent_shape(self, x_shape: Shape) -> Shape | list[Shape]:
        """The shape of the latents for data of `x_shape`; a list for multi-scale latents."""
        return tuple(x_shape)

    def latent_condition_shape(self, condition_shape: Shape | None) -> Shape | None:
        """The shape of the condition at the resolution of the latents."""
        return condition_shape

    def at_latents(
        self, condition: Tensor | None = None, frame_mask: Tensor | None = None
    ) -> tuple[Tensor | None, Any]:
        """The condition and frame mask at the resolution of the latents."""
        return condition, frame_mask

    def _add_given(
        self, name: str, value: np.ndarray, trainable: bool, dtype: str | None = None
    ) -> keras.Variable:
        """A weight that starts as `value`."""
        return self.add_weight(
            name=name,
            shape=value.shape,
            dtype=dtype,
            trainable=trainable,
            initializer=lambda shape, dtype=None: ops.convert_to_tensor(value, dtype=dtype),
        )

    def _forward(
        self, x: Tensor, condition: Tensor | None, frame_mask: Tensor | None, training: bool | None
    ) -> tuple[Tensor, Tensor]:
        raise NotImplementedError(f"{type(self).__name__} does not write `_forward`.")

    def _inverse(
        self, z: Tensor, condition: Tensor | None, frame_mask: Tensor | None, training: bool | None
    ) -> tuple[Tensor, Tensor]:
        raise NotImplementedError(f"{type(self).__name__} does not write `_inverse`.")


def inversion_error(
    layer: InvertibleLayer,
    x: Tensor,
    z: Tensor,
    condition: Tensor | None = None,
    frame_mask: Tensor | None = None,
) -> Tensor:
    """The largest `|f^-1(z) - x|` in valid frames, for `z = f(x)`."""
    back = layer.inverse(z, condition, frame_mask)[0]
    return ops.max(ops.abs(masked(back - x, frame_mask)))


def _exact(variable: keras.Variable) -> Tensor:
    value = ops.convert_to_numpy(variable)
    floating = np.issubdtype(value.dtype, np.floating)
    return ops.convert_to_tensor(value.astype(np.float64) if floating else value)


def rebuilt(layer: keras.layers.Layer, **settings: Any) -> Any:
    """A built layer of the same config, but for some settings, with weights of its own."""
    again = type(layer).from_config({**layer.get_config(), **settings})
    again.build_from_config(layer.get_build_config())
    return again


def serialize(layer: keras.layers.Layer | None) -> dict[str, Any] | None:
    """A nested layer as the JSON-able part of a config; the outer layer will build it."""
    if layer is None:
        return None
    config = keras.saving.serialize_keras_object(layer)
    config.pop("build_config", None)
    return config


def deserialize(config: Any) -> Any:
    """The nested layer of a config; a layer is passed through."""
    return keras.saving.deserialize_keras_object(config) if isinstance(config, dict) else config
