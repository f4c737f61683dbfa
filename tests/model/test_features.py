"""The part of a network before its classifier, as a Model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.support.random_models import random_int8_model, random_model, random_network, random_pixels

from mobilenets.architecture.catalog import CATALOG
from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.engine.session import Session
from mobilenets.errors import ModelError
from mobilenets.model import reference
from mobilenets.model.features import classifier_layer, feature_model
from mobilenets.model.file import load, save
from mobilenets.tasks.classification import Classification


@pytest.mark.parametrize("name", CATALOG)
def test_the_classifier_of_every_architecture_reads_its_features(name: str) -> None:
    network = CATALOG[name](classes=3)
    model = random_model(np.random.default_rng(0), network, task=Classification(("a", "b", "c")))
    features = feature_model(model)
    layer = classifier_layer(network, labeled=True)
    assert layer is not None
    assert features.network.shapes[features.network.outputs[0]].channels == network.shapes[layer.inputs[0]].channels
    assert features.network.shapes[features.network.outputs[0]][1:] == (1, 1)


def test_any_layer_gives_what_it_gives_within_the_whole_network() -> None:
    for seed in range(25):
        rng = np.random.default_rng(seed)
        network = random_network(rng)
        pixels = random_pixels(rng, network)
        model = random_model(rng, network)
        values = reference.activations(model, pixels)
        for layer in network.layers:
            part = feature_model(model, layer.name)
            (found,) = Session(part, 1).outputs(pixels).values()
            expected = values[layer.name].reshape(found.shape)
            np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4 * max(1, np.abs(expected).max()))


def test_an_int8_model_gives_the_features_that_its_bytes_stand_for(tmp_path: Path) -> None:
    for seed in range(25):
        rng = np.random.default_rng(seed)
        network = random_network(rng, batch_norm=False)
        model = random_int8_model(rng, network)
        pixels = random_pixels(rng, network)
        for layer in network.layers:
            part = feature_model(model, layer.name)
            (found,) = Session(part, 1).outputs(pixels).values()
            assert np.array_equal(found, reference.run_reference(part, pixels)[layer.name].reshape(found.shape))
        save(feature_model(model), tmp_path / "features.safetensors")
        again = load(tmp_path / "features.safetensors")
        assert again.task == feature_model(model).task


def test_a_layer_that_is_not_there_is_refused() -> None:
    model = random_model(np.random.default_rng(0), mobilenet_v1(width_multiplier=0.25, resolution=32, classes=3))
    with pytest.raises(ModelError, match="has no layer 'blok1'; mobilenets show lists its layers"):
        feature_model(model, "blok1")
    with pytest.raises(ModelError, match="the input of mobilenet_v1 is no layer"):
        feature_model(model, "input")
