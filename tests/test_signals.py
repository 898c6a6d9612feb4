"""Signals read, write, plot and play `x`, and refuse wrong settings."""

import numpy as np
import pytest
import soundfile
from PIL import Image as Picture

from singlow.errors import DataError
from singlow.signals import SIGNALS, Audio, Image, LogMel, signal_from_config
from singlow.spectral import MelRecipe

SMALL = MelRecipe(sample_rate=16000, n_fft=256, hop_length=64, n_mels=8)


@pytest.mark.parametrize("channels", [1, 3])
def test_an_image_is_written_read_and_shown(tmp_path, channels):
    signal = Image(5, 7, channels)
    stored = np.random.default_rng(0).integers(0, 256, (5, 7, channels)).astype(np.uint8)
    x = signal.dequantize(stored, 0.5)
    signal.write(tmp_path / "image.png", x)
    np.testing.assert_array_equal(signal.read(tmp_path / "image.png"), x)
    assert signal.picture(x).shape == (5, 7, 3)


def test_pictures_that_do_not_fit_are_refused(tmp_path):
    Picture.new("L", (4, 4)).save(tmp_path / "small.png")
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(DataError, match=r"7 x 5 pixels. Received: 4 x 4"):
        Image(5, 7, 1).read(tmp_path / "small.png")
    for name in ("text.png", "missing.png"):
        with pytest.raises(DataError, match=rf"{name}: Expected a picture"):
            Image(5, 7, 1).read(tmp_path / name)


def test_a_mel_spectrogram_is_read_written_shown_and_played(tmp_path):
    audio = 0.1 * np.random.default_rng(0).standard_normal(4000)
    soundfile.write(tmp_path / "noise.wav", audio, 16000)
    signal = LogMel(SMALL)
    x = signal.read(tmp_path / "noise.wav")
    assert x.shape == (1 + 4000 // 64, 8)
    signal.write(tmp_path / "noise.npy", x)
    np.testing.assert_array_equal(np.load(tmp_path / "noise.npy", allow_pickle=False), x)
    picture = signal.picture(x)
    assert (picture.dtype, picture.ndim, picture.shape[2]) == (np.uint8, 3, 3)
    assert np.ptp(picture) > 0
    assert signal.sound(x).shape == (64 * (len(x) - 1),)


def test_audio_too_short_for_a_mel_spectrogram_is_refused(tmp_path):
    soundfile.write(tmp_path / "short.wav", np.full(100, 0.1), 16000)
    with pytest.raises(DataError, match=r"short.wav: .*at least 129 samples"):
        LogMel(SMALL).read(tmp_path / "short.wav")


@pytest.mark.parametrize("signal", [Audio(8000, 2), Image(5, 7, 1, 5), LogMel(SMALL)])
def test_a_signal_is_made_again_from_its_config(signal):
    assert signal_from_config(signal.get_config()) == signal
    with pytest.raises(ValueError, match="Received: nope"):
        signal_from_config({**signal.get_config(), "nope": 1})
    assert type(signal).__name__ in SIGNALS


@pytest.mark.parametrize(
    "config",
    [
        {"kind": "Video"},
        {"kind": "Audio", "channels": 0},
        {"kind": "Audio", "sample_rate": 0},
        {"kind": "Image", "channels": 2},
        {"kind": "Image", "bits": 9},
        {"kind": "Image", "height": 0},
    ],
)
def test_settings_out_of_range_are_refused(config):
    with pytest.raises(ValueError, match="Expected"):
        signal_from_config(config)
