"""Folders that parts of a result are written to: of this machine, or at an address."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any, Protocol, cast

from mobilenets.base.atomic_write import check_folder_of, write_atomically
from mobilenets.data.remote import file_system, reason_of
from mobilenets.data.sources import is_address
from mobilenets.errors import DataError


class PartStorage(Protocol):
    """A file that is made of parts, and the folder of the parts beside it."""

    def exists(self) -> bool:
        """Whether the file is there."""

    def write_part(self, name: str, content: bytes) -> None:
        """Write a part, whole or not at all; it takes the place of one of the same name."""

    def open_part(self, name: str) -> IO[bytes] | None:
        """A part to be read; None if there is none of that name."""

    def create(self) -> Any:
        """A context that gives the file, to be written; it appears when the context ends without an error."""

    def remove_parts(self) -> None:
        """Remove the folder of the parts, if it is there."""

    def lock(self) -> None:
        """Refuse to write where another process does, as far as that can be told, until :meth:`unlock`."""

    def unlock(self) -> None:
        """Let others write."""


def storage_of(path: str) -> PartStorage:
    """Where a result is written: to a path of this machine, or to an address.

    Raises:
        DataError: If its folder is not there, or the address is of no known kind.
    """
    return _RemoteStorage(path) if is_address(path) else _LocalStorage(path)


class _LocalStorage:
    def __init__(self, path: str) -> None:
        self._path, self._parts = path, f"{path}.partial"
        self._lock: int | None = None
        try:
            check_folder_of(path)
        except FileNotFoundError as error:
            raise DataError(str(error.strerror)) from None

    def exists(self) -> bool:
        return os.path.exists(self._path)

    def write_part(self, name: str, content: bytes) -> None:
        with _written(self._path):
            write_atomically(os.path.join(self._parts, name), content)

    def open_part(self, name: str) -> IO[bytes] | None:
        try:
            return open(os.path.join(self._parts, name), "rb")
        except FileNotFoundError:
            return None

    @contextmanager
    def create(self) -> Iterator[IO[bytes]]:
        folder, name = os.path.split(self._path)
        temporary = os.path.join(folder, f".{name}.{os.urandom(8).hex()}")
        with _written(self._path):
            try:
                with open(temporary, "xb") as file:
                    yield file
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(temporary, self._path)
            except BaseException:
                if os.path.exists(temporary):
                    os.unlink(temporary)
                raise

    def remove_parts(self) -> None:
        shutil.rmtree(self._parts, ignore_errors=True)

    def lock(self) -> None:
        with _written(self._path):
            os.makedirs(self._parts, exist_ok=True)
        try:
            import fcntl
        except ModuleNotFoundError:  # not on Windows
            return
        # The system takes the lock back when the process ends, however it ends.
        self._lock = os.open(os.path.join(self._parts, "lock"), os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DataError(f"{self._path} is being written by another process; wait for it, or name another") from None
        except OSError:  # file systems without locks
            return

    def unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


@contextmanager
def _written(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DataError(
            f"{path} cannot be written: {reason_of(error)}; what was written is kept, and the same call goes on"
        ) from None


class _RemoteStorage:
    def __init__(self, path: str) -> None:
        self._address = path
        self._system, self._path = file_system(path)
        self._parts = f"{self._path}.partial"

    def exists(self) -> bool:
        with self._reached():
            return bool(self._system.exists(self._path))

    def write_part(self, name: str, content: bytes) -> None:
        with self._reached():
            self._system.makedirs(self._parts, exist_ok=True)
            self._system.pipe_file(f"{self._parts}/{name}", content)

    def open_part(self, name: str) -> IO[bytes] | None:
        with self._reached():
            path = f"{self._parts}/{name}"
            return cast("IO[bytes]", self._system.open(path, "rb")) if self._system.exists(path) else None

    @contextmanager
    def create(self) -> Iterator[IO[bytes]]:
        with self._reached(), self._system.transaction, self._system.open(self._path, "wb") as file:
            yield file

    def remove_parts(self) -> None:
        with self._reached():
            if self._system.exists(self._parts):
                self._system.rm(self._parts, recursive=True)

    def lock(self) -> None:
        """Stores have no locks."""

    def unlock(self) -> None:
        """Stores have no locks."""

    @contextmanager
    def _reached(self) -> Iterator[None]:
        try:
            yield
        except DataError:
            raise
        except Exception as error:  # stores raise what their libraries raise
            raise DataError(f"{self._address} cannot be written: {reason_of(error)}") from None
