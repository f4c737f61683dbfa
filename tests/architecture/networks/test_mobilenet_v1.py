"""MobileNet V1 against the facts that are known of it: every shape at 224, and exact counts."""

from __future__ import annotations

from typing import Any

import pytest

from mobilenets.architecture.cost import cost, depthwise_separable_macs
from mobilenets.architecture.layers import (
    Activation,
    BatchNorm,
    Convolution,
    DepthwiseConvolution,
    Padding,
    PointwiseConvolution,
)
from mobilenets.architecture.multipliers import PaddingPolicy, Rounding
from mobilenets.architecture.network import Network
from mobilenets.architecture.networks.mobilenet_v1 import SHALLOW, mobilenet_v1
from mobilenets.errors import ArchitectureError
from mobilenets.tasks.classification import class_count

MACS = {
    1.0: {224: 568_740_352, 192: 418_121_728, 160: 290_675_200, 128: 186_400_768},
    0.75: {224: 325_400_448, 192: 239_273_472, 160: 166_396_800, 128: 106_770_432},
    0.5: {224: 149_497_088, 192: 109_970_432, 160: 76_524_800, 128: 49_160_192},
    0.25: {224: 41_030_272, 192: 30_212_608, 160: 21_059_200, 128: 13_570_048},
}
PARAMETERS = {1.0: 4_231_976, 0.75: 2_585_560, 0.5: 1_331_592, 0.25: 470_072}


@pytest.mark.parametrize("width_multiplier", MACS)
@pytest.mark.parametrize("resolution", [224, 192, 160, 128])
def test_exact_cost_of_the_sixteen_published_networks(width_multiplier: float, resolution: int) -> None:
    total = cost(mobilenet_v1(width_multiplier=width_multiplier, resolution=resolution))
    assert total.macs == MACS[width_multiplier][resolution]
    assert total.parameters == PARAMETERS[width_multiplier]


def test_exact_cost_by_kind_of_layer() -> None:
    kinds = cost(mobilenet_v1()).by_kind()
    assert {kind: part.macs for kind, part in kinds.items() if part.macs} == {
        "convolution": 10_838_016,
        "depthwise": 17_385_984,
        "pointwise": 539_492_352,
        "linear": 1_024_000,
    }


def test_exact_cost_of_the_full_convolution_network() -> None:
    total = cost(mobilenet_v1(full_convolution=True))
    assert (total.macs, total.parameters) == (4_867_293_184, 29_294_088)


def test_the_shallow_network_lacks_the_five_equal_blocks() -> None:
    shallow, full = cost(mobilenet_v1(rows=SHALLOW)), cost(mobilenet_v1())
    assert full.macs - shallow.macs == 5 * depthwise_separable_macs(14, 512, 512)
    assert (round(shallow.macs / 1e6), round(shallow.parameters / 1e6, 1)) == (307, 2.9)


@pytest.mark.parametrize(
    ("changes", "macs", "parameters"),
    [({"head": True}, 620_120_576, 5_282_600), ({"width_multiplier": 1.25}, 879_516_800, 6_270_840)],
)
def test_exact_cost_of_timms_variants(changes: dict[str, Any], macs: int, parameters: int) -> None:
    total = cost(mobilenet_v1(**changes))
    assert (total.macs, total.parameters) == (macs, parameters)


def test_the_extra_head_stands_before_the_pool_and_is_never_narrowed() -> None:
    network = mobilenet_v1(head=True, width_multiplier=0.5)
    assert [layer.name for layer in network.layers[-4:]] == ["block13.pointwise", "head", "pool", "classifier"]
    assert str(network.shapes["head"]) == "1024×7×7"
    assert mobilenet_v1(head=True, width_multiplier=1.25).shapes["head"].channels == 1280


def test_twenty_eight_layers_have_weights() -> None:
    assert sum(layer.has_weight for layer in mobilenet_v1().layers) == 28


def test_shape_of_every_layer_at_224() -> None:
    assert [str(shape) for shape in mobilenet_v1().shapes.values()] == [
        "3×224×224",
        "32×112×112",
        *("32×112×112", "64×112×112"),
        *("64×56×56", "128×56×56"),
        *("128×56×56", "128×56×56"),
        *("128×28×28", "256×28×28"),
        *("256×28×28", "256×28×28"),
        *("256×14×14", "512×14×14"),
        *("512×14×14", "512×14×14") * 5,
        *("512×7×7", "1024×7×7"),
        *("1024×7×7", "1024×7×7"),
        "1024×1×1",
        "1000×1×1",
    ]


@pytest.mark.parametrize("resolution", [*range(32, 65), 97, 100, 127, 201, (33, 224), (224, 47)])
def test_every_map_is_half_of_the_one_before_rounded_up(resolution: int | tuple[int, int]) -> None:
    network = mobilenet_v1(width_multiplier=0.1, resolution=resolution)
    sides = [network.height, network.width]
    for name, shape in list(network.shapes.items())[1:-2]:
        if getattr(network[name], "stride", 1) == 2:
            sides = [-(-side // 2) for side in sides]
        assert [shape.height, shape.width] == sides


def paddings(network: Network) -> list[Padding]:
    """Paddings of the five layers with stride 2."""
    windowed = [layer for layer in network.layers if isinstance(layer, Convolution | DepthwiseConvolution)]
    return [layer.padding for layer in windowed if layer.stride == 2]


def test_tensorflow_padding_follows_the_parity_of_the_map() -> None:
    below_right, around = Padding(0, 1, 0, 1), Padding(1, 1, 1, 1)
    assert paddings(mobilenet_v1(resolution=224)) == [below_right] * 5
    # 97 → 49 → 25 → 13 → 7: odd all the way.
    assert paddings(mobilenet_v1(resolution=97)) == [around] * 5
    # 100 → 50 → 25 → 13 → 7: even, even, then odd.
    assert paddings(mobilenet_v1(resolution=100)) == [below_right, below_right, around, around, around]
    # Height and width each follow their own.
    assert paddings(mobilenet_v1(resolution=(224, 97)))[0] == Padding(0, 1, 1, 1)


def test_symmetric_padding_is_one_on_every_side() -> None:
    network = mobilenet_v1(padding_policy=PaddingPolicy.SYMMETRIC)
    assert paddings(network) == [Padding(1, 1, 1, 1)] * 5
    assert network.shapes == mobilenet_v1().shapes


@pytest.mark.parametrize("width_multiplier", [0.01, 0.1, 0.33, 1.0, 1.25, 2.0])
def test_any_width_above_zero_works(width_multiplier: float) -> None:
    network = mobilenet_v1(width_multiplier=width_multiplier, resolution=64, classes=3)
    assert network.shapes["stem"].channels == max(int(32 * width_multiplier), 8)
    assert class_count(network) == 3


def test_choices_are_data_of_the_network() -> None:
    network = mobilenet_v1(
        rounding=Rounding(8), padding_policy=PaddingPolicy.SYMMETRIC, activation=Activation.RELU6, batch_norm=None
    )
    assert (network.rounding, network.padding_policy) == (Rounding(8), PaddingPolicy.SYMMETRIC)
    kinds = Convolution | DepthwiseConvolution | PointwiseConvolution
    body = [layer for layer in network.layers if isinstance(layer, kinds)]
    assert len(body) == 27
    for layer in body:
        assert (layer.activation, layer.batch_norm, layer.bias) == (Activation.RELU6, None, True)


def test_batch_norm_stands_after_every_layer_but_the_last() -> None:
    network = mobilenet_v1(batch_norm=BatchNorm(1e-5))
    with_norm = [layer.name for layer in network.layers if layer.batch_norm == BatchNorm(1e-5)]
    assert with_norm == [layer.name for layer in network.layers][:27]
    assert network.layers[-1].name == "classifier"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width_multiplier": 0}, "width multiplier must be a positive number, not 0"),
        ({"width_multiplier": -0.5}, "width multiplier must be a positive number, not -0.5"),
        ({"resolution": 16}, "resolution must be at least 32 pixels, not 16"),
        ({"resolution": (224, 8)}, "resolution must be at least 32 pixels, not 8"),
        ({"resolution": 33.5}, r"resolution must be an integer or \(height, width\) in pixels, not 33\.5"),
        ({"resolution": (64, 33.5)}, r"in pixels, not \(64, 33\.5\)"),
        ({"resolution": (64, 64, 3)}, r"in pixels, not \(64, 64, 3\)"),
        ({"resolution": "64"}, "in pixels, not '64'"),
        ({"resolution": None}, "in pixels, not None"),
        ({"width_multiplier": "0.5"}, "width multiplier must be a positive number, not '0.5'"),
        ({"classes": 0}, "at least one class, not 0"),
        ({"classes": 2.5}, r"at least one class, not 2\.5"),
    ],
)
def test_what_cannot_be_built_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ArchitectureError, match=message):
        mobilenet_v1(**changes)
