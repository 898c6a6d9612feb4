"""Measures of a voice agree with the known parameters of synthetic singers."""

from dataclasses import replace

import numpy as np
import pytest

from singlow.choir import corpus
from singlow.choir.melody import Note
from singlow.choir.singers import SINGERS
from singlow.errors import DataError
from singlow.evaluation import measures
from singlow.evaluation.styles import Classifier, describe_clip

RATE = corpus.SAMPLE_RATE
NOTES = (Note("", 0, 0.2), Note("a", 57, 1.6), Note("", 0, 0.2))


@pytest.fixture(scope="module")
def still():
    """The singer Bruno without vibrato, drift, jitter, shimmer and breath."""
    return replace(
        SINGERS["bruno"],
        vibrato_depth=0.0, drift=0.0, intonation=0.0, scoop=0.0, jitter=0.0, shimmer=0.0,
        breath=-60.0, inhalation=None,
    )  # fmt: skip


def sung(singer, seed=0):
    clip = corpus.synthesize(singer, NOTES, seed)
    return clip.audio[:, 0] / 32768, clip


@pytest.fixture(scope="module")
def steady(still):
    audio, clip = sung(still)
    return audio, measures.pitch(audio, RATE), clip


def test_pitch_is_that_of_the_note(steady):
    audio, f0, clip = steady
    assert len(f0) == len(audio) // (RATE // measures.HOP) + 1
    cents = 1200 * np.log2(f0[40:160] / clip.f0[40:160])
    assert np.abs(cents).max() < 10
    assert np.isnan(f0[:10]).all()


def test_a_still_voice_has_neither_vibrato_nor_jitter_nor_breath(steady):
    audio, f0, _ = steady
    measured = measures.measure_voice(audio, RATE, f0)
    assert measured.vibrato_depth < 3
    assert np.isnan(measured.vibrato_rate)
    assert measured.jitter < 5e-4
    assert measured.breath < -20
    assert measured.seconds == pytest.approx(2.0)
    assert measured.loudness == pytest.approx(20 * np.log10(audio.std()), abs=0.01)


def test_vibrato_is_found_with_its_rate_and_depth():
    time = np.arange(200) / measures.HOP
    cents = 60 * np.sin(2 * np.pi * 5.5 * time) + 30 * time
    rate, depth = measures.vibrato(np.r_[np.full(20, np.nan), 220 * 2 ** (cents / 1200)])
    assert rate == pytest.approx(5.5, abs=0.1)
    assert depth == pytest.approx(60, rel=0.1)
    assert np.isnan(measures.vibrato(np.full(100, np.nan))).all()


def test_jitter_is_proportional(still, steady):
    _, f0, _ = steady
    small, large = (
        measures.jitter(sung(replace(still, jitter=amount))[0], RATE, f0)
        for amount in (0.004, 0.012)
    )
    assert small > 2 * measures.jitter(*steady[:1], RATE, f0)
    assert large / small == pytest.approx(3, rel=0.3)


def test_breath_is_in_decibels(still, steady):
    _, f0, _ = steady
    quiet, loud = (
        measures.breath(sung(replace(still, breath=amount))[0], RATE, f0)
        for amount in (-40.0, -25.0)
    )
    assert 8 < loud - quiet < 17


def test_notes_end_where_the_pitch_jumps_or_stops():
    f0 = np.r_[np.full(60, 220.0), np.full(50, 247.0), np.full(30, np.nan), np.full(30, 220.0)]
    assert list(measures.notes(f0)) == [slice(0, 60), slice(60, 110)]
    assert list(measures.notes(np.full(300, 200.0))) == [slice(0, 300)]


def test_correlation_of_pitch():
    f0 = 220 * 2 ** (np.sin(np.arange(100) / 10) / 12)
    assert measures.pitch_correlation(f0, f0) == pytest.approx(1)
    assert measures.pitch_correlation(f0, 1.5 * f0[:80]) == pytest.approx(1)
    assert measures.pitch_correlation(f0, 1 / f0) == pytest.approx(-1)
    assert np.isnan(measures.pitch_correlation(f0, np.full(100, np.nan)))
    assert measures.pitch_deviation(f0, 2 ** (0.1 / 12) * f0[:80]) == pytest.approx(10)
    assert np.isnan(measures.pitch_deviation(f0, np.full(100, np.nan)))


def test_cepstral_distance_ignores_loudness(steady):
    audio, _, _ = steady
    loud, soft = (measures.mel_cepstra(measures.mel_spectrum(g * audio, RATE)) for g in (1.0, 0.3))
    sounding = measures.sounding(measures.mel_spectrum(audio, RATE))
    assert measures.cepstral_distance(loud[sounding], soft[sounding]) < 0.1
    bright = measures.mel_spectrum(np.diff(audio, prepend=0), RATE)
    assert measures.cepstral_distance(loud[sounding], measures.mel_cepstra(bright)[sounding]) > 3


@pytest.fixture(scope="module")
def groups():
    clips = list(corpus.clips(3, 5, 2.0))
    return [
        [clip.audio[:, 0] / 32768 for clip in clips if clip.style == style]
        for style in ("virtual", "human")
    ]


def test_classifier_separates_the_styles(groups):
    virtual, human = groups
    classifier = Classifier(virtual[1:], human[1:], RATE)
    assert classifier.accuracy > 0.7
    assert classifier.score(human[0]) > classifier.score(virtual[0])
    assert describe_clip(human[0], RATE).shape == (39,)
    positions = [np.mean([classifier.position(clip) for clip in side]) for side in groups]
    assert positions[0] < 0.3 < 0.7 < positions[1]


def test_classifier_needs_clips(groups):
    with pytest.raises(DataError, match="at least 4 clips of either side"):
        Classifier(groups[0][:3], groups[1], RATE)
