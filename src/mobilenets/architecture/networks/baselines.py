"""The networks that Tables 8 and 9 compare MobileNet with: AlexNet, VGG16, GoogLeNet and SqueezeNet.

Each is its authors' network, layer by layer, with what a Network has no layer for left out: local response
normalization (AlexNet, GoogLeNet), dropout, and the side classifiers that GoogLeNet uses in training only. None of
these has weights that count or Mult-Adds. The originals have biases and no batch norm; ``batch_norm`` adds one after
every convolution, which is what makes the deeper of them easy to train from scratch.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from mobilenets.architecture.blocks import Body
from mobilenets.architecture.layers import BatchNorm, GlobalAveragePool, Linear, Padding, PointwiseConvolution
from mobilenets.architecture.multipliers import (
    ONE_FOR_ONE,
    SMALLEST_RESOLUTION,
    PaddingPolicy,
    Rounding,
    check_resolution,
)
from mobilenets.architecture.network import Network

NO_PADDING = Padding()

ALEXNET_SMALLEST_RESOLUTION = 67
"""Below this, AlexNet's last max pool has no 3×3 map left to read."""

EVEN = Rounding(divisor=2)
"""AlexNet's convolutions in two groups need even channel counts."""


def alexnet(
    *,
    width_multiplier: float = 1.0,
    resolution: int | tuple[int, int] = 227,
    classes: int = 1000,
    batch_norm: BatchNorm | None = None,
) -> Network:
    """AlexNet, with the two groups that its authors' two graphics cards asked for.

    The paper says 224 pixels, but its 55×55 first map needs 227, as in every port.

    Args:
        width_multiplier: α, above 0; channel counts stay even.
        resolution: Side of the square input in pixels, or (height, width); at least 67.
        classes: Outputs of the last layer.
        batch_norm: After every convolution, or None for biases as in the original.

    Raises:
        ArchitectureError: If α, the resolution or the number of classes is out of range.

    Source: Krizhevsky, Sutskever and Hinton 2012, section 3.5; grouping and sizes as in Caffe's ``bvlc_reference``
    family.

    >>> network = alexnet()
    >>> str(network.shapes["convolution1"]), str(network.shapes["pool5"])
    ('96×55×55', '256×6×6')
    """
    body = _body(width_multiplier, resolution, batch_norm, rounding=EVEN, smallest=ALEXNET_SMALLEST_RESOLUTION)
    body.convolution("convolution1", 96, kernel=11, stride=4, padding=NO_PADDING)
    body.max_pool("pool1", kernel=3, stride=2, padding=NO_PADDING)
    body.convolution("convolution2", 256, kernel=5, groups=2)
    body.max_pool("pool2", kernel=3, stride=2, padding=NO_PADDING)
    body.convolution("convolution3", 384)
    body.convolution("convolution4", 384, groups=2)
    body.convolution("convolution5", 256, groups=2)
    body.max_pool("pool5", kernel=3, stride=2, padding=NO_PADDING)
    return _fully_connected(body, "alexnet", classes)


VGG16_STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
"""Output channels of the 3×3 convolutions between one 2×2 max pool and the next."""


def vgg16(
    *,
    width_multiplier: float = 1.0,
    resolution: int | tuple[int, int] = 224,
    classes: int = 1000,
    batch_norm: BatchNorm | None = None,
) -> Network:
    """VGG16.

    Args:
        width_multiplier: α, above 0.
        resolution: Side of the square input in pixels, or (height, width); at least 32.
        classes: Outputs of the last layer.
        batch_norm: After every convolution, or None for biases as in the original.

    Raises:
        ArchitectureError: If α, the resolution or the number of classes is out of range.

    Source: Simonyan and Zisserman 2014, arXiv:1409.1556, Table 1, column D.

    >>> str(vgg16().shapes["pool5"])
    '512×7×7'
    """
    body = _body(width_multiplier, resolution, batch_norm)
    for stage, widths in enumerate(VGG16_STAGES, start=1):
        for number, channels in enumerate(widths, start=1):
            body.convolution(f"convolution{stage}_{number}", channels)
        body.max_pool(f"pool{stage}", kernel=2, stride=2, padding=NO_PADDING)
    return _fully_connected(body, "vgg16", classes)


class Inception(NamedTuple):
    """Output channels of one Inception module; its four branches are joined."""

    one: int
    reduce_three: int
    three: int
    reduce_five: int
    five: int
    pool: int


GOOGLENET_STAGES: dict[str, tuple[Inception, ...]] = {
    "3": (Inception(64, 96, 128, 16, 32, 32), Inception(128, 128, 192, 32, 96, 64)),
    "4": (
        Inception(192, 96, 208, 16, 48, 64),
        Inception(160, 112, 224, 24, 64, 64),
        Inception(128, 128, 256, 24, 64, 64),
        Inception(112, 144, 288, 32, 64, 64),
        Inception(256, 160, 320, 32, 128, 128),
    ),
    "5": (Inception(256, 160, 320, 32, 128, 128), Inception(384, 192, 384, 48, 128, 128)),
}
"""Inception modules by stage; a max pool halves the map before each stage."""


def googlenet(
    *,
    width_multiplier: float = 1.0,
    resolution: int | tuple[int, int] = 224,
    classes: int = 1000,
    batch_norm: BatchNorm | None = None,
) -> Network:
    """GoogLeNet (Inception V1), without its side classifiers.

    Args:
        width_multiplier: α, above 0.
        resolution: Side of the square input in pixels, or (height, width); at least 32.
        classes: Outputs of the last layer.
        batch_norm: After every convolution, or None for biases as in the original.

    Raises:
        ArchitectureError: If α, the resolution or the number of classes is out of range.

    Source: Szegedy et al. 2014, arXiv:1409.4842, Table 1.

    >>> str(googlenet().shapes["inception5b.join"])
    '1024×7×7'
    """
    body = _body(width_multiplier, resolution, batch_norm)
    body.convolution("convolution1", 64, kernel=7, stride=2)
    _overlapping_pool(body, "pool1")
    body.pointwise("reduce2", 64)
    body.convolution("convolution2", 192)
    for stage, modules in GOOGLENET_STAGES.items():
        _overlapping_pool(body, f"pool{int(stage) - 1}")
        for letter, module in zip("abcde", modules, strict=False):
            _inception(body, f"inception{stage}{letter}", module)
    body.classifier(classes)
    return body.network("googlenet")


def _inception(body: Body, name: str, module: Inception) -> str:
    source = body.last
    one = body.pointwise(f"{name}.one", module.one, source=source)
    body.pointwise(f"{name}.reduce3", module.reduce_three, source=source)
    three = body.convolution(f"{name}.three", module.three)
    body.pointwise(f"{name}.reduce5", module.reduce_five, source=source)
    five = body.convolution(f"{name}.five", module.five, kernel=5)
    body.max_pool(f"{name}.pool", kernel=3, stride=1, source=source)
    pool = body.pointwise(f"{name}.project", module.pool)
    return body.concatenate(f"{name}.join", (one, three, five, pool))


class Fire(NamedTuple):
    """One Fire module: channels of the 1×1 squeeze, and of each of the two expanding halves (1×1 and 3×3)."""

    squeeze: int
    expand: int


SQUEEZENET_STAGES = (
    (Fire(16, 64), Fire(16, 64), Fire(32, 128)),
    (Fire(32, 128), Fire(48, 192), Fire(48, 192), Fire(64, 256)),
    (Fire(64, 256),),
)
"""Fire modules between one max pool and the next."""


def squeezenet(
    *,
    width_multiplier: float = 1.0,
    resolution: int | tuple[int, int] = 227,
    classes: int = 1000,
    batch_norm: BatchNorm | None = None,
) -> Network:
    """SqueezeNet 1.0, whose last layer is a 1×1 convolution to the classes, averaged over the map.

    Args:
        width_multiplier: α, above 0.
        resolution: Side of the square input in pixels, or (height, width); at least 32.
        classes: Outputs of the last layer.
        batch_norm: After every convolution but the last, or None for biases as in the original.

    Raises:
        ArchitectureError: If α, the resolution or the number of classes is out of range.

    Source: Iandola et al. 2016, arXiv:1602.07360, Table 1. It prints 224 pixels beside a 111×111 first map, which
    needs 227.

    >>> network = squeezenet()
    >>> str(network.shapes["convolution1"]), str(network.shapes["fire9.join"])
    ('96×111×111', '512×13×13')
    """
    body = _body(width_multiplier, resolution, batch_norm)
    body.convolution("convolution1", 96, kernel=7, stride=2, padding=NO_PADDING)
    number = 2
    for fires in SQUEEZENET_STAGES:
        _overlapping_pool(body, f"pool{number - 1}")
        for fire in fires:
            _fire(body, f"fire{number}", fire)
            number += 1
    body.append(
        PointwiseConvolution(
            "convolution10",
            (body.last,),
            out_channels=classes,
            activation=body.activation,
            bias=True,
        )
    )
    body.append(GlobalAveragePool("pool10", (body.last,)))
    return body.network("squeezenet")


def _fire(body: Body, name: str, fire: Fire) -> str:
    squeeze = body.pointwise(f"{name}.squeeze", fire.squeeze)
    one = body.pointwise(f"{name}.one", fire.expand, source=squeeze)
    three = body.convolution(f"{name}.three", fire.expand, source=squeeze)
    return body.concatenate(f"{name}.join", (one, three))


def _body(
    width_multiplier: float,
    resolution: int | tuple[int, int],
    batch_norm: BatchNorm | None,
    *,
    rounding: Rounding = ONE_FOR_ONE,
    smallest: int = SMALLEST_RESOLUTION,
) -> Body:
    height, width = check_resolution(resolution, smallest=smallest)
    return Body(
        height=height,
        width=width,
        width_multiplier=width_multiplier,
        rounding=rounding,
        padding_policy=PaddingPolicy.SYMMETRIC,
        batch_norm=batch_norm,
    )


def _fully_connected(body: Body, name: str, classes: int) -> Network:
    """The end that AlexNet and VGG16 share: two hidden layers of 4096, then the classes."""
    body.hidden("hidden1", 4096)
    body.hidden("hidden2", 4096)
    body.append(Linear("classifier", (body.last,), out_features=classes))
    return body.network(name)


def _overlapping_pool(body: Body, name: str, *, kernel: int = 3, stride: int = 2) -> str:
    """Caffe's max pool: a last window that hangs over the edge counts, so the output's size is rounded up."""

    def overhang(size: int) -> int:
        windows = max(math.ceil((size - kernel) / stride), 0) + 1
        return (windows - 1) * stride + kernel - size

    shape = body.shape(body.last)
    padding = Padding(bottom=overhang(shape.height), right=overhang(shape.width))
    return body.max_pool(name, kernel=kernel, stride=stride, padding=padding)
