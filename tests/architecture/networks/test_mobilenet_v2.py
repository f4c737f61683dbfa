"""MobileNet V2 against the facts that are known of it: the maps of its Table 2, and exact counts."""

from __future__ import annotations

import pytest

from mobilenets.architecture.cost import cost
from mobilenets.architecture.layers import Activation, Add, BatchNorm, DepthwiseConvolution, PointwiseConvolution
from mobilenets.architecture.multipliers import PaddingPolicy
from mobilenets.architecture.networks.mobilenet_v2 import mobilenet_v2


@pytest.mark.parametrize(
    ("width_multiplier", "macs", "parameters"),
    [(0.5, 97_131_840, 1_968_680), (1.0, 300_774_272, 3_504_872), (1.4, 582_195_824, 6_108_776)],
)
def test_exact_cost(width_multiplier: float, macs: int, parameters: int) -> None:
    total = cost(mobilenet_v2(width_multiplier=width_multiplier))
    assert (total.macs, total.parameters) == (macs, parameters)


def test_maps_between_the_rows_of_table_2() -> None:
    network = mobilenet_v2()
    ends = ["stem", *(f"block{number}.project" for number in (1, 3, 6, 10, 13, 16, 17)), "head"]
    assert [str(network.shapes[name]) for name in ends] == [
        "32×112×112",
        "16×112×112",
        "24×56×56",
        "32×28×28",
        "64×14×14",
        "96×14×14",
        "160×7×7",
        "320×7×7",
        "1280×7×7",
    ]


def test_the_first_block_expands_nothing_and_the_others_six_times() -> None:
    network = mobilenet_v2()
    names = {layer.name for layer in network.layers}
    assert "block1.expand" not in names
    for number in range(2, 18):
        expand = network[f"block{number}.expand"]
        (read,) = network.input_shapes(expand)
        assert network.shapes[expand.name].channels == 6 * read.channels


def test_shortcuts_join_equal_maps_only() -> None:
    network = mobilenet_v2()
    added = [layer.name for layer in network.layers if isinstance(layer, Add)]
    assert added == [f"block{number}.add" for number in (3, 5, 6, 8, 9, 10, 12, 13, 15, 16)]
    assert network["block6.add"].inputs == ("block6.project", "block5.add")
    assert network["block3.add"].inputs == ("block3.project", "block2.project")


def test_projections_are_linear_and_everything_else_is_relu6() -> None:
    for layer in mobilenet_v2(batch_norm=BatchNorm(1e-5)).layers:
        if isinstance(layer, PointwiseConvolution | DepthwiseConvolution):
            linear = layer.name.endswith(".project")
            assert layer.activation is (Activation.NONE if linear else Activation.RELU6)
            assert layer.batch_norm == BatchNorm(1e-5)


@pytest.mark.parametrize(
    ("width_multiplier", "stem", "first", "head"),
    [(0.35, 16, 8, 1280), (0.75, 24, 16, 1280), (1.3, 40, 24, 1664), (1.4, 48, 24, 1792)],
)
def test_widths_are_multiples_of_eight_and_the_head_is_never_narrowed(
    width_multiplier: float, stem: int, first: int, head: int
) -> None:
    shapes = mobilenet_v2(width_multiplier=width_multiplier).shapes
    assert [shapes[name].channels for name in ("stem", "block1.project", "head")] == [stem, first, head]


def test_paddings_are_data() -> None:
    same, symmetric = mobilenet_v2(), mobilenet_v2(padding_policy=PaddingPolicy.SYMMETRIC)
    depthwise = "block2.depthwise"
    assert tuple(same[depthwise].padding) == (0, 1, 0, 1)  # type: ignore[attr-defined]
    assert tuple(symmetric[depthwise].padding) == (1, 1, 1, 1)  # type: ignore[attr-defined]
    assert same.shapes == symmetric.shapes
