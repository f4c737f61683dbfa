"""Lists of images in files, one row for each: read row by row, however many there are.

Text (a name a line), CSV, JSON Lines, Parquet and Arrow. Parquet and Arrow may hold the images themselves, as the
libraries of Hugging Face write them.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterable, Iterator
from io import TextIOWrapper
from itertools import chain, islice
from typing import IO, TYPE_CHECKING, Any

from mobilenets.data.columns import FILE_NAMES, simplified
from mobilenets.data.csv_table import DELIMITERS
from mobilenets.data.image import BytesImage, FileImage, ImageSource
from mobilenets.data.label_table import looks_like_file
from mobilenets.data.remote import RemoteImage, open_binary, reason_of
from mobilenets.data.sources import is_address
from mobilenets.errors import DataError, MissingDependencyError

if TYPE_CHECKING:
    import pyarrow

LISTING_SUFFIXES = (".txt", ".csv", ".tsv", ".jsonl", ".ndjson", ".parquet", ".arrow")
"""Suffixes of the files that are read as lists of images."""
_TRIED = 100
"""Names that are looked for, to learn which folder they are relative to."""
_NAMES_AT_ONCE, _IMAGES_AT_ONCE = 16_384, 64
"""Rows of a Parquet file that are in memory together: names, and images."""


def is_listing(name: str) -> bool:
    """Whether a file is called like a list of images.

    >>> is_listing("photos.csv"), is_listing("s3://bucket/photos.PARQUET"), is_listing("photos.png")
    (True, True, False)
    """
    return name.lower().endswith(LISTING_SUFFIXES)


def listed_images(listing: str) -> Iterator[ImageSource]:
    """The images that a file lists, in its order.

    Names may be addresses. Others are relative to the list's folder, or, where nothing is there, to the current one.

    Args:
        listing: Path or address.

    Raises:
        DataError: If the file cannot be read, or has no column of images.
        MissingDependencyError: If pyarrow is not installed, for Parquet and Arrow.
    """
    suffix = listing.lower().rpartition(".")[2]
    if suffix in ("parquet", "arrow"):
        return _from_columns(listing)
    return _located(_from_text(listing, _reader(suffix)), listing)


def count_listed(listing: str) -> int:
    """How many images a file lists.

    Raises:
        DataError: As for :func:`listed_images`.
    """
    if listing.lower().endswith(".parquet") and not is_address(listing):
        import pyarrow.parquet

        image_column(pyarrow.parquet.read_schema(listing), listing)
        return int(pyarrow.parquet.read_metadata(listing).num_rows)
    suffix = listing.lower().rpartition(".")[2]
    return sum(1 for _ in (listed_images(listing) if suffix == "arrow" else _from_text(listing, _reader(suffix))))


def _reader(suffix: str) -> Callable[[Iterable[str], str], Iterator[str]]:
    return {"txt": _lines, "csv": _cells, "tsv": _cells}.get(suffix, _values)


def _from_text(listing: str, read: Callable[[Iterable[str], str], Iterator[str]]) -> Iterator[str]:
    with open_binary(listing) as file, TextIOWrapper(file, "utf-8-sig", errors="surrogateescape", newline="") as text:
        try:
            yield from read(text, listing)
        except (OSError, csv.Error) as error:
            raise DataError(f"{listing} cannot be read: {reason_of(error)}") from None


def _lines(text: Iterable[str], listing: str) -> Iterator[str]:
    return (name for line in text if (name := line.strip("\r\n")))


def _cells(text: Iterable[str], listing: str) -> Iterator[str]:
    lines = iter(text)
    first = next(lines, "")
    delimiter = max(DELIMITERS, key=first.count)
    rows: Iterator[list[str]] = csv.reader(chain([first], lines), delimiter=delimiter)
    header = next(rows, [])
    names = [simplified(cell) for cell in header]
    column = next((names.index(name) for name in FILE_NAMES if name in names), None)
    if column is None:
        column = next((number for number, cell in enumerate(header) if looks_like_file(cell)), None)
        if column is None:
            raise DataError(
                f"{listing} has no column of images: its columns are {', '.join(header) or 'none'}; {_CALL}"
            )
        rows = chain([header], rows)
    for row in rows:
        if row and column >= len(row):
            raise DataError(f"{listing}: the row {delimiter.join(row)[:60]!r} has no column {column + 1}")
        if row and row[column]:
            yield row[column]


def _values(text: Iterable[str], listing: str) -> Iterator[str]:
    key = ""
    for number, line in enumerate(text, 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except ValueError:
            raise DataError(f"{listing}, line {number}, is no JSON") from None
        if isinstance(value, str):
            yield value
            continue
        row = value if isinstance(value, dict) else {}
        if key not in row:
            known = {simplified(name): name for name in row}
            key = next((known[name] for name in FILE_NAMES if name in known), "")
        if not isinstance(row.get(key), str):
            raise DataError(f"{listing}, line {number}, names no image; {_CALL}")
        yield row[key]


_CALL = "call the column of their names file or image"


def _located(names: Iterator[str], listing: str) -> Iterator[ImageSource]:
    """Images by the names in a list."""
    folder = os.path.dirname(listing)
    if is_address(listing):
        for name in names:
            yield RemoteImage(name if is_address(name) else f"{folder}/{name}")
        return
    tried = list(islice(names, _TRIED))
    if not any(os.path.exists(os.path.join(folder, name)) for name in tried) and any(map(os.path.exists, tried)):
        folder = ""
    for name in chain(tried, names):
        yield RemoteImage(name) if is_address(name) else FileImage(os.path.join(folder, name))


def _from_columns(listing: str) -> Iterator[ImageSource]:
    """The images of a Parquet or Arrow file."""
    try:
        import pyarrow
    except ModuleNotFoundError:
        raise MissingDependencyError("pyarrow", "data", alone=True) from None
    with open_binary(listing) as file:
        try:
            _, batches = column_batches(file, listing, lambda schema: [image_column(schema, listing)])
            if not (first := next(batches, None)):
                return
            values = chain.from_iterable(batch.column(0).to_pylist() for batch in chain([first], batches))
            kind = first.schema.field(0).type
            if pyarrow.types.is_string(kind) or pyarrow.types.is_large_string(kind):
                yield from _located((name for name in values if name), listing)
            else:
                yield from _contained(values, listing)
        except pyarrow.ArrowException as error:
            raise DataError(f"{listing} cannot be read: {str(error).partition(chr(10))[0]}") from None


def column_batches(
    file: IO[bytes], listing: str, wanted: Callable[[pyarrow.Schema], list[str]]
) -> tuple[pyarrow.Schema, Iterator[pyarrow.RecordBatch]]:
    """Some columns of a Parquet or Arrow file, a few rows at a time.

    Args:
        file: At its beginning.
        listing: What it is called.
        wanted: Chooses columns; where the first is of text, more rows are given together.
    """
    import pyarrow.ipc
    import pyarrow.parquet

    if listing.lower().endswith("parquet"):
        parquet = pyarrow.parquet.ParquetFile(file, pre_buffer=False)
        schema = parquet.schema_arrow
        columns = wanted(schema)
        rows = _NAMES_AT_ONCE if pyarrow.types.is_string(schema.field(columns[0]).type) else _IMAGES_AT_ONCE
        batches = parquet.iter_batches(rows, columns=columns, use_threads=False)
        return schema, (batch.select(columns) for batch in batches)  # which come in the order of the file
    magic = file.read(6)
    file.seek(0)
    if magic == b"ARROW1":
        reader = pyarrow.ipc.open_file(file)
        columns = wanted(reader.schema)
        return reader.schema, (reader.get_batch(n).select(columns) for n in range(reader.num_record_batches))
    stream = pyarrow.ipc.open_stream(file)
    columns = wanted(stream.schema)
    return stream.schema, (batch.select(columns) for batch in stream)


def image_column(schema: pyarrow.Schema, listing: str) -> str:
    """The column that holds images, or names of them."""
    from pyarrow import types

    ranks = {name: rank for rank, name in enumerate(FILE_NAMES)}
    found: list[tuple[int, int, str]] = []
    for field in schema:
        rank = ranks.get(simplified(field.name), len(ranks))
        if types.is_struct(field.type) and field.type.get_field_index("bytes") >= 0:
            found.append((0, rank, field.name))
        elif types.is_binary(field.type) or types.is_large_binary(field.type):
            found.append((1, rank, field.name))
        elif rank < len(ranks) and (types.is_string(field.type) or types.is_large_string(field.type)):
            found.append((2, rank, field.name))
    if not found:
        raise DataError(f"{listing} has no column of images: its columns are {', '.join(schema.names)}; {_CALL}")
    return min(found)[2]


def _contained(values: Iterable[Any], listing: str) -> Iterator[ImageSource]:
    """Images that stand in the rows themselves: bytes, or bytes with a path."""
    for number, value in enumerate(values):
        path = value.get("path") if isinstance(value, dict) else None
        content = value.get("bytes") if isinstance(value, dict) else value
        name = f"{listing}/{path or number}"
        if content is None and path:
            yield from _located(iter([path]), listing)
        else:
            yield BytesImage(name, content or b"")
