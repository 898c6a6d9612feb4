"""Test WaveGlow: the published size, inversion, context, padding, training, wrong arguments."""

import functools
import math

import keras
import numpy as np
import pytest

from singlow.models import WaveGlow, preset
from singlow.networks import TransposedConvolution
from singlow.testing import nudge
from tests.conftest import BACKEND
from tests.test_flow import noise, to_numpy

PUBLISHED = {"conditioning": "upsampled", "mixing": "plain", "scale": "exp"}


def tiny(**overrides) -> WaveGlow:
    return WaveGlow.from_preset("waveglow_tiny", **{"mel_width": 8, "width": 8, **overrides})


@functools.cache
def nudged(**overrides) -> WaveGlow:
    """Return a model with perturbed weights. Tests share it and must not change it."""
    keras.utils.set_random_seed(0)
    model = tiny(**overrides)
    nudge(model)
    return model


def given(frames: int, batch: int = 1, seed: int = 0) -> dict[str, np.ndarray]:
    """Return audio and a mel of this number of frames."""
    rng = np.random.default_rng(seed)
    mel = rng.standard_normal((batch, frames, 80)).astype("float32")
    return {"x": noise((batch, 256 * frames, 1)), "mel": mel}


def test_the_original_has_the_published_weights():
    """The published model has 87,879,272 weights with weight norm.

    The test builds one of the four equal steps of each level and multiplies.
    """
    model = WaveGlow.from_preset("waveglow_original", k_glow=1)
    size = {w.path: math.prod(w.shape) for w in model.trainable_weights}
    steps = sum(n for path, n in size.items() if "/level_" in path)
    assert preset("waveglow_original").arguments["k_glow"] == 4
    assert sum(size.values()) + 3 * steps == 87_879_272
    assert model.multiple == 256
    assert [layer.dilation for layer in model._network().dilated][-1] == 128
    # All 12 couplings see 24,480 samples before and after.
    assert model.receptive_field == (24_480 // 12, 24_480 // 12)
    assert model.context == (24_480 // 4 + 3 * 256, 24_480 // 4)


@pytest.mark.parametrize("overrides", [{}, PUBLISHED])
def test_it_inverts_and_a_sample_has_the_length_of_its_mel(overrides):
    model, inputs = nudged(**overrides), given(3, batch=2)
    z = model.encode(inputs)
    assert [latent.shape[1:] for latent in z] == [(96, 2), (96, 6)]
    back = to_numpy(model.decode(z, {"mel": inputs["mel"]}))
    np.testing.assert_allclose(back, inputs["x"], atol=1e-4)
    x, lengths = model.sample({"mel": inputs["mel"]}, temperature=0.5, seed=1)
    assert tuple(x.shape) == (2, 768, 1)
    assert lengths.tolist() == [768, 768]


@pytest.mark.parametrize("overrides", [{}, PUBLISHED])
def test_padding_costs_nothing(overrides):
    model, inputs = nudged(**overrides), given(3)
    x = np.concatenate([inputs["x"], np.ones((1, 512, 1), np.float32)], axis=1)
    mel = np.concatenate([inputs["mel"], np.ones((1, 2, 80), np.float32)], axis=1)
    mask = (np.arange(5 * 256) < 3 * 256)[None].astype(np.float32)
    alone = to_numpy(model.log_prob(inputs))
    padded = model.log_prob({"x": x, "mel": mel, "frame_mask": mask})
    np.testing.assert_allclose(to_numpy(padded), alone, rtol=1e-5)


@pytest.mark.parametrize("overrides", [{}, PUBLISHED])
def test_latents_depend_on_samples_within_the_context_alone(overrides):
    model = nudged(**overrides)
    frames, middle = 21, 10
    inputs = given(frames)
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


@pytest.mark.parametrize("overrides", [{}, PUBLISHED])
def test_the_folded_flow_is_the_whole_one_in_tiles(overrides):
    model, inputs = nudged(**overrides), given(5)
    coder = model.for_inference(tile=37)
    assert type(coder) is WaveGlow
    z = model.encode(inputs)
    for found, expected in zip(coder.encode(inputs), z, strict=True):
        np.testing.assert_allclose(to_numpy(found), to_numpy(expected), atol=1e-4)
    mel = {"mel": inputs["mel"]}
    back = to_numpy(coder.decode(z, mel))
    np.testing.assert_allclose(back, to_numpy(model.decode(z, mel)), atol=1e-4)


def test_a_transposed_convolution_adds_each_frame_to_the_samples_after_it():
    layer = TransposedConvolution(2, scale=4, overlap=3)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 5, 3)).astype("float32")
    layer.build(x.shape)
    kernel = rng.standard_normal((12, 3, 2)).astype("float32")
    layer.kernel.assign(kernel)
    layer.bias.assign([1.0, -1.0])
    expected = np.zeros((2, 5 * 4 + 8, 2))
    for frame in range(5):
        expected[:, 4 * frame : 4 * frame + 12] += np.einsum("bc,tco->bto", x[:, frame], kernel)
    expected = expected[:, :20] + [1.0, -1.0]
    np.testing.assert_allclose(to_numpy(layer(x)), expected, atol=1e-5)
    assert layer.compute_output_shape(x.shape) == expected.shape
    mask = np.float32([[1, 1, 1, 0, 0]] * 2)
    short = to_numpy(layer(x[:, :3]))
    np.testing.assert_allclose(to_numpy(layer(x, mask))[:, :12], short, atol=1e-5)


def test_fit_learns_to_read_the_mel():
    keras.utils.set_random_seed(0)
    model = tiny(k_glow=1)
    rng = np.random.default_rng(0)
    loud = np.repeat(rng.choice([0.01, 0.3], (8, 8)), 256, axis=1)
    audio = (loud * rng.standard_normal(loud.shape)).astype("float32")
    mel = np.stack([model.mel_of(clip) for clip in audio])
    inputs = {"x": audio[..., None], "mel": mel}
    model.adapt(inputs)
    model.compile(keras.optimizers.Adam(1e-2), jit_compile=BACKEND == "jax")
    history = model.fit(inputs, batch_size=8, epochs=15, verbose=0).history["bits_per_sample"]
    assert history[-1] < history[0] - 0.5
    wrong = {**inputs, "mel": mel[:, ::-1].copy()}
    assert to_numpy(model.log_prob(inputs)).mean() > to_numpy(model.log_prob(wrong)).mean()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"squeeze": 3, "l_glow": 2}, "at least 2 channels in the last level"),
        ({"squeeze": 6}, "hop_length to be a multiple of squeeze"),
        ({"scale_limit": 0.0}, "scale_limit above 0"),
        ({"mixing": "swap"}, "Expected mixing in"),
        ({"conditioning": "halves"}, "Expected conditioning in"),
        ({"early_size": 0}, "Expected early_size from 1"),
        ({"layers": 21}, "Expected layers from 1"),
    ],
)
def test_wrong_arguments_are_refused(overrides, message):
    with pytest.raises(ValueError, match=message):
        tiny(**overrides)
