"""Annealing follows the history of the held-out loss, in unbroken and in resumed runs."""

import math
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from singlow.training.callbacks import Plateau
from singlow.training.optimizer import GuardedAdam


class FakeModel:
    """A model whose optimizer records the factors by which it is annealed."""

    def __init__(self):
        self.stop_training = False
        self.factors = []
        self.optimizer = SimpleNamespace(anneal=self.factors.append)


def run(losses, epochs, restarts, start=0):
    history, model = list(losses[:start]), FakeModel()
    plateau = Plateau(epochs, restarts, history)
    plateau.set_model(model)
    annealed = []
    for epoch in range(start, len(losses)):
        history.append(losses[epoch])
        before = len(model.factors)
        plateau.on_epoch_end(epoch)
        if len(model.factors) > before:
            annealed.append(epoch + 1)
        if model.stop_training:
            return annealed, epoch + 1
    assert set(model.factors) <= {0.2}
    return annealed, None


LOSSES = [9.0, 8.0, 8.0, 8.0, 7.9, 7.8999, 8.1, 7.0, 7.1, 7.1, 7.1, 7.1]


@pytest.mark.parametrize("start", [0, 3, 5, 9])
def test_a_resumed_run_anneals_as_the_unbroken_one(start):
    annealed, stopped = run(LOSSES, 2, 2, start)
    assert annealed == [epoch for epoch in (4, 7) if epoch > start]
    assert stopped == 10


def test_zero_epochs_never_anneal():
    assert run(LOSSES, 0, 2) == ([], None)


def test_a_loss_that_is_not_finite_is_no_gain():
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
    # The first step of Adam is as large as the learning rate for any gradient.
    np.testing.assert_allclose(keras.ops.convert_to_numpy(variable) - before, 0.02, rtol=1e-4)
    paths = {v.path for v in optimizer.variables}
    assert "adam/rate_factor" in paths
    assert "adam/rate_factor" not in {v.path for v in plain().variables}


def plain():
    optimizer = GuardedAdam(0.1, name="adam")
    optimizer.build([keras.Variable(np.ones(3, "float32"), name="weight")])
    return optimizer
