"""Check that a layer is invertible and that its log-determinant is right.

The checks run on either backend, in the layer's own precision, and suit a user's own layers as
well as those of singlow:

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
_VALUES = 2**15  # most values that pass through a layer at once for a Jacobian


def nudge(layer: keras.layers.Layer, seed: int = 0, scale: float = 0.1) -> None:
    """Add noise to every trainable weight, because a coupling that starts at zero is the identity.

    Args:
        layer: Built layer or model.
        seed: Random seed of the noise, which is the same on every backend.
        scale: Standard deviation of the noise.
    """
    rng = np.random.default_rng(seed)
    for weight in layer.trainable_variables:
        noise = scale * rng.standard_normal(weight.shape)
        weight.assign(ops.convert_to_numpy(weight.value) + noise)


def jacobian(function: Callable[[Tensor], Tensor], x: Tensor) -> np.ndarray:
    """Compute the Jacobian of each item of a batch with automatic differentiation.

    Args:
        function: Maps `(batch, n)` to `(batch, n)` for any batch size; each item of the output
            depends only on the same item of the input.
        x: Points at which the Jacobians are computed, `(batch, n)`.

    Returns:
        `(batch, n, n)`; row `i` holds the derivatives of output `i`.

    Raises:
        RuntimeError: Keras runs on a backend other than TensorFlow and JAX.
    """
    return _jacobian(lambda rows, item: (function(rows), rows[:, 0]), x)[0]


def _jacobian(
    function: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]], x: Tensor
) -> tuple[np.ndarray, np.ndarray]:
    """Return the Jacobians of the first output of `function`, and its second output.

    Each item is repeated once for every output, and for copy `i` only output `i` is differentiated,
    so that one backward pass computes many rows.

    Args:
        function: Maps rows `(rows, n)` and the indices of their items `(rows,)` to the outputs
            `(rows, n)` and one more number for each row `(rows,)`.
        x: `(batch, n)`.

    Returns:
        `(batch, n, n)` and `(batch, n)`.
    """
    x = ops.convert_to_numpy(x)
    items, size = x.shape
    value_and_gradient = _value_and_gradient(function)
    gradients, numbers = [], []
    for start in range(0, items * size, max(1, _VALUES // size)):
        index = np.arange(start, min(start + max(1, _VALUES // size), items * size))
        item, output = np.divmod(index, size)
        selected = np.eye(size, dtype=x.dtype)[output]
        arguments = (x[item], item.astype(np.int32), selected)
        number, gradient = value_and_gradient(*map(ops.convert_to_tensor, arguments))
        gradients.append(ops.convert_to_numpy(gradient))
        numbers.append(ops.convert_to_numpy(number))
    return (
        np.concatenate(gradients).reshape(items, size, size),
        np.concatenate(numbers).reshape(items, size),
    )


def _value_and_gradient(function: Callable[..., tuple[Tensor, Tensor]]) -> Callable[..., tuple]:
    """Return a function from rows, items and selected outputs to numbers and rows' gradients."""

    def selected_sum(rows: Tensor, item: Tensor, selected: Tensor) -> tuple[Tensor, Tensor]:
        output, number = function(rows, item)
        return ops.sum(output * selected), number

    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        def differentiate(rows: Tensor, item: Tensor, selected: Tensor) -> tuple[Tensor, Tensor]:
            with tf.GradientTape() as tape:
                tape.watch(rows)
                value, number = selected_sum(rows, item, selected)
            return number, tape.gradient(value, rows)

        return differentiate
    if backend == "jax":
        import jax

        gradient = jax.jit(jax.grad(selected_sum, has_aux=True))
        return lambda *arguments: gradient(*arguments)[::-1]
    raise RuntimeError(f"Expected the TensorFlow or the JAX backend. Received: {backend}.")


def check_invertible(
    layer: InvertibleLayer,
    x: Tensor,
    condition: Tensor | None = None,
    frame_mask: Tensor | None = None,
    tolerance: float | None = None,
) -> float:
    """Check that `inverse` restores `x` and that the log-determinants of both directions cancel.

    Args:
        layer: The bijection.
        x: Data, `(batch, time, channels)` or `(batch, height, width, channels)`.
        condition: Condition of the layer, in the shape that it expects.
        frame_mask: `(batch, time)`; only valid frames are compared.
        tolerance: Largest error allowed for a value of `x`, and for the log-determinants divided by
            the number of dimensions; 1e-4 in float32 and 1e-10 in float64 when `None`.

    Returns:
        The largest error of `x`.

    Raises:
        AssertionError: An error is larger, or is NaN.
    """
    x = ops.convert_to_tensor(x)
    limit = _INVERSION[keras.backend.standardize_dtype(x.dtype)] if tolerance is None else tolerance
    z, log_det = layer(x, condition, frame_mask)
    restored, inverse_log_det = layer.inverse(z, condition, frame_mask)
    difference = np.abs(ops.convert_to_numpy(restored) - ops.convert_to_numpy(x))
    if frame_mask is not None:
        difference = difference * ops.convert_to_numpy(frame_mask)[..., None]
    error = float(difference.max())
    remainder = np.abs(ops.convert_to_numpy(log_det + inverse_log_det)).max() / _dimensions(x)
    _require(error, limit, f"{layer.name}: inverse(forward(x)) is off by")
    _require(float(remainder), limit, f"{layer.name}: log-determinants do not cancel, a dimension:")
    return error


def check_log_det(
    layer: InvertibleLayer,
    x: Tensor,
    condition: Tensor | None = None,
    tolerance: float | None = None,
) -> float:
    """Check the log-determinants of both directions against `log |det J|` of the Jacobian `J`.

    Use several frames: with one frame, a layer that forgets to multiply by their number passes.

    Args:
        layer: The bijection.
        x: Data, `(batch, time, channels)` or `(batch, height, width, channels)`. The Jacobian is
            dense: keep an item below a few hundred values.
        condition: Condition of the layer, with a batch size of 1 or that of `x`.
        tolerance: Largest error divided by the number of dimensions; 1e-4 in float32 and 1e-10 in
            float64 when `None`.

    Returns:
        The largest error of both directions, divided by the number of dimensions.

    Raises:
        AssertionError: An error is larger, or is NaN.
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

    def function(rows: Tensor, item: Tensor) -> tuple[Tensor, Tensor]:
        parts = _unflattened(rows, shapes)
        x = parts if isinstance(inputs, list) else parts[0]
        repeated = keras.tree.map_structure(
            lambda entry: None if entry is None else ops.take(entry, item % len(entry), axis=0),
            condition,
        )
        output, log_det = layer(x, repeated, reverse=reverse)
        return _flattened(output), log_det

    matrices, log_det = _jacobian(function, flat)
    expected = np.linalg.slogdet(matrices)[1]
    return float(np.abs(log_det - expected[:, None]).max()) / flat.shape[1]


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


def _require(error: float, limit: float, description: str) -> None:
    if not error <= limit:
        raise AssertionError(f"{description} {error:.3g}. Expected at most {limit:.3g}.")
