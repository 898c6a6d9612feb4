"""`tf.train.Example` by protobuf, without TensorFlow."""

import functools
from collections.abc import Mapping
from typing import Any

from singlow.errors import DataError

Features = Mapping[str, bytes | str | int]


@functools.cache
def _example_class() -> type:
    """`tf.train.Example`, in a descriptor pool of its own: TensorFlow registers the same names."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name="singlow/example.proto", package="tensorflow", syntax="proto3"
    )

    def message(parent: Any, name: str, *fields: tuple) -> Any:
        made = parent.add(name=name)
        for number, (label, kind, repeated, oneof) in enumerate(fields, 1):
            entry = made.field.add(name=label, number=number)
            entry.label = field.LABEL_REPEATED if repeated else field.LABEL_OPTIONAL
            if isinstance(kind, str):
                entry.type, entry.type_name = field.TYPE_MESSAGE, f".tensorflow.{kind}"
            else:
                entry.type = kind
            if oneof:
                entry.oneof_index = 0
        return made

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
    """Serialize features to a `tf.train.Example`, keys in order: the same bytes every time."""
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
    """The first value of every feature of a serialized `tf.train.Example`.

    Raises:
        DataError: the payload is no Example.
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
