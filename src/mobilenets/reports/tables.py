"""The paper's tables with computed figures beside the published ones, and footnotes where the two part.

Tables 1 to 9 are about cost and are computed anew from the architectures. Tables 10 to 14 are measurements on data
that is not here and are given as published. Every figure of Tables 1 to 9 that the computed one does not confirm at its
printed precision has a footnote: a test sees to it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from mobilenets.architecture.blocks import Body
from mobilenets.architecture.catalog import Specification
from mobilenets.architecture.cost import Cost, cost
from mobilenets.architecture.layers import (
    Convolution,
    DepthwiseConvolution,
    GlobalAveragePool,
    Layer,
    Linear,
    PointwiseConvolution,
    Shape,
    Windowed,
)
from mobilenets.architecture.network import Network
from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.architecture.published import (
    FAMILY_TABLES,
    FILTER,
    INPUT_SIZE,
    LATER_RESULTS,
    MACS,
    MACS_SHARE,
    PARAMETERS,
    PARAMETERS_SHARE,
    PUBLISHED_TABLES,
    RELEASED_MODELS,
    RELEASED_SOURCE,
    STRIDE,
    TOP1,
    WEIGHTS,
    FamilyTable,
    Figure,
    PublishedRow,
    PublishedTable,
)
from mobilenets.errors import ArchitectureError

Figures = Mapping[str, Figure]
"""Figures by name."""

MACS_COMPUTED_MILLIONS = "macs_computed_millions"
COMPUTED_MACS, COMPUTED_PARAMETERS = "macs", "parameters"
"""Exact counts, in ones, beside published millions."""


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


RELEASED, LATER, FETCHED = "released", "later", "weights"
TOP5, INT8_TOP1, INT8_TOP5 = "top5_percent", "int8_top1_percent", "int8_top5_percent"
WIDTH, RESOLUTION = "width_multiplier", "resolution"

TABLE_NAMES = (*map(str, PUBLISHED_TABLES), RELEASED, LATER, *FAMILY_TABLES, FETCHED)
"""Every table there is: 1 to 14, the sixteen released networks, later results, V2 to V4, and weights to be fetched."""


def table(name: str) -> Table:
    """A table by its number in the paper, or ``released``, ``later``, ``v2``, ``v3``, ``v4`` or ``weights``.

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
    pairs = [(name, _BESIDE.get(name, name)) for name in published.columns]
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


# Computed figures -----------------------------------------------------------------------------------------------------


def computed_figures(published: PublishedTable) -> Sequence[Figures]:
    """What is computed for a table, row by row; nothing for Tables 10 to 14, which only a measurement could give."""
    special = {1: _body, 2: _shares, 3: _one_layer}
    if published.number in special:
        return special[published.number]()
    if published.number > 9:
        return [{} for _ in published.rows]
    return [counts(cost(_network_of_row(row))) for row in published.rows]


def counts(total: Cost) -> Figures:
    """Mult-Adds and parameters of a whole network."""
    return {COMPUTED_MACS: total.macs, COMPUTED_PARAMETERS: total.parameters}


_SPECIFICATIONS = {
    "Conv MobileNet": "mobilenet_v1_full_convolution",
    "MobileNet": "mobilenet_v1",
    "0.75 MobileNet": "mobilenet_v1@0.75",
    "shallow MobileNet": "mobilenet_v1_shallow",
    "GoogLeNet": "googlenet",
    "VGG16": "vgg16",
    "SqueezeNet": "squeezenet",
    "AlexNet": "alexnet",
}


def _network_of_row(row: PublishedRow) -> Network:
    """The network that a row of Tables 4 to 9 is about."""
    if row.label in _SPECIFICATIONS:
        return Specification.parse(_SPECIFICATIONS[row.label]).network()
    width, _, resolution = row.label.partition(" MobileNet-")
    return mobilenet_v1(width_multiplier=float(width), resolution=int(resolution))


def _body() -> Sequence[Figures]:
    """Table 1, whose rows are layers; the five equal blocks share two rows."""
    network = mobilenet_v1()
    repeated = range(7, 12)
    rows: list[Figures] = []
    for layer in network.layers:
        block = layer.name.removeprefix("block").split(".")[0]
        if block.isdecimal() and int(block) in repeated[1:]:
            continue
        count = len(repeated) if block == str(repeated[0]) else 1
        rows.append(_layer_figures(network, layer, count))
    softmax: Figures = {STRIDE: "s1", INPUT_SIZE: _size(network.shapes[network.outputs[0]]), COMPUTED_MACS: 0}
    return [*rows, softmax]


def _layer_figures(network: Network, layer: Layer, count: int) -> Figures:
    (shape,) = network.input_shapes(layer)
    return {
        STRIDE: f"s{layer.stride if isinstance(layer, Windowed) else 1}",
        FILTER: _filter(layer, shape),
        INPUT_SIZE: _size(shape),
        COMPUTED_MACS: count * layer.macs((shape,)),
    }


def _size(shape: Shape) -> str:
    """As the paper writes it: rows × columns × channels."""
    return f"{shape.height}×{shape.width}×{shape.channels}"


def _filter(layer: Layer, shape: Shape) -> str:
    """As the paper writes it: rows × columns × input channels × output channels."""
    if isinstance(layer, GlobalAveragePool):
        return f"{shape.height}×{shape.width}"
    if isinstance(layer, Linear):
        return f"{shape.size}×{layer.out_features}"
    out_channels, in_channels, *window = layer.weight_shape((shape,))
    if isinstance(layer, DepthwiseConvolution):
        return "×".join(map(str, (*window, out_channels)))
    return "×".join(map(str, (*window, in_channels, out_channels)))


def _shares() -> Sequence[Figures]:
    """Table 2: shares by kind of layer, of Mult-Adds and of weights."""
    network = mobilenet_v1()
    kinds = (PointwiseConvolution, DepthwiseConvolution, Convolution, Linear)
    macs, weights = dict.fromkeys(kinds, 0), dict.fromkeys(kinds, 0)
    for layer in network.layers:
        for kind in kinds:
            if isinstance(layer, kind):
                shapes = network.input_shapes(layer)
                macs[kind] += layer.macs(shapes)
                weights[kind] += math.prod(layer.weight_shape(shapes))
    return [
        {
            MACS_SHARE: round(100 * macs[kind] / sum(macs.values()), 4),
            PARAMETERS_SHARE: round(100 * weights[kind] / sum(weights.values()), 4),
        }
        for kind in kinds
    ]


def _one_layer() -> Sequence[Figures]:
    """Table 3: each row makes the layer of the row before it smaller."""
    square = partial(Body, channels=512, height=14, width=14)
    full = square()
    full.convolution("layer", 512)
    separable = square()
    separable.depthwise_separable("layer", 512)
    thin = square(width_multiplier=0.75, channels=384)
    thin.depthwise_separable("layer", 512)
    small = square(width_multiplier=0.75, channels=384, height=10, width=10)
    small.depthwise_separable("layer", 512)
    return [counts(cost(body.network("layer"))) for body in (full, separable, thin, small)]


# Footnotes ------------------------------------------------------------------------------------------------------------


class Footnote(NamedTuple):
    """A note on one figure, on a whole row (no column), or on a whole table (neither)."""

    text: str
    label: str | None = None
    column: str | None = None


_CUT = "Cut off after the last printed digit, not rounded."

FOOTNOTES: dict[int, tuple[Footnote, ...]] = {
    1: (
        Footnote(
            "A slip: with stride 2 this map would become 4×4, but the next row reads 7×7. Every released network has "
            "stride 1 here.",
            "dw 13",
            STRIDE,
        ),
    ),
    2: (
        Footnote("Computed from weights alone, as the paper's are: no bias and no batch norm.", None, PARAMETERS_SHARE),
        Footnote("A slip of the digits: 1.91.", "convolution 3×3", MACS_SHARE),
    ),
    4: (Footnote("Leaves out the linear layer's 1 million.", "Conv MobileNet", MACS),),
    7: (Footnote(_CUT, "1.0 MobileNet-160", MACS),),
    8: (
        Footnote(
            "GoogLeNet's own Table 1, which counts its first convolution at 2.7 thousand weights instead of 9.4, adds "
            "up to 6.8 million parameters and 1,502 million Mult-Adds. Computed is every layer it lists, with biases.",
            "GoogLeNet",
        ),
        Footnote("The convolutions alone: the linear layers add 124 million.", "VGG16", MACS),
    ),
    9: (
        Footnote(_CUT, "0.5 MobileNet-160", MACS),
        Footnote("Weights alone, without batch norms and biases.", "0.5 MobileNet-160", PARAMETERS),
        Footnote(
            "Counts a multiplication and an addition as two, where every other row counts one Mult-Add: "
            "2 × 833 million. At 227×227, which SqueezeNet's first map of 111×111 needs.",
            "SqueezeNet",
            MACS,
        ),
        Footnote(
            "Both printed to two digits or fewer. Computed is AlexNet with its two groups, at 227×227, which its first "
            "map of 55×55 needs.",
            "AlexNet",
        ),
    ),
    11: (
        Footnote(
            "Section 4.4, which describes these networks, says million where it means billion Mult-Adds for MobileNet."
        ),
    ),
    12: (
        Footnote("The exact count is 41 million.", "0.25 MobileNet-224", MACS),
        Footnote("The exact count is 14 million.", "0.25 MobileNet-128", MACS),
        Footnote("Section 4.5 says 75 million for the same network.", "baseline", PARAMETERS),
    ),
    14: (
        Footnote(
            "The cost of 0.75 MobileNet-160: at 128×128 it would be 107 million, as the row below has it with its "
            "embedding.",
            "0.75 MobileNet-128",
            MACS,
        ),
    ),
}
