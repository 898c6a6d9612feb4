"""The spoofing classifier recognizes speakers from the features of the paper."""

import librosa
import numpy as np
import pytest
import soundfile

from singlow.evaluation.spoofing import (
    FEATURES,
    SpeakerClassifier,
    chance_of_targets,
    describe_speech,
)
from tests.songs import coloured_noise


@pytest.mark.parametrize("rate", [8000, 16000])
def test_features_are_the_papers_at_the_right_rate(rate):
    audio = coloured_noise(1, 0.5, rate)[:, 0]
    x = audio - audio.mean()
    x *= 0.99 / np.abs(x).max()
    share = rate // 8000
    power = librosa.feature.melspectrogram(
        y=x, sr=rate, n_fft=1024 * share, win_length=128 * share, hop_length=64 * share, n_mels=200
    )
    cepstra = librosa.feature.mfcc(S=librosa.power_to_db(power), n_mfcc=40)
    rms = librosa.feature.rms(y=x, frame_length=1024 * share, hop_length=256 * share)
    features = describe_speech(audio, rate)
    assert features.shape == (FEATURES,) == (242,)
    np.testing.assert_allclose(features[:40], cepstra.mean(axis=1), rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(features[121:161], cepstra.std(axis=1), rtol=1e-3, atol=1e-3)
    assert features[[120, 241]] == pytest.approx([rms.mean(), rms.std()], rel=1e-3)
    np.testing.assert_allclose(describe_speech(0.1 * audio, rate), features, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("rate", [2000, 11025, 22050, 48000])
def test_no_band_is_empty(rate):
    """librosa warns of empty bands, and tests turn warnings into errors."""
    assert np.isfinite(describe_speech(coloured_noise(1, 0.3, rate)[:, 0], rate)).all()


def test_too_short_for_a_transform():
    with pytest.raises(ValueError, match=r"at least 0\.128 s"):
        describe_speech(np.zeros(1023), 8000)
    with pytest.raises(ValueError, match="2000 Hz or more"):
        describe_speech(np.zeros(1000), 1000)


def test_chance_of_shuffled_targets():
    assert chance_of_targets(["a", "a", "b", "b"], ["a", "b", "a", "b"]) == 0.5
    assert chance_of_targets(["a"] * 4, ["a", "b", "b", "b"]) == 0.25


def test_real_speakers_are_recognized(recordings):
    """The paper reports 99.3 % on VCTK; this classifier is fitted to four takes of a digit."""
    train, held = [], []
    for path in sorted((recordings / "fsdd/recordings").glob("[0-5]_*0.wav")):
        _, speaker, take = path.stem.split("_")
        side = held if take == "0" else train
        side.append((soundfile.read(path, dtype="float32")[0], speaker))
    classifier = SpeakerClassifier(*zip(*train, strict=True), 8000)
    clips, speakers = zip(*held, strict=True)
    assert np.mean(np.array(classifier.recognize(clips)) == speakers) > 0.8
