"""The invertible layer: one face for every bijection and every composite."""

from typing import Any

import keras
from keras import ops

Tensor = Any
Shape = tuple[int | None, ...]


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

    def _forward(
        self, x: Tensor, condition: Tensor | None, frame_mask: Tensor | None, training: bool | None
    ) -> tuple[Tensor, Tensor]:
        raise NotImplementedError(f"{type(self).__name__} does not write `_forward`.")

    def _inverse(
        self, z: Tensor, condition: Tensor | None, frame_mask: Tensor | None, training: bool | None
    ) -> tuple[Tensor, Tensor]:
        raise NotImplementedError(f"{type(self).__name__} does not write `_inverse`.")


def sum_frames(values: Tensor, frame_mask: Tensor | None = None) -> Tensor:
    """Sum over all axes but the first, padded frames left out: `(batch, ...)` -> `(batch,)`."""
    values = ops.cast(values, keras.backend.result_type(values.dtype, "float32"))
    if frame_mask is not None:
        values = values * ops.cast(frame_mask, values.dtype)[..., None]
    return ops.sum(values, axis=tuple(range(1, len(values.shape))))


def count_frames(x: Tensor, frame_mask: Tensor | None = None) -> Tensor:
    """How many positions of each item are valid: `(batch, time, channels)` -> `(batch,)`."""
    if frame_mask is not None:
        return sum_frames(ops.cast(frame_mask, x.dtype)[..., None])
    return sum_frames(ops.ones_like(x[..., :1]))


def masked(x: Tensor, frame_mask: Tensor | None) -> Tensor:
    """`x` with zeros in padded frames."""
    return x if frame_mask is None else x * ops.cast(frame_mask, x.dtype)[..., None]


def halves(x: Tensor) -> tuple[Tensor, Tensor]:
    """The first and the last half of the channels; the first is larger when they are odd."""
    kept = x.shape[-1] - x.shape[-1] // 2
    return x[..., :kept], x[..., kept:]


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
