"""Convolutions and networks compute the sums that their docstrings define."""

import keras
import numpy as np
import pytest
from keras import ops

from singlow.networks import Convolution, HyperNet, WaveNet
from singlow.ops.control import vjp
from singlow.ops.tensors import relu
from singlow.testing import nudge
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
    result = ops.convert_to_numpy(layer(ops.convert_to_tensor(x.astype(keras.config.floatx()))))
    np.testing.assert_allclose(result, expected, atol=tolerance(1e-11, 1e-4))


def test_the_rectifier_in_bfloat16_is_that_of_keras_forward_and_back():
    values = [-np.inf, -3.0, -2e-38, -0.0, 0.0, 2e-38, 0.5, 3.0, np.inf]
    x = ops.cast(np.array(values), "bfloat16")
    dx = vjp(relu, x)[1](ops.ones_like(x))[0]
    for result, expected in [(relu(x), ops.relu(x)), (dx, np.array(values) > 0)]:
        result, expected = ops.cast(result, "float32"), ops.cast(expected, "float32")
        np.testing.assert_array_equal(
            ops.convert_to_numpy(result), ops.convert_to_numpy(expected), strict=True
        )


def nudged(network, x_shape, condition_shape):
    """Build the network, move its weights away from their initial values and return it."""
    keras.utils.set_random_seed(0)
    network.build(x_shape, condition_shape)
    nudge(network, scale=0.3)
    return network


def weights_of(network) -> dict[str, np.ndarray]:
    return {w.path.split("/", 1)[1]: ops.convert_to_numpy(w) for w in network.weights}


def taps(x: np.ndarray, count: int, dilation: int = 1) -> np.ndarray:
    """Return the inputs of all taps along the last axis, with zeros beyond the ends."""
    reach = dilation * (count // 2)
    padded = np.pad(x, ((0, 0), (reach, reach), (0, 0)))
    shifts = [padded[:, k * dilation : k * dilation + x.shape[1]] for k in range(count)]
    return np.concatenate(shifts, axis=-1)


def test_a_wavenet_is_the_published_recursion():
    network = WaveNet(3, 2, weight_norm=False, channels=2)
    nudged(network, (None, None, 2), (None, None, 4))
    rng = np.random.default_rng(1)
    x, condition = (rng.standard_normal((2, 7, n)).astype("float32") for n in (2, 4))
    w = weights_of(network)

    def conv(name, values, count=1, dilation=1):
        kernel = w[f"{name}/kernel"].reshape(-1, w[f"{name}/kernel"].shape[-1])
        return taps(values, count, dilation) @ kernel + w.get(f"{name}/bias", 0.0)

    hidden, skipped = conv("first", x), 0
    for index in range(2):
        gated = conv(f"dilated_{index}", hidden, 3, 2**index) + conv(
            f"condition_{index}", condition
        )
        signal, gate = np.split(gated, 2, axis=-1)
        mixed = conv(f"mixed_{index}", np.tanh(signal) / (1 + np.exp(-gate)))
        if index == 0:
            residual, mixed = np.split(mixed, 2, axis=-1)
            hidden = hidden + residual
        skipped = skipped + mixed
    result = ops.convert_to_numpy(network(x, condition))
    np.testing.assert_allclose(result, conv("last", skipped), atol=1e-5)


def test_a_hypernet_computes_its_first_layer_from_the_condition():
    network = HyperNet(4, weight_norm=False, channels=3)
    nudged(network, (None, None, 2), (None, 5))
    rng = np.random.default_rng(2)
    x = rng.standard_normal((2, 6, 2)).astype("float32")
    condition = rng.standard_normal((2, 5)).astype("float32")
    w = weights_of(network)
    generated = condition @ w["adapter/kernel"] + w["adapter/bias"]
    kernel, bias = generated[:, :12].reshape(2, 3, 2, 2), generated[:, 12:]
    shifted = taps(x, 3).reshape(2, 6, 3, 2)
    first = np.einsum("btki,bkio->btio", shifted, kernel).reshape(2, 6, 4) + bias[:, None]
    hidden = np.maximum(first, 0) @ w["hidden/kernel"][0] + w["hidden/bias"]
    last = taps(np.maximum(hidden, 0), 3) @ w["last/kernel"].reshape(12, 3) + w["last/bias"]
    result = ops.convert_to_numpy(network(x, condition))
    np.testing.assert_allclose(result, last, atol=1e-5)
