"""MobileNet V3 against the facts that are known of it: the maps of its tables, exact counts, and how ports differ."""

from __future__ import annotations

import pytest

from mobilenets.architecture.catalog import CATALOG
from mobilenets.architecture.cost import cost
from mobilenets.architecture.layers import Activation, DepthwiseConvolution, Layer, Multiply
from mobilenets.architecture.network import Network
from mobilenets.architecture.networks.mobilenet_v3 import (
    KERAS_ENDS,
    TABLE_1,
    TABLE_2,
    TIMM_ENDS,
    TORCHVISION_ENDS,
    Ends,
    mobilenet_v3,
)

small, large = CATALOG["mobilenet_v3_small"], CATALOG["mobilenet_v3_large"]


@pytest.mark.parametrize(
    ("name", "width_multiplier", "macs", "parameters"),
    [
        ("mobilenet_v3_small", 0.5, 24_188_688, 1_593_224),
        ("mobilenet_v3_small", 0.75, 43_399_344, 2_041_872),
        ("mobilenet_v3_small", 1.0, 56_510_400, 2_542_856),
        ("mobilenet_v3_large", 0.75, 154_560_624, 3_993_528),
        ("mobilenet_v3_large", 1.0, 216_589_760, 5_483_032),
    ],
)
def test_exact_cost(name: str, width_multiplier: float, macs: int, parameters: int) -> None:
    total = cost(CATALOG[name](width_multiplier=width_multiplier))
    assert (total.macs, total.parameters) == (macs, parameters)


@pytest.mark.parametrize(
    ("name", "millions"), [("mobilenet_v3_small_minimalistic", 2.04), ("mobilenet_v3_large_minimalistic", 3.92)]
)
def test_parameters_of_the_minimalistic_variants(name: str, millions: float) -> None:
    assert round(cost(CATALOG[name]()).parameters / 1e6, 2) == millions


def block_ends(network: Network, blocks: int) -> list[str]:
    return [str(network.shapes[f"block{number}.project"]) for number in range(1, blocks + 1)]


def test_maps_of_the_large_network() -> None:
    assert block_ends(large(), len(TABLE_1)) == [
        "16×112×112",
        *["24×56×56"] * 2,
        *["40×28×28"] * 3,
        *["80×14×14"] * 4,
        *["112×14×14"] * 2,
        *["160×7×7"] * 3,
    ]


def test_maps_of_the_small_network() -> None:
    assert block_ends(small(), len(TABLE_2)) == [
        "16×56×56",
        *["24×28×28"] * 2,
        *["40×14×14"] * 3,
        *["48×14×14"] * 2,
        *["96×7×7"] * 3,
    ]


def test_depthwise_channels_are_the_exp_sizes_of_the_tables() -> None:
    for network, rows in ((large(), TABLE_1), (small(), TABLE_2)):
        for number, row in enumerate(rows, start=1):
            layer = network[f"block{number}.depthwise"]
            assert isinstance(layer, DepthwiseConvolution)
            assert network.shapes[layer.name].channels == row.exp_size
            assert (layer.kernel, layer.stride, layer.activation) == (row.kernel, row.s, row.nl)


def test_squeeze_and_excite_scales_the_filtered_channels() -> None:
    network = small()
    part = "block5.se"
    layers: list[Layer] = [network[f"{part}.{name}"] for name in ("pool", "reduce", "gate", "scale")]
    assert [layer.inputs for layer in layers] == [
        ("block5.depthwise",),
        (f"{part}.pool",),
        (f"{part}.reduce",),
        ("block5.depthwise", f"{part}.gate"),
    ]
    assert [layer.activation for layer in layers[1:3]] == [Activation.RELU, Activation.HARD_SIGMOID]
    assert all(layer.bias and layer.batch_norm is None for layer in layers[1:3])
    # A quarter of 240 is 60, which the paper's code and every port round to a multiple of eight.
    assert [network.shapes[layer.name].channels for layer in layers] == [240, 64, 240, 240]
    assert network["block5.project"].inputs == (f"{part}.scale",)


def test_a_hidden_layer_stands_between_pool_and_classifier() -> None:
    network = small()
    assert [layer.name for layer in network.layers[-4:]] == ["head", "pool", "hidden", "classifier"]
    hidden = network["hidden"]
    assert (hidden.activation, hidden.bias, hidden.batch_norm) == (Activation.HARD_SWISH, True, None)


@pytest.mark.parametrize("name", ["mobilenet_v3_small_minimalistic", "mobilenet_v3_large_minimalistic"])
def test_minimalistic_variants_have_neither_gates_nor_hard_swish_nor_large_filters(name: str) -> None:
    network = CATALOG[name]()
    assert not any(isinstance(layer, Multiply) for layer in network.layers)
    assert {layer.activation for layer in network.layers} == {Activation.NONE, Activation.RELU}
    assert {layer.kernel for layer in network.layers if isinstance(layer, DepthwiseConvolution)} == {3}
    full = CATALOG[name.removesuffix("_minimalistic")]()
    assert network.shapes.items() <= full.shapes.items()


@pytest.mark.parametrize(
    ("ends", "width_multiplier", "stem", "head", "hidden"),
    [
        # The same wherever weights are published,
        *[(ends, 0.75, 16, 432, 1024) for ends in (KERAS_ENDS, TIMM_ENDS)],
        *[(ends, 1.0, 16, 576, 1024) for ends in (KERAS_ENDS, TIMM_ENDS, TORCHVISION_ENDS)],
        # and different elsewhere.
        (KERAS_ENDS, 0.35, 16, 192, 1024),
        (TIMM_ENDS, 0.35, 16, 200, 1024),
        (TORCHVISION_ENDS, 0.35, 8, 192, 360),
        (KERAS_ENDS, 1.5, 16, 864, 1536),
        (TIMM_ENDS, 1.5, 24, 864, 1024),
        (TORCHVISION_ENDS, 1.5, 24, 864, 1536),
    ],
)
def test_ports_differ_at_both_ends(ends: Ends, width_multiplier: float, stem: int, head: int, hidden: int) -> None:
    network = mobilenet_v3(rows=TABLE_2, hidden=1024, width_multiplier=width_multiplier, ends=ends)
    assert [network.shapes[name].channels for name in ("stem", "head", "hidden")] == [stem, head, hidden]


def test_a_side_that_is_no_square() -> None:
    network = small(resolution=(48, 192), classes=2)
    assert str(network.shapes["head"]) == "576×2×6"
