"""Rows of a file of predictions: JSON Lines, CSV or Parquet."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from importlib.util import find_spec
from itertools import chain
from typing import IO, Any, assert_never

from mobilenets.base.flat import flat_row
from mobilenets.errors import DataError, MissingDependencyError
from mobilenets.tasks.classification import Classification
from mobilenets.tasks.detection import BOX_COLUMNS, Detection, box_rows
from mobilenets.tasks.multilabel import MultiLabel, labels_row, probability_columns
from mobilenets.tasks.task import Task

Row = Mapping[str, Any]
"""What a prediction is as JSON; of an image that cannot be read, its name and ``error``."""

_ROW_GROUP = 131_072
"""Rows of a Parquet file that are written together."""


class RowFormat(StrEnum):
    """Formats of a file of predictions; each is the suffix of its files."""

    JSON_LINES = ".jsonl"
    CSV = ".csv"
    PARQUET = ".parquet"

    @staticmethod
    def of(path: str) -> RowFormat:
        """The format that a file's name means.

        Raises:
            DataError: If it means none.
            MissingDependencyError: If pyarrow is not installed, for Parquet.
        """
        found = next((one for one in RowFormat if path.lower().endswith(one)), None)
        if found is None:
            raise DataError(f"{path} must end in {', '.join(RowFormat)}")
        if found is RowFormat.PARQUET and find_spec("pyarrow") is None:
            raise MissingDependencyError("pyarrow", "data", alone=True)
        return found


class RowShape(StrEnum):
    """What becomes of a prediction in a table."""

    FLAT = "flat"
    """Its lists become numbered columns."""
    LABELS = "labels"
    """A column of the labels that the image is given, and one for the probability of each label."""
    BOXES = "boxes"
    """A row for each box, and one with its name alone for an image without any."""
    JSON = "json"
    """All but the name of the image is one column of JSON."""


@dataclass(frozen=True)
class RowColumns:
    """The columns of a table of predictions, whose types are known before the first image is read.

    Attributes:
        types: Name of each column → the type of its values.
        shape: What becomes of a prediction.
    """

    types: Mapping[str, type]
    shape: RowShape

    @staticmethod
    def of(task: Task, *, top: int, unknown: bool) -> RowColumns:
        """The columns for a task.

        Args:
            task: A classifier has columns for each of its likeliest labels, ``label_2`` and so on; a Model of several
                labels ``labels`` and the probability of each; a detector those of :data:`BOX_COLUMNS`; another task
                one column ``prediction`` of JSON.
            top: Largest number of results for each image.
            unknown: Whether images are told that are of no known class.
        """
        if isinstance(task, MultiLabel):
            every = dict.fromkeys(probability_columns(task.labels), float)
            return RowColumns({"image": str, "labels": str, **every, "error": str}, RowShape.LABELS)
        if isinstance(task, Detection):
            numbers = dict.fromkeys(BOX_COLUMNS[2:], float)
            return RowColumns({"image": str, "label": str, **numbers, "error": str}, RowShape.BOXES)
        if not isinstance(task, Classification):
            return RowColumns({"image": str, "prediction": str, "error": str}, RowShape.JSON)
        types: dict[str, type] = {"image": str, **({"unknown": bool} if unknown else {})}
        for number in range(1, min(top, len(task.labels)) + 1):
            ending = "" if number == 1 else f"_{number}"
            types |= {f"label{ending}": str, f"probability{ending}": float}
        return RowColumns(types | {"error": str}, RowShape.FLAT)

    def cells(self, row: Row) -> list[list[Any]]:
        """The values of a prediction's rows, None where there is none."""
        found = [row] if "error" in row else self._named(row)
        return [[one.get(name) for name in self.types] for one in found]

    def _named(self, row: Row) -> Sequence[Row]:
        match self.shape:
            case RowShape.FLAT:
                return [flat_row(row)]
            case RowShape.LABELS:
                return [labels_row(row)]
            case RowShape.BOXES:
                return box_rows(row)
            case RowShape.JSON:
                rest = {name: value for name, value in row.items() if name != "image"}
                return [{"image": row["image"], "prediction": json.dumps(rest, ensure_ascii=False)}]
            case _:
                assert_never(self.shape)


def encode_rows(rows: Sequence[Row], form: RowFormat, columns: RowColumns) -> bytes:
    """Rows as a part of a file: text without a header, or a Parquet file."""
    match form:
        case RowFormat.JSON_LINES:
            return _text(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)
        case RowFormat.CSV:
            return _csv(chain.from_iterable(map(columns.cells, rows)))
        case RowFormat.PARQUET:
            return _parquet(rows, columns)
        case _:
            assert_never(form)


def join_parts(parts: Iterable[IO[bytes]], file: IO[bytes], form: RowFormat, columns: RowColumns) -> None:
    """Write what :func:`encode_rows` made as one file, holding one part in memory.

    Args:
        parts: In order.
        file: Receives the content.
        form: Of the parts and of the file.
        columns: Of the table.
    """
    if form is RowFormat.PARQUET:
        _join_parquet(parts, file, columns)
        return
    if form is RowFormat.CSV:
        file.write(_csv([list(columns.types)]))
    for part in parts:
        while chunk := part.read(1 << 20):
            file.write(chunk)


def _text(lines: Iterable[str]) -> bytes:
    return "".join(lines).encode(errors="backslashreplace")  # names of files need not be Unicode


def _csv(rows: Iterable[Sequence[Any]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return _text([text.getvalue()])


def _schema(columns: RowColumns) -> Any:
    import pyarrow

    types = {str: pyarrow.string(), float: pyarrow.float64(), bool: pyarrow.bool_()}
    return pyarrow.schema([(name, types[kind]) for name, kind in columns.types.items()])


def _parquet(rows: Sequence[Row], columns: RowColumns) -> bytes:
    import pyarrow
    import pyarrow.parquet

    cells = [[_unicode(cell) for cell in one] for row in rows for one in columns.cells(row)]
    schema = _schema(columns)
    arrays = [pyarrow.array(values, field.type) for values, field in zip(zip(*cells, strict=True), schema, strict=True)]
    content = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(arrays, schema), content)
    return content.getvalue()


def _unicode(cell: Any) -> Any:
    return cell.encode(errors="backslashreplace").decode() if isinstance(cell, str) else cell


def _join_parquet(parts: Iterable[IO[bytes]], file: IO[bytes], columns: RowColumns) -> None:
    import pyarrow
    import pyarrow.parquet

    schema = _schema(columns)
    waiting: list[Any] = []
    with pyarrow.parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        for part in parts:
            waiting.append(pyarrow.parquet.read_table(pyarrow.PythonFile(part)))
            if sum(len(table) for table in waiting) >= _ROW_GROUP:
                writer.write_table(pyarrow.concat_tables(waiting))
                waiting.clear()
        writer.write_table(pyarrow.concat_tables([*waiting, schema.empty_table()]))
