"""Malformed files are decoded correctly, or refused with their path and a reason; none crashes."""

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from singlow.audio import AudioError, load_audio
from singlow.data.feed.windows import Windows
from singlow.data.prepare.build import build_dataset
from singlow.data.sources.layouts import SUFFIXES
from tests.sounds import FORMATS, mutate, save, song

MUTATED = ("wav", "flac", "ogg", "mp3")
FAULTY_FLAC = {
    "02 - increasing number of channels",
    "03 - decreasing number of channels",
    "04 - changing bitdepth",
    "04 - wrong number of channels",
    "05 - wrong total number of samples",
    "06 - missing streaminfo metadata block",
    "10 - file starting at frame header",
    "11 - file starting with unparsable data",
}


def read(path: Path, report: Callable[[str], None] = lambda _: None) -> np.ndarray | str:
    """Return the samples, or the reason why the file was refused; fail on any other outcome."""
    reason = None
    try:
        audio, rate = load_audio(path, report=report)
    except AudioError as error:
        reason, message = error.reason, str(error)
    if reason is not None:
        assert message == f"{path}: {reason}"
        assert reason
        assert "\n" not in reason
        return reason
    assert len(audio) > 0
    assert rate > 0
    assert np.isfinite(audio).all()
    return audio


def recordings_under(root: Path, without: str = "") -> list[Path]:
    return [
        path
        for path in sorted(root.rglob("*"))
        if path.suffix.lower() in SUFFIXES and (not without or without not in path.parts)
    ]


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("channels", [1, 2])
def test_truncated_files_are_always_refused(suffix, channels, tmp_path):
    body = save(tmp_path / f"whole.{suffix}", song(0.4, channels=channels)).read_bytes()
    rng = np.random.default_rng(1)
    path = tmp_path / f"cut.{suffix}"
    sizes = {*rng.integers(0, len(body), 60).tolist(), len(body) - 1, len(body) - 2}
    for size in sizes:
        path.write_bytes(body[:size])
        assert isinstance(read(path), str), f"{size} of {len(body)} bytes were accepted"


@pytest.mark.parametrize("suffix", ["flac", "ogg"])
def test_a_flipped_bit_in_a_format_with_checksums_is_refused_or_harmless(suffix, tmp_path):
    path = save(tmp_path / f"a.{suffix}", song(0.4))
    complete, body = read(path), path.read_bytes()
    rng = np.random.default_rng(2)
    refused = 0
    for place in rng.integers(100, len(body), 60):
        damaged = bytearray(body)
        damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        outcome = read(path)
        refused += isinstance(outcome, str)
        assert isinstance(outcome, str) or np.array_equal(outcome, complete)
    assert refused > 50


def build_mutants(folder: Path, count: int) -> None:
    """Write `count` mutated files into `folder`, build a dataset of them, and check the result."""
    rng = np.random.default_rng(count)
    seeds = {}
    for suffix in MUTATED:
        for channels in (1, 2):
            seed = save(folder / f"seed{channels}.{suffix}", song(0.5, channels=channels))
            seeds[suffix, channels] = seed.read_bytes()
            seed.unlink()
    mutants = {}
    for number in range(count):
        suffix = MUTATED[number % len(MUTATED)]
        body = seeds[suffix, 1 + number % 2]
        kind, damaged = mutate(body, rng)
        name = f"{kind}-{number:05d}.{suffix}"
        (folder / name).write_bytes(damaged)
        mutants[name] = (kind, damaged == body)
    good = save(folder / "good.wav", song(2.0))
    lines = []
    out = folder.parent / "out"
    info = build_dataset([folder], out, workers=2, report=lines.append)
    refused = {entry["path"]: entry["reason"] for entry in info["rejected"]}
    for name, (kind, same) in mutants.items():
        if kind == "truncate" and not same:
            assert name in refused, f"{name} was accepted as a complete file"
        assert not (same and name in refused)
    assert good.name not in refused
    assert not any("hang" in reason or "crash" in reason for reason in refused.values()), refused
    assert all(refused.values())
    assert 0.3 * count < len(refused) < count
    accepted = sum(part["clips"] for part in info["splits"].values())
    assert accepted + len(refused) == count + 1
    for split in ("train", "validation"):
        windows = Windows(out, split, 4096, 8, training=False)
        for step in range(windows.steps):
            x = windows.batch(step)["x"]
            assert np.isfinite(x).all()
            assert np.abs(x).max() <= 1


def test_a_dataset_is_built_from_mutated_files(tmp_path):
    build_mutants(tmp_path / "mutants", 200)


@pytest.mark.slow
def test_a_dataset_is_built_from_two_thousand_mutated_files(tmp_path):
    build_mutants(tmp_path / "mutants", 2000)


def test_malformed_recordings_are_decoded_or_refused(recordings):
    outcomes = {path: read(path) for path in recordings_under(recordings / "malformed")}
    assert len(outcomes) > 100
    refused = {path.stem for path, outcome in outcomes.items() if isinstance(outcome, str)}
    assert refused >= FAULTY_FLAC
    assert refused >= {"incomplete", "empty_file", "cut_off_titles"}
    fuzzed = recordings / "malformed" / "hound" / "testsamples" / "fuzz"
    assert refused >= {path.stem for path in fuzzed.iterdir()}
    intact = {"pop", "no-tags", "vbr44", "flac1sMono", "composer", "wav_with_image", "gsm_6_10"}
    assert not refused & intact


def test_a_dataset_is_built_from_malformed_recordings(recordings, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        info = build_dataset([recordings / "malformed"], tmp_path, workers=2, report=lambda _: None)
    files = recordings_under(recordings / "malformed")
    clips = sum(part["clips"] for part in info["splits"].values())
    assert clips + len(info["rejected"]) >= len(files)
    assert all(entry["path"] and entry["reason"] for entry in info["rejected"])


def test_every_intact_recording_is_accepted(recordings):
    files = recordings_under(recordings, without="malformed")
    assert len(files) > 3000
    refused = {path: outcome for path in files if isinstance(outcome := read(path), str)}
    assert refused == {}


@pytest.mark.slow
def test_truncated_real_recordings_are_refused_or_reported(recordings, tmp_path):
    """A file that is cut in the metadata after its audio is decoded completely, with a report."""
    rng = np.random.default_rng(3)
    files = recordings_under(recordings, without="malformed")
    for path in rng.choice(files, 300, replace=False):
        lines, body = [], Path(path).read_bytes()
        damaged = tmp_path / Path(path).name
        damaged.write_bytes(body[: int(rng.integers(len(body)))])
        outcome = read(damaged, lines.append)
        if not isinstance(outcome, str):
            assert lines, path
            unknown = "does not state how much audio follows" in lines[0]
            assert unknown or np.array_equal(outcome, read(path)), path
        damaged.unlink()
