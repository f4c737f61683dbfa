"""Packs: encoded images of a file that cannot be read at any place, one after the other in a file of the cache.

Parquet and Arrow files and whatever lies at an address are read once, from beginning to end; from then on their images
are read from the pack, in any order and by several processes.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from mobilenets.base.atomic_write import write_atomically
from mobilenets.base.cache import cache_folder, cache_key
from mobilenets.base.text import size
from mobilenets.data.archives import ArchivedImage
from mobilenets.errors import DataError

Entry = tuple[str, str, bytes]
"""Name of an image, its label, and its encoded content."""
Labeled = tuple[ArchivedImage, str]

SPARE_BYTES = 1 << 28
"""What is left free on the disk of the cache."""


def packed(source: str, facts: object, expected_bytes: int, entries: Iterable[Entry]) -> list[Labeled]:
    """The images of a file, from its pack, which is made first where there is none.

    Args:
        source: The file's path or address.
        facts: What changes when the file does, such as its size and time; JSON values.
        expected_bytes: About how much the pack will take.
        entries: What the file holds; read only where there is no pack.

    Raises:
        DataError: If the disk has no room, or the file cannot be read; nothing is left then.
    """
    folder = cache_folder("packs")
    pack = folder / f"{cache_key('pack', 1, source, facts)}.pack"
    index = pack.with_suffix(".json")
    if not index.exists():
        _write(pack, index, source, expected_bytes, entries)
    rows = json.loads(index.read_text(encoding="utf-8"))
    return [(ArchivedImage(str(pack), name, offset, length), label) for name, label, offset, length in rows]


def _write(pack: Path, index: Path, source: str, expected_bytes: int, entries: Iterable[Entry]) -> None:
    pack.parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(pack.parent).free - SPARE_BYTES
    if expected_bytes > free:
        raise DataError(
            f"the images of {source} take {size(expected_bytes)}, and {pack.parent} has {size(max(0, free))} to spare: "
            "free some, or set MOBILENETS_CACHE to a folder on a larger disk"
        )
    temporary = pack.with_name(f".{pack.name}.{os.urandom(8).hex()}")
    try:
        rows = list(_written(temporary, entries))
        os.replace(temporary, pack)
        write_atomically(index, json.dumps(rows, ensure_ascii=True).encode())
    except OSError as error:
        raise DataError(f"the images of {source} cannot be written to {pack.parent}: {error.strerror}") from None
    finally:
        temporary.unlink(missing_ok=True)


def _written(path: Path, entries: Iterable[Entry]) -> Iterator[tuple[str, str, int, int]]:
    offset = 0
    with open(path, "xb") as file:
        for name, label, content in entries:
            file.write(content)
            yield name, label, offset, len(content)
            offset += len(content)
        file.flush()
        os.fsync(file.fileno())
