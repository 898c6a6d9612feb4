"""Every weight receives a gradient."""

import keras
import numpy as np
import pytest
from keras import ops

from tests.conformance.cases import CASES, Case, given, ready, tried


def _objective(output) -> object:
    z, log_det = output
    latents = z if isinstance(z, list) else [z]
    return sum(ops.sum(ops.square(part)) for part in latents) - ops.sum(log_det)


def gradients(layer: keras.layers.Layer, *inputs, **settings) -> list[np.ndarray | None]:
    """Return the gradients of `sum z^2 - log_det` by the layer's trainable weights."""
    return all_gradients(layer, inputs, 0, **settings)


def all_gradients(
    layer: keras.layers.Layer, inputs: tuple, count: int = 2, **settings
) -> list[np.ndarray | None]:
    """Return the gradients by the trainable weights, and by the first `count` of the inputs.

    Inputs that are None have no gradient.
    """
    given = [part for part in inputs[:count] if part is not None]
    if keras.backend.backend() == "jax":
        import jax

        fixed = [v.value for v in layer.non_trainable_variables]

        def objective(values, given):
            rest = iter(given)
            every = [part if part is None else next(rest) for part in inputs[:count]]
            output, _ = layer.stateless_call(values, fixed, *every, *inputs[count:], **settings)
            return _objective(output)

        values = [v.value for v in layer.trainable_variables]
        by_weights, by_inputs = jax.jit(jax.grad(objective, (0, 1)))(values, given)
        return [np.asarray(gradient) for gradient in (*by_weights, *by_inputs)]
    import tensorflow as tf

    with tf.GradientTape() as tape:
        tape.watch(given)
        objective = _objective(layer(*inputs, **settings))
    result = tape.gradient(objective, [*(v.value for v in layer.trainable_variables), *given])
    return [None if g is None else tf.convert_to_tensor(g).numpy() for g in result]


WEIGHTED = [name for name, case in CASES.items() if case.weights]


@pytest.mark.parametrize("case", tried(WEIGHTED), ids="-".join, indirect=True)
def test_every_weight_receives_a_gradient(case: Case):
    layer = ready(case)
    result = gradients(layer, *given(case))
    assert len(result) == len(layer.trainable_variables) > 0
    for weight, gradient in zip(layer.trainable_variables, result, strict=True):
        assert gradient is not None, weight.path
        assert np.isfinite(gradient).all(), weight.path
        assert np.abs(gradient).max() > 0, weight.path
