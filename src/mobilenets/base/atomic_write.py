"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager


def check_folder_of(path: str | os.PathLike[str]) -> None:
    """Raise if there is no folder for a file that is to be written.

    Raises:
        FileNotFoundError: If there is none; it is named.
    """
    folder = os.path.dirname(os.fspath(path)) or os.curdir
    if not os.path.isdir(folder):
        raise FileNotFoundError(errno.ENOENT, f"{os.fspath(path)} cannot be written: there is no folder", folder)


@contextmanager
def errors_name(path: str | os.PathLike[str]) -> Iterator[None]:
    """Let errors of the system name a file that is written, and not a temporary one beside it."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        raise type(error)(error.errno, error.strerror, os.fspath(path)) from None


def write_atomically(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file so that every reader, and every crash, sees the old content or the new.

    The file gets the permissions that any new file gets.

    Raises:
        OSError: If the folder does not exist, cannot be written to or is full; nothing is left behind then. It names
            the file.
    """
    check_folder_of(path)
    with errors_name(path):
        _write_atomically(path, content)


def _write_atomically(path: str | os.PathLike[str], content: bytes) -> None:
    folder, name = os.path.split(path)
    temporary = os.path.join(folder, f".{name}.{os.urandom(8).hex()}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    with os.fdopen(os.open(temporary, flags, 0o666), "wb") as file:
        try:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        except BaseException:
            file.close()
            os.unlink(temporary)
            raise
    try:
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
