"""Write files of `torch.save` in both forms, byte by byte, without PyTorch."""

import dataclasses
import io
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from singlow.originals.tensors import contiguous

MAGIC = 0x1950A86A20F9469CFC6C
STORAGES = {
    "float64": "DoubleStorage",
    "float32": "FloatStorage",
    "float16": "HalfStorage",
    "uint16": "BFloat16Storage",  # the bits of bfloat16
    "int64": "LongStorage",
    "int32": "IntStorage",
    "int16": "ShortStorage",
    "int8": "CharStorage",
    "uint8": "ByteStorage",
    "bool": "BoolStorage",
}


@dataclasses.dataclass(frozen=True)
class Raw:
    """Opcodes that push one value."""

    code: bytes


@dataclasses.dataclass(frozen=True)
class Module:
    """An object of a class, with its attributes."""

    module: str
    name: str
    state: Mapping[str, Any]


@dataclasses.dataclass(frozen=True, eq=False)
class View:
    """A tensor that views a one-dimensional array, which other tensors may view too."""

    base: np.ndarray
    offset: Any
    shape: tuple
    strides: tuple
    location: str = "cpu"
    module: str = "torch"
    count: int | None = None  # stated size of the storage, if it is not that of `base`


def name(module: str, attribute: str) -> bytes:
    """Return the opcode that pushes a name."""
    return f"c{module}\n{attribute}\n".encode()


def text(value: str) -> bytes:
    """Return the opcode that pushes a string."""
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def number(value: int) -> bytes:
    """Return the opcode that pushes a whole number."""
    data = value.to_bytes(16, "little", signed=True)
    return b"\x8a" + bytes([len(data)]) + data


class Pickled:
    """A pickle of a value, and the storages of its tensors by key."""

    def __init__(self, value: Any, old: bool = False) -> None:
        self.old = old
        self.storages: dict[str, np.ndarray] = {}
        self.data = b"\x80\x02" + self.code(value) + b"."

    def code(self, value: Any) -> bytes:
        if isinstance(value, Raw):
            return value.code
        if value is None:
            return b"N"
        if isinstance(value, bool):
            return b"\x88" if value else b"\x89"
        if isinstance(value, int):
            return number(value)
        if isinstance(value, float):
            return b"G" + struct.pack(">d", value)
        if isinstance(value, str):
            return text(value)
        if isinstance(value, tuple):
            return b"(" + b"".join(map(self.code, value)) + b"t"
        if isinstance(value, list):
            return b"](" + b"".join(map(self.code, value)) + b"e"
        if isinstance(value, Mapping):
            ordered = isinstance(value, OrderedDict)
            start = name("collections", "OrderedDict") + b")R" if ordered else b"}"
            items = b"".join(self.code(part) for item in value.items() for part in item)
            return start + b"(" + items + b"u"
        if isinstance(value, Module):
            return name(value.module, value.name) + b")\x81" + self.code(dict(value.state)) + b"b"
        if isinstance(value, np.ndarray):
            strides = contiguous(value.shape)
            value = View(value.reshape(-1), 0, value.shape, strides)
        return self._tensor(value)

    def _tensor(self, view: View) -> bytes:
        keys = [key for key, base in self.storages.items() if base is view.base]
        key = keys[0] if keys else str(len(self.storages))
        self.storages[key] = view.base
        kind = Raw(name(view.module, STORAGES[str(view.base.dtype)]))
        count = len(view.base) if view.count is None else view.count
        identity = ("storage", kind, key, view.location, count, *((None,) if self.old else ()))
        storage = Raw(self.code(identity) + b"Q")
        args = (storage, view.offset, view.shape, view.strides, False, OrderedDict())
        return name("torch._utils", "_rebuild_tensor_v2") + self.code(args) + b"R"


def write_zip(path: Path, value: Any, root: str = "archive", **entries: bytes) -> Path:
    """Write the zip form, with further entries, and return the path."""
    pickled = Pickled(value)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as file:
        file.writestr(f"{root}/data.pkl", pickled.data)
        for entry, data in {"byteorder": b"little", "version": b"3\n", **entries}.items():
            file.writestr(f"{root}/{entry}", data)
        for key, storage in pickled.storages.items():
            file.writestr(f"{root}/data/{key}", storage.tobytes())
    return path


def write_old(path: Path, value: Any, machine: Any = None) -> Path:
    """Write the form before PyTorch 1.6 and return the path."""
    pickled = Pickled(value, old=True)
    machine = machine or {"protocol_version": 1001, "little_endian": True, "type_sizes": {"int": 4}}
    body = io.BytesIO()
    for part in (MAGIC, 1001, machine):
        body.write(Pickled(part).data)
    body.write(pickled.data + Pickled(list(pickled.storages)).data)
    for storage in pickled.storages.values():
        body.write(struct.pack("<q", len(storage)) + storage.tobytes())
    path.write_bytes(body.getvalue())
    return path


FORMS = {"zip": write_zip, "old": write_old}


def module(weights: Mapping[str, Any], kind: tuple[str, str], wrapped: bool = False) -> Module:
    """Return a whole module with weights by dotted name; `wrapped` in DataParallel if asked."""
    if wrapped:
        inner = module(weights, kind)
        return _module(("torch.nn.parallel.data_parallel", "DataParallel"), {}, {"module": inner})
    own = {path: value for path, value in weights.items() if "." not in path}
    parts: dict[str, dict[str, Any]] = {}
    for path, value in weights.items():
        head, dot, rest = path.partition(".")
        if dot:
            parts.setdefault(head, {})[rest] = value
    inner = ("torch.nn.modules.container", "ModuleList")
    return _module(kind, own, {head: module(rest, inner) for head, rest in parts.items()})


def _module(kind: tuple[str, str], own: Mapping[str, Any], parts: Mapping[str, Any]) -> Module:
    state = {
        "training": False,
        "_parameters": OrderedDict(own),
        "_buffers": OrderedDict(),
        "_forward_pre_hooks": OrderedDict(),
        "_modules": OrderedDict(parts),
    }
    return Module(*kind, state)
