"""Read a checkpoint of any form, and find the weights of the model in it."""

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from singlow.errors import DataError, naming
from singlow.originals.tensors import Source, Storage, StoredTensor, contiguous, view_of
from singlow.originals.torch_file import is_torch_file, read_torch
from singlow.pickles import Record

PLACES = ("state_dict", "model", "model_state_dict")
_PREFIX = "module."  # of models that were trained with DataParallel
_MOST_MODULES = 100_000
_DEEPEST = 64
_TYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U64": "uint64",
    "U32": "uint32",
    "U16": "uint16",
    "U8": "uint8",
    "BOOL": "bool",
}


class Weights(NamedTuple):
    """The weights of the model in a checkpoint.

    Attributes:
        tensors: parameters and buffers by name, without the prefix of DataParallel.
        place: where they are: a key of the checkpoint, or `""` for the checkpoint itself.
        kind: full name of the class of a model that was saved as a whole, or `""`.
    """

    tensors: dict[str, StoredTensor]
    place: str
    kind: str


def read_checkpoint(path: str | Path) -> Any:
    """Read a file of `torch.save` or of safetensors; its content decides. No code is run.

    Tensors are read from the file when they are loaded, one at a time.

    Args:
        path: the file.

    Returns:
        What was saved, as `read_torch` returns it; for safetensors, a dictionary of tensors.

    Raises:
        DataError: the file has another form, is damaged, or needs code to be run.
    """
    path = Path(path)
    with naming(path):
        source = Source(path)
        return read_torch(source) if is_torch_file(source) else _read_safetensors(source)


def weights_of(content: Any) -> Weights:
    """Find the weights of the model in a checkpoint.

    They are the checkpoint itself or its entry `state_dict`, `model` or `model_state_dict`, and
    either a dictionary of tensors or a module that was saved as a whole.

    Args:
        content: what `read_checkpoint` returned.

    Raises:
        DataError: there are no weights, or modules are nested too deeply.
    """
    places = [("", content)]
    if isinstance(content, dict):
        places += [(key, content[key]) for key in PLACES if key in content]
    for place, value in places:
        if isinstance(value, Record) and "_modules" in value.state:
            return Weights(_without_prefix(dict(_tensors(value))), place, str(value.kind))
        if isinstance(value, dict) and value and all(map(_is_named_tensor, value.items())):
            return Weights(_without_prefix(value), place, "")
    raise DataError(
        f"Expected the weights of a model, by themselves or under {', '.join(PLACES)}. "
        f"Received: {_outline(content)}."
    )


def _is_named_tensor(item: tuple[Any, Any]) -> bool:
    return isinstance(item[0], str) and isinstance(item[1], StoredTensor)


def _tensors(module: Record) -> Iterator[tuple[str, StoredTensor]]:
    """Iterate over the parameters and buffers of a module by name, as its `state_dict` has them."""
    waiting, visited = [("", 0, module)], 0
    while waiting:
        prefix, depth, record = waiting.pop()
        visited += 1
        if depth > _DEEPEST or visited > _MOST_MODULES:
            raise DataError("Expected a model whose parts are nested. Received: too many of them.")
        left_out = record.state.get("_non_persistent_buffers_set", ())
        for kind in ("_parameters", "_buffers"):
            for name, tensor in _named(record, kind):
                if isinstance(tensor, StoredTensor) and name not in left_out:
                    yield prefix + name, tensor
        parts = [(name, part) for name, part in _named(record, "_modules")]
        for name, part in reversed(parts):
            if isinstance(part, Record):
                waiting.append((f"{prefix}{name}.", depth + 1, part))


def _named(record: Record, kind: str) -> Iterator[tuple[str, Any]]:
    values = record.state.get(kind, {})
    if not isinstance(values, dict) or not all(isinstance(name, str) for name in values):
        raise DataError(f"Expected {kind} of {record.kind} by name. Received: something else.")
    yield from values.items()


def _without_prefix(tensors: dict[str, StoredTensor]) -> dict[str, StoredTensor]:
    if tensors and all(name.startswith(_PREFIX) for name in tensors):
        return {name.removeprefix(_PREFIX): tensor for name, tensor in tensors.items()}
    return tensors


def _outline(content: Any) -> str:
    if isinstance(content, dict):
        keys = [str(key)[:40] for key in list(content)[:5] if isinstance(key, str | int)]
        more = " and more" if len(content) > len(keys) else ""
        return f"a dictionary with {', '.join(keys)}{more}" if content else "an empty dictionary"
    return f"an object of {content.kind}" if isinstance(content, Record) else type(content).__name__


def _read_safetensors(source: Source) -> dict[str, StoredTensor]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(source.path, framework="numpy"):
            pass  # the library checks that sizes and places of all tensors are consistent
    except SafetensorError as error:
        raise DataError(
            "Expected a file of torch.save or of safetensors. Received: neither, or a damaged one "
            f"({error})."
        ) from error
    (size,) = struct.unpack("<Q", source.read(0, 8))
    header = json.loads(source.read(8, size))
    header.pop("__metadata__", None)
    return {name: _safe_tensor(source, 8 + size, entry) for name, entry in header.items()}


def _safe_tensor(source: Source, start: int, entry: dict[str, Any]) -> StoredTensor:
    if entry["dtype"] not in _TYPES:
        raise DataError(f"Expected tensors of {', '.join(_TYPES)}. Received: {entry['dtype']}.")
    begin, end = entry["data_offsets"]
    shape = tuple(entry["shape"])
    storage = Storage(source, start + begin, 0, _TYPES[entry["dtype"]])
    storage.count = (end - begin) // storage.itemsize
    return view_of(storage, 0, shape, contiguous(shape))
