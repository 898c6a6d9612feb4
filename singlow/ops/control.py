"""Control flow and derivatives that Keras lacks: a lean `scan`, `vjp`, custom gradients."""

from collections.abc import Callable, Sequence
from typing import Any

import keras

from singlow.ops.tensors import Tensor

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
    """Run `carry, y_k = body(carry, [x[k] for x in xs])` for every `k`.

    On TensorFlow each iteration pops its slices from the end of a list, because the gradient of a
    slice `x[k]` inside a loop has the size of `x`, and a read by index stores the index, shape and
    length for its gradient. Iterations do not overlap, so that the memory of one is enough. Without
    gradients through the loop, plain slices are used, since the reversed list copies all weights.

    Args:
        body: maps the carry and a slice of each of `xs` to the next carry and the slices of `ys`.
        carry: tensors whose shapes do not change.
        xs: tensors with `times` slices along their first axis.
        times: number of iterations.
        ys_like: tensors of the shape and dtype of each slice of `ys`.
        reverse: whether to start with the last slice; `ys` keep the order of `xs`.
        differentiated: whether gradients are taken through the loop. Without it they are correct
            but slow to compute.

    Returns:
        The last carry, and the stacked `ys`.
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


def scan_until(
    body: Body,
    carry: Sequence[Tensor],
    xs: Sequence[Tensor],
    times: Any,
    ys_like: Sequence[Tensor],
    going: Callable[[list[Tensor]], Tensor],
) -> tuple[list[Tensor], list[Tensor]]:
    """Run `scan` until `going(carry)` is false; the slices of `ys` after that are zeros.

    Args:
        body: as for `scan`.
        carry: as for `scan`.
        xs: as for `scan`.
        times: largest number of iterations.
        ys_like: as for `scan`; their shapes are known, or only their batch is not.
        going: maps the carry to a boolean scalar.

    Returns:
        As for `scan`. There is no gradient.
    """
    if keras.backend.backend() == "jax":
        import jax

        def turn(state: tuple) -> tuple:
            k, carry, written = state
            carry, ys = body(carry, [x[k] for x in xs])
            return k + 1, carry, [a.at[k].set(y) for a, y in zip(written, ys, strict=True)]

        written = [jax.numpy.zeros((times, *y.shape), y.dtype) for y in ys_like]
        _, last, ys = jax.lax.while_loop(
            lambda state: (state[0] < times) & going(state[1]), turn, (0, list(carry), written)
        )
        return last, ys
    import tensorflow as tf

    def step(k: Tensor, carry: list[Tensor], written: list[Any]) -> tuple:
        carry, ys = body(carry, [x[k] for x in xs])
        carry = [tf.ensure_shape(c, shape) for c, shape in zip(carry, shapes, strict=True)]
        return k + 1, carry, [a.write(k, y) for a, y in zip(written, ys, strict=True)]

    shapes = [c.shape for c in carry]
    arrays = [tf.TensorArray(y.dtype, times, element_shape=y.shape) for y in ys_like]
    count, last, arrays = tf.while_loop(
        lambda k, carry, _: (k < times) & going(carry),
        step,
        (0, list(carry), arrays),
        parallel_iterations=1,
    )
    stacked = [a.gather(tf.range(count)) for a in arrays]
    rest = [tf.zeros(tf.concat([[times - count], tf.shape(y)[1:]], 0), y.dtype) for y in stacked]
    return last, [tf.concat(pair, 0) for pair in zip(stacked, rest, strict=True)]


def _lists(xs: Sequence[Tensor]) -> list[Tensor]:
    """Return each tensor as a TensorFlow list of its slices."""
    import tensorflow as tf

    shapes = [tf.constant(list(x.shape[1:]), "int32") for x in xs]
    pairs = zip(xs, shapes, strict=True)
    return [tf.raw_ops.TensorListFromTensor(tensor=x, element_shape=shape) for x, shape in pairs]


def _pop(rest: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
    """Return the list without its last slice, and that slice."""
    import tensorflow as tf

    shape = tf.constant(list(like.shape[1:]), "int32")
    return tf.raw_ops.TensorListPopBack(
        input_handle=rest, element_shape=shape, element_dtype=like.dtype
    )


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function, compiled on JAX, which compiles once for each shape.

    Outside of a compiled function JAX compiles a loop again at every call.
    """
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(function)
    return function


def with_backward(
    forward: Callable[[list[Tensor], Any], tuple[Tensor, ...]],
    backward: Callable[[tuple[Tensor, ...], list[Tensor], Any, Sequence[Tensor]], list[Tensor]],
) -> Callable[[list[Tensor], Any], tuple[Tensor, ...]]:
    """Return a function with a custom gradient.

    Args:
        forward: `outputs = forward(learned, fixed)`.
        backward: maps `outputs, learned, fixed` and the gradients of the outputs to the gradients
            of `learned`. `fixed`, tensors and `None` in lists, has no gradient.
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


def vjp(function: Callable[..., Any], *arguments: Any) -> tuple[Any, Callable[[Any], tuple]]:
    """Return `function(*arguments)` and its vector-Jacobian product.

    The product maps gradients of the output to gradients of the arguments. Arguments are tensors or
    nested structures of them; the gradient of `None` is `None`.
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
        results = iter(tape.gradient(output, leaves, gradient, unconnected_gradients="zero"))
        return tf.nest.map_structure(lambda x: None if x is None else next(results), arguments)

    return output, pull
