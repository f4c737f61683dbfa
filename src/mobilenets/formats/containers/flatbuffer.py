"""FlatBuffers, read with every offset checked: tables, vectors and text.

The usual accessors trust the file: an offset that points backwards or beyond it gives garbage or an endless loop.

Source: the FlatBuffers internals page of the official documentation.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from mobilenets.formats.containers.binary import Bytes

LONGEST_VECTOR = 1 << 12
"""Tables in one vector beyond which a file is refused; networks of this kind have hundreds."""
LONGEST_TEXT = 1 << 10
"""Bytes of a name: any number of names may lie at one place of the file, and each is a copy."""


class FlatbufferTable:
    """A table: fields by slot number, as the schema numbers them.

    Args:
        data: The whole file.
        position: Offset of the table.
    """

    def __init__(self, data: Bytes, position: int) -> None:
        self._data, self._position = data, position
        self._fields = position - data.i32(position)
        self._fields_size = data.u16(self._fields)

    @staticmethod
    def root(data: Bytes) -> FlatbufferTable:
        """The table that a file begins with."""
        return FlatbufferTable(data, data.u32(0))

    def _at(self, slot: int) -> int | None:
        """Offset of a field, or None where it has its default."""
        entry = 4 + 2 * slot
        if entry + 2 > self._fields_size:
            return None
        offset = self._data.u16(self._fields + entry)
        return self._position + offset if offset else None

    def i8(self, slot: int, default: int = 0) -> int:
        """A byte, signed."""
        at = self._at(slot)
        value = default if at is None else self._data.u8(at)
        return value - 256 if value > 127 else value

    def i32(self, slot: int, default: int = 0) -> int:
        """An int32."""
        at = self._at(slot)
        return default if at is None else self._data.i32(at)

    def f32(self, slot: int, default: float = 0.0) -> float:
        """A float32."""
        at = self._at(slot)
        return default if at is None else self._data.f32(at)

    def table(self, slot: int) -> FlatbufferTable | None:
        """A table within this one."""
        at = self._at(slot)
        return None if at is None else FlatbufferTable(self._data, at + self._data.u32(at))

    def text(self, slot: int) -> str:
        """Text, empty by default."""
        start, length = self._vector(slot)
        if length > LONGEST_TEXT:
            raise self._data.error(start, f"a name of {length} bytes")
        return self._data.text(start, length) if start else ""

    def raw(self, slot: int) -> memoryview:
        """A vector of bytes."""
        start, length = self._vector(slot)
        return self._data.take(start, length)

    def numbers(self, slot: int, dtype: str) -> npt.NDArray[np.generic]:
        """A vector of numbers."""
        start, length = self._vector(slot)
        kind = np.dtype(dtype)
        return np.frombuffer(self._data.take(start, length * kind.itemsize), kind)

    def tables(self, slot: int) -> list[FlatbufferTable]:
        """A vector of tables."""
        return list(self._tables(slot))

    def _tables(self, slot: int) -> Iterator[FlatbufferTable]:
        start, length = self._vector(slot)
        if length > LONGEST_VECTOR:
            raise self._data.error(start, f"a vector of {length} tables")
        for index in range(length):
            at = start + 4 * index
            yield FlatbufferTable(self._data, at + self._data.u32(at))

    def _vector(self, slot: int) -> tuple[int, int]:
        """Offset of the first element and the number of elements; (0, 0) where there is no vector."""
        at = self._at(slot)
        if at is None:
            return 0, 0
        vector = at + self._data.u32(at)
        return vector + 4, self._data.u32(vector)
