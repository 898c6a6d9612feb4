"""Compile functions that read a layer's weights, or assign them."""

from collections.abc import Callable
from typing import Any

import keras

from singlow.ops.stateless import run_updating


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


def updating(layer: keras.layers.Layer, function: Callable[..., None]) -> Callable[..., None]:
    """Return `function`, which assigns variables of `layer`, for a single call.

    On JAX it is compiled as a whole, instead of each of its operations. On TensorFlow it runs
    eagerly, which takes less time than a trace.

    Args:
        layer: owns the variables that the function reads and assigns.
        function: its arguments are as for `traced`.
    """
    if keras.backend.backend() == "tensorflow":
        return function
    import jax

    variables = layer.variables

    @jax.jit
    def compiled(values: list[Any], *arguments: Any) -> dict[int, Any]:
        bindings = list(zip(variables, values, strict=True))
        return run_updating(bindings, function, *arguments)[1]

    def run(*arguments: Any) -> None:
        for index, value in compiled([v.value for v in variables], *arguments).items():
            variables[index].assign(value)

    return run
