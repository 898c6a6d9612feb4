"""FLAC files: their metadata blocks, and the last frame of a stream whose length is not stated."""

from typing import BinaryIO

from singlow.audio.containers.container import (
    UNKNOWN_LENGTH,
    Container,
    Fault,
    read_exactly,
    truncated,
)

_LONGEST_FRAME = 1 << 22
_LONGEST_HEADER = 64 << 20
_CANDIDATES = 4  # frame headers to try: in rare cases their bytes also occur inside a frame
_BLOCK_SIZES = {
    1: 192,
    **{n: 576 << (n - 2) for n in range(2, 6)},
    **{n: 1 << n for n in range(8, 16)},
}

_SAMPLE_BITS = {1: 8, 2: 12, 4: 16, 5: 20, 6: 24, 7: 32}


def _crc_table(polynomial: int, bits: int) -> tuple[int, ...]:
    table = []
    for byte in range(256):
        value = byte << (bits - 8)
        for _ in range(8):
            value = (value << 1) ^ (polynomial if value >> (bits - 1) else 0)
            value &= (1 << bits) - 1
        table.append(value)
    return tuple(table)


_CRC8, _CRC16 = _crc_table(0x07, 8), _crc_table(0x8005, 16)


def walk_flac(file: BinaryIO, start: int, size: int) -> Container:
    """Read the metadata blocks of a FLAC file.

    A stream that was written to a pipe states neither its length nor a checksum. In that case the
    length is computed from the number of its last frame, and `Container.prefix` is a header that
    states the length.

    Raises:
        Fault: a block is truncated, missing or of an unknown kind, or the last frame is truncated.
    """
    position, last, info = start + 4, False, None
    while not last:
        file.seek(position)
        head = read_exactly(file, 4)
        last, kind, length = bool(head[0] & 0x80), head[0] & 0x7F, int.from_bytes(head[1:], "big")
        if kind == 127:
            raise Fault("damaged: a metadata block is of no known kind")
        if position + 4 + length > size:
            raise truncated("metadata", length, size - position - 4)
        if kind == 0 and info is None:
            if length != 34:
                raise Fault("damaged: its stream description has a wrong length")
            info, where = read_exactly(file, 34), position + 4
        position += 4 + length
    if info is None:
        raise Fault("damaged: it has no stream description")
    _, bits, frames, checksum = read_description(info)
    if _contains(file, b"fLaC\0\0\0\x22", position):
        raise Fault("not supported: several FLAC files joined into one; split them")
    if frames:
        return Container("flac", frames, ends_exactly=True, checksum=checksum, bits=bits)
    frames, stop = _measure(file, position, size, info)
    if position - start > _LONGEST_HEADER:
        raise Fault("absurd header: its metadata are longer than 64 MiB")
    file.seek(start)
    header = read_exactly(file, position - start)
    header = with_frames(header, where - start, frames)
    warnings = () if checksum else (UNKNOWN_LENGTH,)
    return Container(
        "flac",
        frames,
        ends_exactly=True,
        checksum=checksum,
        bits=bits,
        spans=((position, stop),),
        prefix=header,
        warnings=warnings,
    )


def _contains(file: BinaryIO, magic: bytes, position: int) -> bool:
    """Return whether `magic` occurs in a file at or after a position."""
    file.seek(position)
    tail = b""
    while block := file.read(1 << 20):
        if magic in tail + block:
            return True
        tail = block[1 - len(magic) :]
    return False


def read_description(info: bytes) -> tuple[int, int, int, bytes | None]:
    """Read a STREAMINFO block.

    Args:
        info: the 34 bytes of the block.

    Returns:
        The number of channels, the bits per sample, the samples per channel (0 if unknown) and the
        MD5 checksum (None if unknown).

    Raises:
        Fault: the block is shorter than 34 bytes.
    """
    if len(info) < 34:
        raise Fault("damaged: its stream description is too short")
    packed = int.from_bytes(info[10:18], "big")
    channels, bits = ((packed >> 41) & 0x7) + 1, ((packed >> 36) & 0x1F) + 1
    return channels, bits, packed & 0xFFFFFFFFF, info[18:34] if any(info[18:34]) else None


def with_frames(header: bytes, place: int, frames: int) -> bytes:
    """Return a copy of the header of a FLAC file that states the samples per channel.

    Args:
        header: the header, which states no length.
        place: where its STREAMINFO block begins.
        frames: samples per channel.
    """
    place += 10
    stated = int.from_bytes(header[place : place + 8], "big") | frames
    return header[:place] + stated.to_bytes(8, "big") + header[place + 8 :]


def _measure(file: BinaryIO, begin: int, size: int, info: bytes) -> tuple[int, int]:
    """Return the samples per channel of a stream, and where its last frame ends.

    Args:
        file: the file.
        begin: where the first frame begins.
        size: bytes of the file.
        info: the STREAMINFO block.

    Raises:
        Fault: the stream does not end with a whole frame, or the format of that frame differs from
            the description.
    """
    block_size = int.from_bytes(info[2:4], "big")
    file.seek(begin)
    first = _parse_header(file.read(32), block_size)
    if first is None:
        raise Fault("damaged: no frame follows its header")
    file.seek(max(begin, size - _LONGEST_FRAME))
    offset, tail = file.tell(), file.read()
    if tail[-128:-125] == b"TAG":
        tail = tail[:-128]
    place, candidates = len(tail), 0
    while candidates < _CANDIDATES and (place := tail.rfind(b"\xff", 0, place)) >= 0:
        header = _parse_header(tail[place : place + 32], block_size)
        if header is None:
            continue
        candidates += 1
        if _crc(_CRC16, 16, tail[place:]) == 0:
            _check_format(tail[place + 3], info)
            frames = header[0] + header[1] - first[0]
            if not 0 < frames < 1 << 36:
                raise Fault("damaged: its frames are not in order")
            return frames, offset + len(tail)
    raise Fault("truncated: its last frame is cut or damaged")


def _check_format(code: int, info: bytes) -> None:
    """Refuse a frame whose channels or bits differ from those of the stream description."""
    channels = 2 if code >> 4 > 7 else (code >> 4) + 1
    bits = _SAMPLE_BITS.get(code >> 1 & 7)
    stated = read_description(info)[:2]
    if (channels, bits or stated[1]) != stated:
        raise Fault(
            f"damaged: expected {stated[0]} channels of {stated[1]} bits by its header. Received: "
            f"{channels} channels of {bits} bits in its last frame"
        )


def _parse_header(head: bytes, block_size: int) -> tuple[int, int] | None:
    """Return a frame's first sample and its length in samples; None if `head` is not a header."""
    if len(head) < 6 or head[0] != 0xFF or head[1] & 0xFE != 0xF8:
        return None
    code, rate_code = head[2] >> 4, head[2] & 15
    if code == 0 or rate_code == 15 or head[3] >> 4 > 10 or head[3] & 1:
        return None
    ones = 8 - (~head[4] & 0xFF).bit_length()
    extra = max(0, ones - 1)
    if ones == 1 or ones > 7:
        return None
    number = head[4] & (0x7F >> ones)
    position = 5
    for byte in head[position : position + extra]:
        if byte & 0xC0 != 0x80:
            return None
        number = number << 6 | byte & 0x3F
    position += extra
    if code in (6, 7):
        width = code - 5
        length = int.from_bytes(head[position : position + width], "big") + 1
        position += width
    else:
        length = _BLOCK_SIZES[code]
    position += {12: 1, 13: 2, 14: 2}.get(rate_code, 0)
    if len(head) <= position or _crc(_CRC8, 8, head[:position]) != head[position]:
        return None
    return (number if head[1] & 1 else number * block_size), length


def _crc(table: tuple[int, ...], bits: int, body: bytes) -> int:
    """Return the checksum of `body`, which is 0 if `body` ends with its own checksum."""
    value, mask = 0, (1 << bits) - 1
    for byte in body:
        value = (value << 8) & mask ^ table[value >> (bits - 8) ^ byte]
    return value
