"""Files of PyTorch and of safetensors are read exactly, one tensor at a time, without PyTorch."""

import dataclasses
import os
import resource
import struct
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from singlow.errors import DataError
from singlow.originals.checkpoint import read_checkpoint, weights_of
from singlow.originals.tensors import Source, Storage, StoredTensor
from singlow.pickles import Name, Record, read_pickle
from tests.torch_files import FORMS, Module, View, module, write_old, write_zip

FOLDER = Path(__file__).parent / "checkpoint_files"  # written by PyTorch, see make_torch_files.py
BOTH = ("", "-old")
TYPES = ("float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8")
WEIGHTS = {  # of `Voice` in make_torch_files.py, but for the type of the counter
    "conv.bias": (3,),
    "conv.weight_g": (3, 1, 1),
    "conv.weight_v": (3, 2, 3),
    "lstm.bias_hh_l0": (8,),
    "lstm.bias_hh_l0_reverse": (8,),
    "lstm.bias_ih_l0": (8,),
    "lstm.bias_ih_l0_reverse": (8,),
    "lstm.weight_hh_l0": (8, 2),
    "lstm.weight_hh_l0_reverse": (8, 2),
    "lstm.weight_ih_l0": (8, 3),
    "lstm.weight_ih_l0_reverse": (8, 3),
    "norm.bias": (3,),
    "norm.num_batches_tracked": (),
    "norm.running_mean": (3,),
    "norm.running_var": (3,),
    "norm.weight": (3,),
    "parts.0.weight": (4, 2),
    "parts.1.bias": (2,),
    "parts.1.weight": (2,),
}


@pytest.mark.parametrize("form", BOTH)
@pytest.mark.parametrize(
    ("name", "place", "kind"),
    [
        ("module", "model", "__main__.Voice"),
        ("parallel", "", "torch.nn.parallel.data_parallel.DataParallel"),
        ("state", "state_dict", ""),
    ],
)
def test_weights_that_pytorch_saved_are_equal(name, place, kind, form):
    weights = weights_of(read_checkpoint(FOLDER / f"{name}{form}.pt"))
    assert (weights.place, weights.kind) == (place, kind)
    assert {key: tensor.shape for key, tensor in weights.tensors.items()} == WEIGHTS
    start = 0
    for key in sorted(WEIGHTS):
        values = weights.tensors[key].load()
        expected = (start + np.arange(values.size)) / 8
        counts = "int64" if key == "norm.num_batches_tracked" else "float32"
        np.testing.assert_array_equal(values.reshape(-1), expected.astype(counts))
        assert values.dtype == counts
        start += values.size


@pytest.mark.parametrize("form", BOTH)
def test_tensors_of_every_type_and_view_are_equal(form):
    content = read_checkpoint(FOLDER / f"tensors{form}.pt")
    for kind in TYPES:
        assert content[kind].dtype == kind
        values = content[kind].load()
        assert values.dtype == ("float32" if kind == "bfloat16" else kind)
        np.testing.assert_array_equal(values, np.arange(5))
    base = np.arange(24, dtype="float32")
    expected = {
        "bool": np.array([True, False, True]),
        "scalar": np.float32(2.5),
        "empty": np.zeros((0, 3), "float32"),
        "base": base,
        "part": base[4:10],
        "turned": base.reshape(4, 6).T,
        "sliced": base.reshape(4, 6)[1:, ::2],
        "parameter": base.reshape(2, 12)[1],
    }
    for name, values in expected.items():
        loaded = content[name].load()
        np.testing.assert_array_equal(loaded, values)
        assert (loaded.dtype, loaded.shape) == (values.dtype, values.shape)
        assert loaded.flags.c_contiguous
    assert content["part"].storage is content["base"].storage
    assert content["rate"] == 0.25
    assert content["steps"] == 7
    assert content["plain"] == [1, (2.5, None), {"x": True}, {3}, "grüße", 2**40, -1]
    assert content["bytes"] == b"\x00\xff"


def test_objects_keep_their_state_and_names_stay_names():
    content = read_checkpoint(FOLDER / "module.pt")
    voice = content["model"]
    assert voice.kind == Name("__main__", "Voice")
    assert voice.state["activation"] == Name("torch.nn.functional", "relu")
    assert voice.state["sizes"] == (2, 3)
    assert voice.state["names"] == {"one", "two"}
    hook = voice.state["_modules"]["conv"].state["_forward_pre_hooks"]
    assert [str(record.kind) for record in hook.values()] == [
        "torch.nn.utils.weight_norm.WeightNorm"
    ]
    assert content["iteration"] == 5
    assert content["optimizer"]["param_groups"][0]["lr"] == 0.001


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("place", ["", "model", "state_dict", "model_state_dict"])
@pytest.mark.parametrize("whole", [False, True])
def test_weights_are_found_in_every_layout(form, wrapped, place, whole, tmp_path):
    rng = np.random.default_rng(0)
    arrays = {name: rng.standard_normal(shape) for name, shape in WEIGHTS.items()}
    if whole:
        value = module(arrays, ("glow", "WaveGlow"), wrapped)
    else:
        value = OrderedDict(("module." * wrapped + name, a) for name, a in arrays.items())
    content = {place: value, "iteration": 3, "optimizer": {"state": {}}} if place else value
    weights = weights_of(read_checkpoint(FORMS[form](tmp_path / "it.pt", content)))
    assert weights.place == place
    assert weights.tensors.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(weights.tensors[name].load(), array)


@pytest.mark.parametrize("form", FORMS)
def test_storages_of_other_devices_are_read(form, tmp_path):
    view = View(np.arange(6.0), 1, (2, 2), (2, 1), location="cuda:1", module="torch.cuda")
    content = read_checkpoint(FORMS[form](tmp_path / "it.pt", {"x": view}))
    np.testing.assert_array_equal(content["x"].load(), [[1, 2], [3, 4]])


def test_safetensors_are_read_with_bfloat16(tmp_path):
    path = tmp_path / "it.safetensors"
    arrays = {"a.b": np.arange(6, dtype="float16").reshape(2, 3), "c": np.array(3)}
    safetensors.numpy.save_file(arrays, path, metadata={"format": "pt"})
    weights = weights_of(read_checkpoint(path))
    assert weights.tensors.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(weights.tensors[name].load(), array)
        assert weights.tensors[name].dtype == str(array.dtype)
    header = b'{"x":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]}}'
    path.write_bytes(struct.pack("<Q", len(header)) + header + b"\xc0\x3f\x00\xc0")
    np.testing.assert_array_equal(read_checkpoint(path)["x"].load(), np.float32([1.5, -2]))


def test_memory_holds_one_tensor_at_a_time(tmp_path):
    array = np.ones(2**20, "float32")
    arrays = {f"w{number}": array + number for number in range(32)}
    path = write_zip(tmp_path / "it.pt", arrays)
    del arrays
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number, tensor in enumerate(weights_of(read_checkpoint(path)).tensors.values()):
        assert tensor.load()[0] == number + 1
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 3 * array.nbytes // 1024


@pytest.mark.parametrize("form", FORMS)
def test_a_file_that_changes_is_not_read_on(form, tmp_path):
    path = FORMS[form](tmp_path / "it.pt", {"x": np.arange(3.0)})
    tensor = read_checkpoint(path)["x"]
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(DataError, match="changed while it was read"):
        tensor.load()
    os.unlink(path)
    with pytest.raises(FileNotFoundError):
        tensor.load()


def test_a_damaged_tensor_is_refused(tmp_path):
    path = write_zip(tmp_path / "it.pt", {"x": np.arange(300.0)})
    body = bytearray(path.read_bytes())
    body[body.index(np.float64(299).tobytes())] ^= 1
    path.write_bytes(body)
    tensor = read_checkpoint(path)["x"]
    with pytest.raises(DataError, match=r"it\.pt: damaged: a tensor differs from its checksum"):
        tensor.load()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"epoch": 3, "net": {"x": np.ones(2)}}, "Received: a dictionary with epoch, net"),
        ({}, "an empty dictionary"),
        ([np.ones(2)], "Received: list"),
        ({"model": Module("glow", "WaveGlow", {})}, "a dictionary with model"),
        ({"model": {"x": 3}}, "a dictionary with model"),
    ],
)
def test_a_checkpoint_without_weights_is_described(content, message, tmp_path):
    with pytest.raises(DataError, match=message):
        weights_of(read_checkpoint(write_zip(tmp_path / "it.pt", content)))


def test_python_2_and_protocol_0_are_read():
    # pickle.dumps(dict(a=[1, 2L, 2.5, None, True, u"\xe9", "s"]), 0) of Python 2
    old = b"(dp0\nS'a'\np1\n(lp2\nI1\naL2L\naF2.5\naNaI01\naV\\u00e9\np3\naS's'\np4\nas."
    assert read_pickle(old)[0] == {"a": [1, 2, 2.5, None, True, "é", "s"]}
    record = read_pickle(
        b"ccopy_reg\n_reconstructor\n(cmine\nVoice\nc__builtin__\nobject\nNtR(dS'x'\nI3\nsb."
    )[0]
    assert isinstance(record, Record)
    assert (str(record.kind), record.state) == ("mine.Voice", {"x": 3})


def test_classes_that_extend_containers_keep_their_content():
    record = read_pickle(b"cmine\nSettings\n)\x81(U\x01aK\x01u(K\x05e}U\x01xK\x02sb.")[0]
    assert (record.items, record.elements, record.state) == ({"a": 1}, [5], {"x": 2})


def test_loads_equal_pytorch(tmp_path):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    rng = np.random.default_rng(0)
    content = {"x": rng.standard_normal((3, 4)), "y": rng.integers(0, 9, 5).astype("int16")}
    for form, write in FORMS.items():
        path = write(tmp_path / f"{form}.pt", content)
        theirs, ours = torch.load(path, weights_only=True), read_checkpoint(path)
        for name, array in content.items():
            np.testing.assert_array_equal(theirs[name].numpy(), array)
            np.testing.assert_array_equal(ours[name].load(), array)


def test_a_tensor_states_its_size(tmp_path):
    path = tmp_path / "it"
    path.write_bytes(bytes(64))
    tensor = StoredTensor(Storage(Source(path), 8, 12, "float16"), 2, (2, 2), (4, 1))
    assert (tensor.nbytes, tensor.dtype) == (8, "float16")
    assert dataclasses.replace(tensor, shape=(0, 2)).load().shape == (0, 2)


def test_both_forms_of_the_writer_hold_the_same(tmp_path):
    content = {"a": [1, "x", None, 2.5], "b": Module("m", "C", {"k": True})}
    one, two = (
        read_checkpoint(write(tmp_path / "it.pt", content)) for write in (write_zip, write_old)
    )
    assert one["a"] == two["a"] == content["a"]
    assert one["b"].state == two["b"].state == {"k": True}
