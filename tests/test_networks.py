"""Convolutions are the sums that they say they are."""

import keras
import numpy as np
import pytest
from keras import ops

from singlow.networks import Convolution
from singlow.ops.control import vjp
from singlow.ops.tensors import relu
from tests.conformance.cases import tolerance


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(("inputs", "filters"), [(4, 13), (14, 3), (14, 13)])
@pytest.mark.parametrize(
    ("kernel_size", "dilation", "length"),
    [(1, 1, 5), (3, 1, 7), (2, 3, 9), (3, 16, 64), (3, 16, 60), (5, 20, 40), (3, 40, 40)],
)
def test_a_convolution_sums_its_taps(kernel_size, dilation, length, inputs, filters, causal):
    keras.utils.set_random_seed(1)
    rng = np.random.default_rng(2)
    layer = Convolution(filters, kernel_size, dilation, causal)
    x = rng.standard_normal((2, length, inputs))
    gain, bias = rng.standard_normal((2, filters)).astype("float32")
    layer.build(x.shape)
    layer.gain.assign(gain)
    layer.bias.assign(bias)
    kernel = ops.convert_to_numpy(layer.kernel).astype(np.float64)
    kernel *= gain / np.sqrt(np.square(kernel).sum(axis=(0, 1)))
    expected = np.zeros((2, length, filters)) + bias
    before, _ = layer.receptive_field
    for tap in range(kernel_size):
        for t in range(length):
            source = t + tap * dilation - before
            if 0 <= source < length:
                expected[:, t] += x[:, source] @ kernel[tap]
    found = ops.convert_to_numpy(layer(ops.convert_to_tensor(x.astype(keras.config.floatx()))))
    np.testing.assert_allclose(found, expected, atol=tolerance(1e-11, 1e-4))


def test_the_rectifier_in_bfloat16_is_that_of_keras_forward_and_back():
    values = [-np.inf, -3.0, -2e-38, -0.0, 0.0, 2e-38, 0.5, 3.0, np.inf]
    x = ops.cast(np.array(values), "bfloat16")
    dx = vjp(relu, x)[1](ops.ones_like(x))[0]
    for found, expected in [(relu(x), ops.relu(x)), (dx, np.array(values) > 0)]:
        found, expected = ops.cast(found, "float32"), ops.cast(expected, "float32")
        np.testing.assert_array_equal(
            ops.convert_to_numpy(found), ops.convert_to_numpy(expected), strict=True
        )
