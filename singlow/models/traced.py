"""A function of a layer's weights, compiled once and called with the weights as they are."""

from collections.abc import Callable
from typing import Any

import keras


def traced(
    layer: keras.layers.Layer, function: Callable[..., Any], precise: bool = True
) -> Callable[..., Any]:
    """`function` as one graph: of tensors, `None` and lists or dictionaries of them.

    On TensorFlow one trace serves every length; JAX compiles anew for every shape.

    Args:
        layer: whose variables the function reads; it may not change them.
        function: what is traced.
        precise: whether JAX computes products of float32 in full precision on accelerators too,
            not as in training.
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.function(function, reduce_retracing=True, jit_compile=False, autograph=False)
    import jax

    @jax.jit
    def compiled(values: list[Any], *arguments: Any) -> Any:
        bindings = list(zip(layer.variables, values, strict=True))
        with (
            keras.StatelessScope(state_mapping=bindings),
            jax.default_matmul_precision("highest" if precise else None),
        ):
            return function(*arguments)

    return lambda *arguments: compiled([v.value for v in layer.variables], *arguments)
