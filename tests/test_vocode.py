"""A run with a mel trains, vocodes recordings and mels of any length, and is evaluated."""

import dataclasses
import functools
import shutil
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from singlow.audio import load_audio, snr_db
from singlow.errors import DataError, UsageError
from singlow.evaluation.synthesis import largest_line, mu_law
from singlow.runs.opening import open_run
from singlow.spectral import RECIPES, MelRecipe, read_mel, write_mel
from singlow.voices.vocode import noise_of_frames, stream, vocode
from tests import songs
from tests.conftest import untraced
from tests.songs import TINY_FLOWAVENET, coloured_noise, singlow, train

pytestmark = pytest.mark.usefixtures("eager")
RATE, HOP, BINS = 8000, 64, 20
FLAGS = [
    *(*TINY_FLOWAVENET, "--dataset", "corpus", "--run", "v"),
    *("--epochs", "2", "--steps_per_epoch", "3"),
]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with the run `v`, which is trained on a corpus with a table of transcripts."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "corpus" / "wavs").mkdir(parents=True)
    lines = []
    for number in range(10):
        audio = 0.5 * coloured_noise(number, 0.5, RATE)
        soundfile.write(folder / "corpus" / "wavs" / f"L{number}.wav", audio, RATE)
        lines.append(f"L{number}|text {number}|text {number}\n")
    (folder / "corpus" / "metadata.csv").write_text("".join(lines))
    with untraced():
        outcome = train(FLAGS, folder)
    assert outcome.code == 0, outcome.err
    return folder


@pytest.fixture(scope="module")
def run(home):
    """The run `v`; the verbs and these tests share its loaded flow."""
    trained = open_run(home / "checkpoints" / "v")
    trained.flow.for_inference = functools.cache(trained.flow.for_inference)
    key = (trained.fingerprint, str(trained.config["arguments"]), "float32")
    songs.LOADED[key] = trained.flow
    return trained


@pytest.fixture
def place(home, run, tmp_path):
    """A folder with the run, a recording and its mel."""
    (tmp_path / "checkpoints").symlink_to(home / "checkpoints")
    audio = coloured_noise(3, 0.777, RATE)
    soundfile.write(tmp_path / "a.wav", audio, RATE, subtype="FLOAT")
    write_mel(tmp_path / "a.npz", run.flow.mel_of(audio), run.flow.recipe)
    return tmp_path


def random_mel(frames: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((frames, BINS)).astype(np.float32)


def test_training_holds_out_the_last_tenth_and_writes_samples_beside_recordings(home):
    samples = home / "logs" / "v" / "samples"
    for name in ("t0.7-1", "recording-1", "reconstruction"):
        assert (samples / f"epoch-0002-{name}.wav").is_file()
        assert (samples / f"epoch-0002-{name}.png").is_file()
    recording = load_audio(samples / "epoch-0002-recording-1.wav")[0]
    original = load_audio(home / "corpus" / "wavs" / "L9.wav")[0][: len(recording)]
    np.testing.assert_allclose(recording, original, atol=1e-4)
    assert snr_db(load_audio(samples / "epoch-0002-reconstruction.wav")[0], original) > 40


@pytest.mark.slow
def test_a_run_goes_on_as_if_it_had_not_stopped(home, run, tmp_path):
    shutil.copytree(home / "corpus", tmp_path / "corpus")
    first = [
        "1" if flag == "2" and FLAGS[k - 1] == "--epochs" else flag for k, flag in enumerate(FLAGS)
    ]
    assert train(first, tmp_path).code == 0
    outcome = train(["--run", "v", "--epochs", "2"], tmp_path)
    assert outcome.code == 0, outcome.err
    again = open_run(tmp_path / "checkpoints" / "v")
    for one, other in zip(again.flow.get_weights(), run.flow.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("seconds", [0.03, 0.2, 1.0])
def test_tiles_change_nothing(run, seconds):
    mel = random_mel(150)
    z = [0.8 * part for part in noise_of_frames(run.coder, 5, 0, len(mel))]
    whole = np.asarray(run.coder.decode(z, {"mel": mel[None]}))[0]
    parts = list(stream(run, mel, 0.8, 5, tile=seconds))
    assert len(parts) == -(-len(mel) // round(seconds * RATE / HOP))
    assert len(parts[0]) <= max(HOP, seconds * RATE + HOP)
    np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-5)


def test_noise_depends_on_the_position_of_a_frame_and_the_seed(run):
    whole = noise_of_frames(run.coder, 1, 0, 40)
    part = noise_of_frames(run.coder, 1, 10, 5)
    for all_of, some in zip(whole, part, strict=True):
        step = all_of.shape[1] // 40
        np.testing.assert_array_equal(some, all_of[:, 10 * step : 15 * step])
    values = np.concatenate([z.ravel() for z in whole])
    assert values.size == 40 * HOP
    assert abs(values.mean()) < 0.1
    assert abs(values.std() - 1) < 0.1
    other = noise_of_frames(run.coder, 2, 0, 40)
    assert np.abs(other[0] - whole[0]).mean() > 0.5


def test_a_recording_is_vocoded_at_its_length(place):
    assert singlow(["vocode", "v", "a.wav", "-o", "b.wav"], place).code == 0
    audio, rate = load_audio(place / "b.wav")
    assert (len(audio), rate) == (round(0.777 * RATE), RATE)
    assert singlow(["vocode", "v", "a.npz", "-o", "c.wav"], place).code == 0
    from_mel = load_audio(place / "c.wav")[0]
    assert len(from_mel) == -(-len(audio) // HOP) * HOP
    np.testing.assert_allclose(from_mel[: len(audio)], audio, atol=1e-4)


def test_another_rate_is_resampled_and_said(place):
    soundfile.write(place / "a16.wav", coloured_noise(3, 0.5, 16000), 16000)
    outcome = singlow(["vocode", "v", "a16.wav", "-o", "b.wav"], place)
    assert outcome.code == 0
    assert "a16.wav: resampled from 16000 to 8000 Hz." in outcome.out
    assert len(load_audio(place / "b.wav")[0]) == 4000


def test_several_samples_and_temperatures_are_written_with_a_page(place):
    flags = ["--temperature", "0", "0.5", "--num_samples", "2", "--seed", "3", "-o", "out"]
    outcome = singlow(["vocode", "v", "a.wav", "a.npz", *flags], place)
    assert outcome.code == 2
    assert "two inputs would be written there" in outcome.err
    outcome = singlow(["vocode", "v", "a.wav", *flags], place)
    assert outcome.code == 0, outcome.err
    names = sorted(path.name for path in (place / "out").iterdir())
    wavs = [f"a-t{t}-seed{s}.wav" for t in ("0", "0.5") for s in (3, 4)]
    assert names == [*wavs, "index.html"]
    cold = [load_audio(place / "out" / f"a-t0-seed{s}.wav")[0] for s in (3, 4)]
    np.testing.assert_array_equal(*cold)
    warm = [load_audio(place / "out" / f"a-t0.5-seed{s}.wav")[0] for s in (3, 4)]
    assert np.abs(warm[0] - warm[1]).max() > 1e-3
    page = (place / "out" / "index.html").read_text()
    assert page.count("<audio") == 5
    assert "temperature 0.5, seed 4" in page


@pytest.mark.parametrize(
    ("mel", "message"),
    [
        (np.zeros((30, 12), np.float32), r"shape \(frames, 20\).*Received: shape \(30, 12\)"),
        (random_mel(30).T, r"a transposed one, \(20, 30\); store mel.T"),
        (np.full((30, BINS), np.nan, np.float32), "NaN or infinite"),
        (np.zeros((30, BINS), np.int32), "floating point"),
        (np.zeros((0, BINS), np.float32), r"Received: shape \(0, 20\)"),
        (random_mel(30)[None], r"Received: shape \(1, 30, 20\)"),
        (random_mel(30) - 11.0, "values from 0 to 1, decibels.*of another recipe"),
    ],
)
def test_a_wrong_mel_is_refused_in_one_line(place, mel, message):
    np.save(place / "m.npy", mel)
    outcome = singlow(["vocode", "v", "m.npy", "-o", "b.wav"], place)
    assert outcome.code == 3
    assert len(outcome.err.strip().splitlines()) == 1
    with pytest.raises(DataError, match=message):
        raise DataError(outcome.err)
    assert "m.npy" in outcome.err
    assert not (place / "b.wav").exists()


def test_the_differences_of_another_recipe_are_named(place, run):
    recipe = dataclasses.replace(run.flow.recipe, hop_length=80, low=0.0)
    write_mel(place / "m.npz", random_mel(30), recipe)
    outcome = singlow(["vocode", "v", "m.npz", "-o", "b.wav"], place)
    assert outcome.code == 3
    assert "differs in hop_length: 64, 80; low: 125.0, 0.0" in outcome.err
    assert not (place / "b.wav").exists()
    with pytest.raises(DataError, match="hop_length: 64, 80"):
        vocode(run, random_mel(30), recipe=recipe)


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY\x01\x00junk", b"PK\x03\x04junk"])
@pytest.mark.parametrize("suffix", ["npy", "npz"])
def test_a_file_that_holds_no_mel_is_refused(place, content, suffix):
    (place / f"m.{suffix}").write_bytes(content)
    outcome = singlow(["vocode", "v", f"m.{suffix}", "-o", "b.wav"], place)
    assert outcome.code == 3
    assert "not a mel that can be read" in outcome.err


def test_a_hop_that_the_squeezes_do_not_divide_is_refused(place):
    flags = ["--preset", "flowavenet_tiny", "--set", "hop_length=200", "--run", "w"]
    outcome = train(flags, place)
    assert outcome.code == 2
    assert "multiple of the squeezes together" in outcome.err
    assert not (place / "checkpoints" / "w").exists()


@pytest.mark.parametrize(
    "flags",
    [
        ["--temperature", "-1", "-o", "b.wav"],
        ["--num_samples", "0", "-o", "b.wav"],
        ["--num_samples", "2", "-o", "b.wav"],
        ["--temperature", "0", "1", "-o", "b.wav"],
        ["-o", "b.flac"],
        ["-o", "a.wav"],
    ],
)
def test_wrong_flags_are_refused(place, flags):
    before = (place / "a.wav").read_bytes()
    assert singlow(["vocode", "v", "a.wav", *flags], place).code == 2
    assert (place / "a.wav").read_bytes() == before


def test_a_run_without_a_mel_is_refused(run, monkeypatch):
    with pytest.raises(UsageError, match="tile above 0"):
        stream(run, random_mel(3), tile=0.0)
    with pytest.raises(DataError, match=r"audio: Expected audio of shape .* at least 129 samples"):
        vocode(run, np.zeros(100, np.float32))
    monkeypatch.setattr(run.flow, "inputs", {})
    with pytest.raises(UsageError, match="Expected a run with the input mel"):
        stream(run, random_mel(3))


def test_decode_restores_what_was_encoded(place):
    assert singlow(["encode", "v", "a.wav", "-o", "z.npz"], place).code == 0
    outcome = singlow(["decode", "v", "z.npz", "-o", "b.wav"], place)
    assert outcome.code == 0, outcome.err
    one, other = (load_audio(place / name)[0] for name in ("a.wav", "b.wav"))
    assert snr_db(one, other) > 60


def test_the_other_verbs_work_or_say_what_to_use(place):
    outcome = singlow(["check", "v"], place)
    assert outcome.code == 0, outcome.err + outcome.out
    outcome = singlow(["sample", "v", "-o", "s.wav", "--count", "1"], place)
    assert outcome.code == 2
    assert "use the verb vocode" in outcome.err
    styles = ["--from", "virtual", "--to", "human", "-o", "m.wav"]
    outcome = singlow(["migrate", "v", "a.wav", *styles], place)
    assert outcome.code == 2
    assert "with the input mel" in outcome.err


def test_latents_are_projected(place):
    songs.write_songs(place / "singers", RATE, takes=4)
    outcome = singlow(["project", "v", "singers", "-o", "p", "--seconds", "0.2"], place)
    assert outcome.code == 0, outcome.err
    assert list((place / "p").glob("*.png"))


def test_the_synthesis_is_measured_beside_griffin_lim(place):
    outcome = singlow(["evaluate", "v", "--temperature", "0.5"], place)
    assert outcome.code == 0, outcome.err
    for text in ("Griffin-Lim", "8-bit mu-law", "times real time", "at temperature 0.5", "FLAC"):
        assert text in outcome.out
    outcome = singlow(["evaluate", "v", "--temperature", "-1"], place)
    assert outcome.code == 2


def test_a_whistle_is_a_line_above_its_surroundings():
    rng = np.random.default_rng(0)
    noise = 0.01 * rng.standard_normal(40000)
    assert largest_line(noise, RATE)[0] < 6
    tone = noise + 0.02 * np.sin(2 * np.pi * 1234 * np.arange(40000) / RATE)
    height, frequency = largest_line(tone, RATE)
    assert height > 20
    assert abs(frequency - 1234) < 2


def test_mu_law_has_256_levels_and_small_errors():
    audio = np.linspace(-1, 1, 100_000)
    coded = mu_law(audio)
    assert len(np.unique(coded)) == 256
    assert np.abs(coded - audio).max() < 0.025
    assert abs(mu_law(np.array([0.01]))[0] - 0.01) < 5e-4


def test_a_mel_file_keeps_the_recipe(tmp_path):
    recipe = MelRecipe(n_mels=20, sample_rate=8000, high=4000.0)
    write_mel(tmp_path / "m.npz", random_mel(9) - 11, recipe)
    mel, found = read_mel(tmp_path / "m.npz")
    np.testing.assert_array_equal(mel, random_mel(9) - 11)
    assert found == recipe
    assert found.differences(RECIPES["tacotron"])
    with pytest.raises(DataError, match="floating point"):
        write_mel(tmp_path / "n.npz", np.zeros((4, 7)), recipe)
    assert not (tmp_path / "n.npz").exists()


@pytest.mark.slow
def test_memory_does_not_grow_with_the_length(home):
    """Ten minutes of mel need at most a tenth more memory than ten seconds."""
    program = (
        "import resource, sys, numpy as np\n"
        "from singlow.runs.opening import open_run\n"
        "from singlow.voices.vocode import TILE, stream\n"
        "mel = np.load(sys.argv[2], mmap_mode='r')\n"
        "run = open_run(sys.argv[1])\n"
        "for _ in stream(run, mel, tile=TILE): pass\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
    )
    peaks = []
    for seconds in (10, 600):
        np.save(home / "long.npy", random_mel(seconds * RATE // HOP))
        done = subprocess.run(
            [sys.executable, "-c", program, "checkpoints/v", "long.npy"],
            cwd=home,
            capture_output=True,
            text=True,
            check=True,
        )
        peaks.append(int(done.stdout.split()[-1]))
    assert peaks[1] < 1.1 * peaks[0]
