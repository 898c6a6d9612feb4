"""Test the report of voice conversions, with speakers that are easy to recognize."""

import io
import json
import sys
import types
from base64 import b64decode

import numpy as np
import pytest
import soundfile
from matplotlib import image
from scipy.stats import binomtest

from singlow.errors import DataError, EnvironmentFault
from singlow.evaluation import similarity, spoofing
from singlow.evaluation.conversion import draw_pairs, evaluate_conversions, write_conversions
from singlow.evaluation.conversion_report import UNCONVERTED, table
from singlow.evaluation.figures import share_estimate
from singlow.evaluation.spoofing import SHORTEST, describe_speech
from tests.pages import Page
from tests.voices import RATE, SPEAKERS, speak, utterances

HELD, TRAIN = utterances(3, first=100), utterances(12)
FEW = TRAIN[::4]


def identity(clips, sources, targets):
    return clips


def oracle(clips, sources, targets):
    """Return real clips of the targets, at half amplitude, that the classifier has not seen."""
    return [0.5 * speak(target, 200 + k) for k, target in enumerate(targets)]


def encode(audio, sample_rate):
    """Return two features that differ between these speakers."""
    return describe_speech(audio, sample_rate)[1:3]


@pytest.fixture(scope="module")
def report():
    systems, steps = {"same": identity, "oracle [b]<b>": oracle}, []
    result = evaluate_conversions(
        *(systems, HELD, TRAIN, RATE),
        pairs=12,
        closely=3,
        samples=2,
        encoder=encode,
        done=lambda: steps.append(1),
    )
    assert len(steps) == 3
    return result


def test_an_oracle_is_recognized_as_the_target_and_an_idle_converter_as_the_source(report):
    same, oracle = (system.figures() for system in report.systems)
    assert oracle["recognized_as_target"] > 0.9 > 0.1 > oracle["recognized_as_source"]
    assert same["recognized_as_source"] > 0.9 > 0.1 > same["recognized_as_target"]
    assert same["recognized_as_target"] == report.unconverted.figures()["recognized_as_target"]
    assert report.real.figures()["recognized_as_target"] > 0.8
    assert report.chance == pytest.approx(1 / 3)
    assert 0.2 < oracle["recognized_as_shuffled"] < 0.5
    assert {report.systems[1].spoofing("target", s).value for s in SPEAKERS} <= {0.75, 1.0}


def test_what_was_kept_is_measured(report):
    same, oracle = (system.figures() for system in report.systems)
    assert (same["pitch"], same["loudness"], same["seconds"]) == (pytest.approx(1), 0, 0)
    assert 3 < oracle["loudness"] < 9
    assert oracle["pitch"] < 0.99
    assert same["speed"] > oracle["speed"] > 0
    assert 0 < sum(np.isfinite(c.pitch) for c in report.systems[0].conversions) <= 3
    assert same["to_source"] > same["to_target"]
    assert oracle["to_target"] > oracle["to_source"]


@pytest.fixture
def brief(monkeypatch):
    """Limit the training of the classifier to three epochs, to save time."""
    monkeypatch.setattr(spoofing, "_EPOCHS", 3)


def test_everything_follows_the_seed(brief):
    def measured(seed):
        report = evaluate_conversions(
            {"oracle": oracle}, HELD, FEW, RATE, 4, seed, 0, 2, encoder=encode
        )
        content = report.as_dict()
        for column in content["columns"]:
            column["figures"].pop("speed")
        return content, [sample.other.name for sample in report.samples]

    assert measured(0) == measured(0)


def test_pairs_are_spread_over_speakers():
    names = sorted(SPEAKERS)
    names_of = [[(c.name, t) for c, t in draw_pairs(HELD, names, 6, seed)] for seed in (0, 0, 1)]
    assert names_of[0] == names_of[1] != names_of[2]
    drawn = draw_pairs(HELD, names, 6, 0)
    assert len({(clip.speaker, target) for clip, target in drawn}) == 6
    everything = draw_pairs(HELD, names, 1000, 0)
    assert len({(clip.name, target) for clip, target in everything}) == len(everything) == 18
    assert all(clip.speaker != target for clip, target in everything)


def test_what_cannot_be_measured_is_refused(brief):
    def measure(convert, held=HELD, train=FEW):
        return evaluate_conversions(
            {"it": convert}, held, train, RATE, 4, closely=0, encoder=encode
        )

    short = [HELD[0]._replace(audio=HELD[0].audio[: round(SHORTEST * RATE) - 1])]
    assert measure(identity, HELD + short).left_out == 1
    with pytest.raises(DataError, match="at least 2 speakers"):
        measure(identity, HELD[:1], FEW[:2])
    with pytest.raises(DataError, match="Received: dee"):
        measure(identity, [*HELD, HELD[0]._replace(speaker="dee")])
    with pytest.raises(DataError, match="Received: none"):
        measure(identity, short)
    with pytest.raises(DataError, match=r"it: Expected a sound for .* not finite"):
        measure(lambda clips, *_: [clip * np.nan for clip in clips])
    with pytest.raises(DataError, match=r"Received: \(10,\) samples"):
        measure(lambda clips, *_: [clip[:10] for clip in clips])
    with pytest.raises(ValueError, match=UNCONVERTED):
        evaluate_conversions({UNCONVERTED: identity}, HELD, TRAIN, RATE)


def test_the_folder_shows_and_plays_everything(report, tmp_path):
    paths = write_conversions(report, tmp_path / "out", "<i>Blow</i>", ["A & b. \udcff"])
    assert [path.name for path in paths] == ["index.html", "listening.html", "report.json"]
    content = json.loads(paths[2].read_text("utf-8"))
    oracle = content["columns"][2]
    assert oracle["figures"]["heard_as_target"] > 0.9
    low, high = oracle["intervals"]["heard_as_target"]
    assert 0.6 < low < oracle["figures"]["heard_as_target"] <= high <= 1
    assert content["columns"][0]["conversions"][0]["pitch"] is None
    assert set(content["columns"][0]["conversions"][0]) >= {"clip", "source", "target", "heard"}
    text = paths[0].read_text("utf-8")
    page = Page(text)
    assert "&lt;i&gt;Blow&lt;/i&gt;" in text
    assert "<ada>" in page.text
    assert "recognized as the target" in page.text
    assert f"{report.systems[1].shares()['recognized_as_target'].low:.1%} to" in page.text
    assert not {"script", "b", "i", "ada"} & page.seen
    inside = [source for source in page.sources if source != "listening.html"]
    assert all(source.startswith("data:") for source in inside)
    sounds, pictures = inside[::2], inside[1::2]
    assert len(sounds) == len(pictures) == 2 * 4
    played, rate = soundfile.read(io.BytesIO(b64decode(sounds[0].partition(",")[2])))
    assert rate == RATE
    np.testing.assert_allclose(played, report.samples[0].source.audio, atol=1e-4)
    for source in pictures:
        drawn = image.imread(io.BytesIO(b64decode(source.partition(",")[2])))
        assert drawn[..., :3].std() > 0.02
    columns = table(report, "").columns
    assert [column.header.plain for column in columns][2:4] == ["same", "oracle [b]<b>"]


def test_shares_have_wilsons_intervals(report):
    for successes, trials in ((63, 120), (0, 10), (10, 10), (1, 3)):
        share = share_estimate(successes, trials)
        expected = binomtest(successes, trials).proportion_ci(0.95, "wilson")
        assert share.value == successes / trials
        assert (share.low, share.high) == pytest.approx((expected.low, expected.high), abs=1e-9)
    assert share_estimate(63, 120).shown_range("{:.1%}") == "52.5% (43.6% to 61.2%)"
    assert np.isnan(share_estimate(0, 0).value)
    row = report.rows()[0]
    same = report.systems[0].shares()["recognized_as_target"]
    assert row[2] == f"{same.value:.1%} ({same.low:.1%} to {same.high:.1%})"
    assert "to" in report.speaker_rows("target")[0][2]


def test_similarity_is_left_out_where_the_encoder_is_missing(report, brief, monkeypatch):
    monkeypatch.setitem(sys.modules, "resemblyzer", None)
    with pytest.raises(EnvironmentFault, match="pip3 install"):
        similarity.open_encoder()
    fewer = evaluate_conversions({"same": identity}, HELD, FEW, RATE, 2, closely=1, samples=0)
    assert fewer.note.startswith("Speaker similarity needs Resemblyzer")
    labels = [row[0] for row in fewer.rows()]
    assert "pitch correlation" in labels
    assert not any("similarity" in label for label in labels)
    assert [row[0] for row in report.rows()][3:5] == [
        "similarity to the target",
        "similarity to the source",
    ]


def test_the_encoder_is_given_16_khz(monkeypatch):
    class VoiceEncoder:
        def __init__(self, device, verbose):
            assert (device, verbose) == ("cpu", False)

        def embed_utterance(self, audio):
            return np.array([len(audio), 0.0])

    fake = types.SimpleNamespace(
        VoiceEncoder=VoiceEncoder, normalize_volume=lambda audio, level, increase_only: audio
    )
    monkeypatch.setitem(sys.modules, "resemblyzer", fake)
    assert similarity.open_encoder()(np.zeros(8000), 8000)[0] == 16000
    assert similarity.cosine(np.array([2.0, 0.0]), np.array([1.0, 1.0])) == pytest.approx(0.5**0.5)
    np.testing.assert_allclose(similarity.centroid([np.array([2.0, 0]), np.array([0, 3.0])]), 0.5)
