"""Reading, converting, writing, cutting audio."""

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from singlow import audio as sound
from singlow.audio.frames import cut, overlap_add
from singlow.errors import DataError
from tests.sounds import FORMATS, save, song

LOSSLESS = {"wav": 2**-15, "flac": 2**-15, "aiff": 2**-15, "w64": 2**-23, "rf64": 2**-15}


@pytest.mark.parametrize("suffix", LOSSLESS)
def test_lossless_formats_come_back(suffix, tmp_path):
    wave = song(0.5, 22050, channels=2)
    audio, rate = sound.decode(save(tmp_path / f"a.{suffix}", wave, 22050))
    assert rate == 22050
    assert audio.shape == wave.shape
    assert audio.dtype == np.float32
    assert np.abs(audio - wave).max() <= 1.01 * LOSSLESS[suffix]


@pytest.mark.parametrize("suffix", ["ogg", "mp3"])
def test_lossy_formats_come_back_nearly(suffix, tmp_path):
    wave = song(1.0, 44100)
    audio, _ = sound.decode(save(tmp_path / f"a.{suffix}", wave, 44100))
    assert len(audio) == len(wave)
    assert sound.snr_db(wave, audio) > 10


@pytest.mark.parametrize(("rate", "wanted"), [(44100, 16000), (8000, 16000), (48000, 44100)])
def test_a_tone_keeps_its_pitch_when_resampled(rate, wanted, tmp_path):
    time = np.arange(2 * rate)[:, None] / rate
    path = save(tmp_path / "a.wav", 0.5 * np.sin(2 * np.pi * 440 * time), rate)
    audio, got = sound.load_audio(path, wanted)
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(2 * wanted) / wanted)
    assert got == wanted
    assert abs(len(audio) - 2 * wanted) <= 1
    inner = slice(wanted // 10, -wanted // 10)
    assert sound.snr_db(expected[: len(audio)][inner], audio[inner, 0]) > 60


def test_streaming_and_whole_resampling_agree(tmp_path):
    path = save(tmp_path / "a.flac", song(7.0, 44100), 44100)
    whole = sound.resample(sound.decode(path)[0], 44100, 16000)
    assert np.array_equal(sound.load_audio(path, 16000)[0], whole)


def test_channels(tmp_path):
    wave = song(0.1, channels=2)
    path = save(tmp_path / "a.wav", wave)
    mono = sound.load_audio(path, channels=1)[0]
    assert mono.shape == (1600, 1)
    assert np.allclose(mono[:, 0], wave.mean(1), atol=1e-4)
    twice = sound.to_channels(mono, 2)
    assert np.array_equal(twice[:, 0], twice[:, 1])
    assert np.array_equal(sound.to_channels(twice, 1), mono)


@pytest.mark.parametrize(
    ("audio", "reason"),
    [
        (np.array([[0.1], [np.nan], [0.2]], np.float32), "not finite"),
        (np.array([[0.1], [-np.inf], [0.2]], np.float32), "not finite"),
        (np.zeros((0, 1), np.float32), "empty"),
        (np.zeros((10, 9), np.float32), "absurd header: 9 channels"),
    ],
)
def test_what_no_flow_can_use_is_refused(audio, reason, tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, audio, 16000, "FLOAT")
    with pytest.raises(sound.AudioError, match=reason) as caught:
        sound.load_audio(path)
    assert str(caught.value).startswith(str(path))
    assert caught.value.exit_code == 3
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("rate", [3999, 384001])
def test_absurd_rates_are_refused(rate, tmp_path):
    soundfile.write(tmp_path / "a.wav", song(0.1), rate)
    with pytest.raises(sound.AudioError, match=f"absurd header: {rate} Hz"):
        sound.load_audio(tmp_path / "a.wav")


def test_samples_without_their_checksum_are_refused(tmp_path):
    path = save(tmp_path / "a.flac", song(0.3))
    body = bytearray(path.read_bytes())
    body[30] ^= 1
    path.write_bytes(body)
    with pytest.raises(sound.AudioError, match="checksum"):
        sound.load_audio(path)


def test_fewer_frames_than_promised_are_refused(tmp_path):
    path = save(tmp_path / "a.flac", song(0.3))
    body = bytearray(path.read_bytes())
    assert int.from_bytes(body[22:26], "big") == 4800
    body[22:26] = (5000).to_bytes(4, "big")
    body[26:42] = bytes(16)
    path.write_bytes(body)
    with pytest.raises(sound.AudioError, match=r"damaged|truncated"):
        sound.load_audio(path)


@pytest.mark.parametrize("bits", ["PCM_S8", "PCM_16", "PCM_24"])
def test_flac_checksums_hold_at_every_depth(bits, tmp_path):
    soundfile.write(tmp_path / "a.flac", song(0.3, channels=3), 16000, bits)
    assert sound.load_audio(tmp_path / "a.flac")[0].shape == (4800, 3)


def test_a_missing_file_is_an_audio_error(tmp_path):
    with pytest.raises(sound.AudioError, match="cannot be opened"):
        sound.load_audio(tmp_path / "none.wav")


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(-32768, 32767), min_size=1, max_size=50))
def test_int16_survives_float(values):
    stored = np.array(values, np.int16)[:, None]
    assert np.array_equal(sound.quantize(sound.dequantize(stored)), stored)
    assert np.array_equal(sound.quantize(sound.level(sound.dequantize(stored))), stored)


def test_quantize_clips_and_refuses_nan():
    assert sound.quantize(np.array([2.0, -2.0])).tolist() == [32767, -32768]
    with pytest.raises(ValueError, match="Expected finite"):
        sound.quantize(np.array([np.nan]))


def test_level_reaches_its_rms_unless_the_peak_forbids_it():
    wave = song(1.0)
    rms = 20 * np.log10(np.sqrt(np.mean(sound.level(wave, -30.0) ** 2)))
    assert rms == pytest.approx(-30, abs=1e-3)
    assert np.abs(sound.level(wave, -1.0)).max() == pytest.approx(1, abs=1e-6)
    assert np.abs(sound.level(3 * wave, peak=-6.0)).max() == pytest.approx(10**-0.3, abs=1e-6)
    assert np.array_equal(sound.level(wave), wave)


@pytest.mark.parametrize(("suffix", "subtype"), [("wav", None), ("flac", None), ("wav", "PCM_24")])
def test_written_audio_is_read_back(suffix, subtype, tmp_path):
    wave = np.clip(4 * song(0.3, channels=2), -2, 2)
    path = tmp_path / f"a.{suffix}"
    sound.write_audio(path, wave, 44100, subtype)
    audio, rate = sound.decode(path)
    assert rate == 44100
    assert np.abs(audio - np.clip(wave, -1, 1)).max() <= 2**-15 * 1.01
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_int16_is_written_as_it_is(tmp_path):
    stored = np.arange(-32768, 32768, 7, np.int32).astype(np.int16)[:, None]
    sound.write_audio(tmp_path / "a.wav", stored, 16000)
    assert np.array_equal(soundfile.read(tmp_path / "a.wav", dtype="int16")[0], stored[:, 0])


@pytest.mark.parametrize(("name", "value"), [("a.wav", np.nan), ("a.xyz", 0.0)])
def test_a_failed_write_leaves_the_old_file(name, value, tmp_path):
    (tmp_path / name).write_bytes(b"old")
    with pytest.raises(DataError, match=name):
        sound.write_audio(tmp_path / name, np.full((10, 1), value), 16000)
    assert (tmp_path / name).read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 100), st.integers(1, 40), st.data())
def test_overlap_add_undoes_cut(length, window, data):
    hop = data.draw(st.integers(1, window))
    audio = np.random.default_rng(0).standard_normal((length, 2)).astype(np.float32)
    frames = cut(audio, window, hop)
    assert frames.shape[1:] == (window, 2)
    back = overlap_add(frames, hop, length)
    assert back.shape == audio.shape
    assert np.allclose(back, audio, atol=1e-6)


def test_cut_refuses_gaps():
    with pytest.raises(ValueError, match="hop"):
        cut(np.zeros((10, 1)), 4, 5)


def test_snr():
    wave = song(0.1)
    assert sound.snr_db(wave, wave) == float("inf")
    assert sound.snr_db(wave, 1.1 * wave) == pytest.approx(20, abs=0.01)


def test_every_format_is_covered():
    assert {*LOSSLESS, "ogg", "mp3"} == set(FORMATS)
