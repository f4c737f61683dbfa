"""Tables of text whose cells stand between separators: CSV of any dialect."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from mobilenets.data.label_table import LabelTable, looks_like_file
from mobilenets.errors import DataError

DELIMITERS = (",", ";", "\t", "|")

Cells = tuple[str, ...]
Line = tuple[int, Cells]
"""Number of a line in the file, and its cells."""


def csv_table(text: str, path: Path) -> LabelTable:
    """The table in a text.

    Lines before the header that begin with ``#`` are passed over, as are empty rows.

    Args:
        text: The file's.
        path: The file, for messages and for what its suffix says.

    Raises:
        DataError: If it cannot be read, or a row has more cells than the header, as an unquoted name with a separator
            in it makes.
    """
    text, delimiter = _without_separator_line(text)
    if path.suffix.lower() == ".txt" and delimiter is None and not any(sign in text for sign in DELIMITERS):
        text, delimiter = re.sub(r"[ ]+(\S+)[ ]*$", r"\t\1", text, flags=re.MULTILINE), "\t"
    delimiter = delimiter or _delimiter(text)
    lines = _without_comments(_without_single_quotes(_parsed(text, delimiter, path)))
    header: Cells = ()
    if lines and not any(looks_like_file(cell) for cell in lines[0][1]):
        header, lines = lines[0][1], lines[1:]
    if header:
        header = _whole_header(header, lines)
        _refuse_longer_rows(header, lines, delimiter, path)
    width = len(header) or max((len(cells) for _, cells in lines), default=0)
    rows = tuple((*cells, *[""] * (width - len(cells)))[:width] for _, cells in lines)
    return LabelTable(path, header, rows, tuple(number for number, _ in lines))


def _parsed(text: str, delimiter: str, path: Path) -> list[Line]:
    """The rows that are not empty, without blanks around their cells."""
    if '\\"' in text:  # quotes within quotes, as programs in C and JavaScript write them
        text = re.sub(rf'\\"(?=[^{re.escape(delimiter)}\r\n])', '""', text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
    lines = []
    try:
        for row in reader:
            cells = tuple(cell.strip() for cell in row)
            if any(cells):
                lines.append((reader.line_num, cells))
    except csv.Error as error:
        raise DataError(f"{path} is not a readable CSV file: line {reader.line_num}: {error}") from None
    return lines


def _without_separator_line(text: str) -> tuple[str, str | None]:
    """The text without the line ``sep=;`` that spreadsheets begin with, and the separator that it names."""
    match = re.match(r'"?sep=(.)"?\r?\n', text, re.IGNORECASE)
    return (text[match.end() :], match[1]) if match else (text, None)


def _delimiter(text: str) -> str:
    """The sign that parts most of the first lines into the same number of cells, above one."""
    first = [line for line in text.splitlines()[:20] if line.strip() and not line.startswith("#")][:5]

    def agreement(delimiter: str) -> tuple[int, int]:
        widths = [len(row) for row in csv.reader(first, delimiter=delimiter)]
        alike = sum(width == widths[0] for width in widths) if widths and widths[0] > 1 else 0
        return alike, widths[0] if widths else 0

    return max(DELIMITERS, key=agreement)


def _without_single_quotes(lines: list[Line]) -> list[Line]:
    """The rows without single quotes, where every cell stands between two."""
    cells = [cell for _, row in lines[1:] for cell in row if cell]
    if not cells or not all(len(cell) > 1 and cell[0] == cell[-1] == "'" for cell in cells):
        return lines
    return [(number, tuple(cell.strip("'").strip() for cell in row)) for number, row in lines]


def _without_comments(lines: list[Line]) -> list[Line]:
    """The rows from the header, or the first image, on."""
    while len(lines) > 1 and lines[0][1][0].startswith("#") and not any(map(looks_like_file, lines[0][1])):
        if len(lines[0][1]) == len(lines[1][1]) and any(map(looks_like_file, lines[1][1])):
            break  # a header that begins so
        lines = lines[1:]
    return lines


def _whole_header(header: Cells, lines: Sequence[Line]) -> Cells:
    """The header with an empty name for the numbers of rows, which programs such as R do not name."""
    numbered = lines and all(len(cells) == len(header) + 1 and cells[0].isdecimal() for _, cells in lines)
    return ("", *header) if numbered else header


def _refuse_longer_rows(header: Cells, lines: Sequence[Line], delimiter: str, path: Path) -> None:
    """Raise if rows have cells under no name: one of their names was cut in two."""
    longer = [(number, cells) for number, cells in lines if any(cells[len(header) :])]
    if not longer:
        return
    number, cells = longer[0]
    widths = Counter(len(cells) for _, cells in longer)
    sign = "a tab" if delimiter == "\t" else repr(delimiter)
    raise DataError(
        f"{path}, line {number}: {len(cells)} cells where the header has {len(header)} "
        f"({', '.join(map(repr, cells))[:80]}), and so in {sum(widths.values()):,} of {len(lines):,} rows; a name that "
        f'holds {sign} has to stand in quotes: "crane{delimiter} bird"'
    )
