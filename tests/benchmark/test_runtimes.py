"""Peers answer as the engine does with our exports, and nearly so with models of their own quantizers."""

from __future__ import annotations

import numpy as np
import pytest
from tests.support.random_detectors import random_detector
from tests.support.random_models import random_int8_model

from mobilenets.architecture.catalog import CATALOG
from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.benchmark.race import race
from mobilenets.benchmark.runtimes import CONTESTANTS, OURS, QUANTIZERS
from mobilenets.compression.quantize import quantize_with_images
from mobilenets.engine.timing import random_pixels

PACKAGES = {
    "onnxruntime": ("onnxruntime", "onnx"),
    "openvino": ("openvino", "nncf", "onnx"),
    "litert": ("ai_edge_litert", "ai_edge_quantizer"),
}


@pytest.mark.parametrize("name", QUANTIZERS)
def test_both_models_of_a_peer_answer_well_enough_to_be_timed(name: str) -> None:
    for package in PACKAGES[name]:
        pytest.importorskip(package)
    network = mobilenet_v1(width_multiplier=0.25, resolution=32, classes=9)
    model = random_int8_model(np.random.default_rng(0), network)
    images = random_pixels(network, 8)
    contestants = [CONTESTANTS[OURS](model, 1), CONTESTANTS[name](model, 1), QUANTIZERS[name](model, 1, images)]
    ours, export, own = race(contestants, images[:1], seconds=0, integer=True, images=images)
    assert all(each.timed for each in (ours, export, own))
    assert [each.own for each in (ours, export, own)] == [False, False, True]
    assert export.difference < 0.1
    assert 0 < own.difference < 0.5


@pytest.mark.parametrize("name", QUANTIZERS)
def test_every_map_of_a_detector_is_compared(name: str) -> None:
    for package in PACKAGES[name]:
        pytest.importorskip(package)
    model = random_detector()
    images = random_pixels(model.network, 4)
    parameters = dict(model.parameters)
    last = f"{model.network.outputs[-1]}.bias"
    parameters[last] = parameters[last] + np.float32(5)
    other = model.with_parameters(parameters)  # all other maps are the same
    contestants = [CONTESTANTS[OURS](model, 1), CONTESTANTS[name](model, 1), CONTESTANTS[name](other, 1)]
    _, same, changed = race(contestants, images[:1], seconds=0, integer=False)
    assert same.timed
    assert not changed.timed
    int8 = quantize_with_images(model, images).model
    export, own = CONTESTANTS[name](int8, 1), QUANTIZERS[name](int8, 1, images)
    _, *peers = race([CONTESTANTS[OURS](int8, 1), export, own], images[:1], seconds=0, integer=True, images=images)
    assert [peer.timed for peer in peers] == [True, True]


@pytest.mark.parametrize("architecture", ["mobilenet_v3_small", "mobilenet_v3_large"])
def test_litert_s_quantizer_takes_squeeze_and_excite(architecture: str) -> None:
    pytest.importorskip("ai_edge_quantizer")
    rng = np.random.default_rng(0)
    model = random_int8_model(rng, CATALOG[architecture](width_multiplier=0.35, resolution=64, classes=10))
    images = random_pixels(model.network, 4)
    contestant = QUANTIZERS["litert"](model, 1, images)
    logits = contestant.logits(contestant.run(contestant.prepare(images[:1])))
    assert logits.shape == (1, 10)
    assert np.isfinite(logits).all()
