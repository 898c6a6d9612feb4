"""Tensors that lie in a file and are read one at a time."""

import dataclasses
import math
import os
import stat
import zlib
from pathlib import Path

import numpy as np

from singlow.errors import DataError, naming

BITS = {"bfloat16": np.dtype("<u2")}  # what numpy reads for types that it lacks
TYPES = (
    "float64",
    "float32",
    "float16",
    "bfloat16",
    "int64",
    "int32",
    "int16",
    "int8",
    "uint64",
    "uint32",
    "uint16",
    "uint8",
    "bool",
)
_MOST_AXES = 16
_LARGEST = 2**40  # elements of an axis, a stride or an offset


def stored_type(dtype: str) -> np.dtype:
    """Return the numpy type of the bytes of a tensor of one of `TYPES`, in little endian."""
    return BITS.get(dtype) or np.dtype(dtype).newbyteorder("<")


class Source:
    """A file that is opened for each read; it must not change meanwhile.

    Args:
        path: the file.

    Raises:
        OSError: the file cannot be opened.
        DataError: it is not a regular file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._status = path.stat()
        self.size = self._status.st_size
        if not stat.S_ISREG(self._status.st_mode):
            raise DataError("Expected a file. Received: a folder or a device.")

    def read(self, start: int, size: int) -> bytes:
        """Read some bytes.

        Raises:
            DataError: the file ends too early, or it has changed.
        """
        with self.path.open("rb") as file:
            status = os.fstat(file.fileno())
            if (status.st_size, status.st_mtime_ns) != (self.size, self._status.st_mtime_ns):
                raise DataError("the file changed while it was read; run the same command again.")
            if start < 0 or size < 0 or start + size > self.size:
                raise DataError(f"Expected {size} bytes from {start} on. Received: a shorter file.")
            file.seek(start)
            return file.read(size)


@dataclasses.dataclass(eq=False)
class Storage:
    """Elements of one type in a row in a file, which tensors view.

    Attributes:
        source: the file.
        start: place of the first byte, which may become known after the tensors.
        count: number of elements.
        dtype: one of `TYPES`.
        checksum: CRC-32 of the bytes, if the file has one.
    """

    source: Source
    start: int
    count: int
    dtype: str
    checksum: int | None = None

    @property
    def itemsize(self) -> int:
        """Number of bytes of an element."""
        return stored_type(self.dtype).itemsize

    @property
    def size(self) -> int:
        """Number of bytes."""
        return self.count * self.itemsize

    def read(self, first: int, count: int) -> np.ndarray:
        """Read some elements.

        Raises:
            DataError: the bytes differ from the checksum.
        """
        kind = stored_type(self.dtype)
        data = self.source.read(self.start + first * kind.itemsize, count * kind.itemsize)
        if count == self.count and self.checksum is not None and zlib.crc32(data) != self.checksum:
            raise DataError("damaged: a tensor differs from its checksum.")
        return np.frombuffer(data, kind)


@dataclasses.dataclass(frozen=True, eq=False)
class StoredTensor:
    """A tensor that views a storage; it is read when it is loaded.

    Attributes:
        storage: the storage.
        offset: place of the first element.
        shape: its shape.
        strides: steps from element to element along each axis, in elements.
    """

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def dtype(self) -> str:
        """Type of the elements, one of `TYPES`."""
        return self.storage.dtype

    @property
    def nbytes(self) -> int:
        """Number of bytes in the file, without gaps."""
        return math.prod(self.shape) * self.storage.itemsize

    def load(self) -> np.ndarray:
        """Read the tensor; `bfloat16` becomes `float32`, which holds the same values.

        Raises:
            DataError: the file has changed, or the bytes differ from their checksum.
        """
        if 0 in self.shape:
            return self._converted(np.zeros(self.shape, stored_type(self.dtype)))
        count = 1 + sum((n - 1) * s for n, s in zip(self.shape, self.strides, strict=True))
        with naming(self.storage.source.path):
            row = self.storage.read(self.offset, count)
        steps = [stride * row.itemsize for stride in self.strides]
        view = np.lib.stride_tricks.as_strided(row, self.shape, steps, writeable=False)
        return self._converted(view)

    def _converted(self, values: np.ndarray) -> np.ndarray:
        if self.dtype == "bfloat16":
            return (values.astype("uint32") << 16).view("float32")
        if self.dtype == "bool":
            return values.view("uint8") != 0
        return np.ascontiguousarray(values, np.dtype(self.dtype)).reshape(self.shape)


def view_of(storage: Storage, offset: object, shape: object, strides: object) -> StoredTensor:
    """Create a tensor that views a storage, after a check that it lies within the storage.

    Raises:
        DataError: a number is out of range, the tensor is not within its storage, or it has more
            elements than its storage.
    """
    if not isinstance(shape, tuple) or not isinstance(strides, tuple):
        raise DataError("Expected a tensor with sizes and strides. Received: something else.")
    if len(shape) != len(strides) or len(shape) > _MOST_AXES:
        raise DataError(
            f"Expected a tensor of up to {_MOST_AXES} axes, with a stride for each. "
            f"Received: {len(shape)} axes and {len(strides)} strides."
        )
    if not all(type(n) is int and 0 <= n <= _LARGEST for n in (offset, *shape, *strides)):
        raise DataError(
            "Expected an offset, sizes and strides of a tensor that are whole numbers from 0. "
            "Received: others."
        )
    last = offset + sum((n - 1) * s for n, s in zip(shape, strides, strict=True))
    empty = 0 in shape
    if last >= storage.count and not empty:
        raise DataError(
            f"Expected a tensor within its storage of {storage.count} elements. "
            f"Received: shape {list(shape)} with strides {list(strides)} from {offset}."
        )
    if math.prod(n for n in shape if n) > (_LARGEST if empty else storage.count):
        raise DataError(
            f"Expected a tensor without repeated elements. Received: shape {list(shape)} over a "
            f"storage of {storage.count} elements."
        )
    return StoredTensor(storage, offset, shape, strides)


def contiguous(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the strides of a tensor whose elements lie in a row, in elements."""
    return tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))
