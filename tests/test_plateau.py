"""Annealing follows the history of held-out bits, whole or resumed."""

import math
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from singlow.training.optimizer import GuardedAdam
from singlow.training.plateau import Plateau


class Told:
    """A model whose optimizer notes how often it is annealed."""

    def __init__(self):
        self.stop_training = False
        self.factors = []
        self.optimizer = SimpleNamespace(anneal=self.factors.append)


def run(bits, epochs, restarts, start=0):
    history, model = list(bits[:start]), Told()
    plateau = Plateau(epochs, restarts, history)
    plateau.set_model(model)
    annealed = []
    for epoch in range(start, len(bits)):
        history.append(bits[epoch])
        before = len(model.factors)
        plateau.on_epoch_end(epoch)
        if len(model.factors) > before:
            annealed.append(epoch + 1)
        if model.stop_training:
            return annealed, epoch + 1
    return annealed, None


BITS = [9.0, 8.0, 8.0, 8.0, 7.9, 7.8999, 8.1, 7.0, 7.1, 7.1, 7.1, 7.1]


@pytest.mark.parametrize("start", [0, 3, 5, 9])
def test_a_resumed_run_anneals_as_the_whole_one(start):
    annealed, stopped = run(BITS, 2, 2, start)
    assert annealed == [epoch for epoch in (4, 7) if epoch > start]
    assert stopped == 10


def test_none_is_asked_for():
    assert run(BITS, 0, 2) == ([], None)


def test_what_is_not_finite_is_no_gain():
    assert run([math.nan, math.inf, 9.0, math.nan, math.nan], 2, 1) == ([2], 5)


def test_an_annealed_optimizer_is_as_new_at_a_lower_rate():
    optimizer = GuardedAdam(0.1, anneals=True, name="adam")
    variable = keras.Variable(np.ones(3, "float32"), name="weight")
    optimizer.build([variable])
    for _ in range(5):
        optimizer.apply([keras.ops.ones(3)], [variable])
    before = keras.ops.convert_to_numpy(variable)
    optimizer.anneal(0.2)
    assert float(keras.ops.convert_to_numpy(optimizer.learning_rate)) == pytest.approx(0.02)
    optimizer.apply([-keras.ops.ones(3)], [variable])
    # Adam's first step is the learning rate, whatever the gradient's size.
    np.testing.assert_allclose(keras.ops.convert_to_numpy(variable) - before, 0.02, rtol=1e-4)
    paths = {v.path for v in optimizer.variables}
    assert "adam/rate_factor" in paths
    assert "adam/rate_factor" not in {v.path for v in _plain().variables}


def _plain():
    optimizer = GuardedAdam(0.1, name="adam")
    optimizer.build([keras.Variable(np.ones(3, "float32"), name="weight")])
    return optimizer
