"""Products, biases and rectifiers that Keras lacks or computes slowly, on both backends."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

Tensor = Any
Shape = tuple[int | None, ...]


def product(a: Tensor, b: Tensor) -> Tensor:
    """The matrix product `a b`, rounded as its dtype says.

    An accelerator's default on JAX keeps 10 bits of a float32's 23, which is enough for a network
    and too little for what must invert.
    """
    if keras.backend.backend() == "jax":
        import jax

        return jax.numpy.matmul(a, b, precision="highest")
    return ops.matmul(a, b)


def owned(x: Tensor) -> Tensor:
    """`x` in memory of its own.

    On TensorFlow a slice, a copy by Keras and a variable that is assigned either are views, which
    keep the whole memory that they look into; on JAX a variable is the array that it is assigned.
    """
    if keras.backend.backend() == "jax":
        return ops.copy(x)
    import tensorflow as tf

    return tf.raw_ops.DeepCopy(x=x)


def identity(size: int, dtype: Any) -> Tensor:
    """The identity matrix, as a single constant of the graph."""
    return ops.cast(np.eye(size, dtype="float32"), dtype)


def split_at(x: Tensor, at: int) -> tuple[Tensor, Tensor]:
    """The first `at` channels and the others.

    On TensorFlow one operation, whose gradient is another; Keras adds ten to find the sizes.
    """
    if keras.backend.backend() == "jax":
        return x[..., :at], x[..., at:]
    import tensorflow as tf

    first, others = tf.split(x, [at, x.shape[-1] - at], axis=-1)
    return first, others


def add_bias(x: Tensor, bias: Tensor) -> Tensor:
    """`x + bias`: `(..., channels)` and `(channels,)`.

    On TensorFlow the bias's gradient is a product with ones, four times as fast as the sum. In
    full precision the addition is one that is fused with the product before and the activation
    after it; in bfloat16 that fused product is slower than its parts.
    """
    if keras.backend.backend() == "jax":
        return x + bias
    import tensorflow as tf

    @tf.custom_gradient
    def added(x: Tensor, bias: Tensor) -> tuple[Tensor, Callable[[Tensor], tuple[Tensor, Tensor]]]:
        def pull(dy: Tensor) -> tuple[Tensor, Tensor]:
            rows = tf.reshape(dy, (-1, dy.shape[-1]))
            ones = tf.ones((1, tf.shape(rows)[0]), dy.dtype)
            return dy, tf.matmul(ones, rows)[0]

        return x + bias if x.dtype == tf.bfloat16 else tf.nn.bias_add(x, bias), pull

    return added(x, bias)


def relu(x: Tensor) -> Tensor:
    """`max(x, 0)`.

    In bfloat16 on TensorFlow the larger of the bits and 0, both read as whole numbers, which is the
    same and three times as fast: whatever has its sign bit set is below 0.
    """
    if keras.backend.backend() == "jax" or x.dtype != "bfloat16":
        return ops.relu(x)
    import tensorflow as tf

    @tf.custom_gradient
    def rectified(x: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        bits = tf.maximum(tf.bitcast(x, tf.int16), tf.constant(0, tf.int16))
        y = tf.bitcast(bits, tf.bfloat16)
        return y, lambda dy: tf.raw_ops.ReluGrad(gradients=dy, features=y)

    return rectified(x)
