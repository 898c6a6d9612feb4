"""Test Glow: the published size, classes, sizes of images, and training on pictures."""

import functools

import keras
import numpy as np
import pytest
from sklearn.datasets import load_digits

import singlow
from singlow.data.sources.pictures import load_named
from singlow.errors import UsageError
from singlow.models import Glow, preset
from singlow.models.glow import CLASS_BITS
from singlow.runs.data import open_windows, prepare_data
from singlow.runs.opening import build_flow
from singlow.runs.run import locate
from singlow.runs.settings import Request, resolve
from singlow.testing import nudge
from singlow.training.fit import with_all_arguments
from tests.pictures import write_cifar, write_folder, write_mnist
from tests.test_flow import to_numpy


@functools.cache
def nudged(**overrides) -> Glow:
    """Return a model with perturbed weights. Tests share it and must not change it."""
    keras.utils.set_random_seed(0)
    model = Glow.from_preset("glow_tiny", **overrides)
    nudge(model)
    return model


def images(count=3, seed=0):
    return np.random.default_rng(seed).random((count, 8, 8, 1), np.float32)


def size_of(model):
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


def test_the_original_has_the_published_weights():
    """OpenAI's code has 44,519,796 weights for CIFAR-10 with affine couplings and a learned prior.

    This model has a bias beside each inner ActNorm, two full matrices and a diagonal for each PLU
    form, no channel that marks the border of an image, and no logarithmic scale beside the bias of
    the last convolution.
    """
    steps, width, levels = 32, 512, (12, 24, 48)
    ours = 2 * levels[-1]
    original = 2 * ours
    for channels in levels:
        half = channels // 2
        original += steps * (
            channels**2
            + 2 * channels
            + 9 * (half + 1) * width
            + 2 * width
            + width**2
            + 2 * width
            + 9 * (width + 1) * channels
            + 2 * channels
        )
        ours += steps * (
            2 * channels**2
            + channels
            + 2 * channels
            + 9 * half * width
            + 3 * width
            + width**2
            + 3 * width
            + 9 * width * channels
            + channels
        )
    for channels in levels[:-1]:
        half = channels // 2
        original += 9 * (half + 1) * channels + 2 * channels
        ours += 9 * half * channels + channels
    one = Glow.from_preset("glow_cifar10", k_glow=1)
    two = Glow.from_preset("glow_cifar10", k_glow=2)
    count = size_of(one) + (steps - 1) * (size_of(two) - size_of(one))
    assert count == ours == 44_247_852
    assert original == 44_519_796


@pytest.mark.parametrize("conditioning", ["prior", "couplings"])
def test_it_inverts_and_samples_by_class(conditioning):
    model = nudged(conditioning=conditioning)
    inputs = {"label": np.array([0, 3, 9], np.int32)}
    z = model.encode({"x": images(), **inputs})
    np.testing.assert_allclose(to_numpy(model.decode(z, inputs)), images(), atol=1e-5)
    other = model.encode({"x": images(), "label": np.array([1, 3, 9], np.int32)})
    change = np.abs(to_numpy(other[0]) - to_numpy(z[0])).max(axis=(1, 2, 3))
    assert (change > 1e-4).tolist() == [conditioning == "couplings", False, False]
    first, second = (
        to_numpy(model.sample({"label": np.array([label], np.int32)}, seed=0)[0])
        for label in (0, 1)
    )
    assert np.abs(first - second).max() > 1e-4


def test_the_class_changes_the_likelihood_and_is_predicted():
    model = nudged()
    x = np.repeat(images(1), 10, axis=0)
    inputs = {"x": x, "label": np.arange(10, dtype=np.int32)}
    assert np.ptp(to_numpy(model.log_prob(inputs))) > 1e-3
    predicted = to_numpy(model.predict_classes(model.encode(inputs)))
    np.testing.assert_allclose(np.exp(predicted).sum(axis=1), 1.0, atol=1e-5)
    terms = model.loss_terms(inputs, model(inputs))
    np.testing.assert_allclose(
        to_numpy(terms[CLASS_BITS][0]), -np.diag(predicted) / np.log(2), rtol=1e-4
    )


def test_images_without_classes_need_no_labels():
    model = nudged(classes=0)
    assert not model.inputs
    assert list(model.loss_weights) == ["bits_per_dimension"]
    assert to_numpy(model.sample(count=2, seed=0)[0]).shape == (2, 8, 8, 1)
    with pytest.raises(ValueError, match="weight_y"):
        model.predict_classes(model.encode(images()))


def test_sizes_that_the_squeezes_do_not_divide_are_refused():
    with pytest.raises(ValueError, match=r"of 4 .* Received: 30; the nearest are 28 and 32"):
        Glow.from_preset("glow_tiny", img_size=30)
    with pytest.raises(ValueError, match="channels"):
        Glow.from_preset("glow_tiny", channels=2)
    with pytest.raises(ValueError, match="bits"):
        Glow.from_preset("glow_tiny", n_bits=9)


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty working folder with an empty Keras folder."""
    monkeypatch.setattr("keras.src.backend.config.keras_home", lambda: str(tmp_path / "keras"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "keras"


SHORT = {"epochs": 1, "steps_per_epoch": 2, "batch_size": 8}


@pytest.mark.parametrize(
    ("name", "channels", "write"),
    [
        ("mnist", 1, write_mnist),
        pytest.param("cifar10", 3, write_cifar, marks=pytest.mark.slow),
    ],
)
@pytest.mark.usefixtures("eager")
def test_glow_tf2s_commands_run_on_files_of_their_sets(home, name, channels, write):
    """`train.py --dataset mnist --k_glow 16 --l_glow 3 --img_size 32 --channel_size 1`, smaller."""
    from singlow.commands.train import Settings, arguments_of

    write(home)
    flags = Settings(
        dataset=(name,),
        k_glow=1,
        l_glow=3,
        img_size=32,
        channel_size=channels,
        set=("width=4",),
        **SHORT,
    )
    run = singlow.train(**arguments_of(flags))
    assert (run.config["model"], run.config["preset"]) == ("glow", f"glow_{name}")
    assert run.flow.signal.shape(1)[1:] == (32, 32, channels)
    assert [entry.size for entry in run.flow.inputs.values()] == ([2] if name == "mnist" else [])
    for part in ("t0.7", "reconstruction", "interpolation"):
        assert (home.parent / f"logs/glow_{name}/samples/epoch-0001-{part}.png").is_file()


def test_a_folder_of_one_class_trains_without_labels(home, tmp_path):
    write_folder(tmp_path / "set")
    for path in (tmp_path / "set" / "bar").iterdir():
        path.unlink()
    request = Request.of(preset="glow_tiny", dataset=tmp_path / "set")
    config = resolve(request, locate("one", tmp_path / "checkpoints", tmp_path / "logs"))
    flow = build_flow(config)
    config = prepare_data(config, signal=flow.signal)
    config, flow = with_all_arguments(config, flow)
    assert config["arguments"]["classes"] == 0
    assert set(open_windows(config, flow)[0].batch(0)) == {"x"}


def test_a_model_of_images_takes_neither_sound_nor_seconds(home):
    with pytest.raises(UsageError, match=r"Expected pictures for the model glow\. Received: b"):
        singlow.train(preset="glow_tiny", dataset="builtin")
    with pytest.raises(UsageError, match="Expected recordings for the model singlow"):
        singlow.train(preset="singlow_tiny", dataset="digits")
    with pytest.raises(UsageError, match="window_size to be null"):
        singlow.train(preset="glow_tiny", window_size=1.0)


def test_the_preset_is_that_of_the_dataset():
    def chosen(**given):
        return Request.of(**given).name

    assert chosen(model="glow") == "glow_small"
    for model in ({}, {"model": "glow"}):
        assert chosen(dataset="cifar10", **model) == "glow_cifar10"
        assert chosen(dataset="mnist", **model) == "glow_mnist"
    assert chosen(dataset="cifar10", preset="glow_tiny") == "glow_tiny"
    assert chosen(dataset="builtin") == "singlow_16k"


def test_the_default_dataset_keeps_all_of_its_levels():
    """Four bits keep the 17 grey levels of the digits, but for the two darkest, which are one."""
    digits, stored = load_digits().images, load_named("digits").pixels[..., 0] >> 4
    assert len(np.unique(stored)) == 16
    np.testing.assert_array_equal(stored[digits > 0], np.maximum(digits[digits > 0] - 1, 0))
    assert preset("glow_small").dataset == "digits"


@pytest.mark.slow
def test_the_default_run_has_the_figures_of_the_readme(home, tmp_path):
    run = singlow.train(model="glow")
    measured = singlow.evaluate(run)[""]
    assert measured.flow.value == pytest.approx(2.005, abs=0.02)
    assert measured.others["PNG"].value == pytest.approx(3.192, abs=0.001)
    assert measured.others["independent pixels"].value == pytest.approx(2.269, abs=0.001)
    report = singlow.evaluate(run, "migration", output=tmp_path / "page.html")
    assert report.accuracy.value == pytest.approx(0.983, abs=0.01)
    assert report.samples.value == pytest.approx(0.974, abs=0.03)
    assert report.recognised(1.0).value == pytest.approx(0.945, abs=0.03)
    assert report.recognised(0.0).value < 0.01
