"""A network at another input size."""

from __future__ import annotations

import pytest

from mobilenets.architecture.catalog import CATALOG
from mobilenets.architecture.mobilenet_v1 import mobilenet_v1
from mobilenets.architecture.multipliers import PaddingPolicy
from mobilenets.architecture.resizing import with_resolution
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
