"""Before training, couplings are the identity or a constant scale, and mixings keep volume."""

import numpy as np
import pytest
from keras import ops

from tests.conformance.cases import CASES, Case, given, tried

COUPLINGS = [name for name in CASES if name.startswith("coupling")]
VOLUME_KEEPING = [name for name in CASES if "sigmoid" not in name and name != "folded linear"]


@pytest.mark.parametrize("case", tried(VOLUME_KEEPING), ids="-".join, indirect=True)
def test_the_start_keeps_volume(portable_case: Case):
    case = portable_case
    log_det = ops.convert_to_numpy(case.make()(*given(case))[1])
    np.testing.assert_allclose(log_det / np.prod(case.x[1:]), 0, atol=1e-6)


@pytest.mark.parametrize("case", tried(COUPLINGS), ids="-".join, indirect=True)
def test_a_coupling_starts_as_its_scale_at_zero(portable_case: Case):
    case = portable_case
    x, condition = given(case)
    layer = case.make()
    z = ops.convert_to_numpy(layer(x, condition)[0])
    kept = case.x[-1] - case.x[-1] // 2
    scale = 1 / (1 + np.exp(-2)) if "sigmoid" in layer.scale else 1.0
    expected = ops.convert_to_numpy(x).copy()
    expected[..., kept:] *= scale
    np.testing.assert_allclose(z, expected, atol=1e-6)
