"""The pickle inside a PyTorch checkpoint, read without running anything.

Unpickling in general calls whatever the file names. This reader calls nothing: it knows the names that tensors and
dictionaries are written with, builds plain data for them, and puts a :class:`Foreign` in the place of every other
object (a scheduler's state, the arguments of a training script), whose content it passes over. Memory stays in
proportion to the file.

Source: the opcodes as documented in CPython's pickletools; ``torch/serialization.py`` for the names.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from mobilenets.formats.containers.binary import Bytes

MOST_INSTRUCTIONS = 400_000
"""A MobileNet's weights take some 4,000; with their averages and an optimizer's state, up to 100,000."""

_STORAGES = {
    "FloatStorage": "F32",
    "HalfStorage": "F16",
    "BFloat16Storage": "BF16",
    "DoubleStorage": "F64",
    "LongStorage": "I64",
    "IntStorage": "I32",
    "ByteStorage": "U8",
    "CharStorage": "I8",
    "ShortStorage": "I16",
    "BoolStorage": "BOOL",
}
_TENSORS = {("torch._utils", "_rebuild_tensor_v2"), ("torch._utils", "_rebuild_tensor")}
_PARAMETERS = {("torch._utils", "_rebuild_parameter"), ("torch._utils", "_rebuild_parameter_with_state")}
_SUBCLASS = ("torch._tensor", "_rebuild_from_type_v2")
_DICTIONARIES = {("collections", "OrderedDict"), ("collections", "defaultdict"), ("builtins", "dict")}


@dataclass(frozen=True)
class Storage:
    """Bytes that tensors look at.

    Attributes:
        key: Its name in the archive.
        kind: Type of its numbers, named as safetensors does.
        count: How many numbers it holds.
    """

    key: str
    kind: str
    count: int


@dataclass(frozen=True)
class StoredTensor:
    """A tensor as a window onto a storage: offset and strides count numbers, not bytes."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass(frozen=True)
class Foreign:
    """An object that is no plain data, or a name: nothing of it is read but what it is called.

    Attributes:
        module: Where its class or function is defined.
        name: What that is called.
    """

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


_UNNAMED = Foreign("an object", "of no name")


class _Mark:
    """Where a run of items on the stack begins."""


def load_pickle(data: Bytes, offset: int = 0, storages: dict[str, Storage] | None = None) -> tuple[Any, int]:
    """Read one pickle.

    Args:
        data: Where it lies.
        offset: Where it begins.
        storages: Receives every storage that it refers to, by key.

    Returns:
        Plain data (dictionaries, lists, tuples, text, numbers, :class:`StoredTensor`, and :class:`Foreign` for all
        else), and the offset behind its end. Items of dictionaries whose key is neither text nor an integer are left
        out.

    Raises:
        FormatError: If it is damaged.
    """
    return _Machine(data, offset, {} if storages is None else storages).run()


class _Machine:
    def __init__(self, data: Bytes, offset: int, storages: dict[str, Storage]) -> None:
        self._data, self._at, self._storages = data, offset, storages
        self._stack: list[Any] = []
        self._copied = 0
        self._memo: dict[int, Any] = {}

    def run(self) -> tuple[Any, int]:
        for _ in range(MOST_INSTRUCTIONS):
            start, code = self._at, self._data.u8(self._at)
            self._at += 1
            if code == 0x2E:  # STOP
                return self._pop(), self._at
            step = _STEPS.get(code)
            if step is None:
                raise self._data.error(start, f"pickle instruction {code:#04x}, which checkpoints do not use")
            try:
                step(self)
            except (TypeError, ValueError, IndexError, KeyError, AttributeError, OverflowError) as error:
                raise self._data.error(start, f"a pickle that makes no sense ({error!r:.100})") from None
        raise self._data.error(self._at, f"a pickle of more than {MOST_INSTRUCTIONS} instructions")

    # Reading

    def _u8(self) -> int:
        self._at += 1
        return self._data.u8(self._at - 1)

    def _number(self, width: int, *, signed: bool = False) -> int:
        if width == 1 and not signed:
            return self._u8()
        raw = self._data.take(self._at, width)
        self._at += width
        return int.from_bytes(raw, "little", signed=signed)

    def _text(self, size: int) -> str:
        self._at += size
        return self._data.text(self._at - size, size)

    def _line(self) -> str:
        end = self._at
        while self._data.u8(end) != 0x0A:
            end += 1
            if end - self._at > 256:
                raise self._data.error(self._at, "a name of more than 256 bytes")
        text = self._data.text(self._at, end - self._at)
        self._at = end + 1
        return text

    def _pop(self) -> Any:
        if not self._stack or isinstance(self._stack[-1], _Mark):
            raise self._data.error(self._at, "the pickle takes more than it has put")
        return self._stack.pop()

    def _run_of_items(self) -> list[Any]:
        for index in range(len(self._stack) - 1, -1, -1):
            if isinstance(self._stack[index], _Mark):
                items = self._stack[index + 1 :]
                del self._stack[index:]
                return items
        raise self._data.error(self._at, "the pickle names no beginning of its items")

    # Instructions

    def push(self, value: Any) -> None:
        self._stack.append(value)

    def mark(self) -> None:
        self._stack.append(_Mark())

    def protocol(self) -> None:
        if self._u8() > 5:
            raise self._data.error(self._at - 1, "an unknown pickle protocol")

    def frame(self) -> None:
        self._number(8)

    def integer(self, width: int, *, signed: bool = False) -> None:
        self.push(self._number(width, signed=signed))

    def long(self) -> None:
        self.push(self._number(self._u8(), signed=True))

    def real(self) -> None:
        self.push(struct.unpack(">d", self._data.take(self._at, 8))[0])
        self._at += 8

    def text(self, width: int) -> None:
        self.push(self._text(self._number(width)))

    def tuple_of(self, count: int) -> None:
        items = [self._pop() for _ in range(count)]
        self.push(tuple(reversed(items)))

    def skip(self, width: int) -> None:
        """Pass over bytes, whose number comes first."""
        size = self._number(width)
        self._data.take(self._at, size)
        self._at += size
        self.push(_UNNAMED)

    def global_name(self) -> None:
        module = self._line()
        self.push(Foreign(module, self._line()))

    def stack_global(self) -> None:
        name, module = self._pop(), self._pop()
        self.push(Foreign(str(_key(module)), str(_key(name))))

    def put(self, width: int) -> None:
        self._memo[self._number(width)] = self._stack[-1]

    def memoize(self) -> None:
        self._memo[len(self._memo)] = self._stack[-1]

    def get(self, width: int) -> None:
        self.push(self._memo[self._number(width)])

    def persistent(self) -> None:
        what, storage, key, _location, count, *_ = self._pop()
        if what != "storage" or type(count) is not int or count < 0:
            raise ValueError("not a storage")
        found = Storage(str(_key(key)), _STORAGES.get(storage.name, storage.name), count)
        self._storages[found.key] = found
        self.push(found)

    def reduce(self) -> None:
        """Put what a call would make: a tensor or a dictionary; whatever else is called is foreign, and is not."""
        arguments, function = self._pop(), self._pop()
        if not isinstance(function, Foreign):
            raise ValueError("what is called has no name")
        made = _made(function, arguments)
        if isinstance(made, dict):  # a copy, of which a short file could ask for a great many
            self._copied += len(made)
            if self._copied > len(self._data):
                raise self._data.error(self._at, "dictionaries are copied over and over")
        self.push(made)

    def new_object(self, parts: int) -> None:
        """An object of a class, whose arguments are passed over."""
        for _ in range(parts - 1):
            self._pop()
        kind = self._pop()
        if not isinstance(kind, Foreign):
            raise ValueError("a class has no name")
        self.push({} if (kind.module, kind.name) in _DICTIONARIES else kind)

    def build(self) -> None:
        self._pop()  # attributes of the object below, which plain data has none of

    def append(self) -> None:
        value = self._pop()
        self._extend([value])

    def appends(self) -> None:
        self._extend(self._run_of_items())

    def _extend(self, items: list[Any]) -> None:
        if not isinstance(self._stack[-1], Foreign):
            self._stack[-1].extend(items)

    def set_item(self) -> None:
        value, key = self._pop(), self._pop()
        self._update([key, value])

    def set_items(self) -> None:
        self._update(self._run_of_items())

    def _update(self, items: list[Any]) -> None:
        if len(items) % 2:
            raise ValueError("a key without a value")
        if not isinstance(self._stack[-1], Foreign):
            self._stack[-1].update(_items(zip(items[0::2], items[1::2], strict=True)))

    def set_of_items(self) -> None:
        self._run_of_items()
        self.push(_UNNAMED)

    def duplicate(self) -> None:
        self.push(self._stack[-1])


def _made(function: Foreign, arguments: Any) -> Any:
    """What a call of a function is to this reader."""
    pair = (function.module, function.name)
    if pair in _DICTIONARIES:
        given = [argument for argument in arguments if isinstance(argument, list | dict)]
        pairs = given[0].items() if given and isinstance(given[0], dict) else given[0] if given else []
        return dict(_items(pairs))
    if pair in _PARAMETERS:
        return arguments[0]
    if pair in _TENSORS:
        return _stored_tensor(*arguments[:4])
    if pair == _SUBCLASS and (arguments[0].module, arguments[0].name) in _TENSORS:
        return _stored_tensor(*arguments[2][:4])
    return function


def _items(pairs: Iterable[Any]) -> Iterator[tuple[str | int, Any]]:
    """Items of a dictionary, less those whose key is of another type than checkpoints have.

    A tuple of one tuple twice, forty times over, would never be done hashing.
    """
    for key, value in pairs:
        if isinstance(key, str | int):
            yield key, value


def _key(value: Any) -> str | int:
    """A name as checkpoints have them."""
    if not isinstance(value, str | int):
        raise TypeError(f"a name of type {type(value).__name__}")
    return value


def _stored_tensor(storage: Any, offset: Any, shape: Any, strides: Any) -> StoredTensor:
    numbers = (offset, *shape, *strides)
    if not isinstance(storage, Storage) or len(shape) != len(strides) or len(shape) > 8:
        raise ValueError("not a tensor")
    if not all(type(number) is int and number >= 0 for number in numbers):
        raise ValueError("a tensor's offset, shape and strides must be integers")
    return StoredTensor(storage, offset, tuple(shape), tuple(strides))


_STEPS = {
    0x80: _Machine.protocol,
    0x95: _Machine.frame,
    0x28: _Machine.mark,
    0x30: lambda machine: machine._pop() and None,
    0x4E: lambda machine: machine.push(None),
    0x88: lambda machine: machine.push(True),
    0x89: lambda machine: machine.push(False),
    0x4A: lambda machine: machine.integer(4, signed=True),
    0x4B: lambda machine: machine.integer(1),
    0x4D: lambda machine: machine.integer(2),
    0x8A: _Machine.long,
    0x47: _Machine.real,
    0x58: lambda machine: machine.text(4),
    0x8C: lambda machine: machine.text(1),
    0x8D: lambda machine: machine.text(8),
    0x42: lambda machine: machine.skip(4),
    0x43: lambda machine: machine.skip(1),
    0x54: lambda machine: machine.skip(4),
    0x55: lambda machine: machine.skip(1),
    0x8E: lambda machine: machine.skip(8),
    0x96: lambda machine: machine.skip(8),
    0x8B: lambda machine: machine.skip(4),
    0x8F: lambda machine: machine.push(_UNNAMED),
    0x90: lambda machine: machine.appends(),
    0x91: _Machine.set_of_items,
    0x32: _Machine.duplicate,
    0x31: lambda machine: machine._run_of_items() and None,
    0x81: lambda machine: machine.new_object(2),
    0x92: lambda machine: machine.new_object(3),
    0x5D: lambda machine: machine.push([]),
    0x7D: lambda machine: machine.push({}),
    0x29: lambda machine: machine.push(()),
    0x74: lambda machine: machine.push(tuple(machine._run_of_items())),
    0x85: lambda machine: machine.tuple_of(1),
    0x86: lambda machine: machine.tuple_of(2),
    0x87: lambda machine: machine.tuple_of(3),
    0x63: _Machine.global_name,
    0x93: _Machine.stack_global,
    0x71: lambda machine: machine.put(1),
    0x72: lambda machine: machine.put(4),
    0x94: _Machine.memoize,
    0x68: lambda machine: machine.get(1),
    0x6A: lambda machine: machine.get(4),
    0x51: _Machine.persistent,
    0x52: _Machine.reduce,
    0x62: _Machine.build,
    0x61: _Machine.append,
    0x65: _Machine.appends,
    0x73: _Machine.set_item,
    0x75: _Machine.set_items,
}
