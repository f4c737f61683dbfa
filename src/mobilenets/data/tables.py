"""Tables of images and labels as programs write them: CSV of any dialect, JSON and JSON lines, as columns and rows."""

from __future__ import annotations

import codecs
import re
from dataclasses import replace
from pathlib import Path

from mobilenets.data.csv_table import csv_table
from mobilenets.data.findings import Finding, Kind, listed
from mobilenets.data.json_table import json_table
from mobilenets.data.label_table import LabelTable
from mobilenets.errors import DataError

TABLE_SUFFIXES = (".csv", ".tsv", ".txt", ".json", ".jsonl", ".ndjson")


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
    read = json_table if path.suffix.lower() in (".json", ".jsonl", ".ndjson") else csv_table
    table = read(text, path)
    return replace(table, findings=(*findings, *table.findings))


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
