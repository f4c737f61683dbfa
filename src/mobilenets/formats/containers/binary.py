"""Bytes of a foreign file, read with every offset checked."""

from __future__ import annotations

import struct
from pathlib import Path

from mobilenets.errors import FormatError

LARGEST_FILE = 1 << 30
"""Bytes beyond which a file is refused unread. The largest MobileNet V1 takes 26 MB."""


def read_file(path: Path) -> bytes:
    """All bytes of a file.

    Raises:
        FormatError: If there is no such file, it is a folder, cannot be read, or is larger than :data:`LARGEST_FILE`.
    """
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise FormatError(f"{path} takes {path.stat().st_size >> 20} MB; no MobileNet is that large")
        return path.read_bytes()
    except FileNotFoundError:
        raise FormatError(f"{path} does not exist") from None
    except IsADirectoryError:
        raise FormatError(f"{path} is a folder, not a file") from None
    except OSError as error:
        raise FormatError(f"{path} cannot be read: {error.strerror}") from None


class Bytes:
    """Little-endian numbers and stretches of bytes at checked offsets.

    Args:
        data: The bytes.
        what: What they are, for messages, such as ``HDF5 file``.
    """

    def __init__(self, data: bytes | memoryview, what: str) -> None:
        self._data = memoryview(data)
        self._what = what

    def __len__(self) -> int:
        return len(self._data)

    def error(self, offset: int, message: str) -> FormatError:
        """An error that says where in the file it is."""
        return FormatError(f"{self._what} is damaged at offset {offset}: {message}")

    def take(self, offset: int, size: int) -> memoryview:
        """A stretch of bytes, not copied."""
        if offset < 0 or size < 0 or offset + size > len(self._data):
            raise self.error(offset, f"{size} bytes were to follow, but the file has {len(self._data)}")
        return self._data[offset : offset + size]

    def expect(self, offset: int, magic: bytes) -> None:
        """Raise unless these bytes are there."""
        found = bytes(self.take(offset, len(magic)))
        if found != magic:
            raise self.error(offset, f"expected {magic!r}, found {found!r}")

    def u8(self, offset: int) -> int:
        """Unsigned, one byte."""
        if 0 <= offset < len(self._data):  # what pickles and protocol buffers are read by, so without a slice
            return self._data[offset]
        return self.take(offset, 1)[0]

    def u16(self, offset: int) -> int:
        """Unsigned, two bytes."""
        return int.from_bytes(self.take(offset, 2), "little")

    def u32(self, offset: int) -> int:
        """Unsigned, four bytes."""
        return int.from_bytes(self.take(offset, 4), "little")

    def u64(self, offset: int) -> int:
        """Unsigned, eight bytes."""
        return int.from_bytes(self.take(offset, 8), "little")

    def i32(self, offset: int) -> int:
        """Signed, four bytes."""
        return int.from_bytes(self.take(offset, 4), "little", signed=True)

    def f32(self, offset: int) -> float:
        """A float32."""
        value: float = struct.unpack("<f", self.take(offset, 4))[0]
        return value

    def text(self, offset: int, size: int) -> str:
        """UTF-8 text of a known size."""
        try:
            return str(self.take(offset, size), "utf-8")
        except UnicodeDecodeError:
            raise self.error(offset, "the text is not UTF-8") from None

    def terminated(self, offset: int, limit: int) -> str:
        """UTF-8 text up to a zero byte, of at most ``limit`` bytes."""
        raw = bytes(self.take(offset, min(limit, max(len(self) - offset, 0))))
        end = raw.find(b"\0")
        if end < 0:
            raise self.error(offset, "a name does not end")
        return self.text(offset, end)
