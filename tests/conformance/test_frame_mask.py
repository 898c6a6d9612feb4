"""Padded frames change neither the log-determinant nor the valid frames."""

import numpy as np
from keras import ops

from singlow.bijections.conditions import map_coarse, map_frames
from singlow.testing import check_invertible
from tests.conformance.cases import Case, data, given, parts, ready, tolerance


def test_padding_changes_nothing(portable_case: Case):
    case = portable_case
    if len(case.x) != 3:
        return
    layer = ready(case)
    x, condition = given(case)
    valid = case.x[1] // case.multiple // 2 * case.multiple
    cut_condition = map_frames(lambda entry: entry[:, :valid], condition)
    cut_condition = map_coarse(
        lambda entry: entry[:, : valid * entry.shape[1] // case.x[1]], cut_condition
    )
    expected, expected_log_det = layer(x[:, :valid], cut_condition)
    frame_mask = np.zeros(case.x[:2], x.dtype if isinstance(x, np.ndarray) else "float32")
    frame_mask[:, :valid] = 1
    frame_mask = ops.convert_to_tensor(frame_mask)
    junk = ops.concatenate([x[:, :valid], 3 * data(case.x, seed=5)[:, valid:]], axis=1)
    z, log_det = layer(junk, condition, frame_mask)
    np.testing.assert_allclose(
        ops.convert_to_numpy(log_det),
        ops.convert_to_numpy(expected_log_det),
        atol=tolerance(1e-10, 1e-4),
    )
    for whole, part in zip(parts(z), parts(expected), strict=True):
        np.testing.assert_allclose(whole[:, : part.shape[1]], part, atol=tolerance(1e-10, 1e-4))
    check_invertible(layer, junk, condition, frame_mask)
