"""Bits per sample: of FLAC, of an independent Gaussian and of a flow, on the same clips."""

import io
import math
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from singlow.evaluation.likelihood import Gaussian, Likelihood, flac_bits, flow_bits, table


def noise(seed: int, frames: int = 20000, deviation: float = 300.0, channels: int = 1):
    drawn = np.random.default_rng(seed).standard_normal((frames, channels))
    return np.round(deviation * drawn).astype(np.int16)


def test_gaussian_costs_its_entropy():
    clips = [noise(0), noise(1)]
    gaussian = Gaussian.fitted(clips)
    bits = gaussian.bits(clips[0]) / clips[0].size
    expected = 0.5 * math.log2(2 * math.pi * math.e * (300.0**2 + 1 / 12))
    assert bits == pytest.approx(expected, abs=0.02)


def test_gaussian_is_the_average_over_dequantisation_noise():
    clip = noise(2, frames=500, deviation=3.0)
    gaussian = Gaussian.fitted([clip])
    rng = np.random.default_rng(0)
    drawn = (clip[None] + rng.random((2000, *clip.shape))) / 32768.0
    density = -0.5 * (drawn - gaussian.mean) ** 2 / gaussian.variance - 0.5 * math.log(
        2 * math.pi * gaussian.variance
    )
    cost = -density.sum(axis=(1, 2)).mean() / math.log(2) + 15 * clip.size
    assert gaussian.bits(clip) == pytest.approx(cost, rel=1e-3)
    assert gaussian.mean == pytest.approx(drawn.mean(), abs=1e-6)
    assert gaussian.variance == pytest.approx(drawn.var(), rel=1e-2)


def test_gaussian_of_silence_is_finite():
    silence = np.zeros((1000, 1), np.int16)
    assert math.isfinite(Gaussian.fitted([silence]).bits(silence))


@pytest.mark.parametrize("channels", [1, 2])
def test_flac_counts_the_whole_file_and_is_lossless(tmp_path, channels):
    clip = noise(3, channels=channels)
    bits = flac_bits(clip, 16000)
    path = tmp_path / "clip.flac"
    soundfile.write(path, clip, 16000, subtype="PCM_16", compression_level=1.0)
    assert bits == 8 * path.stat().st_size
    assert (soundfile.read(path, dtype="int16", always_2d=True)[0] == clip).all()
    fast = io.BytesIO()
    soundfile.write(fast, clip, 16000, format="FLAC", subtype="PCM_16", compression_level=0.0)
    assert bits <= 8 * len(fast.getvalue())


def test_flow_bits_sum_windows_of_a_clip_and_leave_padding_out():
    """A flow that is a standard normal of deviation 0.01, on two clips in three windows."""
    deviation = 0.01

    class Normal:
        def log_prob(self, batch):
            x, mask = batch["x"][..., 0], batch["frame_mask"]
            density = -0.5 * (x / deviation) ** 2 - math.log(deviation * math.sqrt(2 * math.pi))
            return (density * mask).sum(axis=1)

    rng = np.random.default_rng(0)
    x = (deviation * rng.standard_normal((3, 64, 1))).astype(np.float32)
    mask = np.ones((3, 64), np.float32)
    mask[2, 40:] = 0
    windows = SimpleNamespace(
        steps=1,
        batch=lambda step: {"x": x, "frame_mask": mask},
        clip_names=lambda step: list("aab"),
    )
    costs = flow_bits(Normal(), windows)
    assert {name: count for name, (_, count) in costs.items()} == {"a": 128, "b": 40}
    for name, rows in (("a", x[:2].ravel()), ("b", x[2, :40, 0])):
        density = -0.5 * (rows / deviation) ** 2 - math.log(deviation * math.sqrt(2 * math.pi))
        expected = float(-density.sum() / math.log(2) + 15 * rows.size)
        assert costs[name][0] == pytest.approx(expected, rel=1e-5)


def test_table_shows_every_singer():
    from rich.console import Console

    row = Likelihood(3, 1000, 8.6, 8.68, 12.5)
    file = io.StringIO()
    Console(file=file, width=100).print(table({"": row, "nova": row}, "my-run"))
    shown = file.getvalue()
    assert all(word in shown for word in ("my-run", "FLAC", "Gaussian", "all", "nova", "8.600"))
