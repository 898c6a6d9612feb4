"""A run converts between voices, identifies speakers and enrolls new voices."""

import dataclasses
import functools
import json
import os
import shutil
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import soundfile

from singlow.audio import load_audio, root_mean_square, snr_db
from singlow.commands import convert as verb
from singlow.errors import DataError, UsageError
from singlow.latents import codes
from singlow.latents.codes import Song, read_song, write_song
from singlow.latents.sample import sample
from singlow.runs.opening import open_run
from singlow.voices import convert as voices
from singlow.voices import enroll as enrolling
from singlow.voices import identify as identifying
from singlow.voices.enrolled import Voice, read_voice, voice_name, voice_path, write_voice
from singlow.voices.identify import Identity, identify, likeliest_speaker
from singlow.voices.recordings import excerpts_of, log_probs, loudness_gain, repeated
from singlow.voices.speakers import Speakers, part_of_file_name, speaker_inputs, speakers_of
from singlow.voices.tag import Tag, read_tag
from tests import songs
from tests.runs import VOICES, blow_in
from tests.songs import coloured_noise, singlow

WINDOW, RATE = 1024, 8000
COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "Zoé") for form in ("NFC", "NFD"))


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder that contains the run `b`."""
    folder = tmp_path_factory.mktemp("home")
    blow_in(folder)
    return folder


@pytest.fixture(scope="module")
def run(home):
    """The run `b`; the verbs and these tests share its loaded flow."""
    trained = open_run(home / "checkpoints" / "b")
    trained.flow.for_inference = functools.cache(trained.flow.for_inference)
    key = (trained.fingerprint, str(trained.config["arguments"]), "float32")
    songs.LOADED[key] = trained.flow
    return trained


@pytest.fixture(scope="module")
def table(run):
    return run.flow.embedding_table("speaker")


@pytest.fixture(scope="module")
def speakers(table):
    """The inputs of one item for each speaker."""
    return [speaker_inputs(embedding) for embedding in table]


@pytest.fixture
def place(home, run, tmp_path):
    """A folder that contains a copy of the run."""
    shutil.copytree(home / "checkpoints", tmp_path / "checkpoints")
    return tmp_path


def rename_speakers(place, *names):
    path = place / "checkpoints" / "b" / "config.json"
    config = json.loads(path.read_text())
    config["data"]["singers"] = list(names)
    path.write_text(json.dumps(config))


def draw(run, inputs, windows=8, seed=0):
    """Sample a recording of a speaker from the flow."""
    length = windows * WINDOW
    return np.asarray(run.coder.sample(inputs, 1, length, temperature=1.0, seed=seed)[0])[0]


def save(path, audio, rate=RATE):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, audio, rate, subtype="FLOAT")
    return path


def files_in(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.wav"))


class TestConversion:
    def test_conversion_to_the_same_speaker_is_the_recording(self, run, speakers):
        x = coloured_noise(1, 1.1, RATE)
        (y,) = voices.convert_whole(run.coder, x, speakers[0], [speakers[0]])
        assert y.shape == x.shape
        assert snr_db(x, y) >= 80

    def test_conversion_to_another_speaker_can_be_undone(self, run, speakers):
        x = coloured_noise(1, 1.1, RATE)
        changed = list(voices.convert_whole(run.coder, x, speakers[0], speakers[1:]))
        assert snr_db(changed[0], changed[1]) < 25
        for y, speaker in zip(changed, speakers[1:], strict=True):
            assert snr_db(x, y) < 25
            (back,) = voices.convert_whole(run.coder, y, speaker, [speakers[0]])
            assert snr_db(x, back) >= 60

    def test_whole_recordings_have_no_joins(self, run, speakers):
        x = coloured_noise(2, 3.0, RATE)
        tiled = run.flow.for_inference(tile=128)
        (y,) = voices.convert_whole(tiled, x, speakers[0], [speakers[1]])
        (whole,) = voices.convert_whole(run.coder, x, speakers[0], [speakers[1]])
        assert snr_db(whole, y) >= 100

    @pytest.mark.parametrize("hop", [512, 128])
    def test_overlapping_frames_of_the_same_speaker_are_the_recording(self, run, speakers, hop):
        x = coloured_noise(3, 0.7, RATE, channels=2)[:5001]
        same, other = voices.convert_frames(run.coder, x, speakers[0], speakers[:2], WINDOW, hop)
        assert same.shape == other.shape == x.shape
        assert snr_db(x, same) >= 80
        (whole,) = voices.convert_whole(run.coder, x, speakers[0], [speakers[1]])
        assert 10 < snr_db(whole[: len(x)], other) < 60

    @pytest.mark.parametrize(
        ("rate", "channels", "length", "amplitude"),
        [(8000, 1, 4003, 0.2), (44100, 2, 30001, 1e-3), (11025, 1, 9999, 20.0)],
    )
    def test_rate_length_channels_and_loudness_stay(
        self, run, speakers, rate, channels, length, amplitude
    ):
        x = amplitude * 10 * coloured_noise(4, 1.0, rate, channels)[:length]
        (y,) = voices.convert_recording(run.coder, x, rate, speakers[0], [speakers[1]])
        assert y.audio.shape == x.shape
        assert y.audio.dtype == np.float32
        assert root_mean_square(y.audio) == pytest.approx(y.scale * root_mean_square(x), rel=1e-4)
        assert np.abs(y.audio).max() <= max(1.0, np.abs(x).max()) * (1 + 1e-6)

    @pytest.mark.parametrize("noise", [0.0, 1e-5])
    def test_silent_channels_stay_as_they_are_and_do_not_count(self, run, speakers, noise):
        x = coloured_noise(5, 0.5, RATE)
        silence = noise * np.random.default_rng(0).standard_normal((len(x), 7)).astype(np.float32)
        (alone,) = voices.convert_recording(run.coder, x, RATE, speakers[0], [speakers[1]])
        many = np.hstack([x, silence])
        (y,) = voices.convert_recording(run.coder, many, RATE, speakers[0], [speakers[1]])
        np.testing.assert_array_equal(y.audio[:, 1:], y.scale * silence)
        np.testing.assert_allclose(y.audio[:, :1], alone.audio, atol=1e-6)

    def test_results_that_are_not_finite_are_refused(self, run, speakers, table):
        x = coloured_noise(5, 0.5, RATE)
        bad = speaker_inputs(table[1] * np.nan)
        with pytest.raises(DataError, match="finite conversion"):
            list(voices.convert_recording(run.coder, x, RATE, speakers[0], [bad]))

    def test_frames_of_many_targets_are_those_of_each(self, run, speakers, monkeypatch):
        x = coloured_noise(3, 0.3, RATE)
        arguments = (run.coder, x, RATE, speakers[0], speakers[1:], None, (WINDOW, 512))
        together = [y.audio for y in voices.convert_recording(*arguments)]
        monkeypatch.setattr(voices, "_TOGETHER", 1)
        apart = [y.audio for y in voices.convert_recording(*arguments)]
        assert len(together) == len(apart) == 2
        np.testing.assert_allclose(together, apart, atol=1e-5)

    def test_hops_divide_the_window(self):
        assert voices.hops(4096) == [2048, 1024, 512, 256, 128]
        assert voices.check_hop(None, 4096) == 2048
        with pytest.raises(UsageError, match="2048, 1024, 512, 256, 128 for windows of 4096"):
            voices.check_hop(3000, 4096)

    def test_any_flow_with_embedded_speakers_converts(self):
        from singlow.bijections import AffineCoupling, Chain, InvertibleConv, Squeezed
        from singlow.inputs import Input
        from singlow.models import Flow
        from singlow.networks import ConvNet
        from singlow.signals import Audio
        from singlow.testing import nudge

        step = Chain([InvertibleConv(), AffineCoupling(ConvNet(8))])
        speaker = Input("item", "int32", size=3, embedding=4)
        flow = Flow(Squeezed(step, 4), Audio(RATE), {"speaker": speaker})
        nudge(flow)
        x = coloured_noise(1, 0.2, RATE)
        ada, bo, _ = map(speaker_inputs, flow.embedding_table("speaker"))
        (there,) = voices.convert_recording(flow.for_inference(), x, RATE, ada, [bo])
        (back,) = voices.convert_recording(flow, there.audio, RATE, bo, [ada], before=there)
        assert snr_db(x, there.audio) < 40
        assert snr_db(x, back.audio) > 60


class TestLoudness:
    def test_recordings_are_scaled_to_the_loudness_of_the_run(self):
        x = coloured_noise(1, 0.5)
        assert root_mean_square(x * loudness_gain(x, -20)) == pytest.approx(0.1, rel=1e-3)

    @pytest.mark.parametrize(("before", "after"), [(-60, -30), (-20, -20), (5, -10)])
    def test_without_one_only_faint_and_loud_recordings_are_scaled(self, before, after):
        x = coloured_noise(1, 0.5)
        x *= 10 ** (before / 20) / root_mean_square(x)
        loudness = 20 * np.log10(root_mean_square(x * loudness_gain(x)))
        assert loudness == pytest.approx(after, abs=0.01)


class TestIdentification:
    def test_speakers_are_identified_by_their_recordings(self, run, speakers):
        known = dict(zip(VOICES, speakers, strict=True))
        for name, inputs in known.items():
            identity = likeliest_speaker(run.flow, draw(run, inputs), known, WINDOW)
            assert identity.name == name != identity.second
            assert identity.lead > 0
            assert identity.excerpts == 8
            assert 0.4 < identity.certainty < 1

    def test_the_lead_is_a_difference_of_bits_per_sample(self, run, speakers):
        x = draw(run, speakers[0])[:WINDOW]
        known = dict(zip(VOICES, speakers, strict=True))
        identity = likeliest_speaker(run.flow, x, known, WINDOW)
        first, second = (
            float(np.asarray(run.flow.log_prob({"x": x[None], **known[name]}))[0])
            for name in (identity.name, identity.second)
        )
        assert identity.lead == pytest.approx((first - second) / np.log(2) / WINDOW, abs=1e-5)

    def test_a_run_identifies_the_speaker_of_an_array(self, run, speakers):
        x = draw(run, speakers[1])
        assert identify(run, x[:, 0]).name == "bo"
        assert identify(run, np.hstack([x, -x])).name == "bo"

    def test_one_excerpt_is_never_certain(self):
        one = Identity("ada", "bo", 0.1, 1, 1, 3)
        assert one.certainty == 0.5
        assert Identity("ada", "bo", 0.1, 300, 300, 3).certainty > 0.98

    def test_excerpts_without_sound_are_left_out(self):
        loud = coloured_noise(1, 4 * WINDOW / RATE, RATE)
        loud[WINDOW : 2 * WINDOW] *= 1e-3
        excerpts = excerpts_of([loud, loud[:700], loud[:100], loud[: WINDOW + 100]], WINDOW, 8)
        assert excerpts.samples.tolist() == [WINDOW, WINDOW, WINDOW, 696, 96, WINDOW]
        assert not (excerpts.x[..., 0] * (1 - excerpts.frame_mask)).any()

    @pytest.mark.parametrize(("loudness", "count"), [(0.12, 2), (0.08, 1)])
    def test_excerpts_20_db_below_the_loudest_are_left_out(self, loudness, count):
        loud = np.ones((WINDOW, 1), np.float32)
        assert len(excerpts_of([loud, loudness * loud], WINDOW, 8)) == count

    def test_likelihoods_of_many_pairs_are_those_of_each(self, run, speakers):
        excerpts = excerpts_of([coloured_noise(1, 13 * WINDOW / RATE, RATE)], WINDOW, 8)
        together = log_probs(run.flow, excerpts, speakers)
        assert together.shape == (13, 3)
        for column, inputs in enumerate(speakers):
            batch = {"x": excerpts.x, **repeated(inputs, 13)}
            apart = np.asarray(run.flow.log_prob(batch))
            np.testing.assert_allclose(together[:, column], apart, rtol=1e-5)

    @pytest.mark.parametrize(("known", "seconds"), [(3, 30), (16, 30), (32, 15), (1000, 8)])
    def test_long_recordings_are_identified_by_their_start(self, run, monkeypatch, known, seconds):
        monkeypatch.setattr(
            identifying, "log_probs", lambda flow, x, speakers: np.zeros((len(x), len(speakers)))
        )
        names = {str(number): {} for number in range(known)}
        x = coloured_noise(1, 60, RATE)
        assert likeliest_speaker(run.flow, x, names, RATE).excerpts == seconds


class TestConvertInALibrary:
    def test_arrays_are_converted_and_back(self, run):
        x = coloured_noise(6, 0.9, 11025, 2)[:7001]
        there = voices.convert(run, x, "bo", source="ada", sample_rate=11025)
        assert (there.source, there.target, there.sample_rate) == ("ada", "bo", 11025)
        assert there.audio.shape == x.shape
        assert there.identity is None
        at_rate = voices.convert(run, x[:, 0], "bo", "ada")
        back = voices.convert(run, at_rate, "ada", "bo")
        assert snr_db(x[:, :1], at_rate.audio) < 25
        assert snr_db(x[:, :1], back.audio) >= 80

    def test_files_are_converted_as_by_the_verb(self, place, run):
        save(place / "a.wav", coloured_noise(6, 0.5, RATE, 2))
        call = ["convert", "b", "a.wav", "--from", "ada", "--to", "bo", "-o", "b.wav"]
        assert singlow(call, place).code == 0
        converted = voices.convert(run, place / "a.wav", "bo", "ada")
        np.testing.assert_array_equal(converted.audio, load_audio(place / "b.wav")[0])
        converted.write(place / "c.wav")
        assert read_tag(place / "b.wav") == read_tag(place / "c.wav") == converted.tag

    def test_a_converter_yields_all_targets(self, run):
        x = coloured_noise(6, 0.3, RATE)
        results = list(voices.Converter(run, "all")(x))
        assert [result.target for result in results] == list(VOICES)
        assert results[0].identity.name == results[0].source

    def test_the_flow_receives_recordings_at_the_loudness_of_the_run(self, run):
        data = {**run.config["data"], "loudness": -20.0}
        loud = dataclasses.replace(run, config={**run.config, "data": data})
        x = coloured_noise(6, 0.3, RATE)
        assert voices.convert(loud, x, "ada", "ada").rms == pytest.approx(0.1, rel=1e-3)
        song, _ = codes.encode(loud, x, "ada")
        assert song.gain == pytest.approx(0.1 / root_mean_square(x), rel=1e-6)
        assert identify(loud, x).lead == pytest.approx(identify(loud, 0.1 * x).lead, abs=1e-5)

    def test_conversions_by_other_weights_are_recordings_like_any_other(self, run):
        x = coloured_noise(6, 0.3, RATE)
        there = voices.convert(run, x, "bo", "ada")
        other = dataclasses.replace(there, fingerprint="other", rms=0.5, scale=0.5)
        plain = voices.convert(run, there.audio, "ada", "bo")
        np.testing.assert_array_equal(voices.convert(run, other, "ada", "bo").audio, plain.audio)

    @pytest.mark.parametrize(
        ("audio", "words"),
        [
            (np.zeros((2, 3, 4), np.float32), "Received: shape (2, 3, 4), float32"),
            (np.zeros(10, np.int16), "int16"),
            (np.full(10, np.nan, np.float32), "Expected finite samples"),
        ],
    )
    def test_other_arrays_are_refused(self, run, audio, words):
        with pytest.raises(ValueError, match="Expected") as error:
            voices.convert(run, audio, "bo", "ada")
        assert words in str(error.value)

    def test_latents_of_arrays_restore_them(self, run):
        x = coloured_noise(6, 0.9, RATE)[:7001]
        song, identity = codes.encode(run, x)
        assert song.speaker == identity.name
        audio, burst = codes.decode(run, song)
        assert burst == 0
        assert snr_db(x, audio) >= 60

    def test_bursts_of_decoded_conversions_are_clipped(self, run, monkeypatch):
        song, _ = codes.encode(run, coloured_noise(6, 0.1, RATE), "ada")
        decoded = np.array([[0.1], [5.0], [-2.0], [0.3]], np.float32)
        monkeypatch.setattr(codes, "decode_song", lambda *_: decoded)
        audio, burst = codes.decode(run, song, "bo")
        assert burst == 0.5
        np.testing.assert_allclose(audio * song.gain, np.clip(decoded, -1, 1), rtol=1e-5)

    @pytest.mark.parametrize("temperature", [0.3, 1.0])
    def test_samples_are_decoded_noise_times_the_temperature(self, run, speakers, temperature):
        noise = np.random.default_rng(7).standard_normal(run.flow.latent_shapes(1, 1000)[0])
        expected = run.coder.decode([temperature * noise], speakers[1])
        _, x = sample(run, 2, 1000 / RATE, temperature, seed=6, speaker="bo")
        np.testing.assert_allclose(x, np.asarray(expected)[0], atol=1e-6)

    @pytest.mark.parametrize("speaker", [-1, 3, 99])
    def test_ids_out_of_range_are_refused(self, run, speaker):
        inputs = {"x": np.zeros((1, 64, 1), np.float32), "speaker": np.array([speaker])}
        with pytest.raises(ValueError, match="whole numbers from 0 to 2"):
            run.coder.encode(inputs)


class TestConvert:
    def test_conversions_of_files_can_be_undone(self, place, run):
        x = coloured_noise(6, 0.9, RATE, 2)[:7001]
        save(place / "a.wav", x)
        call = ["convert", "b", "a.wav", "--from", "ada", "--to", "bo", "-o", "out"]
        outcome = singlow(call, place)
        assert (outcome.code, outcome.err) == (0, "")
        assert outcome.out == "out/a_to_bo.wav\n"
        result = load_audio(place / "out" / "a_to_bo.wav")[0]
        assert snr_db(x, result) < 25
        assert root_mean_square(result) == pytest.approx(root_mean_square(x), rel=1e-4)
        back = ["convert", "b", "out/a_to_bo.wav", "--from", "bo", "--to", "ada", "-o", "c.wav"]
        assert singlow(back, place).code == 0
        assert snr_db(x, load_audio(place / "c.wav")[0]) >= 80
        # The tag keeps the output after the end, on which the last samples depend.
        tail = read_tag(place / "out" / "a_to_bo.wav").tail
        assert tail.shape == (-len(x) % run.coder.multiple, 2)

    def test_results_beyond_full_scale_are_turned_down_and_can_be_undone(self, place):
        x = coloured_noise(6, 0.5, RATE)
        x *= 0.999 / np.abs(x).max()
        save(place / "a.wav", x)
        for target in ("bo", "cy"):
            call = ["convert", "b", "a.wav", "--from", "ada", "--to", target, "-o", "b.wav"]
            outcome = singlow(call, place)
            tag = read_tag(place / "b.wav")
            assert (tag.scale < 1) == ("turned down by" in outcome.err)
            back = ["convert", "b", "b.wav", "--from", target, "--to", "ada", "-o", "c.wav"]
            assert singlow(back, place).code == 0
            assert snr_db(x, load_audio(place / "c.wav")[0]) >= 60

    def test_an_interrupted_folder_continues(self, place, run, speakers):
        for number in range(2):
            save(place / "in" / "deep" / f"{number}.wav", draw(run, speakers[number]))
        save(place / "in" / "silent.wav", np.zeros((4000, 1)))
        (place / "in" / "bad.wav").write_bytes(b"RIFF nothing")
        call = ["convert", "b", "in", "--to", "all", "-o", "out"]
        outcome = singlow(call, place)
        assert outcome.code == 3
        assert "bad.wav" in outcome.err
        assert "silent.wav: Expected a recording with sound. Received: silence." in outcome.err
        assert "2 of 4 files" in outcome.err
        assert "0.wav: sounds most like ada" in outcome.out
        assert "1.wav: sounds most like bo" in outcome.out
        names = [f"deep/{n}_to_{to}.wav" for n in range(2) for to in VOICES]
        assert files_in(place / "out") == names
        results = [place / "out" / name for name in names]
        tag = read_tag(results[2])
        assert (tag.source, tag.target, tag.length) == ("ada", "cy", 8 * WINDOW)

        (place / "in" / "bad.wav").unlink()
        (place / "in" / "silent.wav").unlink()
        results[1].unlink()
        results[2].write_bytes(results[2].read_bytes()[:-400])
        os.utime(place / "in" / "deep" / "1.wav", ns=(0, 0))
        before = {path: path.stat().st_mtime_ns for path in results if path.exists()}
        outcome = singlow(call, place)
        assert outcome.code == 0
        assert "Kept 1 result(s)" in outcome.out
        kept = [path for path in results if path.stat().st_mtime_ns == before.get(path)]
        assert kept == results[:1]
        expected = "Kept 6 result(s) of an earlier call with the same arguments.\n"
        assert singlow(call, place).out == expected
        for more in (["--frames", "overlap-add"], ["--from", "ada"]):
            assert "Kept" not in singlow([*call, *more], place).out

    def test_channels_out_of_phase_are_identified(self, place, run, speakers):
        x = draw(run, speakers[1])
        save(place / "a.wav", np.hstack([x, -x]))
        outcome = singlow(["convert", "b", "a.wav", "--to", "ada", "-o", "out"], place)
        assert outcome.code == 0, outcome.err
        assert "sounds most like bo" in outcome.out

    def test_results_of_odd_names_stay_in_the_folder(self):
        names = ["../b/c", "d e", "\x1b[2J", "\udc89", DECOMPOSED]
        results = verb._results([(Path("a.wav"), Path("deep/a.wav"))], names, Path("out"), False)
        assert [str(path.relative_to("out")) for path in results[Path("a.wav")].values()] == [
            "deep/a_to_.._b_c.wav",
            "deep/a_to_d e.wav",
            "deep/a_to__x1b[2J.wav",
            "deep/a_to__x89.wav",
            f"deep/a_to_{COMPOSED}.wav",
        ]

    def test_recordings_that_expand_beyond_the_limit_are_refused(self, place, monkeypatch):
        from singlow.audio import decoding

        soundfile.write(place / "a.flac", np.zeros((100_000, 8)), 44100)
        monkeypatch.setattr(decoding, "_ALWAYS_ALLOWED", 1000)
        call = ["convert", "b", "a.flac", "--from", "ada", "--to", "bo", "-o", "out"]
        outcome = singlow(call, place)
        assert outcome.code == 3
        assert "a.flac: too long" in outcome.err

    @pytest.mark.parametrize(
        ("more", "words"),
        [
            (["--to", "zed"], "Expected a speaker in ada, bo, cy. Received: zed."),
            (["--to", "adda"], "Received: adda. Did you mean ada?"),
            (["--to", "99"], "Expected a speaker in ada, bo, cy. Received: 99."),
            (["--to", "bo", "--from", "x"], "Expected a speaker in ada, bo, cy. Received: x."),
            (["--to", "bo", "--hop", "512"], "Expected --frames overlap-add with --hop."),
            (
                ["--to", "bo", "--frames", "overlap-add", "--hop", "1000"],
                "Expected --hop in 512, 256, 128, 64, 32 for windows of 1024 samples.",
            ),
            (["--to", "bo", "-o", "in/out"], "Expected -o outside of in"),
            (["nowhere", "--to", "bo"], "nowhere"),
        ],
    )
    def test_mistakes_are_one_line(self, place, more, words):
        save(place / "in" / "a.wav", coloured_noise(1, 0.1, RATE))
        output = [] if "-o" in more else ["-o", "out"]
        outcome = singlow(["convert", "b", "in", *more, *output], place)
        assert outcome.code == 2
        assert words in outcome.err
        assert outcome.err.count("\n") == 1
        assert not (place / "out").exists()

    @pytest.mark.parametrize(
        ("length", "more", "words"),
        [
            (7, [], "a.wav: Expected a recording of at least 8 samples at 8000 Hz, one frame."),
            (900, ["--frames", "overlap-add"], "at least 1024 samples at 8000 Hz, one window."),
        ],
    )
    def test_too_short_recordings_are_refused(self, place, length, more, words):
        save(place / "a.wav", coloured_noise(1, 1.0, RATE)[:length])
        call = ["convert", "b", "a.wav", "--from", "ada", "--to", "bo", "-o", "out", *more]
        outcome = singlow(call, place)
        assert outcome.code == 3
        assert words in outcome.err
        assert outcome.err.count("\n") == 1


class TestNames:
    @pytest.mark.parametrize(
        "name",
        [
            *("dee", COMPOSED, "../x", "a%20b", "50 %", "\udc89\udcb9", ".hidden", "x. "),
            *("[/live]", "\x1b[2J", "日本語", "a\\b", "%C3%A9", 'a:b*c?"<d>|', "\u2028"),
        ],
    )
    def test_any_name_becomes_a_file_name_and_back(self, tmp_path, name):
        path = voice_path(tmp_path, name)
        path.write_bytes(b"")
        (path,) = tmp_path.iterdir()
        assert voice_name(path) == name
        assert not set(path.name) & set('/\\:*?"<>|\x1b')
        assert not path.name.startswith(".")

    def test_names_of_earlier_versions_are_their_file_names(self, tmp_path):
        assert voice_path(tmp_path, "a_B-c+d.e") == tmp_path / "a_B-c+d.e.safetensors"

    @pytest.mark.parametrize("name", ["%41", ".x", "%2e%2e", "a%2Fb%", "x."])
    def test_other_files_are_not_voices(self, tmp_path, name):
        assert voice_name(tmp_path / f"{name}.safetensors") is None

    @pytest.mark.parametrize("name", ["", "x" * 201, "é" * 101, "/" * 67, "\ud800"])
    def test_names_that_fit_no_file_name_are_refused(self, tmp_path, name):
        with pytest.raises(UsageError, match="1 to 200 bytes"):
            voice_path(tmp_path, name)

    def test_accents_are_found_composed_and_decomposed(self, place):
        rename_speakers(place, DECOMPOSED, "bo", "cy")
        save(place / "a.wav", coloured_noise(1, 0.2, RATE))
        for name in (COMPOSED, DECOMPOSED):
            call = ["convert", "b", "a.wav", "--from", "bo", "--to", name, "-o", f"{len(name)}"]
            outcome = singlow(call, place)
            assert outcome.code == 0, outcome.err
            assert files_in(place / f"{len(name)}") == [f"a_to_{COMPOSED}.wav"]
            drawn = ["sample", "b", "--speaker", name, "--seconds", "0.1", "--count", "1"]
            assert singlow(drawn, place).code == 0
            coded = ["encode", "b", "a.wav", "--speaker", name, "-o", "a.npz"]
            assert singlow(coded, place).code == 0
            assert singlow(["decode", "b", "a.npz", "--speaker", name, "-o", "o"], place).code == 0
        assert read_song(place / "a.npz").speaker == DECOMPOSED
        outcome = singlow(["enroll", "b", COMPOSED, "a.wav"], place)
        assert outcome.code == 2
        assert "Expected a name that no trained speaker has" in outcome.err

    def test_control_characters_in_names_are_never_printed(self, place, run, speakers):
        names = ["\x1b]0;owned\x07", "[/live]", "\udc89\udcb9"]
        rename_speakers(place, *names)
        save(place / "a.wav", draw(run, speakers[0]))
        for typed in ("\\x1b]0;owned\\x07", names[0]):
            call = ["convert", "b", "a.wav", "--to", typed, "-o", f"{len(typed)}"]
            outcome = singlow(call, place)
            assert outcome.code == 0, outcome.err
            assert "sounds most like \\x1b]0;owned\\x07" in outcome.out
        outcome = singlow(["convert", "b", "a.wav", "--to", "x", "-o", "out"], place)
        assert "in \\x1b]0;owned\\x07, [/live], \\x89\\xb9. Received: x." in outcome.err
        outcome = singlow(["sample", "b", "--count", "1", "--seconds", "0.1"], place)
        assert "--speaker in \\x1b]0;owned\\x07, [/live], \\x89\\xb9" in outcome.err
        for call in (
            ["encode", "b", "a.wav", "--speaker", "\\x89\\xb9", "-o", "a.npz"],
            ["decode", "b", "a.npz", "--speaker", "[/live]", "-o", "b.wav"],
            ["decode", "b", "a.npz", "-o", "c.wav"],
            ["sample", "b", "--speaker", names[0], "--count", "1", "--seconds", "0.1"],
        ):
            outcome = singlow(call, place)
            assert outcome.code == 0, outcome.err
            assert "\x1b" not in outcome.out + outcome.err
        assert read_song(place / "a.npz").speaker == names[2]

    def test_parts_of_file_names(self):
        assert [part_of_file_name(name) for name in ("bo", "AC/DC", "a\\b", "\x7f")] == [
            *("bo", "AC_DC", "a_b", "_x7f"),
        ]


class TestEnroll:
    def test_a_new_voice_is_one_of_the_speakers(self, place, run, table, monkeypatch):
        embedding = np.array([1.5, -2.0, 0.5, -0.5], np.float32)
        voice = speaker_inputs(embedding)
        weights = [np.array(weight) for weight in run.flow.weights]
        for take in range(2):
            save(place / "clips" / f"{take}.wav", draw(run, voice, 10, take))
        save(place / "clips" / "silent.wav", np.zeros((4000, 1)))
        outcome = singlow(["enroll", "b", "dee", "clips"], place)
        assert outcome.code == 0, outcome.err
        assert "silent.wav: Expected a recording with sound" in outcome.err
        path = place / "checkpoints" / "b" / "voices" / "dee.safetensors"
        stored = read_voice(path, 4)
        assert stored.sources == ("0.wav", "1.wav")
        assert stored.seconds == pytest.approx(20 * WINDOW / RATE)
        assert stored.after < stored.before
        distances = np.linalg.norm([*table, stored.embedding] - embedding, axis=1)
        assert distances.argmin() == len(table)
        for weight, before in zip(run.flow.weights, weights, strict=True):
            np.testing.assert_array_equal(weight, before)
        assert stored.fingerprint == run.fingerprint

        save(place / "new.wav", draw(run, voice, 8, seed=9))
        outcome = singlow(["convert", "b", "new.wav", "--to", "ada", "-o", "out"], place)
        assert (outcome.code, outcome.err) == (0, "")
        assert "sounds most like dee" in outcome.out
        call = ["convert", "b", "new.wav", "--from", "bo", "--to", "dee", "-o", "o"]
        outcome = singlow(call, place)
        assert (outcome.code, outcome.out) == (0, "o/new_to_dee.wav\n")

        outcome = singlow(["enroll", "b", "dee", "clips/0.wav"], place)
        assert outcome.code == 2
        assert "this voice exists" in outcome.err
        monkeypatch.setattr(enrolling, "MOST_STEPS", 1)
        outcome = singlow(["enroll", "b", "dee", "clips/0.wav", "--fresh"], place)
        assert outcome.code == 0
        assert "dee.safetensors.old-1" in outcome.out
        assert read_voice(path, 4).sources == ("0.wav",)
        assert speakers_of(run).enrolled == []

    def test_any_text_is_a_name(self, place, run, speakers, monkeypatch):
        monkeypatch.setattr(enrolling, "MOST_STEPS", 1)
        save(place / "a.wav", draw(run, speakers[0]))
        for name in ("Nicolás", "../x [/live]\x1b[2J"):
            outcome = singlow(["enroll", "b", name, "a.wav"], place)
            assert outcome.code == 0, outcome.err
            assert "\x1b" not in outcome.out
        opened = open_run(place / "checkpoints" / "b")
        assert set(speakers_of(opened).enrolled) == {"Nicolás", "../x [/live]\x1b[2J"}
        decomposed = unicodedata.normalize("NFD", "Nicolás")
        call = ["convert", "b", "a.wav", "--from", "ada", "--to", decomposed, "-o", "out"]
        outcome = singlow(call, place)
        assert outcome.code == 0, outcome.err
        assert files_in(place / "out") == ["a_to_Nicolás.wav"]
        assert singlow(["enroll", "b", decomposed, "a.wav"], place).code == 2

    def test_the_costs_are_bits_per_sample(self, run, speakers, monkeypatch):
        monkeypatch.setattr(enrolling, "MOST_STEPS", 1)
        excerpts = excerpts_of([draw(run, speakers[2], 2)], WINDOW, 8)
        fitted = enrolling.fit_embedding(run.flow, excerpts, run.flow.embedding_table("speaker"))
        assert fitted.start == 2
        log_prob = float(np.asarray(run.flow.log_prob({"x": excerpts.x[1:], **speakers[2]}))[0])
        assert fitted.before == pytest.approx(-log_prob / np.log(2) / WINDOW + 15, abs=1e-4)

    def test_a_step_of_adam_moves_each_feature_by_the_learning_rate(self, run, monkeypatch):
        monkeypatch.setattr(enrolling, "MOST_STEPS", 1)
        monkeypatch.setattr(enrolling, "_EVERY", 1)
        table = run.flow.embedding_table("speaker")
        other = speaker_inputs(np.array([1.5, -2.0, 0.5, -0.5]))
        fitted = enrolling.fit_embedding(
            run.flow, excerpts_of([draw(run, other)], WINDOW, 8), table
        )
        assert (fitted.steps, fitted.after < fitted.before) == (1, True)
        starts = [*table, table.mean(axis=0)]
        np.testing.assert_allclose(np.abs(fitted.embedding - starts[fitted.start]), 0.03, rtol=1e-2)

    def test_fitting_ends_80_steps_after_the_last_improvement(self, run, speakers, monkeypatch):
        costs = [9.0, 8.0, 8.5, 8.0, 9.0, 8.1]  # at the start, and after every 20 steps
        excerpts = excerpts_of([draw(run, speakers[0])], WINDOW, 8)

        def measured(flow, excerpts, inputs):
            count = len(list(inputs))
            return np.full(count, 9.0) if count > 1 else np.array([costs.pop(0)])

        monkeypatch.setattr(enrolling, "_costs", measured)
        table = run.flow.embedding_table("speaker")
        fitted = enrolling.fit_embedding(run.flow, excerpts, table)
        assert (fitted.steps, fitted.before, fitted.after) == (100, 9.0, 8.0)
        assert enrolling.MOST_STEPS == 1000

    def test_voices_are_fitted_at_the_loudness_of_the_run(self, run, speakers):
        x = draw(run, speakers[0])
        faint = 1e-3 * x / root_mean_square(x)
        ((_, audio),) = enrolling._usable(run, [faint], None)
        assert 20 * np.log10(root_mean_square(audio)) == pytest.approx(-30, abs=0.01)

    def test_voices_are_fitted_to_arrays(self, place, run, speakers, monkeypatch):
        monkeypatch.setattr(enrolling, "MOST_STEPS", 1)
        opened = open_run(place / "checkpoints" / "b")
        opened.flow = run.flow
        result = enrolling.enroll(opened, "dee", [draw(run, speakers[0])[:, 0]])
        assert result.voice.sources == ("audio",)
        assert (result.excerpts, result.replaced, result.start) == (8, None, "ada")
        assert speakers_of(opened).enrolled == ["dee"]

    @pytest.mark.parametrize(
        ("name", "code", "words"),
        [
            ("ada", 2, "no trained speaker has: ada, bo, cy. Received: ada."),
            ("all", 2, "Expected a name other than all and auto"),
            ("auto", 2, "Expected a name other than all and auto"),
            ("x" * 201, 2, "1 to 200 bytes"),
            ("dee", 3, "Expected at least two windows of sound, 2048 samples at 8000 Hz."),
        ],
    )
    def test_mistakes_are_one_line(self, place, name, code, words):
        save(place / "a.wav", coloured_noise(1, 0.1, RATE))
        outcome = singlow(["enroll", "b", name, "a.wav"], place)
        assert (outcome.code, outcome.err.count("\n")) == (code, 1)
        assert words in outcome.err
        assert not (place / "checkpoints" / "b" / "voices").exists()


class TestOneSpeaker:
    def test_latents_keep_the_speaker_and_restore_the_recording(self, place, run, speakers, table):
        x = load_audio(save(place / "a.wav", 3 * draw(run, speakers[1])))[0]
        outcome = singlow(["encode", "b", "a.wav", "-o", "a.npz"], place)
        assert outcome.code == 0, outcome.err
        assert "a.wav: sounds most like bo" in outcome.out
        song = read_song(place / "a.npz")
        assert song.speaker == "bo"
        np.testing.assert_array_equal(song.embedding, table[1])
        outcome = singlow(["decode", "b", "a.npz", "-o", "b.wav"], place)
        assert (outcome.code, outcome.err) == (0, "")
        assert snr_db(x, load_audio(place / "b.wav")[0]) >= 60

    @pytest.mark.parametrize("length", [1, 7, 9, 4003])
    def test_recordings_of_odd_lengths_are_restored(self, place, length):
        x = coloured_noise(6, 0.6, RATE)[-length:]
        save(place / "a.wav", x)
        call = ["encode", "b", "a.wav", "--speaker", "ada", "-o", "a.npz"]
        assert singlow(call, place).code == 0
        assert singlow(["decode", "b", "a.npz", "-o", "b.wav"], place).code == 0
        back = load_audio(place / "b.wav")[0]
        assert back.shape == (length, 1)
        assert snr_db(x, back) >= 60

    def test_latents_decoded_with_another_speaker_are_a_conversion(self, place):
        x = coloured_noise(6, 0.9, RATE)[:7001]
        save(place / "a.wav", x)
        for call in (
            ["encode", "b", "a.wav", "--speaker", "ada", "-o", "a.npz"],
            ["decode", "b", "a.npz", "--speaker", "cy", "-o", "b.wav"],
            ["convert", "b", "a.wav", "--from", "ada", "--to", "cy", "-o", "c.wav"],
        ):
            assert singlow(call, place).code == 0
        result, expected = (load_audio(place / name)[0] for name in ("b.wav", "c.wav"))
        expected *= root_mean_square(result) / root_mean_square(expected)
        assert snr_db(expected, result) >= 60
        assert snr_db(x, result) < 25

    def test_clips_are_drawn_for_a_speaker(self, place):
        save(place / "a.wav", coloured_noise(6, 0.3, RATE))
        save(place / "faint.wav", 0.003 * coloured_noise(6, 0.3, RATE))
        save(place / "fainter.wav", 0.001 * coloured_noise(6, 0.3, RATE))
        call = ["sample", "b", "--count", "1", "--temperature", "0.5"]
        for more in (["--speaker", "bo"], ["--speaker", "cy"], ["--speaker", "bo", "-o", "x.wav"]):
            outcome = singlow([*call, "--seconds", "0.2", *more], place)
            assert outcome.code == 0, outcome.err
        one, other = (
            load_audio(place / "samples" / f"b-{name}-t0.5-seed0.wav")[0] for name in ("bo", "cy")
        )
        np.testing.assert_array_equal(one, load_audio(place / "x.wav")[0])
        assert snr_db(one, other) < 40
        around = [*call, "--around", "a.wav", "--speaker", "ada"]
        assert singlow(around, place).out == "samples/a-b-ada-t0.5-seed0.wav\n"
        results = {}
        for name in ("faint", "fainter"):
            around = [*call, "--around", f"{name}.wav", "--speaker", "ada", "-o", f"x-{name}.wav"]
            assert singlow(around, place).code == 0
            results[name] = load_audio(place / f"x-{name}.wav")[0]
        # Both recordings are scaled to the same loudness before the flow receives them.
        assert snr_db(results["faint"], 3 * results["fainter"]) > 60

    @pytest.mark.parametrize(
        ("call", "code", "words"),
        [
            (["sample", "b"], 2, "Expected --speaker in ada, bo, cy. Received: none."),
            (["sample", "b", "--speaker", "x"], 2, "in ada, bo, cy. Received: x."),
            (["sample", "b", "--speaker", "99"], 2, "in ada, bo, cy. Received: 99."),
            (["sample", "b", "--speaker=-1"], 2, "in ada, bo, cy. Received: -1."),
            (["encode", "b", "a.wav", "--speaker", "x", "-o", "o"], 2, "in ada, bo, cy."),
            (["decode", "b", "a.npz", "--speaker", "cyy", "-o", "o"], 2, "Did you mean cy?"),
            (
                ["encode", "b", "still.wav", "--speaker", "bo", "-o", "o"],
                3,
                "still.wav: Expected a recording with sound",
            ),
            (["decode", "b", "a.npz", "-o", "o"], 3, "a.npz: Expected latents with the embedding"),
            (["sample", "b", "--around", "still.wav", "--speaker", "bo"], 3, "still.wav: Expected"),
        ],
    )
    def test_mistakes_are_one_line(self, place, call, code, words):
        save(place / "a.wav", coloured_noise(1, 0.1, RATE))
        save(place / "still.wav", np.zeros((4000, 1)))
        write_song(place / "a.npz", Song([np.zeros((2, 8), np.float32)], 16, RATE, 1))
        outcome = singlow(call, place)
        assert outcome.code == code
        assert words in outcome.err
        assert len([line for line in outcome.err.splitlines() if "Warning" not in line]) == 1

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"embedding": np.array([1, np.nan], np.float32)}, "speaker, embedding, gain"),
            ({"gain": np.array(0.0)}, "speaker, embedding, gain"),
            ({"gain": None}, "speaker, embedding, gain"),
            ({"speaker": np.array(3)}, "speaker to be a short text"),
            ({"version": np.array(2)}, "version 3. Received: singlow-latents of version 2"),
        ],
    )
    def test_latents_with_a_malformed_speaker_are_refused(self, tmp_path, change, words):
        latents = [np.zeros((2, 8), np.float32)]
        song = Song(latents, 16, RATE, 1, "b", 1, "f", "ada", np.ones(4), 2.0)
        write_song(tmp_path / "a.npz", song)
        assert read_song(tmp_path / "a.npz").speaker == "ada"
        with np.load(tmp_path / "a.npz") as file:
            arrays = {**dict(file), **change}
        np.savez(tmp_path / "a.npz", **{k: v for k, v in arrays.items() if v is not None})
        with pytest.raises(DataError, match=words):
            read_song(tmp_path / "a.npz")


class TestVoiceFiles:
    def write(self, path, embedding, **facts):
        from safetensors.numpy import save

        content = {
            "format": "singlow-voice",
            "version": 1,
            "fingerprint": "other",
            "sources": [],
            "seconds": 1.0,
            "before": 9.0,
            "after": 8.0,
            **facts,
        }
        metadata = {"singlow": json.dumps(content)}
        path.write_bytes(save({"embedding": np.asarray(embedding, np.float32)}, metadata))

    def test_voices_are_read_as_they_were_written(self, tmp_path):
        voice = Voice(np.arange(4, dtype=np.float32), "f", ("a\udc89.wav",), 1.5, 9.0, 8.0)
        write_voice(tmp_path / "voices" / "dee.safetensors", voice)
        again = read_voice(tmp_path / "voices" / "dee.safetensors", 4)
        np.testing.assert_array_equal(again.embedding, voice.embedding)
        assert again.sources == voice.sources

    @pytest.mark.parametrize(
        ("embedding", "facts", "words"),
        [
            (np.zeros(5), {}, r"Expected embedding to be float32\[4\]. Received: float32\[5\]"),
            ([1, 2, np.nan, 4], {}, "Expected a finite embedding"),
            (np.zeros(4), {"format": "other"}, "Expected the format singlow-voice"),
            (np.zeros(4), {"version": 9}, "Expected version 1 of singlow-voice. Received: 9"),
            (np.zeros(4), {"sources": [3]}, "Expected fingerprint, sources"),
            (np.zeros(4), {"after": 10**400}, "Expected fingerprint, sources"),
        ],
    )
    def test_malformed_voices_are_refused(self, tmp_path, embedding, facts, words):
        self.write(tmp_path / "dee.safetensors", embedding, **facts)
        with pytest.raises(DataError, match=words) as error:
            read_voice(tmp_path / "dee.safetensors", 4)
        assert "dee.safetensors" in str(error.value)

    def test_damaged_files_are_refused(self, tmp_path):
        self.write(tmp_path / "dee.safetensors", np.zeros(4))
        content = (tmp_path / "dee.safetensors").read_bytes()
        for size in (0, 7, 60, len(content) - 1):
            (tmp_path / "dee.safetensors").write_bytes(content[:size])
            with pytest.raises(DataError, match="dee"):
                read_voice(tmp_path / "dee.safetensors", 4)

    def test_voices_of_other_weights_cause_a_warning(self, tmp_path, capsys):
        with pytest.raises(DataError, match="names of 3 speakers"):
            Speakers(["a", "b", "a"], np.ones((3, 4)), tmp_path / "voices", "")
        speakers = Speakers(list(VOICES), np.zeros((3, 4)), tmp_path, "own")
        self.write(tmp_path / "dee.safetensors", np.ones(4))
        self.write(tmp_path / "eve.safetensors", np.ones(4), fingerprint="own")
        (tmp_path / "fay.safetensors").write_bytes(b"nothing")
        assert speakers.names == [*VOICES, "dee", "eve", "fay"]
        np.testing.assert_array_equal(speakers["dee"]["speaker_embedding"], np.ones((1, 4)))
        assert "dee was enrolled for other weights" in capsys.readouterr().err
        assert list(speakers.current()) == [*VOICES, "eve"]
        assert "left out" in capsys.readouterr().err


def commented(path: Path, comment: str) -> Path:
    with soundfile.SoundFile(path, "w", 8000, 1) as file:
        file.comment = comment
        file.write(np.ones(10))
    return path


def test_comments_of_other_programs_are_no_tags(tmp_path):
    for comment in ("hello", "[1]", '{"format": "singlow-conversion", "version": 1}', "1e400"):
        assert read_tag(commented(tmp_path / "a.wav", comment)) is None
    assert read_tag(tmp_path / "none.wav") is None


def test_tags_of_earlier_versions_are_read(tmp_path):
    comment = (
        '{"source": "ada", "target": "bo", "fingerprint": "f", "call": "c", "level": 0.1, '
        '"limit": 0.5, "length": 10, "tail": null, "format": "singlow-conversion", "version": 2}'
    )
    expected = Tag("ada", "bo", "f", "c", 0.1, 0.5, 10)
    assert read_tag(commented(tmp_path / "a.wav", comment)) == expected
    assert json.loads(expected.comment) == json.loads(comment)


def test_a_tag_keeps_the_tail_where_there_is_room(tmp_path):
    facts = ("ada", "bo", "f", "c", 0.1, 1.0, 10)
    tail = np.linspace(-1, 1, 14, dtype="float32").reshape(7, 2)
    tag = read_tag(commented(tmp_path / "a.wav", Tag(*facts, tail).comment))
    assert tag == Tag(*facts)
    np.testing.assert_allclose(tag.tail, tail, atol=1e-3)
    for long in (None, np.zeros((999, 2))):
        tag = read_tag(commented(tmp_path / "a.wav", Tag(*facts, long).comment))
        assert tag == Tag(*facts)
        assert tag.tail is None


@pytest.mark.parametrize("name", ["日" * 80, "🎤" * 80, "\udc89" * 80])
def test_tags_with_long_names_fit_into_a_comment(tmp_path, name):
    tag = Tag(name, name, "f" * 64, "c" * 16, 0.1, 1.0, 10, np.zeros((7, 2), np.float32))
    assert read_tag(commented(tmp_path / "a.wav", tag.comment)).target == name[:60]


@pytest.mark.parametrize("tail", ["x", [1], [0, ""], [2, "AAA="], [1, "A"], [1, 5], [1, "AHw="]])
def test_a_tag_with_a_malformed_tail_is_none(tmp_path, tail):
    comment = json.loads(Tag("ada", "bo", "f", "c", 0.1, 1.0, 10).comment)
    comment["tail"] = tail
    assert read_tag(commented(tmp_path / "a.wav", json.dumps(comment))) is None


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (["convert", "t", "a.wav", "--to", "x", "-o", "o"], "use migrate"),
        (["enroll", "t", "x", "a.wav"], "use migrate"),
        (["encode", "t", "a.wav", "--speaker", "x", "-o", "o"], "leave --speaker out"),
        (["decode", "t", "a.npz", "--speaker", "x", "-o", "o"], "leave --speaker out"),
        (["sample", "t", "--speaker", "x"], "leave --speaker out"),
    ],
)
def test_verbs_for_speakers_refuse_runs_without(tmp_path, call, words):
    (tmp_path / "checkpoints").symlink_to(songs.trained()[0] / "checkpoints")
    save(tmp_path / "a.wav", coloured_noise(1, 0.1))
    (tmp_path / "a.npz").write_bytes(b"")
    outcome = singlow(call, tmp_path)
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)
    assert "Expected a run with the input speaker. Received: t, a singlow" in outcome.err
    assert words in outcome.err


@pytest.mark.parametrize(
    ("call", "advice"),
    [
        (["migrate", "b", "a.wav", "--from", "x", "--to", "y", "-o", "o"], "use convert"),
        (["interpolate", "b", "a.wav", "a.wav", "-o", "o"], "use convert"),
        (["project", "b"], "use a run without inputs"),
        (["evaluate", "b", "--migration"], "use --conversion"),
    ],
)
def test_verbs_for_runs_without_speakers_refuse_others(place, call, advice):
    save(place / "a.wav", coloured_noise(1, 0.1))
    outcome = singlow(call, place)
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)
    assert "Expected a run without inputs. Received: b, a blow with the input" in outcome.err
    assert advice in outcome.err
