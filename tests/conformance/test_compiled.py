"""A compiled layer returns what the eager layer returns, unless XLA cannot compile the layer."""

import keras
import numpy as np
import pytest
from keras import ops

from tests.conformance.cases import CASES, Case, given, mapped, parts, ready


def _compiled(layer):
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(lambda x, condition: layer(x, condition))
    import tensorflow as tf

    return tf.function(lambda x, condition: layer(x, condition), jit_compile=True)


@pytest.mark.parametrize("case", [(name, "float32") for name in CASES], ids="-".join, indirect=True)
def test_a_compiled_layer_returns_what_the_eager_layer_returns(sampled_case: Case):
    case = sampled_case
    layer = ready(case)
    inputs = given(case)
    if isinstance(case.compiles, str) and keras.backend.backend() == "tensorflow":
        with pytest.raises(Exception, match="tf2xla conversion failed"):
            _compiled(layer)(*inputs)
        return
    z, log_det = mapped(case)
    compiled_z, compiled_log_det = _compiled(layer)(*inputs)
    for expected, result in zip(parts(z), parts(compiled_z), strict=True):
        np.testing.assert_allclose(result, expected, atol=1e-4)
    np.testing.assert_allclose(
        ops.convert_to_numpy(compiled_log_det), ops.convert_to_numpy(log_det), atol=1e-3
    )
