"""`adapt` standardises the data that it receives, only once, also after weights are reloaded."""

import keras
import numpy as np
from keras import ops

from singlow.bijections import ActNorm, Chain
from tests.conformance.cases import (
    CASES,
    Case,
    built,
    data,
    given,
    parts,
    small_net,
    step,
    tolerance,
)


def _flags(layer: keras.layers.Layer) -> list[np.ndarray]:
    result = [w for w in layer.weights if w.path.endswith("adapted")]
    return [ops.convert_to_numpy(flag) for flag in result]


def test_act_norm_standardises(precision: str):
    x = 3.0 * data((5, 40, 4)) + 2.0
    layer = ActNorm()
    z = ops.convert_to_numpy(layer.adapt(x))
    np.testing.assert_allclose(z.mean((0, 1)), 0, atol=tolerance(1e-10, 1e-5))
    np.testing.assert_allclose(z.std((0, 1)), 1, atol=tolerance(1e-5, 1e-4))


def test_act_norm_reads_valid_frames_only(precision: str):
    x = ops.convert_to_numpy(data((3, 12, 2))).copy()
    x[:, 6:] = 1e3
    frame_mask = np.zeros((3, 12), x.dtype)
    frame_mask[:, :6] = 1
    z = ops.convert_to_numpy(ActNorm().adapt(x, frame_mask=frame_mask))[:, :6]
    np.testing.assert_allclose(z.mean((0, 1)), 0, atol=tolerance(1e-10, 1e-5))
    np.testing.assert_allclose(z.std((0, 1)), 1, atol=tolerance(1e-5, 1e-4))


def test_adapt_reaches_every_act_norm_and_returns_the_output(portable_case: Case):
    case = portable_case
    layer = built(case)
    x, condition = given(case)
    returned = layer.adapt(x, condition)
    for expected, result in zip(parts(layer(x, condition)[0]), parts(returned), strict=True):
        np.testing.assert_allclose(result, expected, atol=tolerance(1e-10, 1e-4))
    if "inverse" not in next(name for name, known in CASES.items() if known is case):
        assert all((flag == 1).all() for flag in _flags(layer))


def test_it_happens_once_and_survives_a_reload(finest: str):
    layer = Chain([step(), step()])
    layer.adapt(data((2, 16, 4)))
    before = layer.get_weights()
    layer.adapt(5.0 * data((2, 16, 4), seed=9))
    again = Chain([step(), step()])
    again.build((None, None, 4))
    again.set_weights(before)
    again.adapt(5.0 * data((2, 16, 4), seed=9))
    for weights in (layer.get_weights(), again.get_weights()):
        for expected, result in zip(before, weights, strict=True):
            np.testing.assert_array_equal(result, expected)


def test_act_norms_inside_a_network_start_from_data(precision: str):
    network = small_net(act_norm=True, channels=2)
    network.build((None, None, 3))
    network.adapt(data((4, 30, 3)))
    assert len(network.norms) == 2
    assert all(float(norm.adapted) == 1 for norm in network.norms)
