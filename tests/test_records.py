"""TFRecord files and Examples have the same bytes as TensorFlow's; damage loses few records."""

import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from singlow.data.store.records import (
    FOOTER,
    HEADER,
    frame,
    index_shard,
    masked_crc,
    read_example,
    read_shard,
    write_example,
    write_shard,
)
from singlow.errors import DataError
from tests.clock import growth, loops
from tests.conftest import BACKEND

FEATURES = {"audio": b"\x00\xff" * 50, "length": 50, "speaker": -3, "text": "grüße", "empty": b""}


@pytest.fixture
def tf():
    if BACKEND != "tensorflow":
        pytest.skip("TensorFlow is the other backend")
    import tensorflow

    return tensorflow


def shard(path: Path, count: int = 5) -> tuple[Path, list[bytes]]:
    rng = np.random.default_rng(0)
    payloads = [
        write_example({"audio": rng.bytes(100 + 37 * number), "id": f"clip {number}"})
        for number in range(count)
    ]
    write_shard(path, payloads)
    return path, payloads


def recovered(path: Path) -> list[bytes]:
    body = path.read_bytes()
    return [body[r.start : r.start + r.length] for r in index_shard(path)[0]]


def test_masked_checksum_of_the_standard_vector():
    crc = 0xE3069283  # CRC32C of "123456789", RFC 3720
    expected = (((crc >> 15) | (crc << 17)) + 0xA282EAD8) % 2**32
    assert masked_crc(b"123456789") == expected


@settings(max_examples=50, deadline=None)
@given(
    st.dictionaries(
        st.text(max_size=5),
        st.one_of(st.binary(max_size=50), st.integers(-(2**63), 2**63 - 1)),
        max_size=5,
    )
)
def test_examples_are_read_as_written(features):
    assert read_example(write_example(features)) == features


def test_examples_do_not_depend_on_the_order_of_keys():
    assert write_example(FEATURES) == write_example(dict(reversed(FEATURES.items())))


def test_bytes_that_are_no_example_are_refused():
    with pytest.raises(DataError, match="Example"):
        read_example(b"\xff\xff\xff")


def test_tensorflow_reads_our_records(tf, tmp_path):
    path, payloads = shard(tmp_path / "a")
    assert list(tf.data.TFRecordDataset(str(path)).as_numpy_iterator()) == payloads
    theirs = tf.train.Example.FromString(write_example(FEATURES))
    values = theirs.features.feature
    assert values["audio"].bytes_list.value[0] == FEATURES["audio"]
    assert values["speaker"].int64_list.value[0] == -3
    assert values["text"].bytes_list.value[0].decode() == "grüße"


def test_we_read_tensorflow_s_records(tf, tmp_path):
    feature = tf.train.Feature
    example = tf.train.Example(
        features=tf.train.Features(
            feature={
                "audio": feature(bytes_list=tf.train.BytesList(value=[b"abc"])),
                "length": feature(int64_list=tf.train.Int64List(value=[7, 8])),
                "level": feature(float_list=tf.train.FloatList(value=[0.5])),
            }
        )
    )
    path = tmp_path / "theirs"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for _ in range(3):
            writer.write(example.SerializeToString())
    assert list(read_shard(path)) == 3 * [{"audio": b"abc", "length": 7, "level": 0.5}]


def test_an_interrupted_write_leaves_no_shard(tmp_path):
    def payloads():
        yield b"one"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_shard(tmp_path / "a", payloads())
    assert list(tmp_path.iterdir()) == []


def test_any_flipped_bit_is_named_and_the_rest_recovered(tmp_path):
    path, payloads = shard(tmp_path / "a")
    body = path.read_bytes()
    records = index_shard(path)[0]
    rng = np.random.default_rng(1)
    for place in rng.integers(len(body), size=80):
        spoilt = bytearray(body)
        spoilt[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(spoilt)
        number = sum(record.offset <= place for record in records) - 1
        damages = index_shard(path)[1]
        assert recovered(path) == payloads[:number] + payloads[number + 1 :]
        (damage,) = damages
        assert (damage.shard, damage.record) == (path, number)
        assert damage.offset == records[number].offset
        assert damage.size == records[number].length + HEADER + FOOTER
        with pytest.raises(DataError, match=f"record {number}, at byte {damage.offset}"):
            list(read_shard(path))


def test_a_cut_shard_is_named_and_the_rest_recovered(tmp_path):
    path, payloads = shard(tmp_path / "a")
    body = path.read_bytes()
    ends = [record.start + record.length + FOOTER for record in index_shard(path)[0]]
    for size in np.random.default_rng(2).integers(1, len(body), 40):
        if size in ends:
            continue
        path.write_bytes(body[:size])
        whole = sum(end <= size for end in ends)
        assert recovered(path) == payloads[:whole]
        assert "cut" in index_shard(path)[1][0].reason


def test_lost_and_foreign_bytes_between_records(tmp_path):
    path, payloads = shard(tmp_path / "a")
    body, second = path.read_bytes(), index_shard(path)[0][1].offset
    path.write_bytes(body[:second] + bytes(1000) + body[second:])
    assert recovered(path) == payloads
    path.write_bytes(body[:second] + body[second + 5 :])
    assert recovered(path) == payloads[:1] + payloads[2:]


@pytest.mark.parametrize("filler", [bytes(8), b"\1" + bytes(7), b"\1\0\2\0\0\0\0\0\0\0\0"])
def test_a_long_foreign_stretch_is_passed_quickly(filler, tmp_path):
    path, payloads = shard(tmp_path / "a")
    body, second = path.read_bytes(), index_shard(path)[0][1].offset
    path.write_bytes(body[:second] + filler * ((4 << 20) // len(filler)) + body[second:])
    found = []
    assert loops(lambda: found.extend(recovered(path))) < 50
    assert found == payloads


def headers(count: int, size: int) -> bytes:
    """Return headers of records with different lengths and valid checksums, without payloads."""
    lengths = (struct.pack("<Q", size - 13 * number) for number in range(count))
    return b"".join(length + struct.pack("<I", masked_crc(length)) for length in lengths)


def test_damage_that_looks_like_headers_is_passed_in_linear_time(tmp_path):
    path, payloads = shard(tmp_path / "a")
    body, second = path.read_bytes(), index_shard(path)[0][1].offset
    paths = {}
    for count in (5_000, 40_000):
        foreign = headers(count, 13 * count + 1000)
        rest = body[second:] + bytes(13 * count)
        paths[count] = tmp_path / f"{count}"
        paths[count].write_bytes(body[:second] + foreign + rest)
        assert recovered(paths[count]) == payloads
    assert growth(lambda count: recovered(paths[count]), 5_000, 8) < 24


def test_many_small_damages_are_passed_in_linear_time(tmp_path):
    path = tmp_path / "a"
    small = frame(b"payload")
    bad = headers(1, 1 << 20) + b"no record"
    path.write_bytes(2000 * (small + bad) + small + bytes(1 << 20))
    found = []
    assert loops(lambda: found.extend(recovered(path))) < 100
    assert found == 2001 * [b"payload"]


@pytest.mark.parametrize("length", [1, 200, 256, 257, 70_000, (1 << 20) + 3])
def test_records_of_any_length_are_found_behind_damage(length, tmp_path):
    rng = np.random.default_rng(length)
    payloads = [rng.bytes(length), rng.bytes(length), rng.bytes(3)]
    write_shard(tmp_path / "a", payloads)
    body = bytearray((tmp_path / "a").read_bytes())
    (tmp_path / "a").write_bytes(b"\7" * 1000 + body)
    assert recovered(tmp_path / "a") == payloads
    body[length + HEADER + FOOTER + HEADER + length // 2] ^= 1
    (tmp_path / "a").write_bytes(b"\7" * 1000 + body)
    assert recovered(tmp_path / "a") == payloads[::2]


def test_a_record_inside_a_damaged_payload_is_not_taken_for_one(tmp_path):
    payloads = [b"first", b"x" * 40 + frame(b"inner") + b"y" * 40, b"third"]
    write_shard(tmp_path / "a", payloads)
    body = bytearray((tmp_path / "a").read_bytes())
    body[body.index(b"xxx")] ^= 1
    (tmp_path / "a").write_bytes(body)
    assert recovered(tmp_path / "a") == payloads[::2]
    last = body.index(frame(b"third"))
    (tmp_path / "a").write_bytes(body[:last])
    assert recovered(tmp_path / "a") == payloads[:1]


def test_two_damaged_records_keep_their_numbers(tmp_path):
    path, payloads = shard(tmp_path / "a")
    body = bytearray(path.read_bytes())
    for number in (1, 3):
        body[index_shard(path)[0][number].start + 5] ^= 1
    path.write_bytes(body)
    assert [damage.record for damage in index_shard(path)[1]] == [1, 3]
    assert recovered(path) == payloads[::2]


def test_an_empty_shard_holds_nothing(tmp_path):
    (tmp_path / "a").touch()
    assert index_shard(tmp_path / "a") == ([], [])


def test_neither_tensorflow_nor_keras_is_imported():
    code = (
        "import sys; sys.modules['tensorflow'] = sys.modules['keras'] = None\n"
        "from singlow.data.prepare import build, repair\n"
        "from singlow.data.feed import recordings, windows\n"
        "from singlow.data.store.records import read_example, write_example\n"
        "assert read_example(write_example({'a': 1})) == {'a': 1}\n"
        "assert not {'librosa', 'matplotlib', 'rich', 'scipy'} & set(sys.modules)\n"
    )
    root = Path(__file__).resolve().parents[1]
    subprocess.run([sys.executable, "-c", code], cwd=root, env=os.environ, check=True)
