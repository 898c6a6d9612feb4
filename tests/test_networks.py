"""Convolutions are the sums that they say they are."""

import keras
import numpy as np
import pytest
from keras import ops

from singlow.networks import Convolution
from tests.conformance.cases import tolerance


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(
    ("kernel_size", "dilation", "length"),
    [(1, 1, 5), (3, 1, 7), (2, 3, 9), (3, 16, 64), (3, 16, 60), (5, 20, 40), (3, 40, 40)],
)
def test_a_convolution_sums_its_taps(kernel_size, dilation, length, causal):
    keras.utils.set_random_seed(1)
    layer = Convolution(3, kernel_size, dilation, causal)
    x = np.random.default_rng(2).standard_normal((2, length, 4))
    layer.build(x.shape)
    layer.gain.assign([0.5, 1.5, -2.0])
    layer.bias.assign([0.1, 0.2, 0.3])
    kernel = ops.convert_to_numpy(layer.kernel).astype(np.float64)
    kernel *= np.array([0.5, 1.5, -2.0]) / np.sqrt(np.square(kernel).sum(axis=(0, 1)))
    expected = np.zeros((2, length, 3)) + np.array([0.1, 0.2, 0.3])
    before, _ = layer.receptive_field
    for tap in range(kernel_size):
        for t in range(length):
            source = t + tap * dilation - before
            if 0 <= source < length:
                expected[:, t] += x[:, source] @ kernel[tap]
    found = ops.convert_to_numpy(layer(ops.convert_to_tensor(x.astype(keras.config.floatx()))))
    np.testing.assert_allclose(found, expected, atol=tolerance(1e-12, 1e-5))
