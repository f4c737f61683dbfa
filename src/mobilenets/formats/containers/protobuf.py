"""Protocol buffers, read with every length checked: a message as its fields by number.

Source: the encoding page of the official documentation.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mobilenets.errors import FormatError
from mobilenets.formats.containers.binary import Bytes

MOST_FIELDS = 1 << 16
"""Fields of one message beyond which a file is refused."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class Message:
    """A message: numbers and stretches of bytes by field number.

    Args:
        data: Its bytes.
        what: What it is, for messages.
    """

    def __init__(self, data: bytes | memoryview, what: str) -> None:
        self._what = what
        self._bytes = Bytes(data, what)
        self._fields: dict[int, list[int | memoryview]] = {}
        at, count = 0, 0
        while at < len(data):
            start, count = at, count + 1
            tag, at = read_varint(self._bytes, at)
            kind = tag & 7
            value: int | memoryview
            if kind == _VARINT:
                value, at = read_varint(self._bytes, at)
            elif kind == _BYTES:
                size, at = read_varint(self._bytes, at)
                value, at = self._bytes.take(at, size), at + size
            elif kind in (_FIXED32, _FIXED64):
                size = 4 if kind == _FIXED32 else 8
                value, at = self._bytes.take(at, size), at + size
            else:
                raise self._bytes.error(start, f"wire type {kind}")
            if count > MOST_FIELDS:
                raise self._bytes.error(start, f"more than {MOST_FIELDS} fields")
            self._fields.setdefault(tag >> 3, []).append(value)

    def has(self, field: int) -> bool:
        """Whether a field is there."""
        return field in self._fields

    def integer(self, field: int, default: int = 0) -> int:
        """The last value of an integer field, as signed 64 bits."""
        value = self._fields.get(field, [default])[-1]
        if not isinstance(value, int):
            raise FormatError(f"{self._what}: field {field} is not an integer")
        return value - (1 << 64) if value >= 1 << 63 else value

    def integers(self, field: int) -> list[int]:
        """A repeated integer field, packed or not, as signed 64 bits."""
        found: list[int] = []
        for value in self._fields.get(field, []):
            if isinstance(value, int):
                found.append(value)
                continue
            packed, at = Bytes(value, self._what), 0
            while at < len(value):
                number, at = read_varint(packed, at)
                found.append(number)
                if len(found) > MOST_FIELDS:
                    raise FormatError(f"{self._what}: field {field} has more than {MOST_FIELDS} numbers")
        return [number - (1 << 64) if number >= 1 << 63 else number for number in found]

    def real(self, field: int, default: float = 0.0) -> float:
        """A float32 field."""
        raw = self.raw(field)
        if not raw:
            return default
        if len(raw) != 4:
            raise FormatError(f"{self._what}: field {field} is not a float32")
        return float(np.frombuffer(raw, "<f4")[0])

    def reals(self, field: int, dtype: str = "<f4") -> npt.NDArray[np.generic]:
        """A packed repeated field of fixed-size numbers."""
        raw = self.raw(field)
        if len(raw) % np.dtype(dtype).itemsize:
            raise FormatError(f"{self._what}: field {field} has {len(raw)} bytes, not a multiple of {dtype}")
        return np.frombuffer(raw, dtype)

    def raw(self, field: int) -> memoryview:
        """Bytes of a field, none by default."""
        value = self._fields.get(field, [memoryview(b"")])[-1]
        if isinstance(value, int):
            raise FormatError(f"{self._what}: field {field} holds no bytes")
        return value

    def text(self, field: int) -> str:
        """Text of a field, empty by default."""
        return self._decode(self.raw(field))

    def texts(self, field: int) -> list[str]:
        """A repeated text field."""
        return [self._decode(value) for value in self._all_bytes(field)]

    def message(self, field: int, what: str) -> Message:
        """A message within this one; an empty one where there is none."""
        return Message(self.raw(field), what)

    def messages(self, field: int, what: str) -> list[Message]:
        """A repeated message field."""
        return [Message(value, what) for value in self._all_bytes(field)]

    def _all_bytes(self, field: int) -> list[memoryview]:
        values = self._fields.get(field, [])
        found = [value for value in values if not isinstance(value, int)]
        if len(found) < len(values):
            raise FormatError(f"{self._what}: field {field} holds no bytes")
        return found

    def _decode(self, value: memoryview) -> str:
        try:
            return str(value, "utf-8")
        except UnicodeDecodeError:
            raise FormatError(f"{self._what}: the text is not UTF-8") from None


def read_varint(data: Bytes, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, and the offset behind it."""
    value = data.u8(at)
    if value < 0x80:
        return value, at + 1
    value = shift = 0
    while True:
        byte = data.u8(at)
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value & ((1 << 64) - 1), at
        shift += 7
        if shift > 63:
            raise data.error(at, "a number of more than ten bytes")
