"""FLAC files: the metadata blocks before the audio, and what the first of them promises."""

from typing import BinaryIO

from singlow.audio.containers.promise import Fault, Promise, cut, read_exactly


def walk_flac(file: BinaryIO, start: int, size: int) -> Promise:
    """Walk the metadata blocks of a FLAC file.

    Raises:
        Fault: a block is cut, missing, of no known kind, or states neither length nor checksum.
    """
    position, last, promise = start + 4, False, None
    while not last:
        file.seek(position)
        head = read_exactly(file, 4)
        last, kind, length = (
            bool(head[0] & 0x80),
            head[0] & 0x7F,
            int.from_bytes(head[1:], "big"),
        )
        if kind == 127:
            raise Fault("damaged: a metadata block is of no known kind")
        if position + 4 + length > size:
            raise cut("metadata", length, size - position - 4)
        if kind == 0 and promise is None:
            if length != 34:
                raise Fault("damaged: its stream description has a wrong length")
            promise = _read_streaminfo(read_exactly(file, 34))
        position += 4 + length
    if promise is None:
        raise Fault("damaged: it has no stream description")
    if promise.frames is None and promise.checksum is None:
        raise Fault("unfinished: its header does not say how much audio follows; save it again")
    return promise


def _read_streaminfo(body: bytes) -> Promise:
    packed = int.from_bytes(body[10:18], "big")
    bits, frames = ((packed >> 36) & 0x1F) + 1, packed & 0xFFFFFFFFF
    return Promise(
        "flac",
        frames=frames or None,
        checksum=body[18:34] if any(body[18:34]) else None,
        bits=bits,
        channels=((packed >> 41) & 0x7) + 1,
    )
