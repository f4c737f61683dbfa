"""A network at another input size."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mobilenets.architecture.catalog import CATALOG
from mobilenets.architecture.layers import Add, GlobalAveragePool, PointwiseConvolution
from mobilenets.architecture.multipliers import PaddingPolicy
from mobilenets.architecture.network import Network
from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.architecture.rescale import with_resolution, with_width
from mobilenets.errors import ArchitectureError


@pytest.mark.parametrize("policy", list(PaddingPolicy))
@pytest.mark.parametrize("size", [(224, 224), (97, 131), (32, 33), (160, 128)])
def test_it_is_the_network_that_would_have_been_built(policy: PaddingPolicy, size: tuple[int, int]) -> None:
    start = mobilenet_v1(width_multiplier=0.5, resolution=113, padding_policy=policy)
    expected = mobilenet_v1(width_multiplier=0.5, resolution=size, padding_policy=policy)
    assert with_resolution(start, *size) == expected


@pytest.mark.parametrize("name", ["mobilenet_v1_shallow", "mobilenet_v1_full_convolution", "squeezenet", "googlenet"])
def test_parameters_stay_as_they_are(name: str) -> None:
    network = CATALOG[name]()
    assert with_resolution(network, 160, 192).parameter_shapes() == network.parameter_shapes()


def test_a_network_that_flattens_a_map_says_that_it_cannot() -> None:
    with pytest.raises(ArchitectureError, match=r"reads a map of .* whole; vgg16 works at 224×224 pixels only"):
        with_resolution(CATALOG["vgg16"](), 160, 160)
    with pytest.raises(ArchitectureError, match="at least 32 pixels, not 16"):
        with_resolution(mobilenet_v1(), 16, 64)


@pytest.mark.parametrize("width", [0.3, 0.35, 0.55, 0.75, 1.0])
@pytest.mark.parametrize(
    "name",
    [
        *("mobilenet_v1", "mobilenet_v1_shallow", "mobilenet_v1_full_convolution", "mobilenet_v1_h"),
        *("mobilenet_v2", "mobilenet_v4_conv_small", "mobilenet_v4_conv_medium"),
    ],
)
def test_a_thinned_network_is_the_narrow_one(name: str, width: float) -> None:
    assert with_width(CATALOG[name](classes=7), width) == CATALOG[name](width_multiplier=width, classes=7)


@pytest.mark.parametrize(
    ("name", "width", "added"),
    [
        ("mobilenet_v2", 0.25, "block1.add"),
        ("mobilenet_v3_small", 0.5, "block7.add"),
        ("mobilenet_v3_small", 0.75, None),
        ("mobilenet_v3_large", 0.75, None),
    ],
)
def test_a_thinned_network_has_the_channels_of_the_narrow_one_and_the_shortcuts_of_the_wide_one(
    name: str, width: float, added: str | None
) -> None:
    wide, narrow = CATALOG[name](), CATALOG[name](width_multiplier=width)
    thin = with_width(wide, width)
    assert thin.parameter_shapes() == narrow.parameter_shapes()
    names = [layer.name for layer in thin.layers]
    assert names == [layer.name for layer in wide.layers] == [one.name for one in narrow.layers if one.name != added]


def test_where_a_shortcut_would_go_all_channels_are_thinned_in_proportion() -> None:
    # The stem of the large V3 keeps its 16 channels below α = 1, but its first block, to which it is added, does not.
    thin = with_width(CATALOG["mobilenet_v3_large"](), 0.5)
    assert [thin.shapes[name].channels for name in ("stem", "block1.project", "block1.add", "hidden")] == [8, 8, 8, 640]


def test_a_network_of_other_channels_than_its_architecture_is_thinned_in_proportion() -> None:
    network = mobilenet_v1(resolution=64)
    wider = replace(network, layers=(replace(network.layers[0], out_channels=48), *network.layers[1:]))  # type: ignore[call-arg]
    assert with_width(wider, 0.5).shapes["stem"].channels == 24


def test_a_narrow_v2_is_thinned_as_far_as_it_goes() -> None:
    half = CATALOG["mobilenet_v2"](width_multiplier=0.5)
    assert with_width(half, 0.35) == CATALOG["mobilenet_v2"](width_multiplier=0.35)


def test_what_cannot_be_thinned_says_so() -> None:
    with pytest.raises(ArchitectureError, match=r"has width 0\.5 and cannot be thinned to 0\.75"):
        with_width(mobilenet_v1(width_multiplier=0.5), 0.75)
    with pytest.raises(ArchitectureError, match="cannot be thinned to 0"):
        with_width(mobilenet_v1(), 0)
    with pytest.raises(ArchitectureError, match="cannot be thinned by keeping its first channels"):
        with_width(CATALOG["squeezenet"](), 0.5)


def test_an_output_behind_pools_and_sums_keeps_its_channels() -> None:
    network = mobilenet_v1(resolution=64)
    features = replace(network, layers=network.layers[:-1], outputs=(network.layers[-2].name,))
    thin = with_width(features, 0.5)
    assert thin.shapes[thin.outputs[0]] == features.shapes[features.outputs[0]] == (1024, 1, 1)
    half = mobilenet_v1(width_multiplier=0.5, resolution=64)
    assert thin.layers[:-2] == half.layers[:-3]


def test_what_is_added_to_the_input_or_to_an_output_keeps_its_channels() -> None:
    layers = (
        PointwiseConvolution("body", ("input",), out_channels=64),
        PointwiseConvolution("back", ("body",), out_channels=3),
        Add("sum", ("input", "back")),
        PointwiseConvolution("one", ("sum",), out_channels=32),
        PointwiseConvolution("other", ("body",), out_channels=32),
        Add("both", ("one", "other")),
        GlobalAveragePool("pool", ("other",)),
        PointwiseConvolution("last", ("both",), out_channels=10),
    )
    thin = with_width(Network("sums", 8, 8, layers, ("pool", "last")), 0.5)
    assert [thin.shapes[layer.name].channels for layer in layers] == [32, 3, 3, 32, 32, 32, 32, 10]
