"""FlexBuffers: maps of numbers, as custom operators of LiteRT keep their settings, with every offset checked.

Source: the FlexBuffers page of the FlatBuffers documentation. The last byte is the width of the root and the one before
it its type; a map is a vector of values whose keys, their number and its own width stand before it.
"""

from __future__ import annotations

import struct

from mobilenets.formats.containers.binary import Bytes

_INT, _UINT, _FLOAT, _MAP, _BOOL = 1, 2, 3, 9, 26
MOST_ENTRIES = 256
LONGEST_KEY = 64
_FLOATS = {2: "<e", 4: "<f", 8: "<d"}


def read_numbers(data: bytes | memoryview) -> dict[str, int | float | bool]:
    """The numbers of a map, by key; values of other types are left out.

    Args:
        data: The whole buffer.

    Raises:
        FormatError: If it is damaged, or is no map.
    """
    return _FlexMap(Bytes(data, "the settings of an operator")).numbers()


class _FlexMap:
    """The map that a buffer is."""

    def __init__(self, data: Bytes) -> None:
        self._data = data
        end = len(data)
        width = self._width(data.u8(end - 1) if end > 2 else 0, end)
        if data.u8(end - 2) >> 2 != _MAP:
            raise data.error(end - 2, f"type {data.u8(end - 2) >> 2}, where a map was expected")
        self._values = self._target(end - 2 - width, width)
        self._value_width = 1 << (data.u8(end - 2) & 3)

    def numbers(self) -> dict[str, int | float | bool]:
        data, width = self._data, self._value_width
        count = self._unsigned(self._values - width, width)
        if count > MOST_ENTRIES:
            raise data.error(self._values, f"a map of {count} entries")
        key_width = self._width(self._unsigned(self._values - 2 * width, width), self._values)
        keys = self._target(self._values - 3 * width, width)
        types = self._values + count * width
        found: dict[str, int | float | bool] = {}
        for number in range(count):
            key = data.terminated(self._target(keys + number * key_width, key_width), LONGEST_KEY)
            at, kind = self._values + number * width, data.u8(types + number) >> 2
            if kind == _INT:
                found[key] = int.from_bytes(data.take(at, width), "little", signed=True)
            elif kind in (_UINT, _BOOL):
                value = self._unsigned(at, width)
                found[key] = bool(value) if kind == _BOOL else value
            elif kind == _FLOAT and width in _FLOATS:
                (found[key],) = struct.unpack(_FLOATS[width], data.take(at, width))
        return found

    def _width(self, width: int, at: int) -> int:
        if width not in (1, 2, 4, 8):
            raise self._data.error(at, f"a width of {width} bytes")
        return width

    def _unsigned(self, at: int, width: int) -> int:
        return int.from_bytes(self._data.take(at, width), "little")

    def _target(self, at: int, width: int) -> int:
        """Where an offset leads: backwards."""
        return at - self._unsigned(at, width)
