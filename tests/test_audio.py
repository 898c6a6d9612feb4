"""Test how audio is decoded, converted, written and cut."""

import dataclasses
import os
import re
import tracemalloc

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from singlow import audio as sound
from singlow.audio import decoding
from singlow.audio.frames import cut, overlap_add
from singlow.errors import DataError
from tests.sounds import FORMATS, save, song, wave_bytes

LOSSLESS = dict.fromkeys(("wav", "flac", "aiff", "rf64", "caf", "au"), 2 ** (-15)) | {"w64": 2**-23}


@pytest.mark.parametrize("suffix", LOSSLESS)
def test_lossless_formats_return_what_was_written(suffix, tmp_path):
    wave = song(0.5, 22050, channels=2)
    audio, rate = sound.load_audio(save(tmp_path / f"a.{suffix}", wave, 22050))
    assert rate == 22050
    assert audio.shape == wave.shape
    assert audio.dtype == np.float32
    assert np.abs(audio - wave).max() <= 1.01 * LOSSLESS[suffix]


@pytest.mark.parametrize("suffix", ["ogg", "mp3"])
def test_lossy_formats_nearly_return_what_was_written(suffix, tmp_path):
    wave = song(1.0, 44100)
    audio, _ = sound.load_audio(save(tmp_path / f"a.{suffix}", wave, 44100))
    assert len(audio) == len(wave)
    assert sound.snr_db(wave, audio) > 10


@pytest.mark.parametrize(("rate", "target"), [(44100, 16000), (8000, 16000), (48000, 44100)])
def test_a_tone_keeps_its_pitch_when_resampled(rate, target, tmp_path):
    time = np.arange(2 * rate)[:, None] / rate
    path = save(tmp_path / "a.wav", 0.5 * np.sin(2 * np.pi * 440 * time), rate)
    audio, got = sound.load_audio(path, target)
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(2 * target) / target)
    assert got == target
    assert abs(len(audio) - 2 * target) <= 1
    inner = slice(target // 10, -target // 10)
    assert sound.snr_db(expected[: len(audio)][inner], audio[inner, 0]) > 60


def test_streaming_and_whole_resampling_agree(tmp_path):
    path = save(tmp_path / "a.flac", song(7.0, 44100), 44100)
    whole = sound.resample(sound.load_audio(path)[0], 44100, 16000)
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


def load_mono(path, audio, rate=16000, **settings):
    """Write float audio, decode it to one channel, and return samples, mixdown and warnings."""
    soundfile.write(path, audio, rate, "FLOAT")
    lines = []
    mono, _, mixdown = sound.load_mixed(path, channels=1, report=lines.append, **settings)
    return mono, mixdown, lines


@pytest.mark.parametrize("noise", [0.0, 0.002])
def test_channels_of_opposite_polarity_do_not_cancel(noise, tmp_path):
    left = song(0.5)
    right = -left + noise * np.random.default_rng(0).standard_normal(left.shape)
    stereo = np.concatenate([left, right], axis=1).astype(np.float32)
    mono, mixdown, lines = load_mono(tmp_path / "a.wav", stereo)
    assert np.array_equal(mono, left)
    assert np.array_equal(sound.to_channels(stereo, 1), left)
    assert len(lines) == 1
    assert "out of phase" in lines[0]
    change = song(0.5, seed=1)
    assert np.array_equal(mixdown.spread(change), np.concatenate([change, -change], axis=1))


@pytest.mark.parametrize(("right", "used"), [(-1.1, 0), (-0.9, 0), (-2.0, 1), (-0.5, 0)])
def test_the_first_of_the_loud_channels_decides_the_polarity(right, used, tmp_path):
    left = song(0.5)
    stereo = np.concatenate([left, np.float32(right) * left], axis=1)
    mono, mixdown, _ = load_mono(tmp_path / "a.wav", stereo)
    assert np.array_equal(mono, stereo[:, used : used + 1])
    assert mixdown.signs == ((1, -1), (-1, 1))[used]


def test_a_quiet_channel_counts(tmp_path):
    """A channel 30 dB below the other one is part of the mix."""
    stereo = np.concatenate([song(0.5), 0.03 * song(0.5, seed=1)], axis=1).astype(np.float32)
    mono, mixdown, lines = load_mono(tmp_path / "a.wav", stereo)
    assert np.allclose(mono[:, 0], stereo.mean(axis=1), atol=1e-7)
    assert (mixdown.signs, lines) == ((1, 1), [])


@pytest.mark.parametrize("channels", [2, 8])
@pytest.mark.parametrize("bleed", [0.0, 0.005])
def test_silent_channels_do_not_dilute_the_loudness(channels, bleed, tmp_path):
    voice = song(0.5)
    audio = np.repeat(bleed * voice, channels, axis=1)
    audio[:, 1:2] = voice
    mono, mixdown, lines = load_mono(tmp_path / "a.wav", audio)
    assert np.array_equal(mono, voice)
    assert lines == []
    assert sound.root_mean_square(audio) == pytest.approx(sound.root_mean_square(voice), rel=1e-6)
    spread = mixdown.spread(voice)
    assert np.array_equal(spread[:, 1:2], voice)
    assert np.flatnonzero(spread.any(axis=0)).tolist() == [1]


@pytest.mark.parametrize("right", [1.0, 0.5, -1.0, 0.0])
@pytest.mark.parametrize("rate", [16000, 22050])
def test_blocks_are_mixed_like_the_whole(right, rate, tmp_path, monkeypatch):
    voice = song(0.5, rate)
    stereo = np.concatenate([voice, right * song(0.5, rate, seed=int(right > 0))], axis=1)
    stereo[:2000, 0] = 0  # the mix for the first blocks differs from that for the whole
    whole = sound.to_channels(stereo.astype(np.float32), 1)
    monkeypatch.setattr(decoding, "BLOCK", 1000)
    soundfile.write(tmp_path / "a.wav", stereo, rate, "FLOAT")
    mono, _ = sound.load_audio(tmp_path / "a.wav", 16000, 1, report=lambda _: None)
    assert np.allclose(mono, sound.resample(whole, rate, 16000), atol=1e-6)
    assert rate != 16000 or np.array_equal(mono, whole)


def test_a_usual_stereo_file_is_decoded_once_and_averaged(tmp_path, monkeypatch):
    stereo = song(0.5, channels=2)
    opened = []
    real = decoding.stream_audio
    monkeypatch.setattr(decoding, "stream_audio", lambda *a: opened.append(a) or real(*a))
    mono, _, lines = load_mono(tmp_path / "a.wav", stereo)
    assert (len(opened), lines) == (1, [])
    assert np.array_equal(mono[:, 0], (stereo[:, 0] + stereo[:, 1]) * np.float32(0.5))


@pytest.mark.parametrize("channels", [3, 4, 5, 6, 7, 8])
@pytest.mark.parametrize("sounding", range(8))
def test_no_channel_is_lost_when_many_become_two(channels, sounding):
    if sounding >= channels:
        return
    voice = song(0.1)
    audio = np.zeros((len(voice), channels), np.float32)
    audio[:, sounding : sounding + 1] = voice
    stereo = sound.to_channels(audio, 2)
    assert stereo.shape == (len(voice), 2)
    assert any(np.array_equal(stereo[:, side], voice[:, 0]) for side in (0, 1))


@pytest.mark.parametrize("bits", [15, 23, 31])
@pytest.mark.parametrize("peak", [0.9, 0.01])
def test_floats_in_the_range_of_integers_are_scaled(bits, peak, tmp_path):
    wave = song(0.5)
    wave *= peak / np.abs(wave).max()
    path = tmp_path / "a.wav"
    soundfile.write(path, wave * 2.0**bits, 16000, "FLOAT")
    lines = []
    audio, _ = sound.load_audio(path, report=lines.append)
    assert len(lines) == 1
    assert f"divided by {2**bits}" in lines[0] or peak < 0.1
    assert np.abs(audio).max() <= 1
    assert bits > 15 or np.allclose(audio, wave, atol=1e-6)


def test_floats_somewhat_above_full_scale_are_kept(tmp_path):
    loud = 12 * song(0.5)
    soundfile.write(tmp_path / "a.wav", loud, 16000, "FLOAT")
    lines = []
    assert np.array_equal(sound.load_audio(tmp_path / "a.wav", report=lines.append)[0], loud)
    assert lines == []


def test_absurd_floats_are_refused(tmp_path):
    soundfile.write(tmp_path / "a.wav", 1e20 * song(0.5), 16000, "FLOAT")
    with pytest.raises(sound.AudioError, match="absurd samples"):
        sound.load_audio(tmp_path / "a.wav")


def test_reported_files_are_read(recordings):
    """The files resemble those in reports from users."""
    lines = []
    folder = recordings / "reported"
    ranged, _ = sound.load_audio(folder / "float_int16_range.wav", report=lines.append)
    assert 0.5 < np.abs(ranged).max() <= 1
    opposite, _ = sound.load_audio(folder / "out_of_phase.wav", channels=1, report=lines.append)
    left, _ = sound.load_audio(folder / "left_only.wav", channels=1, report=lines.append)
    assert sound.root_mean_square(opposite) > 0.01
    assert np.array_equal(left, sound.load_audio(folder / "left_only.wav")[0][:, :1])
    assert ["divided by 32768" in lines[0], "out of phase" in lines[1], len(lines)] == [1, 1, 2]


def test_a_small_file_that_expands_to_much_audio_is_refused(tmp_path, monkeypatch):
    soundfile.write(tmp_path / "a.flac", np.zeros((48000 * 50, 1), np.int16), 48000)
    assert (tmp_path / "a.flac").stat().st_size < 60_000
    monkeypatch.setattr(decoding, "_ALWAYS_ALLOWED", 1 << 20)
    monkeypatch.setattr(decoding, "_EXPANSION", 64)
    tracemalloc.start()
    with pytest.raises(sound.AudioError, match=r"too long: more than .* minutes of 1 channel"):
        sound.load_audio(tmp_path / "a.flac")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12 << 20
    assert len(sound.load_audio(tmp_path / "a.flac", 4000, report=lambda _: None)[0]) == 200_000


def test_decoded_audio_has_a_limit_whatever_the_size_of_the_file(tmp_path, monkeypatch):
    path = save(tmp_path / "a.wav", song(2.0))
    monkeypatch.setattr(decoding, "MAX_BYTES", 4 * 2 * 16000)
    assert len(sound.load_audio(path)[0]) == 32000
    with pytest.raises(sound.AudioError, match="too long"):
        sound.load_audio(path, 22050)


@pytest.mark.parametrize(
    ("size", "limit"),
    [(0, 256 << 20), (540_000, 256 << 20), (4 << 20, 1 << 30), (1 << 30, 2 << 30)],
)
def test_decoded_bytes_that_a_file_of_some_size_may_need(size, limit, tmp_path):
    with (tmp_path / "a.flac").open("wb") as file:
        file.truncate(size)
    assert decoding._byte_limit(tmp_path / "a.flac") == limit


def test_a_recording_of_more_than_four_hours_is_refused(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(wave_bytes(b"", size=5 * 3600 * 4000, rate=4000, bits=8))
    os.truncate(path, 44 + 5 * 3600 * 4000)  # a sparse file
    with pytest.raises(sound.AudioError, match=r"5\.0 hours of audio, expected at most 4"):
        sound.load_audio(path)


@pytest.mark.parametrize(("more", "word"), [(1, "truncated"), (-1, "damaged")])
def test_the_decoder_is_compared_with_the_container(more, word, tmp_path, monkeypatch):
    path = save(tmp_path / "a.au", song(0.3))
    right = decoding.inspect(path)
    wrong = dataclasses.replace(right, frames=right.frames + more)
    monkeypatch.setattr(decoding, "inspect", lambda *_: wrong)
    with pytest.raises(sound.AudioError, match=f"{word}: expected {4800 + more} samples"):
        sound.load_audio(path)


@pytest.mark.parametrize("shape", [(2, 16000), (1, 16000, 1), (100, 0), ()])
def test_a_wrong_shape_is_named(shape, tmp_path):
    with pytest.raises(ValueError, match=re.escape(f"Received: shape {shape}")):
        sound.write_audio(tmp_path / "a.wav", np.zeros(shape, np.float32), 16000)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("audio", "reason"),
    [
        (np.array([[0.1], [np.nan], [0.2]], np.float32), "not finite"),
        (np.array([[0.1], [-np.inf], [0.2]], np.float32), "not finite"),
        (np.zeros((0, 1), np.float32), "empty"),
        (np.zeros((10, 9), np.float32), "absurd header: 9 channels"),
    ],
)
def test_unusable_audio_is_refused(audio, reason, tmp_path):
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


def test_samples_that_do_not_match_their_checksum_are_refused(tmp_path):
    path = save(tmp_path / "a.flac", song(0.3))
    body = bytearray(path.read_bytes())
    body[30] ^= 1
    path.write_bytes(body)
    with pytest.raises(sound.AudioError, match="checksum"):
        sound.load_audio(path)


def test_fewer_samples_than_stated_are_refused(tmp_path):
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
    assert np.array_equal(sound.quantize(sound.normalize(sound.dequantize(stored))), stored)


def test_quantize_rounds_to_the_nearest_integer():
    audio = np.array([0.4, 0.6, 1.6, -0.4, -0.6, -1.6]) / 32768
    assert sound.quantize(audio).tolist() == [0, 1, 2, 0, -1, -2]


def test_quantize_clips_and_refuses_nan():
    assert sound.quantize(np.array([2.0, -2.0])).tolist() == [32767, -32768]
    with pytest.raises(ValueError, match="Expected finite"):
        sound.quantize(np.array([np.nan]))


def test_level_reaches_its_rms_unless_the_peak_forbids_it():
    wave = song(1.0)
    rms = 20 * np.log10(np.sqrt(np.mean(sound.normalize(wave, -30.0) ** 2)))
    assert rms == pytest.approx(-30, abs=1e-3)
    assert np.abs(sound.normalize(wave, -1.0)).max() == pytest.approx(1, abs=1e-6)
    assert np.abs(sound.normalize(3 * wave, peak=-6.0)).max() == pytest.approx(10**-0.3, abs=1e-6)
    assert np.array_equal(sound.normalize(wave), wave)


@pytest.mark.parametrize(("suffix", "subtype"), [("wav", None), ("flac", None), ("wav", "PCM_24")])
def test_written_audio_is_read_back(suffix, subtype, tmp_path):
    wave = np.clip(4 * song(0.3, channels=2), -2, 2)
    path = tmp_path / f"a.{suffix}"
    sound.write_audio(path, wave, 44100, subtype)
    audio, rate = sound.load_audio(path)
    assert rate == 44100
    assert np.abs(audio - np.clip(wave, -1, 1)).max() <= 2**-15 * 1.01
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_blocks_of_a_wrong_shape_are_named(tmp_path):
    blocks = [np.zeros((10, 2), np.float32), np.zeros((10, 3), np.float32)]
    with pytest.raises(DataError, match=r"blocks of shape \(time, 2\). Received: shape \(10, 3\)"):
        sound.write_blocks(tmp_path / "a.wav", blocks, 16000, 2)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", ["ogg", "oga", "opus", "mp3", "aif", "aifc", "wave", "caf", ""])
def test_the_suffix_chooses_the_container(suffix, tmp_path):
    wave = song(0.5, 48000)
    path = tmp_path / f"a.{suffix}".rstrip(".")
    sound.write_audio(path, wave, 48000)
    audio, rate = sound.load_audio(path)
    assert rate == 48000
    assert 0 <= len(audio) - len(wave) < 6000
    assert np.corrcoef(audio[: len(wave), 0], wave[:, 0])[0, 1] > 0.95


def test_int16_is_written_unchanged(tmp_path):
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
