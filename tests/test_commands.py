"""Test the verbs of `python3 -m singlow` on a trained run."""

import io
import json
import os
import shutil
import zipfile

import numpy as np
import pytest
import soundfile

from singlow.audio import load_audio, quantize, snr_db
from singlow.errors import DataError
from singlow.latents.codes import read_song, write_song
from singlow.runs.run import find
from tests import songs
from tests.songs import coloured_noise, singlow, trained


@pytest.fixture
def place(tmp_path):
    """A folder with the trained run `t` in it."""
    (tmp_path / "checkpoints").symlink_to(trained()[0] / "checkpoints")
    return tmp_path


@pytest.fixture
def song(place):
    soundfile.write(place / "song.wav", coloured_noise(5, 1.234, 44100, 2), 44100)
    return place / "song.wav"


@pytest.fixture
def loaded_anew(monkeypatch):
    """Clear the cache of loaded flows, for tests that patch how flows work."""
    monkeypatch.setattr(songs, "LOADED", {})


@pytest.fixture(scope="module")
def encoded(tmp_path_factory):
    """The path of a file with the latents of a song."""
    folder = tmp_path_factory.mktemp("encoded")
    soundfile.write(folder / "song.wav", coloured_noise(5, 1.234, 44100, 2), 44100)
    called = ["encode", str(trained()[0] / "checkpoints" / "t"), "song.wav", "-o", "a.npz"]
    assert singlow(called, folder).code == 0
    return folder / "a.npz"


def original(path):
    return load_audio(path, 16000, 1)[0]


@pytest.mark.parametrize("length", [1, 15, 32, 4801, 30000])
def test_decode_restores_what_was_encoded(place, length):
    soundfile.write(place / "a.wav", coloured_noise(6, 2.0)[:length], 16000, subtype="FLOAT")
    assert singlow(["encode", "t", "a.wav", "-o", "a.npz"], place).code == 0
    outcome = singlow(["decode", "t", "a.npz", "-o", "b.wav"], place)
    assert outcome.code == 0, outcome.err
    assert outcome.err == ""
    back, rate = soundfile.read(place / "b.wav", always_2d=True)
    assert (rate, back.shape) == (16000, (length, 1))
    assert snr_db(original(place / "a.wav"), back) >= 80


@pytest.mark.parametrize("gain", [0.001, 60.0])
def test_quiet_songs_and_songs_beyond_full_scale_are_restored(place, gain):
    audio = gain * coloured_noise(7, 0.5)
    soundfile.write(place / "a.wav", audio, 16000, subtype="FLOAT")
    assert singlow(["encode", "t", "a.wav", "-o", "a.npz"], place).code == 0
    assert singlow(["decode", "t", "a.npz", "-o", "b.wav"], place).code == 0
    assert snr_db(original(place / "a.wav"), load_audio(place / "b.wav")[0]) >= 80


def test_songs_with_channels_out_of_phase_are_restored(place):
    x = coloured_noise(6, 0.5)
    soundfile.write(place / "a.wav", np.hstack([x, -x]), 16000, subtype="FLOAT")
    for call in (["encode", "t", "a.wav", "-o", "a.npz"], ["decode", "t", "a.npz", "-o", "b.wav"]):
        assert singlow(call, place).code == 0
    assert snr_db(x, load_audio(place / "b.wav")[0]) >= 80


def test_floats_in_the_range_of_integers_are_scaled(place):
    x = coloured_noise(6, 0.5)
    soundfile.write(place / "a.wav", 32768 * x, 16000, subtype="FLOAT")
    outcome = singlow(["encode", "t", "a.wav", "-o", "a.npz"], place)
    assert outcome.code == 0
    assert "a.wav" in outcome.err
    assert singlow(["decode", "t", "a.npz", "-o", "b.wav"], place).code == 0
    assert snr_db(x, load_audio(place / "b.wav")[0]) >= 80


def test_songs_of_another_rate_are_restored_in_mono(song, place):
    assert singlow(["encode", "t", song, "-o", "song.npz"], place).code == 0
    assert singlow(["decode", "t", "song.npz", "-o", "back.wav"], place).code == 0
    back = load_audio(place / "back.wav")[0]
    assert back.shape == original(song).shape
    assert snr_db(original(song), back) >= 80


def test_folders_and_several_files_are_encoded(song, place):
    (place / "in" / "deep").mkdir(parents=True)
    shutil.copy(song, place / "in" / "one.wav")
    shutil.copy(song, place / "in" / "deep" / "two.wav")
    (place / "in" / "bad.wav").write_bytes(b"RIFF nothing")
    outcome = singlow(["encode", "t", "in", song, "-o", "out"], place)
    assert outcome.code == 3
    assert "bad.wav" in outcome.err
    assert "1 of 4 files" in outcome.err
    found = {str(p.relative_to(place / "out")) for p in (place / "out").rglob("*.npz")}
    assert found == {"one.npz", "deep/two.npz", "song.npz"}
    assert singlow(["decode", "t", "out", "-o", "back"], place).code == 0
    assert len(list((place / "back").rglob("*.wav"))) == 3


def test_a_folder_gives_the_files_that_training_reads(song, place):
    for name in ("one.wave", "more/two.WAV", ".hidden.wav", ".trash/three.wav", "notes.txt"):
        (place / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(song, place / "in" / name)
    (place / "away").mkdir()
    shutil.copy(song, place / "away" / "four.wav")
    (place / "in" / "linked").symlink_to(place / "away")
    (place / "in" / "more" / "loop").symlink_to(place / "in")
    os.mkfifo(place / "in" / "pipe.wav")
    outcome = singlow(["encode", "t", "in", "-o", "out"], place)
    assert outcome.code == 0, outcome.err
    found = {str(p.relative_to(place / "out")) for p in (place / "out").rglob("*.npz")}
    assert found == {"one.npz", "more/two.npz", "linked/four.npz"}


def test_latents_of_other_weights_cause_a_warning(song, place):
    assert singlow(["encode", "t", song, "-o", "a.npz", "--epoch", "1"], place).code == 0
    outcome = singlow(["decode", "t", "a.npz", "-o", "b.wav"], place)
    assert outcome.code == 0
    assert "was encoded by epoch 1 of run 't'" in outcome.err
    assert singlow(["decode", "t", "a.npz", "-o", "b.wav", "--epoch", "1"], place).err == ""


def test_inputs_are_never_overwritten(song, place):
    assert singlow(["encode", "t", song, "-o", "song.npz"], place).code == 0
    shutil.copy(place / "song.npz", place / "same.wav")
    outcome = singlow(["decode", "t", "same.wav", "-o", "same.wav"], place)
    assert outcome.code == 2
    assert "is the input itself" in outcome.err
    (place / "a.npz").write_bytes((place / "song.npz").read_bytes())
    (place / "b.wav").symlink_to("a.npz")
    (place / "b.npz").symlink_to("song.npz")
    outcome = singlow(["decode", "t", "a.npz", "b.npz", "-o", "."], place)
    assert outcome.code == 2
    assert "b.wav: is the input itself" in outcome.err


class TestMalformedLatents:
    @pytest.fixture
    def arrays(self, encoded, place):
        shutil.copy(encoded, place / "a.npz")
        with np.load(place / "a.npz") as archive:
            return dict(archive)

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("format", np.array("other")),
            ("format", np.array(3)),
            ("version", np.array(9)),
            ("version", None),
            ("length", np.array(10**15)),
            ("length", np.array(0)),
            ("length", np.array(1.5)),
            ("channels", np.array(2)),
            ("sample_rate", np.array(48000)),
            ("levels", np.array(3)),
            ("z_0", None),
            ("z_0", np.zeros((3, 4), np.float64)),
            ("z_1", np.zeros((3, 4), np.float32)),
            ("z_1", np.full((1, 1), np.nan, np.float32)),
            ("extra", np.zeros(3)),
            ("run", np.array({"a": 1}, dtype=object)),
            ("run", np.array("x" * 5000)),
        ],
    )
    def test_they_are_refused_with_their_name(self, arrays, place, key, value):
        arrays.pop(key, None)
        if value is not None:
            arrays[key] = value
        np.savez(place / "bad.npz", **arrays)
        outcome = singlow(["decode", "t", "bad.npz", "-o", "b.wav"], place)
        assert outcome.code == 3, outcome.err
        assert "bad.npz" in outcome.err
        assert len(outcome.err.strip().splitlines()) == 1
        assert not (place / "b.wav").exists()

    def test_files_that_are_not_archives_are_refused(self, arrays, place):
        content = (place / "a.npz").read_bytes()
        for number, bad in enumerate((b"", b"nonsense", content[:-100], content[100:])):
            path = place / f"{number}.npz"
            path.write_bytes(bad)
            with pytest.raises(DataError, match=f"{number}.npz"):
                read_song(path)

    def test_archives_that_break_during_reading_are_refused(self, arrays, place):
        content = (place / "a.npz").read_bytes()
        with zipfile.ZipFile(place / "a.npz") as archive:
            first = archive.infolist()[0].header_offset
        encrypted = bytearray(content)
        encrypted[first + 6] |= 1  # the flag for encryption, here and in the central directory
        encrypted[content.index(b"PK\1\2") + 8] |= 1
        np.savez_compressed(place / "packed.npz", **arrays)
        packed = bytearray((place / "packed.npz").read_bytes())
        packed[len(packed) // 2] ^= 255
        huge = io.BytesIO()
        header = {"descr": "<f4", "fortran_order": False, "shape": (10**12, 1)}
        np.lib.format.write_array_header_1_0(huge, header)
        (place / "huge.npz").write_bytes(b"")
        with zipfile.ZipFile(place / "huge.npz", "w") as archive:
            archive.writestr("z_0.npy", huge.getvalue())
        (place / "encrypted.npz").write_bytes(encrypted)
        (place / "packed.npz").write_bytes(packed)
        (place / "folder.npz").mkdir()
        for name in ("encrypted", "packed", "huge", "folder", "missing"):
            with pytest.raises(DataError, match=f"{name}.npz: not a file of latents"):
                read_song(place / f"{name}.npz")

    def test_control_characters_in_the_name_of_a_run_are_escaped(self, arrays, place):
        arrays |= {"run": np.array("\x1b[2Jx"), "fingerprint": np.array("another")}
        np.savez(place / "odd.npz", **arrays)
        outcome = singlow(["decode", "t", "odd.npz", "-o", "b.wav"], place)
        assert outcome.code == 0
        assert "\\x1b[2Jx" in outcome.err
        assert "\x1b" not in outcome.err

    def test_latents_that_are_not_finite_are_not_written(self, arrays, place):
        song = read_song(place / "a.npz")
        song.latents[1][0, 0] = np.inf
        with pytest.raises(DataError, match="Expected finite latents"):
            write_song(place / "bad.npz", song)
        assert not list(place.glob("*bad*"))

    def test_archives_that_expand_are_refused(self, place):
        path = place / "bomb.npz"
        np.savez_compressed(path, z_0=np.zeros((1 << 25, 1), np.float32))
        with pytest.raises(DataError, match="expands"):
            read_song(path)


def test_sample(place):
    outcome = singlow(["sample", "t", "-o", "new", "--count", "2", "--seconds", "0.5"], place)
    assert outcome.code == 0, outcome.err
    paths = sorted((place / "new").iterdir())
    assert [p.name for p in paths] == ["t-t0.7-seed0.wav", "t-t0.7-seed1.wav"]
    clips = [soundfile.read(p)[0] for p in paths]
    assert all(len(clip) == 8000 for clip in clips)
    one = ["--count", "1", "--seconds", "0.5", "--seed", "1"]
    assert singlow(["sample", "t", "-o", "one.wav", *one], place).code == 0
    assert (soundfile.read(place / "one.wav")[0] == clips[1]).all()
    calm = [*one, "--temperature", "0.1", "-o", "calm.wav"]
    assert singlow(["sample", "t", *calm], place).code == 0
    assert np.std(soundfile.read(place / "calm.wav")[0]) < np.std(clips[1])


def test_sample_writes_decoded_noise_times_the_temperature(place):
    call = ["sample", "t", "--count", "1", "--seconds", "0.1", "--temperature", "0.5"]
    assert singlow([*call, "--seed", "3", "-o", "x.wav"], place).code == 0
    run = find("t", place / "checkpoints")
    weights = run.checkpoint("newest").manifest["sha256"]["model.safetensors"]
    flow = songs.LOADED[weights, str(run.config["arguments"]), "float32"]
    rng = np.random.default_rng(3)
    z = [0.5 * rng.standard_normal(shape) for shape in flow.latent_shapes(1, 1600)]
    x = np.asarray(flow.for_inference().decode(z))[0]
    written = soundfile.read(place / "x.wav", dtype="int16", always_2d=True)[0]
    assert np.abs(written - quantize(x).astype(int)).max() <= 1


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["check", "nope"], 2, "Known runs: t"),
        (["check", "t", "--epoch", "7"], 2, "in 1, 2"),
        (["sample", "t", "--count", "0"], 2, "--count"),
        (["sample", "t", "-o", "x.wav"], 2, "--count 1"),
        (["sample", "t", "--seconds", "nan"], 2, "--seconds"),
        (["sample", "t", "--temperature", "-1"], 2, "--temperature"),
        (["sample", "t", "--temperature", "inf"], 2, "--temperature"),
        (["sample", "t", "-o", "song.wav/x.wav", "--count", "1"], 2, "song.wav: Expected a folder"),
        (["sample", "t", "-o", "song.wav", "--count", "2"], 2, "--count 1"),
        (["encode", "t", "song.wav", "-o", "text"], 2, "text: Expected a folder"),
        (["encode", "t", "song.wav", "-o", "song.wav/a/x.npz"], 2, "song.wav: Expected a folder"),
        (["encode", "t", "song.wav", "-o", f"{'x' * 300}.npz"], 2, "too long a name"),
        (["encode", "t", "-o", "x.npz"], 2, "at least one file"),
        (["encode", "t", "missing.wav", "-o", "x.npz"], 2, "missing.wav"),
        (["encode", "t", "song.wav", "-o", "x.txt"], 2, ".npz"),
        (["encode", "t", "empty", "-o", "out"], 2, "empty"),
        (["encode", "t", "song.wav"], 2, "--output"),
        (["encode", "t", "text.wav", "-o", "x.npz"], 3, "text.wav"),
        (["evaluate", "t", "--dataset", "empty"], 3, "empty"),
        (["smaple", "t"], 2, "Did you mean sample?"),
        (["sample", "t", "--cuont", "1"], 2, "Did you mean --count?"),
    ],
)
def test_mistakes_are_one_line(song, place, arguments, code, words):
    (place / "empty").mkdir()
    (place / "text.wav").write_text("not audio at all")
    (place / "text").write_text("a file")
    said = singlow(arguments, place)
    assert said.code == code, said.err
    assert words in said.err
    assert len(said.err.strip().splitlines()) == 1
    assert "Traceback" not in said.err


def test_evaluate_tells_all_and_every_singer(place):
    said = singlow(["evaluate", "t"], place)
    assert said.code == 0, said.err
    for word in ("all", "ada", "bo", "FLAC", "Gaussian", "Epoch 2"):
        assert word in said.out


def test_evaluate_on_other_data(place):
    folder = trained()[0] / "songs" / "ada"
    said = singlow(["evaluate", "t", "--dataset", folder, "--data_dir", "records"], place)
    assert said.code == 0, said.err
    assert "bo" not in said.out.split()


@pytest.mark.usefixtures("eager")
def test_check_passes_and_names_its_data(place):
    outcome = singlow(["check", "t"], place)
    assert outcome.code == 0, outcome.err + outcome.out
    for word in ("x -> z -> x", "z -> x -> z", "log_det", "held-out clips of", "dB"):
        assert word in outcome.out


@pytest.mark.usefixtures("eager")
def test_check_without_the_data_uses_a_synthetic_clip(place, tmp_path):
    shutil.copytree(trained()[0] / "checkpoints" / "t", place / "runs" / "t")
    path = place / "runs" / "t" / "config.json"
    config = json.loads(path.read_text())
    config["data"]["directory"] = str(tmp_path / "gone")
    path.write_text(json.dumps(config))
    outcome = singlow(["check", "./runs/t"], place)
    assert "a synthetic clip" in outcome.out
    assert outcome.code == 0, outcome.err + outcome.out


@pytest.mark.usefixtures("eager", "loaded_anew")
def test_check_fails_for_weights_that_are_not_finite(place, monkeypatch):
    from singlow.runs import opening

    load = opening.load_averages

    def spoilt(flow, checkpoint):
        load(flow, checkpoint)
        variable = flow.trainable_variables[0]
        variable.assign(np.full(variable.shape, np.nan))

    monkeypatch.setattr(opening, "load_averages", spoilt)
    outcome = singlow(["check", "t"], place)
    assert outcome.code == 1
    for words in ("x -> z -> x is off by nan", "z -> x -> z is off by", "log_det is off by nan"):
        assert words in outcome.err


@pytest.mark.usefixtures("eager", "loaded_anew")
def test_check_fails_for_a_flow_that_does_not_invert(place, monkeypatch):
    from singlow.bijections import FoldedLinear

    inverse = FoldedLinear._inverse

    def wrong(self, z, *arguments):
        x, log_det = inverse(self, z, *arguments)
        return x + 1e-3, log_det

    monkeypatch.setattr(FoldedLinear, "_inverse", wrong)
    outcome = singlow(["check", "t"], place)
    assert outcome.code == 1
    assert "x -> z -> x is off by" in outcome.err


@pytest.mark.usefixtures("eager")
def test_check_fails_for_a_wrong_log_determinant(place, monkeypatch):
    from singlow.bijections import FoldedLinear

    forward = FoldedLinear._forward

    def wrong(self, x, *arguments):
        z, log_det = forward(self, x, *arguments)
        return z, 1.01 * log_det

    monkeypatch.setattr(FoldedLinear, "_forward", wrong)
    outcome = singlow(["check", "t"], place)
    assert outcome.code == 1
    assert "log_det is off by" in outcome.err
