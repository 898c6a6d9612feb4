"""Test what containers state, and that truncated files are refused."""

import io
import itertools
import os
import struct

import numpy as np
import pytest
import soundfile

from singlow.audio import AudioError, load_audio, stream_audio
from singlow.audio.containers import CONTAINERS, Fault, inspect
from singlow.audio.containers.mpeg import parse_frame
from singlow.audio.containers.ogg import page_checksum
from tests.sounds import FORMATS, replaced, save, song, wave_bytes

UNKNOWN = "does not state how much audio follows"


@pytest.fixture
def tone() -> np.ndarray:
    """Samples of a 16-bit mono recording, `(time, 1)` int16."""
    return np.round(song(0.3) * 32767).astype(np.int16)


def load(path, body: bytes) -> tuple[np.ndarray, list[str]]:
    """Write and decode a file, and return its audio and the warnings about it."""
    path.write_bytes(body)
    lines = []
    return load_audio(path, report=lines.append)[0], lines


@pytest.mark.parametrize("suffix", [name for name in FORMATS if name != "mp3"])
def test_a_container_states_the_frames_that_were_written(suffix, tmp_path):
    container = inspect(save(tmp_path / f"a.{suffix}", song(0.7, channels=2)))
    assert container.name == suffix
    assert container.frames == 11200
    assert container.warnings == ()


def test_an_mp3_states_about_the_frames_that_were_written(tmp_path):
    container = inspect(save(tmp_path / "a.mp3", song(0.7)))
    assert 0 <= container.frames - 11200 <= container.slack


@pytest.mark.parametrize("suffix", FORMATS)
def test_the_content_decides_the_format(suffix, tmp_path):
    path = save(tmp_path / f"a.{suffix}", song(0.2)).rename(tmp_path / "a.txt")
    assert inspect(path).name == suffix


@pytest.mark.parametrize("suffix", FORMATS)
def test_every_truncation_is_a_fault(suffix, tmp_path):
    """FLAC files are cut only in their header, because `inspect` does not read their frames."""
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


def test_an_id3_tag_before_the_audio_is_skipped(tmp_path):
    path = save(tmp_path / "a.flac", song(0.2))
    path.write_bytes(b"ID3\x04\0\0\0\0\x01\0" + bytes(128) + path.read_bytes())
    assert inspect(path).name == "flac"
    assert len(load_audio(path)[0]) == 3200


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "empty"),
        (b"hello, this is text and no sound at all" * 5, "unknown format"),
        (bytes(500), "zeros"),
        (b"\x0b\x77" + bytes(100), "AC-3. Convert it first: ffmpeg"),
        (b"ID3\x04\0\0\0\0\x7f\x7f" + bytes(100), "truncated"),
        (b"RIFF\x24\0\0\0WAVEfmt ", "truncated"),
        (b"\0\0\0\x20ftypM4A " + bytes(100), "MP4 or M4A. Convert it first: ffmpeg"),
        (b"\x1a\x45\xdf\xa3" + bytes(100), "WebM or Matroska. Convert it first: ffmpeg"),
        (b"\xff\xf1\x50\x80" + bytes(100), "AAC. Convert it first: ffmpeg"),
    ],
)
def test_the_reason_for_a_refusal_is_named(body, reason, tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(body)
    with pytest.raises(Fault, match=reason):
        inspect(path)


def test_a_folder_is_refused(tmp_path):
    with pytest.raises((Fault, IsADirectoryError)):
        inspect(tmp_path)


ODD_WAVES = {  # name: (changed fields, extra bytes, words of the warning)
    "ffmpeg to a pipe": ({"size": 0xFFFFFFFF, "riff": 0xFFFFFFFF}, b"", UNKNOWN),
    "sox to a pipe": ({"size": 0x7FFFFFFF - 36, "riff": 0x7FFFFFFF}, b"", UNKNOWN),
    "mplayer to a pipe": ({"size": 0x7FFFF000, "riff": 0x7FFFF024}, b"", UNKNOWN),
    "gstreamer to a pipe": ({"size": 0, "riff": 0}, b"", UNKNOWN),
    "riff size unknown": ({"riff": 0xFFFFFFFF}, b"", None),
    "riff size zero": ({"riff": 0}, b"", None),
    "riff size one too large": ({"riff": 36 + 9600 + 1}, b"", None),
    "riff size too small": ({"riff": 40}, b"", None),
    "byte rate wrong": ({"byte_rate": 7}, b"", None),
    "byte rate zero": ({"byte_rate": 0}, b"", None),
    "data size one too large": ({"size": 9601}, b"", "whole frame"),
    "data of one byte more": ({"size": 9601, "riff": 36 + 9601}, b"x", "whole frame"),
    "a zero after it": ({}, b"\0", None),
    "a byte after it": ({}, b"x", "1 bytes after its audio"),
    "text after it": (
        {"riff": 36 + 9600},
        b"\x01\x02 appended by a mailer",
        "bytes after its audio",
    ),
    "a cut chunk after it": ({}, b"LIST\x40\0\0\0INFO", "LIST chunk after the audio is cut"),
    "a whole chunk after it": ({}, b"LIST\x04\0\0\0INFO", None),
}


@pytest.mark.parametrize(("fields", "extra", "words"), ODD_WAVES.values(), ids=ODD_WAVES)
def test_a_wave_file_whose_samples_are_complete_is_read(fields, extra, words, tone, tmp_path):
    audio, lines = load(tmp_path / "a.wav", wave_bytes(tone.tobytes(), after=extra, **fields))
    assert np.array_equal(audio, tone / np.float32(32768))
    assert bool(lines) == (words is not None), lines
    assert words is None or words in lines[0]


@pytest.mark.parametrize("bits", [8, 24])
def test_a_missing_pad_byte_is_no_fault(bits, tmp_path):
    data = np.random.default_rng(0).integers(0, 256, 333 * bits // 8, np.uint8).tobytes()
    assert len(data) % 2
    for after in (b"", b"\0"):
        audio, lines = load(tmp_path / "a.wav", wave_bytes(data, bits=bits, after=after))
        assert (len(audio), lines) == (333, [])


@pytest.mark.parametrize("align", [0, 1, 4, 7])
def test_a_wrong_number_of_bytes_per_frame_is_corrected(align, tone, tmp_path):
    body = replaced(wave_bytes(tone.tobytes()), 32, struct.pack("<H", align))
    assert np.array_equal(load(tmp_path / "a.wav", body)[0], tone / np.float32(32768))


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"size": 9602}, "truncated: expected 9602 bytes in its data chunk. Received: 9600"),
        ({"size": 4000}, "damaged: 5600 bytes after its data belong to no chunk"),
        ({"size": 4000, "fill": b"q"}, "damaged: 5600 bytes after its data belong to no chunk"),
        ({"size": 0x10000000, "riff": 0x10000024}, "truncated"),
    ],
)
def test_a_wave_file_without_all_its_samples_is_refused(fields, reason, tmp_path):
    fields = dict(fields)
    data = np.random.default_rng(0).integers(128, 256, 9600, np.uint8).tobytes()
    data = 9600 * fields.pop("fill", b"") or data
    with pytest.raises(AudioError, match=reason):
        load(tmp_path / "a.wav", wave_bytes(data, **fields))


def test_bytes_that_a_reason_quotes_are_escaped(tone, tmp_path):
    body = wave_bytes(tone.tobytes()).replace(b"data", b"\x1b\n\xd0a", 1)
    with pytest.raises(AudioError) as caught:
        load(tmp_path / "a.wav", body)
    assert caught.value.reason.isprintable()


@pytest.mark.parametrize(
    ("form", "subtype", "suffix"),
    [
        ("WAV", "IMA_ADPCM", "wav"),
        ("WAV", "MS_ADPCM", "wav"),
        ("WAV", "GSM610", "wav"),
        ("WAV", "NMS_ADPCM_32", "wav"),
        ("W64", "IMA_ADPCM", "w64"),
        ("AIFF", "IMA_ADPCM", "aiff"),
        ("AIFF", "ALAW", "aiff"),
        ("CAF", "ALAC_16", "caf"),
        ("CAF", "ULAW", "caf"),
        ("AU", "G721_32", "au"),
        ("SVX", "PCM_16", "svx"),
        ("VOC", "PCM_16", "voc"),
        ("NIST", "PCM_16", "nist"),
        ("AVR", "PCM_16", "avr"),
        ("PAF", "PCM_16", "paf"),
        ("PVF", "PCM_16", "pvf"),
        ("IRCAM", "PCM_16", "ircam"),
        ("WVE", "ALAW", "wve"),
    ],
)
def test_every_codec_of_the_decoder_is_read(form, subtype, suffix, tmp_path):
    wave = song(0.5, 8000)
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, wave, 8000, subtype, format=form)
    lines = []
    audio, rate = load_audio(path, report=lines.append)
    assert (rate, inspect(path).name) == (8000, suffix)
    assert 0 <= len(audio) - len(wave) < 1000
    assert np.corrcoef(audio[: len(wave), 0], wave[:, 0])[0, 1] > 0.95
    no_length = suffix in ("paf", "pvf", "ircam")
    assert [("no length" in line) for line in lines] == [True] * no_length
    body = path.read_bytes()
    if not no_length:
        for size in (len(body) - 64, len(body) // 2):
            with pytest.raises(AudioError):
                load(path, body[:size])


def test_every_container_has_a_test():
    covered = {"mp2", "svx", "voc", "nist", "avr", "paf", "pvf", "ircam", "wve"}
    assert covered | set(FORMATS) == set(CONTAINERS)


def test_the_padding_of_the_last_block_is_no_audio(tmp_path):
    soundfile.write(tmp_path / "a.wav", song(0.5, 8000), 8000, "GSM610")
    body = (tmp_path / "a.wav").read_bytes()
    where = body.index(b"fact") + 8
    audio, _ = load(tmp_path / "b.wav", replaced(body, where, struct.pack("<I", 3999)))
    assert len(audio) == 3999
    audio, _ = load(tmp_path / "b.wav", replaced(body, where, struct.pack("<I", 399)))
    assert len(audio) >= 4000  # an implausible number of samples is ignored


def test_a_big_endian_wave_file_is_read(tone, tmp_path):
    body = wave_bytes(tone.byteswap().tobytes())
    fields = struct.unpack("<4sI4s4sIHHIIHH4sI", body[:44])
    body = struct.pack(">4sI4s4sIHHIIHH4sI", b"RIFX", *fields[1:]) + body[44:]
    assert np.array_equal(load(tmp_path / "a.wav", body)[0], tone / np.float32(32768))
    with pytest.raises(AudioError, match="truncated"):
        load(tmp_path / "a.wav", body[:-2])


def test_a_64_bit_broadcast_wave_file_is_read(tone, tmp_path):
    body, data = wave_bytes(tone.tobytes()), tone.tobytes()
    sizes = struct.pack("<IQQQI", 28, len(body) + 28, len(data), len(tone), 0)
    head = b"BW64" + b"\xff" * 4 + b"WAVEds64" + sizes + body[12:40] + b"\xff" * 4
    assert np.array_equal(load(tmp_path / "a.wav", head + data)[0], tone / np.float32(32768))
    with pytest.raises(AudioError, match="truncated"):
        load(tmp_path / "a.wav", head + data[:-2])


@pytest.mark.parametrize("unknown", [0, 0xFFFFFFFF])
def test_a_stream_of_more_than_4_gib_is_read_to_its_end(unknown, tmp_path):
    path = tmp_path / "a.wav"
    fields = {"rate": 96000, "channels": 2, "bits": 24}
    path.write_bytes(wave_bytes(b"", size=unknown, riff=unknown, **fields))
    os.truncate(path, 44 + 6 * 720_000_000)  # a sparse file
    container = inspect(path)
    assert container.frames == 720_000_000
    with stream_audio(path, report=lambda _: None) as stream:
        assert (stream.sample_rate, stream.frames) == (96000, 720_000_000)
        assert len(next(stream.blocks)) > 0


@pytest.mark.parametrize(
    ("suffix", "changes"),
    [
        ("w64", {16: b"\xff" * 8, b"data\xf3\xac": (16, b"\xff" * 7 + b"\x7f")}),
        ("caf", {b"data": (4, b"\xff" * 8)}),
        ("au", {8: b"\xff" * 4}),
        ("aiff", {4: bytes(4), b"COMM": (10, bytes(4)), b"SSND": (4, bytes(4))}),
    ],
)
def test_a_stream_of_unknown_length_is_read_to_its_end(suffix, changes, tmp_path):
    wave = song(0.3)
    path = save(tmp_path / f"a.{suffix}", wave)
    whole, body = load_audio(path)[0], path.read_bytes()
    if suffix == "aiff":
        assert body.rindex(b"SSND") > body.rindex(b"COMM")
    for place, value in changes.items():
        if isinstance(place, bytes):
            place, value = body.index(place) + value[0], value[1]
        body = replaced(body, place, value)
    audio, lines = load(path, body)
    assert np.array_equal(audio, whole)
    assert UNKNOWN in lines[0]


@pytest.mark.parametrize(("frames", "read"), [(4800, True), (4000, True), (5000, False)])
def test_an_aiff_file_is_read_if_its_sound_chunk_is_complete(frames, read, tmp_path):
    path = save(tmp_path / "a.aiff", song(0.3))
    whole, body = load_audio(path)[0], path.read_bytes()
    body = replaced(body, body.index(b"COMM") + 10, struct.pack(">I", frames))
    if read:
        audio, lines = load(path, body)
        assert np.array_equal(audio, whole)
        assert len(lines) == (frames != 4800)
        audio, lines = load(path, body + b"COMT\0\0\1\0cut")
        assert np.array_equal(audio, whole)
        assert "no whole chunk" in lines[-1]
    else:
        with pytest.raises(AudioError, match="truncated: expected 10000 bytes of audio"):
            load(path, body)


def without_length(body: bytes) -> bytes:
    """Remove length and checksum from the header of a FLAC file, as in one written to a pipe."""
    return replaced(body, 21, bytes([body[21] & 0xF0]) + bytes(20))


@pytest.mark.parametrize("seconds", [0.2, 3.0])
def test_a_flac_stream_of_unknown_length_is_read_to_its_end(seconds, tmp_path):
    path = save(tmp_path / "a.flac", song(seconds, channels=2))
    whole, body = load_audio(path)[0], without_length(path.read_bytes())
    audio, lines = load(path, body)
    assert np.array_equal(audio, whole)
    assert UNKNOWN in lines[0]
    for size in (len(body) - 1, len(body) - 100, len(body) - 2000):
        with pytest.raises(AudioError, match="truncated: its last frame is cut"):
            load(path, body[:size])


def test_bytes_after_the_last_flac_frame_are_left_out(tmp_path):
    path = save(tmp_path / "a.flac", song(0.3))
    whole, body = load_audio(path)[0], path.read_bytes()
    for junk in (b"junk", b"TAG" + bytes(125)):
        assert np.array_equal(load(path, body + junk)[0], whole)


def test_joined_flac_files_are_refused(tmp_path):
    """The decoder would stop after the first file."""
    body = save(tmp_path / "a.flac", song(0.3)).read_bytes()
    with pytest.raises(AudioError, match="several FLAC files"):
        load(tmp_path / "a.flac", body + body)


def test_ogg_page_checksum_is_that_of_the_standard(tmp_path):
    body = save(tmp_path / "a.ogg", song(0.2)).read_bytes()
    segments = body[26]
    page = body[: 27 + segments + sum(body[27 : 27 + segments])]
    stated = struct.unpack("<I", page[22:26])[0]
    assert page_checksum(page[:22] + bytes(4) + page[26:]) == stated


def pages_of(body: bytes) -> list[bytes]:
    """Split an Ogg file into its pages."""
    starts = [0]
    while starts[-1] < len(body):
        at = starts[-1]
        segments = body[at + 26]
        starts.append(at + 27 + segments + sum(body[at + 27 : at + 27 + segments]))
    return [body[begin:end] for begin, end in itertools.pairwise(starts)]


def renumbered(page: bytes, number: int, later: int) -> bytes:
    """Change the number of an Ogg page, add `later` to its position, and update its checksum."""
    position = struct.unpack("<q", page[6:14])[0]
    page = replaced(page, 6, struct.pack("<q", position + later if position > 0 else position))
    page = replaced(replaced(page, 18, struct.pack("<I", number)), 22, bytes(4))
    return replaced(page, 22, struct.pack("<I", page_checksum(page)))


def test_an_ogg_stream_cut_from_a_longer_one_is_read(tmp_path):
    path = save(tmp_path / "a.ogg", song(20.0))
    pages = pages_of(path.read_bytes())
    assert len(pages) > 6
    whole = load_audio(path)[0]
    cut_out = pages[:2] + pages[4:]
    position = struct.unpack("<q", pages[3][6:14])[0]
    audio, lines = load(path, b"".join(cut_out))
    assert "first pages are missing" in lines[0]
    assert abs(len(audio) - (len(whole) - position)) <= 4096
    later = [page if i < 2 else renumbered(page, i, 10**7) for i, page in enumerate(pages)]
    audio, lines = load(path, b"".join(later))
    assert lines == []
    assert abs(len(audio) - len(whole)) <= 4096
    with pytest.raises(AudioError, match="page 5 is missing"):
        load(path, b"".join(pages[:5] + pages[6:]))


def ogg_pages(parts: list[bytes], position: int) -> bytes:
    """Put each packet into an Ogg page; the last page has `position` and the end-of-stream flag."""
    pages = b""
    for number, part in enumerate(parts):
        lacing = b"\xff" * (len(part) // 255) + bytes([len(part) % 255])
        last = number == len(parts) - 1
        flags = 2 * (number == 0) + 4 * last
        at = position if last else 0
        page = struct.pack("<4sBBqIIIB", b"OggS", 0, flags, at, 9, number, 0, len(lacing))
        pages += renumbered(page + lacing + part, number, 0)
    return pages


@pytest.mark.parametrize("stated", [True, False])
def test_flac_in_ogg_is_read(stated, tmp_path):
    body = save(tmp_path / "a.flac", song(0.5, channels=2)).read_bytes()
    audio, _ = load_audio(tmp_path / "a.flac")
    if not stated:
        body = without_length(body)
    parts = [
        b"\x7fFLAC\1\0\0\1" + body[:42],
        *(body[i : i + 5000] for i in range(42, len(body), 5000)),
    ]
    pages = ogg_pages(parts, len(audio))
    result, lines = load(tmp_path / "a.oga", pages)
    assert np.array_equal(result, audio)
    assert lines == []
    for size in (len(pages) - 1, len(pages) // 2):
        with pytest.raises(AudioError, match=r"truncated|damaged"):
            load(tmp_path / "a.oga", pages[:size])


def test_bytes_after_the_last_ogg_page_are_left_out(tmp_path):
    path = save(tmp_path / "a.ogg", song(0.3))
    whole = load_audio(path)[0]
    audio, lines = load(path, path.read_bytes() + b"junk")
    assert np.array_equal(audio, whole)
    assert "4 bytes after its audio" in lines[0]


def test_any_flipped_bit_of_an_ogg_file_is_a_fault(tmp_path):
    path = save(tmp_path / "a.ogg", song(0.2))
    body, rng = path.read_bytes(), np.random.default_rng(4)
    for place in rng.integers(len(body), size=100):
        damaged = bytearray(body)
        damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        with pytest.raises(Fault):
            inspect(path)


def test_an_ogg_file_without_its_last_page_is_refused(tmp_path):
    path = save(tmp_path / "a.ogg", song(3.0))
    body = path.read_bytes()
    path.write_bytes(body[: body.rindex(b"OggS")])
    with pytest.raises(Fault, match="truncated: its stream has no last page"):
        inspect(path)


def without_index(body: bytes) -> bytes:
    """Remove the first frame of an mp3, which holds the index."""
    start = body.index(b"\xff")
    return body[start + parse_frame(body[start : start + 4]).length :]


def test_an_index_is_written_for_an_mp3_that_has_none(tmp_path):
    path = save(tmp_path / "a.mp3", song(1.0))
    path.write_bytes(without_index(path.read_bytes()))
    container = inspect(path)
    fed = container.prefix + path.read_bytes()[slice(*container.spans[0])]
    assert parse_frame(container.prefix[:4]).length == len(container.prefix)
    came = len(soundfile.read(io.BytesIO(fed))[0])
    assert abs(came - container.frames) <= container.slack


def test_mp3_files_joined_into_one_are_read_whole(tmp_path):
    path = save(tmp_path / "a.mp3", song(1.0))
    body, single = path.read_bytes(), len(load_audio(path)[0])
    tag = b"TAG" + bytes(125)
    for parts in ([body, body], [body, tag, body, tag], [without_index(body), tag, body]):
        audio, _ = load(path, b"".join(parts))
        assert abs(len(audio) - 2 * single) < 5 * 1152
        with pytest.raises(AudioError, match="truncated"):
            load(path, (b"".join(parts).removesuffix(tag))[:-1])


def test_bytes_after_the_last_mp3_frame_are_left_out(tmp_path):
    path = save(tmp_path / "a.mp3", song(1.0))
    whole = load_audio(path)[0]
    audio, lines = load(path, path.read_bytes() + b"appended text")
    assert np.array_equal(audio, whole)
    assert "13 bytes after its last frame" in lines[0]
    with pytest.raises(AudioError, match="damaged: no frame where one should begin"):
        load(path, path.read_bytes()[:1500] + b"text" + path.read_bytes()[1500:])


@pytest.mark.parametrize("high", [256, 8])
def test_other_files_are_not_taken_for_mpeg_audio(high, tmp_path):
    rng = np.random.default_rng(6)
    for number in range(30):
        body = rng.integers(0, high, 30_000, np.uint8) ^ (255 if number % 2 else 0)
        (tmp_path / "a.bin").write_bytes(body.tobytes())
        with pytest.raises(Fault, match="unknown format"):
            inspect(tmp_path / "a.bin")


def test_bytes_before_the_first_mp3_frame_are_skipped(tmp_path):
    path = save(tmp_path / "a.mp3", song(1.0))
    whole, body = load_audio(path)[0], path.read_bytes()
    for before in (bytes(1000), np.random.default_rng(1).bytes(1000)):
        assert np.array_equal(load(path, before + body)[0], whole)


@pytest.mark.parametrize(
    ("head", "length", "samples", "rate"),
    [
        ("fffb9064", 417, 1152, 44100),  # MPEG-1 layer III, 128 kbit/s
        ("fffd8004", 417, 1152, 44100),  # MPEG-1 layer II, 128 kbit/s
        ("ffff4004", 136, 384, 44100),  # MPEG-1 layer I, 128 kbit/s, slots of four bytes
        ("fff38064", 208, 576, 22050),  # MPEG-2 layer III, 64 kbit/s
        ("fff58004", 417, 1152, 22050),  # MPEG-2 layer II, 64 kbit/s
    ],
)
def test_frame_headers_of_all_layers(head, length, samples, rate):
    frame = parse_frame(bytes.fromhex(head))
    assert (frame.length, frame.samples, frame.rate) == (length, samples, rate)


def test_a_layer_ii_file_is_read(tmp_path):
    """The frames are silent: after the header, all bytes are zero."""
    frame = bytes.fromhex("fffd8004") + bytes(413)
    audio, lines = load(tmp_path / "a.mp2", frame * 20)
    assert (audio.shape, lines) == ((20 * 1152, 2), [])
    assert inspect(tmp_path / "a.mp2").name == "mp2"
    with pytest.raises(AudioError, match="truncated: its last frame is cut"):
        load(tmp_path / "a.mp2", (frame * 20)[:-1])
