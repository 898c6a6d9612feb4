"""The inverse undoes the layer and vice versa, and the two log-determinants add up to zero."""

import keras
import numpy as np
import pytest

from singlow.bijections import ActNorm
from singlow.testing import check_invertible
from tests.conformance.cases import Case, data, given, mapped, parts, ready, tolerance, tried

EVERYWHERE = pytest.mark.parametrize("case", tried(everywhere=True), ids="-".join, indirect=True)


@EVERYWHERE
def test_inverse_undoes_forward(case: Case):
    layer = ready(case)
    check_invertible(layer, *given(case))


def test_forward_undoes_inverse(portable_case: Case):
    case = portable_case
    layer = ready(case)
    condition = given(case)[1]
    z = mapped(case)[0]
    noise = [data(part.shape, seed=7) for part in parts(z)]
    noise = noise if isinstance(z, list) else noise[0]
    back, inverse_log_det = layer.inverse(noise, condition)
    again, log_det = layer(back, condition)
    for expected, result in zip(parts(noise), parts(again), strict=True):
        np.testing.assert_allclose(result, expected, atol=tolerance(1e-9, 2e-3))
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(log_det + inverse_log_det), 0, atol=tolerance(1e-8, 2e-2)
    )


def test_an_unbuilt_layer_cannot_be_inverted():
    with pytest.raises(ValueError, match="Received: an unbuilt layer"):
        ActNorm().inverse(data((1, 2, 3)))
