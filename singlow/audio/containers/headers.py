"""Files with one fixed header before the audio: AU, NIST, VOC, AVR, WVE, PAF, PVF, IRCAM."""

import re
import struct
from typing import BinaryIO

from singlow.audio.containers.container import (
    UNKNOWN_LENGTH,
    Container,
    Fault,
    read_exactly,
    truncated,
)

_AU_WIDTHS = {1: 1, 2: 1, 3: 2, 4: 3, 5: 4, 6: 4, 7: 8, 27: 1}
_NO_LENGTH = "its format states no length, so that a missing end goes unnoticed"
_MAGICS = {
    b".snd": "au",
    b"dns.": "au",
    b"NIST_1A": "nist",
    b"Creative Voice File\x1a": "voc",
    b"2BIT": "avr",
    b" paf": "paf",
    b"fap ": "paf",
    b"PVF1\n": "pvf",
    b"ALawSoundFile**": "wve",
    **{bytes((0x64, 0xA3, kind, 0)): "ircam" for kind in range(1, 5)},
    **{bytes((0, kind, 0xA3, 0x64)): "ircam" for kind in range(1, 5)},
}


def name_of(head: bytes) -> str | None:
    """Return the name of the format that a file with the first bytes `head` has, or None."""
    return next((name for magic, name in _MAGICS.items() if head.startswith(magic)), None)


def walk_header(file: BinaryIO, name: str, start: int, size: int) -> Container:
    """Read the header of a file.

    Args:
        file: the file.
        name: its format, as `name_of` returns it.
        start: where the header begins.
        size: bytes of the file.

    Raises:
        Fault: samples are missing.
    """
    file.seek(start)
    if name == "au":
        return _read_au(read_exactly(file, 24), start, size)
    if name == "nist":
        return _read_nist(file.read(1024), start, size)
    if name == "voc":
        return _read_voc(file, start, size)
    if name == "avr":
        head = read_exactly(file, 128)
        channels, bits = 2 if any(head[12:14]) else 1, struct.unpack(">H", head[14:16])[0]
        frames = struct.unpack(">I", head[26:30])[0]
        _require(frames * channels * ((bits + 7) // 8), size - start - 128)
        return Container(name)
    if name == "wve":
        length = struct.unpack(">18xI", read_exactly(file, 22))[0]
        _require(length, size - start - 32)
        return Container(name, length)
    return Container(name, warnings=(_NO_LENGTH,))


def _require(expected: int, received: int) -> None:
    if received < expected:
        raise Fault(f"truncated: expected {expected} bytes of audio. Received: {received}")


def _read_au(head: bytes, start: int, size: int) -> Container:
    order = ">" if head[:4] == b".snd" else "<"
    offset, length, codec, _, channels = struct.unpack(f"{order}5I", head[4:24])
    came = size - start - offset
    warnings = ()
    if length == 0xFFFFFFFF or (length == 0 and came > 8):
        length, warnings = came, (UNKNOWN_LENGTH,)
    width = _AU_WIDTHS.get(codec, 0) * channels
    if length > came and not (width and length // width == came // width):
        raise truncated("data", length, max(0, came))
    if came > length + 1:
        warnings = (f"{came - length} bytes after its audio are left out",)
    return Container("au", length // width if width else None, warnings=warnings)


def _read_nist(head: bytes, start: int, size: int) -> Container:
    def number(key: str, default: int) -> int:
        match = re.search(rb"^%s -i (\d+)" % key.encode(), head, re.MULTILINE)
        return int(match[1]) if match else default

    length = head[8:16].split()
    offset = int(length[0]) if length and length[0].isdigit() else 1024
    frames = number("sample_count", 0)
    width = number("channel_count", 1) * number("sample_n_bytes", 1)
    if b"shorten" not in head:
        _require(frames * width, size - start - offset)
    return Container("nist", frames or None)


def _read_voc(file: BinaryIO, start: int, size: int) -> Container:
    """Check the first block only, because SoX states a length that is 8 bytes too short."""
    file.seek(start + 20)
    position = start + struct.unpack("<H", read_exactly(file, 2))[0]
    file.seek(position)
    length = int.from_bytes(read_exactly(file, 4)[1:], "little")
    if position + 4 + length > size:
        raise truncated("sound", length, size - position - 4)
    return Container("voc")
