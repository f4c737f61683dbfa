"""Files that appear whole or not at all."""

from __future__ import annotations

import os


def write_atomically(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file so that every reader, and every crash, sees the old content or the new.

    Raises:
        OSError: If the folder does not exist, cannot be written to or is full; nothing is left behind then.
    """
    import tempfile  # slow to import, and whoever only reads Models needs none of it

    folder, name = os.path.split(path)
    handle, temporary = tempfile.mkstemp(prefix=f".{name}.", dir=folder or os.curdir)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            os.fchmod(file.fileno(), 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
