"""MPEG audio, layers I to III: count all frames, and compare their number with the index."""

import dataclasses
import struct
from collections.abc import Callable
from typing import BinaryIO

from singlow.audio.containers.container import Container, Fault, read_exactly

_SEARCHED = 1 << 16
_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
_STEPS = (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384)
_LOW = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_KBITS = {  # by (MPEG-1, layer)
    (True, 1): tuple(range(32, 449, 32)),
    (True, 2): _STEPS,
    (True, 3): (32, 40, *_STEPS[1:-1]),
    (False, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): _LOW,
    (False, 3): _LOW,
}
_LONGEST_FREE = 1 << 13


@dataclasses.dataclass(frozen=True)
class Frame:
    """The header of a frame.

    Attributes:
        length: bytes from this header to the next. In the free format, whose headers state no bit
            rate, `parse_frame` counts only the padding.
        samples: samples per channel of the decoded frame.
        rate: sample rate, in Hz.
        kind: values that all frames of a stream have in common: version, layer, rate, number of
            channels, and whether the format is free.
        side: offset of the index (Xing or Info) that the first frame of a stream may hold.
    """

    length: int
    samples: int
    rate: int
    kind: tuple[int, int, int, int, bool]
    side: int

    @property
    def free(self) -> bool:
        """Whether the header states no bit rate."""
        return self.kind[4]


def parse_frame(head: bytes) -> Frame | None:
    """Parse the header of a frame, four bytes; return None if `head` is not a header."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    version, layer = (head[1] >> 3) & 3, 4 - ((head[1] >> 1) & 3)
    kbits, rate = head[2] >> 4, (head[2] >> 2) & 3
    if version == 1 or layer == 4 or kbits == 15 or rate == 3:
        return None
    mono, padding = head[3] >> 6 == 3, (head[2] >> 1) & 1
    samples = 384 if layer == 1 else 576 if layer == 3 and version != 3 else 1152
    hertz = _RATES[version][rate]
    unit = 4 if layer == 1 else 1
    length = unit * padding
    if kbits:
        bit_rate = _KBITS[version == 3, layer][kbits - 1]
        length += unit * (samples // 8 * bit_rate * 1000 // hertz // unit)
    side = (17 if mono else 32) if version == 3 else (9 if mono else 17)
    kind = (version, layer, hertz, 1 if mono else 2, kbits == 0)
    return Frame(length, samples, hertz, kind, 4 + side)


class _Walk:
    """A walk over the frames of one file."""

    def __init__(self, file: BinaryIO, start: int, size: int) -> None:
        self.file, self.start, self.size = file, start, size
        self.free_length = 0

    def frame_at(self, position: int) -> Frame | None:
        self.file.seek(position)
        frame = parse_frame(self.file.read(4))
        if frame is not None and frame.free:
            return dataclasses.replace(frame, length=frame.length + self.free_length)
        return frame

    def measure_free(self, position: int, first: Frame) -> bool:
        """Set the frame length of a free-format stream, the distance to the next header.

        Returns:
            Whether such a header exists.
        """
        self.file.seek(position)
        body = self.file.read(_LONGEST_FREE)
        padding = (body[2] >> 1) & 1
        where = body.find(b"\xff", 32)
        while where >= 0:
            following = parse_frame(body[where : where + 4])
            if following is not None and following.kind == first.kind:
                self.free_length = where - padding
                if self.is_followed(position, self.frame_at(position)):
                    return True
            where = body.find(b"\xff", where + 1)
        return False

    def is_followed(self, position: int, frame: Frame) -> bool:
        """Return whether frames of the same kind, the end of the file or a tag follow a frame.

        Bytes that look like a header are not rare in other files. Therefore more frames must follow
        where a header is less likely: after other bytes, and without a bit rate.
        """
        following = position + frame.length
        for number in range(8 if frame.free else 2 if position == self.start else 4):
            if following >= self.size:
                return following == self.size or number > 1 or position == self.start
            after = self.frame_at(following)
            if after is None or after.kind != frame.kind:
                return self.tag_length(following) > 0
            following += after.length
        return True

    def first_frame(self) -> tuple[int, Frame] | None:
        start = self.start
        self.file.seek(start)
        head = self.file.read(_SEARCHED)
        where = head.find(b"\xff")
        while where >= 0:
            frame = parse_frame(head[where : where + 4])
            if frame is not None:
                if frame.free and frame.kind[1] == 3 and self.measure_free(start + where, frame):
                    return start + where, self.frame_at(start + where)
                if not frame.free and self.is_followed(start + where, frame):
                    return start + where, frame
            where = head.find(b"\xff", where + 1)
        return None

    def tag_length(self, position: int) -> int:
        """Return the bytes of the tag at `position`, or 0 if there is none.

        The tags are ID3v1, ID3v2, APE, Lyrics3 and MusicMatch.
        """
        self.file.seek(position)
        head = self.file.read(32)
        left = self.size - position
        if head[:4] == b"TAG+" and left >= 227:
            return 227
        if head[:3] == b"TAG" and left >= 128:
            return 128
        if head[:3] == b"ID3" and len(head) >= 10 and max(head[6:10]) < 128:
            length = (head[6] << 21) | (head[7] << 14) | (head[8] << 7) | head[9]
            return min(left, 10 + length + (10 if head[5] & 0x10 else 0))
        if head[:8] == b"APETAGEX" and len(head) == 32:
            length, _, flags = struct.unpack("<III", head[12:24])
            return min(left, 32 if not flags >> 29 & 1 else length + 32)
        if head[:6] == b"LYRICS" or head[:4] == b"3DI\x10":
            return left
        return 0


def walk_mpeg(file: BinaryIO, start: int, size: int, beat: Callable[[], None]) -> Container | None:
    """Read the headers of all frames; return None if the file has no frame.

    A Xing, Info or VBRI index states how many frames were written. If there is no index, a
    truncated last frame is the only sign of an incomplete file. In that case `Container.prefix`
    is an index for the decoder, which would otherwise estimate the length.

    Raises:
        Fault: a frame is truncated or missing, or there are other bytes between frames.
    """
    walk = _Walk(file, start, size)
    found = walk.first_frame()
    if found is None:
        return None
    position, first = found
    indexed = _read_index(file, position, first)
    spans, begin, count, warnings = [], position, 0, []
    while position < size:
        frame = walk.frame_at(position)
        if frame is None or frame.kind != first.kind:
            if position > begin:
                spans.append((begin, position))
            skipped = walk.tag_length(position)
            if not skipped:
                _check_rest(walk, position, first)
                if size - position > position - found[0]:
                    raise Fault(f"damaged: most of it is no MPEG audio, from byte {position} on")
                if not _is_padding(file, position, size):
                    warnings.append(f"{size - position} bytes after its last frame are left out")
                begin = position
                break
            position = begin = position + skipped
            continue
        if position + frame.length > size:
            raise Fault(f"truncated: its last frame is cut, at byte {position}")
        count += 1
        position += frame.length
        if count % 4096 == 0:
            beat()
    if begin < position <= size:
        spans.append((begin, position))
    name = "mp3" if first.kind[1] == 3 else "mp2"
    if indexed is not None and count - 1 < indexed:
        raise Fault(f"truncated: expected {indexed} frames by its index. Received: {count - 1}")
    if indexed is not None and count - 1 <= indexed + 1:
        return Container(
            name,
            indexed * first.samples,
            slack=8 * 1152,
            spans=tuple(spans) if found[0] > start else (),
            warnings=tuple(warnings),
        )
    if indexed is not None:
        warnings.append(f"it has {count - 1} frames, not {indexed} as its index states")
        spans[0] = (spans[0][0] + first.length, spans[0][1])
        count -= 1
    prefix = b""
    if name == "mp3" and not first.free:
        file.seek(found[0])
        length = sum(stop - begin for begin, stop in spans)
        prefix = _write_index(read_exactly(file, 4), count, length)
    slack = (2 + 8 * (len(spans) > 1 or indexed is not None)) * first.samples
    return Container(
        name,
        count * first.samples,
        slack=slack,
        spans=tuple(spans),
        prefix=prefix,
        warnings=tuple(warnings),
    )


def _read_index(file: BinaryIO, position: int, first: Frame) -> int | None:
    """Return the number of frames that the index in the first frame states; None if it has none."""
    if first.kind[1] != 3:
        return None
    file.seek(position)
    body = file.read(max(first.length, 64))
    side = body[first.side : first.side + 12]
    if side[:4] in (b"Xing", b"Info") and len(side) == 12:
        flags, frames = struct.unpack(">II", side[4:])
        return frames if flags & 1 else None
    vbri = body[36:54]
    if vbri[:4] == b"VBRI" and len(vbri) == 18:
        return struct.unpack(">I", vbri[14:18])[0]
    return None


def _write_index(head: bytes, count: int, size: int) -> bytes:
    """Return a first frame with an index, for a decoder that would otherwise estimate the length.

    The frame has the version, sample rate and channels of the stream. Its bit rate is high enough
    to hold the index for all of them.
    """
    head = bytes([head[0], head[1] | 1, (head[2] & 0x0C) | 0x90, head[3]])
    frame = parse_frame(head)
    index = struct.pack(">4sIII", b"Xing", 3, count, frame.length + size)
    return (head + bytes(frame.side - 4) + index).ljust(frame.length, b"\0")


def _check_rest(walk: _Walk, position: int, first: Frame) -> None:
    """Refuse an incomplete frame or tag after the last frame, and more frames after a gap."""
    left = walk.size - position
    walk.file.seek(position)
    rest = walk.file.read(_SEARCHED)
    if left < 128 and (rest[:3] == b"TAG"[: len(rest[:3])] or rest[:1] == b"\xff"):
        raise Fault(f"truncated: {left} bytes at its end are part of a frame or tag")
    where = rest.find(b"\xff")
    while where >= 0:
        frame = walk.frame_at(position + where)
        if frame is not None and frame.kind == first.kind:
            following = walk.frame_at(position + where + frame.length)
            if following is not None and following.kind == first.kind:
                raise Fault(f"damaged: no frame where one should begin, at byte {position}")
        where = rest.find(b"\xff", where + 1)


def _is_padding(file: BinaryIO, position: int, size: int) -> bool:
    file.seek(position)
    return size - position <= 1 << 20 and not any(file.read(size - position))
