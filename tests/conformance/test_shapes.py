"""Latents have the shapes of `latent_shape`, and log-determinants are one number per item."""

import math

import keras
import numpy as np

from tests.conformance.cases import Case, given, mapped, parts, ready


def test_latents_have_the_announced_shape(case: Case):
    announced = ready(case).latent_shape(case.x)
    z = mapped(case)[0]
    assert [part.shape for part in parts(z)] == (
        announced if isinstance(announced, list) else [announced]
    )
    assert isinstance(z, list) == isinstance(announced, list)
    assert sum(math.prod(part.shape) for part in parts(z)) == math.prod(case.x)


def test_log_det_is_one_number_an_item(case: Case):
    z, log_det = mapped(case)
    back, inverse_log_det = ready(case).inverse(z, given(case)[1])
    assert tuple(log_det.shape) == tuple(inverse_log_det.shape) == (case.x[0],)
    assert keras.backend.standardize_dtype(log_det.dtype) == keras.config.floatx()
    assert tuple(back.shape) == case.x
    assert all(np.isfinite(part).all() for part in parts(z))
