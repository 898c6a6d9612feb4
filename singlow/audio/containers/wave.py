"""Wave files: RIFF, RF64 and Sony Wave64, chunk by chunk."""

import dataclasses
import struct
from typing import BinaryIO

from singlow.audio.containers.promise import Fault, Promise, cut, read_exactly

W64_RIFF = bytes.fromhex("726966662e91cf11a5d628db04c10000")
_W64_DATA = bytes.fromhex("64617461f3acd3118cd100c04f8edb8a")
_W64_FMT = bytes.fromhex("666d7420f3acd3118cd100c04f8edb8a")
_UNFINISHED = "unfinished: its header does not say how much audio follows; save it again"
_UNKNOWN_SIZES = (0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF000, 0xFFFFF000, 0x80000000)
_CODECS = {1: "PCM", 3: "float", 6: "A-law", 7: "mu-law", 0xFFFE: "extensible"}


@dataclasses.dataclass
class _Wave:
    """What the chunks of a wave file say."""

    align: int = 0
    data: int | None = None
    end: int = 0


def _read_fmt(wave: _Wave, body: bytes) -> None:
    if len(body) < 16:
        raise Fault("damaged: its fmt chunk is too short")
    tag, channels, rate, byte_rate, align, bits = struct.unpack("<HHIIHH", body[:16])
    if tag not in _CODECS:
        raise Fault(f"not supported: wave codec {tag:#06x}; expected {', '.join(_CODECS.values())}")
    if channels == 0 or rate == 0 or align == 0:
        raise Fault(
            f"absurd header: {channels} channels, {rate} Hz, {align} bytes per frame in its header"
        )
    if byte_rate and byte_rate != rate * align:
        raise Fault(
            f"damaged: its header contradicts itself ({rate} Hz of {align} bytes is "
            f"{rate * align} bytes per second, it says {byte_rate})"
        )
    if bits and align < channels * ((bits + 7) // 8):
        raise Fault(f"damaged: {channels} channels of {bits} bits do not fit {align} bytes")
    wave.align = align


def walk_wav(file: BinaryIO, start: int, size: int) -> Promise:
    """Walk the chunks of a RIFF or RF64 wave file.

    Raises:
        Fault: a chunk is cut, missing, contradicts another or belongs to no list of chunks.
    """
    file.seek(start)
    magic, riff, _ = struct.unpack("<4sI4s", read_exactly(file, 12))
    wave, long_data, position = _Wave(), None, start + 12
    while position + 8 <= size and (wave.data is None or position < start + 8 + riff):
        file.seek(position)
        name, length = struct.unpack("<4sI", read_exactly(file, 8))
        if wave.data is not None and name[:1] == b"\0" and name[1:].isalpha():
            position += 1
            continue
        if name == b"ds64":
            riff, long_data = struct.unpack("<QQ", read_exactly(file, 16))
        if name == b"data" and wave.data is None:
            if magic == b"RF64" and length == 0xFFFFFFFF and long_data is not None:
                length = long_data
            _check_data(wave, length, size - position - 8)
        elif name == b"fmt " and wave.data is None:
            _read_fmt(wave, file.read(min(length, 40)))
        elif wave.data is not None and not all(32 <= byte < 127 for byte in name):
            break
        if position + 8 + length > size:
            raise cut(name.decode("latin-1").strip(), length, size - position - 8)
        position += 8 + length + (length & 1)
        if name == b"data":
            wave.end = position
    if wave.data is None:
        raise Fault("truncated or damaged: it has no data chunk")
    _check_riff_end(file, start + 8 + riff, position, size, wave.end)
    return Promise("rf64" if magic == b"RF64" else "wav", frames=wave.data // wave.align)


def _check_riff_end(file: BinaryIO, declared: int, position: int, size: int, data_end: int) -> None:
    if declared > size and not (declared - size <= 8 and position in (size, size + 1)):
        raise cut("RIFF", declared, size)
    if declared - position >= 8 and size - position >= 8:
        file.seek(position)
        if any(file.read(min(declared, size) - position)):
            raise Fault(
                f"damaged: {min(declared, size) - data_end} bytes after its data belong to no chunk"
            )


def _check_data(wave: _Wave, length: int, available: int) -> None:
    if not wave.align:
        raise Fault("damaged: its data chunk comes before any fmt chunk")
    if (length in _UNKNOWN_SIZES and length > available) or (length == 0 and available > 8):
        raise Fault(_UNFINISHED)
    if length > available:
        raise cut("data", length, available)
    if length % wave.align:
        raise Fault(
            f"damaged: its {length} bytes of audio are no whole number of {wave.align}-byte frames"
        )
    wave.data = length


def walk_w64(file: BinaryIO, start: int, size: int) -> Promise:
    """Walk the chunks of a Sony Wave64 file.

    Raises:
        Fault: a chunk is cut, missing or contradicts another.
    """
    file.seek(start + 16)
    (declared,) = struct.unpack("<Q", read_exactly(file, 8))
    if start + declared > size:
        raise cut("riff", declared, size - start)
    wave, position = _Wave(), start + 40
    while position + 24 <= size:
        file.seek(position)
        name, length = struct.unpack("<16sQ", read_exactly(file, 24))
        if length < 24:
            raise Fault("damaged: a chunk is shorter than its own header")
        if name == _W64_FMT:
            _read_fmt(wave, file.read(min(length - 24, 40)))
        elif name == _W64_DATA and wave.data is None:
            _check_data(wave, length - 24, size - position - 24)
        if position + length > size:
            raise cut("inner", length, size - position)
        position += (length + 7) // 8 * 8
    if wave.data is None:
        raise Fault("truncated or damaged: it has no data chunk")
    return Promise("w64", frames=wave.data // wave.align)
