"""Checks that a layer is what it claims: invertible, with the right log-determinant.

They run on either backend, in the layer's own precision, and are meant for layers of one's own as
much as for ours:

    >>> import keras
    >>> from singlow.bijections import ActNorm
    >>> from singlow.testing import check_invertible, check_log_det
    >>> x = keras.random.normal((2, 6, 4), seed=0)
    >>> layer = ActNorm()
    >>> check_invertible(layer, x) < 1e-6, check_log_det(layer, x) < 1e-6
    (True, True)
"""

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from singlow.bijections.base import InvertibleLayer
from singlow.ops.tensors import Tensor

_INVERSION = {"float32": 1e-4, "float64": 1e-10}
_LOG_DET = {"float32": 1e-4, "float64": 1e-10}


def nudge(layer: keras.layers.Layer, seed: int = 0, scale: float = 0.1) -> None:
    """Move every trainable weight at random: a coupling that starts at zero is the identity.

    Args:
        layer: built layer or model.
        seed: of the noise, the same on every backend.
        scale: standard deviation of the noise.
    """
    rng = np.random.default_rng(seed)
    for weight in layer.trainable_variables:
        noise = scale * rng.standard_normal(weight.shape)
        weight.assign(ops.convert_to_numpy(weight.value) + noise)


def jacobian(function: Callable[[Tensor], Tensor], x: Tensor) -> np.ndarray:
    """Autodiff Jacobians of a function that treats the items of a batch apart, an item each.

    All rows come from one backward pass: each item is repeated once a row, and row `i` is
    differentiated in its output `i` alone.

    Args:
        function: from `(batch, n)` to `(batch, n)`, for any batch.
        x: where, `(batch, n)`.

    Returns:
        `(batch, n, n)`.

    Raises:
        RuntimeError: Keras runs on a backend other than TensorFlow and JAX.
    """
    return _jacobian(lambda rows: (function(rows),), x)[0]


def _jacobian(function: Callable[[Tensor], tuple], x: Tensor) -> tuple[np.ndarray, Any]:
    """The same of the first of `function`'s outputs, and the others, a row each."""
    x = ops.convert_to_tensor(x)
    rows = ops.repeat(x, x.shape[-1], axis=0)

    def diagonal(rows: Tensor) -> tuple[Tensor, Any]:
        output, *others = function(rows)
        return ops.sum(output * ops.tile(ops.eye(x.shape[-1], dtype=x.dtype), (len(x), 1))), others

    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(rows)
            value, others = diagonal(rows)
        found = tape.gradient(value, rows)
    elif backend == "jax":
        import jax

        found, others = jax.jit(jax.grad(diagonal, has_aux=True))(rows)
    else:
        raise RuntimeError(f"Expected the TensorFlow or the JAX backend. Received: {backend}.")
    return ops.convert_to_numpy(found).reshape(*x.shape, x.shape[-1]), others


def check_invertible(
    layer: InvertibleLayer,
    x: Tensor,
    condition: Tensor | None = None,
    frame_mask: Tensor | None = None,
    tolerance: float | None = None,
) -> float:
    """Check that `inverse` undoes the layer and that the two log-determinants cancel.

    Args:
        layer: the bijection.
        x: data, `(batch, time, channels)` or an image batch.
        condition: as the layer takes it.
        frame_mask: `(batch, time)`; only valid frames are compared.
        tolerance: largest error allowed, for `x` as it is and for the log-determinants by
            dimension; 1e-4 in float32 and 1e-10 in float64 when `None`.

    Returns:
        The largest error of `x`.

    Raises:
        AssertionError: an error is larger, or is not a number.
    """
    x = ops.convert_to_tensor(x)
    limit = _INVERSION[keras.backend.standardize_dtype(x.dtype)] if tolerance is None else tolerance
    z, log_det = layer(x, condition, frame_mask)
    back, inverse_log_det = layer.inverse(z, condition, frame_mask)
    difference = np.abs(ops.convert_to_numpy(back) - ops.convert_to_numpy(x))
    if frame_mask is not None:
        difference = difference * ops.convert_to_numpy(frame_mask)[..., None]
    error = float(difference.max())
    leftover = np.abs(ops.convert_to_numpy(log_det + inverse_log_det)).max() / _dimensions(x)
    _require(error, limit, f"{layer.name}: inverse(forward(x)) is off by")
    _require(float(leftover), limit, f"{layer.name}: log-determinants do not cancel, a dimension:")
    return error


def check_log_det(
    layer: InvertibleLayer,
    x: Tensor,
    condition: Tensor | None = None,
    tolerance: float | None = None,
) -> float:
    """Check both log-determinants against `log |det J|` of the autodiff Jacobian.

    Args:
        layer: the bijection.
        x: data; the Jacobian is dense, so keep a batch item under a few hundred values.
        condition: as the layer takes it, with batch 1 or the batch of `x`.
        tolerance: largest error a dimension; 1e-4 in float32 and 1e-10 in float64 when `None`.

    Returns:
        The largest error a dimension of the two directions.

    Raises:
        AssertionError: an error is larger, or is not a number.
    """
    x = ops.convert_to_tensor(x)
    limit = _LOG_DET[keras.backend.standardize_dtype(x.dtype)] if tolerance is None else tolerance
    errors = [
        _log_det_error(layer, x, condition, reverse=False),
        _log_det_error(layer, layer(x, condition)[0], condition, reverse=True),
    ]
    for error, direction in zip(errors, ("forward", "inverse"), strict=True):
        _require(error, limit, f"{layer.name}: {direction} log_det is off, a dimension, by")
    return max(errors)


def _log_det_error(layer: InvertibleLayer, inputs: Any, condition: Any, reverse: bool) -> float:
    shapes = [tuple(part.shape) for part in _parts(inputs)]
    flat = _flattened(_parts(inputs))
    items, size = flat.shape
    if condition is not None:
        condition = ops.repeat(condition, items * size // len(condition), axis=0)

    def function(rows: Tensor) -> tuple[Tensor, Tensor]:
        parts = _unflattened(rows, shapes)
        x = parts if isinstance(inputs, list) else parts[0]
        output, log_det = layer(x, condition, reverse=reverse)
        return _flattened(output), log_det

    found, (log_det,) = _jacobian(function, flat)
    expected = np.linalg.slogdet(found)[1]
    told = ops.convert_to_numpy(log_det).reshape(items, size)
    return float(np.abs(told - expected[:, None]).max()) / size


def _parts(x: Any) -> list[Tensor]:
    return list(x) if isinstance(x, list | tuple) else [x]


def _dimensions(x: Any) -> int:
    return sum(math.prod(part.shape[1:]) for part in _parts(x))


def _flattened(x: Any) -> Tensor:
    parts = [ops.reshape(part, (part.shape[0], -1)) for part in _parts(x)]
    return ops.concatenate(parts, axis=-1)


def _unflattened(flat: Tensor, shapes: list[tuple[int, ...]]) -> list[Tensor]:
    parts, start = [], 0
    for shape in shapes:
        size = math.prod(shape[1:])
        parts.append(ops.reshape(flat[:, start : start + size], (-1, *shape[1:])))
        start += size
    return parts


def _require(error: float, limit: float, what: str) -> None:
    if not error <= limit:
        raise AssertionError(f"{what} {error:.3g}. Expected at most {limit:.3g}.")
