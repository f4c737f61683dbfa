"""MobileNet V3, large and small, as Tables 1 and 2 of its paper read, and the minimalistic variants of both.

Source: Howard et al. 2019, arXiv:1905.02244. The minimalistic variants come with the paper's released weights: they
have no squeeze-and-excite, no hard-swish and no 5×5 convolutions.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from mobilenets.architecture.blocks import Body
from mobilenets.architecture.layers import Activation, BatchNorm
from mobilenets.architecture.multipliers import PaddingPolicy, Rounding
from mobilenets.architecture.network import Network
from mobilenets.architecture.networks.mobilenet_v2 import MULTIPLES_OF_8

RE, HS = Activation.RELU, Activation.HARD_SWISH


class BneckRow(NamedTuple):
    """One inverted residual, in the columns of Tables 1 and 2."""

    kernel: int
    """Side of the depthwise filters."""
    exp_size: int
    """Channels of the depthwise convolution."""
    out: int
    """Output channels."""
    se: bool
    """Whether there is a squeeze-and-excite."""
    nl: Activation
    """After the expansion and the depthwise convolution."""
    s: int
    """Stride of the depthwise convolution."""


STEM_CHANNELS = 16

TABLE_1 = (
    BneckRow(kernel=3, exp_size=16, out=16, se=False, nl=RE, s=1),
    BneckRow(kernel=3, exp_size=64, out=24, se=False, nl=RE, s=2),
    BneckRow(kernel=3, exp_size=72, out=24, se=False, nl=RE, s=1),
    BneckRow(kernel=5, exp_size=72, out=40, se=True, nl=RE, s=2),
    BneckRow(kernel=5, exp_size=120, out=40, se=True, nl=RE, s=1),
    BneckRow(kernel=5, exp_size=120, out=40, se=True, nl=RE, s=1),
    BneckRow(kernel=3, exp_size=240, out=80, se=False, nl=HS, s=2),
    BneckRow(kernel=3, exp_size=200, out=80, se=False, nl=HS, s=1),
    BneckRow(kernel=3, exp_size=184, out=80, se=False, nl=HS, s=1),
    BneckRow(kernel=3, exp_size=184, out=80, se=False, nl=HS, s=1),
    BneckRow(kernel=3, exp_size=480, out=112, se=True, nl=HS, s=1),
    BneckRow(kernel=3, exp_size=672, out=112, se=True, nl=HS, s=1),
    BneckRow(kernel=5, exp_size=672, out=160, se=True, nl=HS, s=2),
    BneckRow(kernel=5, exp_size=960, out=160, se=True, nl=HS, s=1),
    BneckRow(kernel=5, exp_size=960, out=160, se=True, nl=HS, s=1),
)
"""The large network."""

TABLE_2 = (
    BneckRow(kernel=3, exp_size=16, out=16, se=True, nl=RE, s=2),
    BneckRow(kernel=3, exp_size=72, out=24, se=False, nl=RE, s=2),
    BneckRow(kernel=3, exp_size=88, out=24, se=False, nl=RE, s=1),
    BneckRow(kernel=5, exp_size=96, out=40, se=True, nl=HS, s=2),
    BneckRow(kernel=5, exp_size=240, out=40, se=True, nl=HS, s=1),
    BneckRow(kernel=5, exp_size=240, out=40, se=True, nl=HS, s=1),
    BneckRow(kernel=5, exp_size=120, out=48, se=True, nl=HS, s=1),
    BneckRow(kernel=5, exp_size=144, out=48, se=True, nl=HS, s=1),
    BneckRow(kernel=5, exp_size=288, out=96, se=True, nl=HS, s=2),
    BneckRow(kernel=5, exp_size=576, out=96, se=True, nl=HS, s=1),
    BneckRow(kernel=5, exp_size=576, out=96, se=True, nl=HS, s=1),
)
"""The small network."""

LARGE_HIDDEN, SMALL_HIDDEN = 1280, 1024
"""Channels of the layer between the pool and the classifier."""

EXPANSION_OF_THE_HEAD = 6
"""Channels of the last convolution before the pool, by those of the last block."""


class Ends(NamedTuple):
    """Which α applies to the layers before and after the blocks: here the ports part ways.

    Attributes:
        stem_from: Smallest α that the stem follows; below it has its 16 channels.
        hidden_from: Smallest α that the hidden layer follows.
        head_of_the_table: Whether α is applied to the last convolution's own channels (960 or 576) instead of six
            times the channels that it reads. They differ where rounding does.
    """

    stem_from: float
    hidden_from: float
    head_of_the_table: bool


KERAS_ENDS = Ends(stem_from=math.inf, hidden_from=1.0, head_of_the_table=False)
"""As in the paper's own code and in Keras."""
TIMM_ENDS = Ends(stem_from=0.75, hidden_from=math.inf, head_of_the_table=True)
TORCHVISION_ENDS = Ends(stem_from=0.0, hidden_from=0.0, head_of_the_table=False)


def minimalistic(rows: tuple[BneckRow, ...]) -> tuple[BneckRow, ...]:
    """The rows of the minimalistic variant of a network.

    >>> minimalistic(TABLE_2)[3]
    BneckRow(kernel=3, exp_size=96, out=40, se=False, nl=<Activation.RELU: 'relu'>, s=2)
    """
    return tuple(row._replace(kernel=3, se=False, nl=RE) for row in rows)


def mobilenet_v3(
    *,
    width_multiplier: float = 1.0,
    resolution: int | tuple[int, int] = 224,
    classes: int = 1000,
    rows: tuple[BneckRow, ...] = TABLE_1,
    hidden: int = LARGE_HIDDEN,
    activation: Activation = HS,
    ends: Ends = KERAS_ENDS,
    rounding: Rounding = MULTIPLES_OF_8,
    padding_policy: PaddingPolicy = PaddingPolicy.SAME,
    batch_norm: BatchNorm | None = BatchNorm(),
    name: str = "mobilenet_v3_large",
) -> Network:
    """MobileNet V3 at any width and resolution; the large one unless the rows are others.

    Args:
        width_multiplier: α, above 0.
        resolution: Side of the square input in pixels, or (height, width); at least 32.
        classes: Outputs of the last layer.
        rows: The inverted residuals.
        hidden: Channels of the layer between the pool and the classifier, at α = 1.
        activation: Before and after the blocks.
        ends: Which α applies there.
        rounding: How α becomes channel counts.
        padding_policy: How maps are padded.
        batch_norm: After every convolution of a map, or None for biases instead.
        name: Name of the resulting Network.

    Raises:
        ArchitectureError: If α, the resolution or the number of classes is out of range.

    >>> network = mobilenet_v3(width_multiplier=0.75, classes=10)
    >>> str(network.shapes["block15.add"]), str(network.shapes["head"]), str(network.shapes["hidden"])
    ('120×7×7', '720×7×7', '1280×1×1')
    """
    body = Body.of_size(resolution, width_multiplier, rounding, padding_policy, activation, batch_norm)

    def from_on(least: float) -> float:
        return width_multiplier if width_multiplier >= least else 1.0

    body.convolution("stem", STEM_CHANNELS, stride=2, multiplier=from_on(ends.stem_from))
    read = STEM_CHANNELS
    for number, row in enumerate(rows, start=1):
        body.inverted_residual(
            f"block{number}",
            row.out,
            expansion=row.exp_size / read,
            kernel=row.kernel,
            stride=row.s,
            activation=row.nl,
            squeeze_and_excite=row.se,
        )
        read = row.out
    if ends.head_of_the_table:
        body.pointwise("head", EXPANSION_OF_THE_HEAD * read)
    else:
        body.expand("head", EXPANSION_OF_THE_HEAD)
    body.pool()
    body.pointwise("hidden", hidden, multiplier=from_on(ends.hidden_from), normalized=False)
    body.linear_classifier(classes)
    return body.network(name)
