"""A file of rows that is written in parts, so that a run that was killed goes on without a row lost or twice."""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from typing import IO, Any

from mobilenets.base.text import plural
from mobilenets.data.image import ImageSource
from mobilenets.engine.bulk.rows import Row, RowColumns, RowFormat, encode_rows, join_parts
from mobilenets.engine.bulk.storage import storage_of
from mobilenets.errors import DataError

ROWS, SECONDS = 16_384, 10.0
"""Rows, and seconds, after which a part is written: a kill loses no more work than that."""
_PROGRESS = "progress.json"


class RowOutput:
    """Rows for a file. The parts, and how far they are, lie in a folder beside it until the file is there.

    Args:
        path: Of the file, or its address. The suffix says the format.
        columns: Of the table.
        made_from: What the rows follow from: a run that goes on must have the same.
        replace_existing: Whether to replace a file, and to begin anew where parts are there.

    Attributes:
        done: Number of images whose rows are safe.
        failed: How many of them could not be read.

    Raises:
        DataError: If the file is there already, cannot be written, or the parts were made from something else.
    """

    def __init__(
        self, path: str, columns: RowColumns, made_from: Mapping[str, Any], *, replace_existing: bool = False
    ) -> None:
        self._path, self._columns, self._form = path, columns, RowFormat.of(path)
        self._made_from = json.loads(json.dumps(made_from))
        self._storage = storage_of(path)
        self.done = self.failed = self._parts = self._checksum = 0
        self._rows: list[Row] = []
        self._written = time.monotonic()
        if replace_existing:
            self._storage.remove_parts()
        elif not self._restore() and self._storage.exists():
            raise DataError(f"{path} is there already; replace it with replace_existing=True, or name another")

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep other processes from writing the same file, and begin where the last that did has stopped.

        Raises:
            DataError: If another process writes it.
        """
        try:
            self._storage.lock()
            self._restore()
            self.write()
            yield
        finally:
            self._storage.unlock()

    def skip(self, images: Iterator[ImageSource]) -> None:
        """Pass over the images whose rows are safe.

        Raises:
            DataError: If they are not the same as then.
        """
        checksum = passed = 0
        for image in islice(images, self.done):
            checksum = _continued(checksum, image.name)
            passed += 1
        if (checksum, passed) != (self._checksum, self.done):
            raise DataError(
                f"{self._path}.partial holds rows of {plural(self.done, 'image')}, and the sources no longer begin "
                "with those; begin anew with replace_existing=True"
            )

    def add(self, row: Row) -> None:
        """Take the row of the next image; every few seconds rows are written."""
        self._rows.append(row)
        if len(self._rows) >= ROWS or time.monotonic() - self._written >= SECONDS:
            self.write()

    @property
    def holds_any(self) -> bool:
        """Whether there is a row, safe or waiting."""
        return bool(self.done or self._rows)

    def write(self) -> None:
        """Write the rows that wait.

        Raises:
            DataError: If that fails; the rows that were written before are safe.
        """
        if self._rows:
            self._storage.write_part(self._part(self._parts), encode_rows(self._rows, self._form, self._columns))
            for row in self._rows:
                self._checksum = _continued(self._checksum, row["image"])
                self.failed += "error" in row
            self.done += len(self._rows)
            self._parts += 1
            self._rows.clear()
        state = {"version": 1, "made_from": self._made_from, "images": self.done, "failed": self.failed}
        state |= {"parts": self._parts, "checksum": self._checksum}
        self._storage.write_part(_PROGRESS, json.dumps(state).encode())  # from here on the part counts
        self._written = time.monotonic()

    def finish(self) -> None:
        """Write the file from its parts, and remove those."""
        self.write()
        with self._storage.create() as file:
            join_parts(self._open_parts(), file, self._form, self._columns)
        self._storage.remove_parts()

    def _open_parts(self) -> Iterator[IO[bytes]]:
        for number in range(self._parts):
            part = self._storage.open_part(self._part(number))
            if part is None:
                raise DataError(
                    f"{self._path}.partial has lost {self._part(number)}; begin anew with replace_existing=True"
                )
            with part:
                yield part

    def _restore(self) -> bool:
        """Take the state of an earlier run, if there is one."""
        file = self._storage.open_part(_PROGRESS)
        if file is None:
            return False
        with file:
            try:
                state = json.loads(file.read())
                made_from = state["made_from"]
                counts = [int(state[name]) for name in ("images", "failed", "parts", "checksum")]
            except (ValueError, KeyError, TypeError):
                raise DataError(f"{self._path}.partial/{_PROGRESS} is damaged; {_ANEW}") from None
        differing = [name for name, value in self._made_from.items() if made_from.get(name) != value]
        if differing:
            raise DataError(f"{self._path}.partial was begun with another {' and '.join(differing)}; {_ANEW}")
        self.done, self.failed, self._parts, self._checksum = counts
        return True

    def _part(self, number: int) -> str:
        return f"part-{number:06}{self._form}"


_ANEW = "name another file, or begin anew with replace_existing=True"


def _continued(checksum: int, name: str) -> int:
    return zlib.crc32(name.encode(errors="surrogateescape") + b"\0", checksum)
