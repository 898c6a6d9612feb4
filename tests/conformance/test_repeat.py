"""Repeat is the chain of its steps."""

import numpy as np
import pytest
from keras import ops

from singlow.bijections import AffineCoupling, Chain, Repeat, Squeezed
from tests.conformance.cases import CASES, data, ready, small_net, step


def test_repeat_is_the_unrolled_chain(precision: str):
    repeat = ready(CASES["repeat"])
    chain = Chain([step() for _ in range(3)])
    x = data((2, 8, 4))
    chain(x)
    chain.set_weights(repeat.get_weights())
    for expected, found in zip(chain(x), repeat(x), strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(found), ops.convert_to_numpy(expected))
    for expected, found in zip(chain.inverse(x), repeat.inverse(x), strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(found), ops.convert_to_numpy(expected))


def test_every_step_has_weights_of_its_own():
    repeat = Repeat(step(), 2)
    repeat.build((None, None, 4))
    one, other = (step.layers[1].lower for step in repeat.steps.layers)
    assert np.abs(ops.convert_to_numpy(one) - ops.convert_to_numpy(other)).max() > 1e-3


def test_what_cannot_be_repeated_is_said():
    with pytest.raises(ValueError, match="at least one step"):
        Repeat(step(), 0)
    with pytest.raises(ValueError, match="backprop"):
        Repeat(step(), 2, backprop="none")
    with pytest.raises(ValueError, match="keeps the shape"):
        Repeat(Squeezed(AffineCoupling(small_net()), 2), 2).build((None, None, 4))
