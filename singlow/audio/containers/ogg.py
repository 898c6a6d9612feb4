"""Ogg files: check the checksums and numbers of all pages, and the end-of-stream flag."""

import struct
import zlib
from collections.abc import Callable
from typing import BinaryIO

from singlow.audio.containers.container import Container, Fault, read_exactly
from singlow.audio.containers.flac import read_description, with_frames

_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_BEGINS, _ENDS = 2, 4
_FLAC_HEADER = 9  # bytes that precede the FLAC file in the first packet
_CODECS = {b"\x01vorbis": "vorbis", b"OpusHead": "opus", b"\x7fFLAC": "flac"}


def page_checksum(page: bytes) -> int:
    """Return the CRC-32 of an Ogg page (polynomial 0x04C11DB7, not reflected; RFC 3533, section 6).

    zlib computes the reflected form of the same polynomial, so the bits are reversed twice.
    """
    reflected = zlib.crc32(page.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{reflected:032b}"[::-1], 2)


def walk_ogg(file: BinaryIO, start: int, size: int, beat: Callable[[], None]) -> Container:
    """Read every page of the file.

    After its header pages, a stream that was cut from a longer one (for example, from internet
    radio) may continue at any page number and position.

    Raises:
        Fault: a page is missing, damaged or truncated; the last page has no end-of-stream flag; or
            the file holds several streams.
    """
    position, serial, expected, ended, codec = start, None, None, False, None
    first_position = last_position = -1
    longest_block = first_packets = 0
    bodies, flac, warnings = [], b"", ()
    while position < size:
        file.seek(position)
        head = file.read(27)
        if head[:4] != b"OggS"[: len(head[:4])] or (len(head) > 4 and head[4] != 0):
            if ended:
                if any(head) and head[:3] != b"TAG":
                    warnings += (f"{size - position} bytes after its audio are left out",)
                break
            raise Fault(f"damaged: no Ogg page where one should begin, at byte {position}")
        if len(head) < 27:
            raise Fault(f"truncated: its last page is cut, at byte {position}")
        flags, page_position, page_serial, number, checksum, segments = struct.unpack(
            "<xxxxxBqIIIB", head
        )
        table = file.read(segments)
        length = sum(table)
        if len(table) < segments or position + 27 + segments + length > size:
            raise Fault(f"truncated: its last page is cut, at byte {position}")
        body = read_exactly(file, length)
        if page_checksum(head[:22] + b"\0\0\0\0" + head[26:] + table + body) != checksum:
            raise Fault(f"damaged: the page at byte {position} fails its checksum")
        if serial is None:
            serial, expected = page_serial, number
            codec = next((name for magic, name in _CODECS.items() if body.startswith(magic)), None)
            if codec is None:
                raise Fault("not supported: Ogg that holds neither Vorbis, Opus nor FLAC")
            if codec == "flac":
                flac = body[_FLAC_HEADER:]
            elif codec == "vorbis" and len(body) >= 29:
                longest_block = 1 << (body[28] >> 4)
        if page_serial != serial or (ended and flags & _BEGINS):
            raise Fault("not supported: several streams in one Ogg file")
        begins_later = first_position < 0 and page_position > 0 and number > expected
        if (number != expected and not begins_later) or ended:
            raise Fault(f"damaged: page {expected} is missing, at byte {position}")
        if begins_later:
            warnings += ("its first pages are missing, as if it were cut from a longer stream",)
        if first_position < 0 and page_position > 0:
            first_position = page_position
            first_packets = sum(lacing < 255 for lacing in table)
        expected, ended = number + 1, bool(flags & _ENDS)
        last_position = max(last_position, page_position)
        bodies.append((position + 27 + segments, position + 27 + segments + length))
        position += 27 + segments + length
        beat()
    if not ended:
        raise Fault("truncated: its stream has no last page")
    if last_position < 0:
        raise Fault("empty: no audio in its stream")
    if codec == "opus":
        return Container("ogg", warnings=warnings)
    if codec == "flac":  # libsndfile refuses Ogg FLAC, but reads its packets joined as FLAC
        _, bits, frames, checksum = read_description(flac[8:42])
        if not frames:
            frames = last_position
            flac = with_frames(flac, 8, frames)
        return Container(
            "ogg",
            frames,
            ends_exactly=True,
            checksum=checksum,
            bits=bits,
            spans=tuple(bodies[1:]),
            prefix=flac,
            warnings=warnings,
        )
    # If the file was cut from a longer stream, its first page does not state how many of its
    # samples come before the file, so the length is uncertain by `most` samples. The checksums and
    # page numbers already show that no page is missing.
    most = min(first_position, first_packets * longest_block)
    frames = last_position - max(0, first_position - most)
    return Container("ogg", frames, slack=most, warnings=warnings)
