"""Conversion between the voices of a run, who is speaking, and new voices."""

import functools
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from singlow.audio import load_audio, root_mean_square, snr_db
from singlow.commands import convert as verb
from singlow.commands import enroll as enroll_verb
from singlow.commands import speaking
from singlow.errors import DataError, UsageError
from singlow.latents.codes import Song, read_song, write_song
from singlow.runs.opening import open_run
from singlow.voices import convert as voices
from singlow.voices.enrolled import read_voice
from singlow.voices.excerpts import windows_of
from singlow.voices.hop import check_hop, hops
from singlow.voices.identify import Identity, identify
from singlow.voices.level import gain
from singlow.voices.speakers import Speakers, speakers_of
from singlow.voices.tag import Tag, read_tag
from tests.runs import VOICES, blow_in
from tests.songs import coloured_noise, singlow

WINDOW, RATE = 1024, 8000


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with the run `b`."""
    folder = tmp_path_factory.mktemp("home")
    blow_in(folder)
    return folder


@pytest.fixture(scope="module")
def opened(home):
    return open_run(str(home / "checkpoints" / "b"), speakers=True)


@pytest.fixture(scope="module")
def table(opened):
    return np.asarray(opened.flow.embeddings)


@pytest.fixture
def place(home, opened, tmp_path, monkeypatch):
    """A folder from which verbs find the run, which is loaded once for all of them."""
    shutil.copytree(home / "checkpoints", tmp_path / "checkpoints")
    flow, coder = opened.flow, opened.coder

    @functools.wraps(open_run)
    def once(*given, **more):
        again = open_run(*given, **more)
        again.flow, again.coder = flow, coder
        return again

    monkeypatch.setattr("singlow.runs.opening.load_flow", lambda *_: flow)
    for module in (verb, enroll_verb, speaking):
        monkeypatch.setattr(module, "open_run", once)
    return tmp_path


def spoken(opened, table, speaker, windows=8, seed=0):
    """What a speaker says, drawn from the flow."""
    rng = np.random.default_rng(seed)
    shapes = opened.coder.bijection.latent_shape((1, windows * WINDOW, 1))
    z = [rng.standard_normal(shapes).astype(np.float32)]
    return np.asarray(opened.coder.decode(z, table[speaker][None, None]))[0]


def save(path, audio, rate=RATE):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, audio, rate, subtype="FLOAT")
    return path


class TestConversion:
    def test_to_oneself_is_the_recording(self, opened, table):
        x = coloured_noise(1, 1.1, RATE)
        (y,) = voices.convert(opened.coder, x, table[0], [table[0]])
        assert y.shape == x.shape
        assert snr_db(x, y) >= 80

    def test_to_others_is_something_else_that_can_be_undone(self, opened, table):
        x = coloured_noise(1, 1.1, RATE)
        changed = list(voices.convert(opened.coder, x, table[0], [table[1], table[2]]))
        assert snr_db(changed[0], changed[1]) < 25
        for y, speaker in zip(changed, table[1:], strict=True):
            assert snr_db(x, y) < 25
            (back,) = voices.convert(opened.coder, y, speaker, [table[0]])
            assert snr_db(x, back) >= 60

    def test_whole_recordings_have_no_joins(self, opened, table):
        x = coloured_noise(2, 3.0, RATE)
        (y,) = voices.convert(opened.flow.for_inference(tile=128), x, table[0], [table[1]])
        (whole,) = voices.convert(opened.coder, x, table[0], [table[1]])
        assert snr_db(whole, y) >= 100

    @pytest.mark.parametrize("hop", [512, 128])
    def test_overlapping_frames_of_oneself_are_the_recording(self, opened, table, hop):
        x = coloured_noise(3, 0.7, RATE, channels=2)[:5001]
        same, other = voices.convert_frames(
            opened.coder, x, table[0], [table[0], table[1]], WINDOW, hop
        )
        assert same.shape == other.shape == x.shape
        assert snr_db(x, same) >= 80
        (whole,) = voices.convert(opened.coder, x, table[0], [table[1]])
        assert 10 < snr_db(whole[: len(x)], other) < 60

    @pytest.mark.parametrize(
        ("rate", "channels", "length", "loud"),
        [(8000, 1, 4003, 0.2), (44100, 2, 30001, 1e-3), (11025, 1, 9999, 20.0)],
    )
    def test_rate_length_channels_and_level_stay(self, opened, table, rate, channels, length, loud):
        x = loud * 10 * coloured_noise(4, 1.0, rate, channels)[:length]
        (found,) = voices.convert_recording(opened.coder, x, rate, table[0], [table[1]])
        assert found.audio.shape == x.shape
        assert found.audio.dtype == np.float32
        assert root_mean_square(found.audio) == pytest.approx(
            found.limit * root_mean_square(x), rel=1e-4
        )
        assert np.abs(found.audio).max() <= max(1.0, np.abs(x).max()) * (1 + 1e-6)

    def test_a_channel_without_sound_keeps_none(self, opened, table):
        x = np.pad(coloured_noise(5, 0.5, RATE), ((0, 0), (0, 1)))
        (found,) = voices.convert_recording(opened.coder, x, RATE, table[0], [table[1]])
        assert not found.audio[:, 1].any()
        assert found.audio[:, 0].any()

    def test_what_is_not_finite_is_refused(self, opened, table):
        x = coloured_noise(5, 0.5, RATE)
        with pytest.raises(DataError, match="finite conversion"):
            list(voices.convert_recording(opened.coder, x, RATE, table[0], [table[1] * np.nan]))

    def test_frames_of_many_targets_are_those_of_each(self, opened, table, monkeypatch):
        x = coloured_noise(3, 0.3, RATE)
        given = (opened.coder, x, RATE, table[0], [*table[1:]], None, (WINDOW, 512))
        together = [found.audio for found in voices.convert_recording(*given)]
        monkeypatch.setattr(voices, "_TOGETHER", 1)
        apart = [found.audio for found in voices.convert_recording(*given)]
        assert len(together) == len(apart) == 2
        np.testing.assert_allclose(together, apart, atol=1e-5)

    def test_hops_divide_the_window(self):
        assert hops(4096) == [2048, 1024, 512, 256, 128]
        assert check_hop(None, 4096) == 2048
        with pytest.raises(UsageError, match="2048, 1024, 512, 256, 128 for windows of 4096"):
            check_hop(3000, 4096)


class TestLevel:
    def test_a_run_of_one_level_hears_that(self):
        x = coloured_noise(1, 0.5)
        assert root_mean_square(x * gain(x, -20)) == pytest.approx(0.1, rel=1e-3)

    @pytest.mark.parametrize(("before", "after"), [(-60, -30), (-20, -20), (5, -10)])
    def test_another_only_moves_what_lies_far_off(self, before, after):
        x = coloured_noise(1, 0.5)
        x *= 10 ** (before / 20) / root_mean_square(x)
        heard = 20 * np.log10(root_mean_square(x * gain(x)))
        assert heard == pytest.approx(after, abs=0.01)


class TestIdentification:
    def test_speakers_are_told_by_what_they_say(self, opened, table):
        known = dict(zip(VOICES, table, strict=True))
        for place, name in enumerate(VOICES):
            found = identify(opened.flow, spoken(opened, table, place), known, WINDOW)
            assert found.name == name != found.second
            assert found.lead > 0
            assert found.windows == 8
            assert 0.4 < found.certainty < 1

    def test_one_window_is_never_certain(self):
        one = Identity("ada", "bo", 0.1, 1, 1, 3)
        assert one.certainty == 0.5
        assert Identity("ada", "bo", 0.1, 300, 300, 3).certainty > 0.98

    def test_windows_are_of_what_can_be_heard(self):
        loud = coloured_noise(1, 4 * WINDOW / RATE, RATE)
        loud[WINDOW : 2 * WINDOW] *= 1e-3
        found = windows_of([loud, loud[:700], loud[:100], loud[: WINDOW + 100]], WINDOW, 8)
        assert found.samples.tolist() == [WINDOW, WINDOW, WINDOW, 696, 96, WINDOW]
        assert not (found.x[..., 0] * (1 - found.frame_mask)).any()


class TestConvert:
    def test_there_and_back_through_files(self, place, opened):
        x = coloured_noise(6, 0.9, RATE, 2)[:7001]
        save(place / "a.wav", x)
        said = singlow(["convert", "b", "a.wav", "--from", "ada", "--to", "bo", "-o", "out"], place)
        assert (said.code, said.err) == (0, "")
        assert said.out == "out/a_to_bo.wav\n"
        made = load_audio(place / "out" / "a_to_bo.wav")[0]
        assert snr_db(x, made) < 25
        assert root_mean_square(made) == pytest.approx(root_mean_square(x), rel=1e-4)
        back = ["convert", "b", "out/a_to_bo.wav", "--from", "bo", "--to", "ada", "-o", "c.wav"]
        assert singlow(back, place).code == 0
        assert snr_db(x, load_audio(place / "c.wav")[0]) >= 80
        # The last samples depend on what the flow gives after them.
        tail = read_tag(place / "out" / "a_to_bo.wav").tail
        assert tail.shape == (-len(x) % opened.coder.multiple, 2)

    def test_what_would_clip_is_turned_down_and_can_be_undone(self, place):
        x = coloured_noise(6, 0.5, RATE)
        x *= 0.999 / np.abs(x).max()
        save(place / "a.wav", x)
        for target in ("bo", "cy"):
            call = ["convert", "b", "a.wav", "--from", "ada", "--to", target, "-o", "b.wav"]
            said = singlow(call, place)
            tag = read_tag(place / "b.wav")
            assert (tag.limit < 1) == ("turned down by" in said.err)
            back = ["convert", "b", "b.wav", "--from", target, "--to", "ada", "-o", "c.wav"]
            assert singlow(back, place).code == 0
            assert snr_db(x, load_audio(place / "c.wav")[0]) >= 60

    def test_a_folder_to_everybody_goes_on_where_it_was(self, place, opened, table):
        for number in range(2):
            save(place / "in" / "deep" / f"{number}.wav", spoken(opened, table, number))
        save(place / "in" / "silent.wav", np.zeros((4000, 1)))
        (place / "in" / "bad.wav").write_bytes(b"RIFF nothing")
        call = ["convert", "b", "in", "--to", "all", "-o", "out"]
        said = singlow(call, place)
        assert said.code == 3
        assert "bad.wav" in said.err
        assert "silent.wav: Expected a recording with sound. Received: silence." in said.err
        assert "2 of 4 files" in said.err
        assert "0.wav: sounds most like ada" in said.out
        assert "1.wav: sounds most like bo" in said.out
        made = sorted((place / "out").rglob("*.wav"))
        names = [f"{n}_to_{to}.wav" for n in range(2) for to in VOICES]
        assert [str(p.relative_to(place / "out")) for p in made] == [f"deep/{n}" for n in names]
        tag = read_tag(made[2])
        assert (tag.source, tag.target, tag.length) == ("ada", "cy", 8 * WINDOW)

        (place / "in" / "bad.wav").unlink()
        (place / "in" / "silent.wav").unlink()
        made[1].unlink()
        made[2].write_bytes(made[2].read_bytes()[:-400])
        os.utime(place / "in" / "deep" / "1.wav", ns=(0, 0))
        before = {path: path.stat().st_mtime_ns for path in made if path.exists()}
        said = singlow(call, place)
        assert said.code == 0
        assert "Kept 1 result(s)" in said.out
        kept = [path for path in made if path.stat().st_mtime_ns == before.get(path)]
        assert kept == made[:1]
        assert singlow(call, place).out == "Kept 6 result(s) that the same call made before.\n"

    def test_a_channel_that_the_mix_cancels_is_heard(self, place, opened, table):
        x = spoken(opened, table, 1)
        save(place / "a.wav", np.hstack([x, -x]))
        said = singlow(["convert", "b", "a.wav", "--to", "ada", "-o", "out"], place)
        assert said.code == 0, said.err
        assert "sounds most like bo" in said.out

    def test_names_of_speakers_stay_in_the_folder(self):
        found = [(Path("a.wav"), Path("deep/a.wav"))]
        ((_, made),) = verb._results(found, ["../b/c", "d e"], Path("out"), False)
        names = ["deep/a_to_.._b_c.wav", "deep/a_to_d e.wav"]
        assert [str(path.relative_to("out")) for path in made.values()] == names

    @pytest.mark.parametrize(
        ("more", "said"),
        [
            (["--to", "nobody"], "Expected a speaker in ada, bo, cy. Received: nobody."),
            (["--to", "bo", "--from", "x"], "Expected a speaker in ada, bo, cy. Received: x."),
            (["--to", "bo", "--hop", "512"], "Expected --frames overlap-add with --hop."),
            (
                ["--to", "bo", "--frames", "overlap-add", "--hop", "1000"],
                "Expected --hop in 512, 256, 128, 64, 32 for windows of 1024 samples.",
            ),
            (["--to", "bo", "-o", "in/out"], "Expected -o outside of in"),
            (["nowhere", "--to", "bo"], "nowhere: no such file or folder."),
        ],
    )
    def test_mistakes_are_told_in_a_line(self, place, more, said):
        save(place / "in" / "a.wav", coloured_noise(1, 0.1, RATE))
        output = [] if "-o" in more else ["-o", "out"]
        found = singlow(["convert", "b", "in", *more, *output], place)
        assert found.code == 2
        assert said in found.err
        assert found.err.count("\n") == 1
        assert not (place / "out").exists()

    @pytest.mark.parametrize(
        ("length", "more", "said"),
        [
            (7, [], "a.wav: Expected a recording of at least 8 samples at 8000 Hz, a frame."),
            (900, ["--frames", "overlap-add"], "at least 1024 samples at 8000 Hz, a window."),
        ],
    )
    def test_too_short_recordings_are_told(self, place, length, more, said):
        save(place / "a.wav", coloured_noise(1, 1.0, RATE)[:length])
        call = ["convert", "b", "a.wav", "--from", "ada", "--to", "bo", "-o", "out", *more]
        found = singlow(call, place)
        assert found.code == 3
        assert said in found.err
        assert found.err.count("\n") == 1


class TestEnroll:
    def test_a_new_voice_is_one_of_the_speakers(self, place, opened, table, monkeypatch):
        voice = np.array([[1.5, -2.0, 0.5, -0.5]], np.float32)
        weights = [np.array(weight) for weight in opened.flow.weights]
        for take in range(2):
            save(place / "clips" / f"{take}.wav", spoken(opened, voice, 0, 10, take))
        save(place / "clips" / "silent.wav", np.zeros((4000, 1)))
        said = singlow(["enroll", "b", "dee", "clips"], place)
        assert said.code == 0, said.err
        assert "silent.wav: Expected a recording with sound" in said.err
        path = place / "checkpoints" / "b" / "voices" / "dee.safetensors"
        stored = read_voice(path, 4)
        assert stored.sources == ("0.wav", "1.wav")
        assert stored.seconds == pytest.approx(20 * WINDOW / RATE)
        assert stored.after < stored.before
        distances = np.linalg.norm([*table, stored.embedding] - voice, axis=1)
        assert distances.argmin() == len(table)
        for weight, before in zip(opened.flow.weights, weights, strict=True):
            np.testing.assert_array_equal(weight, before)
        assert stored.fingerprint == opened.fingerprint

        save(place / "new.wav", spoken(opened, voice, 0, 8, seed=9))
        said = singlow(["convert", "b", "new.wav", "--to", "ada", "-o", "out"], place)
        assert (said.code, said.err) == (0, "")
        assert "sounds most like dee" in said.out
        said = singlow(["convert", "b", "new.wav", "--from", "bo", "--to", "dee", "-o", "o"], place)
        assert (said.code, said.out) == (0, "o/new_to_dee.wav\n")

        said = singlow(["enroll", "b", "dee", "clips/0.wav"], place)
        assert said.code == 2
        assert "this voice exists" in said.err
        monkeypatch.setattr("singlow.voices.enroll._MOST", 1)
        said = singlow(["enroll", "b", "dee", "clips/0.wav", "--fresh"], place)
        assert said.code == 0
        assert "dee.safetensors.old-1" in said.out
        assert read_voice(path, 4).sources == ("0.wav",)
        assert speakers_of(opened).enrolled == []

    @pytest.mark.parametrize(
        ("name", "code", "said"),
        [
            ("ada", 2, "no trained speaker has: ada, bo, cy. Received: ada."),
            ("../x", 2, "Expected a name of up to 60 letters"),
            ("all", 2, "that is not all or auto"),
            ("x" * 61, 2, "Expected a name of up to 60 letters"),
            ("dee", 3, "Expected at least two windows of sound, 2048 samples at 8000 Hz."),
        ],
    )
    def test_mistakes_are_told_in_a_line(self, place, name, code, said):
        save(place / "a.wav", coloured_noise(1, 0.1, RATE))
        found = singlow(["enroll", "b", name, "a.wav"], place)
        assert (found.code, found.err.count("\n")) == (code, 1)
        assert said in found.err
        assert not (place / "checkpoints" / "b" / "voices").exists()


class TestOneSpeaker:
    def test_latents_say_who_spoke_and_are_the_recording_again(self, place, opened, table):
        x = save(place / "a.wav", 3 * spoken(opened, table, 1))
        x = load_audio(x)[0]
        said = singlow(["encode", "b", "a.wav", "-o", "a.npz"], place)
        assert said.code == 0, said.err
        assert "a.wav: sounds most like bo" in said.out
        song = read_song(place / "a.npz")
        assert song.speaker == "bo"
        np.testing.assert_array_equal(song.embedding, table[1])
        said = singlow(["decode", "b", "a.npz", "-o", "b.wav"], place)
        assert (said.code, said.err) == (0, "")
        assert snr_db(x, load_audio(place / "b.wav")[0]) >= 60

    def test_decoded_as_another_they_are_a_conversion(self, place):
        x = coloured_noise(6, 0.9, RATE)[:7001]
        save(place / "a.wav", x)
        for call in (
            ["encode", "b", "a.wav", "--speaker", "ada", "-o", "a.npz"],
            ["decode", "b", "a.npz", "--speaker", "cy", "-o", "b.wav"],
            ["convert", "b", "a.wav", "--from", "ada", "--to", "cy", "-o", "c.wav"],
        ):
            assert singlow(call, place).code == 0
        found, expected = (load_audio(place / name)[0] for name in ("b.wav", "c.wav"))
        expected *= root_mean_square(found) / root_mean_square(expected)
        assert snr_db(expected, found) >= 60
        assert snr_db(x, found) < 25

    def test_clips_are_drawn_of_a_speaker(self, place, opened, table):
        save(place / "a.wav", coloured_noise(6, 0.3, RATE))
        save(place / "faint.wav", 0.003 * coloured_noise(6, 0.3, RATE))
        save(place / "fainter.wav", 0.001 * coloured_noise(6, 0.3, RATE))
        drawn = ["sample", "b", "--count", "1", "--temperature", "0.5"]
        for more in (["--speaker", "bo"], ["--speaker", "cy"], ["--speaker", "bo", "-o", "x.wav"]):
            said = singlow([*drawn, "--seconds", "0.2", *more], place)
            assert said.code == 0, said.err
        one, other = (
            load_audio(place / "samples" / f"b-{name}-t0.5-seed0.wav")[0] for name in ("bo", "cy")
        )
        np.testing.assert_array_equal(one, load_audio(place / "x.wav")[0])
        assert snr_db(one, other) < 40
        around = [*drawn, "--around", "a.wav", "--speaker", "ada"]
        assert singlow(around, place).out == "samples/a-b-ada-t0.5-seed0.wav\n"
        found = {}
        for name in ("faint", "fainter"):
            around = [*drawn, "--around", f"{name}.wav", "--speaker", "ada", "-o", f"x-{name}.wav"]
            assert singlow(around, place).code == 0
            found[name] = load_audio(place / f"x-{name}.wav")[0]
        assert snr_db(found["faint"], 3 * found["fainter"]) > 60  # both heard at one level

    @pytest.mark.parametrize(
        ("call", "code", "said"),
        [
            (["sample", "b"], 2, "Expected --speaker in ada, bo, cy. Received: none."),
            (["sample", "b", "--speaker", "x"], 2, "in ada, bo, cy. Received: x."),
            (["encode", "b", "a.wav", "--speaker", "x", "-o", "o"], 2, "in ada, bo, cy."),
            (["decode", "b", "a.npz", "--speaker", "x", "-o", "o"], 2, "in ada, bo, cy."),
            (
                ["encode", "b", "still.wav", "--speaker", "bo", "-o", "o"],
                3,
                "still.wav: Expected a",
            ),
            (["decode", "b", "a.npz", "-o", "o"], 3, "a.npz: Expected latents with the 4 numbers"),
            (["sample", "b", "--around", "still.wav", "--speaker", "bo"], 3, "still.wav: Expected"),
        ],
    )
    def test_mistakes_are_told_in_a_line(self, place, call, code, said):
        save(place / "a.wav", coloured_noise(1, 0.1, RATE))
        save(place / "still.wav", np.zeros((4000, 1)))
        write_song(place / "a.npz", Song([np.zeros((2, 8), np.float32)], 16, RATE, 1))
        found = singlow(call, place)
        assert found.code == code
        assert said in found.err
        assert len([line for line in found.err.splitlines() if "Warning" not in line]) == 1

    @pytest.mark.parametrize(
        ("change", "told"),
        [
            ({"embedding": np.array([1, np.nan], np.float32)}, "speaker, embedding, gain"),
            ({"gain": np.array(0.0)}, "speaker, embedding, gain"),
            ({"gain": None}, "speaker, embedding, gain"),
            ({"speaker": np.array(3)}, "speaker to be a short text"),
            ({"version": np.array(2)}, "version 3. Received: singlow-latents of version 2"),
        ],
    )
    def test_latents_that_do_not_say_it_well_are_refused(self, tmp_path, change, told):
        song = Song(
            [np.zeros((2, 8), np.float32)], 16, RATE, 1, "b", 1, "f", "ada", np.ones(4), 2.0
        )
        write_song(tmp_path / "a.npz", song)
        assert read_song(tmp_path / "a.npz").speaker == "ada"
        with np.load(tmp_path / "a.npz") as file:
            held = {**dict(file), **change}
        np.savez(tmp_path / "a.npz", **{k: v for k, v in held.items() if v is not None})
        with pytest.raises(DataError, match=told):
            read_song(tmp_path / "a.npz")


class TestVoicesThatAreWrong:
    @pytest.fixture
    def folder(self, tmp_path):
        return tmp_path

    def write(self, path, embedding, **facts):
        from safetensors.numpy import save

        given = {
            "format": "singlow-voice",
            "version": 1,
            "fingerprint": "other",
            "sources": [],
            "seconds": 1.0,
            "before": 9.0,
            "after": 8.0,
            **facts,
        }
        metadata = {"singlow": json.dumps(given)}
        path.write_bytes(save({"embedding": np.asarray(embedding, np.float32)}, metadata))

    @pytest.mark.parametrize(
        ("embedding", "facts", "said"),
        [
            (np.zeros(5), {}, r"Expected embedding to be float32\[4\]. Received: float32\[5\]"),
            ([1, 2, np.nan, 4], {}, "Expected a finite embedding"),
            (np.zeros(4), {"format": "other"}, "Expected the format singlow-voice"),
            (np.zeros(4), {"version": 9}, "Expected version 1 of singlow-voice. Received: 9"),
            (np.zeros(4), {"sources": [3]}, "Expected fingerprint, sources"),
            (np.zeros(4), {"after": 10**400}, "Expected fingerprint, sources"),
        ],
    )
    def test_they_are_refused_by_name(self, folder, embedding, facts, said):
        self.write(folder / "dee.safetensors", embedding, **facts)
        with pytest.raises(DataError, match=said) as told:
            read_voice(folder / "dee.safetensors", 4)
        assert "dee.safetensors" in str(told.value)

    def test_damaged_files_too(self, folder):
        self.write(folder / "dee.safetensors", np.zeros(4))
        content = (folder / "dee.safetensors").read_bytes()
        for cut in (0, 7, 60, len(content) - 1):
            (folder / "dee.safetensors").write_bytes(content[:cut])
            with pytest.raises(DataError, match="dee"):
                read_voice(folder / "dee.safetensors", 4)

    def test_other_weights_are_a_warning(self, opened, monkeypatch, folder, capsys):
        speakers = speakers_of(opened)
        with pytest.raises(DataError, match="names of 3 speakers"):
            Speakers(["a", "b", "a"], np.ones((3, 4)), folder / "voices", "")
        speakers.folder = folder
        self.write(folder / "dee.safetensors", np.ones(4))
        self.write(folder / "eve.safetensors", np.ones(4), fingerprint=opened.fingerprint)
        (folder / "fay.safetensors").write_bytes(b"nothing")
        assert speakers.names == [*VOICES, "dee", "eve", "fay"]
        np.testing.assert_array_equal(speakers["dee"], np.ones(4))
        assert "dee was enrolled for other weights" in capsys.readouterr().err
        assert list(speakers.current()) == [*VOICES, "eve"]
        assert "left out" in capsys.readouterr().err


def commented(path: Path, comment: str) -> Path:
    with soundfile.SoundFile(path, "w", 8000, 1) as file:
        file.comment = comment
        file.write(np.ones(10))
    return path


def test_tags_of_others_are_none(tmp_path):
    for comment in ("hello", "[1]", '{"format": "singlow-conversion", "version": 1}', "1e400"):
        assert read_tag(commented(tmp_path / "a.wav", comment)) is None
    assert read_tag(tmp_path / "none.wav") is None


def test_a_tag_keeps_the_tail_where_there_is_room(tmp_path):
    facts = ("ada", "bo", "f", "c", 0.1, 1.0, 10)
    tail = np.linspace(-1, 1, 14, dtype="float32").reshape(7, 2)
    found = read_tag(commented(tmp_path / "a.wav", Tag(*facts, tail).comment))
    assert found == Tag(*facts)
    np.testing.assert_allclose(found.tail, tail, atol=1e-3)
    for kept in (None, np.zeros((999, 2))):
        found = read_tag(commented(tmp_path / "a.wav", Tag(*facts, kept).comment))
        assert found == Tag(*facts)
        assert found.tail is None


@pytest.mark.parametrize("kept", ["x", [1], [0, ""], [2, "AAA="], [1, "A"], [1, 5], [1, "AHw="]])
def test_a_tag_with_a_tail_that_is_none_is_none(tmp_path, kept):
    comment = json.loads(Tag("ada", "bo", "f", "c", 0.1, 1.0, 10).comment)
    comment["tail"] = kept
    assert read_tag(commented(tmp_path / "a.wav", json.dumps(comment))) is None


@pytest.mark.parametrize(
    ("run", "call", "said"),
    [
        ("t", ["convert", "t", "a.wav", "--to", "x", "-o", "o"], "is of singlow; use migrate"),
        ("t", ["enroll", "t", "x", "a.wav"], "is of singlow; use migrate"),
        ("t", ["encode", "t", "a.wav", "--speaker", "x", "-o", "o"], "leave --speaker out"),
        ("t", ["decode", "t", "a.npz", "--speaker", "x", "-o", "o"], "leave --speaker out"),
        ("t", ["sample", "t", "--speaker", "x"], "of singlow; leave --speaker out"),
        ("b", ["migrate", "b", "a.wav", "--from", "x", "--to", "y", "-o", "o"], "use convert"),
        ("b", ["interpolate", "b", "a.wav", "a.wav", "-o", "o"], "is of blow; use convert"),
        ("b", ["project", "b"], "is of blow; use convert"),
        ("b", ["evaluate", "b", "--migration"], "is of blow; use convert"),
    ],
)
def test_verbs_are_for_their_kind_of_run(tmp_path, run, call, said):
    from tests.runs import BLOW, CONFIG, locate

    there = locate(run, tmp_path / "checkpoints", tmp_path / "logs")
    there.directory.mkdir(parents=True)
    there.write_config(BLOW if run == "b" else CONFIG)
    save(tmp_path / "a.wav", coloured_noise(1, 0.1))
    (tmp_path / "a.npz").write_bytes(b"")
    found = singlow(call, tmp_path)
    assert (found.code, found.err.count("\n")) == (2, 1)
    assert said in found.err
