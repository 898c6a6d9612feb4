"""Files of big-endian chunks, from Apple and Amiga: AIFF, AIFF-C, 8SVX, 16SV and CAF."""

import struct
from typing import BinaryIO

from singlow.audio.containers.container import (
    UNKNOWN_LENGTH,
    Container,
    Fault,
    read_exactly,
    truncated,
)

_WIDTHS = {  # bytes per sample of AIFF-C codecs; 0 means that the COMM chunk states them
    **dict.fromkeys((b"NONE", b"twos", b"sowt"), 0),
    **dict.fromkeys((b"ulaw", b"alaw", b"ULAW", b"ALAW", b"raw "), 1),
    b"in24": 3,
    b"42ni": 3,
    b"in32": 4,
    b"23ni": 4,
    b"fl32": 4,
    b"FL32": 4,
    b"fl64": 8,
    b"FL64": 8,
}
_UNKNOWN_SIZE = 0x7F000000  # programs that write to a pipe state this size or a larger one
_LONGEST_HEADER = 64 << 20


def walk_aiff(file: BinaryIO, start: int, size: int) -> Container:
    """Read the chunks of an AIFF or AIFF-C file.

    Raises:
        Fault: samples are missing, or the header has no usable format.
    """
    file.seek(start + 8)
    kind = read_exactly(file, 4)
    common = sound = None
    position, warnings = start + 12, ()
    while position + 8 <= size:
        file.seek(position)
        name, length = struct.unpack(">4sI", read_exactly(file, 8))
        end = position + 8 + length
        if name == b"SSND" and sound is None:
            begin = position + 16 + struct.unpack(">I4x", read_exactly(file, 8))[0]
            sound = end - begin
            empty = sound <= 0 and size - begin > 8 and (common is None or common[1] <= 1)
            if empty or (length >= _UNKNOWN_SIZE and end > size):
                sound, end, warnings = size - begin, size, (UNKNOWN_LENGTH,)
        elif name == b"COMM" and length >= 18:
            body = read_exactly(file, min(length, 22))
            codec = body[18:22] if kind == b"AIFC" and len(body) >= 22 else b"NONE"
            common = (*struct.unpack(">HIH", body[:8]), codec)
        elif sound is not None and end > size:
            warnings = (*warnings, "bytes after its audio belong to no whole chunk")
            break
        if end > size:
            raise truncated(name.decode("latin-1").strip(), length, size - position - 8)
        position = end + (length & 1)
    if common is None or sound is None:
        raise Fault("truncated or damaged: it has no COMM or no SSND chunk")
    channels, frames, bits, codec = common
    if codec not in _WIDTHS or channels == 0:
        return Container("aiff", warnings=warnings)  # frames of compressed audio vary in size
    width = channels * (_WIDTHS[codec] or (bits + 7) // 8)
    if width == 0:
        raise Fault(f"absurd header: {channels} channels of {bits} bits in its header")
    if sound < frames * width:
        raise Fault(
            f"truncated: expected {frames * width} bytes of audio by its COMM chunk. Received: "
            f"{sound}"
        )
    if sound - frames * width > 1 and not warnings:
        warnings = (f"its COMM chunk states {frames} samples, its SSND chunk {sound // width}",)
    return Container("aiff", sound // width, warnings=warnings)


def walk_svx(file: BinaryIO, start: int, size: int) -> Container:
    """Read the chunks of an Amiga 8SVX or 16SV file.

    Raises:
        Fault: the BODY chunk is missing or truncated.
    """
    position = start + 12
    while position + 8 <= size:
        file.seek(position)
        name, length = struct.unpack(">4sI", read_exactly(file, 8))
        if position + 8 + length > size:
            raise truncated(name.decode("latin-1").strip(), length, size - position - 8)
        if name == b"BODY":
            return Container("svx")
        position += 8 + length + (length & 1)
    raise Fault("truncated or damaged: it has no BODY chunk")


def walk_caf(file: BinaryIO, start: int, size: int) -> Container:
    """Read the chunks of a Core Audio file.

    Raises:
        Fault: samples are missing, or the header has no usable format.
    """
    description = packets = data = None
    position, warnings = start + 8, ()
    while position + 12 <= size:
        file.seek(position)
        name, length = struct.unpack(">4sq", read_exactly(file, 12))
        begin = position + 12
        if name == b"data":
            if length == -1:
                length, warnings = size - begin, (UNKNOWN_LENGTH,)
            data = (begin, begin + length)
        if length < 0 or begin + length > size:
            if data is not None and name != b"data":
                warnings = (*warnings, "bytes after its audio belong to no whole chunk")
                break
            raise truncated(name.decode("latin-1").strip(), length, size - begin)
        if name == b"desc" and length >= 32:
            description = struct.unpack(">d4sIIIII", read_exactly(file, 32))
        elif name == b"pakt" and length >= 24:
            packets = struct.unpack(">qqii", read_exactly(file, 24))
        position = begin + length
    if description is None or data is None:
        raise Fault("truncated or damaged: it has no desc or no data chunk")
    begin, stop = data
    packet_bytes, packet_frames = description[3:5]
    frames = packets[1] if packets else None
    if frames is None and packet_bytes:
        extra = (stop - begin - 4) % packet_bytes
        if extra:
            warnings = (*warnings, f"its audio does not end with a whole packet of {packet_bytes}")
        frames, stop = (stop - begin - 4) // packet_bytes * packet_frames, stop - extra
    if not warnings or begin - start > _LONGEST_HEADER:
        return Container("caf", frames, slack=4096 if packets else 0, warnings=warnings)
    file.seek(start)
    header = bytearray(read_exactly(file, begin - start))
    struct.pack_into(">q", header, len(header) - 8, stop - begin)
    return Container("caf", frames, spans=((begin, stop),), prefix=bytes(header), warnings=warnings)
