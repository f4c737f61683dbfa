"""MobileNet V4's convolutional models against the facts that are known of them."""

from __future__ import annotations

import pytest

from mobilenets.architecture.blocks import Body
from mobilenets.architecture.catalog import CATALOG
from mobilenets.architecture.cost import cost
from mobilenets.architecture.layers import Activation, Convolution, DepthwiseConvolution, PointwiseConvolution
from mobilenets.architecture.networks.mobilenet_v4 import LARGE, MEDIUM, SMALL, UIB, mobilenet_v4
from mobilenets.errors import ArchitectureError


@pytest.mark.parametrize(
    ("name", "width_multiplier", "macs", "parameters"),
    [
        ("mobilenet_v4_conv_small", 0.35, 47_723_040, 1_905_384),
        ("mobilenet_v4_conv_small", 0.5, 64_741_408, 2_238_952),
        ("mobilenet_v4_conv_small", 1.0, 186_005_568, 3_774_024),
        ("mobilenet_v4_conv_medium", 1.0, 1_080_244_224, 9_715_512),
        ("mobilenet_v4_conv_large", 1.0, 6_376_220_672, 32_590_864),
    ],
)
def test_exact_cost_at_the_size_of_the_published_weights(
    name: str, width_multiplier: float, macs: int, parameters: int
) -> None:
    total = cost(CATALOG[name](width_multiplier=width_multiplier))
    assert (total.macs, total.parameters) == (macs, parameters)


def test_maps_of_the_small_network() -> None:
    network = mobilenet_v4()
    names = ["stem", "block1", "block2", "block3", "block4", "block5.project", "block11.project", "block16.add", "head"]
    assert [str(network.shapes[name]) for name in names] == [
        "32×112×112",
        "32×56×56",
        "32×56×56",
        "96×28×28",
        "64×28×28",
        "96×14×14",
        "128×7×7",
        "128×7×7",
        "960×7×7",
    ]


@pytest.mark.parametrize(("variant", "blocks"), [(SMALL, 16), (MEDIUM, 22), (LARGE, 27)])
def test_each_bottleneck_has_the_depthwise_convolutions_of_its_row(variant: object, blocks: int) -> None:
    assert variant in (SMALL, MEDIUM, LARGE)
    rows = variant.rows
    network = mobilenet_v4(variant=variant)
    assert len(rows) == blocks
    names = {layer.name for layer in network.layers}
    for number, row in enumerate(rows, start=1):
        if isinstance(row, UIB):
            for part, kernel in (("start", row.dw1), ("depthwise", row.dw2)):
                assert (f"block{number}.{part}" in names) == (kernel > 0)
                if kernel:
                    layer = network[f"block{number}.{part}"]
                    assert isinstance(layer, DepthwiseConvolution)
                    assert layer.kernel == kernel


def test_the_first_depthwise_convolution_and_the_projection_are_linear() -> None:
    for layer in mobilenet_v4(variant=MEDIUM).layers:
        if isinstance(layer, Convolution | DepthwiseConvolution | PointwiseConvolution):
            linear = layer.name.endswith((".start", ".project"))
            assert layer.activation is (Activation.NONE if linear else Activation.RELU), layer.name


def test_the_middle_depthwise_convolution_has_the_stride_where_there_is_one() -> None:
    network = mobilenet_v4()
    strides = [network[f"block5.{part}"].stride for part in ("start", "depthwise")]  # type: ignore[attr-defined]
    assert strides == [1, 2]


def test_a_stride_without_a_depthwise_convolution_is_refused() -> None:
    body = Body(height=32, width=32)
    with pytest.raises(ArchitectureError, match="block1 has stride 2 and no depthwise convolution"):
        body.universal_inverted_bottleneck("block1", 16, expansion=2, stride=2, start=0, middle=0)


def test_the_first_depthwise_convolution_has_the_stride_where_it_is_alone() -> None:
    body = Body(height=32, width=32)
    body.universal_inverted_bottleneck("block1", 16, expansion=2, stride=2, start=3, middle=0)
    assert str(body.shape("block1.start")) == "3×16×16"


@pytest.mark.parametrize(("width_multiplier", "stem", "head"), [(0.35, 32, 336), (0.5, 32, 480), (1.5, 48, 1440)])
def test_stem_and_hidden_layer_are_never_narrowed(width_multiplier: float, stem: int, head: int) -> None:
    shapes = mobilenet_v4(width_multiplier=width_multiplier).shapes
    assert [shapes[name].channels for name in ("stem", "head", "hidden")] == [stem, head, 1280]
