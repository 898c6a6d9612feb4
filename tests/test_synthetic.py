"""The built-in corpus is reproducible, as loud as recordings, and follows its parameters."""

import io
from dataclasses import replace

import numpy as np
import pytest
import soundfile
import soxr
from scipy.signal import butter, hilbert, sosfiltfilt

from singlow.choir import corpus
from singlow.choir.melody import Note
from singlow.choir.singers import SINGERS
from singlow.errors import UsageError

RATE = corpus.SAMPLE_RATE


@pytest.fixture(scope="module")
def clips():
    return corpus.corpus(seed=0, clips_per_singer=2, seconds=4.0)


def _long_note(singer, seed=0):
    pitch = float(sum(singer.compass) // 2)
    notes = (Note("", 0, 0.2), Note("a", pitch, 2.6), Note("", 0, 0.2))
    return corpus.synthesize(singer, notes, seed), 440 * 2 ** ((pitch - 69) / 12)


def _steady(clip):
    """Return the middle of a long note, after the vibrato has begun."""
    return clip.audio[int(1.0 * RATE) : int(2.6 * RATE), 0].astype(np.float64)


def _harmonicity(audio, f0):
    """Return the harmonics-to-noise ratio in dB, from the autocorrelation near one period."""
    rate = 8 * RATE
    audio = soxr.resample(audio, RATE, rate)
    size, ratios = int(0.06 * rate), []
    for start in range(0, len(audio) - 2 * size, size):
        frame = audio[start : start + size] - audio[start : start + size].mean()
        lags = np.arange(int(0.97 * rate / f0), int(1.03 * rate / f0) + 1)
        shifted = [audio[start + lag : start + lag + size] for lag in lags]
        best = max(np.corrcoef(frame, other)[0, 1] for other in shifted)
        ratios.append(10 * np.log10(best / (1 - best)))
    return float(np.median(ratios))


def test_same_seed_same_bytes_and_clips_do_not_depend_on_each_other(clips):
    more = corpus.clips(seed=0, clips_per_singer=3, seconds=4.0)
    known = {clip.id: clip for clip in clips}
    count = 0
    for clip in more:
        if clip.id in known:
            count += 1
            assert clip.audio.tobytes() == known[clip.id].audio.tobytes()
            assert clip.text == known[clip.id].text
    assert count == len(clips) == 8
    other = next(corpus.clips(seed=1, clips_per_singer=1, seconds=4.0))
    assert other.audio.tobytes() != clips[0].audio.tobytes()


GOLDEN = {
    "alma": (-0.7361, 7.3576, 2000.8026),
    "bruno": (-0.7798, -29.3862, 4352.1511),
    "nova": (21.5132, -15.0124, 7297.8751),
    "orion": (-18.9894, -24.1796, 6483.1529),
}


def test_every_constant_of_the_synthesis_has_its_value():
    for clip in corpus.clips(0, clips_per_singer=1, seconds=4.0):
        audio = clip.audio[:, 0] / 32768
        chirp = np.cos(np.arange(len(audio)) ** 2 * 1e-4)
        sums = audio @ chirp, audio @ np.roll(chirp, 7), np.abs(audio).sum()
        assert sums == pytest.approx(GOLDEN[clip.singer], abs=0.02)


def test_loudness_is_that_of_a_recording(clips):
    for clip in clips:
        audio = clip.audio[:, 0].astype(np.float64) / 32768
        assert clip.audio.shape == (4 * RATE, 1)
        assert clip.audio.dtype == np.int16
        peak = 20 * np.log10(np.abs(audio).max())
        assert -6.3 < peak < -1.2
        loudness = 20 * np.log10(np.sqrt(np.mean(audio**2)))
        assert -32 < loudness < -10
        frames = audio[: len(audio) // 400 * 400].reshape(-1, 400)
        floor = 20 * np.log10(np.sqrt((frames**2).mean(axis=1)).min())
        assert -74 < floor < -55
        assert abs(audio.mean()) < 1e-3


def test_flac_needs_as_many_bits_as_for_a_recording(clips):
    bits = []
    for clip in clips:
        file = io.BytesIO()
        soundfile.write(file, clip.audio, RATE, "PCM_16", format="FLAC")
        bits.append(8 * len(file.getvalue()) / clip.audio.size)
    assert 7 < np.mean(bits) < 9.6
    assert min(bits) > 5.5


def test_spectrum_reaches_the_top_and_is_voiced_below(clips):
    for clip in clips:
        power = np.abs(np.fft.rfft(clip.audio[:, 0])) ** 2
        frequency = np.fft.rfftfreq(len(clip.audio), 1 / RATE)
        low = power[(frequency > 80) & (frequency < 1500)].mean()
        high = power[(frequency > 5000) & (frequency < 7500)].mean()
        assert 10 < 10 * np.log10(low / high) < 70


@pytest.mark.parametrize("name", list(SINGERS))
def test_pitch_and_vibrato_are_the_singers_own(name):
    singer = SINGERS[name]
    clip, note = _long_note(singer)
    around = butter(2, (0.75 * note, 1.35 * note), "bandpass", fs=RATE, output="sos")
    fundamental = hilbert(sosfiltfilt(around, clip.audio[:, 0].astype(np.float64)))
    turned = np.unwrap(np.angle(fundamental)) / (2 * np.pi)
    step = RATE // corpus.F0_RATE
    track = (turned[2 * step :] - turned[: -2 * step])[::step][99:259] / (2 * step) * RATE
    truth = clip.f0[100:260]
    assert np.median(np.abs(1200 * np.log2(track / truth))) < 12
    cents = 1200 * np.log2(track / np.median(track))
    assert abs(1200 * np.log2(np.median(track) / note)) < 40
    cents -= np.polyval(np.polyfit(np.arange(160), cents, 2), np.arange(160))
    rates = np.arange(3.0, 9.0, 0.1)
    turns = np.exp(-2j * np.pi * rates[:, None] * np.arange(160) / corpus.F0_RATE)
    depth = np.abs(turns @ (cents * np.hanning(160))) * 2 / np.hanning(160).sum()
    if singer.vibrato_depth == 0:
        assert depth.max() < 6
    else:
        assert abs(rates[depth.argmax()] - singer.vibrato_rate) < 0.6
        assert 0.6 < depth.max() / singer.vibrato_depth < 1.4


def test_humans_are_less_periodic_than_virtual_singers():
    ratios = {}
    for name, singer in SINGERS.items():
        still = replace(singer, vibrato_depth=0.0, drift=0.0, intonation=0.0)
        clip, note = _long_note(still)
        ratios[name] = _harmonicity(_steady(clip), note)
    human = [ratios[name] for name in ratios if SINGERS[name].style == "human"]
    virtual = [ratios[name] for name in ratios if SINGERS[name].style == "virtual"]
    assert max(human) + 5 < min(virtual), ratios


@pytest.mark.parametrize(
    ("attribute", "silent"), [("jitter", 0.0), ("shimmer", 0.0), ("breath", -60.0)]
)
def test_each_irregularity_alone_lowers_harmonicity(attribute, silent):
    steady = replace(
        SINGERS["bruno"],
        vibrato_depth=0.0, drift=0.0, intonation=0.0, jitter=0.0, shimmer=0.0, breath=-60.0,
    )  # fmt: skip
    rough = replace(steady, **{attribute: getattr(SINGERS["bruno"], attribute)})
    clip, note = _long_note(steady)
    changed, _ = _long_note(rough)
    assert getattr(steady, attribute) == silent
    assert _harmonicity(_steady(changed), note) < _harmonicity(_steady(clip), note) - 3


def test_a_human_and_a_virtual_singer_sing_the_same_melody():
    notes = corpus.melody(3.0, seed=5, compass=(57, 66))
    alma, nova = (corpus.synthesize(name, notes, 1) for name in ("alma", "nova"))
    assert alma.text == nova.text
    both = (alma.f0 > 0) & (nova.f0 > 0)
    assert both.mean() > 0.4
    assert np.median(np.abs(1200 * np.log2(alma.f0[both] / nova.f0[both]))) < 60


@pytest.mark.parametrize("seconds", [1.0, 2.37, 9.0])
def test_melodies_have_their_length_and_compass(seconds):
    for seed in range(20):
        notes = corpus.melody(seconds, seed, (50, 62))
        assert sum(note.seconds for note in notes) == pytest.approx(seconds)
        assert all(50 <= note.pitch <= 62 for note in notes if note.syllable)
        assert all(note.seconds > 0 for note in notes)
        assert any(note.syllable for note in notes)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: corpus.synthesize("caruso", [Note("a", 60, 1.0)]), "caruso"),
        (lambda: corpus.synthesize("nova", [Note("xq", 60, 1.0)]), "xq"),
        (lambda: corpus.synthesize("nova", [Note("", 60, 1.0)]), "rests only"),
        (lambda: corpus.melody(0.5), "at least 1 second"),
    ],
)
def test_unknown_singers_and_syllables_are_refused(call, match):
    with pytest.raises(UsageError, match=match):
        call()
