"""Repeat equals the chain of its steps, and its two methods of backpropagation agree."""

import gc

import keras
import numpy as np
import pytest
from keras import ops

from singlow.bijections import ActNorm, AffineCoupling, Chain, InvertibleConv, Repeat, Squeezed
from singlow.networks import ConvNet, Network
from singlow.testing import nudge
from tests.conformance.cases import CASES, data, ready, small_net, step, tolerance
from tests.conformance.test_gradients import all_gradients, gradients
from tests.conftest import BACKEND

CONDITIONS = {"none": None, "frames": (2, 8, 3), "item": (2, 3)}


def _unrolled(repeat: Repeat, *inputs) -> Chain:
    """Build the chain of the steps of a Repeat on `inputs`, with the same weights."""
    steps = [step() for _ in range(repeat.times)]
    chain = Chain(steps)
    chain(*inputs)
    for index, each in enumerate(steps):
        each.set_weights([ops.convert_to_numpy(v[index]) for v in repeat.stacked])
    return chain


def _close(result, expected, exact=1e-10, rough=1e-4):
    np.testing.assert_allclose(
        ops.convert_to_numpy(result), ops.convert_to_numpy(expected), atol=tolerance(exact, rough)
    )


def _mask() -> np.ndarray:
    return np.array([[1] * 8, [1] * 5 + [0] * 3], keras.config.floatx())


@pytest.mark.parametrize(
    "name",
    ["repeat", "repeat, inverted"] if BACKEND == "tensorflow" else ["repeat, inverted"],
)
def test_repeat_is_the_unrolled_chain(name: str, finest: str):
    repeat = ready(CASES[name])
    x = data((2, 8, 4))
    chain = _unrolled(repeat, x)
    for expected, result in zip(chain(x), repeat(x), strict=True):
        _close(result, expected)
    for expected, result in zip(chain.inverse(x), repeat.inverse(x), strict=True):
        _close(result, expected)
    unrolled = [gradients(chain, x), [v.path for v in chain.trainable_variables]]
    size = len(unrolled[0]) // repeat.times
    for index, result in enumerate(gradients(repeat, x)):
        expected = np.stack([unrolled[0][k * size + index] for k in range(repeat.times)])
        _close(result, expected, 1e-9, 2e-3)


def test_adapt_walks_the_steps_in_order(finest: str):
    x = 3.0 * data((2, 8, 4)) + 1.0
    repeat = Repeat(step(), 3)
    repeat(x)
    chain = _unrolled(repeat, x)
    _close(repeat.adapt(x), chain.adapt(x))
    for index, each in enumerate(chain.layers):
        for stacked, expected in zip(repeat.stacked, each.weights, strict=True):
            _close(stacked[index], expected)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="JAX's arrays never change")
def test_no_weights_are_kept_twice_after_adapt():
    repeat = Repeat(Chain([ActNorm(), AffineCoupling(ConvNet(width=512))]), times=8)
    repeat.build((2, 8, 4))
    weights = sum(4 * v.value.shape.num_elements() for v in repeat.stacked)
    _move(repeat)
    held = _allocated()
    repeat.adapt(data((2, 8, 4)))
    assert ops.convert_to_numpy(repeat.stacked[0]).any()
    assert abs(_allocated() - held) < weights / 4
    _move(repeat)
    assert abs(_allocated() - held) < weights / 4


def _move(repeat: Repeat) -> None:
    """Double trained weights, so that TensorFlow's memory, not numpy's, holds them."""
    for variable in repeat.stacked:
        if variable.trainable:
            variable.assign(2 * variable)


def _allocated() -> int:
    """Return the size of all tensors in bytes; skip the test if TensorFlow does not count it."""
    import tensorflow as tf

    gc.collect()
    try:
        return tf.config.experimental.get_memory_info("CPU:0")["current"]
    except ValueError:
        pytest.skip("this TensorFlow does not count the memory of its tensors on a CPU")


@pytest.mark.parametrize(
    ("scale", "given", "masked"),
    [
        ("sigmoid", "frames", True),
        *(
            [("bounded", "none", False), ("bounded", "none", True), ("additive", "item", False)]
            if BACKEND == "tensorflow"
            else []  # JAX compiles each anew
        ),
    ],
)
def test_inverted_gradients_are_the_stored_ones(scale: str, given: str, masked: bool, finest: str):
    shape = CONDITIONS[given]
    pattern = Chain([*step().layers[:2], AffineCoupling(small_net(), scale)])
    x, condition = data((2, 8, 4)), None if shape is None else data(shape, 2)
    mask = ops.convert_to_tensor(_mask()) if masked else None
    result = {}
    for backprop in ("stored", "inverted"):
        keras.utils.set_random_seed(0)
        repeat = Repeat(pattern, 3, backprop)
        repeat(x, condition, mask)
        nudge(repeat, seed=3)
        result[backprop] = all_gradients(repeat, (x, condition, mask))
    for stored, inverted in zip(result["stored"], result["inverted"], strict=True):
        _close(inverted, stored, 1e-9, 2e-3)


def test_networks_in_bfloat16_are_recomputed_as_they_were(precision: str):
    network = small_net(dtype="mixed_bfloat16")
    pattern = Chain([*step().layers[:2], AffineCoupling(network)])
    x = data((2, 8, 4))
    result = {}
    for backprop in ("stored", "inverted"):
        keras.utils.set_random_seed(0)
        repeat = Repeat(pattern, 3, backprop)
        repeat(x)
        nudge(repeat, seed=3)
        result[backprop] = all_gradients(repeat, (x,))
    for stored, inverted in zip(result["stored"], result["inverted"], strict=True):
        _close(inverted, stored, 1e-9, 5e-2)


def test_gradients_of_inverted_gradients_are_the_stored_ones(finest: str):
    pattern = Chain([*step().layers[:2], AffineCoupling(small_net())])
    x, result = data((2, 8, 4)), {}
    for backprop in ("stored", "inverted"):
        keras.utils.set_random_seed(0)
        repeat = Repeat(pattern, 3, backprop)
        repeat(x)
        nudge(repeat, seed=3)
        result[backprop] = _second_gradient(repeat, x)
    _close(result["inverted"], result["stored"], 1e-9, 2e-3)


def _second_gradient(repeat: Repeat, x):
    """Return the gradient by `x` of the squared norm of the gradient of `sum z^3 - log_det`."""

    def objective(x):
        z, log_det = repeat(x)
        return ops.sum(z**3) - ops.sum(log_det)

    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(jax.grad(lambda x: ops.sum(ops.square(jax.grad(objective)(x)))))(x)
    import tensorflow as tf

    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape() as inner:
            inner.watch(x)
            value = objective(x)
        squares = ops.sum(ops.square(inner.gradient(value, x)))
    return outer.gradient(squares, x)


def test_dropped_units_are_dropped_again(finest: str):
    pattern = Chain([InvertibleConv(), AffineCoupling(small_net(dropout=0.5))])
    x = data((2, 8, 4))
    result = {}
    for backprop in ("stored", "inverted"):
        keras.utils.set_random_seed(0)
        repeat = Repeat(pattern, 2, backprop)
        repeat(x)
        nudge(repeat, seed=3)
        repeat.seed_generator.state.assign([3, 4])
        result[backprop] = gradients(repeat, x, training=True)
        assert float(np.abs(repeat(x, training=True)[0] - repeat(x)[0]).max()) > 1e-3
    for stored, inverted in zip(result["stored"], result["inverted"], strict=True):
        _close(inverted, stored, 1e-9, 2e-3)


def test_every_step_has_weights_of_its_own():
    repeat = Repeat(step(), 2)
    repeat.build((None, None, 4))
    one, other = repeat.step_weights(0), repeat.step_weights(1)
    assert list(one) == [v.name for v in repeat.stacked]
    lower = next(name for name in one if name.endswith("lower"))
    assert np.abs(one[lower] - other[lower]).max() > 1e-3
    with pytest.raises(IndexError, match=r"0\.\.1"):
        repeat.step_weights(2)


def test_steps_that_cannot_be_repeated_are_refused():
    with pytest.raises(ValueError, match="at least one step"):
        Repeat(step(), 0)
    with pytest.raises(ValueError, match="backprop"):
        Repeat(step(), 2, backprop="none")
    with pytest.raises(ValueError, match="keeps the shape"):
        Repeat(Squeezed(AffineCoupling(small_net()), 2), 2).build((None, None, 4))


@keras.saving.register_keras_serializable("singlow_tests")
class Dropped(Network):
    """A network that ignores its inputs and returns dropout of ones."""

    receptive_field = (0, 0)

    def build(self, x_shape, condition_shape=None):
        self.drop = keras.layers.Dropout(0.5, name="drop", dtype=self.dtype_policy)

    def _run(self, x, condition, frame_mask, training):
        return self.drop(ops.ones_like(x), training=training)


def test_steps_drop_different_units():
    repeat = Repeat(AffineCoupling(Dropped(), "additive"), 2)
    z = ops.convert_to_numpy(repeat(data((4, 32, 2)) * 0, training=True)[0])[..., 1]
    counts = {value: int((z == value).sum()) for value in (0.0, 2.0, 4.0)}
    assert sum(counts.values()) == 128
    assert counts[2.0] > 30  # one step dropped these units and the other kept them
