"""The primitives that Keras lacks: a lean `scan`, `vjp`, products that are exact, cheap layers."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

Tensor = Any
Body = Callable[[list[Tensor], list[Tensor]], tuple[list[Tensor], list[Tensor]]]


def scan(
    body: Body,
    carry: Sequence[Tensor],
    xs: Sequence[Tensor],
    times: int,
    ys_like: Sequence[Tensor] = (),
    reverse: bool = False,
    differentiated: bool = True,
) -> tuple[list[Tensor], list[Tensor]]:
    """`carry, y_k = body(carry, [x[k] for x in xs])` for every `k`; the last carry, and all `y`.

    On TensorFlow each turn takes its weights from the end of a list, for a slice `x[k]` in the loop
    has a gradient the size of `x`, and a read by index keeps index, shape and length for it; and no
    turn begins before the one before it has ended, so that the memory of one is enough. Where
    nobody asks for gradients, slices it is: a list in reverse order is a copy of all weights.

    Args:
        body: from the carry and a slice of each of `xs` to the next carry and the slices of `ys`.
        carry: tensors whose shapes stay.
        xs: tensors with `times` slices along their first axis.
        times: how many turns.
        ys_like: tensors of the shape and dtype of each slice of `ys`.
        reverse: begin with the last slice; `ys` keep the order of `xs`.
        differentiated: whether gradients are taken through the loop itself; where they are after
            all they are the same, at the cost of slices.
    """
    if keras.backend.backend() == "jax":
        import jax

        last, ys = jax.lax.scan(
            lambda carry, x: body(carry, x), list(carry), list(xs), times, reverse=reverse
        )
        return last, ys
    return _scan_tensorflow(body, carry, xs, times, ys_like, reverse, differentiated)


def _scan_tensorflow(
    body: Body,
    carry: Sequence[Tensor],
    xs: Sequence[Tensor],
    times: int,
    ys_like: Sequence[Tensor],
    reverse: bool,
    differentiated: bool,
) -> tuple[list[Tensor], list[Tensor]]:
    import tensorflow as tf

    def turn(i: Tensor, carry: list[Tensor], lists: list[Tensor], written: list[Any]) -> tuple:
        k = times - 1 - i if reverse else i
        popped = [_pop(x, like) for x, like in zip(lists, xs, strict=True)] if lists else []
        slices = [slice_ for _, slice_ in popped] if lists else [x[k] for x in xs]
        carry, ys = body(carry, slices)
        carry = [tf.ensure_shape(c, shape) for c, shape in zip(carry, shapes, strict=True)]
        written = [a.write(k, y) for a, y in zip(written, ys, strict=True)]
        return i + 1, carry, [rest for rest, _ in popped], written

    shapes = [c.shape for c in carry]
    lists = _lists(xs if reverse else [tf.reverse(x, [0]) for x in xs]) if differentiated else []
    written = [tf.TensorArray(y.dtype, times, element_shape=y.shape) for y in ys_like]
    _, carry, _, written = tf.while_loop(
        lambda i, *_: i < times,
        turn,
        (0, list(carry), lists, written),
        parallel_iterations=1,
        maximum_iterations=times,
    )
    return carry, [a.stack() for a in written]


def _lists(xs: Sequence[Tensor]) -> list[Tensor]:
    """Each tensor as the list of its slices."""
    import tensorflow as tf

    shapes = [tf.constant(list(x.shape[1:]), "int32") for x in xs]
    pairs = zip(xs, shapes, strict=True)
    return [tf.raw_ops.TensorListFromTensor(tensor=x, element_shape=shape) for x, shape in pairs]


def _pop(rest: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
    """A list without its last slice, and that slice."""
    import tensorflow as tf

    shape = tf.constant(list(like.shape[1:]), "int32")
    return tf.raw_ops.TensorListPopBack(
        input_handle=rest, element_shape=shape, element_dtype=like.dtype
    )


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function itself; on JAX compiled, once a shape.

    JAX would compile a loop that is called outside of a compiled function at every call.
    """
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(function)
    return function


def with_backward(
    forward: Callable[[list[Tensor], Any], tuple[Tensor, ...]],
    backward: Callable[[tuple[Tensor, ...], list[Tensor], Any, Sequence[Tensor]], list[Tensor]],
) -> Callable[[list[Tensor], Any], tuple[Tensor, ...]]:
    """A function whose gradient is written by hand.

    Args:
        forward: `outputs = forward(learned, fixed)`.
        backward: from `outputs, learned, fixed` and the gradients of the outputs to those of
            `learned`; `fixed`, tensors and `None` in lists, has none.
    """
    if keras.backend.backend() == "jax":
        import jax

        function = jax.custom_vjp(forward)

        def keep(learned: list[Tensor], fixed: Any) -> tuple[Any, Any]:
            outputs = forward(learned, fixed)
            return outputs, (outputs, learned, fixed)

        function.defvjp(keep, lambda kept, upstream: (backward(*kept, upstream), None))
        return function
    import tensorflow as tf

    def run(learned: list[Tensor], fixed: Any) -> tuple[Tensor, ...]:
        @tf.custom_gradient
        def function(*learned: Tensor) -> tuple[tuple[Tensor, ...], Callable[..., list[Tensor]]]:
            outputs = forward(list(learned), fixed)
            return outputs, lambda *upstream: backward(outputs, list(learned), fixed, upstream)

        return function(*learned)

    return run


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


def vjp(function: Callable[..., Any], *arguments: Any) -> tuple[Any, Callable[[Any], tuple]]:
    """`function(*arguments)` and its pullback, from gradients of the output to those of arguments.

    Arguments are tensors or lists of them; where one is `None`, so is its gradient.
    """
    if keras.backend.backend() == "jax":
        import jax

        return jax.vjp(function, *arguments)
    import tensorflow as tf

    leaves = [leaf for leaf in tf.nest.flatten(arguments) if leaf is not None]
    with tf.GradientTape() as tape:
        tape.watch(leaves)
        output = function(*arguments)

    def pull(gradient: Any) -> tuple:
        found = iter(tape.gradient(output, leaves, gradient, unconnected_gradients="zero"))
        return tf.nest.map_structure(lambda leaf: None if leaf is None else next(found), arguments)

    return output, pull
