"""AIFF and AIFF-C files, chunk by chunk."""

import struct
from typing import BinaryIO

from singlow.audio.containers.promise import Fault, Promise, cut, read_exactly

_CODECS = (b"NONE", b"twos", b"sowt", b"in24", b"in32", b"fl32", b"FL32", b"fl64", b"FL64")


def walk_aiff(file: BinaryIO, start: int, size: int) -> Promise:
    """Walk the chunks of an AIFF or AIFF-C file.

    Raises:
        Fault: a chunk is cut, missing or contradicts another.
    """
    file.seek(start + 4)
    declared, kind = struct.unpack(">I4s", read_exactly(file, 8))
    frames = channels = bits = sound = None
    position = start + 12
    while position + 8 <= min(size, start + 8 + declared):
        file.seek(position)
        name, length = struct.unpack(">4sI", read_exactly(file, 8))
        if position + 8 + length > size:
            raise cut(name.decode("latin-1").strip(), length, size - position - 8)
        if name == b"COMM" and length >= 18:
            body = read_exactly(file, min(length, 22))
            channels, frames, bits = struct.unpack(">HIH", body[:8])
            if kind == b"AIFC" and body[18:22] not in _CODECS:
                raise Fault(f"not supported: AIFF-C codec {body[18:22]!r}; expected PCM or float")
        elif name == b"SSND" and length >= 8:
            sound = length - 8 - struct.unpack(">I", read_exactly(file, 4))[0]
        position += 8 + length + (length & 1)
    if start + 8 + declared > size + 1:
        raise cut("FORM", declared, size - start - 8)
    if frames is None or sound is None:
        raise Fault("truncated or damaged: it has no COMM or no SSND chunk")
    if frames * channels * ((bits + 7) // 8) != sound:
        raise Fault(
            f"damaged: {frames} frames of {channels} channels and {bits} bits do not fill "
            f"its {sound} bytes of audio"
        )
    return Promise("aiff", frames=frames)
