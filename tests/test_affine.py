"""Test the affine map of couplings: values, limits, log-determinants and invalid arguments."""

import numpy as np
import pytest
from keras import ops

from singlow.bijections.affine import SCALES, AffineMap, bound

H = np.array([-30.0, -1.0, 0.0, 0.25, 30.0])


def log_scales(scale: str, limit: float = 2.0) -> np.ndarray:
    """Return the log-scales of an affine map with the parameters `H`: its log-determinants."""
    parameters = np.stack([H, np.zeros(5)], axis=-1)[:, None].astype("float32")
    x = np.ones((5, 1, 1), "float32")
    return ops.convert_to_numpy(AffineMap(scale, limit).move(x, parameters)[1])


@pytest.mark.parametrize("limit", [0.5, 2.0])
def test_a_bounded_scale_is_a_tanh_of_its_limit(limit: float):
    np.testing.assert_allclose(log_scales("bounded", limit), limit * np.tanh(H / limit), atol=1e-5)
    assert float(bound(ops.convert_to_tensor(1e4), limit)) == pytest.approx(limit)


def test_other_scales_are_as_documented():
    np.testing.assert_allclose(log_scales("sigmoid"), -np.log1p(np.exp(-H - 2)), atol=1e-5)
    np.testing.assert_allclose(log_scales("exp"), H, rtol=1e-6)


def test_an_additive_map_shifts_alone():
    x = np.full((1, 2, 1), 3.0, "float32")
    y, log_det = AffineMap("additive").move(x, np.full((1, 2, 1), -0.5, "float32"))
    np.testing.assert_allclose(y, np.full((1, 2, 1), 2.5))
    assert float(log_det[0]) == 0.0


@pytest.mark.parametrize("scale", SCALES)
def test_undo_is_the_inverse_and_padding_stays(scale: str):
    affine = AffineMap(scale, 0.5)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 3, 2)).astype("float32")
    parameters = rng.standard_normal((2, 3, 2 * affine.parameters)).astype("float32")
    mask = np.array([[1, 1, 0], [1, 1, 1]], "float32")
    y, log_det = affine.move(x, parameters, mask)
    back, inverse_log_det = affine.undo(y, parameters, mask)
    np.testing.assert_allclose(back, x, atol=1e-5)
    np.testing.assert_allclose(log_det + inverse_log_det, [0, 0], atol=1e-5)
    np.testing.assert_array_equal(np.asarray(y)[0, 2], x[0, 2])


@pytest.mark.parametrize(("scale", "limit"), [("tan", 2.0), ("bounded", 0.0), ("bounded", -1.0)])
def test_unknown_scales_and_limits_are_refused(scale: str, limit: float):
    with pytest.raises(ValueError, match="Expected"):
        AffineMap(scale, limit)
