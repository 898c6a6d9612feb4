"""A condition matters where a layer takes one, and its absence is said."""

import numpy as np
import pytest

from singlow.bijections import ActNorm, AffineCoupling, WithCondition
from tests.conformance.cases import (
    CASES,
    Case,
    data,
    embedding,
    given,
    mapped,
    parts,
    ready,
    small_net,
    tried,
)

CONDITIONAL = [name for name, case in CASES.items() if case.condition]


@pytest.mark.parametrize("case", tried(CONDITIONAL), ids="-".join, indirect=True)
def test_another_condition_gives_other_latents(case: Case):
    x, condition = given(case)
    one, other = mapped(case)[0], ready(case)(x, condition + 1.0)[0]
    assert any(np.abs(p - q).max() > 1e-4 for p, q in zip(parts(one), parts(other), strict=True))


def test_a_missing_condition_is_said():
    x = data((2, 8, 4))
    layer = WithCondition(ActNorm(), embedding(2))
    layer(x, data((2, 8, 3)))
    with pytest.raises(ValueError, match="Received: condition=None"):
        layer(x)
    with pytest.raises(ValueError, match="Received: condition=None"):
        WithCondition(ActNorm(), embedding(2))(x)


def test_a_coupling_built_with_a_condition_needs_it():
    coupling = AffineCoupling(small_net())
    coupling(data((2, 8, 4)), data((2, 8, 3)))
    with pytest.raises(ValueError, match="condition"):
        coupling(data((2, 8, 4)))


def test_a_coupling_built_without_a_condition_refuses_one():
    coupling = AffineCoupling(small_net())
    coupling(data((2, 8, 4)))
    with pytest.raises(ValueError, match="condition"):
        coupling(data((2, 8, 4)), data((2, 8, 3)))
