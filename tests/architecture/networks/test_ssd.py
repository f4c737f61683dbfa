"""Detectors: what is put on a backbone, against the figures of the papers."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tests.support.random_models import random_model, random_pixels
from tests.support.stub_task import StrongestChannel

from mobilenets.architecture.catalog import BACKBONES, CATALOG, DETECTORS, Specification, architecture
from mobilenets.architecture.cost import cost
from mobilenets.architecture.encoding import decode_network, encode_network
from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.architecture.networks.mobilenet_v2 import mobilenet_v2
from mobilenets.architecture.networks.ssd import ANCHORS, centres, last_map, last_of_stride, ssd, ssdlite
from mobilenets.architecture.rescale import with_resolution, with_width
from mobilenets.engine.session import Session
from mobilenets.errors import ArchitectureError
from mobilenets.model import reference


def test_the_detector_of_table_13() -> None:
    network = architecture("ssd_mobilenet_v1")()
    sizes = [network.shapes[name] for name in network.outputs[::2]]
    assert [(shape.height, shape.width) for shape in sizes] == [(side, side) for side in (19, 10, 5, 3, 2, 1)]
    assert sum(count * shape.height * shape.width for count, shape in zip(ANCHORS, sizes, strict=True)) == 1917
    total = cost(network)
    assert (total.macs, total.parameters) == (1_237_129_408, 6_819_839)


@pytest.mark.parametrize(
    ("name", "billion_macs", "million_parameters"), [("mobilenet_v1", 1.3, 5.1), ("mobilenet_v2", 0.8, 4.3)]
)
def test_ssdlite_costs_what_its_paper_prints(name: str, billion_macs: float, million_parameters: float) -> None:
    total = cost(DETECTORS[f"ssdlite_{name}"](classes=80))
    assert round(total.macs / 1e9, 1) == billion_macs
    assert round(total.parameters / 1e6, 1) == million_parameters


@pytest.mark.parametrize("name", BACKBONES)
def test_levels_are_at_strides_16_and_32_of_every_backbone(name: str) -> None:
    network = DETECTORS[f"ssdlite_{name}"](resolution=(96, 160), width_multiplier=0.5, classes=2)
    sizes = [network.shapes[output] for output in network.outputs]
    assert [(shape.height, shape.width) for shape in sizes[::2]] == [(6, 10), (3, 5), (2, 3), (1, 2), (1, 1), (1, 1)]
    assert [shape.channels for shape in sizes[:4]] == [3 * 4, 3 * 2, 6 * 4, 6 * 2]
    small = DETECTORS[f"centres_{name}"](resolution=(96, 160), width_multiplier=0.5, classes=2)
    assert [small.shapes[output] for output in small.outputs] == [(3, 12, 20)]


@pytest.mark.parametrize("name", DETECTORS)
def test_every_layer_is_needed_and_survives_json(name: str) -> None:
    network = DETECTORS[name](resolution=64, classes=2)
    assert all(network.consumers[layer.name] or layer.name in network.outputs for layer in network.layers)
    assert decode_network(json.loads(json.dumps(encode_network(network)))) == network


@pytest.mark.parametrize("name", DETECTORS)
def test_the_engine_gives_every_output(name: str) -> None:
    rng = np.random.default_rng(0)
    network = DETECTORS[name](width_multiplier=0.1, resolution=67, classes=3)
    model = random_model(rng, network, task=StrongestChannel())
    pixels = random_pixels(rng, model.network)
    expected = reference.run_reference(model, pixels)
    found = Session(model).outputs(pixels)
    assert list(found) == list(model.network.outputs)
    for output in found:
        scale = max(1e-6, float(np.abs(expected[output]).max()))
        assert np.abs(found[output] - expected[output]).max() <= 1e-3 * scale


def test_the_same_detector_at_another_size_and_width() -> None:
    wide = DETECTORS["ssdlite_mobilenet_v2"](width_multiplier=1.0, resolution=96, classes=4)
    assert with_resolution(wide, 160, 128) == DETECTORS["ssdlite_mobilenet_v2"](resolution=(160, 128), classes=4)
    assert with_width(wide, 0.5) == DETECTORS["ssdlite_mobilenet_v2"](width_multiplier=0.5, resolution=96, classes=4)


def test_what_follows_the_last_map_is_left_out() -> None:
    network = mobilenet_v2(resolution=96)
    detector = ssdlite(network, classes=1, anchors=(1, 1), extras=())
    assert last_map(network) == "head"
    assert {"pool", "classifier"}.isdisjoint(detector.shapes)
    assert "head" not in centres(network, classes=1).shapes


def test_numbers_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ArchitectureError, match="classes must be at least 1"):
        ssd(mobilenet_v1(), classes=0)
    with pytest.raises(ArchitectureError, match="3 levels have anchors; there are 6"):
        ssd(mobilenet_v1(), classes=1, anchors=(1, 2, 3))
    with pytest.raises(ArchitectureError, match="mobilenet_v1 has no map of stride 64 before one of stride 128"):
        last_of_stride(mobilenet_v1(), 64)
    with pytest.raises(ArchitectureError, match="does not end in an average"):
        ssdlite(CATALOG["alexnet"](), classes=1)


def test_names_of_detectors_are_known_by_specifications() -> None:
    network = Specification.parse("ssdlite_mobilenet_v2@0.5-128").network(classes=3)
    assert network == DETECTORS["ssdlite_mobilenet_v2"](width_multiplier=0.5, resolution=128, classes=3)
    with pytest.raises(ArchitectureError, match="did you mean ssdlite_mobilenet_v2"):
        architecture("ssdlite_mobilnet_v2")
