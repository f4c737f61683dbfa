"""MobileNet V2, as Table 2 of its paper reads.

Source: Sandler et al. 2018, arXiv:1801.04381.
"""

from __future__ import annotations

from typing import NamedTuple

from mobilenets.architecture.blocks import Body
from mobilenets.architecture.layers import Activation, BatchNorm
from mobilenets.architecture.multipliers import PaddingPolicy, Rounding
from mobilenets.architecture.network import Network

MULTIPLES_OF_8 = Rounding(divisor=8)
"""How V2 and its successors apply α: in the paper's own code and in every port."""


class BottleneckRow(NamedTuple):
    """A sequence of inverted residuals, in the letters of Table 2."""

    t: int
    """Expansion factor: channels of the depthwise convolution by channels of the block's input."""
    c: int
    """Output channels."""
    n: int
    """Blocks."""
    s: int
    """Stride of the first of them; the others have 1."""


STEM_CHANNELS = 32
HEAD_CHANNELS = 1280

TABLE_2 = (
    BottleneckRow(t=1, c=16, n=1, s=1),
    BottleneckRow(t=6, c=24, n=2, s=2),
    BottleneckRow(t=6, c=32, n=3, s=2),
    BottleneckRow(t=6, c=64, n=4, s=2),
    BottleneckRow(t=6, c=96, n=3, s=1),
    BottleneckRow(t=6, c=160, n=3, s=2),
    BottleneckRow(t=6, c=320, n=1, s=1),
)


def mobilenet_v2(
    *,
    width_multiplier: float = 1.0,
    resolution: int | tuple[int, int] = 224,
    classes: int = 1000,
    rows: tuple[BottleneckRow, ...] = TABLE_2,
    rounding: Rounding = MULTIPLES_OF_8,
    padding_policy: PaddingPolicy = PaddingPolicy.SAME,
    activation: Activation = Activation.RELU6,
    batch_norm: BatchNorm | None = BatchNorm(),
    name: str = "mobilenet_v2",
) -> Network:
    """MobileNet V2 at any width and resolution.

    Args:
        width_multiplier: α, above 0. It widens the last convolution and does not narrow it (section 4 of the paper).
        resolution: Side of the square input in pixels, or (height, width); at least 32.
        classes: Outputs of the last layer.
        rows: The inverted residuals.
        rounding: How α becomes channel counts.
        padding_policy: How maps are padded.
        activation: After every layer but the projections and the last.
        batch_norm: After every layer but the last, or None for biases instead.
        name: Name of the resulting Network.

    Raises:
        ArchitectureError: If α, the resolution or the number of classes is out of range.

    >>> network = mobilenet_v2(width_multiplier=0.5, resolution=160, classes=10)
    >>> str(network.shapes["block17.project"]), str(network.shapes["head"])
    ('160×5×5', '1280×5×5')
    """
    body = Body.of_size(resolution, width_multiplier, rounding, padding_policy, activation, batch_norm)
    body.convolution("stem", STEM_CHANNELS, stride=2)
    number = 0
    for row in rows:
        for index in range(row.n):
            number += 1
            stride = row.s if index == 0 else 1
            body.inverted_residual(f"block{number}", row.c, expansion=row.t, stride=stride)
    body.pointwise("head", HEAD_CHANNELS, multiplier=max(width_multiplier, 1.0))
    body.classifier(classes)
    return body.network(name)
