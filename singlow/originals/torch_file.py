"""Read files of `torch.save` without PyTorch, in the zip form and in the form before version 1.6.

Both forms are a pickle whose tensors refer to storages by persistent ids. In the zip form the
pickle and each storage are entries of an archive. In the older form there are, in a row, pickles of
a magic number, of a version, of facts about the machine, of the object and of the list of storages,
and then the storages, each after its number of elements.
"""

import zlib
from collections.abc import Mapping
from typing import Any, NoReturn

import numpy as np

from singlow.errors import DataError
from singlow.originals.archive import LOCAL, Entry, read_archive
from singlow.originals.tensors import Source, Storage, StoredTensor, view_of
from singlow.pickles import Maker, Name, Stateful, read_pickle

_LARGEST_PICKLE = 2**26
_MAGIC = 0x1950A86A20F9469CFC6C
_VERSION = 1001
_TAR = (257, b"ustar")
_STORAGES = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
}
_MODULES = ("torch", "torch.cuda")  # of storages
_NUMBERS = ("f8", "f4", "f2", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", "b1")


def is_torch_file(source: Source) -> bool:
    """Return whether the first bytes of a file are those of a file of `torch.save`."""
    head = source.read(0, min(source.size, 512))
    place, tar = _TAR
    return head.startswith((LOCAL, b"\x80")) or head[place : place + len(tar)] == tar


def read_torch(source: Source) -> Any:
    """Read what `torch.save` wrote: tensors stay in the file, and no code is run.

    Args:
        source: the file.

    Returns:
        The saved object: tensors are `StoredTensor`, objects of classes are `Record`, and plain
        containers, numbers and strings are themselves.

    Raises:
        DataError: the file is damaged, its form is older than PyTorch 0.4, it is a TorchScript
            program, or it needs code to be run.
    """
    if source.read(0, min(source.size, len(LOCAL))) == LOCAL:
        return _read_zip(source)
    return _read_old(source)


def _read_zip(source: Source) -> Any:
    entries = read_archive(source)
    roots = [name.removesuffix("data.pkl") for name in entries if name.endswith("/data.pkl")]
    if len(roots) != 1:
        raise DataError("Expected a zip file of torch.save. Received: one without data.pkl.")
    if f"{roots[0]}constants.pkl" in entries:
        raise DataError("Expected a file of torch.save. Received: a TorchScript program.")
    order = entries.get(f"{roots[0]}byteorder")
    if order is not None and _content(source, order) != b"little":
        raise DataError("Expected tensors in little endian. Received: another byte order.")
    prefix = f"{roots[0]}data/"
    storages = _Storages(source)

    def find(key: Any) -> Storage:
        storage = storages.find(key)
        entry = entries.get(prefix + key[2])
        if entry is None or entry.size != storage.size:
            raise DataError(
                f"Expected {storage.size} bytes of storage {key[2][:20]}. "
                f"Received: {'none' if entry is None else entry.size}."
            )
        storage.start, storage.checksum = entry.start, entry.checksum
        return storage

    data = _content(source, entries[f"{roots[0]}data.pkl"])
    return read_pickle(data, 0, _MAKERS, find)[0]


def _content(source: Source, entry: Entry) -> bytes:
    if entry.size > _LARGEST_PICKLE:
        raise DataError(
            f"Expected a pickle of up to {_LARGEST_PICKLE} bytes. Received: {entry.size}."
        )
    data = source.read(entry.start, entry.size)
    if entry.checksum is not None and zlib.crc32(data) != entry.checksum:
        raise DataError("damaged: the pickle differs from its checksum.")
    return data


def _read_old(source: Source) -> Any:
    data = source.read(0, min(source.size, _LARGEST_PICKLE))
    place, tar = _TAR
    if data[place : place + len(tar)] == tar:
        raise DataError("Expected a file of PyTorch 0.4 or later. Received: a tar file.")
    magic, end = read_pickle(data)
    if magic != _MAGIC:
        raise DataError("Expected a file of torch.save. Received: another pickle.")
    version, end = read_pickle(data, end)
    if version != _VERSION:
        raise DataError(f"Expected a file of torch.save of version {_VERSION}. Received: another.")
    machine, end = read_pickle(data, end)
    if not isinstance(machine, dict) or machine.get("little_endian") is not True:
        raise DataError("Expected tensors in little endian. Received: another byte order.")
    storages = _Storages(source)

    def find(key: Any) -> Storage | Name:
        # The older form refers to classes of modules with ids that include their source.
        if isinstance(key, tuple) and len(key) == 4 and key[0] == "module":
            return key[1] if isinstance(key[1], Name) else _wrong_id()
        return storages.find(key)

    content, end = read_pickle(data, end, _MAKERS, find)
    keys, end = read_pickle(data, end)
    storages.place(keys, end)
    return content


class _Storages:
    """The storages to which persistent ids refer, by key.

    Args:
        source: the file.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._known: dict[str, Storage] = {}

    def find(self, key: Any) -> Storage:
        """Return the storage of a persistent id.

        Raises:
            DataError: the id has another form, or contradicts an earlier one.
        """
        if not isinstance(key, tuple) or len(key) not in (5, 6) or key[0] != "storage":
            _wrong_id()
        if key[5:] not in ((), (None,)):  # a view of a storage, before PyTorch 0.4
            _wrong_id()
        _, kind, number, _, count = key[:5]
        if not isinstance(kind, Name) or not isinstance(number, str) or type(count) is not int:
            _wrong_id()
        dtype = _STORAGES.get(kind.name) if kind.module in _MODULES else None
        if dtype is None:
            raise DataError(f"Expected a storage in {', '.join(_STORAGES)}. Received: {kind}.")
        if not 0 <= count <= self._source.size:
            raise DataError(f"Expected a storage within the file. Received: {count} elements.")
        storage = self._known.setdefault(number, Storage(self._source, -1, count, dtype))
        if (storage.count, storage.dtype) != (count, dtype):
            raise DataError(f"Expected one kind of storage {number[:20]}. Received: two.")
        return storage

    def place(self, keys: Any, start: int) -> None:
        """Set the places of storages that follow each other in the older form.

        Raises:
            DataError: a storage is missing, or its size differs from that in the pickle.
        """
        if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
            raise DataError("Expected a list of storages. Received: something else.")
        if len(set(keys)) != len(keys) or set(keys) != self._known.keys():
            raise DataError("Expected each storage once. Received: a list that differs.")
        for key in keys:
            storage = self._known[key]
            count = int.from_bytes(self._source.read(start, 8), "little", signed=True)
            if count != storage.count:
                raise DataError(
                    f"Expected {storage.count} elements of storage {key[:20]}. Received: {count}."
                )
            storage.start = start + 8
            start = storage.start + storage.size
            if start > self._source.size:
                raise DataError("Expected all storages in the file. Received: a truncated file.")


class _NumberType(Stateful):
    """A numpy type of numbers.

    Args:
        code: letter and number of bytes.
    """

    def __init__(self, code: str) -> None:
        self.code = code

    def set_state(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) < 2 or state[1] not in ("<", "|"):
            raise DataError("Expected numbers in little endian. Received: another byte order.")


def _make_tensor(args: tuple) -> StoredTensor:
    if not 4 <= len(args) <= 7 or not isinstance(args[0], Storage):
        raise DataError("Expected a tensor made of a storage. Received: something else.")
    return view_of(*args[:4])


def _make_parameter(args: tuple) -> StoredTensor:
    if not args or not isinstance(args[0], StoredTensor):
        raise DataError("Expected a parameter made of a tensor. Received: something else.")
    return args[0]


def _make_size(args: tuple) -> tuple[int, ...]:
    if len(args) != 1 or not isinstance(args[0], tuple | list):
        raise DataError("Expected the sizes of a tensor. Received: something else.")
    return tuple(args[0])


def _make_number_type(args: tuple) -> _NumberType:
    if not args or args[0] not in _NUMBERS:
        raise DataError(f"Expected a numpy type in {', '.join(_NUMBERS)}. Received: another.")
    return _NumberType(args[0])


def _make_number(args: tuple) -> Any:
    if len(args) == 2 and isinstance(args[0], _NumberType) and isinstance(args[1], bytes):
        kind = np.dtype("<" + args[0].code)
        if len(args[1]) == kind.itemsize:
            return np.frombuffer(args[1], kind)[0].item()
    raise DataError("Expected a numpy number with its bytes. Received: something else.")


_MAKERS: Mapping[str, Maker] = {
    "torch._utils._rebuild_tensor_v2": _make_tensor,
    "torch._utils._rebuild_parameter": _make_parameter,
    "torch.Size": _make_size,
    "numpy.dtype": _make_number_type,
    "numpy.core.multiarray.scalar": _make_number,
    "numpy._core.multiarray.scalar": _make_number,
}


def _wrong_id() -> NoReturn:
    raise DataError("Expected the persistent id of a storage. Received: another value.")
