"""Squeeze neighbouring frames, or pixels, into channels."""

from typing import Any

import keras
from keras import ops

from singlow.bijections.base import InvertibleLayer
from singlow.bijections.conditions import Condition, map_frames
from singlow.bijections.wrappers import Wrapper
from singlow.ops.tensors import Shape, Tensor, require_frames


@keras.saving.register_keras_serializable("singlow")
class Squeezed(Wrapper):
    """A bijection that runs at a resolution reduced by `factor`.

    `(batch, time, channels)` becomes `(batch, time / factor, factor * channels)`, and images
    `(batch, height / factor, width / factor, factor^2 * channels)`. The output stays squeezed. A
    frames condition is squeezed with `x`; other conditions are passed on. The frame mask keeps
    every `factor`-th entry, so valid lengths are multiples of `factor`.

    Args:
        bijection: the layer that runs on the squeezed tensor.
        factor: number of frames that become one, and of pixels along each axis; at least 1.
        order: order of the new channels of frames: `"time"`, all channels of the first frame, then
            those of the next; or `"channel"`, the first channel of all frames, then the next.

    Raises:
        ValueError: `factor` is below 1, a length is not a multiple of it, a frames condition has
            another resolution than `x`, or an image is squeezed in the order `"channel"`.

    References:
        Dinh, Sohl-Dickstein and Bengio, Density Estimation Using Real NVP, 2017,
        https://arxiv.org/abs/1605.08803
    """

    def __init__(
        self, bijection: InvertibleLayer, factor: int, order: str = "time", **kwargs: Any
    ) -> None:
        super().__init__(bijection, **kwargs)
        if factor < 1 or order not in ("time", "channel"):
            raise ValueError(
                "Expected a factor of at least 1 and order 'time' or 'channel'. "
                f"Received: factor={factor}, order={order!r}."
            )
        self.factor = factor
        self.order = order

    def build(self, x_shape: Shape, condition_shape: Any = None) -> None:
        if self.order == "channel":
            require_frames(self.name, x_shape)
        if not self.bijection.built:
            self.bijection.build(
                self._squeezed_shape(x_shape), self._squeezed_condition_shape(condition_shape)
            )

    def _forward(
        self, x: Tensor, condition: Condition, frame_mask: Tensor | None, training: bool | None
    ) -> tuple[Tensor, Tensor]:
        condition, frame_mask = self._squeezed_inputs(condition, frame_mask)
        x = self._squeeze(x, self._checked_factor(x))
        return self.bijection(x, condition, frame_mask, training=training)

    def _inverse(
        self, z: Tensor, condition: Condition, frame_mask: Tensor | None, training: bool | None
    ) -> tuple[Tensor, Tensor]:
        condition, frame_mask = self._squeezed_inputs(condition, frame_mask)
        x, log_det = self.bijection(z, condition, frame_mask, reverse=True, training=training)
        return self._unsqueeze(x), log_det

    def adapt(
        self, x: Tensor, condition: Condition = None, frame_mask: Tensor | None = None
    ) -> Tensor:
        self._check_call(x, condition, frame_mask, reverse=False)
        condition, frame_mask = self._squeezed_inputs(condition, frame_mask)
        return self.bijection.adapt(
            self._squeeze(x, self._checked_factor(x)), condition, frame_mask
        )

    def latent_shape(self, x_shape: Shape) -> Shape | list[Shape]:
        return self.bijection.latent_shape(self._squeezed_shape(x_shape))

    def latent_condition_shape(self, condition_shape: Any) -> Any:
        return self.bijection.latent_condition_shape(
            self._squeezed_condition_shape(condition_shape)
        )

    def at_latents(
        self, condition: Condition = None, frame_mask: Tensor | None = None
    ) -> tuple[Condition, Any]:
        return self.bijection.at_latents(*self._squeezed_inputs(condition, frame_mask))

    def _squeeze(self, x: Tensor, factor: int) -> Tensor:
        if self.order == "time":
            return _squeeze(x, factor)
        batch, length, channels = _lengths(x)
        rows = ops.reshape(x, (batch, length // factor, factor, channels))
        rows = ops.swapaxes(rows, 2, 3)
        return ops.reshape(rows, (batch, length // factor, factor * channels))

    def _unsqueeze(self, x: Tensor) -> Tensor:
        if self.order == "time":
            return _unsqueeze(x, self.factor)
        batch, length, channels = _lengths(x)
        rows = ops.reshape(x, (batch, length, channels // self.factor, self.factor))
        rows = ops.swapaxes(rows, 2, 3)
        return ops.reshape(rows, (batch, length * self.factor, channels // self.factor))

    def _checked_factor(self, x: Tensor) -> int:
        for length in x.shape[1:-1]:
            if length is not None and length % self.factor:
                raise ValueError(
                    f"Expected lengths that are multiples of {self.factor} for {self.name}. "
                    f"Received: x of shape {tuple(x.shape)}."
                )
        return self.factor

    def _squeezed_shape(self, shape: Shape) -> Shape:
        lengths = [None if n is None else n // self.factor for n in shape[1:-1]]
        return (shape[0], *lengths, shape[-1] * self.factor ** len(lengths))

    def _squeezed_condition_shape(self, shape: Shape | None) -> Any:
        return map_frames(self._squeezed_shape, shape)

    def _squeezed_inputs(
        self, condition: Condition, frame_mask: Tensor | None
    ) -> tuple[Condition, Tensor | None]:
        condition = map_frames(lambda entry: self._squeeze(entry, self.factor), condition)
        if frame_mask is not None:
            frame_mask = frame_mask[:, :: self.factor]
        return condition, frame_mask

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "factor": self.factor, "order": self.order}


def _lengths(x: Tensor) -> list[Any]:
    dynamic = ops.shape(x)
    return [dynamic[i] if n is None else n for i, n in enumerate(x.shape)]


def _squeeze(x: Tensor, factor: int) -> Tensor:
    batch, *lengths, channels = _lengths(x)
    if len(lengths) == 1:
        return ops.reshape(x, (batch, lengths[0] // factor, factor * channels))
    height, width = (n // factor for n in lengths)
    x = ops.reshape(x, (batch, height, factor, width, factor, channels))
    x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
    return ops.reshape(x, (batch, height, width, factor * factor * channels))


def _unsqueeze(x: Tensor, factor: int) -> Tensor:
    batch, *lengths, channels = _lengths(x)
    if len(lengths) == 1:
        return ops.reshape(x, (batch, lengths[0] * factor, channels // factor))
    height, width = lengths
    x = ops.reshape(x, (batch, height, width, factor, factor, channels // factor**2))
    x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
    return ops.reshape(x, (batch, height * factor, width * factor, channels // factor**2))
