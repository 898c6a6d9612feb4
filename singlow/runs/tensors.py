"""Write named tensors to safetensors files, and check and read them."""

import hashlib
import json
import math
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from singlow.errors import DataError
from singlow.files import sync

_TYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "I64": "int64",
    "I32": "int32",
    "U64": "uint64",
    "U32": "uint32",
    "U8": "uint8",
    "I8": "int8",
    "BOOL": "bool",
}

_NAMES = {kind: name for name, kind in _TYPES.items()}
_ALIGNMENT = 8

Description = dict[str, tuple[str, tuple[int, ...]]]


def write_tensors(path: Path, tensors: Mapping[str, Any]) -> str:
    """Write tensors to a file, synchronise it with the disk, and return its SHA-256.

    Only one tensor at a time is in memory beside `tensors` themselves, unlike in the functions of
    the library, which also lose the errno of a full disk.

    Args:
        path: the safetensors file.
        tensors: arrays or variables by name.

    Raises:
        OSError: the file cannot be written; the error has the errno of the system.
    """
    names = sorted(tensors, key=lambda name: -np.dtype(str(tensors[name].dtype)).itemsize)
    header, place = {}, 0
    for name in names:
        dtype, shape = str(tensors[name].dtype), list(tensors[name].shape)
        end = place + _bytes_of(tensors[name])
        header[name] = {"dtype": _NAMES[dtype], "shape": shape, "data_offsets": [place, end]}
        place = end
    text = json.dumps(header, ensure_ascii=False).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for part in (struct.pack("<Q", len(text)), text):
            file.write(part)
            digest.update(part)
        for name in names:
            array = np.asarray(tensors[name])
            content = array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
            file.write(content)
            digest.update(content)
        file.flush()
        sync(file.fileno())
    return digest.hexdigest()


def size_of(tensors: Mapping[str, Any]) -> int:
    """Return an upper bound of the number of bytes that `write_tensors` writes."""
    return sum(_bytes_of(tensor) + len(name) + 128 for name, tensor in tensors.items()) + 4096


def _bytes_of(tensor: Any) -> int:
    return math.prod(tensor.shape) * np.dtype(str(tensor.dtype)).itemsize


def read_tensors(path: Path, expected: Description) -> dict[str, np.ndarray]:
    """Read the tensors of a file after a check of their names, types and shapes.

    The header of the file is compared with `expected` before any tensor is read. Integers
    of another width are converted, because backends count steps in integers of different widths.

    Args:
        path: the safetensors file.
        expected: type and shape of each tensor by name, as `(dtype, shape)`.

    Raises:
        DataError: the file is damaged or holds other tensors; the message names the first
            difference.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            _compare(path, _header(file), expected)
            tensors = {name: file.get_tensor(name) for name in expected}
    except SafetensorError as error:
        raise DataError(f"{path}: not a safetensors file that can be read ({error}).") from error
    return {
        name: _converted(path, name, tensor, expected[name][0]) for name, tensor in tensors.items()
    }


def described(variables: Mapping[str, Any]) -> Description:
    """Return the types and the shapes of variables by name."""
    return {path: (str(v.dtype), tuple(v.shape)) for path, v in variables.items()}


def _header(file: Any) -> Description:
    description = {}
    for name in file.keys():  # noqa: SIM118  (the file is not a mapping)
        part = file.get_slice(name)
        description[name] = (_TYPES.get(part.get_dtype(), "unknown"), tuple(part.get_shape()))
    return description


def _compare(path: Path, received: Description, expected: Description) -> None:
    """Compare the description of a file with the expected one.

    Raises:
        DataError: they differ.
    """
    missing = sorted(expected.keys() - received.keys())
    extra = sorted(received.keys() - expected.keys())
    if missing or extra:
        lacks = [f"lacks {_listed(missing)}"] if missing else []
        holds = [f"holds {_listed(extra)} that the model does not have"] if extra else []
        raise DataError(
            f"{path}: {' and '.join(lacks + holds)}; it was written by another model or version."
        )
    for name, (dtype, shape) in expected.items():
        kind, size = received[name]
        alike = kind == dtype or (_is_integer(kind) and _is_integer(dtype))
        if not alike or size != shape:
            raise DataError(
                f"{path}: Expected {name} to be {dtype}{list(shape)}. Received: {kind}{list(size)}."
            )


def _converted(path: Path, name: str, tensor: np.ndarray, dtype: str) -> np.ndarray:
    """Return a tensor in the expected type; an integer may be converted to another width.

    Raises:
        DataError: an integer is too large.
    """
    if str(tensor.dtype) == dtype:
        return tensor
    limits = np.iinfo(dtype)
    if tensor.size and not limits.min <= int(tensor.min()) <= int(tensor.max()) <= limits.max:
        raise DataError(f"{path}: Expected {name} to fit into {dtype}. Received: larger numbers.")
    return tensor.astype(dtype)


def _is_integer(dtype: str) -> bool:
    return dtype.startswith(("int", "uint"))


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - 2} more" if len(names) > 3 else ""
    return ", ".join(names[: 2 if more else 3]) + more
