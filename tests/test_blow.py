"""Test Blow: the published size, conversion and its inverse, ablations and invalid arguments."""

import contextlib
import functools
import json
import math

import keras
import numpy as np
import pytest

from singlow.errors import UsageError
from singlow.models import PRESETS, Blow, preset
from singlow.testing import nudge
from tests.conftest import BACKEND, untraced
from tests.test_flow import noise, to_numpy


def tiny(**overrides) -> Blow:
    return Blow.from_preset("blow_tiny", **{"speakers": 3, **overrides})


@functools.cache
def nudged(**overrides) -> Blow:
    """Return a model with perturbed weights. Tests share it and must not change it."""
    keras.utils.set_random_seed(0)
    model = tiny(**overrides)
    nudge(model)
    return model


def test_the_original_has_the_published_weights():
    """The published model has 62,113,152 weights with 108 speakers.

    The test builds one of the twelve equal steps of each block and multiplies.
    """
    model = Blow.from_preset("blow_original", speakers=108, k_glow=1)
    embeddings = model.embedding_table("speaker").size
    steps = sum(math.prod(w.shape) for w in model.trainable_weights) - embeddings
    assert embeddings + preset("blow_original").arguments["k_glow"] * steps == 62_113_152
    assert model.multiple == 256


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"multi_scale": True},
        {"conditioning": "additive"},
        {"conditioning": "additive_before_act_norm", "backprop": "inverted"},
    ],
)
def test_it_inverts_for_every_speaker(given):
    model = nudged(**given)
    x = noise((3, 48, 1))
    speaker = np.array([0, 2, 1])
    with untraced() if given else contextlib.nullcontext():
        z = model.encode({"x": x, "speaker": speaker})
        back = to_numpy(model.decode(z, {"speaker": speaker}))
    assert len(z) == (2 if given.get("multi_scale") else 1)
    np.testing.assert_allclose(back, x, atol=1e-5)


def test_a_conversion_is_another_sound_and_can_be_undone():
    model = nudged()
    x = noise((1, 64, 1))
    a, b = ({"speaker": np.array([speaker])} for speaker in (0, 1))
    converted = model.decode(model.encode({"x": x, **a}), b)
    assert np.abs(to_numpy(converted) - x).max() > 1e-3
    back = to_numpy(model.decode(model.encode({"x": converted, **b}), a))
    assert 10 * np.log10((x**2).sum() / ((back - x) ** 2).sum()) >= 40


def test_a_speaker_is_given_by_number_or_by_embedding():
    model = nudged()
    x = noise((2, 32, 1))
    speaker = np.array([2, 0])
    own = model.embedding_table("speaker")[speaker]
    by_number = to_numpy(model.log_prob({"x": x, "speaker": speaker}))
    np.testing.assert_allclose(
        to_numpy(model.log_prob({"x": x, "speaker_embedding": own})), by_number, rtol=1e-6
    )
    swapped = to_numpy(model.log_prob({"x": x, "speaker": speaker[::-1].copy()}))
    assert np.abs(swapped - by_number).min() > 1e-3


def test_padding_costs_nothing():
    model = nudged()
    x = noise((1, 48, 1))
    speaker = np.array([1])
    padded = np.concatenate([x, np.ones((1, 16, 1), x.dtype)], axis=1)
    mask = np.concatenate([np.ones((1, 48)), np.zeros((1, 16))], axis=1).astype(x.dtype)
    given = {"x": padded, "frame_mask": mask, "speaker": speaker}
    alone = to_numpy(model.log_prob({"x": x, "speaker": speaker}))
    np.testing.assert_allclose(to_numpy(model.log_prob(given)), alone, rtol=1e-5)


def test_the_folded_flow_converts_as_the_whole_one():
    model = nudged()
    coder = model.for_inference(tile=3)
    x = noise((1, 160, 1))
    a, b = ({"speaker": np.array([speaker])} for speaker in (2, 1))
    expected, found = (
        to_numpy(flow.decode(flow.encode({"x": x, **a}), b)) for flow in (model, coder)
    )
    assert type(coder) is Blow
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_fit_learns_the_speakers():
    """Each speaker has a pitch, so a clip is more likely with the right speaker."""
    model = tiny(k_glow=3, speakers=2)
    t = np.arange(256)
    rng = np.random.default_rng(0)
    speaker = np.arange(16) % 2
    pitch = np.array([0.05, 0.2])[speaker][:, None]
    x = 0.3 * np.sin(t * pitch + 6 * rng.random((16, 1))) + 0.01 * rng.standard_normal((16, 256))
    given = {"x": x[..., None].astype("float32"), "speaker": speaker.astype("int32")}
    model.adapt(given)
    model.compile(keras.optimizers.Adam(5e-3), jit_compile=BACKEND == "jax")
    history = model.fit(given, batch_size=16, epochs=20, verbose=0).history["bits_per_sample"]
    assert history[-1] < history[0] - 0.5
    right = to_numpy(model.log_prob(given))
    wrong = to_numpy(model.log_prob({**given, "speaker": 1 - given["speaker"]}))
    assert (right > wrong).mean() > 0.8


def test_a_shift_before_each_act_norm_is_learnt():
    keras.utils.set_random_seed(0)
    model = tiny(conditioning="additive_before_act_norm", l_glow=1, backprop="inverted")
    given = {"x": noise((4, 32, 1)), "speaker": np.array([0, 1, 2, 0], np.int32)}
    model.adapt(given)
    (shift,) = (w for w in model.trainable_weights if "shift.kernel" in w.path)
    assert not to_numpy(shift).any()
    model.compile(keras.optimizers.SGD(0.1), jit_compile=BACKEND == "jax")
    model.fit(given, batch_size=4, epochs=1, verbose=0)
    assert np.abs(to_numpy(shift)).max(axis=(1, 2)).min() > 1e-5


@pytest.mark.usefixtures("eager")
def test_every_weight_is_made_again_from_its_config():
    model = nudged()
    again = Blow.from_config(json.loads(json.dumps(model.get_config())))
    again.set_weights(model.get_weights())
    for made, weight in zip(again.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(made, weight)
    assert [w.path for w in again.weights] == [w.path for w in model.weights]
    x = {"x": noise((1, 32, 1)), "speaker": np.array([1])}
    np.testing.assert_allclose(to_numpy(again.log_prob(x)), to_numpy(model.log_prob(x)), rtol=1e-6)


@pytest.mark.usefixtures("eager")
def test_inversion_errors_are_measured_by_block():
    errors = nudged().inversion_errors({"x": noise((1, 32, 1)), "speaker": np.array([1])})
    assert len(errors) == 2
    assert max(errors) < 1e-5


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"speakers": 0}, "speakers"),
        ({"width": 15}, "width to be a multiple"),
        ({"conditioning": "concat"}, "conditioning"),
        ({"squeeze": 1}, "two channels"),
        ({"multi_scale": 3}, "multi_scale"),
        ({"scale": "tan"}, "scale"),
    ],
)
def test_settings_out_of_range_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        tiny(**given)


def test_a_preset_of_another_model_is_refused():
    with pytest.raises(UsageError, match=r"preset of Blow in blow_small.*singlow_tiny"):
        Blow.from_preset("singlow_tiny")


@pytest.mark.parametrize("name", [name for name in PRESETS if PRESETS[name].model == "blow"])
def test_presets_name_arguments_of_the_model(name: str):
    arguments = {**preset(name).arguments, "k_glow": 1, "l_glow": 2, "width": 64}
    model = Blow(speakers=2, **arguments)
    assert model.multiple == arguments["squeeze"] * arguments["level_squeeze"]


@pytest.mark.parametrize("speaker", [[99], [-1], [1.5]])
def test_an_unknown_speaker_is_refused(speaker):
    with pytest.raises(ValueError, match="speaker as whole numbers from 0 to 2"):
        nudged().log_prob({"x": noise((1, 32, 1)), "speaker": np.array(speaker)})


def test_a_missing_or_unknown_input_is_refused():
    x = noise((1, 32, 1))
    with pytest.raises(ValueError, match="no speaker"):
        nudged().log_prob(x)
    with pytest.raises(ValueError, match="unknown singer"):
        nudged().encode({"x": x, "speaker": np.array([1]), "singer": np.array([1])})


def test_samples_depend_on_the_speaker():
    one, lengths = nudged().sample({"speaker": np.array([0, 1, 1])}, length=40, seed=0)
    assert one.shape == (3, 40, 1)
    assert lengths.tolist() == [40, 40, 40]
    other, _ = nudged().sample({"speaker": np.array([1, 1, 1])}, length=40, seed=0)
    assert np.abs(to_numpy(one - other)).max((1, 2)).tolist()[1:] == [0.0, 0.0]
    assert np.abs(to_numpy(one - other))[0].max() > 1e-3
