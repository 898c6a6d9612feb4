"""TFRecord files in plain Python: no TensorFlow is imported.

A record is `length (uint64) | masked CRC32C of length | payload | masked CRC32C of payload`, little
endian; a payload here is a serialized `tf.train.Example`. Each is found by its offset, so damage is
told by shard, record and byte, and what lies behind it is found again.

References: tensorflow.org, "TFRecord and tf.train.Example"; RFC 3720 appendix B.4 (CRC32C).
"""

import dataclasses
import functools
import os
import shlex
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

import google_crc32c
import numpy as np

from singlow.data.store.example import read_example
from singlow.errors import DataError
from singlow.files import whole

HEADER, FOOTER = 12, 4
_BLOCK = 1 << 16


def masked_crc(data: bytes) -> int:
    """The CRC32C of `data`, rotated by 15 bits and shifted by a constant, as TFRecord stores it."""
    crc = google_crc32c.value(data)
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def frame(payload: bytes) -> bytes:
    """A payload as a record."""
    length = struct.pack("<Q", len(payload))
    return b"".join(
        (
            length,
            struct.pack("<I", masked_crc(length)),
            payload,
            struct.pack("<I", masked_crc(payload)),
        )
    )


def write_shard(path: str | os.PathLike, payloads: Iterable[bytes]) -> list[int]:
    """Write a shard whole or not at all.

    Returns:
        The byte at which each record begins.
    """
    path, offsets = Path(path), []
    with whole(path) as file:
        for payload in payloads:
            offsets.append(file.tell())
            file.write(frame(payload))
    return offsets


@dataclasses.dataclass(frozen=True)
class Record:
    """Where an intact record lies: `payload` bytes `[start, start + length)` of its shard."""

    start: int
    length: int

    @property
    def offset(self) -> int:
        """The byte at which the record begins."""
        return self.start - HEADER


@dataclasses.dataclass(frozen=True)
class Damage:
    """A stretch of a shard that holds no intact record.

    Attributes:
        shard: its file.
        record: its number in the shard, from 0.
        offset: byte at which the damage begins.
        size: bytes until the next intact record or the end.
        reason: in words.
    """

    shard: Path
    record: int
    offset: int
    size: int
    reason: str

    def __str__(self) -> str:
        return f"{self.shard}: record {self.record}, at byte {self.offset}: {self.reason}"


def check_record(data: bytes | np.ndarray, offset: int) -> tuple[Record | None, str]:
    """The record at `offset` of a shard's bytes; None, with the reason, if it is not intact."""
    head = bytes(data[offset : offset + HEADER])
    if len(head) < HEADER:
        return None, f"cut: {len(head)} of its {HEADER} header bytes came"
    length, crc = struct.unpack("<QI", head)
    if masked_crc(head[:8]) != crc:
        return None, "the checksum of its length does not fit"
    start, stop = offset + HEADER, offset + HEADER + length
    if stop + FOOTER > len(data):
        return None, f"cut: {len(data) - start} of its {length + FOOTER} bytes came"
    if masked_crc(bytes(data[start:stop])) != struct.unpack("<I", bytes(data[stop : stop + 4]))[0]:
        return None, "the checksum of its bytes does not fit"
    return Record(start, length), ""


def index_shard(path: str | os.PathLike) -> tuple[list[Record], list[Damage]]:
    """Find every intact record of a shard, also those behind damage.

    After a damaged payload the next record begins where its length says, if one does; after a
    damaged length every byte is tried.
    """
    path, records, damages = Path(path), [], []
    data = map_shard(path)
    offset = 0
    while offset < len(data):
        record, reason = check_record(data, offset)
        if record is None:
            following = _resynchronise(data, offset)
            damages.append(
                Damage(path, len(records) + len(damages), offset, following - offset, reason)
            )
            offset = following
        else:
            records.append(record)
            offset = record.start + record.length + FOOTER
    return records, damages


def map_shard(path: Path) -> np.ndarray:
    """The bytes of a shard, read when they are looked at."""
    if path.stat().st_size == 0:
        return np.zeros(0, np.uint8)
    return np.memmap(path, np.uint8, mode="r")


def _resynchronise(data: np.ndarray, offset: int) -> int:
    """The byte behind `offset` at which the next intact record begins, or the end."""
    head = bytes(data[offset : offset + HEADER])
    if len(head) == HEADER and masked_crc(head[:8]) == struct.unpack("<I", head[8:])[0]:
        following = offset + HEADER + struct.unpack("<Q", head[:8])[0] + FOOTER
        if following == len(data) or check_record(data, following)[0]:
            return following
    limit = len(data) - HEADER - FOOTER
    for block in range(offset + 1, limit + 1, _BLOCK):
        chunk = np.asarray(data[block : min(block + _BLOCK, limit + 1) + HEADER - 1])
        for candidate in _headers(chunk):
            if check_record(data, block + int(candidate))[0]:
                return block + int(candidate)
    return len(data)


def _headers(chunk: np.ndarray) -> np.ndarray:
    """Where a length that is not 0, with its checksum, begins in some bytes."""
    places = np.lib.stride_tricks.sliding_window_view(chunk, HEADER)
    # A length that fits a file has zeros in its upper bytes: few places are left.
    likely = np.flatnonzero((places[:, 5:8] == 0).all(1) & (places[:, :5] != 0).any(1))
    lengths, checksums = places[likely, :8], places[likely, 8:]
    crc = np.bitwise_xor.reduce(_crc_of_bytes()[np.arange(8), lengths], axis=1)
    crc = crc ^ np.uint32(google_crc32c.value(bytes(8)))
    masked = ((crc >> np.uint32(15)) | (crc << np.uint32(17))) + np.uint32(0xA282EAD8)
    return likely[masked == np.ascontiguousarray(checksums).view("<u4")[:, 0]]


@functools.cache
def _crc_of_bytes() -> np.ndarray:
    """What a byte at each of 8 places adds (by XOR) to the CRC32C of eight zeros: `(8, 256)`."""
    zeros = google_crc32c.value(bytes(8))
    values = [
        [
            google_crc32c.value(bytes(place) + bytes([byte]) + bytes(7 - place))
            for byte in range(256)
        ]
        for place in range(8)
    ]
    return np.array(values, np.uint32) ^ np.uint32(zeros)


def read_shard(path: str | os.PathLike) -> Iterator[dict[str, bytes | int | float]]:
    """The Examples of a shard in order.

    Raises:
        DataError: at the first damage, named by shard, record and byte.
    """
    records, damages = index_shard(path)
    data = map_shard(Path(path))
    for number, record in enumerate(records):
        if damages and damages[0].record == number:
            break
        yield read_example(data[record.start : record.start + record.length].tobytes())
    if damages:
        folder = shlex.quote(str(Path(path).parent))
        raise DataError(f"{damages[0]}. Run: python3 data_loader.py --recover {folder}")
