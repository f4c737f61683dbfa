"""Footnotes of the paper's tables: why a printed figure and the computed one differ."""

from __future__ import annotations

from typing import NamedTuple

from mobilenets.architecture.published import (
    MACS,
    MACS_SHARE,
    PARAMETERS,
    PARAMETERS_SHARE,
    SSD_ON_MOBILENET,
    STRIDE,
)


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
    13: (
        Footnote(
            "ssd_mobilenet_v1 of the catalog: six maps, 1,917 anchors, and logits of 90 classes and of the background.",
            SSD_ON_MOBILENET,
        ),
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
