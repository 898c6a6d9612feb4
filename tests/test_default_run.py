"""Test migration with the run of `make train`, which is trained unless it already exists."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from singlow.audio import load_audio, snr_db
from singlow.evaluation.migration import STRENGTHS, measure_migration
from singlow.evaluation.originals import builtin_originals
from singlow.latents.codes import decode_song, encode_song
from singlow.latents.features import features_of_run
from singlow.latents.migrate import migrate_audio
from singlow.runs.data import prepare_data
from singlow.runs.opening import open_run
from tests.songs import singlow, train

ROOT = Path(__file__).resolve().parents[1]
RUN = "singlow_16k"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The folder of the default run: the repository if the run exists there, or a new folder."""
    place = ROOT if (ROOT / "checkpoints" / RUN).is_dir() else tmp_path_factory.mktemp("default")
    outcome = train([], place)  # does nothing if the run is complete
    assert outcome.code == 0, outcome.err
    return place


@pytest.fixture(scope="module")
def opened(folder):
    run = open_run(folder / "checkpoints" / RUN)
    run.config = prepare_data(run.config)
    return run


@pytest.fixture(scope="module")
def sounds():
    """Songs of virtual singers, and originals of both sides, on which no run was trained."""
    sides = (lambda *names, n=n: n in names for n in ("virtual", "human"))
    return builtin_originals(*sides, 16000, 1)


@pytest.fixture(scope="module")
def report(opened, sounds):
    known = features_of_run(opened, opened.config)
    virtual, human = known["virtual"], known["human"]
    return measure_migration(
        lambda audio, share: migrate_audio(opened.coder, audio, virtual, human, share),
        *sounds,
        16000,
    )


def test_the_score_rises_with_strength(report):
    positions = [report.position(strength) for strength in STRENGTHS]
    assert report.accuracy > 0.9
    assert all(np.diff(positions) > 0), positions
    for song in report.songs:
        assert all(np.diff([song.positions[s] for s in STRENGTHS]) > 0), song.before.name


def test_strength_1_is_half_of_the_way_and_more(report):
    assert report.moved(1.0) >= 0.5
    for song in report.songs:
        assert song.positions[1.0] - song.positions[0.0] > 0.3


def test_the_score_exceeds_that_of_static_equalisation_and_noise(report):
    assert report.lead(1.0).value > 0
    assert report.score(1.0).low > 0


def test_pitch_loudness_and_length_stay(report):
    for song in report.songs:
        assert song.pitch >= 0.95
        assert song.cents < 5
        assert abs(song.loudness) < 0.1
        assert song.seconds == 0


def test_breath_and_jitter_come_near_the_target(report):
    def mean(sounds, key):
        return np.nanmean([getattr(sound.voice, key) for sound in sounds])

    songs, moved = ([getattr(s, side) for s in report.songs] for side in ("before", "after"))
    before, after, target = (mean(group, "breath") for group in (songs, moved, report.target))
    assert after - before > 0.5 * (target - before)
    before, after, target = (mean(group, "jitter") for group in (songs, moved, report.target))
    assert before < after < 2 * target


def test_latents_lose_nothing(opened, sounds):
    for _, audio in sounds[0]:
        assert snr_db(audio, decode_song(opened.coder, encode_song(opened.coder, audio))) >= 80


def test_strength_0_and_a_to_a_are_the_song(folder, sounds, tmp_path):
    song = np.repeat(sounds[0][0][1][:40000], 2, axis=1)
    soundfile.write(tmp_path / "song.wav", song, 22050, "FLOAT")
    for number, flags in enumerate(
        (
            ["--from", "virtual", "--to", "human", "--strength", "0"],
            ["--from", "virtual", "--to", "virtual"],
            ["--from", "nova", "--to", "nova", "--strength", "2"],
        )
    ):
        result = tmp_path / f"{number}.wav"
        outcome = singlow(["migrate", RUN, tmp_path / "song.wav", *flags, "-o", result], folder)
        assert outcome.code == 0, outcome.err
        assert load_audio(result)[0].tobytes() == song.tobytes()
