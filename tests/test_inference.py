"""Test that flows for inference equal their models, and code long songs in little memory."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import MappingProxyType
from unittest import mock

import numpy as np
import pytest

from singlow.inputs import Input
from singlow.latents import codes
from singlow.models import SinGlow
from singlow.signals import Audio
from singlow.testing import nudge

ROOT = Path(__file__).resolve().parents[1]

SONGS = """
import json, resource, sys
import numpy as np
from singlow.models import SinGlow
from singlow.testing import nudge

def code(flow, seconds):
    rng = np.random.default_rng(0)
    x = 0.1 * rng.standard_normal((1, 16000 * seconds, 1), np.float32)
    z = flow.encode(x)
    back = np.asarray(flow.decode(z))
    peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return x, z, back, peak

model = SinGlow.from_preset("singlow_16k", k_glow=int(sys.argv[2]))
nudge(model, scale=0.02)
flow = model.for_inference()
code(flow, 10)
x, z, back, before = code(flow, 10)
whole = model.for_inference(tile=None).encode(x)
tiled = max(float(abs(np.asarray(p) - np.asarray(q)).max()) for p, q in zip(z, whole))
x, z, back, after = code(flow, int(sys.argv[1]))
error = float(abs(back - x).max())
print(json.dumps({"bytes": (after - before) / x.size, "tiled": tiled, "error": error}))
"""


@pytest.fixture(scope="module")
def model():
    model = SinGlow.from_preset("singlow_tiny")
    nudge(model)
    return model


@pytest.fixture(scope="module")
def flow(model):
    """The model for inference, whose networks are evaluated in tiles."""
    return model.for_inference(tile=32)


def noise(*shape, seed=0):
    return 0.1 * np.random.default_rng(seed).standard_normal(shape).astype("float32")


def test_a_flow_for_inference_equals_its_model(model, flow):
    x = noise(2, 1024, 1)
    for z, expected in zip(flow.encode(x), model.encode(x), strict=True):
        np.testing.assert_allclose(z, expected, atol=1e-5)
    np.testing.assert_allclose(flow.log_prob(x), model.log_prob(x), rtol=1e-5)
    np.testing.assert_allclose(flow.decode(flow.encode(x)), x, atol=1e-5)
    sampled, lengths = flow.sample(length=500, seed=1)
    assert (sampled.shape, lengths.tolist()) == ((1, 500, 1), [500])
    np.testing.assert_allclose(sampled, model.sample(length=500, seed=1)[0], atol=1e-5)
    assert type(flow) is type(model)
    assert (flow.signal, flow.inputs) == (model.signal, model.inputs)
    assert not flow.trainable_variables or not any("gain" in v.path for v in flow.weights)


@pytest.mark.parametrize("temperature", [0.0, 0.3, 1.0])
def test_samples_are_decoded_noise_times_the_temperature(flow, temperature):
    rng = np.random.default_rng(5)
    z = [temperature * rng.standard_normal(shape) for shape in flow.latent_shapes(2, 512)]
    expected = np.asarray(flow.decode(z))
    x, _ = flow.sample(count=2, length=500, temperature=temperature, seed=5)
    np.testing.assert_allclose(x, expected[:, :500], atol=1e-6)


def test_the_noise_of_two_seeds_differs(flow):
    first, second = (np.asarray(flow.sample(length=64, seed=seed)[0]) for seed in (0, 1))
    assert np.abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.9
    np.testing.assert_array_equal(first, flow.sample(length=64, seed=0)[0])


def test_masked_clips_are_decoded_with_their_mask(flow):
    mask = (np.arange(1024) < [[1024], [512]]).astype("float32")
    x = noise(2, 1024, 1) * mask[..., None]
    z = flow.encode({"x": x, "frame_mask": mask})
    back = np.asarray(flow.decode(z, {"frame_mask": mask}))
    np.testing.assert_allclose(back * mask[..., None], x, atol=1e-5)
    without = np.asarray(flow.decode(z))
    assert np.abs((without - x)[1, :512]).max() > 1e-4


@pytest.mark.parametrize("length", [1, 15, 17, 4001])
def test_songs_of_any_length_are_restored(flow, length):
    audio = noise(length, 1)
    song = codes.encode_song(flow, audio)
    assert song.length == length
    assert sum(z.size for z in song.latents) == length + -length % flow.multiple
    back = codes.decode_song(flow, song)
    assert back.shape == audio.shape
    np.testing.assert_allclose(back, audio, atol=1e-5)


def test_songs_are_coded_in_pieces_with_exactly_their_context(monkeypatch):
    model = SinGlow.from_preset("singlow_tiny", k_glow=1)
    nudge(model)
    flow, (before, after) = model.for_inference(), model.context
    audio = noise(4001, 1)
    monkeypatch.setattr(codes, "_PIECE", 1)
    pieces = codes.encode_song(flow, audio)
    back = codes.decode_song(flow, pieces)
    np.testing.assert_allclose(back, audio, atol=1e-5)
    assert flow.context == (before, after)
    monkeypatch.setattr(SinGlow, "context", None)
    whole = codes.encode_song(flow, audio)
    np.testing.assert_allclose(back, codes.decode_song(flow, whole), atol=1e-6)
    audio[2000] += 1
    changed = codes.encode_song(flow, audio)
    levels = zip(whole.latents, pieces.latents, changed.latents, strict=True)
    for level, (z, in_pieces, other) in enumerate(levels):
        np.testing.assert_allclose(in_pieces, z, atol=1e-5)
        places = (8 << level) * np.flatnonzero((other != z).any(axis=1))
        assert 2000 - after - (8 << level) < places.min() < places.max() <= 2000 + before


def test_a_periodic_prior_has_no_finite_context():
    assert SinGlow.from_preset("singlow_tiny", prior_period=4).context is None


def test_pieces_are_given_the_frames_that_are_aligned_with_them():
    class Aligned:
        """A flow that adds a condition to each sample. The condition has a frame per 4 samples."""

        multiple, context, signal = 8, (8, 8), Audio(8000)
        inputs = MappingProxyType({"mel": Input("frames", size=1, hop=4), "id": Input("item")})

        def latent_shapes(self, batch, length):
            return [(batch, length, 1)]

        def encode(self, inputs):
            assert inputs["id"].shape == (1, 1)
            return [inputs["x"] + np.repeat(inputs["mel"], 4, axis=1)]

        def decode(self, z, inputs):
            return z[0] - np.repeat(inputs["mel"], 4, axis=1)

    flow, audio, mel = Aligned(), noise(1001, 1), noise(1, 252, 1, seed=1)
    inputs = {"mel": mel, "id": np.zeros((1, 1))}
    with mock.patch.object(codes, "_PIECE", 64):
        song = codes.encode_song(flow, audio, inputs)
        expected = np.pad(audio, ((0, 7), (0, 0))) + np.repeat(mel[0], 4, axis=0)
        np.testing.assert_allclose(song.latents[0], expected, atol=1e-7)
        np.testing.assert_allclose(codes.decode_song(flow, song, inputs), audio, atol=1e-6)


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize(
    "arguments",
    [
        {"prior_kernel_sizes": (9,)},
        {"kernel_sizes": (2, 1, 4), "dilations": (3, 1, 2), "activation": "linear"},
        {"network": "wavenet", "layers": 2, "k_glow": 1, "l_glow": 3},
    ],
)
def test_context_is_the_reach_of_a_frame_of_the_last_level(arguments):
    model = SinGlow.from_preset("singlow_tiny", squeeze=4, **arguments)
    nudge(model, scale=0.4)
    before, after = model.context
    frame = model.multiple
    place = after // frame + 1
    frames = place + before // frame + 2
    latents = [noise(*shape) for shape in model.latent_shapes(1, frame * frames)]
    whole = np.asarray(model.decode(latents))
    latents[-1][0, place] += 10
    changed = np.flatnonzero(np.asarray(model.decode(latents)) != whole)
    first, last = frame * place - after, frame * (place + 1) - 1 + before
    assert (changed.min(), changed.max()) == (first, last)


@pytest.mark.parametrize(
    ("seconds", "steps"), [(60, 2), pytest.param(600, 8, marks=pytest.mark.slow)]
)
def test_long_songs_take_little_memory(seconds, steps):
    done = subprocess.run(
        [sys.executable, "-c", SONGS, str(seconds), str(steps)],
        cwd=ROOT,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        check=True,
    )
    measured = json.loads(done.stdout.splitlines()[-1])
    assert measured["tiled"] < 1e-6
    assert measured["error"] < 1e-5
    assert measured["bytes"] <= 32
