"""MobileNet V4, the convolutional models: small, medium and large.

Source: Qin et al. 2024, arXiv:2404.10518, the tables of its appendix, with the blocks of its own code. Widths
other than 1 are timm's.
"""

from __future__ import annotations

from typing import NamedTuple, assert_never

from mobilenets.architecture.blocks import Body
from mobilenets.architecture.layers import Activation, BatchNorm
from mobilenets.architecture.multipliers import PaddingPolicy, Rounding
from mobilenets.architecture.network import Network
from mobilenets.architecture.networks.mobilenet_v2 import MULTIPLES_OF_8


class Conv(NamedTuple):
    """A standard convolution with batch norm and activation."""

    kernel: int
    out: int
    s: int = 1


class FusedIB(NamedTuple):
    """A fused inverted bottleneck: a 3×3 convolution that expands, and a projection."""

    out: int
    expansion: float
    s: int = 1


class UIB(NamedTuple):
    """A universal inverted bottleneck.

    With both depthwise convolutions the paper calls it ExtraDW, with the middle one IB, with the first ConvNext, with
    none FFN.
    """

    dw1: int
    """Side of the depthwise filters before the expansion; 0 for none."""
    dw2: int
    """Side of the depthwise filters after it; 0 for none."""
    out: int
    expansion: float
    s: int = 1


Row = Conv | FusedIB | UIB


class Variant(NamedTuple):
    """One of the networks: channels of its stem, and its blocks."""

    stem: int
    rows: tuple[Row, ...]


SMALL = Variant(
    stem=32,
    rows=(
        Conv(kernel=3, out=32, s=2),
        Conv(kernel=1, out=32),
        Conv(kernel=3, out=96, s=2),
        Conv(kernel=1, out=64),
        UIB(dw1=5, dw2=5, out=96, expansion=3, s=2),
        UIB(dw1=0, dw2=3, out=96, expansion=2),
        UIB(dw1=0, dw2=3, out=96, expansion=2),
        UIB(dw1=0, dw2=3, out=96, expansion=2),
        UIB(dw1=0, dw2=3, out=96, expansion=2),
        UIB(dw1=3, dw2=0, out=96, expansion=4),
        UIB(dw1=3, dw2=3, out=128, expansion=6, s=2),
        UIB(dw1=5, dw2=5, out=128, expansion=4),
        UIB(dw1=0, dw2=5, out=128, expansion=4),
        UIB(dw1=0, dw2=5, out=128, expansion=3),
        UIB(dw1=0, dw2=3, out=128, expansion=4),
        UIB(dw1=0, dw2=3, out=128, expansion=4),
    ),
)

MEDIUM = Variant(
    stem=32,
    rows=(
        FusedIB(out=48, expansion=4, s=2),
        UIB(dw1=3, dw2=5, out=80, expansion=4, s=2),
        UIB(dw1=3, dw2=3, out=80, expansion=2),
        UIB(dw1=3, dw2=5, out=160, expansion=6, s=2),
        UIB(dw1=3, dw2=3, out=160, expansion=4),
        UIB(dw1=3, dw2=3, out=160, expansion=4),
        UIB(dw1=3, dw2=5, out=160, expansion=4),
        UIB(dw1=3, dw2=3, out=160, expansion=4),
        UIB(dw1=3, dw2=0, out=160, expansion=4),
        UIB(dw1=0, dw2=0, out=160, expansion=2),
        UIB(dw1=3, dw2=0, out=160, expansion=4),
        UIB(dw1=5, dw2=5, out=256, expansion=6, s=2),
        UIB(dw1=5, dw2=5, out=256, expansion=4),
        UIB(dw1=3, dw2=5, out=256, expansion=4),
        UIB(dw1=3, dw2=5, out=256, expansion=4),
        UIB(dw1=0, dw2=0, out=256, expansion=4),
        UIB(dw1=3, dw2=0, out=256, expansion=4),
        UIB(dw1=3, dw2=5, out=256, expansion=2),
        UIB(dw1=5, dw2=5, out=256, expansion=4),
        UIB(dw1=0, dw2=0, out=256, expansion=4),
        UIB(dw1=0, dw2=0, out=256, expansion=4),
        UIB(dw1=5, dw2=0, out=256, expansion=2),
    ),
)

LARGE = Variant(
    stem=24,
    rows=(
        FusedIB(out=48, expansion=4, s=2),
        UIB(dw1=3, dw2=5, out=96, expansion=4, s=2),
        UIB(dw1=3, dw2=3, out=96, expansion=4),
        UIB(dw1=3, dw2=5, out=192, expansion=4, s=2),
        UIB(dw1=3, dw2=3, out=192, expansion=4),
        UIB(dw1=3, dw2=3, out=192, expansion=4),
        UIB(dw1=3, dw2=3, out=192, expansion=4),
        UIB(dw1=3, dw2=5, out=192, expansion=4),
        UIB(dw1=5, dw2=3, out=192, expansion=4),
        UIB(dw1=5, dw2=3, out=192, expansion=4),
        UIB(dw1=5, dw2=3, out=192, expansion=4),
        UIB(dw1=5, dw2=3, out=192, expansion=4),
        UIB(dw1=5, dw2=3, out=192, expansion=4),
        UIB(dw1=3, dw2=0, out=192, expansion=4),
        UIB(dw1=5, dw2=5, out=512, expansion=4, s=2),
        UIB(dw1=5, dw2=5, out=512, expansion=4),
        UIB(dw1=5, dw2=5, out=512, expansion=4),
        UIB(dw1=5, dw2=5, out=512, expansion=4),
        UIB(dw1=5, dw2=0, out=512, expansion=4),
        UIB(dw1=5, dw2=3, out=512, expansion=4),
        UIB(dw1=5, dw2=0, out=512, expansion=4),
        UIB(dw1=5, dw2=0, out=512, expansion=4),
        UIB(dw1=5, dw2=3, out=512, expansion=4),
        UIB(dw1=5, dw2=5, out=512, expansion=4),
        UIB(dw1=5, dw2=0, out=512, expansion=4),
        UIB(dw1=5, dw2=0, out=512, expansion=4),
        UIB(dw1=5, dw2=0, out=512, expansion=4),
    ),
)

HEAD_CHANNELS = 960
"""Channels of the last convolution before the pool."""
HIDDEN_CHANNELS = 1280
"""Channels of the layer between the pool and the classifier."""


def mobilenet_v4(
    *,
    width_multiplier: float = 1.0,
    resolution: int | tuple[int, int] = 224,
    classes: int = 1000,
    variant: Variant = SMALL,
    rounding: Rounding = MULTIPLES_OF_8,
    padding_policy: PaddingPolicy = PaddingPolicy.SAME,
    activation: Activation = Activation.RELU,
    batch_norm: BatchNorm | None = BatchNorm(),
    name: str = "mobilenet_v4_conv_small",
) -> Network:
    """MobileNet V4's convolutional models at any width and resolution.

    Args:
        width_multiplier: α, above 0. It widens the stem and does not narrow it; the layer between the pool and the
            classifier has 1280 channels at every α.
        resolution: Side of the square input in pixels, or (height, width); at least 32.
        classes: Outputs of the last layer.
        variant: ``SMALL``, ``MEDIUM`` or ``LARGE``.
        rounding: How α becomes channel counts.
        padding_policy: How maps are padded.
        activation: After every layer but the projections, the first depthwise convolutions and the last layer.
        batch_norm: After every layer but the last, or None for biases instead.
        name: Name of the resulting Network.

    Raises:
        ArchitectureError: If α, the resolution or the number of classes is out of range.

    >>> network = mobilenet_v4(classes=10)
    >>> str(network.shapes["block16.add"]), str(network.shapes["head"]), str(network.shapes["hidden"])
    ('128×7×7', '960×7×7', '1280×1×1')
    """
    body = Body.of_size(resolution, width_multiplier, rounding, padding_policy, activation, batch_norm)
    body.convolution("stem", variant.stem, stride=2, multiplier=max(width_multiplier, 1.0))
    for number, row in enumerate(variant.rows, start=1):
        _block(body, f"block{number}", row)
    body.pointwise("head", HEAD_CHANNELS)
    body.pool()
    body.pointwise("hidden", HIDDEN_CHANNELS, multiplier=1.0)
    body.linear_classifier(classes)
    return body.network(name)


def _block(body: Body, name: str, row: Row) -> None:
    match row:
        case Conv(kernel=1):
            body.pointwise(name, row.out)
        case Conv():
            body.convolution(name, row.out, kernel=row.kernel, stride=row.s)
        case FusedIB():
            body.fused_inverted_bottleneck(name, row.out, expansion=row.expansion, stride=row.s)
        case UIB():
            body.universal_inverted_bottleneck(
                name, row.out, expansion=row.expansion, stride=row.s, start=row.dw1, middle=row.dw2
            )
        case _:
            assert_never(row)
