"""The spoken corpora have exact texts and times, and speakers and styles that differ as stated."""

import dataclasses
import re

import librosa
import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from singlow.choir import english, speech
from singlow.choir.speakers import SPEAKERS, STYLES
from singlow.data.prepare import builtin
from singlow.data.prepare.build import describe_changes, prepare
from singlow.data.sources.layouts import BUILTINS, require_sources
from singlow.data.store.dataset import Clips, read_info
from singlow.errors import EnvironmentFault, UsageError
from singlow.text import Tokenizer
from singlow.text.programs import find_program

RATE = 16000


@pytest.fixture(scope="module")
def clips():
    return [
        speech.clip(0, speaker, style, index)
        for speaker in SPEAKERS
        for style in STYLES
        for index in range(4)
    ]


def _sound(clip):
    return clip.audio[:, 0] / 32768


def test_a_clip_depends_on_its_place_alone(clips):
    again = speech.clip(0, "cleo", "calm", 3)
    (same,) = [clip for clip in clips if clip.id == again.id]
    assert again.audio.tobytes() == same.audio.tobytes()
    assert again.times == same.times
    assert speech.clip(1, "cleo", "calm", 3).text != again.text
    few = speech.clips(0, clips_per_style=1)
    assert [clip.id for clip in few] == [f"{speaker}-neutral-000" for speaker in SPEAKERS]


GOLDEN = {
    "aiko": (17.9460, 5241.7577),
    "ben": (-10.2921, 4380.2569),
    "cleo": (0.9540, 2188.2843),
    "dario": (3.0735, 2490.6919),
}


def test_every_constant_of_the_voices_has_its_value():
    for clip in speech.clips(0, clips_per_style=1):
        audio = _sound(clip)
        chirp = np.cos(np.arange(len(audio)) ** 2 * 1e-4)
        sums = audio @ chirp, np.abs(audio).sum()
        assert sums == pytest.approx(GOLDEN[clip.speaker], abs=0.02)


def test_times_are_those_of_the_text(clips):
    for clip in clips:
        seconds = len(clip.audio) / RATE
        assert "".join(timed.symbol for timed in clip.times) == clip.text
        assert 0.14 < clip.times[0].start < 0.31
        assert clip.times[-1].stop == pytest.approx(seconds, abs=1e-3)
        for before, after in zip(clip.times, clip.times[1:], strict=False):
            assert before.stop == pytest.approx(after.start, abs=1e-9)
            assert before.stop > before.start
        for front_end in ("characters", "romaji"):
            reading = Tokenizer(front_end).read(clip.text)
            assert reading.symbols == tuple(timed.symbol for timed in clip.times)


def test_texts_have_no_sound_and_are_those_of_the_clips(clips):
    texts = dict(speech.texts(0, 4, tuple(STYLES)))
    assert texts == {clip.id: clip.text for clip in clips}


def test_levels_are_those_of_recordings(clips):
    for clip in clips:
        audio = _sound(clip)
        assert clip.audio.dtype == np.int16
        assert -6.3 < 20 * np.log10(np.abs(audio).max()) < -1.2
        loudness = 20 * np.log10(np.sqrt(np.mean(audio**2)))
        assert -26 < loudness < -12
        start = audio[: int(clip.times[0].start * RATE) - 320]
        stop = audio[-800:]
        for silence in (start, stop):
            assert 20 * np.log10(np.sqrt(np.mean(silence**2))) < -60
        assert abs(audio.mean()) < 1e-3


def test_formants_that_move_make_no_clicks(clips):
    for clip in clips:
        audio = _sound(clip)
        assert 20 * np.log10(np.abs(audio).max() / np.sqrt(np.mean(audio**2))) < 19


def test_sounds_change_at_the_times_of_the_symbols():
    clip = speech.speak("dario", "sasasa, tatata", seed=1)
    audio = _sound(clip)
    bands = np.abs(librosa.stft(audio, n_fft=160, hop_length=16)) ** 2
    high, low = bands[45:].sum(axis=0), bands[2:15].sum(axis=0)
    hiss = np.log(high / low)
    for timed in clip.times:
        if timed.symbol not in "sa":
            continue
        middle = slice(int(1000 * timed.start) + 12, int(1000 * timed.stop) - 12)
        assert (np.median(hiss[middle]) > 0) == (timed.symbol == "s"), timed
    for timed in clip.times:
        if timed.symbol in ",":
            pause = audio[int(RATE * (timed.stop - 0.03)) : int(RATE * timed.stop)]
            assert np.sqrt(np.mean(pause**2)) < 0.03 * np.abs(audio).max()


def test_pitch_is_that_of_the_speaker_and_the_style(clips):
    for name in ("ben", "cleo"):
        for style in STYLES.values():
            own = [c for c in clips if (c.speaker, c.style) == (name, style.name)][:1]
            for clip in own:
                found, voiced, _ = librosa.pyin(
                    _sound(clip), fmin=60, fmax=600, sr=RATE, frame_length=1024, hop_length=160
                )
                size = min(len(found), len(clip.f0))
                both = voiced[:size] & (clip.f0[:size] > 0)
                cents = 1200 * np.log2(found[:size][both] / clip.f0[:size][both])
                assert np.median(np.abs(cents)) < 15
                mean = 12 * np.log2(found[:size][both] / SPEAKERS[name].pitch).mean()
                assert mean == pytest.approx(style.pitch, abs=1.0)


def test_styles_differ_as_they_state(clips):
    for name in SPEAKERS:
        measured = {}
        for style in STYLES:
            own = [clip for clip in clips if (clip.speaker, clip.style) == (name, style)]
            pitch = np.concatenate([12 * np.log2(clip.f0[clip.f0 > 0] / 440) for clip in own])
            spread = np.median([np.std(12 * np.log2(clip.f0[clip.f0 > 0] / 440)) for clip in own])
            measured[style] = pitch.mean(), spread
        for style in ("lively", "calm"):
            stated = STYLES[style]
            moved = measured[style][0] - measured["neutral"][0]
            assert moved == pytest.approx(stated.pitch, abs=0.5)
            assert measured[style][1] / measured["neutral"][1] == pytest.approx(
                stated.range, rel=0.4
            )


def test_rate_and_range_follow_the_style_exactly():
    plain = speech.speak("ben", "kalamani", "neutral", seed=3)
    for style in STYLES.values():
        clip = speech.speak("ben", "kalamani", style, seed=3)
        length = clip.times[-1].stop - clip.times[0].start
        before = plain.times[-1].stop - plain.times[0].start
        assert before / length == pytest.approx(style.rate, rel=1e-6)
    wide = dataclasses.replace(STYLES["neutral"], range=2.0)
    spreads = []
    for style in (STYLES["neutral"], wide):
        still = dataclasses.replace(SPEAKERS["ben"].voice, drift=0.0)
        speaker = dataclasses.replace(SPEAKERS["ben"], voice=still)
        clip = speech.speak(speaker, "kalamani", style, seed=3)
        spreads.append(np.std(np.log2(clip.f0[clip.f0 > 0])))
    assert spreads[1] / spreads[0] == pytest.approx(2, rel=0.02)


def _frames(clips):
    features, labels = [], []
    for clip in clips:
        mel = librosa.feature.melspectrogram(
            y=_sound(clip), sr=RATE, n_fft=1024, hop_length=160, n_mels=80
        )
        for timed in clip.times:
            if timed.symbol in "aeiou":
                span = range(int(np.ceil(100 * timed.start)), int(100 * timed.stop))
                features += [np.log(mel[:, frame] + 1e-7) for frame in span]
                labels += [timed.symbol] * len(span)
    return np.array(features), np.array(labels)


def test_a_simple_classifier_recognizes_the_vowels(clips):
    known = [clip for clip in clips if clip.id[-1] != "3"]
    other = [clip for clip in clips if clip.id[-1] == "3"]
    simple = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto").fit(*_frames(known))
    assert simple.score(*_frames(other)) > 0.95


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("anna", "kima"), "aiko, ben, cleo, dario"),
        (("aiko", "kima", "angry"), "neutral, lively, calm"),
        (("aiko", "Kima"), "'Kima'"),
        (("aiko", "kim"), "'kim'"),
        (("aiko", "ki  ma"), "'ki  ma'"),
        (("aiko", ""), "words of syllables"),
        (("aiko", "kima\n"), "words of syllables"),
        (("aiko", "a" * 1000 + "!"), "words of syllables"),
    ],
)
def test_what_cannot_be_spoken_is_refused(arguments, message):
    with pytest.raises(UsageError, match=re.escape(message)) as caught:
        speech.speak(*arguments)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("name", ["spoken", "spoken-styles"])
def test_a_spoken_corpus_is_a_dataset_with_texts_and_times(name, tmp_path, monkeypatch):
    monkeypatch.setattr(builtin, "CLIPS_PER_SPEAKER", 2)
    monkeypatch.setattr(builtin, "CLIPS_PER_STYLE", 1)
    lines = []
    out = prepare(name, data_dir=tmp_path, sample_rate=8000, report=lines.append)
    assert out.name.startswith(f"{name}-")
    info = read_info(out)
    assert sorted(info["singers"]) == sorted(SPEAKERS)
    assert info["layout"] == name
    texts = dict(builtin.corpus_texts(name))
    for split in ("train", "validation"):
        clips = Clips(out, info, split)
        for index, entry in enumerate(clips.entries):
            assert clips.text(index) == texts[entry.id]
            times = clips.times(index)
            assert "".join(timed.symbol for timed in times) == clips.text(index)
            assert times[-1].stop == pytest.approx(entry.frames / 8000, abs=1e-3)
            style = clips.features(index)["style"].decode()
            assert style in (STYLES if name == "spoken-styles" else ("neutral",))
    assert describe_changes(out, name) == ""
    assert prepare(name, data_dir=tmp_path, sample_rate=8000, report=lines.append) == out
    assert "reused" in lines[-1]


def test_the_fingerprint_of_the_sung_corpus_is_as_before():
    from singlow.data.prepare.folder import check_settings, hash_of

    settings = check_settings(16000, 1, 0, 0.1, None)
    assert builtin.builtin_fingerprint(settings) == hash_of({"builtin": 1, **settings})
    with pytest.raises(UsageError, match=r"Did you mean spoken\?"):
        builtin.builtin_fingerprint(settings, "spokn")


def test_names_of_corpora_need_no_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in BUILTINS:
        require_sources(name)
    with pytest.raises(UsageError, match="can only be used alone"):
        prepare(["spoken", "."])


def test_sentences_of_the_grammar_differ_and_use_every_word():
    sentences = list(english.sentences(0, 300))
    assert len(set(sentences)) == 300
    assert sentences[:5] == list(english.sentences(0, 5))
    spoken = {word for sentence in sentences for word in sentence.rstrip(".").split()}
    assert spoken == set(english.words())
    assert 40 <= len(english.words()) <= 60
    for sentence in sentences:
        assert Tokenizer("characters").read(sentence).text == sentence
    assert all(word in english.jsgf() for word in english.words())


def test_a_missing_program_is_named_with_its_installation(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EnvironmentFault, match=r"espeak-ng or flite.*apt-get install espeak-ng"):
        prepare("spoken-english", data_dir=tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("program", english.PROGRAMS)
def test_a_program_speaks(program, tmp_path, monkeypatch):
    if not find_program(program):
        pytest.skip(f"PATH has no {program}")
    audio, rate = english.speak_english("bring two red boxes to the kitchen now.", program)
    sound = audio[:, 0] / 32768
    assert rate in (16000, 22050)
    assert 1.5 < len(sound) / rate < 5
    assert 0.05 < np.abs(sound).max() < 1


@pytest.mark.skipif(not find_program(*english.PROGRAMS), reason="PATH has no espeak-ng or flite")
def test_the_english_corpus_is_a_dataset(tmp_path, monkeypatch):
    monkeypatch.setattr(builtin, "SENTENCES", 4)
    out = prepare("spoken-english", data_dir=tmp_path, report=lambda _: None)
    info = read_info(out)
    clips = Clips(out, info, "train")
    assert info["sources"][0].split()[0] in english.PROGRAMS
    assert clips.text(0) in english.sentences(0, 4)
    assert clips.times(0) == ()


def test_a_program_that_writes_nonsense_is_named(tmp_path, monkeypatch):
    program = tmp_path / "espeak-ng"
    program.write_text("#!/bin/sh\necho nonsense > speech.wav\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(EnvironmentFault, match="wrote no sound"):
        english.speak_english("two", "espeak-ng")
