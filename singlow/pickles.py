"""Read pickles without importing or calling anything that they name.

A pickle is a program for a stack machine, and the machine of Python's own module imports and calls
whatever a program names. The machine of this module has no such operations: a name stays a `Name`,
an object of any class becomes a `Record` of its state, and the few calls that containers need are
functions of this package, chosen by their full name from a closed table. A call of anything else is
refused.

References:
    The opcodes are those of protocols 0 to 5, PEP 307, PEP 3154 and PEP 574.
"""

import dataclasses
import struct
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple, NoReturn

from singlow.errors import DataError


class Limits(NamedTuple):
    """Largest numbers that a pickle may reach before it is refused.

    Attributes:
        operations: opcodes that are executed, plus the sizes of what they copy.
        stack: values on the stack, over all marks.
        marks: nested marks.
        memo: remembered values.
        text: bytes of one string.
        name: bytes of a module or of a name in it.
        digits: digits of a number that is written as text.
        integer: bytes of a binary integer.
    """

    operations: int = 4_000_000
    stack: int = 1_000_000
    marks: int = 1_000
    memo: int = 1_000_000
    text: int = 2**20
    name: int = 2**10
    digits: int = 64
    integer: int = 16


LIMITS = Limits()


@dataclasses.dataclass(frozen=True)
class Name:
    """A class or function that a pickle names; it is never imported."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


class Stateful:
    """A value that takes the state that a pickle sets on an object."""

    __slots__ = ()

    def set_state(self, state: Any) -> None:
        """Take the state.

        Raises:
            DataError: the state has a form that only code of the class can read.
        """
        raise NotImplementedError(f"{type(self).__name__} does not implement `set_state`.")


@dataclasses.dataclass(eq=False, slots=True)
class Record(Stateful):
    """What a pickle states about an object, whose class is not imported.

    Attributes:
        kind: name of the class.
        state: attributes by name.
        items: items by key, for a class that extends `dict`.
        elements: elements, for a class that extends `list`.
    """

    kind: Name
    state: dict[str, Any] = dataclasses.field(default_factory=dict, repr=False)
    items: dict[Any, Any] | None = dataclasses.field(default=None, repr=False)
    elements: list[Any] | None = dataclasses.field(default=None, repr=False)

    def set_state(self, state: Any) -> None:
        # Classes with slots have two dictionaries, or None and one.
        parts = state if isinstance(state, tuple) and len(state) == 2 else (state,)
        for part in parts:
            if part is None:
                continue
            if not isinstance(part, dict) or not all(isinstance(name, str) for name in part):
                raise DataError(
                    f"Expected the attributes of an object of {self.kind} by name. "
                    f"Received: {_described(part)}, which only code of that class could read."
                )
            self.state.update(part)


Maker = Callable[[tuple], Any]


def read_pickle(
    data: bytes,
    start: int = 0,
    makers: Mapping[str, Maker] | None = None,
    persistent: Callable[[Any], Any] | None = None,
    limits: Limits = LIMITS,
) -> tuple[Any, int]:
    """Read one pickle.

    Args:
        data: bytes that hold the pickle.
        start: place of its first byte.
        makers: functions that stand for those that a pickle may call, by full name, beside the ones
            of Python's containers. A maker takes the tuple of arguments, which it checks.
        persistent: function from a persistent id, which may be any value, to the value for it.
        limits: see `Limits`.

    Returns:
        The value, which consists of None, booleans, numbers, strings, bytes, tuples, lists, sets,
        dictionaries, `Name`, `Record`, and what makers and `persistent` return; and the place after
        the pickle.

    Raises:
        DataError: the pickle is damaged, too large, or needs code to be run.
    """
    machine = _Machine(data, start, {**_MAKERS, **(makers or {})}, persistent, limits)
    return machine.run(), machine.place


def new_record(kind: Any) -> Record:
    """Create the record of an object from the name of its class.

    Raises:
        DataError: `kind` is no name.
    """
    if not isinstance(kind, Name):
        raise DataError(f"Expected the name of a class in a pickle. Received: {_described(kind)}.")
    return Record(kind)


def _make_dict(args: tuple) -> dict[Any, Any]:
    pairs = args[0] if args else []
    if isinstance(pairs, dict):
        return dict(pairs)
    if not isinstance(pairs, list | tuple):
        _damaged("a dictionary is made of something else than pairs")
    result = {}
    for pair in pairs:
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            _damaged("a dictionary is made of something else than pairs")
        result[_key(pair[0])] = pair[1]
    return result


def _make_default_dict(args: tuple) -> dict[Any, Any]:
    return _make_dict(args[1:])


def _make_set(args: tuple) -> set[Any]:
    elements = args[0] if args else []
    if not isinstance(elements, list | tuple):
        _damaged("a set is made of something else than a list")
    return {_key(element) for element in elements}


def _make_bytes(args: tuple) -> bytes:
    """Encode text as latin-1; protocol 2 writes bytes so."""
    if len(args) != 2 or not isinstance(args[0], str) or args[1] not in ("latin1", "latin-1"):
        _damaged("bytes are not written as latin-1")
    try:
        return args[0].encode("latin-1")
    except UnicodeError:
        _damaged("bytes are not written as latin-1")


def _make_object(args: tuple) -> Record:
    """Create the record of an object in protocols 0 and 1: class, base and state of the base."""
    if len(args) != 3:
        _damaged("an object of protocol 0 has no class and base")
    if args[1] not in _OBJECTS or args[2] is not None:
        _refuse(f"an object of {_described(args[0])} with a state of its base")
    return new_record(args[0])


_OBJECTS = (Name("builtins", "object"), Name("__builtin__", "object"))
_MAKERS: dict[str, Maker] = {
    "collections.OrderedDict": _make_dict,
    "collections.defaultdict": _make_default_dict,
    "builtins.set": _make_set,
    "__builtin__.set": _make_set,
    "builtins.frozenset": _make_set,
    "__builtin__.frozenset": _make_set,
    "_codecs.encode": _make_bytes,
    "copyreg._reconstructor": _make_object,
    "copy_reg._reconstructor": _make_object,
}
_LAST_PROTOCOL = 5


class _Machine:
    """The state of an interpreted pickle: the rest of its bytes, the stack and the memo."""

    def __init__(
        self,
        data: bytes,
        start: int,
        makers: Mapping[str, Maker],
        persistent: Callable[[Any], Any] | None,
        limits: Limits,
    ) -> None:
        self.data, self.place = data, start
        self.makers, self.persistent, self.limits = makers, persistent, limits
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []  # the stack under each mark
        self.size = 0  # values in `stack` and `below`
        self.spent = 0
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        while (code := self._take(1)) != b".":
            self._spend(1)
            self._step(code)
        return self._pop()

    def _spend(self, count: int) -> None:
        self.spent += count
        if self.spent > self.limits.operations:
            _too_large("operations")

    def _spend_on(self, values: tuple) -> None:
        """Count the copies of values, which a short pickle may repeat many times."""
        for value in values:
            if isinstance(value, str | bytes | list | tuple | dict | set):
                self._spend(len(value))

    def _step(self, code: bytes) -> None:
        if code not in _OPERATIONS:
            _damaged(f"opcode {code!r} does not exist")
        _OPERATIONS[code](self)

    # Bytes

    def _take(self, size: int) -> bytes:
        end = self.place + size
        if end > len(self.data):
            _damaged("it ends too early")
        part = self.data[self.place : end]
        self.place = end
        return part

    def _number(self, form: str) -> Any:
        return struct.unpack(form, self._take(struct.calcsize(form)))[0]

    def _size(self, form: str, most: int) -> int:
        size = self._number(form)
        if not 0 <= size <= most:
            _damaged(f"a value states a size of {size} bytes, and at most {most} are allowed")
        return size

    def _line(self, most: int) -> bytes:
        end = self.data.find(b"\n", self.place, self.place + most + 1)
        if end < 0:
            _damaged(f"a line has no end within {most} bytes")
        return self._take(end + 1 - self.place)[:-1]

    # Stack and memo

    def _push(self, value: Any) -> None:
        self.size += 1
        if self.size > self.limits.stack:
            _too_large("values on the stack")
        self.stack.append(value)

    def _pop(self) -> Any:
        if not self.stack:
            _damaged("its stack is empty")
        self.size -= 1
        return self.stack.pop()

    def _top(self) -> Any:
        if not self.stack:
            _damaged("its stack is empty")
        return self.stack[-1]

    def _mark(self) -> None:
        if len(self.below) >= self.limits.marks:
            _too_large("nested marks")
        self.below.append(self.stack)
        self.stack = []

    def _pop_to_mark(self) -> list[Any]:
        if not self.below:
            _damaged("its stack has no mark")
        values, self.stack = self.stack, self.below.pop()
        self.size -= len(values)
        return values

    def _put(self, number: int) -> None:
        if len(self.memo) >= self.limits.memo and number not in self.memo:
            _too_large("remembered values")
        self.memo[number] = self._top()

    def _get(self, number: int) -> None:
        if number not in self.memo:
            _damaged(f"value {number} is used before it is made")
        self._push(self.memo[number])

    # Operations

    def _push_new(self, kind: type) -> None:
        self._push(kind())

    def _push_tuple(self, size: int) -> None:
        self._push(tuple([self._pop() for _ in range(size)][::-1]))

    def _push_number(self, form: str) -> None:
        self._push(self._number(form))

    def _push_integer(self, form: str) -> None:
        data = self._take(self._size(form, self.limits.integer))
        self._push(int.from_bytes(data, "little", signed=True))

    def _push_text(self, form: str, encoding: str) -> None:
        self._push(_text(self._take(self._size(form, self.limits.text)), encoding))

    def _push_bytes(self, form: str) -> None:
        self._push(self._take(self._size(form, self.limits.text)))

    def _put_at(self, form: str) -> None:
        self._put(self._number(form))

    def _put_at_line(self) -> None:
        self._put(_parsed(int, self._line(self.limits.digits)))

    def _put_next(self) -> None:
        self._put(len(self.memo))

    def _get_at(self, form: str) -> None:
        self._get(self._number(form))

    def _get_at_line(self) -> None:
        self._get(_parsed(int, self._line(self.limits.digits)))

    def _repeat(self) -> None:
        self._push(self._top())

    def _tuple(self) -> None:
        self._push(tuple(self._pop_to_mark()))

    def _list(self) -> None:
        self._push(self._pop_to_mark())

    def _refuse(self, what: str) -> None:
        _refuse(what)

    def _protocol(self) -> None:
        version = self._number("<B")
        if version > _LAST_PROTOCOL:
            _damaged(f"protocol {version} does not exist")

    def _frame(self) -> None:
        if self._number("<Q") > len(self.data) - self.place:
            _damaged("it ends too early")

    def _pop_value_or_mark(self) -> None:
        if self.stack:
            self._pop()
        else:
            self._pop_to_mark()

    def _text_integer(self) -> None:
        line = self._line(self.limits.digits)
        booleans = {b"00": False, b"01": True}
        self._push(booleans[line] if line in booleans else _parsed(int, line))

    def _text_long(self) -> None:
        self._push(_parsed(int, self._line(self.limits.digits).removesuffix(b"L")))

    def _text_float(self) -> None:
        self._push(_parsed(float, self._line(self.limits.digits)))

    def _quoted(self) -> None:
        line = self._line(self.limits.text)
        if len(line) < 2 or line[:1] not in (b"'", b'"') or line[-1] != line[0] or b"\\" in line:
            _damaged("a string has no quotes, or has escapes")
        self._push(_text(line[1:-1], "latin-1"))

    def _escaped(self) -> None:
        self._push(_text(self._line(self.limits.text), "raw-unicode-escape"))

    def _name(self, module: Any, name: Any) -> Name:
        if not (isinstance(module, str) and isinstance(name, str)):
            _damaged("a name is not a string")
        if max(len(module), len(name)) > self.limits.name:
            _damaged(f"a name is longer than {self.limits.name} characters")
        return Name(module, name)

    def _line_name(self) -> Name:
        module, name = (_text(self._line(self.limits.name), "utf-8") for _ in range(2))
        return self._name(module, name)

    def _global(self) -> None:
        self._push(self._line_name())

    def _stack_global(self) -> None:
        name, module = self._pop(), self._pop()
        self._push(self._name(module, name))

    def _append(self) -> None:
        value = self._pop()
        self._extend(self._top(), [value])

    def _appends(self) -> None:
        values = self._pop_to_mark()
        self._extend(self._top(), values)

    def _extend(self, target: Any, values: list[Any]) -> None:
        if isinstance(target, Record):
            target.elements = target.elements or []
            target.elements += values
        elif isinstance(target, list):
            target += values
        else:
            _damaged(f"elements are added to {_described(target)}")

    def _set_item(self) -> None:
        value, key = self._pop(), self._pop()
        self._update(self._top(), [key, value])

    def _set_items(self) -> None:
        values = self._pop_to_mark()
        self._update(self._top(), values)

    def _update(self, target: Any, values: list[Any]) -> None:
        if isinstance(target, Record):
            target.items = target.items or {}
            target = target.items
        if not isinstance(target, dict):
            _damaged(f"items are set in {_described(target)}")
        if len(values) % 2:
            _damaged("a key has no value")
        for key, value in zip(values[::2], values[1::2], strict=True):
            target[_key(key)] = value

    def _add_to_set(self) -> None:
        values = self._pop_to_mark()
        target = self._top()
        if not isinstance(target, set):
            _damaged(f"elements are added to {_described(target)}")
        target.update(_key(value) for value in values)

    def _frozen_set(self) -> None:
        self._push({_key(value) for value in self._pop_to_mark()})

    def _dict(self) -> None:
        values, target = self._pop_to_mark(), {}
        self._update(target, values)
        self._push(target)

    def _reduce(self) -> None:
        args, function = self._pop(), self._pop()
        self._push(self._made(function, args))

    def _made(self, function: Any, args: Any) -> Any:
        if not isinstance(args, tuple) or not isinstance(function, Name):
            _damaged(f"{_described(function)} is called")
        if str(function) not in self.makers:
            _refuse(f"a call of {function}")
        self._spend_on(args)
        return self.makers[str(function)](args)

    def _new(self, kind: Any, args: Any) -> None:
        if isinstance(kind, Name) and str(kind) in self.makers:
            self._push(self._made(kind, args))
            return
        if args != ():
            _refuse(f"an object of {_described(kind)} made from arguments")
        self._push(new_record(kind))

    def _new_object(self) -> None:
        args, kind = self._pop(), self._pop()
        self._new(kind, args)

    def _new_object_with_names(self) -> None:
        named, args, kind = self._pop(), self._pop(), self._pop()
        if named != {}:
            _refuse(f"an object of {_described(kind)} made from arguments")
        self._new(kind, args)

    def _instance(self) -> None:
        kind = self._line_name()
        self._new(kind, tuple(self._pop_to_mark()))

    def _object(self) -> None:
        values = self._pop_to_mark()
        if not values:
            _damaged("an object has no class")
        self._new(values[0], tuple(values[1:]))

    def _build(self) -> None:
        state, target = self._pop(), self._top()
        if isinstance(target, Stateful):
            self._spend_on(state if isinstance(state, tuple) else (state,))
            target.set_state(state)
        elif not isinstance(target, dict):  # attributes of an OrderedDict are left out
            _damaged(f"a state is set on {_described(target)}")

    def _persistent_line(self) -> None:
        self._find(_text(self._line(self.limits.name), "utf-8"))

    def _persistent(self) -> None:
        self._find(self._pop())

    def _find(self, key: Any) -> None:
        if self.persistent is None:
            _refuse("a value outside of the file")
        self._push(self.persistent(key))


_EXTENSION = partial(_Machine._refuse, what="an extension code")
_BUFFER = partial(_Machine._refuse, what="a buffer outside of the file")
_OPERATIONS: dict[bytes, Callable[[_Machine], Any]] = {
    b"\x80": _Machine._protocol,
    b"\x95": _Machine._frame,
    # Constants and empty containers
    b"N": partial(_Machine._push, value=None),
    b"\x88": partial(_Machine._push, value=True),
    b"\x89": partial(_Machine._push, value=False),
    b"}": partial(_Machine._push_new, kind=dict),
    b"]": partial(_Machine._push_new, kind=list),
    b")": partial(_Machine._push_new, kind=tuple),
    b"\x8f": partial(_Machine._push_new, kind=set),
    # Numbers
    b"J": partial(_Machine._push_number, form="<i"),
    b"K": partial(_Machine._push_number, form="<B"),
    b"M": partial(_Machine._push_number, form="<H"),
    b"G": partial(_Machine._push_number, form=">d"),
    b"\x8a": partial(_Machine._push_integer, form="<B"),
    b"\x8b": partial(_Machine._push_integer, form="<i"),
    b"I": _Machine._text_integer,
    b"L": _Machine._text_long,
    b"F": _Machine._text_float,
    # Strings and bytes; those of Python 2 are latin-1
    b"X": partial(_Machine._push_text, form="<I", encoding="utf-8"),
    b"\x8c": partial(_Machine._push_text, form="<B", encoding="utf-8"),
    b"\x8d": partial(_Machine._push_text, form="<Q", encoding="utf-8"),
    b"U": partial(_Machine._push_text, form="<B", encoding="latin-1"),
    b"T": partial(_Machine._push_text, form="<i", encoding="latin-1"),
    b"S": _Machine._quoted,
    b"V": _Machine._escaped,
    b"C": partial(_Machine._push_bytes, form="<B"),
    b"B": partial(_Machine._push_bytes, form="<I"),
    b"\x8e": partial(_Machine._push_bytes, form="<Q"),
    b"\x96": partial(_Machine._push_bytes, form="<Q"),
    # Stack and memo
    b"(": _Machine._mark,
    b"0": _Machine._pop_value_or_mark,
    b"1": _Machine._pop_to_mark,
    b"2": _Machine._repeat,
    b"q": partial(_Machine._put_at, form="<B"),
    b"r": partial(_Machine._put_at, form="<I"),
    b"p": _Machine._put_at_line,
    b"\x94": _Machine._put_next,
    b"h": partial(_Machine._get_at, form="<B"),
    b"j": partial(_Machine._get_at, form="<I"),
    b"g": _Machine._get_at_line,
    # Containers
    b"\x85": partial(_Machine._push_tuple, size=1),
    b"\x86": partial(_Machine._push_tuple, size=2),
    b"\x87": partial(_Machine._push_tuple, size=3),
    b"t": _Machine._tuple,
    b"l": _Machine._list,
    b"d": _Machine._dict,
    b"a": _Machine._append,
    b"e": _Machine._appends,
    b"s": _Machine._set_item,
    b"u": _Machine._set_items,
    b"\x90": _Machine._add_to_set,
    b"\x91": _Machine._frozen_set,
    # Names, objects and calls
    b"c": _Machine._global,
    b"\x93": _Machine._stack_global,
    b"R": _Machine._reduce,
    b"\x81": _Machine._new_object,
    b"\x92": _Machine._new_object_with_names,
    b"i": _Machine._instance,
    b"o": _Machine._object,
    b"b": _Machine._build,
    b"P": _Machine._persistent_line,
    b"Q": _Machine._persistent,
    b"\x82": _EXTENSION,
    b"\x83": _EXTENSION,
    b"\x84": _EXTENSION,
    b"\x97": _BUFFER,
    b"\x98": _BUFFER,
}


def _key(value: Any) -> Any:
    """Return a key of a dictionary or set, of a kind with a hash that a file cannot choose.

    Raises:
        DataError: the value is of another kind.
    """
    small = isinstance(value, int) and -(2**63) <= value < 2**64
    if not (value is None or small or isinstance(value, str | bytes | Name | Stateful)):
        _damaged(f"a key is {_described(value)}")
    return value


def _text(data: bytes, encoding: str) -> str:
    try:
        return data.decode(encoding)
    except UnicodeError:
        _damaged(f"a string is not {encoding}")


def _parsed(parse: Callable[[bytes], Any], text: bytes) -> Any:
    try:
        return parse(text)
    except ValueError:
        _damaged("a number cannot be read")


def _described(value: Any) -> str:
    """Describe a value for an error, without its content."""
    if isinstance(value, Name):
        return str(value)
    return f"an object of {value.kind}" if isinstance(value, Record) else type(value).__name__


def _damaged(reason: str) -> NoReturn:
    raise DataError(f"Expected a pickle that can be read. Received: one in which {reason}.")


def _refuse(what: str) -> NoReturn:
    raise DataError(
        f"Expected tensors, plain containers and objects with their state. Received: {what}, "
        "which only code could make; singlow runs no code from files."
    )


def _too_large(what: str) -> NoReturn:
    raise DataError(f"Expected a pickle that can be read. Received: one with too many {what}.")
