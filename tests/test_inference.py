"""A flow for inference: equal to the flow it was made from, and long songs in little memory."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from singlow.latents import codes
from singlow.models import SinGlow
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

model = SinGlow.from_preset("singlow_16k")
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


def test_it_is_the_flow_it_was_made_from():
    model = SinGlow.from_preset("singlow_tiny")
    nudge(model)
    flow = model.for_inference(tile=32)
    x = 0.1 * np.random.default_rng(0).standard_normal((2, 1024, 1)).astype("float32")
    for found, expected in zip(flow.encode(x), model.encode(x), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(flow.log_prob(x), model.log_prob(x), rtol=1e-5)
    np.testing.assert_allclose(flow.decode(flow.encode(x)), x, atol=1e-5)
    sampled = flow.sample(1, 500, seed=1)
    np.testing.assert_allclose(sampled, model.sample(1, 500, seed=1), atol=1e-5)
    assert flow.sample_rate == model.sample_rate
    assert not flow.trainable_variables or not any("gain" in v.path for v in flow.weights)


def test_songs_are_coded_in_pieces_that_see_their_context_and_no_more(monkeypatch):
    model = SinGlow.from_preset("singlow_tiny", k_glow=1)
    nudge(model)
    flow, (before, after) = model.for_inference(), model.context
    audio = 0.1 * np.random.default_rng(0).standard_normal((4001, 1)).astype("float32")
    monkeypatch.setattr(codes, "_PIECE", 1)
    pieces = codes.encode_song(flow, audio)
    back = codes.decode_song(flow, pieces)
    np.testing.assert_allclose(back, audio, atol=1e-5)
    assert flow.context == (before, after)
    flow.context = None
    whole = codes.encode_song(flow, audio)
    np.testing.assert_allclose(back, codes.decode_song(flow, whole), atol=1e-6)
    audio[2000] += 1
    moved = codes.encode_song(flow, audio)
    levels = zip(whole.latents, pieces.latents, moved.latents, strict=True)
    for level, (z, found, other) in enumerate(levels):
        np.testing.assert_allclose(found, z, atol=1e-5)
        places = (8 << level) * np.flatnonzero((other != z).any(axis=1))
        assert 2000 - after - (8 << level) < places.min() < places.max() <= 2000 + before
    assert SinGlow.from_preset("singlow_tiny", prior_period=4).context is None


@pytest.mark.parametrize(
    "given",
    [
        {"prior_kernel_sizes": (9,)},
        {"kernel_sizes": (2, 1, 4), "dilations": (3, 1, 2), "activation": "linear"},
        {"network": "wavenet", "layers": 2, "k_glow": 1, "l_glow": 3},
    ],
)
def test_context_is_how_far_a_frame_of_the_last_level_reaches(given):
    model = SinGlow.from_preset("singlow_tiny", squeeze=4, **given)
    nudge(model, scale=0.4)
    before, after = model.context
    rng, frame = np.random.default_rng(0), model.multiple
    place = after // frame + 1
    frames = place + before // frame + 2
    shapes = model.bijection.latent_shape((1, frame * frames, 1))
    latents = [0.1 * rng.standard_normal(shape).astype("float32") for shape in shapes]
    whole = np.asarray(model.decode(latents))
    latents[-1][0, place] += 10
    moved = np.flatnonzero(np.asarray(model.decode(latents)) != whole)
    assert (moved.min(), moved.max()) == (frame * place - after, frame * (place + 1) - 1 + before)


@pytest.mark.parametrize("seconds", [60, pytest.param(600, marks=pytest.mark.slow)])
def test_long_songs_take_little_memory(seconds):
    done = subprocess.run(
        [sys.executable, "-c", SONGS, str(seconds)],
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
