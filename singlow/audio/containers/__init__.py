"""Read what an audio container states about its audio, without decoding it.

libsndfile reads a truncated wav file without an error, and it only estimates the length of an mp3.
Therefore this package reads the length from the container, and the decoder compares its output with
that length. Missing samples are a reason to refuse a file; a wrong field that no decoder needs is
not.

References: Microsoft, "Multiple channel audio data and WAVE files", 2007; EBU Tech 3306 (RF64);
Apple, "Audio Interchange File Format AIFF-C", 1991, and "Core Audio Format Specification", 2011;
RFC 9639 (FLAC); RFC 3533 (Ogg); ISO/IEC 11172-3 and 13818-3 (MPEG audio).
"""

import dataclasses
import os
import stat
import struct
from collections.abc import Callable
from typing import BinaryIO

from singlow.audio.containers import headers
from singlow.audio.containers.container import Container, Fault
from singlow.audio.containers.flac import walk_flac
from singlow.audio.containers.iff import walk_aiff, walk_caf, walk_svx
from singlow.audio.containers.mpeg import walk_mpeg
from singlow.audio.containers.ogg import walk_ogg
from singlow.audio.containers.wave import RIFF_NAMES, W64_RIFF, walk_w64, walk_wav

CONTAINERS = {  # name: the formats that libsndfile may report for the container
    "wav": ("WAV", "WAVEX", "RF64"),
    "rf64": ("RF64", "WAV", "WAVEX"),
    "w64": ("W64",),
    "aiff": ("AIFF",),
    "svx": ("SVX",),
    "caf": ("CAF",),
    "flac": ("FLAC",),
    "ogg": ("OGG", "FLAC"),
    "mp3": ("MP3",),
    "mp2": ("MP3",),
    "au": ("AU",),
    "nist": ("NIST",),
    "voc": ("VOC",),
    "avr": ("AVR",),
    "paf": ("PAF",),
    "pvf": ("PVF",),
    "ircam": ("IRCAM",),
    "wve": ("WVE",),
}
_FOREIGN = {  # formats that only ffmpeg reads: (offset, value) of the bytes that identify them
    "MP4 or M4A": (4, b"ftyp"),
    "WebM or Matroska": (0, b"\x1a\x45\xdf\xa3"),
    "WMA": (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11"),
    "WavPack": (0, b"wvpk"),
    "Monkey's Audio": (0, b"MAC "),
    "AMR": (0, b"#!AMR"),
    "AC-3": (0, b"\x0b\x77"),
    "True Audio": (0, b"TTA1"),
    "Musepack": (0, b"MPCK"),
    "DSD": (0, b"DSD "),
}
__all__ = ["CONTAINERS", "Container", "Fault", "inspect"]


def inspect(path: str | os.PathLike, beat: Callable[[], None] | None = None) -> Container:
    """Read what the container of an audio file states; the content decides the format.

    Args:
        path: an audio file of one of the formats in `CONTAINERS`, with or without an ID3v2 tag.
        beat: function that is called repeatedly during a long file, so that an observer sees
            progress.

    Raises:
        Fault: the file is not an audio file, samples are missing, or its header is unusable.
        OSError: the file cannot be opened.
    """
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with os.fdopen(handle, "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise Fault("not a regular file")
        if status.st_size == 0:
            raise Fault("empty: the file has no bytes")
        try:
            start = _skip_id3(file, status.st_size)
            container = _walk(file, start, status.st_size, beat or (lambda: None))
        except Fault:
            raise
        except (ArithmeticError, LookupError, ValueError, struct.error) as error:
            raise Fault("damaged: its header contradicts itself") from error
    if start and not container.spans:
        return dataclasses.replace(container, spans=((start, status.st_size),))
    return container


def _walk(file: BinaryIO, start: int, size: int, beat: Callable[[], None]) -> Container:
    file.seek(start)
    head = file.read(40)
    if head[:4] in RIFF_NAMES and head[8:12] == b"WAVE":
        return walk_wav(file, start, size)
    if head[:16] == W64_RIFF:
        return walk_w64(file, start, size)
    if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        return walk_aiff(file, start, size)
    if head[:4] == b"FORM" and head[8:12] in (b"8SVX", b"16SV"):
        return walk_svx(file, start, size)
    if head[:4] == b"caff":
        return walk_caf(file, start, size)
    if head[:4] == b"fLaC":
        return walk_flac(file, start, size)
    if head[:4] == b"OggS":
        return walk_ogg(file, start, size, beat)
    name = headers.name_of(head)
    if name is not None:
        return headers.walk_header(file, name, start, size)
    for name, (place, magic) in _FOREIGN.items():
        if head[place : place + len(magic)] == magic:
            raise Fault(f"not supported: {name}. Convert it first: ffmpeg -i FILE FILE.wav")
    if head[:2] in (b"\xff\xf1", b"\xff\xf9") and head[2:3] != b"":
        raise Fault("not supported: AAC. Convert it first: ffmpeg -i FILE FILE.wav")
    container = walk_mpeg(file, start, size, beat)
    if container is None:
        content = "a file that begins with zeros" if not any(head) else "something else"
        raise Fault(
            "unknown format: expected wav, flac, ogg, mp3, aiff, caf or au by content. Received: "
            f"{content}"
        )
    return container


def _skip_id3(file: BinaryIO, size: int) -> int:
    start = 0
    while True:
        file.seek(start)
        head = file.read(10)
        if head[:3] != b"ID3" or len(head) < 10 or max(head[6:10]) > 127:
            return start
        length = (head[6] << 21) | (head[7] << 14) | (head[8] << 7) | head[9]
        start += 10 + length + (10 if head[5] & 0x10 else 0)
        if start == size:
            raise Fault("empty: nothing follows its ID3 tag")
        if start > size:
            raise Fault(f"truncated: expected {start} bytes of ID3 tag. Received: {size}")
