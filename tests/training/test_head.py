"""Putting other classes on every architecture of the catalog."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mobilenets.architecture.catalog import CATALOG
from mobilenets.architecture.layers import GlobalAveragePool, PointwiseConvolution
from mobilenets.architecture.network import Network
from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.errors import TrainingError
from mobilenets.tasks.classification import class_count
from mobilenets.training.head import output_layer, with_classes


@pytest.mark.parametrize("name", CATALOG)
def test_every_architecture_takes_other_classes_and_keeps_all_else(name: str) -> None:
    before = CATALOG[name](width_multiplier=0.1, resolution=67, classes=5)
    after = with_classes(before, 3)
    assert after == CATALOG[name](width_multiplier=0.1, resolution=67, classes=3)
    shapes = {class_count(network): network.parameter_shapes() for network in (before, after)}
    changed = {parameter for parameter, shape in shapes[5].items() if shapes[3][parameter] != shape}
    head = output_layer(before).name
    assert changed == {f"{head}.weight", f"{head}.bias"}


def test_a_network_that_gives_a_map_has_no_head() -> None:
    wide = mobilenet_v1(width_multiplier=0.25, resolution=64, classes=2)
    maps = replace(wide, layers=wide.layers[:-2], outputs=("block13.pointwise",))
    with pytest.raises(TrainingError, match="of another task"):
        output_layer(maps)


def test_a_layer_that_something_else_reads_is_no_head() -> None:
    network = Network(
        "shared",
        8,
        8,
        (
            PointwiseConvolution("scores", ("input",), out_channels=4),
            GlobalAveragePool("other", ("scores",)),
            GlobalAveragePool("pool", ("scores",)),
        ),
        ("pool",),
    )
    with pytest.raises(TrainingError, match="ends in scores"):
        output_layer(network)
    alone = replace(network, layers=(network.layers[0], network.layers[2]))
    assert output_layer(alone).name == "scores"
