"""Files and images at addresses (``s3://…``, ``https://…``), which fsspec reads."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, cast

from PIL import Image

from mobilenets.data.decoding import decode_image
from mobilenets.data.sources import is_address
from mobilenets.errors import DataError, MissingDependencyError

if TYPE_CHECKING:
    from pathlib import Path


def file_system(address: str) -> tuple[Any, str]:
    """The file system of an address, and the path within it.

    Args:
        address: Such as ``s3://bucket/photos``.

    Raises:
        DataError: If it is of no kind that fsspec knows, or cannot be reached.
        MissingDependencyError: If fsspec, or what it needs for this kind of address, is not installed.
    """
    try:
        import fsspec
    except ModuleNotFoundError:
        raise MissingDependencyError("fsspec", "data") from None
    scheme = address.partition("://")[0]
    try:
        system, path = fsspec.core.url_to_fs(address)
    except ImportError as error:  # its message says what to install
        needed = str(error).removesuffix(".")
        raise DataError(f"{address} cannot be read: {scheme} needs another package: {needed}") from None
    except ValueError as error:
        raise DataError(f"{address} cannot be read: {error}") from None
    except Exception as error:  # whatever the store's library raises where it cannot sign in
        raise DataError(f"{address} cannot be reached: {error or type(error).__name__}") from None
    return system, str(path)


def open_binary(name: str | Path) -> IO[bytes]:
    """A file of this machine, or at an address, to be read from its beginning.

    Raises:
        DataError: If it cannot be opened.
    """
    text = str(name)
    try:
        if not is_address(text):
            return open(text, "rb")
        system, path = file_system(text)
        return cast("IO[bytes]", system.open(path, "rb"))
    except DataError:
        raise
    except Exception as error:  # stores raise what their libraries raise
        raise DataError(f"{text} cannot be read: {reason_of(error)}") from None


def reason_of(error: Exception) -> str:
    """Why a file could not be read, in as few words as there are."""
    if isinstance(error, FileNotFoundError):
        return "it does not exist"
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__


@dataclass(frozen=True)
class RemoteImage:
    """An image at an address; it is fetched whenever it is opened."""

    address: str

    @property
    def name(self) -> str:
        return self.address

    def open(self, shortest_side: int | None = None) -> Image.Image:
        return decode_image(io.BytesIO(self._content()), self.address, shortest_side)

    def digest(self) -> bytes:
        import hashlib

        return hashlib.sha256(self._content()).digest()

    def _content(self) -> bytes:
        with open_binary(self.address) as file:
            try:
                return file.read()
            except Exception as error:
                raise DataError(f"{self.address} cannot be read: {reason_of(error)}") from None
