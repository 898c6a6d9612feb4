"""The directory of a zip file whose entries are stored without compression, as PyTorch writes it.

Nothing is unpacked: an entry is a range of bytes of the file. Ranges that overlap, leave the file
or differ between the directory and the entry are refused.

References:
    PKWARE, ".ZIP File Format Specification", version 6.3.10.
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple, NoReturn

from singlow.errors import DataError
from singlow.originals.tensors import Source

LOCAL = b"PK\x03\x04"
_CENTRAL, _END, _END64, _LOCATOR = b"PK\x01\x02", b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
_END_FORM = struct.Struct("<4s4H2LH")
_END64_FORM = struct.Struct("<4sQ2H2L4Q")
_LOCATOR_FORM = struct.Struct("<4sLQL")
_CENTRAL_FORM = struct.Struct("<4s6H3L5H2L")
_LOCAL_FORM = struct.Struct("<4s5H3L2H")
_COMMENT = 2**16
_MOST_ENTRIES = 100_000
_LARGEST_DIRECTORY = 2**26
_ENCRYPTED = 1
_IN_ZIP64 = 0xFFFFFFFF
_ZIP64 = 1  # number of the extra field with sizes and offsets of 64 bits


class Entry(NamedTuple):
    """An entry of a zip file.

    Attributes:
        start: place of its first byte in the file.
        size: number of its bytes.
        checksum: CRC-32 of its bytes; `None` if its writer left it out.
    """

    start: int
    size: int
    checksum: int | None


class _Listed(NamedTuple):
    """What the directory states about an entry: as `Entry`, with the place of its header."""

    name: bytes
    header: int
    size: int
    checksum: int


def read_archive(source: Source) -> dict[str, Entry]:
    """Read the directory of a zip file, and the header of each entry.

    Raises:
        DataError: the file is damaged, an entry is compressed or encrypted, two entries have the
            same name or overlap, or there are too many.
    """
    start, size, count = _directory(source)
    listed = sorted(_listed(source.read(start, size), count), key=lambda entry: entry.header)
    entries, free = {}, 0
    for entry in listed:
        if entry.header < free:
            _damaged("its entries overlap")
        begin = _data_start(source, entry)
        free = begin + entry.size
        name = entry.name.decode("utf-8", "backslashreplace")
        if name in entries:
            _damaged("two of its entries have the same name")
        entries[name] = Entry(begin, entry.size, entry.checksum or None)
    if free > start:
        _damaged("its entries overlap its directory")
    return entries


def _directory(source: Source) -> tuple[int, int, int]:
    """Find the directory: its place, its size and its number of entries."""
    first = max(0, source.size - _COMMENT - _END_FORM.size)
    tail = source.read(first, source.size - first)
    place = tail.rfind(_END)
    if place < 0 or place + _END_FORM.size > len(tail):
        _damaged("it has no directory; it may be truncated")
    _, disk, _, _, count, size, start, comment = _END_FORM.unpack_from(tail, place)
    if disk or place + _END_FORM.size + comment != len(tail):
        _damaged("its directory is not at its end")
    end = first + place
    locator = end - _LOCATOR_FORM.size
    if locator >= 0:
        mark, disk, place64, _ = _LOCATOR_FORM.unpack(source.read(locator, _LOCATOR_FORM.size))
        if mark == _LOCATOR:
            if disk or place64 + _END64_FORM.size > locator:
                _damaged("its directory is not at its end")
            fields = _END64_FORM.unpack(source.read(place64, _END64_FORM.size))
            if fields[0] != _END64:
                _damaged("its directory is not at its end")
            count, size, start, end = *fields[7:10], place64
    if start + size > end or count > _MOST_ENTRIES or size > _LARGEST_DIRECTORY:
        _damaged("its directory states a wrong size")
    return start, size, count


def _listed(directory: bytes, count: int) -> list[_Listed]:
    listed, place = [], 0
    for _ in range(count):
        if place + _CENTRAL_FORM.size > len(directory):
            _damaged("its directory ends too early")
        fields = _CENTRAL_FORM.unpack_from(directory, place)
        mark, _, _, flags, method, _, _, checksum, packed, size = fields[:10]
        name_size, extra_size, comment_size, _, _, _, header = fields[10:]
        begin = place + _CENTRAL_FORM.size
        middle, end = begin + name_size, begin + name_size + extra_size
        if mark != _CENTRAL or end + comment_size > len(directory):
            _damaged("its directory is wrong")
        if method or flags & _ENCRYPTED:
            _damaged("an entry is compressed or encrypted; PyTorch writes neither")
        large = _large(directory[middle:end])
        size, packed, header = (
            next(large, -1) if value == _IN_ZIP64 else value for value in (size, packed, header)
        )
        if size != packed or min(size, header) < 0:
            _damaged("an entry states two sizes")
        listed.append(_Listed(directory[begin:middle], header, size, checksum))
        place = end + comment_size
    if place != len(directory):
        _damaged("its directory states a wrong size")
    return listed


def _large(extra: bytes) -> Iterator[int]:
    """Iterate over the 64-bit numbers of the extra fields of an entry."""
    place = 0
    while place + 4 <= len(extra):
        number, size = struct.unpack_from("<HH", extra, place)
        if number == _ZIP64:
            part = extra[place + 4 : place + 4 + size]
            return iter(struct.unpack_from(f"<{len(part) // 8}Q", part))
        place += 4 + size
    return iter(())


def _data_start(source: Source, entry: _Listed) -> int:
    """Return the place of an entry's first byte, from its header."""
    form = _LOCAL_FORM
    header = source.read(entry.header, min(form.size, max(0, source.size - entry.header)))
    if len(header) < form.size:
        _damaged("an entry lies outside of the file")
    mark, _, _, method, *_, name_size, extra_size = form.unpack(header)
    begin = entry.header + form.size
    if mark != LOCAL or method or name_size != len(entry.name):
        _damaged("an entry differs from the directory")
    start = begin + name_size + extra_size
    if start + entry.size > source.size or source.read(begin, name_size) != entry.name:
        _damaged("an entry differs from the directory")
    return start


def _damaged(reason: str) -> NoReturn:
    raise DataError(f"Expected a zip file as PyTorch writes it. Received: one in which {reason}.")
