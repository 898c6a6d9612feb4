"""Compile a function of a layer's weights once, and call it with their current values."""

from collections.abc import Callable
from typing import Any

import keras


def traced(
    layer: keras.layers.Layer, function: Callable[..., Any], precise: bool = True
) -> Callable[..., Any]:
    """Compile `function`, whose arguments are tensors, `None`, and lists or dictionaries of them.

    On TensorFlow one trace serves every length; JAX compiles for every shape.

    Args:
        layer: owns the variables that the function reads; it must not change them.
        function: to compile.
        precise: whether JAX computes float32 products on accelerators in full precision, which it
            does not do in training.
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
