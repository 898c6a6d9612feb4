"""Hostile checkpoints are refused or stay inert: nothing is imported, called, opened or written."""

import contextlib
import gc
import pickle
import struct
import sys
import threading
import time
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from singlow.errors import DataError
from singlow.originals.checkpoint import read_checkpoint, weights_of
from singlow.pickles import Limits, read_pickle
from tests.sounds import mutate
from tests.torch_files import (
    FORMS,
    Module,
    Pickled,
    Raw,
    View,
    module,
    name,
    number,
    text,
    write_old,
    write_zip,
)

CANARY = "canary"
COMMAND = f"touch {CANARY}"
OS = name("os", "system")
ARRAY = np.arange(6.0)


def called(module: str, function: str, *args: bytes) -> bytes:
    """A call by REDUCE; the argument is a command that creates the canary, unless given."""
    return name(module, function) + b"(" + b"".join(args or (text(COMMAND),)) + b"tR"


FUNCTIONS = (
    ("os", "system"),
    ("posix", "system"),
    ("nt", "system"),
    ("os", "popen"),
    ("os", "remove"),
    ("os", "execv"),
    ("subprocess", "Popen"),
    ("subprocess", "check_output"),
    ("pty", "spawn"),
    ("builtins", "eval"),
    ("__builtin__", "eval"),
    ("builtins", "exec"),
    ("builtins", "compile"),
    ("builtins", "open"),
    ("builtins", "getattr"),
    ("builtins", "__import__"),
    ("builtins", "map"),
    ("importlib", "import_module"),
    ("runpy", "run_path"),
    ("shutil", "rmtree"),
    ("ctypes", "CDLL"),
    ("socket", "create_connection"),
    ("webbrowser", "open"),
    ("functools", "partial"),
    ("operator", "attrgetter"),
    ("types", "CodeType"),
    ("pickle", "loads"),
    ("marshal", "loads"),
    ("torch", "load"),
    ("torch.hub", "load"),
    ("torch._utils", "_rebuild_device_tensor_from_numpy"),
    ("torch.storage", "_load_from_bytes"),
    ("numpy", "load"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("copyreg", "__newobj__"),
    ("collections", "OrderedDict.fromkeys"),
    ("collections", "namedtuple"),
    ("singlow.files", "write_text"),
    ("singlow.pickles", "read_pickle"),
)
TARGETS = (("os", "system"), ("builtins", "eval"), ("subprocess", "Popen"))


def with_every_opcode(module: str, function: str) -> dict[str, bytes]:
    """Calls of a function with a command, by each opcode that calls or creates."""
    command, by_name = text(COMMAND), name(module, function)
    on_stack = text(module) + text(function) + b"\x93"
    return {
        "reduce": by_name + b"(" + command + b"tR",
        "reduce a name of the stack": on_stack + command + b"\x85R",
        "instance": b"(" + command + f"i{module}\n{function}\n".encode(),
        "object": b"(" + by_name + command + b"o",
        "new object": by_name + command + b"\x85\x81",
        "new object with names": by_name + command + b"\x85}\x92",
        "new object with only names": by_name + b")}" + text("args") + command + b"s\x92",
        "state that only a class reads": by_name + b")\x81" + command + b"b",
        "state in a tuple": by_name + b")\x81" + command + b"\x85b",
        "state of a name": by_name + b"}b",
        "items of a name": by_name + command + command + b"s",
        "elements of a name": by_name + command + b"a",
        "object of a base": called("copyreg", "_reconstructor", by_name, by_name, b"N"),
        "object with a state of its base": called(
            "copyreg", "_reconstructor", by_name, name("builtins", "object"), command
        ),
    }


def tensor(**changed: bytes) -> bytes:
    """Opcodes of a tensor in a storage of six numbers, with changed arguments."""
    kind = name("torch", "DoubleStorage")
    key = {"form": text("storage"), "kind": kind, "key": text("0"), "device": text("cpu")}
    key |= {"count": number(6)}
    identity = b"(" + b"".join(changed.get(part, code) for part, code in key.items()) + b"t"
    args = {"storage": identity + b"Q", "offset": b"K\x00", "shape": b"K\x06\x85"}
    args |= {"strides": b"K\x01\x85", "gradient": b"\x89", "hooks": b"}"}
    codes = b"".join(changed.get(part, code) for part, code in args.items())
    return name("torch._utils", "_rebuild_tensor_v2") + b"(" + codes + b"tR"


LONG = 100_000
INERT = {  # programs that leave nothing but records and names
    "name of a function": OS,
    "name on the stack": text("os") + text("system") + b"\x93",
    "object without arguments": OS + b")\x81",
    "instance without arguments": b"(ios\nsystem\n",
    "instance by its class": b"(" + OS + b"o",
    "object without names": OS + b")}\x92",
    "object of protocol 0": called(
        "copyreg", "_reconstructor", OS, name("builtins", "object"), b"N"
    ),
    "state with magic names": OS
    + b")\x81}("
    + text("__class__")
    + OS
    + text("__reduce__")
    + OS
    + b"ub",
    "state with slots": OS + b")\x81N}" + text("__dict__") + OS + b"s\x86b",
    "items of an object": OS + b")\x81" + text("x") + text(COMMAND) + b"s",
    "elements of an object": OS + b")\x81" + text(COMMAND) + b"a",
    "attributes of a dictionary": name("collections", "OrderedDict")
    + b")R}"
    + text("x")
    + OS
    + b"sb",
    "factory of a dictionary": called("collections", "defaultdict", OS),
    "name of a name": name("os", "path.os.system"),
    "name with control characters": name("os\x1b[2J", "\x07"),
    "deep lists": b"]" * LONG + b"a" * (LONG - 1),
    "deep objects": (OS + b")\x81") * 9000 + (b"}U\x01xN" + b"sb0") + b"",
    "list in itself": b"]q\x00h\x00a",
    "doubled lists": b"](K\x01e" + b"q\x000](h\x00h\x00e" * 60,
}
REFUSED = {
    **{f"call of {m}.{f}": called(m, f) for m, f in FUNCTIONS},
    **{
        f"{kind}: {m}.{f}": code
        for m, f in TARGETS
        for kind, code in with_every_opcode(m, f).items()
    },
    # Values outside of the pickle
    "extension code 1": b"\x82\x01",
    "extension code 2": b"\x83\x01\x00",
    "extension code 4": b"\x84\x01\x00\x00\x00",
    "buffer": b"\x97",
    "read-only buffer": OS + b"\x98",
    "persistent line": b"Pos.system\n",
    "persistent name": OS + b"Q",
    "persistent id of nothing": b")Q",
    "persistent id in itself": b"(" + text("storage") + tensor() + b"tQ",
    "nested persistent ids": tensor(key=b"(" + text("storage") + text("0") + b"tQ"),
    "list as a persistent id": b"](" + text("storage") + OS + text("0") + b"eQ",
    "call of a persistent class": b"("
    + text("module")
    + OS
    + text("")
    + text("")
    + b"tQ("
    + text(COMMAND)
    + b"tR",
    "calls in a persistent id": tensor(kind=called("os", "system")),
    # Storages and tensors
    "storage of a function": tensor(kind=OS),
    "storage of another library": tensor(kind=name("os", "DoubleStorage")),
    "storage without a name": tensor(kind=text("DoubleStorage")),
    "storage of text": tensor(kind=name("torch", "StringStorage")),
    "storage by a number": tensor(key=b"K\x00"),
    "storage outside of the file": tensor(key=text("../../etc/passwd")),
    "storage of another form": tensor(form=text("file")),
    "storage with a lying size": tensor(count=number(7)),
    "storage of exabytes": tensor(count=number(2**60)),
    "storage of less than nothing": tensor(count=number(-6)),
    "storage of a fraction": tensor(count=b"G" + struct.pack(">d", 6.0)),
    "two sizes of one storage": b"(" + tensor() + tensor(count=number(3)) + b"t",
    "two types of one storage": b"(" + tensor() + tensor(kind=name("torch", "LongStorage")) + b"t",
    "tensor of a name": tensor(storage=OS),
    "tensor of a tensor": tensor(storage=tensor()),
    "tensor past its storage": tensor(shape=b"K\x07\x85"),
    "tensor with wide strides": tensor(strides=b"K\x02\x85"),
    "tensor before its storage": tensor(offset=number(-1)),
    "tensor with a negative stride": tensor(offset=b"K\x05", strides=number(-1) + b"\x85"),
    "tensor with a late start": tensor(offset=b"K\x01"),
    "tensor of exabytes": tensor(shape=number(2**60) + b"\x85"),
    "empty tensor of exabytes": tensor(
        shape=number(2**40) * 2 + b"K\x00\x87", strides=b"K\x00K\x00K\x00\x87"
    ),
    "tensor that repeats a number": tensor(shape=number(2**30) + b"\x85", strides=b"K\x00\x85"),
    "tensor with more sizes than strides": tensor(shape=b"K\x02K\x03\x86"),
    "tensor of many axes": tensor(
        shape=b"(" + b"K\x01" * 999 + b"t", strides=b"(" + b"K\x01" * 999 + b"t"
    ),
    "tensor with a shape of text": tensor(shape=text("6")),
    "tensor with a shape of names": tensor(shape=OS + b"\x85"),
    "tensor with a boolean size": tensor(shape=b"\x88\x85"),
    "tensor without arguments": name("torch._utils", "_rebuild_tensor_v2") + b")R",
    "parameter of a name": called("torch._utils", "_rebuild_parameter", OS, b"\x88", b"}"),
    "size of a name": called("torch", "Size", OS),
    "numpy type of objects": called("numpy", "dtype", text("O8")),
    "numpy number of a name": called("numpy.core.multiarray", "scalar", OS, b"C\x00"),
    "numpy number of wrong bytes": called(
        "numpy.core.multiarray", "scalar", called("numpy", "dtype", text("f8")), b"C\x01x"
    ),
    "bytes by another codec": called("_codecs", "encode", text("x"), text("rot13")),
    # Lies and bombs
    "text of gigabytes": b"X\xff\xff\xff\x7fx",
    "text of exabytes": b"\x8d" + b"\xff" * 8,
    "text of more than allowed": b"X" + struct.pack("<I", 2**20 + 1) + b"x" * (2**20 + 1),
    "text of a negative size": b"T\xff\xff\xff\xff",
    "text that is not unicode": b"X\x01\x00\x00\x00\xff",
    "bytes of exabytes": b"\x8e" + b"\xff" * 8,
    "array of exabytes": b"\x96" + b"\xff" * 8,
    "integer of gigabytes": b"\x8b\xff\xff\xff\x7f",
    "integer of a negative size": b"\x8b\xff\xff\xff\xff",
    "integer of many digits": b"I" + b"9" * LONG + b"\n",
    "long integer of many digits": b"L" + b"9" * LONG + b"L\n",
    "float of many digits": b"F" + b"9" * LONG + b"\n",
    "integer of letters": b"Ios.system\n",
    "string without quotes": b"Sos.system\n",
    "string with escapes": b"S'\\x41'\n",
    "frame of exabytes": b"\x95" + b"\xff" * 8 + b"N",
    "many marks": b"(" * LONG,
    "many values": b"N" * 1_000_001,
    "many remembered values": b"N" + b"\x94" * 1_000_001,
    "many operations": b"N0" * 2_000_001,
    "many copies of text": text("x" * 2**20)
    + b"q\x000"
    + b"("
    + (name("_codecs", "encode") + b"h\x00" + text("latin1") + b"\x86R") * 100
    + b"t",
    "many copies of a list": b"]("
    + b"NN\x86" * LONG
    + b"eq\x000"
    + b"("
    + (name("collections", "OrderedDict") + b"h\x00\x85R") * 1000
    + b"t",
    "many copies of a state": b"}("
    + b"".join(text(str(i)) + b"N" for i in range(LONG))
    + b"uq\x000("
    + (OS + b")\x81h\x00b") * 1000
    + b"t",
    "name of many characters": name("os", "x" * 2000),
    "key of a tuple": b"})Ns",
    "key of a list": b"}]Ns",
    "key of a large integer": b"}" + number(2**100) + b"Ns",
    "key without a value": b"}(Nu",
    "set of lists": b"\x8f(]\x90",
    "frozen set of lists": b"(]\x91",
    "set of a dictionary": called("builtins", "set", b"}"),
    "dictionary of numbers": called("collections", "OrderedDict", b"K\x05"),
    "dictionary of single values": called("collections", "OrderedDict", b"](Ne"),
    "elements of a dictionary": b"}Na",
    "items of a list": b"]NNs",
    "elements of a tuple": b")(N\x90",
    # Damage
    "no value": b"",
    "empty stack": b"0" * 20,
    "no mark": b"t",
    "state of nothing": b"Nb",
    "state of a list": b"]}b",
    "call of text": text("os.system") + text(COMMAND) + b"\x85R",
    "call of a number": b"K\x01)R",
    "call with a list": OS + b"]R",
    "object of text": text("os.system") + b")\x81",
    "object without a class": b"(o",
    "value that was not remembered": b"h\x05",
    "value by a negative number": b"g-1\n",
    "name of numbers": b"K\x01K\x02\x93",
    "unfinished name": b"cos\nsystem",
    "protocol 9": b"\x80\x09N",
    "unknown opcode": b"\xff",
}
ARCHIVES = ("deflated", "encrypted", "overlapping", "same name", "shifted", "long", "two sizes")
ARCHIVES += ("outside", "many", "none", "truncated", "trailing", "renamed", "no pickle")
ARCHIVES += ("two pickles", "big endian", "program", "bomb", "lost storage", "wrong checksum")
ARCHIVES += ("comment", "other method inside", "zip64 of exabytes", "not at its end")
OLD = ("magic", "version", "byte order", "machine", "keys", "lost key", "same key", "more keys")
OLD += ("count", "negative count", "truncated", "tar", "pickle", "text", "empty")


class Audit:
    """Records events of a thread while it is switched on; a hook cannot be removed."""

    def __init__(self) -> None:
        self.events: list[tuple] | None = None
        self.thread = threading.get_ident()
        sys.addaudithook(self)

    def __call__(self, event: str, args: tuple) -> None:
        if self.events is not None and threading.get_ident() == self.thread:
            self.events.append((event, *args))


@pytest.fixture(scope="module")
def audit() -> Audit:
    return Audit()


@contextlib.contextmanager
def recorded(audit: Audit) -> Iterator[list[tuple]]:
    gc.disable()  # objects of other tests have finalizers, whose events are none of these
    audit.events = events = []
    try:
        yield events
    finally:
        audit.events = None
        gc.enable()


def attempt(path: Path, audit: Audit) -> str | None:
    """Read a checkpoint and its weights; return why it was refused, or None.

    Fail if anything else happens than that the file is opened for reading.
    """
    before = set(path.parent.iterdir())
    refusal = None
    with recorded(audit) as events:
        try:
            content = read_checkpoint(path)
            for tensor in weights_of(content).tensors.values():
                tensor.load()
        except DataError as error:
            refusal = str(error)
    others = [event for event in events if event[:3] != ("open", str(path), "r")]
    assert not others
    assert set(path.parent.iterdir()) == before
    assert refusal is None or refusal.startswith((f"{path}: ", "Expected "))
    return refusal


def test_there_are_more_than_a_hundred_hostile_pickles():
    assert len(REFUSED) + len(INERT) > 150


@pytest.mark.parametrize(
    ("case", "form"),
    [(case, form) for case in REFUSED for form in FORMS if form == "zip" or "many" not in case],
)
def test_hostile_pickles_are_refused(case, form, tmp_path, audit, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content = {"weights": ARRAY, "state_dict": Raw(REFUSED[case])}
    path = FORMS[form](tmp_path / "it.pt", content)
    started = time.perf_counter()
    refusal = attempt(path, audit)
    assert time.perf_counter() - started < 10
    assert refusal
    if case.startswith("call of ") and "." in case:
        assert f"a call of {case.removeprefix('call of ')}, which only code could make" in refusal


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("case", INERT)
def test_names_and_objects_stay_inert(case, form, tmp_path, audit, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = FORMS[form](tmp_path / "it.pt", {"x": Raw(INERT[case]), "state_dict": {"w": ARRAY}})
    assert attempt(path, audit) is None


@pytest.mark.parametrize("kind", ["reduce", "instance", "object", "reduce a name of the stack"])
def test_the_same_pickles_run_code_in_the_module_of_python(kind, tmp_path, audit, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with recorded(audit) as events:
        pickle.loads(b"\x80\x02" + with_every_opcode("os", "system")[kind] + b".")
    assert ("os.system", COMMAND.encode()) in events
    assert (tmp_path / CANARY).exists()


def nested(count: int, cyclic: bool) -> Raw:
    """Modules in modules, or in themselves."""
    writer = Pickled(None)
    kind = name("glow", "WaveGlow") + b")\x81"
    if cyclic:
        state = writer.code({"_modules": {"x": Raw(b"h\x07")}})
        return Raw(kind + b"q\x07" + state + b"b")
    start = kind + b"}" + text("_modules") + b"}" + text("x")
    return Raw(start * count + b"N" + b"ssb" * count)


def test_modules_that_never_end_are_refused(tmp_path, audit):
    shared = name("m", "C") + b")\x81}" + text("_modules") + b"}sbq\x000"
    for _ in range(60):
        parts = b"}(" + text("a") + b"h\x00" + text("b") + b"h\x00u"
        shared += name("m", "C") + b")\x81}" + text("_modules") + parts + b"sbq\x000"
    for code in (nested(5000, False), nested(1, True), Raw(shared + b"h\x00")):
        path = write_zip(tmp_path / "it.pt", {"model": code})
        assert "too many of them" in attempt(path, audit)


def entries_of(path: Path) -> tuple[bytearray, list[int], list[int], int]:
    """Bytes of a zip file, places of its entries and directory entries, and place of its end."""
    body = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as file:
        entries = [entry.header_offset for entry in file.infolist()]
        place, directory = file.start_dir, []
    for _ in entries:
        directory.append(place)
        place += 46 + sum(struct.unpack_from("<3H", body, place + 28))
    return body, entries, directory, body.rindex(b"PK\x05\x06")


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("case", ARCHIVES)
def test_hostile_archives_are_refused(case, tmp_path, audit):
    path = write_zip(tmp_path / "it.pt", {"state_dict": {"w": ARRAY}})
    assert attempt(path, audit) is None
    body, entries, directory, end = entries_of(path)
    data = Pickled({"w": ARRAY}).data
    if case in ("deflated", "bomb"):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
            file.writestr("a/data.pkl", data)
            file.writestr("a/data/0", ARRAY.tobytes() if case == "deflated" else bytes(2**26))
    elif case in ("same name", "no pickle", "two pickles"):
        names = {
            "same name": ("a/data.pkl", "a/data/0", "a/data/0"),
            "no pickle": ("a/pickle", "a/data/0"),
            "two pickles": ("a/data.pkl", "b/data.pkl", "a/data/0"),
        }
        with zipfile.ZipFile(path, "w") as file:
            for entry in names[case]:
                file.writestr(entry, ARRAY.tobytes() if entry == "a/data/0" else data)
    elif case == "big endian":
        write_zip(path, {"w": ARRAY}, byteorder=b"big")
    elif case == "program":
        write_zip(path, {"w": ARRAY}, **{"constants.pkl": b"\x80\x02)."})
    elif case == "lost storage":
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("a/data.pkl", data)
    elif case == "zip64 of exabytes":
        locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, 2**62, 1)
        body[end:end] = locator
        path.write_bytes(body)
    else:
        fields = {  # place, form and value of a changed number
            "encrypted": (directory[0] + 8, "<H", 1),
            "overlapping": (directory[1] + 42, "<L", entries[0]),
            "shifted": (directory[1] + 42, "<L", entries[1] + 1),
            "long": (directory[-1] + 20, "<LL", (2**31, 2**31)),
            "two sizes": (directory[-1] + 20, "<L", 47),
            "outside": (directory[-1] + 42, "<L", len(body) - 4),
            "many": (end + 10, "<H", 2**16 - 1),
            "none": (end + 10, "<H", 0),
            "renamed": (entries[0] + 30, "<B", ord("x")),
            "wrong checksum": (directory[0] + 16, "<L", 1),
            "comment": (end + 20, "<H", 5),
            "other method inside": (entries[0] + 8, "<H", 8),
            "not at its end": (end + 16, "<L", end),
        }
        if case in fields:
            place, form, value = fields[case]
            struct.pack_into(form, body, place, *(value if isinstance(value, tuple) else (value,)))
        path.write_bytes(body[:-30] if case == "truncated" else body + b"x" * (case == "trailing"))
    assert attempt(path, audit)


@pytest.mark.parametrize("case", OLD)
def test_hostile_files_of_the_older_form_are_refused(case, tmp_path, audit):
    pickled = Pickled({"w": ARRAY}, old=True)
    machine = {"protocol_version": 1001, "little_endian": True}
    parts = [0x1950A86A20F9469CFC6C, 1001, machine]
    keys, count, numbers = ["0"], 6, ARRAY.tobytes()
    if case == "magic":
        parts[0] = 5
    elif case == "version":
        parts[1] = 1002
    elif case in ("byte order", "machine"):
        parts[2] = {"little_endian": False} if case == "byte order" else ["x"]
    elif case == "truncated":
        numbers = numbers[:-1]
    else:
        keys = {
            "keys": {"0": 1},
            "lost key": [],
            "same key": ["0", "0"],
            "more keys": ["0", "1"],
        }.get(case, keys)
        count = {"count": 7, "negative count": -6}.get(case, count)
    body = b"".join(Pickled(part).data for part in parts) + pickled.data + Pickled(keys).data
    body += struct.pack("<q", count) + numbers
    other = {"tar": bytes(257) + b"ustar" + bytes(2000), "empty": b"", "text": b"os.system"}
    other["pickle"] = b"\x80\x02" + called("os", "system") + b"."
    path = tmp_path / "it.pt"
    path.write_bytes(other.get(case, body))
    refusal = attempt(path, audit)
    assert refusal
    assert case != "tar" or "tar file" in refusal


def test_what_is_no_regular_file_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"Expected a file\. Received: a folder or a device"):
        read_checkpoint(tmp_path)
    with pytest.raises(DataError, match=r"Expected a file\. Received: a folder or a device"):
        read_checkpoint("/dev/zero")
    with pytest.raises(FileNotFoundError):
        read_checkpoint(tmp_path / "none.pt")


@pytest.mark.parametrize("form", FORMS)
def test_damaged_files_are_refused_or_read(form, tmp_path, audit):
    rng = np.random.default_rng(1)
    weights = {f"conv.{number}.weight": rng.standard_normal(4) for number in range(8)}
    content = {"model": module(weights, ("glow", "WaveGlow")), "state": Module("m", "C", {"a": 1})}
    body = FORMS[form](tmp_path / "it.pt", content).read_bytes()
    refused = 0
    for _ in range(300):
        _, damaged = mutate(body, rng)
        (tmp_path / "it.pt").write_bytes(damaged)
        refused += attempt(tmp_path / "it.pt", audit) is not None
    assert refused > 100


def test_limits_count_operations():
    code = b"\x80\x02" + b"N0" * 10 + b"N."
    assert read_pickle(code, limits=Limits(operations=22)) == (None, len(code))
    with pytest.raises(DataError, match="too many operations"):
        read_pickle(code, limits=Limits(operations=21))


def test_checksums_that_were_not_computed_are_not_compared(tmp_path, audit):
    path = write_zip(tmp_path / "it.pt", {"w": ARRAY})
    body, _, directory, _ = entries_of(path)
    for place in directory:
        assert struct.unpack_from("<L", body, place + 16)[0] != zlib.crc32(b"")
        struct.pack_into("<L", body, place + 16, 0)
    path.write_bytes(body)
    assert attempt(path, audit) is None


def test_two_forms_agree_on_views(tmp_path):
    view = View(ARRAY, 1, (2, 2), (1, 2))
    for write in (write_zip, write_old):
        content = read_checkpoint(write(tmp_path / "it.pt", {"w": view, "x": ARRAY}))
        np.testing.assert_array_equal(content["w"].load(), [[1, 3], [2, 4]])
