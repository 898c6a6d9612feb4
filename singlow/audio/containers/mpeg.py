"""MPEG audio frames: walked one after the other, counted, held against the file's own index."""

import dataclasses
import struct
from collections.abc import Callable
from typing import BinaryIO

from singlow.audio.containers.promise import Fault, Promise, read_exactly

_SEARCHED = 1 << 16
_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
_KBITS_1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_KBITS_2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_NOT_MPEG = "unknown format: expected wav, flac, ogg, mp3 or aiff (told by content, not by name)"


@dataclasses.dataclass(frozen=True)
class Frame:
    """The header of one layer III frame.

    Attributes:
        length: bytes from this header to the next.
        samples: samples per channel it decodes to.
        rate: sample rate, Hz.
        kind: what all frames of one stream share: version, rate and channel count.
        side: offset of the index a first frame may hold (Xing or Info).
    """

    length: int
    samples: int
    rate: int
    kind: tuple[int, int, int]
    side: int


def parse_frame(head: bytes) -> Frame | None:
    """The frame whose first four bytes are `head`; None if they begin no layer III frame."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE6 != 0xE2:
        return None
    version, kbits, rate = (head[1] >> 3) & 3, head[2] >> 4, (head[2] >> 2) & 3
    if version == 1 or kbits in (0, 15) or rate == 3:
        return None
    mono = head[3] >> 6 == 3
    samples = 1152 if version == 3 else 576
    bit_rate = (_KBITS_1 if version == 3 else _KBITS_2)[kbits]
    hertz = _RATES[version][rate]
    length = samples // 8 * bit_rate * 1000 // hertz + ((head[2] >> 1) & 1)
    side = (17 if mono else 32) if version == 3 else (9 if mono else 17)
    return Frame(length, samples, hertz, (version, hertz, 1 if mono else 2), 4 + side)


def walk_mpeg(file: BinaryIO, start: int, size: int, beat: Callable[[], None]) -> Promise:
    """Walk every frame from the first to the end of the file.

    A Xing, Info or VBRI index gives the count that was written; without one only a cut last frame
    can be told, and one is written for the decoder.

    Raises:
        Fault: no frames, a cut or missing frame, bytes between frames that belong to none.
    """
    position, first = _first_frame(file, start, size)
    begin, promised = position, _read_index(file, position, first)
    count = 0
    while position < size:
        file.seek(position)
        head = file.read(4)
        frame = parse_frame(head)
        if frame is None or frame.kind != first.kind:
            _check_tail(file, position, size)
            break
        if position + frame.length > size:
            raise Fault(f"truncated: its last frame is cut, at byte {position}")
        count += 1
        position += frame.length
        if count % 4096 == 0:
            beat()
    if promised is None:
        file.seek(begin)
        prefix = _write_index(read_exactly(file, 4), count, position - begin)
        return Promise(
            "mp3",
            count * first.samples,
            slack=2 * first.samples,
            span=(begin, position),
            prefix=prefix,
        )
    if count - 1 < promised:
        raise Fault(f"truncated: its index promises {promised} frames and {count - 1} came")
    if count - 1 > promised + 1:
        raise Fault(f"damaged: its index promises {promised} frames and {count - 1} came")
    return Promise("mp3", promised * first.samples, slack=8 * 1152)


def _first_frame(file: BinaryIO, start: int, size: int) -> tuple[int, Frame]:
    file.seek(start)
    head = file.read(_SEARCHED)
    where = head.find(b"\xff")
    while where >= 0:
        frame = parse_frame(head[where : where + 4])
        if frame is not None and _followed(file, start + where, frame, size):
            return start + where, frame
        where = head.find(b"\xff", where + 1)
    raise Fault(_NOT_MPEG)


def _followed(file: BinaryIO, position: int, frame: Frame, size: int) -> bool:
    following = position + frame.length
    for _ in range(2):
        if following >= size:
            return following == size or position + 4 <= size
        file.seek(following)
        head = file.read(4)
        after = parse_frame(head)
        if after is None or after.kind != frame.kind:
            return head[:3] == b"TAG"
        following += after.length
    return True


def _read_index(file: BinaryIO, position: int, first: Frame) -> int | None:
    file.seek(position)
    body = file.read(first.length)
    side = body[first.side : first.side + 12]
    if side[:4] in (b"Xing", b"Info") and len(side) == 12:
        flags, frames = struct.unpack(">II", side[4:])
        return frames if flags & 1 else None
    vbri = body[36:54]
    if vbri[:4] == b"VBRI" and len(vbri) == 18:
        return struct.unpack(">I", vbri[14:18])[0]
    return None


def _write_index(head: bytes, count: int, size: int) -> bytes:
    """A first frame that tells a decoder how many frames follow, which it would guess.

    It has the stream's version, rate and channels, and room for the index at any of them.
    """
    head = bytes([head[0], head[1] | 1, (head[2] & 0x0C) | 0x90, head[3]])
    frame = parse_frame(head)
    index = struct.pack(">4sIII", b"Xing", 3, count, frame.length + size)
    return (head + bytes(frame.side - 4) + index).ljust(frame.length, b"\0")


def _check_tail(file: BinaryIO, position: int, size: int) -> None:
    """What may follow the last frame: ID3v1 (128 bytes), APE, Lyrics3, zeros."""
    file.seek(position)
    tail = file.read(32)
    left = size - position
    if (tail[:3] == b"TAG" and left == 128) or tail[:8] == b"APETAGEX" or tail[:6] == b"LYRICS":
        return
    if (tail[:3] == b"TAG" and left > 128) or tail[:4] in (b"TAG+", b"3DI\x10"):
        return
    if left < 128 and (tail[:3] == b"TAG"[: len(tail[:3])] or tail[:1] == b"\xff"):
        raise Fault(f"truncated: {left} bytes at its end are part of a frame or tag")
    file.seek(position)
    if left <= 1 << 20 and not any(file.read(left)):
        return
    raise Fault(f"damaged: no frame where one should begin, at byte {position}")
