"""The guarded optimizer, its schedule and the constants of a run, on the current backend."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest

from singlow.errors import UsageError
from singlow.training.optimizer import GuardedAdam, WarmUp, compile_flow

COMPILED = keras.backend.backend() == "jax"
to_numpy = keras.ops.convert_to_numpy


def small_model(optimizer: keras.optimizers.Optimizer) -> keras.Model:
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.layers.Embedding(9, 4, name="embedding"), keras.layers.Dense(1, name="dense")],
        name="small",
    )
    model.build((None,))
    model.compile(optimizer, "mse", jit_compile=COMPILED)
    return model


class Recorder(keras.callbacks.Callback):
    """Copy every state of the model and the optimizer after every batch."""

    def on_train_begin(self, logs=None):
        self.weights, self.optimizer, self.norms = [], [], []

    def on_train_batch_end(self, batch, logs=None):
        if COMPILED:
            self.model.jax_state_sync()
        optimizer = self.model.optimizer
        skip = (optimizer.gradient_norm.path, optimizer.refused.path)
        self.weights.append([to_numpy(v) for v in self.model.trainable_variables])
        self.optimizer.append([to_numpy(v) for v in optimizer.variables if v.path not in skip])
        self.norms.append(float(to_numpy(optimizer.gradient_norm)))


@pytest.fixture
def poisoned():
    generator = np.random.RandomState(0)
    x, y = generator.randint(0, 9, 40), generator.randn(40, 1).astype("float32")
    y[16] = np.nan  # an item of the third batch, with 8 items per batch
    return x, y


def test_a_gradient_that_is_not_finite_changes_nothing(poisoned):
    x, y = poisoned
    optimizer = GuardedAdam(1e-2, use_ema=True, global_clipnorm=1.0, name="adam")
    model, seen = small_model(optimizer), Recorder()
    model.fit(x, y, batch_size=8, shuffle=False, verbose=0, callbacks=[seen])
    for states in (seen.weights, seen.optimizer):
        assert all((p == q).all() for p, q in zip(states[1], states[2], strict=True))
        assert not all((p == q).all() for p, q in zip(states[2], states[3], strict=True))
    assert int(to_numpy(optimizer.refused)) == 1
    assert int(to_numpy(optimizer.iterations)) == 4
    assert not np.isfinite(seen.norms[2])
    assert all(np.isfinite(norm) and norm > 0 for k, norm in enumerate(seen.norms) if k != 2)
    assert all(np.isfinite(to_numpy(v)).all() for v in model.variables)


@pytest.mark.parametrize(
    "options",
    [
        {"amsgrad": True},
        {"weight_decay": 0.1},
        {"clipnorm": 0.5},
        {"global_clipnorm": None},
        {"epsilon": 0.0},
        {"constraint": keras.constraints.UnitNorm()},
        {"overwrite_with_gradient": True},
        {"gradient_accumulation_steps": 2},
        {"use_ema": True, "ema_overwrite_frequency": 1},
    ],
    ids=lambda options: next(iter(options)),
)
def test_a_refusal_holds_for_every_option(options):
    variable = keras.Variable(np.linspace(-1, 1, 3, dtype="float32"), name="weight")
    for name in ("constraint", "overwrite_with_gradient"):
        if name in options:
            setattr(variable, name, options[name])
    options = {name: value for name, value in options.items() if not hasattr(variable, name)}
    optimizer = GuardedAdam(1e-2, **options, name="adam")
    optimizer.build([variable])
    skip = (optimizer.gradient_norm.path, optimizer.refused.path)

    def states() -> list[np.ndarray]:
        kept = [v for v in optimizer.variables if v.path not in skip]
        return [to_numpy(v).copy() for v in [variable, *kept]]

    for value in (1.0, 1.0, np.inf, np.nan, 1.0, 1.0):
        before = states()
        gradient = keras.ops.convert_to_tensor(np.array([1.0, value, -1.0], "float32"))
        optimizer.apply([gradient], [variable])
        same = all((p == q).all() for p, q in zip(before, states(), strict=True))
        assert same != np.isfinite(value)
    assert int(to_numpy(optimizer.refused)) == 2


def test_its_updates_are_those_of_adam():
    guarded = GuardedAdam(1e-2, global_clipnorm=1.0, name="adam")
    plain = keras.optimizers.Adam(1e-2, global_clipnorm=1.0, name="plain")
    variables = [keras.Variable(np.linspace(-1, 1, 5, dtype="float32")) for _ in range(2)]
    generator = np.random.default_rng(0)
    for scale in (0.1, 10.0, 1.0, 0.01, 5.0):
        gradient = keras.ops.convert_to_tensor(scale * generator.standard_normal(5, "float32"))
        for optimizer, variable in zip((guarded, plain), variables, strict=True):
            optimizer.apply([gradient], [variable])
    np.testing.assert_allclose(*(to_numpy(v) for v in variables), rtol=1e-5)


def test_the_norm_is_the_one_before_clipping():
    optimizer = GuardedAdam(1e-2, global_clipnorm=1.0, name="adam")
    variable = keras.Variable(np.zeros(2, "float32"), name="weight")
    optimizer.apply([keras.ops.convert_to_tensor(np.array([30.0, 40.0], "float32"))], [variable])
    assert float(to_numpy(optimizer.gradient_norm)) == pytest.approx(50.0)


def test_an_accumulated_gradient_is_clipped_by_its_own_norm():
    """The mean gradient is clipped even if the last mini-batch has a small gradient."""
    options = {"global_clipnorm": 1.0, "gradient_accumulation_steps": 2}
    guarded = GuardedAdam(1e-2, epsilon=1.0, **options, name="adam")
    plain = keras.optimizers.Adam(1e-2, epsilon=1.0, **options, name="plain")
    variables = [keras.Variable(np.zeros(2, "float32")) for _ in range(2)]
    for gradient in ([30.0, 40.0], [0.3, 0.4], [0.0, 2.0], [0.0, 4.0]):
        for optimizer, variable in zip((guarded, plain), variables, strict=True):
            tensor = keras.ops.convert_to_tensor(np.array(gradient, "float32"))
            optimizer.apply([tensor], [variable])
    np.testing.assert_allclose(*(to_numpy(v) for v in variables), rtol=1e-5)
    assert float(to_numpy(guarded.gradient_norm)) == pytest.approx(3.0)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_the_norm_does_not_overflow_where_gradients_do_not(dtype):
    optimizer = GuardedAdam(1e-2, name="adam")
    variable = keras.Variable(np.zeros(100), dtype=dtype, name="weight")
    gradient = keras.ops.convert_to_tensor(np.full(100, 1000.0), dtype=dtype)
    optimizer.apply([gradient], [variable])
    assert float(to_numpy(optimizer.gradient_norm)) == pytest.approx(1e4, rel=1e-2)
    optimizer.apply([], [])
    assert int(to_numpy(optimizer.iterations)) == 1


def test_averages_warm_up_and_stay_apart():
    optimizer = GuardedAdam(0.1, use_ema=True, ema_momentum=0.9, name="adam")
    variable = keras.Variable(np.zeros(3, "float32"), name="weight")
    optimizer.build([variable])
    expected = None
    for step in range(60):
        gradient = np.full(3, 1.0 if step % 3 else -0.5, "float32")
        optimizer.apply([keras.ops.convert_to_tensor(gradient)], [variable])
        weight = to_numpy(variable)
        momentum = min(0.9, (1 + step) / (10 + step)) if step else 0.0
        expected = weight if step == 0 else momentum * expected + (1 - momentum) * weight
    ((trained, average),) = optimizer.averages()
    np.testing.assert_allclose(to_numpy(average), expected, rtol=1e-5)
    optimizer.finalize_variable_values([variable])
    assert (to_numpy(trained) != to_numpy(average)).all()


def test_it_may_be_built_before_fit(poisoned):
    model = small_model(GuardedAdam(0.1, use_ema=True, name="adam"))
    model.optimizer.build(model.trainable_variables)
    model.fit(*(part[:16] for part in poisoned), batch_size=8, verbose=0)
    assert int(to_numpy(model.optimizer.iterations)) == 2


def test_the_schedule_follows_its_formula():
    schedule = WarmUp(2e-3, warmup_steps=10, decay_steps=50)
    for t in (0, 4, 9, 10, 50, 1000):
        expected = 2e-3 * min((t + 1) / 10, 1) / np.sqrt(1 + t / 50)
        assert float(schedule(t)) == pytest.approx(expected, rel=1e-5)
    assert WarmUp.from_config(schedule.get_config()).get_config() == schedule.get_config()
    assert float(WarmUp(2e-3, warmup_steps=10)(5000)) == pytest.approx(2e-3)
    with pytest.raises(ValueError, match="Received: peak=-1"):
        WarmUp(-1)


def test_the_schedule_of_noam_has_its_peak_after_the_warm_up():
    """The published rate is `width ** -0.5 * min(n ** -0.5, n * warmup ** -1.5)` at step n."""
    schedule = WarmUp(192**-0.5 * 4000**-0.5, 4000, noam=True)
    for n in (1, 100, 4000, 4001, 100000):
        expected = 192**-0.5 * min(n**-0.5, n * 4000**-1.5)
        assert float(schedule(n - 1)) == pytest.approx(expected, rel=1e-5)
    assert WarmUp.from_config(schedule.get_config()).noam


def test_a_rectified_rate_is_that_of_radam():
    """The first steps change no weight; the others are steps of Adam with a smaller rate."""
    rectified = GuardedAdam(1e-2, beta_2=0.99, rectified=True, name="adam")
    plain = keras.optimizers.Adam(1e-2, beta_2=0.99, name="plain")
    one, other = (keras.Variable(np.ones(3, "float32")) for _ in range(2))
    generator = np.random.default_rng(0)
    longest = 2 / (1 - 0.99) - 1
    for t in range(1, 40):
        gradient = keras.ops.convert_to_tensor(generator.standard_normal(3, "float32"))
        before = [to_numpy(variable).copy() for variable in (one, other)]
        rectified.apply([gradient], [one])
        plain.apply([gradient], [other])
        length = longest - 2 * t * 0.99**t / (1 - 0.99**t)
        share = 0.0
        if length > 5:
            share = (length - 4) * (length - 2) * longest
            share = (share / ((longest - 4) * (longest - 2) * length)) ** 0.5
        moved = to_numpy(one) - before[0]
        np.testing.assert_allclose(moved, share * (to_numpy(other) - before[1]), atol=2e-6)
    assert 0.3 < share < 1


def test_an_optimizer_is_restored_from_its_config():
    optimizer = GuardedAdam(
        WarmUp(1e-3), use_ema=True, global_clipnorm=5.0, rectified=True, name="adam"
    )
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert isinstance(again, GuardedAdam)
    assert again.rectified
    assert again.global_clipnorm == 5.0
    assert again.use_ema


def test_the_constants_of_a_run():
    """These numbers belong to the presets: a change of one changes every run."""
    compiled = {}
    variable = keras.Variable(np.zeros(3, "float32"), name="weight")
    flow = SimpleNamespace(
        trainable_variables=[variable],
        get_config=dict,
        compile=lambda optimizer, jit_compile: compiled.update(optimizer=optimizer),
    )
    compile_flow(flow, {"learning_rate": 3e-3, "warmup_steps": 100, "decay_steps": 1000})
    optimizer = compiled["optimizer"]
    assert type(optimizer) is GuardedAdam
    assert (optimizer.use_ema, optimizer.ema_momentum) == (True, 0.999)
    assert (optimizer.global_clipnorm, optimizer.clipnorm, optimizer.clipvalue) == (
        10.0,
        None,
        None,
    )
    assert (optimizer.beta_1, optimizer.beta_2, optimizer.epsilon) == (0.9, 0.999, 1e-7)
    assert (optimizer.weight_decay, optimizer.amsgrad, optimizer.anneals) == (None, False, False)
    rates = {0: 3e-5, 49: 1.4646e-3, 99: 2.8617e-3, 1000: 2.1213e-3, 11000: 8.6603e-4}
    for step, rate in rates.items():
        assert float(optimizer._learning_rate(step)) == pytest.approx(rate, rel=1e-4)


@pytest.mark.skipif(COMPILED, reason="strategies are TensorFlow's")
def test_a_strategy_is_refused_in_one_line():
    import tensorflow as tf

    from singlow.models.singlow import SinGlow

    with tf.distribute.MirroredStrategy(["CPU:0"]).scope():
        for create in (
            lambda: GuardedAdam(1e-3),
            lambda: SinGlow.from_preset("singlow_tiny", k_glow=1, l_glow=1, width=4),
        ):
            with pytest.raises(UsageError, match=r"does not train under tf\.distribute") as error:
                create()
            assert "\n" not in str(error.value)
