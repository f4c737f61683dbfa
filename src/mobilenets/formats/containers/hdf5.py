"""HDF5, as far as Keras writes it: groups, datasets that lie in one piece, and text attributes of the root.

A reader of its own, because the usual library is C that was not written for files of strangers: on damaged ones it can
crash or allocate without bound. Everything here is checked against the file's size, and no object is visited twice.

Source: HDF5 File Format Specification, version 3.0.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from mobilenets.errors import FormatError
from mobilenets.formats.containers.binary import Bytes
from mobilenets.model.model import Tensor

SIGNATURE = b"\x89HDF\r\n\x1a\n"
DEEPEST = 32
"""Levels of groups, or of tree nodes, beyond which a file is refused."""
LONGEST_NAME = 256
LONGEST_PATH = 512
MOST_STEPS = 1 << 16
"""Header messages, links and heap objects, together, beyond which a file is refused: stretches that overlap could make
a short file of endless work. Keras's files of MobileNets take some 3,000."""
MOST_DATASETS = 1024
_UNDEFINED = (1 << 64) - 1

_DATASPACE, _LINK_INFO, _DATATYPE, _LINK, _LAYOUT, _FILTERS = 0x1, 0x2, 0x3, 0x6, 0x8, 0xB
_ATTRIBUTE, _CONTINUATION, _SYMBOL_TABLE = 0xC, 0x10, 0x11


@dataclass
class Hdf5:
    """Contents of a file.

    Attributes:
        datasets: Numeric arrays by path (``layers/conv2d/vars/0``), as views of the file. Others are left out.
        groups: Paths of all groups, those that hold nothing too.
        attributes: Text attributes of the root group.
    """

    datasets: dict[str, Tensor] = field(default_factory=dict)
    groups: list[str] = field(default_factory=list)
    attributes: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Message:
    kind: int
    offset: int
    size: int


def read_hdf5(data: bytes | memoryview) -> Hdf5:
    """Read a whole file.

    Raises:
        FormatError: If it is damaged, or stores something in a way that Keras does not.
    """
    return _Reader(data).read()


class _Reader:
    def __init__(self, data: bytes | memoryview) -> None:
        self._file = Bytes(data, "the HDF5 file")
        self._data = memoryview(data)
        self._visited: set[int] = set()
        self._taken = self._told = self._steps = 0
        self._found = Hdf5()

    def read(self) -> Hdf5:
        self._file.expect(0, SIGNATURE)
        version = self._file.u8(8)
        if version in (0, 1):
            sizes, base, root = 13, 24 + 4 * version, 64 + 4 * version
        elif version in (2, 3):
            sizes, base, root = 9, 12, 36
        else:
            raise self._file.error(8, f"superblock version {version}; 0 to 3 are known")
        if (self._file.u8(sizes), self._file.u8(sizes + 1)) != (8, 8):
            raise self._file.error(sizes, "offsets and lengths must take 8 bytes")
        if self._file.u64(base) != 0:
            raise self._file.error(base, "a base address other than 0")
        self._object(self._file.u64(root), "", 0)
        return self._found

    def _visit(self, offset: int) -> None:
        if offset in self._visited:
            raise self._file.error(offset, "the same object is reached twice")
        self._visited.add(offset)

    def _step(self, offset: int) -> None:
        self._steps += 1
        if self._steps > MOST_STEPS:
            raise self._file.error(offset, f"more than {MOST_STEPS} messages, links and texts")

    def _object(self, address: int, path: str, depth: int) -> None:
        if len(path) > LONGEST_PATH:
            raise self._file.error(address, f"a path of {len(path)} characters")
        if depth > DEEPEST:
            raise self._file.error(address, f"groups nest more than {DEEPEST} deep")
        messages: dict[int, list[_Message]] = {}
        for message in self._messages(address):
            messages.setdefault(message.kind, []).append(message)
        if depth == 0:
            for message in messages.get(_ATTRIBUTE, []):
                self._attribute(message)
        if _LAYOUT in messages:
            self._dataset(path, {kind: found[-1] for kind, found in messages.items()})
        else:
            self._found.groups.append(path)
        for name, child in self._links(messages):
            self._object(child, f"{path}/{name}" if path else name, depth + 1)

    # Object headers ------------------------------------------------------------------------------------------------

    def _messages(self, address: int) -> Iterator[_Message]:
        self._visit(address)
        if self._file.u8(address) == 1:
            blocks = [(address + 16, self._file.u32(address + 8))]
            yield from self._blocks(blocks, version=1, ordered=False)
            return
        self._file.expect(address, b"OHDR\x02")
        flags = self._file.u8(address + 5)
        start = address + 6 + (16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0)
        width = 1 << (flags & 3)
        size = int.from_bytes(self._file.take(start, width), "little")
        yield from self._blocks([(start + width, size)], version=2, ordered=bool(flags & 4))

    def _blocks(self, blocks: list[tuple[int, int]], *, version: int, ordered: bool) -> Iterator[_Message]:
        """Messages of a header's blocks; a continuation message adds a block."""
        header = 8 if version == 1 else 4 + 2 * ordered
        while blocks:
            offset, size = blocks.pop(0)
            self._file.take(offset, size)
            end = offset + size
            while offset + header <= end:
                self._step(offset)
                kind = self._file.u16(offset) if version == 1 else self._file.u8(offset)
                length = self._file.u16(offset + 2) if version == 1 else self._file.u16(offset + 1)
                shared = self._file.u8(offset + (4 if version == 1 else 3)) & 2
                message = _Message(kind, offset + header, length)
                if message.offset + length > end:
                    raise self._file.error(offset, "a header message runs past its block")
                if shared and kind in (_DATASPACE, _DATATYPE, _LAYOUT, _ATTRIBUTE):
                    raise self._file.error(offset, "shared header messages are not read")
                offset = message.offset + length
                if kind == _CONTINUATION:
                    blocks.append(self._continuation(message, version))
                else:
                    yield message

    def _continuation(self, message: _Message, version: int) -> tuple[int, int]:
        offset, size = self._file.u64(message.offset), self._file.u64(message.offset + 8)
        self._visit(offset)
        if version == 1:
            return offset, size
        self._file.expect(offset, b"OCHK")
        return offset + 4, size - 8

    # Groups --------------------------------------------------------------------------------------------------------

    def _links(self, messages: dict[int, list[_Message]]) -> Iterator[tuple[str, int]]:
        for table in messages.get(_SYMBOL_TABLE, []):
            tree, heap = self._file.u64(table.offset), self._file.u64(table.offset + 8)
            self._file.expect(heap, b"HEAP")
            yield from self._tree(tree, self._file.u64(heap + 24), self._file.u64(heap + 8), DEEPEST)
        for info in messages.get(_LINK_INFO, []):
            start = info.offset + 2 + (8 if self._file.u8(info.offset + 1) & 1 else 0)
            if self._file.u64(start) != _UNDEFINED:
                raise self._file.error(start, "links in dense storage are not read; save the file with h5py's defaults")
        for message in messages.get(_LINK, []):
            yield self._link(message)

    def _tree(self, address: int, names: int, names_size: int, levels: int) -> Iterator[tuple[str, int]]:
        self._visit(address)
        if bytes(self._file.take(address, 4)) == b"SNOD":
            for index in range(self._file.u16(address + 6)):
                entry = address + 8 + 40 * index
                self._step(entry)
                name = self._file.u64(entry)
                if name >= names_size:
                    raise self._file.error(entry, "a name lies outside its heap")
                yield self._file.terminated(names + name, LONGEST_NAME), self._file.u64(entry + 8)
            return
        self._file.expect(address, b"TREE\x00")
        if levels == 0:
            raise self._file.error(address, f"a tree more than {DEEPEST} deep")
        for index in range(self._file.u16(address + 6)):
            child = self._file.u64(address + 32 + 16 * index)
            yield from self._tree(child, names, names_size, levels - 1)

    def _link(self, message: _Message) -> tuple[str, int]:
        offset = message.offset
        flags = self._file.u8(offset + 1)
        offset += 2
        if flags & 8:
            if self._file.u8(offset) != 0:
                raise self._file.error(offset, "only hard links are read")
            offset += 1
        offset += (8 if flags & 4 else 0) + (1 if flags & 16 else 0)
        width = 1 << (flags & 3)
        length = int.from_bytes(self._file.take(offset, width), "little")
        if length > LONGEST_NAME:
            raise self._file.error(offset, f"a name of {length} bytes")
        return self._file.text(offset + width, length), self._file.u64(offset + width + length)

    # Datasets and attributes ---------------------------------------------------------------------------------------

    def _dataset(self, path: str, messages: dict[int, _Message]) -> None:
        if not {_DATASPACE, _DATATYPE} <= messages.keys():
            raise FormatError(f"the HDF5 dataset {path} lacks its shape or its type")
        dtype = self._dtype(messages[_DATATYPE].offset)
        if dtype is None:
            return
        if _FILTERS in messages:
            raise FormatError(f"the HDF5 dataset {path} is compressed, which Keras files are not")
        shape = self._shape(messages[_DATASPACE].offset)
        size = int(dtype.itemsize)
        for extent in shape:
            size *= extent
        start = self._start(path, messages[_LAYOUT], size)
        self._taken += size
        if self._taken > len(self._file):
            raise FormatError(f"the HDF5 dataset {path} overlaps another")
        if len(self._found.datasets) == MOST_DATASETS:
            raise FormatError(f"the HDF5 file holds more than {MOST_DATASETS} datasets")
        self._found.datasets[path] = np.frombuffer(self._file.take(start, size), dtype).reshape(shape)

    def _start(self, path: str, layout: _Message, size: int) -> int:
        version, kind = self._file.u8(layout.offset), self._file.u8(layout.offset + 1)
        if version in (3, 4) and kind == 0:
            if self._file.u16(layout.offset + 2) != size:
                raise FormatError(f"the HDF5 dataset {path} does not hold the {size} bytes of its shape")
            return layout.offset + 4
        if version not in (3, 4) or kind != 1:
            raise FormatError(f"the HDF5 dataset {path} is stored in chunks, which Keras files are not")
        start, stored = self._file.u64(layout.offset + 2), self._file.u64(layout.offset + 10)
        if stored != size:
            raise FormatError(f"the HDF5 dataset {path} holds {stored} bytes; its shape needs {size}")
        return 0 if size == 0 else start

    def _shape(self, offset: int) -> tuple[int, ...]:
        version, rank = self._file.u8(offset), self._file.u8(offset + 1)
        if version not in (1, 2) or rank > 8:
            raise self._file.error(offset, f"dataspace version {version} of {rank} axes")
        if version == 2 and self._file.u8(offset + 3) == 2:
            return (0,)
        first = offset + (8 if version == 1 else 4)
        return tuple(self._file.u64(first + 8 * axis) for axis in range(rank))

    def _dtype(self, offset: int) -> np.dtype[np.generic] | None:
        """Type of numbers, or None for what is not a number."""
        kind, bits, size = self._file.u8(offset) & 15, self._file.u8(offset + 1), self._file.u32(offset + 4)
        order = ">" if bits & 1 else "<"
        if kind == 1 and size in (2, 4, 8):
            return np.dtype(f"{order}f{size}")
        if kind == 0 and size in (1, 2, 4, 8):
            return np.dtype(f"{order}{'i' if bits & 8 else 'u'}{size}")
        return None

    def _attribute(self, message: _Message) -> None:
        """Keep a scalar text attribute; pass over every other."""
        file, offset = self._file, message.offset
        version = file.u8(offset)
        if version not in (1, 2, 3):
            raise file.error(offset, f"attribute version {version}")
        sizes = [file.u16(offset + at) for at in (2, 4, 6)]
        padded = [(size + 7) // 8 * 8 for size in sizes] if version == 1 else sizes
        name_at = offset + (9 if version == 3 else 8)
        type_at = name_at + padded[0]
        value_at = type_at + padded[1] + padded[2]
        name = file.terminated(name_at, sizes[0]) if sizes[0] else ""
        kind, bits, size = file.u8(type_at) & 15, file.u8(type_at + 1), file.u32(type_at + 4)
        if self._shape(type_at + padded[1]) != ():
            return
        if kind == 3:
            self._found.attributes[name] = self._text(value_at, size).rstrip("\0 ")
        elif kind == 9 and bits & 15 == 1:
            self._found.attributes[name] = self._heap_text(value_at)

    def _text(self, offset: int, size: int) -> str:
        """Text of an attribute; all of them together are no longer than the file."""
        self._told += size
        if self._told > len(self._file):
            raise self._file.error(offset, "the attributes overlap each other")
        return self._file.text(offset, size)

    def _heap_text(self, offset: int) -> str:
        """Text of variable length, which lies in a global heap."""
        file = self._file
        length, heap, wanted = file.u32(offset), file.u64(offset + 4), file.u32(offset + 12)
        if length == 0:
            return ""
        file.expect(heap, b"GCOL")
        end = heap + file.u64(heap + 8)
        at = heap + 16
        while at + 16 <= min(end, len(file)):
            self._step(at)
            index, size = file.u16(at), file.u64(at + 8)
            if index == wanted:
                return self._text(at + 16, min(length, size)).rstrip("\0")
            if index == 0:
                break
            at += 16 + (size + 7) // 8 * 8
        raise file.error(offset, f"text object {wanted} is not in its heap")
