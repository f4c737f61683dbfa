"""What a table of images and labels holds: columns and rows of text."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mobilenets.data.findings import Finding
from mobilenets.data.sources import IMAGE_SUFFIXES

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


def looks_like_file(cell: str) -> bool:
    """Whether a cell names an image, by its ending or its beginning.

    >>> looks_like_file("train\\\\1.JPG"), looks_like_file("gs://bucket/1"), looks_like_file("image_path")
    (True, True, False)
    """
    name = cell.partition("?")[0].lower()
    return name.startswith(REMOTE) or any(name.endswith(suffix) for suffix in IMAGE_SUFFIXES)
