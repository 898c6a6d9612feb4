"""What containers promise, and that a cut one is told from a whole one."""

import io
import struct

import numpy as np
import pytest
import soundfile

from singlow.audio.containers import Fault, inspect
from singlow.audio.containers.mpeg import parse_frame
from singlow.audio.containers.ogg import page_checksum
from tests.sounds import FORMATS, save, song


@pytest.mark.parametrize("suffix", [name for name in FORMATS if name != "mp3"])
def test_promises_the_frames_that_were_written(suffix, tmp_path):
    path = save(tmp_path / f"a.{suffix}", song(0.7, channels=2))
    promise = inspect(path)
    assert promise.container == suffix
    assert promise.frames == 11200


def test_promises_about_the_frames_of_an_mp3(tmp_path):
    promise = inspect(save(tmp_path / "a.mp3", song(0.7)))
    assert 0 <= promise.frames - 11200 <= promise.slack


@pytest.mark.parametrize("suffix", FORMATS)
def test_the_name_decides_nothing(suffix, tmp_path):
    path = save(tmp_path / f"a.{suffix}", song(0.2)).rename(tmp_path / "a.txt")
    assert inspect(path).container == suffix


@pytest.mark.parametrize("suffix", FORMATS)
def test_every_truncation_breaks_the_promise(suffix, tmp_path):
    """Not all are told without decoding: FLAC's frames are not walked."""
    body = save(tmp_path / f"a.{suffix}", song(0.3)).read_bytes()
    path = tmp_path / "cut"
    rng = np.random.default_rng(0)
    first = 200 if suffix == "flac" else len(body)
    for size in rng.integers(0, first, 100):
        path.write_bytes(body[:size])
        if suffix == "flac" and size >= body.index(b"\xff\xf8"):
            continue
        with pytest.raises(Fault):
            inspect(path)


def test_reads_past_an_id3_tag(tmp_path):
    path = save(tmp_path / "a.flac", song(0.2))
    path.write_bytes(b"ID3\x04\0\0\0\0\x01\0" + bytes(128) + path.read_bytes())
    assert inspect(path).container == "flac"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "empty"),
        (b"hello, this is text and no sound at all" * 5, "unknown format"),
        (bytes(500), "zeros"),
        (b"ID3\x04\0\0\0\0\x7f\x7f" + bytes(100), "truncated"),
        (b"RIFF\x24\0\0\0WAVEfmt ", "truncated"),
    ],
)
def test_says_why_a_file_is_refused(body, reason, tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(body)
    with pytest.raises(Fault, match=reason):
        inspect(path)


def test_refuses_what_is_no_file(tmp_path):
    with pytest.raises((Fault, IsADirectoryError)):
        inspect(tmp_path)


def test_a_wave_header_that_was_never_finished_is_told(tmp_path):
    path = save(tmp_path / "a.wav", song(0.2))
    body = bytearray(path.read_bytes())
    where = body.index(b"data") + 4
    body[where : where + 4] = b"\xff\xff\xff\xff"
    path.write_bytes(body)
    with pytest.raises(Fault, match="unfinished"):
        inspect(path)


def test_a_flac_that_states_no_length_is_told(tmp_path):
    path = save(tmp_path / "a.flac", song(0.2))
    body = bytearray(path.read_bytes())
    body[21:26] = bytes([body[21] & 0xF0, 0, 0, 0, 0])
    body[26:42] = bytes(16)
    path.write_bytes(body)
    with pytest.raises(Fault, match="unfinished"):
        inspect(path)


def test_ogg_page_checksum_is_that_of_the_standard(tmp_path):
    body = save(tmp_path / "a.ogg", song(0.2)).read_bytes()
    segments = body[26]
    page = body[: 27 + segments + sum(body[27 : 27 + segments])]
    stated = struct.unpack("<I", page[22:26])[0]
    assert page_checksum(page[:22] + bytes(4) + page[26:]) == stated


def test_an_index_is_written_for_an_mp3_that_has_none(tmp_path):
    path = save(tmp_path / "a.mp3", song(1.0))
    body = path.read_bytes()
    start = body.index(b"\xff")
    frame = parse_frame(body[start : start + 4])
    path.write_bytes(body[start + frame.length :])
    promise = inspect(path)
    fed = promise.prefix + path.read_bytes()[slice(*promise.span)]
    assert parse_frame(promise.prefix[:4]).length == len(promise.prefix)
    came = len(soundfile.read(io.BytesIO(fed))[0])
    assert abs(came - promise.frames) <= promise.slack


def test_any_flipped_bit_of_an_ogg_file_is_told(tmp_path):
    path = save(tmp_path / "a.ogg", song(0.2))
    body, rng = path.read_bytes(), np.random.default_rng(4)
    for place in rng.integers(len(body), size=100):
        spoilt = bytearray(body)
        spoilt[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(spoilt)
        with pytest.raises(Fault):
            inspect(path)


def test_an_ogg_file_without_its_last_page_is_told(tmp_path):
    path = save(tmp_path / "a.ogg", song(3.0))
    body = path.read_bytes()
    path.write_bytes(body[: body.rindex(b"OggS")])
    with pytest.raises(Fault, match="truncated: its stream has no last page"):
        inspect(path)
