"""The verb `project` computes figures, pictures and TensorBoard's projector from recordings."""

import functools
import json

import numpy as np
import pytest
import soundfile
from matplotlib import image

from singlow.data.feed.recordings import (
    find_recordings,
    label,
    read_recordings,
    spread,
    texts_as_styles,
)
from singlow.errors import DataError, UsageError
from singlow.latents.codes import encode_song
from singlow.latents.pool import pool, pool_recordings
from tests.datasets import build
from tests.songs import coloured_noise, singlow, trained


def write_voices(folder, takes=5, singers=("ada", "bo"), seconds=0.4):
    """Write loud and soft takes of singers, who differ in the spectrum of their noise."""
    for number, singer in enumerate(singers):
        (folder / singer).mkdir(parents=True)
        for take in range(takes):
            audio = coloured_noise(50 * number + take, seconds)
            audio = np.diff(audio, n=number, axis=0) * (1 + take % 2)
            name = f"{('soft', 'loud')[take % 2]}-{take}.wav"
            soundfile.write(folder / singer / name, audio, 16000)
    return folder


@pytest.fixture
def place(tmp_path):
    """A folder with the trained run `t`, and five recordings of each of two singers."""
    (tmp_path / "checkpoints").symlink_to(trained()[0] / "checkpoints")
    write_voices(tmp_path / "voices")
    return tmp_path


@functools.cache
def flow():
    from singlow.runs.opening import open_run

    return open_run(str(trained()[0] / "checkpoints" / "t")).flow


def test_the_verb_prints_the_answer_and_writes_figures_and_a_picture(place):
    outcome = singlow(["project", "t", "voices", "--labels", "{style}-{take}"], place)
    assert outcome.code == 0, outcome.err
    assert "This latent space separates singers" in outcome.out
    assert "Singers: ada, bo.\nStyles: loud, soft." in outcome.out
    assert "chance" in outcome.out
    folder = place / "logs/t/latents"
    figures = json.loads((folder / "figures.json").read_text())
    assert figures["singer"]["accuracy"]["value"] == 1.0
    assert figures["singer"]["accuracy"]["chance"] == 0.5
    assert figures["answer"] in outcome.out
    assert image.imread(folder / "latents.png").std() > 0.05
    again = singlow(["project", "t", "voices", "--labels", "{style}-{take}", "-o", "out"], place)
    assert again.code == 0, again.err
    assert json.loads((place / "out/figures.json").read_text()) == figures


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard_shows_the_projector(place):
    from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
    from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
    from tensorboard.plugins.base_plugin import TBContext
    from tensorboard.plugins.projector.projector_plugin import ProjectorPlugin
    from werkzeug.test import Client

    assert singlow(["project", "t", "voices"], place).code == 0
    logs = str(place / "logs/t")
    events = EventMultiplexer().AddRunsFromDirectory(logs)
    events.Reload()
    plugin = ProjectorPlugin(
        TBContext(logdir=logs, data_provider=MultiplexerDataProvider(events, logs))
    )

    def ask(route, **query):
        return Client(plugin.get_plugin_apps()[route]).get(query_string=query)

    assert ask("/runs").json == ["latents"]
    embeddings = ask("/info", run="latents").json["embeddings"]
    assert [entry["tensorName"] for entry in embeddings] == [
        "latents",
        "latents_without_singers_means",
    ]
    for entry in embeddings:
        tensor = ask("/tensor", run="latents", name=entry["tensorName"])
        assert tensor.status_code == 200
        values = np.frombuffer(tensor.data, np.float32).reshape(entry["tensorShape"])
        assert len(values) == 10
        np.testing.assert_allclose(values.mean(axis=0), 0, atol=1e-4)
        assert values.std() == pytest.approx(1, abs=0.2)
        lines = ask("/metadata", run="latents", name=entry["tensorName"]).text.splitlines()
        assert lines[:2] == ["singer\tstyle\trecording", "ada\t\tada/loud-1"]
        assert len(lines) == 11


def test_the_library_returns_what_the_verb_prints(place):
    from singlow.latents.project import project

    lines = []
    soundfile.write(place / "voices/ada/still.wav", np.zeros((8000, 1)), 16000)
    run = str(place / "checkpoints/t")
    result = project(run, [str(place / "voices")], place / "out", report=lines.append)
    assert result.separation.singer.accuracy.significant
    assert json.loads(result.figures.read_text())["answer"] == result.separation.answer()
    assert image.imread(result.picture).ndim == 3
    assert len(result.points) == 10
    assert any("still.wav" in line for line in lines)


def test_names_are_printed_as_they_are(place):
    """Markup in a name is not interpreted, and control characters are escaped."""
    (place / "voices/ada").rename(place / "voices/[red]ada")
    (place / "voices/bo").rename(place / "voices/bo\x1b]0;x\x07")
    outcome = singlow(["project", "t", "voices", "-o", "out"], place)
    assert outcome.code == 0, outcome.err
    assert r"Singers: [red]ada, bo\x1b]0;x\x07." in outcome.out
    assert "\x1b" not in outcome.out + outcome.err
    assert "\x1b" not in (place / "out/metadata.tsv").read_text()


def test_the_runs_own_data_are_the_default(place):
    outcome = singlow(["project", "t", "--data_dir", place / "data"], place)
    assert outcome.code == 3
    assert outcome.err.count("\n") == 1
    assert "at least 2 singers of 4 recordings each. Received: ada 3, bo 3" in outcome.err


class TestUnusableRecordings:
    def test_one_singer(self, place):
        outcome = singlow(["project", "t", "voices/ada"], place)
        assert outcome.code == 3
        assert "Expected at least 2 singers of 4 recordings each. Received: ada 5." in outcome.err

    def test_singers_with_few_recordings_are_reported(self, place):
        (place / "voices/cy").mkdir()
        soundfile.write(place / "voices/cy/0.wav", coloured_noise(1, 0.4), 16000)
        outcome = singlow(["project", "t", "voices"], place)
        assert outcome.code == 0
        assert "Left out: singer cy: 1 recording(s), expected at least 4." in outcome.err

    def test_recordings_without_sound_or_length_are_reported(self, place):
        soundfile.write(place / "voices/ada/still.wav", np.zeros((8000, 1)), 16000)
        soundfile.write(place / "voices/ada/short.wav", coloured_noise(1, 0.005), 16000)
        (place / "voices/bo/bad.wav").write_bytes(b"RIFF nothing")
        outcome = singlow(["project", "t", "voices"], place)
        assert outcome.code == 0
        assert "still.wav: silent" in outcome.err
        assert "short: too short: 80 samples, expected at least" in outcome.err
        assert "bad.wav" in outcome.err
        assert ": 10 recordings, 2 singers." in outcome.out

    @pytest.mark.parametrize(
        ("flags", "code", "words"),
        [
            (["nowhere"], 2, "nowhere"),
            (["voices", "--labels", "{take}"], 2, "{singer}, {style} or both"),
            (["voices", "--labels", "{style}+{take}"], 3, "does not fit --labels"),
            (["voices", "--split", "train"], 2, "without CLIPS"),
            (["voices", "--limit", "0"], 2, "limit from 1"),
            (["voices", "--seconds", "0"], 2, "seconds from 0.1"),
            (["voices", "--seed", "-1"], 2, "seed of at least 0"),
            (["voices", "-o", "voices/ada/loud-1.wav"], 2, "a folder"),
        ],
    )
    def test_mistakes_are_one_line(self, place, flags, code, words):
        outcome = singlow(["project", "t", *flags], place)
        assert outcome.code == code
        assert words in outcome.err
        assert outcome.err.count("\n") == 1


def test_pooling_leaves_padding_out_and_divides_long_recordings(tmp_path):
    write_voices(tmp_path / "v", takes=4, seconds=0.4001)
    recordings = find_recordings([str(tmp_path / "v")], 16000, 1)
    lines = []
    points = pool_recordings(flow(), recordings, 0.1, lines.append)
    assert len(points) == 8 * 4
    assert len(set(points.origins)) == 8
    assert lines == []
    assert points.num_levels == 2
    one = pool_recordings(flow(), recordings, 5.0)
    latents = encode_song(flow(), recordings[0].read()).latents
    length = len(recordings[0].read())
    padded = -(-length // flow().multiple) * flow().multiple
    assert padded > length
    for level, z in enumerate(latents):
        middles = (np.arange(len(z)) + 0.5) * padded / len(z)
        own = [k for k, block in enumerate(one.blocks) if block[0] == level]
        expected = pool(z[middles < length])  # no frame of noise is silent
        np.testing.assert_allclose(one.values[0, own], expected, rtol=1e-4, atol=1e-5)


def test_how_much_silence_there_is_makes_no_difference(tmp_path):
    write_voices(tmp_path / "v", takes=4)
    bare = pool_recordings(flow(), find_recordings([str(tmp_path / "v")], 16000, 1), 5.0)
    for path in sorted((tmp_path / "v").rglob("*.wav")):
        audio, rate = soundfile.read(path, always_2d=True)
        soundfile.write(path, np.pad(audio, ((0, 12800), (0, 0))), rate)
    padded = pool_recordings(flow(), find_recordings([str(tmp_path / "v")], 16000, 1), 5.0)
    apart = np.abs(bare.values[:4].mean(axis=0) - bare.values[4:].mean(axis=0)).mean()
    assert np.abs(bare.values - padded.values).mean() < 0.1 * apart


def test_silent_stretches_of_a_recording_are_no_points(tmp_path):
    write_voices(tmp_path / "v", takes=4)
    half = np.concatenate([coloured_noise(8, 0.4), np.zeros((6400, 1), np.float32)])
    soundfile.write(tmp_path / "v/ada/half.wav", half, 16000)
    points = pool_recordings(flow(), find_recordings([str(tmp_path / "v")], 16000, 1), 0.4)
    assert list(points.origins).count("ada/half") == 1
    assert len(points) == 9


def test_records_keep_labels_and_samples(tmp_path):
    write_voices(tmp_path / "v")
    info = build(tmp_path / "v", tmp_path / "out", sample_rate=16000)
    records = {recording.id: recording for recording in read_recordings(tmp_path / "out")}
    files = find_recordings([str(tmp_path / "v")], 16000, 1)
    assert len(records) == len(files) == 10
    for file in files:
        assert records[file.id].singer == file.singer
        np.testing.assert_array_equal(records[file.id].read(), file.read())
    held = read_recordings(tmp_path / "out", ["validation"])
    assert len(held) == info["splits"]["validation"]["clips"]
    shard = next((tmp_path / "out").glob("train*"))
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    with pytest.raises(DataError, match="--recover"):
        read_recordings(tmp_path / "out")


def test_labels_come_from_names():
    (tmp,) = find_and_label("{style}_{singer}_{take}", ["7_theo_3"])
    assert (tmp.singer, tmp.style) == ("theo", "7")
    (tmp,) = find_and_label("{a}-{b}-{style}-{singer}", ["x/03-01-05-12@4.250"])
    assert (tmp.singer, tmp.style) == ("12", "05")
    assert tmp.origin == "x/03-01-05-12"
    with pytest.raises(DataError, match="does not fit"):
        find_and_label("{style}.{take}", ["7_theo_3"])
    for pattern in ("", "{take}", "{style}{style}"):
        with pytest.raises(UsageError, match="--labels"):
            find_and_label(pattern, ["7_theo_3"])


def find_and_label(pattern, ids):
    from singlow.data.feed.recordings import Recording

    return label([Recording(id, "s", "", "", lambda: None) for id in ids], pattern)


def test_repeated_texts_are_styles_and_singers_share_a_limit(recordings):
    digits = find_recordings([str(recordings / "fsdd")], 8000, 1)
    styled = texts_as_styles(digits)
    assert len(digits) == 3000
    assert {recording.style for recording in styled} == set("0123456789")
    few = spread(styled, 60)
    assert (
        sorted([r.singer for r in few].count(name) for name in {r.singer for r in few}) == [10] * 6
    )
    assert few == spread(styled, 60)
    assert texts_as_styles(few[:3]) == few[:3]
