"""The promise an audio container makes, and the fault it is refused for."""

import dataclasses
from typing import BinaryIO


class Fault(ValueError):
    """Why a file is refused, in words."""


@dataclasses.dataclass(frozen=True)
class Promise:
    """What a container states about its audio.

    Attributes:
        container: one of `singlow.audio.containers.CONTAINERS`.
        frames: samples per channel; None where the container does not say.
        slack: by how many frames a faithful decoder may differ from `frames`.
        checksum: MD5 of the decoded samples (flac), None where it was not written.
        bits: bits per sample under that checksum.
        channels: channels the container states, 0 where only the decoder knows.
        span: the bytes `[start, stop)` to feed a decoder that would guess the length, else None.
        prefix: what to feed it before them.
    """

    container: str
    frames: int | None = None
    slack: int = 0
    checksum: bytes | None = None
    bits: int = 0
    channels: int = 0
    span: tuple[int, int] | None = None
    prefix: bytes = b""


def read_exactly(file: BinaryIO, count: int) -> bytes:
    """Read `count` bytes.

    Raises:
        Fault: the file ends before them.
    """
    body = file.read(count)
    if len(body) < count:
        raise Fault("truncated: it ends inside a header")
    return body


def cut(chunk: str, promised: int, came: int) -> Fault:
    """The fault of a chunk that ends before its promise."""
    return Fault(f"truncated: its {chunk} chunk promises {promised} bytes and {came} came")
