"""Other batch sizes and lengths than the layer was built with, eager and traced."""

import keras
import numpy as np
import pytest
from keras import ops

from singlow.testing import check_invertible
from tests.conformance.cases import CASES, Case, data, mapped, parts, ready, tolerance


def _stretched(shape: tuple[int, ...], multiple: int) -> tuple[int, ...]:
    lengths = [n if n == 1 else 2 * n + multiple for n in shape[1:-1]]
    return (shape[0] + 1, *lengths, shape[-1])


def test_other_lengths_and_batch_sizes_invert(costly_case: Case):
    case = costly_case
    layer = ready(case)
    x = data(_stretched(case.x, case.multiple))
    condition = case.condition and data(_stretched(case.condition, case.multiple), 2)
    check_invertible(layer, x, condition)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="JAX traces known shapes only")
def test_one_trace_takes_every_length(compiled_case: Case):
    import tensorflow as tf

    case = compiled_case
    layer = ready(case)
    spec = [
        tf.TensorSpec(
            [None, *(n if n == 1 else None for n in shape[1:-1]), shape[-1]], keras.config.floatx()
        )
        for shape in (case.x, case.condition)
        if shape
    ]
    traced = tf.function(lambda *args: layer(*args), input_signature=spec)
    for shapes in (
        (case.x, case.condition),
        (
            _stretched(case.x, case.multiple),
            case.condition and _stretched(case.condition, case.multiple),
        ),
    ):
        inputs = [data(shape, seed) for seed, shape in enumerate(shapes, 1) if shape]
        z, log_det = mapped(case) if shapes[0] == case.x else layer(*inputs)
        traced_z, traced_log_det = traced(*inputs)
        for expected, found in zip(parts(z), parts(traced_z), strict=True):
            np.testing.assert_allclose(found, expected, atol=tolerance(1e-10, 1e-4))
        np.testing.assert_allclose(
            ops.convert_to_numpy(traced_log_det),
            ops.convert_to_numpy(log_det),
            atol=tolerance(1e-9, 1e-3),
        )


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.multiple > 1])
def test_a_length_that_does_not_fit_is_said(name: str):
    case = CASES[name]
    layer = ready(case)
    wrong = (case.x[0], case.x[1] + 1, *case.x[2:])
    condition = case.condition and data(case.condition)
    with pytest.raises(ValueError, match="multiples of"):
        layer(data(wrong), condition)
