"""Products, biases and rectifiers that Keras lacks or computes slowly, on both backends."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

Tensor = Any
Shape = tuple[int | None, ...]


def require_frames(name: str, x_shape: Shape) -> None:
    """Raise an error for a layer over time that is given images.

    Raises:
        ValueError: `x_shape` is not `(batch, time, channels)`.
    """
    if len(x_shape) != 3:
        raise ValueError(
            f"Expected x of shape (batch, time, channels) for {name}. Received: {tuple(x_shape)}."
        )


def full_precision() -> str:
    """Return the default dtype of layers: float64 if `floatx` is float64, otherwise float32.

    The global dtype policy is ignored, because a bijection does not invert in half precision.
    Only networks inside bijections may run in bfloat16, with an explicit `dtype`.
    """
    return "float64" if keras.config.floatx() == "float64" else "float32"


def product(a: Tensor, b: Tensor) -> Tensor:
    """The matrix product `a b` in the full precision of its dtype.

    By default JAX on an accelerator multiplies float32 with a mantissa of 10 bits instead of 23,
    which is enough for a network but not for a bijection.
    """
    if keras.backend.backend() == "jax":
        import jax

        return jax.numpy.matmul(a, b, precision="highest")
    return ops.matmul(a, b)


def tanh(x: Tensor) -> Tensor:
    """The hyperbolic tangent in the dtype of `x`; `keras.ops.tanh` returns float32 for float64."""
    if keras.backend.backend() == "jax":
        return ops.tanh(x)
    import tensorflow as tf

    return tf.tanh(x)


def log_gamma(x: Tensor) -> Tensor:
    """`log |gamma(x)|` of each value."""
    if keras.backend.backend() == "jax":
        from jax.scipy.special import gammaln

        return gammaln(x)
    import tensorflow as tf

    return tf.math.lgamma(x)


def owned(x: Tensor) -> Tensor:
    """Copy `x` to its own memory.

    On TensorFlow a slice is a view that keeps the memory of the whole tensor, and so does a
    variable to which it is assigned. On JAX a variable shares the assigned array.
    """
    if keras.backend.backend() == "jax":
        return ops.copy(x)
    import tensorflow as tf

    return tf.raw_ops.DeepCopy(x=x)


def identity(size: int, dtype: Any) -> Tensor:
    """The identity matrix `(size, size)`, a single constant of the graph."""
    return ops.cast(np.eye(size, dtype="float32"), dtype)


def split_at(x: Tensor, at: int) -> tuple[Tensor, Tensor]:
    """The first `at` channels of `x` and the remaining ones.

    On TensorFlow this is one operation with one gradient operation; `keras.ops.split` adds ten.
    """
    if keras.backend.backend() == "jax":
        return x[..., :at], x[..., at:]
    import tensorflow as tf

    first, others = tf.split(x, [at, x.shape[-1] - at], axis=-1)
    return first, others


def add_bias(x: Tensor, bias: Tensor) -> Tensor:
    """`x + bias` for `x` `(..., channels)` and `bias` `(channels,)`.

    On TensorFlow the gradient of the bias is a product with ones, which is four times as fast as a
    sum. In float32 `bias_add` is fused with the product before it and the activation after it; in
    bfloat16 the fused operation is slower than its parts.
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

    In bfloat16 on TensorFlow the bits of `x` are compared with 0 as int16. This gives the same
    result, because negative numbers have their sign bit set, and is three times as fast. A NaN with
    its sign bit set becomes 0; others stay NaN. A NaN in the data still reaches the likelihood,
    because a coupling passes on the half of the channels that its network reads.
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
