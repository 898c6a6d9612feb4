"""Ogg pages: every page's checksum, the chain of page numbers, the end-of-stream mark."""

import struct
import zlib
from collections.abc import Callable
from typing import BinaryIO

from singlow.audio.containers.promise import Fault, Promise, read_exactly

_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_BEGINS, _ENDS = 2, 4
_CODECS = {b"\x01vorbis": "vorbis", b"OpusHead": "opus", b"\x7fFLAC": "flac"}


def page_checksum(page: bytes) -> int:
    """The CRC-32 of an Ogg page (polynomial 0x04C11DB7, not reflected, RFC 3533 section 6).

    zlib computes the reflected form of the same polynomial, so bits are turned on both sides.
    """
    reflected = zlib.crc32(page.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{reflected:032b}"[::-1], 2)


def walk_ogg(file: BinaryIO, start: int, size: int, beat: Callable[[], None]) -> Promise:
    """Walk every page of the file.

    Raises:
        Fault: a page is missing, damaged or cut; the stream has no end; there are several streams.
    """
    position, serial, following, ended, granule, codec = start, None, 0, False, -1, None
    while position < size:
        file.seek(position)
        head = file.read(27)
        if head[:4] != b"OggS"[: len(head[:4])] or (len(head) > 4 and head[4] != 0):
            if ended and _only_tag(head):
                break
            raise Fault(f"damaged: no Ogg page where one should begin, at byte {position}")
        if len(head) < 27:
            raise Fault(f"truncated: its last page is cut, at byte {position}")
        flags, page_granule, page_serial, number, checksum, segments = struct.unpack(
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
            serial = page_serial
            codec = next(
                (name for magic, name in _CODECS.items() if body.startswith(magic)),
                None,
            )
            if codec is None:
                raise Fault("not supported: Ogg that holds neither Vorbis, Opus nor FLAC")
        if page_serial != serial or (ended and flags & _BEGINS):
            raise Fault("not supported: several streams in one Ogg file")
        if number != following or ended:
            raise Fault(f"damaged: page {following} is missing, at byte {position}")
        following, ended = number + 1, bool(flags & _ENDS)
        granule = max(granule, page_granule)
        position += 27 + segments + length
        beat()
    if not ended:
        raise Fault("truncated: its stream has no last page")
    if granule < 0:
        raise Fault("empty: no audio in its stream")
    return Promise("ogg", frames=granule if codec == "vorbis" else None)


def _only_tag(head: bytes) -> bool:
    return head[:3] == b"TAG" or not any(head)
