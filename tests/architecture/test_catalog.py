"""Names and the short way of writing a network."""

from __future__ import annotations

import pytest

from mobilenets.architecture.catalog import CATALOG, Specification, architecture
from mobilenets.errors import ArchitectureError
from mobilenets.tasks.classification import class_count


@pytest.mark.parametrize("name", CATALOG)
def test_a_network_carries_the_name_it_has_in_the_catalogue(name: str) -> None:
    assert architecture(name)(width_multiplier=0.25, resolution=96, classes=4).name == name


RESOLUTIONS = {"alexnet": 227, "squeezenet": 227, "mobilenet_v4_conv_medium": 256, "mobilenet_v4_conv_large": 384}
"""Of those that are not 224."""


@pytest.mark.parametrize("name", CATALOG)
def test_defaults_are_those_of_the_literature(name: str) -> None:
    network = architecture(name)()
    assert (network.width_multiplier, class_count(network)) == (1.0, 1000)
    assert network.height == network.width == RESOLUTIONS.get(name, 224)


def test_a_misspelt_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(
        ArchitectureError, match=r"no architecture is called 'mobilnet_v1'; did you mean mobilenet_v1\?"
    ):
        architecture("mobilnet_v1")


def test_the_beginning_of_names_is_answered_with_all_of_them() -> None:
    with pytest.raises(
        ArchitectureError,
        match="did you mean mobilenet_v4_conv_small or mobilenet_v4_conv_medium or mobilenet_v4_conv_large",
    ):
        architecture("mobilenet_v4")


def test_a_strange_name_is_answered_with_all() -> None:
    with pytest.raises(ArchitectureError, match="known are mobilenet_v1, mobilenet_v1_shallow"):
        architecture("zebra")


@pytest.mark.parametrize(
    ("text", "name", "width_multiplier", "side"),
    [
        ("mobilenet_v1", "mobilenet_v1", 1.0, 224),
        ("mobilenet_v1@0.5", "mobilenet_v1", 0.5, 224),
        ("mobilenet_v1@0.5-160", "mobilenet_v1", 0.5, 160),
        ("mobilenet_v1@1-33", "mobilenet_v1", 1.0, 33),
        ("mobilenet_v1@.25-128", "mobilenet_v1", 0.25, 128),
        ("squeezenet@1.5", "squeezenet", 1.5, 227),
    ],
)
def test_a_specification_gives_its_network(text: str, name: str, width_multiplier: float, side: int) -> None:
    network = Specification.parse(text).network(classes=3)
    assert (network.name, network.width_multiplier, network.height, network.width, class_count(network)) == (
        name,
        width_multiplier,
        side,
        side,
        3,
    )


@pytest.mark.parametrize("text", ["mobilenet_v1", "mobilenet_v1@0.5", "mobilenet_v1@0.5-160", "vgg16@2-64"])
def test_a_specification_prints_as_it_is_read(text: str) -> None:
    assert str(Specification.parse(text)) == text


def test_a_resolution_alone_prints_with_the_width_it_stands_for() -> None:
    assert str(Specification("mobilenet_v1", resolution=96)) == "mobilenet_v1@1-96"


@pytest.mark.parametrize(
    "text",
    ["", "@", "mobilenet_v1@", "mobilenet_v1@0.5-", "mobilenet_v1@-160", "mobilenet_v1@0.5-160-3", "mobilenet_v1@a-b",
     "mobilenet_v1@1e3", "mobilenet_v1@nan-160", "mobilenet_v1@0.5-9999999", "mobilenet_v1 @0.5", "mobilenet_v1@٠.٥"],
)  # fmt: skip
def test_nonsense_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ArchitectureError, match=r"does not name a network; expected .* such as mobilenet_v1@0\.5-160"):
        Specification.parse(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mobilenet_v1@0-160", "width multiplier must be a positive number, not 0.0"),
        ("mobilenet_v1@1-16", "resolution must be at least 32 pixels, not 16"),
        ("alexnet@1-64", "resolution must be at least 67 pixels, not 64"),
    ],
)
def test_a_network_that_cannot_be_built_is_refused(text: str, message: str) -> None:
    with pytest.raises(ArchitectureError, match=message):
        Specification.parse(text).network()
