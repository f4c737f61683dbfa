"""Tables that give an image several labels, and what stands between these in a cell."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from mobilenets.data.columns import Columns, choices_of, is_yes
from mobilenets.data.label_table import LabelTable
from mobilenets.data.reading import Reading

SEPARATORS = (";", "|", ",", " ")
"""Looked for in this order."""
FEWEST_CELLS = 0.1
"""Share of the cells that name several labels, at least, where cells do so."""


def find_separator(cells: Sequence[str]) -> str | None:
    """What separates the labels in the cells of a column; None where a cell is one label.

    Cells name several labels where the same few names come back in other combinations: "wet;round", "round;red".
    "Tinca tinca, tench" and "golden retriever" are names of one class each, whose parts hardly come back.

    Args:
        cells: All cells of the column.

    >>> find_separator(["wet;round", "round", "red;wet", "red;round", ""])
    ';'
    >>> find_separator(["golden retriever", "flat-coated retriever", "tench, Tinca tinca"]) is None
    True
    """
    filled = [cell for cell in cells if cell]
    return next((one for one in SEPARATORS if _separates(one, filled)), None)


def labels_in(cell: str, separator: str) -> list[str]:
    """The labels that a cell names, each once.

    >>> labels_in("wet; round;;wet", ";")
    ['wet', 'round']
    """
    return list(dict.fromkeys(name for part in cell.split(separator) if (name := part.strip())))


def _separates(separator: str, cells: Sequence[str]) -> bool:
    named = [labels_in(cell, separator) for cell in cells]
    several = [labels for labels in named if len(labels) > 1]
    if len(several) < max(2, FEWEST_CELLS * len(cells)):
        return False
    different = {tuple(sorted(labels)) for labels in named}
    company: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    for labels in different:
        for label in labels:
            company[label].add(labels)
    # Names that come back in another combination, or alone: most of them do where there are fewer names than these.
    returning = sum(len(combinations) > 1 for combinations in company.values())
    if len(company) > len(different) or returning <= len(company) / 2:
        return False
    # Words of a name are separated by blanks as well, so that these must say it clearly.
    return separator != " " or (2 * len(company) <= len(different) and returning == len(company))


def several_labels(table: LabelTable, columns: Columns, reading: Reading) -> tuple[bool, str | None]:
    """Whether the images of a table may have several labels, and what separates these in a cell.

    They may where more than a tenth of the rows name several, in columns of 0 and 1, in lists, or in cells with a
    separator, unless the reading says otherwise.

    Args:
        table: The table.
        columns: Its columns.
        reading: Says the task or the separator, where anybody does.
    """
    if reading.task == "classification":
        return False, None
    said = reading.task == "multilabel" or reading.separator is not None
    if len(columns.labels) > 1:
        more = [sum(is_yes(row[number]) for number in columns.labels) > 1 for row in table.rows]
        return said or sum(more) > FEWEST_CELLS * len(more), None
    cells = table.column(columns.labels[0])
    lists = [cell for cell in cells if len(choices_of(cell)) > 1]
    plain = [cell for cell in cells if not cell.startswith(("[", "{"))]
    separator = reading.separator or find_separator(plain)
    return said or separator is not None or len(lists) > FEWEST_CELLS * len(cells), separator
