"""Wave files: RIFF, RIFX, RF64, BW64 and Sony Wave64, read chunk by chunk."""

import dataclasses
import struct
from typing import BinaryIO

from singlow.audio.containers.container import (
    UNKNOWN_LENGTH,
    Container,
    Fault,
    is_chunk_name,
    read_exactly,
    truncated,
)

RIFF_NAMES = (b"RIFF", b"RIFX", b"RF64", b"BW64")
W64_RIFF = bytes.fromhex("726966662e91cf11a5d628db04c10000")
_W64_DATA = bytes.fromhex("64617461f3acd3118cd100c04f8edb8a")
_W64_FMT = bytes.fromhex("666d7420f3acd3118cd100c04f8edb8a")
_LONGEST_HEADER = 64 << 20
_SAMPLE_CODECS = (1, 3, 6, 7)  # PCM, float, A-law, mu-law: all frames have the same size
_EXTENSIBLE = 0xFFFE
_KNOWN_CHUNKS = (b"LIST", b"JUNK", b"PAD ", b"ID3 ", b"id3 ", b"bext", b"iXML", b"cue ", b"smpl")
_UNKNOWN_SIZES = (0, 0x7FFFF000, 0x7FFFFFFF, 0x80000000, 0xFFFFF000, 0xFFFFFFFF)
# Some programs subtract the size of their header from the placeholder for an unknown size.
_LARGEST_HEADER_IN_SIZE = 128


@dataclasses.dataclass
class _Format:
    """The fmt chunk.

    Attributes:
        align: bytes of a frame, or of a block of a compressed codec.
        constant: whether every frame has `align` bytes.
        block_frames: samples per channel of a block of a compressed codec.
    """

    align: int
    constant: bool
    block_frames: int = 0


def walk_wav(file: BinaryIO, start: int, size: int) -> Container:
    """Read the chunks of a RIFF, RIFX, RF64 or BW64 wave file.

    Raises:
        Fault: samples are missing, or the header has no usable format.
    """
    file.seek(start)
    magic, riff = read_exactly(file, 4), read_exactly(file, 4)
    order = ">" if magic == b"RIFX" else "<"
    riff = struct.unpack(f"{order}I", riff)[0]
    form = fact = long_sizes = None
    position = start + 12
    while True:
        if position + 8 > size:
            raise Fault("truncated or damaged: it has no data chunk")
        file.seek(position)
        name, length = struct.unpack(f"{order}4sI", read_exactly(file, 8))
        if name == b"data":
            break
        if position + 8 + length > size:
            raise truncated(name.decode("latin-1").strip(), length, size - position - 8)
        if name == b"ds64":
            riff, *long_sizes = struct.unpack("<QQ", read_exactly(file, 16))
        elif name == b"fmt ":
            form = _read_format(read_exactly(file, min(length, 40)), order)
        elif name == b"fact" and length >= 4:
            fact = struct.unpack(f"{order}I", read_exactly(file, 4))[0]
        position += 8 + length + (length & 1)
    if form is None:
        raise Fault("damaged: its data chunk comes before any fmt chunk")
    begin = position + 8
    if magic in (b"RF64", b"BW64") and long_sizes and length == 0xFFFFFFFF:
        length = long_sizes[0] if long_sizes[0] < 1 << 63 else 0xFFFFFFFF
    unknown = _is_unknown(file, order, begin, length, size)
    end = begin + (size - begin if unknown else length)
    stop, warnings = _end_of_audio(form, begin, end, size, unknown)
    if not unknown and end < size:
        declared = None if riff in (0, 0xFFFFFFFF) else start + 8 + riff
        warnings += _check_rest(file, order, end, size, declared)
    frames = _count(form, fact, stop - begin)
    container = Container(
        "rf64" if magic in (b"RF64", b"BW64") else "wav",
        frames,
        ends_exactly=frames is not None and not form.constant,
        warnings=warnings,
    )
    if (not warnings and magic != b"BW64") or begin - start > _LONGEST_HEADER:
        return container
    file.seek(start)
    prefix = _with_sizes(read_exactly(file, begin - start), order, stop - begin)
    return dataclasses.replace(container, spans=((begin, stop),), prefix=prefix)


def _with_sizes(header: bytes, order: str, length: int) -> bytes:
    """Return the header of a wave file, up to its samples, with corrected sizes."""
    unknown, where = b"\xff" * 4, header.find(b"ds64")
    if header[:4] in (b"RF64", b"BW64") and where > 0:
        sizes = struct.pack("<QQ", len(header) - 8 + length, length)
        return b"RF64" + header[4 : where + 8] + sizes + header[where + 24 : -4] + unknown
    if len(header) + length < 1 << 32:
        riff = struct.pack(f"{order}I", len(header) - 8 + length)
        return header[:4] + riff + header[8:-4] + struct.pack(f"{order}I", length)
    sizes = struct.pack("<IQQQI", 28, len(header) + 28 + length, length, 0, 0)
    return b"RF64" + unknown + b"WAVEds64" + sizes + header[12:-4] + unknown


def _read_format(body: bytes, order: str = "<") -> _Format:
    if len(body) < 16:
        raise Fault("damaged: its fmt chunk is too short")
    codec, channels, rate, byte_rate, align, bits = struct.unpack(f"{order}HHIIHH", body[:16])
    if codec == _EXTENSIBLE and len(body) >= 26:
        codec = struct.unpack(f"{order}H", body[24:26])[0]
    width = channels * ((bits + 7) // 8)
    if codec in _SAMPLE_CODECS and align != width and (align == 0 or byte_rate == rate * width):
        align = width  # the other fields confirm the width, and decoders do not need `align`
    if channels == 0 or rate == 0 or align == 0:
        raise Fault(
            f"absurd header: {channels} channels, {rate} Hz, {align} bytes per frame in its header"
        )
    if codec not in _SAMPLE_CODECS:
        frames = struct.unpack(f"{order}H", body[18:20])[0] if len(body) >= 20 else 0
        return _Format(align, False, frames)
    if align < width:
        raise Fault(f"damaged: {channels} channels of {bits} bits do not fit {align} bytes")
    return _Format(align, True)


def _is_unknown(file: BinaryIO, order: str, begin: int, length: int, size: int) -> bool:
    """Return whether the size of a data chunk is a placeholder, as programs write it to a pipe."""
    if length == 0:
        return size - begin > 8 and not _is_chunk(file, order, begin, size)
    if length == 0xFFFFFFFF:
        return True
    return length > size - begin and any(
        0 <= unknown - length <= _LARGEST_HEADER_IN_SIZE for unknown in _UNKNOWN_SIZES
    )


def _is_chunk(file: BinaryIO, order: str, position: int, size: int) -> bool:
    file.seek(position)
    head = file.read(8)
    if len(head) < 8 or not is_chunk_name(head[:4]):
        return False
    return position + 8 + struct.unpack(f"{order}I", head[4:])[0] <= size + 1


def _end_of_audio(
    form: _Format, begin: int, end: int, size: int, unknown: bool
) -> tuple[int, tuple[str, ...]]:
    """Return where the last whole frame ends, and warnings about the end of the data chunk."""
    warnings = (UNKNOWN_LENGTH,) if unknown else ()
    came = min(end, size) - begin
    if end > size and ((end - begin) // form.align != came // form.align or not form.constant):
        raise truncated("data", end - begin, came)
    extra = came % form.align if form.constant else 0
    if end > size or extra:
        warnings += (f"its data chunk does not end with a whole frame of {form.align} bytes",)
    return begin + came - extra, warnings


def _check_rest(
    file: BinaryIO, order: str, end: int, size: int, declared: int | None
) -> tuple[str, ...]:
    """Check what follows the data chunk.

    Args:
        file: the file.
        order: byte order, "<" or ">".
        end: where the data chunk ends.
        size: bytes of the file.
        declared: where the RIFF chunk ends according to its size; None if that is unknown.

    Returns:
        Warnings, one line each.

    Raises:
        Fault: bytes inside the RIFF chunk belong to no chunk, so the data chunk's size is wrong.
    """
    position, last = end, size if declared is None else min(size, declared)
    while position < last:
        file.seek(position)
        head = file.read(9)
        if not is_chunk_name(head[:4]) and is_chunk_name(head[1:5]):
            position, head = position + 1, head[1:]  # the pad byte of a chunk of odd length
        name, length = head[:4], int.from_bytes(head[4:8], "little" if order == "<" else "big")
        if len(head) < 8 or not is_chunk_name(name):
            break
        if position + 8 + length > size:
            if name in _KNOWN_CHUNKS or declared in (position + 8 + length, position + 9 + length):
                name = name.decode("latin-1").strip()
                return (f"its {name} chunk after the audio is cut; the audio is complete",)
            break
        position += 8 + length
    file.seek(position)
    if declared is not None and last - position >= 8 and any(file.read(last - position)):
        raise Fault(f"damaged: {last - position} bytes after its data belong to no chunk")
    file.seek(position)
    if position < size and (size - position > 1 or any(file.read(1))):
        return (f"{size - position} bytes after its audio belong to no chunk",)
    return ()


def _count(form: _Format, fact: int | None, length: int) -> int | None:
    """Return the samples per channel; None if a compressed codec does not state them plausibly."""
    if form.constant:
        return length // form.align
    blocks = -(-length // form.align)
    if not fact or not (blocks - 2) * form.block_frames < fact <= blocks * form.block_frames:
        return None
    return fact


def walk_w64(file: BinaryIO, start: int, size: int) -> Container:
    """Read the chunks of a Sony Wave64 file.

    Raises:
        Fault: samples are missing, or the header has no usable format.
    """
    form, position = None, start + 40
    while True:
        if position + 24 > size:
            raise Fault("truncated or damaged: it has no data chunk")
        file.seek(position)
        name, length = struct.unpack("<16sQ", read_exactly(file, 24))
        if name == _W64_DATA:
            break
        if length < 24:
            raise Fault("damaged: a chunk is shorter than its own header")
        if position + length > size:
            raise truncated("inner", length, size - position)
        if name == _W64_FMT:
            form = _read_format(read_exactly(file, min(length - 24, 40)))
        position += (length + 7) // 8 * 8
    if form is None:
        raise Fault("damaged: its data chunk comes before any fmt chunk")
    begin = position + 24
    unknown = length >= 1 << 62 or (length in (0, 24) and size - begin > 24)
    if not unknown and length < 24:
        raise Fault("damaged: a chunk is shorter than its own header")
    end = size if unknown else position + length
    stop, warnings = _end_of_audio(form, begin, end, size, unknown)
    frames = _count(form, None, stop - begin)
    if not warnings:
        return Container("w64", frames)
    file.seek(start)
    header = bytearray(read_exactly(file, begin - start))
    struct.pack_into("<Q", header, 16, len(header) + stop - begin)
    struct.pack_into("<Q", header, len(header) - 8, 24 + stop - begin)
    return Container("w64", frames, spans=((begin, stop),), prefix=bytes(header), warnings=warnings)
