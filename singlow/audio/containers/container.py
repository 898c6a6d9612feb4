"""What an audio container states about its audio, and the reason for which a file is refused."""

import dataclasses
from typing import BinaryIO

UNKNOWN_LENGTH = "its header does not state how much audio follows; read to the end of the file"


class Fault(ValueError):
    """The reason for which a file is refused."""


@dataclasses.dataclass(frozen=True)
class Container:
    """What a container states about its audio.

    Attributes:
        name: one of `singlow.audio.containers.CONTAINERS`.
        frames: samples per channel; None where the container does not state them.
        slack: the largest difference between `frames` and what a correct decoder returns.
        ends_exactly: whether to stop decoding after `frames`, whatever follows.
        checksum: MD5 of the decoded samples (FLAC); None where it is missing.
        bits: bits per sample under that checksum.
        spans: the stretches of bytes `[start, stop)` of the file to decode; none for the file as
            it is.
        prefix: bytes to decode before the spans, in place of a header that would mislead a decoder.
        warnings: what is odd about the file, though no sample is missing.
    """

    name: str
    frames: int | None = None
    slack: int = 0
    ends_exactly: bool = False
    checksum: bytes | None = None
    bits: int = 0
    spans: tuple[tuple[int, int], ...] = ()
    prefix: bytes = b""
    warnings: tuple[str, ...] = ()


def read_exactly(file: BinaryIO, count: int) -> bytes:
    """Read `count` bytes.

    Raises:
        Fault: the file ends before that.
    """
    body = file.read(count)
    if len(body) < count:
        raise Fault("truncated: it ends inside a header")
    return body


def truncated(chunk: str, expected: int, received: int) -> Fault:
    """Return the fault of a chunk that is longer than what is left of the file."""
    return Fault(f"truncated: expected {expected} bytes in its {chunk} chunk. Received: {received}")


def is_chunk_name(name: bytes) -> bool:
    """Return whether four bytes can be the name of a chunk: printable ASCII."""
    return len(name) == 4 and all(32 <= byte < 127 for byte in name)
