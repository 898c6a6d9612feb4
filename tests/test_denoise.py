"""The denoiser of vocoders: what it subtracts, in blocks of any length."""

import numpy as np
import pytest

from singlow.commands import VERBS
from singlow.commands.flags import run_verb
from singlow.errors import UsageError
from singlow.voices.denoise import denoised

SIZE = 64


def blocks_of(audio: np.ndarray, size: int) -> list[np.ndarray]:
    return [audio[start : start + size, None] for start in range(0, len(audio), size)]


def joined(audio: np.ndarray, size: int, bias: np.ndarray, strength: float) -> np.ndarray:
    return np.concatenate(list(denoised(iter(blocks_of(audio, size)), bias, strength)))[:, 0]


def noise(length: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(length).astype(np.float32)


@pytest.mark.parametrize("length", [1, 15, 16, 64, 1000])
@pytest.mark.parametrize("size", [1, 50, 1000])
def test_no_strength_changes_nothing(length, size):
    audio, bias = noise(length), np.ones(SIZE // 2 + 1, np.float32)
    found = joined(audio, size, bias, 0.0)
    assert found.shape == audio.shape
    np.testing.assert_allclose(found, audio, atol=1e-5)


def test_blocks_of_any_length_give_the_same():
    audio, bias = noise(1000), np.abs(noise(SIZE // 2 + 1, 1))
    whole = joined(audio, 1000, bias, 0.7)
    for size in (7, 64, 333):
        np.testing.assert_allclose(joined(audio, size, bias, 0.7), whole, atol=1e-5)
    assert np.abs(whole - audio).max() > 0.1


def test_a_constant_tone_is_subtracted_and_another_one_stays():
    time = np.arange(4096)
    hum, tone = (np.sin(2 * np.pi * k * time / SIZE) for k in (4, 20))
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(SIZE) / SIZE)
    bias = np.abs(np.fft.rfft(window * hum[:SIZE]))
    found = joined((hum + tone).astype(np.float32), 512, bias, 1.0)[SIZE:-SIZE]
    np.testing.assert_allclose(found, tone[SIZE:-SIZE], atol=1e-4)


def test_the_noise_of_a_run_is_the_spectrum_of_the_audio_of_an_empty_mel(tmp_path):
    from singlow.audio import load_audio
    from singlow.voices.vocode import noise_spectrum, stream, vocode
    from tests.test_import import imported_in, opened, state_of
    from tests.torch_files import write_zip

    imported_in(tmp_path, write_zip(tmp_path / "it.pt", {"state_dict": state_of("waveglow")}))
    run = opened(tmp_path)
    expected = noise_spectrum(run.coder)
    x = np.asarray(run.coder.sample({"mel": np.zeros((1, 88, 3), np.float32)}, temperature=0.0)[0])
    around = np.concatenate([x[0, 512:0:-1, 0], x[0, :512, 0]])
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(1024) / 1024)
    np.testing.assert_allclose(expected, np.abs(np.fft.rfft(window * around)), atol=1e-3)
    mel = -np.abs(noise(3 * 20)).reshape(20, 3)
    plain, quiet = (vocode(run, mel, 0.5, denoise=share) for share in (0.0, 0.3))
    assert plain.shape == quiet.shape == (20 * 256, 1)
    assert np.square(quiet).sum() < np.square(plain).sum()
    parts = list(stream(run, mel, 0.5, tile=0.05, denoise=0.3))
    assert len(parts) > 1
    np.testing.assert_allclose(np.concatenate(parts), quiet, atol=1e-4)
    with pytest.raises(UsageError, match="denoise from 0 to 100"):
        vocode(run, mel, denoise=-1.0)
    np.save(tmp_path / "mel.npy", mel)
    words = ["vocode", str(run.run.directory), str(tmp_path / "mel.npy"), "-o"]
    words += [str(tmp_path / "quiet.wav"), "--temperature", "0.5", "--denoise", "0.3"]
    run_verb(VERBS, "", words)
    written = load_audio(tmp_path / "quiet.wav")[0]
    np.testing.assert_allclose(written, np.clip(quiet, -1, 1), atol=1e-4)
