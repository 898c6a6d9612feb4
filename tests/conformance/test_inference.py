"""`for_inference` folds a layer and runs it in tiles; the outputs stay the same."""

import keras
import numpy as np
import pytest
from keras import ops

from tests.conformance.cases import CASES, Case, given, mapped, parts, ready, tolerance

FOLDED = ("act_norm", "coupling, sigmoid, in tiles, conditional", "chain", "repeat", "singlow_tiny")


def test_it_is_the_same_map(case: Case):
    if keras.backend.backend() == "jax" and case not in [CASES[name] for name in FOLDED]:
        pytest.skip("JAX compiles each anew: only what has something to fold")
    tile = 3 if keras.config.floatx() == "float32" else None
    layer = ready(case)
    inputs = given(case)
    folded = layer.for_inference(tile)
    z, log_det = mapped(case)
    result, result_log_det = folded(*inputs)
    for expected, part in zip(parts(z), parts(result), strict=True):
        np.testing.assert_allclose(part, expected, atol=tolerance(1e-10, 3e-5))
    np.testing.assert_allclose(
        ops.convert_to_numpy(result_log_det),
        ops.convert_to_numpy(log_det),
        atol=tolerance(1e-9, 3e-4),
    )
    condition = inputs[1]
    back, inverse_log_det = folded.inverse(z, condition)
    expected, expected_log_det = layer.inverse(z, condition)
    np.testing.assert_allclose(
        ops.convert_to_numpy(back), ops.convert_to_numpy(expected), atol=tolerance(1e-10, 1e-4)
    )
    np.testing.assert_allclose(
        ops.convert_to_numpy(inverse_log_det),
        ops.convert_to_numpy(expected_log_det),
        atol=tolerance(1e-9, 3e-4),
    )
    assert keras.backend.standardize_dtype(log_det.dtype) == keras.config.floatx()
