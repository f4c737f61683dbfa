"""The tables of the MobileNets paper, as printed, slips included.

Nothing in here was computed or measured by this project; :mod:`mobilenets.reports.tables` puts the two side by side and
explains where they differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from mobilenets.errors import ArchitectureError

PAPER = "Howard et al. 2017, arXiv:1704.04861"

Figure = float | str | None
"""A printed number, a printed shape, or nothing where the paper prints nothing."""

TOP1 = "top1_percent"
MACS = "macs_millions"
GIGA_MACS = "macs_billions"
PARAMETERS = "parameters_millions"
MACS_SHARE = "macs_percent"
PARAMETERS_SHARE = "parameters_percent"
MEAN_AVERAGE_PRECISION = "map_percent"
ACCURACY = "accuracy_percent"
STRIDE, FILTER, INPUT_SIZE = "stride", "filter", "input"

SSD_ON_MOBILENET = "SSD 300, MobileNet"
"""The row of Table 13 whose network is in the catalog."""


class PublishedRow(NamedTuple):
    """One printed row: what it is about, and its figures in the order of the table's columns."""

    label: str
    figures: tuple[Figure, ...]


@dataclass(frozen=True)
class PublishedTable:
    """One printed table.

    Attributes:
        number: Its number in the paper.
        caption: What it is about.
        columns: Names of the figures, units included.
        rows: The rows, in print order.
    """

    number: int
    caption: str
    columns: tuple[str, ...]
    rows: tuple[PublishedRow, ...]

    @property
    def source(self) -> str:
        """Where it was printed."""
        return f"{PAPER}, Table {self.number}"

    def figure(self, label: str, column: str) -> Figure:
        """One figure.

        Raises:
            ArchitectureError: If the table has no such row or column.

        >>> PUBLISHED_TABLES[8].figure("VGG16", TOP1)
        71.5
        """
        for row in self.rows:
            if row.label == label and column in self.columns:
                return row.figures[self.columns.index(column)]
        raise ArchitectureError(f"table {self.number} has no figure {column!r} for {label!r}")


def _table(number: int, caption: str, columns: tuple[str, ...], *rows: tuple[Figure, ...]) -> PublishedTable:
    """A table from rows that begin with their label."""
    return PublishedTable(number, caption, columns, tuple(PublishedRow(str(row[0]), row[1:]) for row in rows))


_COST = (TOP1, MACS, PARAMETERS)

PUBLISHED_TABLES: dict[int, PublishedTable] = {
    table.number: table
    for table in (
        _table(
            1,
            "MobileNet's body, layer by layer",
            (STRIDE, FILTER, INPUT_SIZE),
            ("conv", "s2", "3×3×3×32", "224×224×3"),
            ("dw 1", "s1", "3×3×32", "112×112×32"),
            ("conv 1", "s1", "1×1×32×64", "112×112×32"),
            ("dw 2", "s2", "3×3×64", "112×112×64"),
            ("conv 2", "s1", "1×1×64×128", "56×56×64"),
            ("dw 3", "s1", "3×3×128", "56×56×128"),
            ("conv 3", "s1", "1×1×128×128", "56×56×128"),
            ("dw 4", "s2", "3×3×128", "56×56×128"),
            ("conv 4", "s1", "1×1×128×256", "28×28×128"),
            ("dw 5", "s1", "3×3×256", "28×28×256"),
            ("conv 5", "s1", "1×1×256×256", "28×28×256"),
            ("dw 6", "s2", "3×3×256", "28×28×256"),
            ("conv 6", "s1", "1×1×256×512", "14×14×256"),
            ("dw 7–11", "s1", "3×3×512", "14×14×512"),
            ("conv 7–11", "s1", "1×1×512×512", "14×14×512"),
            ("dw 12", "s2", "3×3×512", "14×14×512"),
            ("conv 12", "s1", "1×1×512×1024", "7×7×512"),
            ("dw 13", "s2", "3×3×1024", "7×7×1024"),
            ("conv 13", "s1", "1×1×1024×1024", "7×7×1024"),
            ("pool", "s1", "7×7", "7×7×1024"),
            ("linear", "s1", "1024×1000", "1×1×1024"),
            ("softmax", "s1", None, "1×1×1000"),
        ),
        _table(
            2,
            "Where MobileNet's Mult-Adds and parameters are",
            (MACS_SHARE, PARAMETERS_SHARE),
            ("convolution 1×1", 94.86, 74.59),
            ("depthwise 3×3", 3.06, 1.06),
            ("convolution 3×3", 1.19, 0.02),
            ("linear", 0.18, 24.33),
        ),
        _table(
            3,
            "One layer, 14×14 and 512 to 512 channels, made smaller step by step",
            (MACS, PARAMETERS),
            ("convolution", 462, 2.36),
            ("depthwise separable", 52.3, 0.27),
            ("α = 0.75", 29.6, 0.15),
            ("ρ = 0.714", 15.1, 0.15),
        ),
        _table(
            4,
            "Full convolutions against depthwise separable ones",
            _COST,
            ("Conv MobileNet", 71.7, 4866, 29.3),
            ("MobileNet", 70.6, 569, 4.2),
        ),
        _table(
            5,
            "A thinner network against a shallower one",
            _COST,
            ("0.75 MobileNet", 68.4, 325, 2.6),
            ("shallow MobileNet", 65.3, 307, 2.9),
        ),
        _table(
            6,
            "The width multiplier",
            _COST,
            ("1.0 MobileNet-224", 70.6, 569, 4.2),
            ("0.75 MobileNet-224", 68.4, 325, 2.6),
            ("0.5 MobileNet-224", 63.7, 149, 1.3),
            ("0.25 MobileNet-224", 50.6, 41, 0.5),
        ),
        _table(
            7,
            "The resolution multiplier",
            _COST,
            ("1.0 MobileNet-224", 70.6, 569, 4.2),
            ("1.0 MobileNet-192", 69.1, 418, 4.2),
            ("1.0 MobileNet-160", 67.2, 290, 4.2),
            ("1.0 MobileNet-128", 64.4, 186, 4.2),
        ),
        _table(
            8,
            "MobileNet against large networks",
            _COST,
            ("1.0 MobileNet-224", 70.6, 569, 4.2),
            ("GoogLeNet", 69.8, 1550, 6.8),
            ("VGG16", 71.5, 15300, 138),
        ),
        _table(
            9,
            "A small MobileNet against small networks",
            _COST,
            ("0.5 MobileNet-160", 60.2, 76, 1.32),
            ("SqueezeNet", 57.5, 1700, 1.25),
            ("AlexNet", 57.2, 720, 60),
        ),
        _table(
            10,
            "Fine-grained recognition on Stanford Dogs",
            _COST,
            ("Inception V3", 84, 5000, 23.2),
            ("1.0 MobileNet-224", 83.3, 569, 3.3),
            ("0.75 MobileNet-224", 81.9, 325, 1.9),
            ("1.0 MobileNet-192", 81.9, 418, 3.3),
            ("0.75 MobileNet-192", 80.5, 239, 1.9),
        ),
        _table(
            11,
            "Where a photograph was taken: share of answers within a distance",
            ("im2gps_percent", "planet_percent", "planet_mobilenet_percent"),
            ("continent, 2500 km", 51.9, 77.6, 79.3),
            ("country, 750 km", 35.4, 64.0, 60.3),
            ("region, 200 km", 32.1, 51.1, 45.2),
            ("city, 25 km", 21.9, 31.7, 31.7),
            ("street, 1 km", 2.5, 11.0, 11.4),
        ),
        _table(
            12,
            "Face attributes, distilled from a large network",
            (MEAN_AVERAGE_PRECISION, MACS, PARAMETERS),
            ("1.0 MobileNet-224", 88.7, 568, 3.2),
            ("0.5 MobileNet-224", 88.1, 149, 0.8),
            ("0.25 MobileNet-224", 87.2, 45, 0.2),
            ("1.0 MobileNet-128", 88.1, 185, 3.2),
            ("0.5 MobileNet-128", 87.7, 48, 0.8),
            ("0.25 MobileNet-128", 86.4, 15, 0.2),
            ("baseline", 86.9, 1600, 7.5),
        ),
        _table(
            13,
            "Object detection on COCO with three bodies in three frameworks",
            (MEAN_AVERAGE_PRECISION, GIGA_MACS, PARAMETERS),
            ("SSD 300, deeplab-VGG", 21.1, 34.9, 33.1),
            ("SSD 300, Inception V2", 22.0, 3.8, 13.7),
            (SSD_ON_MOBILENET, 19.3, 1.2, 6.8),
            ("Faster R-CNN 300, VGG", 22.9, 64.3, 138.5),
            ("Faster R-CNN 300, Inception V2", 15.4, 118.2, 13.3),
            ("Faster R-CNN 300, MobileNet", 16.4, 25.2, 6.1),
            ("Faster R-CNN 600, VGG", 25.7, 149.6, 138.5),
            ("Faster R-CNN 600, Inception V2", 21.9, 129.6, 13.3),
            ("Faster R-CNN 600, MobileNet", 19.8, 30.5, 6.1),
        ),
        _table(
            14,
            "Face embeddings: accuracy at a false accept rate of 1e-4",
            (ACCURACY, MACS, PARAMETERS),
            ("FaceNet", 83, 1600, 7.5),
            ("1.0 MobileNet-160", 79.4, 286, 4.9),
            ("1.0 MobileNet-128", 78.3, 185, 5.5),
            ("0.75 MobileNet-128", 75.2, 166, 3.4),
            ("0.75 MobileNet-128, second row", 72.5, 108, 3.8),
        ),
    )
}

SSDLITE_SOURCE = "Sandler et al. 2018, arXiv:1801.04381, Table 6"
COCO_CLASSES = 80
SSDLITE_RESULTS = (
    ("MobileNet V1 + SSDLite", "ssdlite_mobilenet_v1", 22.2, 1.3, 5.1),
    ("MobileNet V2 + SSDLite", "ssdlite_mobilenet_v2", 22.1, 0.8, 4.3),
)
"""Detectors of the catalog: what they are called, mean average precision in percent, billion Mult-Adds, million
parameters."""
