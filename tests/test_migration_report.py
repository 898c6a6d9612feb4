"""The report of a migration has figures, a baseline and a page; `evaluate` writes it."""

import dataclasses
import io
import re
from base64 import b64decode

import numpy as np
import pytest
import soundfile
from matplotlib import image
from rich.console import Console

from singlow.audio import load_audio, snr_db
from singlow.choir import corpus
from singlow.errors import UsageError
from singlow.evaluation import originals
from singlow.evaluation.figures import mean_estimate
from singlow.evaluation.migration import STRENGTHS, Baseline, measure_migration, steps
from singlow.evaluation.migration_report import BASELINE, tables, write_page
from singlow.evaluation.originals import builtin_originals, dataset_originals
from singlow.evaluation.styles import Classifier
from singlow.latents.pool import mean_spectrum
from tests.pages import Page
from tests.songs import coloured_noise, singlow, trained

RATE = 16000


@pytest.fixture(scope="module")
def clips():
    """Songs to migrate, and original clips of the source style and of the target style."""
    synthesized = list(corpus.clips(3, 5, 2.0))
    named = {
        style: [(c.id, c.audio.astype(np.float32) / 32768) for c in synthesized if c.style == style]
        for style in ("virtual", "human")
    }
    return named["virtual"][:2], named["virtual"][2:], named["human"]


@pytest.fixture(scope="module")
def report(clips):
    """The report of a migration that adds noise, which sounds like breath."""

    def breathe(audio, strength):
        noise = np.random.default_rng(0).standard_normal(audio.shape)
        return (audio + 0.003 * strength * noise).astype(np.float32)

    counted = []
    report = measure_migration(breathe, *clips, RATE, 1.0, 2, lambda: counted.append(1))
    assert len(counted) == steps(*map(len, clips), 2) == 8
    about = ("A <paragraph> on [red]bo and \x1b.",)
    return dataclasses.replace(report, title="<a> to [/b] & c", about=about)


def test_what_moved_and_what_did_not(report):
    song = report.songs[0]
    assert set(song.positions) == set(song.baseline) == set(STRENGTHS)
    assert report.moved(0.0) == 0
    assert report.position(1.0) == np.mean([s.positions[1.0] for s in report.songs])
    assert report.position(1.0) != report.position(0.0)
    assert song.after.voice.breath > song.before.voice.breath + 3
    assert song.pitch > 0.9
    assert song.cents < 10
    assert abs(song.loudness) < 1
    assert song.seconds == 0
    assert song.to_source > 0.5
    assert len(report.source) == len(report.target) == 2
    assert song.before.envelope.mean() == pytest.approx(0, abs=1e-4)


def test_the_page_holds_all_it_needs(report):
    text = write_page(report, RATE)
    page = Page(text)
    assert {"html", "title", "table", "audio", "img"} <= page.seen
    assert all(source.startswith("data:") for source in page.sources)
    assert not re.search(r"https?://|<script|@import", text)
    assert "&lt;a&gt; to [/b] &amp; c" in text
    assert r"A <paragraph> on [red]bo and \x1b." in page.text
    sounds = [source for source in page.sources if source.startswith("data:audio/wav")]
    pictures = [source for source in page.sources if source.startswith("data:image/png")]
    assert (len(sounds), len(pictures)) == (4, 5)
    before, rate = soundfile.read(io.BytesIO(b64decode(sounds[0].partition(",")[2])))
    assert rate == RATE
    np.testing.assert_allclose(before, report.songs[0].before.audio, atol=1e-4)
    for picture in pictures:
        pixels = image.imread(io.BytesIO(b64decode(picture.partition(",")[2])))
        assert pixels.shape[:2] == (320, pixels.shape[1])
        assert pixels[..., :3].std() > 0.02


def test_scores_have_intervals_and_a_baseline_on_the_page_and_in_the_table(report):
    score, baseline = report.score(1.0), report.baseline_score(1.0)
    assert score == mean_estimate([s.positions[1.0] for s in report.songs])
    assert baseline == mean_estimate([s.baseline[1.0] for s in report.songs])
    assert score.low < score.value < score.high
    lead = report.lead(1.0)
    assert lead.value == pytest.approx(score.value - baseline.value)
    file = io.StringIO()
    Console(file=file, width=200).print(*tables(report))
    page = Page(write_page(report, RATE)).text
    for text in (file.getvalue(), page):
        assert BASELINE in text
        assert "migration less baseline" in text
        for estimate in (score, baseline, lead):
            assert estimate.shown("{:.2f}") in text
    assert "<a> to [/b] & c, strength 1" in file.getvalue()


class TestBaseline:
    """The baseline is static equalisation with noise; it has no model of a voice."""

    def test_strength_0_is_the_song(self, clips):
        songs, source, target = ([audio[:, 0] for _, audio in side] for side in clips)
        baseline = Baseline(source, target, RATE)
        assert snr_db(songs[0], baseline(songs[0], 0.0)) > 100
        assert len(baseline(songs[0][:12345], 1.0)) == 12345
        rms = [np.sqrt(np.square(x).mean()) for x in (songs[0], baseline(songs[0], 1.0))]
        assert rms[0] == pytest.approx(rms[1], rel=1e-5)

    def test_noise_with_another_spectrum_is_carried_to_the_target(self):
        white = [coloured_noise(seed, 2.0)[:, 0] for seed in range(6)]
        bright = [np.diff(audio, prepend=0).astype(np.float32) for audio in white]
        baseline = Baseline(white[:3], bright[:3], RATE)
        moved = mean_spectrum(baseline(white[4], 1.0))
        before, wanted = mean_spectrum(white[4]), mean_spectrum(bright[4])
        before, wanted, moved = (x - x.mean() for x in (before, wanted, moved))
        assert np.abs(moved - wanted).max() < 0.2 * np.abs(before - wanted).max()

    def test_it_moves_far_towards_human_singers(self):
        """Equalisation and noise alone reach a classifier's score of 0.64 at strength 1."""
        sides = (lambda *names, n=n: n in names for n in ("virtual", "human"))
        songs, *originals = builtin_originals(*sides, RATE, 1)
        sounds = [[audio[:, 0] for _, audio in side] for side in originals]
        baseline, classifier = Baseline(*sounds, RATE), Classifier(*sounds, RATE)
        scores = {
            s: np.mean([classifier.position(baseline(audio[:, 0], s)) for _, audio in songs])
            for s in (0.0, 0.5, 1.0)
        }
        assert scores[0.0] < 0.1
        assert scores[0.0] < scores[0.5] < scores[1.0]
        assert scores[1.0] == pytest.approx(0.64, abs=0.04)


def test_builtin_originals_are_not_those_that_runs_are_trained_on(monkeypatch):
    monkeypatch.setattr(originals, "_CLIPS", 3)
    is_virtual, is_alma = (lambda *names, n=n: n in names for n in ("virtual", "alma"))
    songs, source, target = builtin_originals(is_virtual, is_alma, 8000, 1)
    assert [name for name, _ in songs] == ["nova-001", "nova-002", "orion-001", "orion-002"]
    assert [name for name, _ in source] == ["nova-000", "orion-000"]
    assert [name for name, _ in target] == ["alma-000", "alma-001", "alma-002"]
    trained_on = next(corpus.clips(0, 1))
    assert all(audio.shape == (40000, 1) for _, audio in songs)
    fresh = np.round(target[0][1][:, 0] * 32768)
    assert (np.resize(trained_on.audio[::2, 0], fresh.shape) != fresh).any()


def test_dataset_originals_are_pieces_that_sound(tmp_path, monkeypatch):
    from tests.datasets import write_noise

    data = write_noise(tmp_path / "data", {"train": [40000, 24000], "validation": [24000]})
    monkeypatch.setattr(originals, "_PIECE", 1.0)
    songs, source, target = dataset_originals(data, ["train0"], ["train1"], RATE)
    assert [name for name, _ in songs] == ["validation0"]
    assert [name for name, _ in source] == ["train0+0", "train0+1"]
    assert [name for name, _ in target] == ["train1+0"]


@pytest.fixture
def place(tmp_path):
    """A folder with the trained run `t`."""
    (tmp_path / "checkpoints").symlink_to(trained()[0] / "checkpoints")
    return tmp_path


def test_the_verb_on_real_recordings(place, monkeypatch):
    monkeypatch.setattr(originals, "_PIECE", 0.2)
    arguments = ["evaluate", "t", "--migration", "--from", "ada", "--to", "bo", "-o", "x/page.html"]
    outcome = singlow([*arguments, "--strength", "0.5"], place)
    assert outcome.code == 0, outcome.err
    for words in ("ada to bo, strength 0.5", "score", BASELINE, "±", "breath", "x/page.html"):
        assert words in outcome.out
    page = (place / "x/page.html").read_text("utf-8")
    assert page.count("<audio") == 2
    assert "strength 0.5" in page


def test_evaluate_from_the_library(place, monkeypatch):
    import singlow as package
    from singlow.evaluation.likelihood import FLAC, GAUSSIAN

    monkeypatch.setattr(originals, "_PIECE", 0.2)
    run = package.open_run("t", checkpoints=place / "checkpoints")
    measured = package.evaluate(run)
    assert list(measured) == ["", "ada", "bo"]
    assert measured[""].clips == measured["ada"].clips + measured["bo"].clips
    assert {FLAC, GAUSSIAN} <= set(measured[""].others)
    sides = {"source": "ada", "target": "bo"}
    report = package.evaluate(run, "migration", **sides, output=place / "page.html")
    assert report.title == "ada to bo"
    assert report.title in (place / "page.html").read_text("utf-8")
    with pytest.raises(UsageError, match="input speaker"):
        package.evaluate(run, "conversion")
    with pytest.raises(UsageError, match="Expected likelihood, migration, conversion"):
        package.evaluate(run, "beauty")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--migration"], 2, "in ada, bo. Received: not both"),
        (["--migration", "--from", "ada", "--to", "caruso"], 2, "Received: caruso"),
        (["--migration", "--from", "ada", "--to", "bo"], 3, "at least 4 clips"),
        (["--migration", "--from", "ada", "--to", "ada"], 3, "share clips"),
        (["--migration", "--strength", "inf"], 2, "strength from 0 to 10"),
        (["--migration", "-o", "page.pdf"], 2, "suffix .html"),
        (["--to", "bo"], 2, "Expected --migration with --to"),
    ],
)
def test_mistakes_of_evaluate_are_one_line(place, arguments, code, words):
    outcome = singlow(["evaluate", "t", *arguments], place)
    assert outcome.code == code, outcome.err
    assert words in outcome.err
    assert len(outcome.err.strip().splitlines()) == 1


def test_interpolate(place):
    for name, seed in (("a", 1), ("b", 2)):
        soundfile.write(place / f"{name}.wav", coloured_noise(seed, 0.5), RATE, subtype="FLOAT")
    outcome = singlow(["interpolate", "t", "a.wav", "b.wav", "--steps", "3", "-o", "out"], place)
    assert outcome.code == 0, outcome.err
    paths = sorted((place / "out").iterdir())
    assert [p.name for p in paths] == ["000-a-b.wav", "001-a-b.wav", "002-a-b.wav"]
    sounds = [load_audio(path)[0] for path in paths]
    assert sounds[0].tobytes() == load_audio(place / "a.wav")[0].tobytes()
    assert sounds[2].tobytes() == load_audio(place / "b.wav")[0].tobytes()
    assert 0.01 < np.abs(sounds[1]).max() < 1


def test_sample_around_a_song(place):
    soundfile.write(place / "a.wav", coloured_noise(1, 0.5, 22050), 22050)
    own = ["sample", "t", "--around", "a.wav", "--seed", "3"]
    outcome = singlow([*own, "--temperature", "0.5", "--count", "2", "-o", "out"], place)
    assert outcome.code == 0, outcome.err
    paths = sorted((place / "out").iterdir())
    assert [p.name for p in paths] == ["a-t-t0.5-seed3.wav", "a-t-t0.5-seed4.wav"]
    samples = [load_audio(path)[0] for path in paths]
    song = load_audio(place / "a.wav", RATE, 1)[0]
    assert samples[0].shape == samples[1].shape == song.shape
    assert (samples[0] != samples[1]).any()
    still = [*own, "--temperature", "0", "--count", "1", "--seconds", "0.25", "-o", "b.wav"]
    assert singlow(still, place).code == 0
    assert (load_audio(place / "b.wav")[0] == song[:4000]).all()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["interpolate", "t", "a.wav", "a.wav", "--steps", "1", "-o", "x"], "steps from 2"),
        (["interpolate", "t", "a.wav", "missing.wav", "-o", "x"], "missing.wav"),
        (["interpolate", "t", "a.wav", ".", "-o", "x"], "Received: a folder"),
        (["interpolate", "t", "a.wav", "a.wav"], "--output"),
        (["sample", "t", "--around", "missing.wav"], "missing.wav"),
        (["sample", "t", "--around", "a.wav", "--count", "1", "-o", "a.wav"], "the input itself"),
        (["sample", "t", "--around", "a.wav", "--temperature", "2"], "from 0 to 1"),
    ],
)
def test_mistakes_are_one_line(place, arguments, words):
    soundfile.write(place / "a.wav", coloured_noise(1, 0.3), RATE)
    outcome = singlow(arguments, place)
    assert outcome.code == 2, outcome.err
    assert words in outcome.err
    assert len(outcome.err.strip().splitlines()) == 1
