"""What an audio container states about its audio, and the error for a file that is refused."""

import dataclasses
from typing import BinaryIO

UNKNOWN_LENGTH = "its header does not state how much audio follows; read to the end of the file"


class Fault(ValueError):
    """A file is refused; the message is the reason."""


@dataclasses.dataclass(frozen=True)
class Container:
    """What a container states about its audio.

    Attributes:
        name: a key of `singlow.audio.containers.CONTAINERS`.
        frames: samples per channel; None if the container does not state them.
        slack: the largest difference between `frames` and what a correct decoder returns.
        ends_exactly: whether decoding stops after `frames` even if more bytes follow.
        checksum: MD5 of the decoded samples (FLAC); None if it is missing.
        bits: bits per sample for the checksum.
        spans: the byte ranges `[start, stop)` of the file to decode; empty to decode the whole
            file.
        prefix: bytes to decode before the spans, in place of a header that would mislead a decoder.
        warnings: defects of the file that lose no sample, one line each.
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
        Fault: the file has fewer than `count` bytes left.
    """
    body = file.read(count)
    if len(body) < count:
        raise Fault("truncated: it ends inside a header")
    return body


def truncated(chunk: str, expected: int, received: int) -> Fault:
    """Return the fault for a chunk that is longer than the rest of the file."""
    return Fault(f"truncated: expected {expected} bytes in its {chunk} chunk. Received: {received}")


def is_chunk_name(name: bytes) -> bool:
    """Return whether `name` can name a chunk: four bytes of printable ASCII."""
    return len(name) == 4 and all(32 <= byte < 127 for byte in name)
