"""The paper's tables with computed figures beside the published ones, and footnotes where the two part.

Tables 1 to 9 are about cost and are computed anew from the architectures, as the detector of Table 13 is. Tables 10 to
14 are measurements on data that is not here and are given as published. Every figure that the computed one does not
confirm at its printed precision has a footnote: a test sees to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from mobilenets.architecture.catalog import Specification
from mobilenets.architecture.cost import cost
from mobilenets.architecture.imagenet_results import (
    FAMILY_TABLES,
    LATER_RESULTS,
    RELEASED_MODELS,
    RELEASED_SOURCE,
    WEIGHTS,
    FamilyTable,
)
from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.architecture.published import (
    COCO_CLASSES,
    GIGA_MACS,
    MACS,
    MEAN_AVERAGE_PRECISION,
    PARAMETERS,
    PUBLISHED_TABLES,
    SSDLITE_RESULTS,
    SSDLITE_SOURCE,
    TOP1,
    PublishedTable,
)
from mobilenets.errors import ArchitectureError
from mobilenets.reports.computed_figures import (
    COMPUTED_MACS,
    COMPUTED_PARAMETERS,
    Figures,
    computed_figures,
    counts,
    detector_counts,
)
from mobilenets.reports.footnotes import FOOTNOTES

MACS_COMPUTED_MILLIONS = "macs_computed_millions"


class Column(NamedTuple):
    """One column: the name of its published figures and that of the computed ones beside them; either may be absent."""

    published: str | None
    computed: str | None = None


@dataclass(frozen=True)
class TableRow:
    """One row: published figures and computed ones by name, and the numbers of the footnotes on them.

    Attributes:
        label: What the row is about.
        published: By column, as printed.
        computed: By column.
        notes: Numbers of footnotes by published column; under ``""`` those on the row as a whole.
    """

    label: str
    published: Figures
    computed: Figures
    notes: Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Table:
    """One table, ready to be printed.

    Attributes:
        name: Number in the paper, or one of the other :data:`TABLE_NAMES`.
        caption: What it is about.
        source: Where the published figures come from.
        columns: What the columns hold, in order.
        rows: The rows, in order.
        notes: Footnotes; the first is number 1.
        column_notes: Numbers of the footnotes that a column as a whole has; under ``""`` those on the whole table.
    """

    name: str
    caption: str
    source: str
    columns: tuple[Column, ...]
    rows: tuple[TableRow, ...]
    notes: tuple[str, ...]
    column_notes: Mapping[str, tuple[int, ...]]

    def encode(self) -> dict[str, Any]:
        """JSON-ready values."""
        return {
            "table": self.name,
            "caption": self.caption,
            "source": self.source,
            "rows": [
                {
                    "label": row.label,
                    "published": dict(row.published),
                    "computed": dict(row.computed),
                    "notes": {column: list(numbers) for column, numbers in row.notes.items()},
                }
                for row in self.rows
            ],
            "column_notes": {column: list(numbers) for column, numbers in self.column_notes.items()},
            "notes": list(self.notes),
        }


RELEASED, LATER, FETCHED, SSDLITE = "released", "later", "weights", "ssdlite"
TOP5, INT8_TOP1, INT8_TOP5 = "top5_percent", "int8_top1_percent", "int8_top5_percent"
WIDTH, RESOLUTION = "width_multiplier", "resolution"

TABLE_NAMES = (*map(str, PUBLISHED_TABLES), RELEASED, LATER, *FAMILY_TABLES, SSDLITE, FETCHED)
"""Every table there is: 1 to 14, the sixteen released networks, later results, V2 to V4, SSDLite, and weights to be
fetched."""


def table(name: str) -> Table:
    """A table by its number in the paper, or ``released``, ``later``, ``v2``, ``v3``, ``v4``, ``ssdlite`` or
    ``weights``.

    Raises:
        ArchitectureError: If there is no such table.

    >>> table("6").rows[0].computed
    {'macs': 568740352, 'parameters': 4231976}
    """
    if name == RELEASED:
        return _released()
    if name == LATER:
        return _later()
    if name in FAMILY_TABLES:
        return _family(FAMILY_TABLES[name])
    if name == SSDLITE:
        return _ssdlite()
    if name == FETCHED:
        return _weights()
    if not name.isdecimal() or int(name) not in PUBLISHED_TABLES:
        raise ArchitectureError(f"there is no table {name!r}; known are {', '.join(TABLE_NAMES)}")
    published = PUBLISHED_TABLES[int(name)]
    computed = computed_figures(published)
    notes, places = _place_footnotes(published)
    rows = tuple(
        TableRow(
            row.label,
            dict(zip(published.columns, row.figures, strict=True)),
            figures,
            {column: numbers for (label, column), numbers in places.items() if label == row.label},
        )
        for row, figures in zip(published.rows, computed, strict=True)
    )
    return Table(
        name=name,
        caption=published.caption,
        source=published.source,
        columns=_columns(published, computed),
        rows=rows,
        notes=notes,
        column_notes={column: numbers for (label, column), numbers in places.items() if label is None},
    )


def _place_footnotes(
    published: PublishedTable,
) -> tuple[tuple[str, ...], dict[tuple[str | None, str], tuple[int, ...]]]:
    """Texts of a table's footnotes, and by (row, column) the numbers of those that belong there."""
    notes: list[str] = []
    places: dict[tuple[str | None, str], tuple[int, ...]] = {}
    for footnote in FOOTNOTES.get(published.number, ()):
        if footnote.text not in notes:
            notes.append(footnote.text)
        place = (footnote.label, footnote.column or "")
        places[place] = (*places.get(place, ()), notes.index(footnote.text) + 1)
    return tuple(notes), places


_BESIDE = {MACS: COMPUTED_MACS, PARAMETERS: COMPUTED_PARAMETERS}
"""Computed figures that are called otherwise than the published ones beside them, because they are counted in ones."""


def _columns(published: PublishedTable, computed: Sequence[Figures]) -> tuple[Column, ...]:
    """Each published column with what is computed for it, then what is computed only."""
    there = {name for row in computed for name in row}
    pairs = [(name, name if name in there else _BESIDE.get(name, name)) for name in published.columns]
    columns = [Column(name, beside if beside in there else None) for name, beside in pairs]
    alone = there - {column.computed for column in columns}
    return (*columns, *(Column(None, name) for name in sorted(alone)))


def _released() -> Table:
    """The sixteen released networks."""
    rows = []
    for entry in RELEASED_MODELS:
        network = mobilenet_v1(width_multiplier=entry.width_multiplier, resolution=entry.resolution)
        published: Figures = {
            TOP1: entry.top1,
            TOP5: entry.top5,
            INT8_TOP1: entry.int8_top1,
            INT8_TOP5: entry.int8_top5,
        }
        label = f"{entry.width_multiplier} MobileNet-{entry.resolution}"
        rows.append(TableRow(label, published, counts(cost(network)), {}))
    return Table(
        name=RELEASED,
        caption="The sixteen released networks on ImageNet, float and 8-bit",
        source=RELEASED_SOURCE,
        columns=(
            *map(Column, (TOP1, TOP5, INT8_TOP1, INT8_TOP5)),
            Column(None, COMPUTED_MACS),
            Column(None, COMPUTED_PARAMETERS),
        ),
        rows=tuple(rows),
        notes=(),
        column_notes={},
    )


def _later() -> Table:
    """Later results on the same architecture; their sources are its footnotes."""
    sources = list(dict.fromkeys(result.source for result in LATER_RESULTS))
    rows = []
    for result in LATER_RESULTS:
        published: Figures = {
            WIDTH: result.width_multiplier,
            RESOLUTION: result.resolution,
            MACS: result.million_macs,
            TOP1: result.top1 if result.top1_high is None else f"{result.top1}–{result.top1_high}",
        }
        rows.append(TableRow(result.what, published, {}, {"": (sources.index(result.source) + 1,)}))
    return Table(
        name=LATER,
        caption="Later ImageNet results on the same architecture",
        source="named in the footnotes",
        columns=tuple(map(Column, (WIDTH, RESOLUTION, MACS, TOP1))),
        rows=tuple(rows),
        notes=tuple(sources),
        column_notes={},
    )


_OF_TIMM = "Counted beside it is the network that timm has weights of, which follows the authors' own code."

_FAMILY_NOTES: Mapping[str, tuple[tuple[str, str, str], ...]] = {
    "v2": (
        ("", MACS, "Cut off behind the millions, not rounded."),
        ("", PARAMETERS, "Without γ and β of the batch norms, which are counted beside it."),
    ),
    "v3": (
        ("large 1-224", PARAMETERS, "The exact count is 5.5 million."),
        ("small 1-224", MACS, "Its paper, in Table 3, has 56 million, and 2.5 million parameters."),
        ("small 1-224", PARAMETERS, "Its paper, in Table 3, has 56 million, and 2.5 million parameters."),
        ("small 0.75-224", MACS, "The exact count is 43 million."),
        ("small 0.75-224", PARAMETERS, "Its paper, in Table 3, has 2.0 million."),
        ("small minimalistic 1-224", MACS, "The exact count is 52 million."),
    ),
    "v4": (
        ("", MACS, "Printed in billions, to one digit behind the point."),
        ("conv medium 1-256", PARAMETERS, _OF_TIMM),
        ("conv large 1-384", MACS, _OF_TIMM),
        ("conv large 1-384", PARAMETERS, _OF_TIMM),
    ),
}
"""Footnotes of each family's table: (row or empty for the whole column, column, text)."""


def _family(family: FamilyTable) -> Table:
    """What the authors of a successor published, and what is counted."""
    notes = list(dict.fromkeys(text for _, _, text in _FAMILY_NOTES[family.name]))
    places: dict[str, dict[str, tuple[int, ...]]] = {}
    for label, column, text in _FAMILY_NOTES[family.name]:
        places.setdefault(label, {})[column] = (notes.index(text) + 1,)
    rows = [
        TableRow(
            label=_in_family(one.network),
            published={
                TOP1: one.top1,
                TOP5: one.top5,
                MACS: one.million_macs,
                PARAMETERS: one.million_parameters,
            },
            computed=counts(cost(Specification.parse(one.network).network())),
            notes=places.get(_in_family(one.network), {}),
        )
        for one in family.rows
    ]
    with_top5 = any(one.top5 is not None for one in family.rows)
    return Table(
        name=family.name,
        caption=family.caption,
        source=family.source,
        columns=(
            Column(TOP1),
            *([Column(TOP5)] if with_top5 else []),
            Column(MACS, COMPUTED_MACS),
            Column(PARAMETERS, COMPUTED_PARAMETERS),
        ),
        rows=tuple(rows),
        notes=tuple(notes),
        column_notes=places.get("", {}),
    )


def _in_family(network: str) -> str:
    """What a network is called among its family's.

    >>> _in_family("mobilenet_v3_large_minimalistic@1-224"), _in_family("mobilenet_v2@0.5-96")
    ('large minimalistic 1-224', '0.5-96')
    """
    name, _, size = network.partition("@")
    return " ".join([*name.split("_")[2:], size])


def _ssdlite() -> Table:
    """SSDLite on the bodies of two families, as the paper that proposed it measured it."""
    rows = []
    for label, network, mean_precision, giga_macs, parameters in SSDLITE_RESULTS:
        published: Figures = {MEAN_AVERAGE_PRECISION: mean_precision, GIGA_MACS: giga_macs, PARAMETERS: parameters}
        computed = detector_counts(Specification.parse(network).network(classes=COCO_CLASSES))
        rows.append(TableRow(label, published, computed, {}))
    return Table(
        name=SSDLITE,
        caption="SSDLite on COCO at 320×320 pixels",
        source=SSDLITE_SOURCE,
        columns=(
            Column(MEAN_AVERAGE_PRECISION),
            Column(GIGA_MACS, GIGA_MACS),
            Column(PARAMETERS, PARAMETERS),
        ),
        rows=tuple(rows),
        notes=(f"Of {COCO_CLASSES} classes, which are those that COCO has.",),
        column_notes={"": (1,)},
    )


def _weights() -> Table:
    """Weights that can be fetched, by family and cost; what they cost is counted."""
    sources = list(dict.fromkeys(one.source for one in WEIGHTS))
    rows = []
    for one in WEIGHTS:
        network = Specification.parse(one.network).network()
        rows.append(
            TableRow(
                label=one.short_name,
                published={RESOLUTION: network.height, TOP1: round(one.top1, 1)},
                computed={MACS_COMPUTED_MILLIONS: round(cost(network).macs / 1e6)},
                notes={"": (sources.index(one.source) + 1,)},
            )
        )
    return Table(
        name=FETCHED,
        caption="Weights of all families on ImageNet, by the names that import takes",
        source="named in the footnotes; the resolution is that of the test",
        columns=(Column(RESOLUTION), Column(TOP1), Column(None, MACS_COMPUTED_MILLIONS)),
        rows=tuple(rows),
        notes=tuple(sources),
        column_notes={},
    )
