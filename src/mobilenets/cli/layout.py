"""How the paper's tables and a network's layers are laid out as text that fits 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

from rich.table import Table as TextTable
from rich.text import Text

from mobilenets.architecture.published import (
    ACCURACY,
    FILTER,
    GIGA_MACS,
    INPUT_SIZE,
    MACS,
    MACS_SHARE,
    MEAN_AVERAGE_PRECISION,
    PARAMETERS,
    PARAMETERS_SHARE,
    STRIDE,
    TOP1,
    Figure,
)
from mobilenets.cli.console import results
from mobilenets.reports.computed_figures import COMPUTED_MACS, COMPUTED_PARAMETERS
from mobilenets.reports.tables import (
    INT8_TOP1,
    INT8_TOP5,
    MACS_COMPUTED_MILLIONS,
    RESOLUTION,
    TOP5,
    WIDTH,
    Table,
    TableRow,
)

HEADINGS = {
    TOP1: "top-1\n%",
    TOP5: "top-5\n%",
    INT8_TOP1: "8-bit\ntop-1 %",
    INT8_TOP5: "8-bit\ntop-5 %",
    MACS: "Mult-Adds\nmillions",
    GIGA_MACS: "Mult-Adds\nbillions",
    MACS_SHARE: "Mult-Adds\n%",
    COMPUTED_MACS: "Mult-Adds\ncomputed",
    MACS_COMPUTED_MILLIONS: "Mult-Adds\nmillions",
    PARAMETERS: "parameters\nmillions",
    PARAMETERS_SHARE: "parameters\n%",
    COMPUTED_PARAMETERS: "parameters\ncomputed",
    MEAN_AVERAGE_PRECISION: "mAP\n%",
    ACCURACY: "accuracy\n%",
    STRIDE: "stride\n",
    FILTER: "filter\n",
    INPUT_SIZE: "input\n",
    WIDTH: "α\n",
    RESOLUTION: "input\npixels",
    "im2gps_percent": "Im2GPS\n%",
    "planet_percent": "PlaNet\n%",
    "planet_mobilenet_percent": "PlaNet\nMobileNet %",
}
WIDEST_TEXT = 80
"""Columns at which sentences are folded on wider terminals."""
SAME = "="
"""Printed for a computed shape that is as published."""

_SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def text_table(*headings: str, left: int = 1) -> TextTable:
    """An empty table whose first ``left`` columns are words and whose others are numbers."""
    layout = TextTable(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for number, heading in enumerate(headings):
        layout.add_column(heading, justify="left" if number < left else "right", no_wrap=True)
    return layout


def print_facts(facts: Mapping[str, object], *, width: int | None = None) -> None:
    """Names, and what is to be said of each; a long text goes on below its beginning.

    Args:
        facts: By name.
        width: Columns to fold at; those of the terminal if None.
    """
    layout = text_table("", "", left=2)
    layout.show_header = False
    for column in layout.columns:
        column.no_wrap, column.overflow = False, "fold"
    for name, value in facts.items():
        layout.add_row(Text(name), Text(str(value)))
    results().print(layout, width=width)


def print_table(table: Table) -> None:
    """One of the paper's tables, with its caption above and its footnotes below."""
    console = results()
    title = f"Table {table.name}. " if table.name.isdecimal() else ""
    mark = _mark(table.column_notes.get("", ()))
    console.print(Text(f"{title}{table.caption}{mark}", style="bold"))
    console.print(Text(f"Published: {table.source}"), style="dim")
    layout = text_table("\n", *_headings(table))
    columns = zip(*(_cells(table, row) for row in table.rows), strict=True)
    aligned = zip(*map(_align, columns), strict=True)
    for row, cells in zip(table.rows, aligned, strict=True):
        layout.add_row(row.label + _mark(row.notes.get("", ())), *cells)
    console.print(layout)
    for number, note in enumerate(table.notes, start=1):
        console.print(Text(textwrap.fill(f"{_mark((number,))} {note}", min(console.width, WIDEST_TEXT))))
    console.print()


def _align(cells: Sequence[tuple[str, str]]) -> list[str]:
    """Figures with their marks behind them, so that the last digits of a column stand under one another."""
    room = max(len(mark) for _, mark in cells)
    return [figure + mark.ljust(room) for figure, mark in cells]


def _headings(table: Table) -> list[str]:
    headings = []
    for column in table.columns:
        if column.published:
            headings.append(HEADINGS[column.published] + _mark(table.column_notes.get(column.published, ())))
        if column.computed and column.computed != column.published:
            headings.append(HEADINGS[column.computed])
        elif column.computed:
            headings.append("\ncomp.")
    return headings


def _cells(table: Table, row: TableRow) -> list[tuple[str, str]]:
    """Every figure of a row, and the marks of its footnotes."""
    cells = []
    for published, computed in table.columns:
        if published:
            cells.append((_printed(row.published.get(published)), _mark(row.notes.get(published, ()))))
        if computed:
            value = row.computed.get(computed)
            same = isinstance(value, str) and published is not None and value == row.published.get(published)
            cells.append((SAME if same else _counted(value), ""))
    return cells


def _printed(value: Figure) -> str:
    """A published figure as the paper prints it: 84 and 64.0 are not the same precision."""
    return "" if value is None else str(value)


def _counted(value: Figure) -> str:
    """A computed figure: counts with their thousands set apart."""
    return "" if value is None else value if isinstance(value, str) else f"{value:,}"


def _mark(numbers: Sequence[int]) -> str:
    return " ".join(str(number).translate(_SUPERSCRIPTS) for number in numbers)
