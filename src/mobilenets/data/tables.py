"""Tables of images and labels as programs write them: CSV of any dialect, JSON and JSON lines, as columns and rows."""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mobilenets.data.findings import Finding, Kind, listed
from mobilenets.data.sources import IMAGE_SUFFIXES
from mobilenets.errors import DataError

DELIMITERS = (",", ";", "\t", "|")
TABLE_SUFFIXES = (".csv", ".tsv", ".txt", ".json", ".jsonl", ".ndjson")
REMOTE = ("gs://", "s3://", "http://", "https://", "az://")


@dataclass(frozen=True)
class LabelTable:
    """Columns and rows of text.

    Attributes:
        path: The file that they come from.
        columns: Their names; empty where the file does not name them.
        rows: Cells without blanks around them, as many in each row as there are columns.
        lines: Line of the file that each row stands in, or its number where there are no lines.
        findings: What its owner should know of, such as a character set that was guessed.
    """

    path: Path
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    lines: tuple[int, ...]
    findings: tuple[Finding, ...] = ()

    @property
    def width(self) -> int:
        """Number of columns."""
        return len(self.columns) or max(map(len, self.rows), default=0)

    def column(self, number: int) -> list[str]:
        """All cells of a column."""
        return [row[number] for row in self.rows]


def read_label_table(path: Path) -> LabelTable:
    """Read a table.

    A CSV file may be separated by commas, semicolons, tabs or bars, and be UTF-8 or UTF-16, with or without a byte
    order mark; what is neither and reads well as Windows-1252, as Excel writes in western Europe, is read so, and a
    finding says it. Empty rows are passed over.

    Raises:
        DataError: If the file cannot be read as what its suffix says.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    if (program := _other_file(content)) is not None:
        raise DataError(f"{path} is {program}, not a table of text; save it as CSV (UTF-8)")
    text, findings = _decoded(content, path)
    if path.suffix.lower() in (".json", ".jsonl", ".ndjson"):
        table = _from_records(path, _records(text, path))
    else:
        table = _from_csv(text, path)
    return replace(table, findings=findings)


def _other_file(content: bytes) -> str | None:
    """What a file is by its first bytes, where programs give such files the names of tables."""
    return next((program for start, program in _OTHER_FILES.items() if content.startswith(start)), None)


_OTHER_FILES = {
    b"PK\x03\x04": "an Excel workbook or another zip archive",
    b"\xd0\xcf\x11\xe0": "an Excel workbook",
    b"PAR1": "a Parquet file",
    b"\x1f\x8b": "a gzip archive",
    b"SQLite format 3": "an SQLite database",
    b"%PDF": "a PDF",
}


def _decoded(content: bytes, path: Path) -> tuple[str, tuple[Finding, ...]]:
    encoding = "utf-8-sig"
    if content.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        encoding = "utf-32"
    elif content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding = "utf-16"
    elif b"\0" in content[:200]:  # no text holds it in UTF-8
        encoding = "utf-16-le" if content[1:2] == b"\0" else "utf-16-be"
    try:
        return content.decode(encoding), ()
    except UnicodeDecodeError as error:
        if encoding == "utf-8-sig" and (western := _as_windows_1252(content)) is not None:
            words = dict.fromkeys(word for word in re.findall(r"[^\W\d_]+", western) if not word.isascii())
            message = f"{path.name} is not UTF-8 and was read as Windows-1252: {listed([*words]) or 'no letters'}"
            return western, (Finding(Kind.NOTE, message),)
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path} is not a readable table: line {line} is not {encoding[:6].upper().rstrip('-')}; save it as UTF-8"
        ) from None


def _as_windows_1252(content: bytes) -> str | None:
    """The text, where it looks like a western European language: letters with accents stand among others without.

    Other alphabets, in their own character sets, are runs of such letters, and are not guessed.
    """
    try:
        text = content.decode("cp1252")
    except UnicodeDecodeError:
        return None
    strange = {char for char in text if not (char.isascii() or char.isalpha() or char in _WESTERN_SIGNS)}
    return None if strange or re.search(r"[^\x00-\x7f]{3}", text) else text


_WESTERN_SIGNS = "\u2019\u2013\u00a0\u00b0\u00b7"
"""Signs that stand within western European names: apostrophe, dash, blank, degree and middle dot."""


# CSV -----------------------------------------------------------------------------------------------------------------


def _from_csv(text: str, path: Path) -> LabelTable:
    rows: list[tuple[str, ...]] = []
    lines: list[int] = []
    text, delimiter = _without_separator_line(text)
    if path.suffix.lower() == ".txt" and delimiter is None and not any(sign in text for sign in DELIMITERS):
        text, delimiter = re.sub(r"[ ]+(\S+)[ ]*$", r"\t\1", text, flags=re.MULTILINE), "\t"
    delimiter = delimiter or _delimiter(text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
    try:
        for row in reader:
            cells = tuple(cell.strip() for cell in row)
            if any(cells):
                rows.append(cells)
                lines.append(reader.line_num)
    except csv.Error as error:
        raise DataError(f"{path} is not a readable CSV file: line {reader.line_num}: {error}") from None
    header: tuple[str, ...] = ()
    if rows and not any(looks_like_file(cell) for cell in rows[0]):
        header, rows, lines = rows[0], rows[1:], lines[1:]
    width = len(header) or max(map(len, rows), default=0)
    filled = tuple((*row, *[""] * (width - len(row)))[:width] for row in rows)
    return LabelTable(path, header, filled, tuple(lines))


def _without_separator_line(text: str) -> tuple[str, str | None]:
    """The text without the line ``sep=;`` that spreadsheets begin with, and the separator that it names."""
    match = re.match(r'"?sep=(.)"?\r?\n', text, re.IGNORECASE)
    return (text[match.end() :], match[1]) if match else (text, None)


def _delimiter(text: str) -> str:
    """The sign that parts most of the first lines into the same number of cells, above one."""
    first = [line for line in text.splitlines()[:20] if line.strip()][:5]

    def agreement(delimiter: str) -> tuple[int, int]:
        widths = [len(row) for row in csv.reader(first, delimiter=delimiter)]
        alike = sum(width == widths[0] for width in widths) if widths and widths[0] > 1 else 0
        return alike, widths[0] if widths else 0

    return max(DELIMITERS, key=agreement)


def looks_like_file(cell: str) -> bool:
    """Whether a cell names an image, by its ending or its beginning.

    >>> looks_like_file("train\\\\1.JPG"), looks_like_file("gs://bucket/1"), looks_like_file("image_path")
    (True, True, False)
    """
    name = cell.partition("?")[0].lower()
    return name.startswith(REMOTE) or any(name.endswith(suffix) for suffix in IMAGE_SUFFIXES)


# JSON ----------------------------------------------------------------------------------------------------------------


def _records(text: str, path: Path) -> list[Any]:
    """The objects of JSON lines, or of a JSON list or mapping."""
    try:
        if path.suffix.lower() != ".json":
            return [json.loads(line) for line in text.splitlines() if line.strip()]
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not readable JSON: {error}") from None
    if isinstance(data, dict):
        if all(isinstance(value, str | int) for value in data.values()):
            return [{"file": name, "class": str(label)} for name, label in data.items()]
        lists = [value for value in data.values() if isinstance(value, list)]
        data = lists[0] if len(lists) == 1 else data
    if not isinstance(data, list):
        raise DataError(f"{path} needs a list of objects with a file and a class, or an object of file: class")
    return data


def _from_records(path: Path, records: Sequence[Any]) -> LabelTable:
    flat = []
    for number, record in enumerate(records, start=1):
        if not isinstance(record, dict):
            raise DataError(f"{path}, record {number}: expected an object, not {str(record)[:40]!r}")
        flat.append(_flat(record))
    columns = tuple(dict.fromkeys(name for record in flat for name in record))
    rows = tuple(tuple(record.get(name, "") for name in columns) for record in flat)
    return LabelTable(path, columns, rows, tuple(range(1, len(rows) + 1)))


def _flat(record: dict[str, Any]) -> dict[str, str]:
    """The texts of a record: of Label Studio's and Vertex AI's nested ones, those that say file, class and part."""
    if isinstance(record.get("data"), dict) and isinstance(record.get("annotations"), list):
        image = next((value for value in record["data"].values() if isinstance(value, str)), "")
        return {"image": image, "choice": _text(_choices(record["annotations"]))}
    if isinstance(record.get("classificationAnnotation"), dict):
        labels = record.get("dataItemResourceLabels") or {}
        part = next((str(value) for key, value in labels.items() if str(key).endswith("ml_use")), "")
        name = record["classificationAnnotation"].get("displayName")
        return {"image": _text(record.get("imageGcsUri")), "label": _text(name), **({"split": part} if part else {})}
    return {
        str(name): _text(_names_of_objects(value))
        for name, value in record.items()
        if not isinstance(value, dict | list) or value
    }


def _names_of_objects(value: Any) -> Any:
    """The different labels in a list of annotations, such as Create ML's."""
    if isinstance(value, list) and value and all(isinstance(one, dict) for one in value):
        return list(dict.fromkeys(str(one[key]) for one in value for key in ("label", "class", "name") if key in one))
    return value


def _choices(annotations: Iterable[Any]) -> list[str]:
    """What annotators chose, in Label Studio's words; each choice once, without cancelled annotations."""
    chosen: list[str] = []
    for annotation in annotations:
        if not isinstance(annotation, dict) or annotation.get("was_cancelled"):
            continue
        for result in annotation.get("result") or ():
            value = result.get("value") if isinstance(result, dict) else None
            chosen += map(str, (value or {}).get("choices") or ())
    return list(dict.fromkeys(chosen))


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, list) and len(value) == 1:
        return _text(value[0])
    return json.dumps(value, ensure_ascii=False)
