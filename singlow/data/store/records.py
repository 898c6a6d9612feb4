"""Read and write TFRecord files and the Examples in them, without importing TensorFlow.

A record is `length (uint64) | masked CRC32C of length | payload | masked CRC32C of payload`, little
endian. The payload is a serialized `tf.train.Example`. Every record is found by its offset. Reports
of damage therefore name the shard, the record and the byte, and the records after the damage are
still found.

References:
    tensorflow.org, "TFRecord and tf.train.Example".
    RFC 3720, appendix B.4 (CRC32C).
"""

import dataclasses
import functools
import os
import shlex
import struct
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np

from singlow.errors import DataError
from singlow.files import atomic_write

PREPARE = "python3 -m singlow prepare"
HEADER, FOOTER = 12, 4
Features = Mapping[str, bytes | str | int]
_BLOCKS = (1 << 8, 1 << 16)  # first and largest number of bytes searched for a header at once
_STRIDE = 1 << 8


@functools.cache
def _example_class() -> type:
    """Return the class of `tf.train.Example`.

    The class has a descriptor pool of its own, because TensorFlow registers the same names in the
    default pool.
    """
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name="singlow/example.proto", package="tensorflow", syntax="proto3"
    )

    def message(parent: Any, name: str, *fields: tuple) -> Any:
        result = parent.add(name=name)
        for number, (label, kind, repeated, oneof) in enumerate(fields, 1):
            entry = result.field.add(name=label, number=number)
            entry.label = field.LABEL_REPEATED if repeated else field.LABEL_OPTIONAL
            if isinstance(kind, str):
                entry.type, entry.type_name = field.TYPE_MESSAGE, f".tensorflow.{kind}"
            else:
                entry.type = kind
            if oneof:
                entry.oneof_index = 0
        return result

    messages = file.message_type
    message(messages, "BytesList", ("value", field.TYPE_BYTES, True, False))
    message(messages, "FloatList", ("value", field.TYPE_FLOAT, True, False))
    message(messages, "Int64List", ("value", field.TYPE_INT64, True, False))
    feature = message(
        messages,
        "Feature",
        ("bytes_list", "BytesList", False, True),
        ("float_list", "FloatList", False, True),
        ("int64_list", "Int64List", False, True),
    )
    feature.oneof_decl.add(name="kind")
    features = message(messages, "Features", ("feature", "Features.FeatureEntry", True, False))
    pair = message(
        features.nested_type,
        "FeatureEntry",
        ("key", field.TYPE_STRING, False, False),
        ("value", "Feature", False, False),
    )
    pair.options.map_entry = True
    message(messages, "Example", ("features", "Features", False, False))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("tensorflow.Example"))


def write_example(features: Features) -> bytes:
    """Serialize features to a `tf.train.Example`; the same features always give the same bytes.

    Bytes of a file name that are not valid UTF-8 are written unchanged.
    """
    example = _example_class()()
    for key, value in features.items():
        entry = example.features.feature[key]
        if isinstance(value, int):
            entry.int64_list.value.append(value)
        else:
            data = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
            entry.bytes_list.value.append(data)
    return example.SerializeToString(deterministic=True)


def read_example(payload: bytes) -> dict[str, bytes | int | float]:
    """Return the first value of every feature of a serialized `tf.train.Example`.

    Raises:
        DataError: the payload is not an Example.
    """
    from google.protobuf.message import DecodeError

    example = _example_class()()
    try:
        example.ParseFromString(bytes(payload))
    except DecodeError:
        raise DataError("Expected a tf.train.Example. Received: other bytes.") from None
    result = {}
    for key, entry in example.features.feature.items():
        kind = entry.WhichOneof("kind")
        if kind and getattr(entry, kind).value:
            result[key] = getattr(entry, kind).value[0]
    return result


def masked_crc(data: bytes) -> int:
    """Return the CRC32C of `data`, rotated by 15 bits plus a constant, as TFRecord stores it."""
    return _masked(google_crc32c.value(data))


def _masked(crc: int) -> int:
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def frame(payload: bytes) -> bytes:
    """Return the record that contains a payload: its length, the payload and both checksums."""
    length = struct.pack("<Q", len(payload))
    checksums = (struct.pack("<I", masked_crc(part)) for part in (length, payload))
    return b"".join((length, next(checksums), payload, next(checksums)))


def write_shard(path: str | os.PathLike, payloads: Iterable[bytes]) -> list[int]:
    """Write a shard atomically.

    Returns:
        The offset of each record, in bytes.
    """
    path, offsets = Path(path), []
    with atomic_write(path) as file:
        for payload in payloads:
            offsets.append(file.tell())
            file.write(frame(payload))
    return offsets


@dataclasses.dataclass(frozen=True)
class Record:
    """An intact record, whose payload is the bytes `[start, start + length)` of its shard."""

    start: int
    length: int

    @property
    def offset(self) -> int:
        """The offset of the record in its shard, in bytes."""
        return self.start - HEADER

    @property
    def end(self) -> int:
        """The offset of the first byte after the record."""
        return self.start + self.length + FOOTER


@dataclasses.dataclass(frozen=True)
class Damage:
    """A stretch of a shard that holds no intact record.

    Attributes:
        shard: file of the shard.
        record: index of the damaged record in the shard, from 0.
        offset: offset at which the damage begins, in bytes.
        size: number of bytes until the next intact record or the end of the shard.
        reason: description of the damage.
    """

    shard: Path
    record: int
    offset: int
    size: int
    reason: str

    def __str__(self) -> str:
        return f"{self.shard}: record {self.record}, at byte {self.offset}: {self.reason}"


def check_record(data: bytes | np.ndarray, offset: int) -> tuple[Record | None, str]:
    """Return the record at `offset` of a shard's bytes and "", or None and why it is damaged."""
    head = bytes(data[offset : offset + HEADER])
    record, reason = _check_header(head, offset, len(data))
    if record is None:
        return None, reason
    stop = record.start + record.length
    if masked_crc(bytes(data[record.start : stop])) != _stored_crc(data, stop):
        return None, "the checksum of its bytes does not fit"
    return record, ""


def _check_header(head: bytes, offset: int, size: int) -> tuple[Record | None, str]:
    """Return the record that a header describes and "", or None and why it cannot be intact."""
    if len(head) < HEADER:
        return None, f"cut: only {len(head)} of its {HEADER} header bytes are there"
    length, crc = struct.unpack("<QI", head)
    if masked_crc(head[:8]) != crc:
        return None, "the checksum of its length does not fit"
    record = Record(offset + HEADER, length)
    if record.end > size:
        there = size - record.start
        return None, f"cut: only {there} of its {length + FOOTER} bytes are there"
    return record, ""


def _stored_crc(data: bytes | np.ndarray, place: int) -> int:
    return struct.unpack("<I", bytes(data[place : place + FOOTER]))[0]


def index_shard(path: str | os.PathLike) -> tuple[list[Record], list[Damage]]:
    """Find every intact record of a shard, including those after damage, in linear time.

    If the length of a damaged record is intact, the search first tries the end of that record.
    Otherwise, or if no record begins there, it tries every following byte.
    """
    path, records, damages = Path(path), [], []
    data = map_shard(path)
    search = None
    offset = 0
    while offset < len(data):
        check = check_record if search is None else search.check
        record, reason = check(data, offset)
        if record is None:
            search = search or _Search(data)
            following = search.next_record(offset)
            damages.append(
                Damage(path, len(records) + len(damages), offset, following - offset, reason)
            )
            offset = following
        else:
            records.append(record)
            offset = record.end
    return records, damages


def map_shard(path: Path) -> np.ndarray:
    """Return the bytes of a shard as a memory-mapped array, uint8 `(bytes,)`."""
    if path.stat().st_size == 0:
        return np.zeros(0, np.uint8)
    return np.memmap(path, np.uint8, mode="r")


class _Search:
    """Searches a shard for the intact records that follow damage.

    Damaged bytes may look like thousands of headers, each of which describes a long payload. If
    every payload were read, the time would be quadratic in the size of the shard. The search
    therefore stores the CRC32C of the first 0, 256, 512, ... bytes of the shard and computes the
    checksum of any payload from two of these: `crc(b) = crc(ab) ^ zeros(crc(a), len(b))`, where
    `zeros` is the effect of appending zero bytes.

    Args:
        data: bytes of the shard.
    """

    def __init__(self, data: np.ndarray) -> None:
        self._data = data
        self._prefixes = [google_crc32c.value(b"")]

    def _prefix(self, stop: int) -> int:
        """Return the CRC32C of the shard's first `stop` bytes."""
        place = stop // _STRIDE
        while len(self._prefixes) <= place:
            start = (len(self._prefixes) - 1) * _STRIDE
            chunk = self._data[start : start + _STRIDE].tobytes()
            self._prefixes.append(google_crc32c.extend(self._prefixes[-1], chunk))
        rest = self._data[place * _STRIDE : stop].tobytes()
        return google_crc32c.extend(self._prefixes[place], rest)

    def _intact(self, records: list[Record]) -> np.ndarray:
        """Return whether the checksum of each record's payload fits, `(records,)` bool."""
        before = np.array([self._prefix(r.start) for r in records], np.uint32)
        until = np.array([self._prefix(r.start + r.length) for r in records], np.uint32)
        lengths = np.array([r.length for r in records], np.int64)
        crc = until ^ _append_zeros(before, lengths)
        stored = [_stored_crc(self._data, r.start + r.length) for r in records]
        return _masked_array(crc) == np.array(stored, np.uint32)

    def check(self, data: np.ndarray, offset: int) -> tuple[Record | None, str]:
        """Check a record as `check_record` does, in time independent of the record's length."""
        head = bytes(data[offset : offset + HEADER])
        record, reason = _check_header(head, offset, len(data))
        if record is not None and not self._intact([record])[0]:
            return None, "the checksum of its bytes does not fit"
        return record, reason

    def next_record(self, offset: int) -> int:
        """Return the offset of the next intact record after `offset`, or the size of the shard."""
        data = self._data
        head = bytes(data[offset : offset + HEADER])
        damaged, _ = _check_header(head, offset, len(data))
        if damaged and (damaged.end == len(data) or self.check(data, damaged.end)[0]):
            return damaged.end
        start, limit, size = offset + 1, len(data) - HEADER - FOOTER, _BLOCKS[0]
        while start <= limit:
            stop = min(start + size, limit + 1)
            places = start + _headers(np.asarray(data[start : stop + HEADER - 1]))
            heads = ((int(p), data[p : p + HEADER].tobytes()) for p in places)
            records = [_check_header(head, place, len(data))[0] for place, head in heads]
            records = [record for record in records if record is not None]
            if records and (intact := self._intact(records)).any():
                return records[int(intact.argmax())].offset
            start, size = stop, min(2 * size, _BLOCKS[1])
        return len(data)


def _headers(chunk: np.ndarray) -> np.ndarray:
    """Return the offsets in a chunk at which a nonzero length is followed by its checksum."""
    places = np.lib.stride_tricks.sliding_window_view(chunk, HEADER)
    # The upper bytes of a plausible length are zero, which rules out most offsets cheaply.
    likely = np.flatnonzero((places[:, 5:8] == 0).all(1) & (places[:, :5] != 0).any(1))
    lengths, checksums = places[likely, :8], places[likely, 8:]
    crc = np.bitwise_xor.reduce(_crc_of_bytes()[np.arange(8), lengths], axis=1)
    crc = crc ^ np.uint32(google_crc32c.value(bytes(8)))
    return likely[_masked_array(crc) == np.ascontiguousarray(checksums).view("<u4")[:, 0]]


def _masked_array(crc: np.ndarray) -> np.ndarray:
    return ((crc >> np.uint32(15)) | (crc << np.uint32(17))) + np.uint32(0xA282EAD8)


@functools.cache
def _crc_of_bytes() -> np.ndarray:
    """Return how each byte at each of 8 positions changes, by XOR, the CRC32C of 8 zero bytes.

    Returns:
        uint32 `(8, 256)`.
    """
    zeros = google_crc32c.value(bytes(8))
    values = [
        [
            google_crc32c.value(bytes(place) + bytes([byte]) + bytes(7 - place))
            for byte in range(256)
        ]
        for place in range(8)
    ]
    return np.array(values, np.uint32) ^ np.uint32(zeros)


def _append_zeros(crc: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Return the contribution of `crc` to a checksum after `lengths` zero bytes are appended.

    Args:
        crc: checksums, uint32 `(n,)`.
        lengths: numbers of zero bytes, int64 `(n,)`.
    """
    crc = crc.copy()
    for power in range(int(lengths.max(initial=0)).bit_length()):
        rows = np.flatnonzero((lengths >> power) & 1)
        crc[rows] = _mapped(crc[rows], _zeros_table(power))
    return crc


@functools.cache
def _zeros_table(power: int) -> np.ndarray:
    """Return the linear map of a checksum for `2 ** power` appended zero bytes, as a table.

    Returns:
        uint32 `(4, 256)`; the mapped checksum is the XOR of one entry for each of its 4 bytes.
    """
    values = np.arange(256, dtype=np.uint32)
    single = np.stack([values << np.uint32(8 * place) for place in range(4)])
    if power == 0:
        zero = google_crc32c.extend(0, b"\0")
        flat = [google_crc32c.extend(int(value), b"\0") ^ zero for value in single.ravel()]
        return np.array(flat, np.uint32).reshape(4, 256)
    once = _mapped(single.ravel(), _zeros_table(power - 1))
    return _mapped(once, _zeros_table(power - 1)).reshape(4, 256)


def _mapped(crc: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Apply a linear map, a table `(4, 256)`, to checksums `(n,)`."""
    parts = crc.astype("<u4").view(np.uint8).reshape(-1, 4)
    return np.bitwise_xor.reduce(table[np.arange(4), parts], axis=1)


def read_shard(path: str | os.PathLike) -> Iterator[dict[str, bytes | int | float]]:
    """Yield the Examples of a shard in order.

    Raises:
        DataError: the shard is damaged; the message names the record and the byte. The Examples
            before the damage are yielded first.
    """
    records, damages = index_shard(path)
    data = map_shard(Path(path))
    for number, record in enumerate(records):
        if damages and damages[0].record == number:
            break
        yield read_example(data[record.start : record.start + record.length].tobytes())
    if damages:
        raise DataError(f"{damages[0]}. {recover_advice(Path(path).parent)}")


def recover_advice(directory: Path) -> str:
    """Return the sentence with the command that recovers a dataset's intact records."""
    return f"Run: {PREPARE} --recover {shlex.quote(str(directory))}"
