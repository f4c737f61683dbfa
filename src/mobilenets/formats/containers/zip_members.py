"""Members of a ZIP archive as bytes, without trusting the sizes it declares."""

from __future__ import annotations

import io
import zipfile
import zlib

from mobilenets.errors import FormatError
from mobilenets.formats.containers.binary import Bytes

ZIP_BEGINNING = b"PK\x03\x04"
_LOCAL_HEADER = 30


class ZipMembers:
    """Members of an archive by name. Those that are stored uncompressed are views of it.

    Args:
        data: The archive.
        what: What it is, for messages.

    Raises:
        FormatError: If it is not a readable ZIP archive.
    """

    def __init__(self, data: bytes, what: str) -> None:
        self._data, self._what, self._unpacked = data, what, 0
        try:
            self._archive = zipfile.ZipFile(io.BytesIO(data))
        except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError, EOFError) as error:
            if isinstance(error, zipfile.BadZipFile) and data[:4] == ZIP_BEGINNING:
                raise FormatError(
                    f"{what} is cut short after {len(data):,} bytes: it begins as a ZIP archive and has no end. "
                    "Fetch or copy it again"
                ) from None
            raise FormatError(f"{what} is not a readable ZIP archive: {error}") from None
        self._infos = {info.filename: info for info in self._archive.infolist()}

    @property
    def names(self) -> list[str]:
        """Names of all members."""
        return list(self._infos)

    def member(self, name: str) -> memoryview:
        """Bytes of a member.

        Raises:
            FormatError: If there is none of that name, it is damaged, or what was unpacked so far and this would take
                more than the whole archive does.
        """
        if name not in self._infos:
            raise FormatError(f"{self._what} has no member {name!r}; it holds {', '.join(self.names)[:200]}")
        info = self._infos[name]
        if info.compress_type == zipfile.ZIP_STORED and not info.flag_bits & 1:
            data = Bytes(self._data, self._what)
            data.expect(info.header_offset, b"PK\x03\x04")
            extra = data.u16(info.header_offset + 26) + data.u16(info.header_offset + 28)
            return data.take(info.header_offset + _LOCAL_HEADER + extra, info.file_size)
        self._unpacked += info.file_size
        if self._unpacked > max(2 * len(self._data), 1 << 20):
            raise FormatError(f"{self._what}: {name} claims to unpack to {info.file_size} bytes")
        try:
            return memoryview(self._archive.read(info))
        except (
            zipfile.BadZipFile,
            zlib.error,
            ValueError,
            NotImplementedError,
            RuntimeError,
            OSError,
            EOFError,
        ) as error:
            raise FormatError(f"{self._what}: {name} is damaged: {error}") from None
