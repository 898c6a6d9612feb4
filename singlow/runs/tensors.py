"""Named tensors in safetensors files: a full disk is an OSError, and what is read is checked."""

import hashlib
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

Description = dict[str, tuple[str, tuple[int, ...]]]


def write_tensors(path: Path, tensors: Mapping[str, np.ndarray]) -> str:
    """Write `tensors` to `path`, through to the disk; returns the file's SHA-256.

    Raises:
        OSError: the file could not be written, with its errno.
    """
    # `save_file` reports a full disk as an exception of its own, without the errno.
    from safetensors.numpy import save

    # Of an array that is not C-contiguous `save` takes the bytes as they lie.
    content = save({name: np.asarray(array, order="C") for name, array in tensors.items()})
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        sync(file.fileno())
    return hashlib.sha256(content).hexdigest()


def size_of(tensors: Mapping[str, np.ndarray]) -> int:
    """Bytes that `write_tensors` would need, a little more than that."""
    return sum(array.nbytes + len(name) + 128 for name, array in tensors.items()) + 4096


def read_tensors(path: Path, expected: Description) -> dict[str, np.ndarray]:
    """The tensors of `path`, which must be those of `expected`: names, types and shapes.

    The header is compared before any tensor is read.

    Args:
        path: a safetensors file.
        expected: what each name must be, as `(dtype, shape)`.

    Raises:
        DataError: the file is damaged, or holds other tensors; the message names the first.
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


def _converted(path: Path, name: str, tensor: np.ndarray, dtype: str) -> np.ndarray:
    """A tensor in the expected type, which for integers may have another width.

    Raises:
        DataError: an integer does not fit.
    """
    if str(tensor.dtype) == dtype:
        return tensor
    limits = np.iinfo(dtype)
    if tensor.size and not limits.min <= int(tensor.min()) <= int(tensor.max()) <= limits.max:
        raise DataError(f"{path}: Expected {name} to fit into {dtype}. Received: larger numbers.")
    return tensor.astype(dtype)


def _header(file: Any) -> Description:
    described = {}
    for name in file.keys():  # noqa: SIM118  (not a mapping)
        part = file.get_slice(name)
        described[name] = (_TYPES.get(part.get_dtype(), "unknown"), tuple(part.get_shape()))
    return described


def _compare(path: Path, found: Description, expected: Description) -> None:
    missing = sorted(expected.keys() - found.keys())
    extra = sorted(found.keys() - expected.keys())
    if missing or extra:
        lacks = [f"lacks {_some(missing)}"] if missing else []
        holds = [f"holds {_some(extra)} that the model does not have"] if extra else []
        raise DataError(
            f"{path}: {' and '.join(lacks + holds)}; it was written by another model or version."
        )
    for name, (dtype, shape) in expected.items():
        alike = _is_integer(dtype) and _is_integer(found[name][0])
        if found[name] != (dtype, shape) and not (alike and found[name][1] == shape):
            raise DataError(
                f"{path}: Expected {name} to be {dtype}{list(shape)}. "
                f"Received: {found[name][0]}{list(found[name][1])}."
            )


def _is_integer(dtype: str) -> bool:
    return dtype.startswith(("int", "uint"))


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 2} more" if len(names) > 3 else ""
    return ", ".join(names[: 2 if more else 3]) + more


def described(variables: Mapping[str, Any]) -> Description:
    """Types and shapes of variables, by name."""
    return {path: (str(v.dtype), tuple(v.shape)) for path, v in variables.items()}
