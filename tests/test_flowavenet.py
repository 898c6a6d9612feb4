"""Test FloWaveNet: the published size, inversion, context, padding, causality, wrong arguments."""

import functools
import json
import math

import keras
import numpy as np
import pytest

from singlow.models import FloWaveNet, preset
from singlow.spectral import RECIPES, mel_spectrogram
from singlow.testing import nudge
from tests.conftest import BACKEND
from tests.test_flow import noise, to_numpy

untraced = pytest.mark.usefixtures("eager")
PUBLISHED = {"conditioning": "halves", "mixing": "swap", "scale": "exp"}


def tiny(**overrides) -> FloWaveNet:
    return FloWaveNet.from_preset("flowavenet_tiny", **{"mel_width": 8, "width": 8, **overrides})


@functools.cache
def nudged(**overrides) -> FloWaveNet:
    """Return a model with perturbed weights. Tests share it and must not change it."""
    keras.utils.set_random_seed(0)
    model = tiny(**overrides)
    nudge(model)
    return model


def given(frames: int, batch: int = 1, seed: int = 0) -> dict[str, np.ndarray]:
    """Return audio and a mel of this number of frames."""
    rng = np.random.default_rng(seed)
    mel = rng.random((batch, frames, 80)).astype("float32")
    return {"x": noise((batch, 256 * frames, 1)), "mel": mel}


def test_the_original_has_the_published_weights():
    """The published model has 182,644,788 weights.

    The test builds one of the three equal cycles of each block and multiplies.
    """
    model = FloWaveNet.from_preset("flowavenet_original", k_glow=2)
    size = {w.path: math.prod(w.shape) for w in model.trainable_weights}
    cycles = sum(n for path, n in size.items() if "/repeat/" in path)
    assert preset("flowavenet_original").arguments["k_glow"] == 6
    assert sum(size.values()) + 2 * cycles == 182_644_788
    assert model.multiple == 256


def test_the_networks_of_the_original_see_12304_samples_and_two_frames():
    model = FloWaveNet.from_preset("flowavenet_original", width=2, k_glow=6, n_mels=2)
    assert model.context == (12_304 + 512, 12_304 + 512)


@untraced
@pytest.mark.parametrize("overrides", [{}, {"causal": True, "layers": 1}, PUBLISHED])
def test_it_inverts(overrides):
    model, inputs = nudged(**overrides), given(3, batch=2)
    z = model.encode(inputs)
    assert len(z) == 2
    back = to_numpy(model.decode(z, {"mel": inputs["mel"]}))
    np.testing.assert_allclose(back, inputs["x"], atol=1e-4)


@untraced
@pytest.mark.parametrize("overrides", [{}, PUBLISHED])
def test_padding_costs_nothing(overrides):
    model, inputs = nudged(**overrides), given(3)
    x = np.concatenate([inputs["x"], np.ones((1, 512, 1), np.float32)], axis=1)
    mel = np.concatenate([inputs["mel"], np.ones((1, 2, 80), np.float32)], axis=1)
    mask = (np.arange(5 * 256) < 3 * 256)[None].astype(np.float32)
    padded = {"x": x, "mel": mel, "frame_mask": mask}
    alone = to_numpy(model.log_prob(inputs))
    np.testing.assert_allclose(to_numpy(model.log_prob(padded)), alone, rtol=1e-5)


@untraced
@pytest.mark.parametrize("overrides", [{}, {"causal": True}, PUBLISHED])
def test_latents_depend_on_samples_within_the_context_alone(overrides):
    model = nudged(**overrides)
    frames = 21
    inputs = given(frames)
    middle = frames // 2
    other = {key: value.copy() for key, value in inputs.items()}
    other["x"][:, 256 * middle : 256 * (middle + 1)] += 1.0
    other["mel"][:, middle] += 1.0
    before, after = model.context
    for z, moved in zip(model.encode(inputs), model.encode(other), strict=True):
        step = 256 * frames // z.shape[1]
        changed = np.abs(to_numpy(moved) - to_numpy(z)).max(axis=(0, 2)) > 0
        places = step * np.flatnonzero(changed)
        assert places.min() + step > 256 * middle - after
        assert places.max() < 256 * (middle + 1) + before
        assert overrides.get("causal") is not True or places.min() >= 256 * middle


@untraced
@pytest.mark.parametrize("overrides", [{}, PUBLISHED])
def test_the_folded_flow_is_the_whole_one_in_tiles(overrides):
    model, inputs = nudged(**overrides), given(5)
    coder = model.for_inference(tile=37)
    assert type(coder) is FloWaveNet
    z = model.encode(inputs)
    for found, expected in zip(coder.encode(inputs), z, strict=True):
        np.testing.assert_allclose(to_numpy(found), to_numpy(expected), atol=1e-4)
    mel = {"mel": inputs["mel"]}
    back = to_numpy(coder.decode(z, mel))
    np.testing.assert_allclose(back, to_numpy(model.decode(z, mel)), atol=1e-4)


def test_inputs_of_a_window_are_those_of_the_whole_clip():
    model = nudged()
    audio = 0.1 * np.random.default_rng(1).standard_normal((20 * 256, 1)).astype(np.float32)
    whole = model.mel_of(audio)
    assert whole.shape == (20, 80)
    start, frames = 5 * 256, 4
    around = audio[start - model.margin : start + 256 * frames + model.margin]
    found = model.inputs_of(None, around)["mel"]
    np.testing.assert_allclose(found, whole[5:9], atol=1e-5)


@untraced
def test_a_sample_has_as_many_samples_as_its_mel_has_hops():
    x, lengths = nudged().sample({"mel": given(3)["mel"]}, temperature=0.5, seed=1)
    assert tuple(x.shape) == (1, 768, 1)
    assert lengths.tolist() == [768]


def test_fit_learns_to_read_the_mel():
    keras.utils.set_random_seed(0)
    model = tiny(k_glow=1, l_glow=1, squeeze=16)
    rng = np.random.default_rng(0)
    loud = np.repeat(rng.choice([0.01, 0.3], (8, 8)), 256, axis=1)
    audio = (loud * rng.standard_normal(loud.shape)).astype("float32")
    mel = np.stack([model.mel_of(clip) for clip in audio])
    inputs = {"x": audio[..., None], "mel": mel}
    model.adapt(inputs)
    model.compile(keras.optimizers.Adam(1e-2), jit_compile=BACKEND == "jax")
    history = model.fit(inputs, batch_size=8, epochs=80, verbose=0).history["bits_per_sample"]
    assert history[-1] < history[0] - 0.5
    wrong = {**inputs, "mel": mel[:, ::-1].copy()}
    right, other = (to_numpy(model.log_prob(each)).mean() for each in (inputs, wrong))
    assert right > other


@untraced
def test_every_weight_is_made_again_from_its_config():
    model = nudged()
    again = FloWaveNet.from_config(json.loads(json.dumps(model.get_config())))
    again.set_weights(model.get_weights())
    assert [w.path for w in again.weights] == [w.path for w in model.weights]
    inputs = given(1)
    np.testing.assert_allclose(
        to_numpy(again.log_prob(inputs)), to_numpy(model.log_prob(inputs)), rtol=1e-6
    )


def test_the_recipe_follows_the_arguments():
    model = tiny(recipe="tacotron", sample_rate=8000, hop_length=128, n_mels=40)
    assert model.recipe.differences(RECIPES["tacotron"]) == [
        "sample_rate: 8000, 22050",
        "hop_length: 128, 256",
        "n_mels: 40, 80",
        "high: 4000.0, 8000.0",
    ]
    audio = np.zeros(1280, np.float32)
    np.testing.assert_array_equal(model.mel_of(audio), mel_spectrogram(audio, model.recipe)[:10])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"hop_length": 200}, r"multiple of the squeezes together, .* = 16. Received: hop_l.*200"),
        ({"l_glow": 8, "hop_length": 128}, "multiple of the squeezes"),
        ({**PUBLISHED, "hop_length": 128}, "upsample_scales whose product is hop_length"),
        ({**PUBLISHED, "k_glow": 3}, "an even k_glow"),
        ({**PUBLISHED, "mixing": "plu"}, "mixing='swap'"),
        ({"mixing": "swap", "squeeze": 1}, "two channels"),
        ({"conditioning": "upsampled"}, "conditioning"),
        ({"recipe": "other"}, "recipe"),
        ({"scale_limit": 0.0}, "scale_limit"),
        ({"n_mels": 0}, "n_mels"),
        ({"kernel_size": 0}, "kernel_size"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        tiny(**arguments)
