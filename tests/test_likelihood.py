"""Test held-out likelihoods: costs under codecs, a Gaussian and a flow, and their intervals."""

import io
import math
import subprocess
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from scipy import stats

from singlow.evaluation import likelihood
from singlow.evaluation.figures import Estimate, mean_estimate, ratio_difference, ratio_estimate
from singlow.evaluation.likelihood import (
    FLAC,
    GAUSSIAN,
    WAVPACK,
    Gaussian,
    flac_bits,
    flow_costs,
    has_wavpack,
    measure,
    table,
    wavpack_bits,
)
from singlow.signals import Audio, Image, LogMel

AUDIO = Audio(16000)


def noise(seed: int, samples: int = 20000, deviation: float = 300.0, channels: int = 1):
    drawn = np.random.default_rng(seed).standard_normal((samples, channels))
    return np.round(deviation * drawn).astype(np.int16)


def test_gaussian_costs_its_entropy():
    clips = [noise(0), noise(1)]
    gaussian = Gaussian.fitted(AUDIO, clips)
    bits = gaussian.cost(clips[0]) / clips[0].size
    expected = 0.5 * math.log2(2 * math.pi * math.e * (300.0**2 + 1 / 12))
    assert bits == pytest.approx(expected, abs=0.02)


def test_gaussian_is_the_average_over_dequantisation_noise():
    clip = noise(2, samples=500, deviation=3.0)
    gaussian = Gaussian.fitted(AUDIO, [clip])
    rng = np.random.default_rng(0)
    drawn = (clip[None] + rng.random((2000, *clip.shape))) / 32768.0
    density = -0.5 * (drawn - gaussian.mean) ** 2 / gaussian.variance - 0.5 * math.log(
        2 * math.pi * gaussian.variance
    )
    cost = -density.sum(axis=(1, 2)).mean() / math.log(2) + 15 * clip.size
    assert gaussian.cost(clip) == pytest.approx(cost, rel=1e-3)
    assert gaussian.mean == pytest.approx(drawn.mean(), abs=1e-6)
    assert gaussian.variance == pytest.approx(drawn.var(), rel=1e-2)


@pytest.mark.parametrize(
    ("signal", "scale", "bits"), [(Image(8, 8, 3), 256, 8.0), (LogMel(), 1, 0.0)]
)
def test_gaussian_follows_the_signal(signal, scale, bits):
    values = np.random.default_rng(0).normal(100, 20, (64, 64, 3)).round()
    stored = values.astype(np.uint8 if bits else np.float32)
    gaussian = Gaussian.fitted(signal, [stored])
    entropy = 0.5 * math.log(2 * math.pi * math.e * stored.var()) / signal.nats
    assert gaussian.cost(stored) / stored.size == pytest.approx(entropy, abs=0.01)


def test_gaussian_of_silence_is_finite():
    silence = np.zeros((1000, 1), np.int16)
    assert math.isfinite(Gaussian.fitted(AUDIO, [silence]).cost(silence))


def _flac_metadata(content: bytes) -> int:
    """Return the number of bytes before the first frame of a FLAC file, by its sync code."""
    return content.index(b"\xff\xf8")


@pytest.mark.parametrize("channels", [1, 2])
def test_flac_is_charged_its_frames_alone(tmp_path, channels):
    clip = noise(3, channels=channels)
    path = tmp_path / "clip.flac"
    soundfile.write(path, clip, 16000, subtype="PCM_16", compression_level=1.0)
    content = path.read_bytes()
    metadata = _flac_metadata(content)
    assert metadata >= 42  # "fLaC" and STREAMINFO, 34 bytes with a header of 4
    assert flac_bits(clip, 16000) == 8 * (len(content) - metadata)
    assert (soundfile.read(path, dtype="int16", always_2d=True)[0] == clip).all()
    fast = io.BytesIO()
    soundfile.write(fast, clip, 16000, format="FLAC", subtype="PCM_16", compression_level=0.0)
    assert flac_bits(clip, 16000) <= 8 * len(fast.getvalue())


@pytest.mark.skipif(not has_wavpack(), reason="wavpack is not installed")
@pytest.mark.parametrize("channels", [1, 2])
def test_wavpack_is_charged_its_blocks_without_optional_parts(tmp_path, channels):
    time = np.arange(100000)[:, None] / 16000
    tones = 3000 * np.sin(2 * np.pi * np.array([220.0, 330.0])[:channels] * time)
    clip = (tones + noise(4, 100000, 50, channels)).astype(np.int16)
    source, result = tmp_path / "clip.wav", tmp_path / "clip.wv"
    soundfile.write(source, clip, 16000)
    subprocess.run(["wavpack", "-q", "-hh", "-x6", source, "-o", result], check=True)
    size = result.stat().st_size
    bits = wavpack_bits(clip, 16000)
    assert size - 200 < bits / 8 < size - 44  # WavPack keeps the wav header of 44 bytes


def test_optional_parts_of_a_wavpack_block_are_counted():
    header = bytes([0x21, 3]) + b"RIFFxx"  # a small sub-block: its id and its length in words
    large = bytes([0x8A]) + (5).to_bytes(3, "little") + bytes(10)  # audio, which is not optional
    checksum = bytes([0x2F, 1]) + bytes(2)
    assert likelihood._optional_bytes(header + large + checksum) == len(header) + len(checksum)


@pytest.mark.skipif(not has_wavpack(), reason="wavpack is not installed")
def test_codecs_on_speech(recordings):
    """On every tenth clip of ten LibriSpeech readers, WavPack needs fewer bits than FLAC."""
    paths = sorted((recordings / "librispeech").rglob("*.flac"))[::10]
    clips = [soundfile.read(path, dtype="int16", always_2d=True)[0] for path in paths]
    size = sum(clip.size for clip in clips)
    flac, wavpack = (
        sum(bits(c, 16000) for c in clips) / size for bits in (flac_bits, wavpack_bits)
    )
    assert flac == pytest.approx(8.476, abs=0.01)
    assert wavpack == pytest.approx(8.167, abs=0.01)


class Normal:
    """A flow under which samples are independent and normal, with standard deviation 0.01."""

    signal = AUDIO
    deviation = 0.01

    def log_prob(self, batch):
        x, mask = batch["x"][..., 0], batch["frame_mask"]
        normal = stats.norm.logpdf(x, scale=self.deviation)
        return (normal * mask).sum(axis=1)


def test_flow_costs_sum_windows_of_a_clip_and_leave_padding_out():
    """The three windows hold two clips."""
    rng = np.random.default_rng(0)
    x = (Normal.deviation * rng.standard_normal((3, 64, 1))).astype(np.float32)
    mask = np.ones((3, 64), np.float32)
    mask[2, 40:] = 0
    windows = SimpleNamespace(
        steps=1,
        batch=lambda step: {"x": x, "frame_mask": mask},
        clip_names=lambda step: list("aab"),
    )
    costs = flow_costs(Normal(), windows)
    assert {name: count for name, (_, count) in costs.items()} == {"a": 128, "b": 40}
    for name, rows in (("a", x[:2].ravel()), ("b", x[2, :40, 0])):
        log_prob = stats.norm.logpdf(rows, scale=Normal.deviation).sum()
        assert costs[name][0] == pytest.approx(-log_prob / math.log(2) + 15 * rows.size, rel=1e-5)


class TestIntervals:
    def test_of_a_mean_are_students(self):
        values = [8.61, 8.9, 8.4, 9.2]
        estimate = mean_estimate(values)
        low, high = stats.t.interval(0.95, 3, np.mean(values), stats.sem(values))
        assert estimate.value == pytest.approx(np.mean(values))
        assert (estimate.low, estimate.high) == pytest.approx((low, high))
        assert estimate.shown("{:.3f}") == f"{np.mean(values):.3f} ± {(high - low) / 2:.3f}"

    def test_of_one_clip_are_unknown(self):
        estimate = mean_estimate([8.5])
        assert estimate.value == 8.5
        assert math.isnan(estimate.low)
        assert estimate.shown("{:.2f}") == estimate.shown_range("{:.2f}") == "8.50"
        assert mean_estimate([]).shown("{:.2f}") == "none"

    def test_of_a_ratio_weigh_clips_by_their_length(self):
        counts = np.array([1000, 4000, 2000, 3000])
        costs = np.array([8.0, 9.0, 8.5, 8.8]) * counts
        estimate = ratio_estimate(costs, counts)
        assert estimate.value == pytest.approx(costs.sum() / 10000)
        assert ratio_estimate(7 * counts, counts) == Estimate(7.0, 7.0, 7.0)

    def test_of_a_ratio_contain_it_19_times_in_20(self):
        rng, inside = np.random.default_rng(0), 0
        for _ in range(400):
            counts = rng.integers(1000, 5000, 12)
            costs = counts * rng.normal(8.8, 0.5, 12)
            estimate = ratio_estimate(costs, counts)
            inside += estimate.low < 8.8 < estimate.high
        assert 0.92 < inside / 400 < 0.98

    def test_of_a_difference_leave_out_what_clips_have_in_common(self):
        rng = np.random.default_rng(0)
        counts = rng.integers(1000, 5000, 20)
        difficulty, change = rng.normal(8.8, 1.0, 20), rng.normal(0.05, 0.01, 20)
        flow, codec = counts * (difficulty + change), counts * difficulty
        estimate = ratio_difference(flow, counts, codec, counts)
        apart = [ratio_estimate(costs, counts) for costs in (flow, codec)]
        assert estimate.value == pytest.approx(apart[0].value - apart[1].value)
        assert estimate.high - estimate.low < 0.05 * (apart[0].high - apart[0].low)
        assert estimate.value == pytest.approx(0.05, abs=0.01)


def fake_windows(clips, singers):
    """Return windows that each hold a whole clip, without padding."""
    names = [f"c{i}" for i in range(len(clips))]

    def batch(step):
        x = (clips[step][None].astype(np.float32) + 0.5) / 32768
        return {"x": x, "frame_mask": np.ones(x.shape[:2], np.float32)}

    return SimpleNamespace(
        steps=len(clips),
        clips=len(clips),
        batch=batch,
        clip=lambda i: (names[i], clips[i]),
        clip_names=lambda step: [names[step]],
        singers=sorted(set(singers)),
        singer=lambda i: sorted(set(singers)).index(singers[i]),
    )


def test_every_cost_is_measured_on_the_same_clips(monkeypatch):
    monkeypatch.setattr(likelihood, "wavpack_bits", lambda clip, sample_rate: 7 * clip.size)
    clips = [noise(seed, 4000 + 500 * seed) for seed in range(4)]
    windows = fake_windows(clips, ["ada", "[red]bo", "ada", "[red]bo"])
    measured = measure(Normal(), windows, windows, wavpack=True)
    assert list(measured) == ["", "ada", "[red]bo"]
    everything = measured[""]
    assert (everything.clips, everything.values) == (4, sum(clip.size for clip in clips))
    assert everything.unit == "bits per sample"
    assert list(everything.others) == [FLAC, WAVPACK, GAUSSIAN]
    assert list(everything.differences) == [FLAC, WAVPACK]
    flac = sum(flac_bits(clip, 16000) for clip in clips) / everything.values
    assert everything.others[FLAC].value == pytest.approx(flac)
    assert everything.others[WAVPACK] == Estimate(7.0, 7.0, 7.0)
    assert everything.differences[FLAC].value == pytest.approx(everything.flow.value - flac)
    assert everything.flow.value == pytest.approx(everything.others[GAUSSIAN].value, abs=0.05)
    assert everything.flow.low < everything.flow.value < everything.flow.high
    shown = printed(table(measured, "my-run"))
    words = ("my-run", FLAC, WAVPACK, "Gaussian", "less FLAC", "all", "ada", "[red]bo", "±")
    for word in words:
        assert word in shown
    assert everything.flow.shown("{:.3f}") in shown


def test_wavpack_is_left_out_where_it_is_not_installed(monkeypatch):
    monkeypatch.setattr(likelihood.shutil, "which", lambda program: None)
    windows = fake_windows([noise(0, 2000), noise(1, 2000)], ["a", "a"])
    assert list(measure(Normal(), windows, windows)[""].others) == [FLAC, GAUSSIAN]
    assert "wavpack" in likelihood.NO_WAVPACK


def test_a_flow_below_the_codec_has_a_negative_difference():
    windows = fake_windows([noise(0, 8000), noise(1, 8000)], ["a", "a"])
    row = measure(Normal(), windows, windows, wavpack=False)[""]
    assert row.differences[FLAC].shown("{:+.3f}").startswith(("+", "-"))
    assert row.differences[FLAC].value == row.flow.value - row.others[FLAC].value


def printed(shown) -> str:
    from rich.console import Console

    file = io.StringIO()
    Console(file=file, width=200).print(shown)
    return file.getvalue()


def test_tables_show_texts_as_they_are(capsys):
    from singlow.tables import print_tables
    from singlow.tables import table as text_table

    name = "[/live] [red]bo :smile: \x1b]0;title\x07 \udc89"
    print_tables(text_table(name, ("", name), [(name, "1")], name))
    shown = capsys.readouterr().out
    assert shown.count(r"[/live] [red]bo :smile: \x1b]0;title\x07 \x89") == 4
    assert "\x1b" not in shown
    wide = [f"column {i} of a wide table" for i in range(12)]
    print_tables(text_table("", wide, [wide]))
    shown = capsys.readouterr().out
    assert all(shown.count(column) == 2 for column in wide)
