"""MobileNet V1, as Table 1 of the paper reads.

Source: Howard et al. 2017, arXiv:1704.04861. The paper prints stride 2 at the last depthwise layer; with the 7×7 map
that it prints beside it, the stride must be 1, and is 1 in every released network.
"""

from __future__ import annotations

from typing import NamedTuple

from mobilenets.architecture.blocks import Body
from mobilenets.architecture.layers import Activation, BatchNorm
from mobilenets.architecture.multipliers import ONE_FOR_ONE, PaddingPolicy, Rounding
from mobilenets.architecture.network import Network
from mobilenets.base.arguments import typed
from mobilenets.errors import ArchitectureError


class Row(NamedTuple):
    """One depthwise separable block: the depthwise layer's stride, and the pointwise layer's output channels."""

    stride: int
    channels: int


STEM_CHANNELS = 32
HEAD_CHANNELS = 1024

TABLE_1 = (
    Row(stride=1, channels=64),
    Row(stride=2, channels=128),
    Row(stride=1, channels=128),
    Row(stride=2, channels=256),
    Row(stride=1, channels=256),
    Row(stride=2, channels=512),
    Row(stride=1, channels=512),
    Row(stride=1, channels=512),
    Row(stride=1, channels=512),
    Row(stride=1, channels=512),
    Row(stride=1, channels=512),
    Row(stride=2, channels=1024),
    Row(stride=1, channels=1024),
)

SHALLOW = TABLE_1[:6] + TABLE_1[11:]
"""Table 5's shallow network: without the five 14×14×512 blocks."""


@typed(ArchitectureError, but=("width_multiplier", "resolution", "classes"))
def mobilenet_v1(
    *,
    width_multiplier: float = 1.0,
    resolution: int | tuple[int, int] = 224,
    classes: int = 1000,
    rows: tuple[Row, ...] = TABLE_1,
    full_convolution: bool = False,
    head: bool = False,
    rounding: Rounding = ONE_FOR_ONE,
    padding_policy: PaddingPolicy = PaddingPolicy.SAME,
    activation: Activation = Activation.RELU,
    batch_norm: BatchNorm | None = BatchNorm(),
    name: str = "mobilenet_v1",
) -> Network:
    """MobileNet V1 at any width and resolution.

    Args:
        width_multiplier: α, above 0.
        resolution: Side of the square input in pixels, or (height, width); at least 32.
        classes: Outputs of the last layer.
        rows: The depthwise separable blocks.
        full_convolution: Put one standard 3×3 convolution in the place of each block (Table 4's comparison).
        head: Put one more pointwise convolution between the last block and the pool, as timm's ``mobilenetv1_100h``
            does: of 1024 channels, which α widens and does not narrow.
        rounding: How α becomes channel counts.
        padding_policy: How maps are padded.
        activation: After every layer but the last: ReLU in the paper, ReLU6 in the released weights.
        batch_norm: After every layer but the last, or None for biases instead.
        name: Name of the resulting Network.

    Returns:
        A Network that reads RGB and gives one logit a class.

    Raises:
        ArchitectureError: If α, the resolution or the number of classes is out of range.

    Source: Howard et al. 2017, arXiv:1704.04861, Table 1 and section 3.

    >>> network = mobilenet_v1(width_multiplier=0.5, resolution=160, classes=10)
    >>> network.layers[0].out_channels, str(network.shapes["block13.pointwise"])
    (16, '512×5×5')
    """
    body = Body.of_size(resolution, width_multiplier, rounding, padding_policy, activation, batch_norm)
    body.convolution("stem", STEM_CHANNELS, stride=2)
    for number, row in enumerate(rows, start=1):
        if full_convolution:
            body.convolution(f"block{number}", row.channels, stride=row.stride)
        else:
            body.depthwise_separable(f"block{number}", row.channels, stride=row.stride)
    if head:
        body.pointwise("head", HEAD_CHANNELS, multiplier=max(width_multiplier, 1.0))
    body.classifier(classes)
    return body.network(name)
