"""What every architecture of the catalog promises: the test asks the catalog for the list."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tests.support.random_models import random_int8_model, random_model, random_pixels

from mobilenets.architecture.catalog import CATALOG
from mobilenets.architecture.cost import cost
from mobilenets.architecture.encoding import decode_network, encode_network
from mobilenets.architecture.network import Network
from mobilenets.engine.session import Session
from mobilenets.model import reference
from mobilenets.model.file import load, save
from mobilenets.model.model import Model

CLASSES = 7
RESOLUTION = 67
"""Odd, and odd again after the first stride of 2; the smallest that all architectures take."""


@pytest.fixture(params=CATALOG)
def network(request: pytest.FixtureRequest) -> Network:
    return CATALOG[request.param](width_multiplier=0.1, resolution=RESOLUTION, classes=CLASSES)


@pytest.fixture(params=["float32", "int8"])
def model(request: pytest.FixtureRequest, network: Network) -> Model:
    write = random_model if request.param == "float32" else random_int8_model
    return write(np.random.default_rng(0), network)


def test_it_is_a_classifier_of_images(network: Network) -> None:
    assert network.shapes["input"] == (3, RESOLUTION, RESOLUTION)
    assert [network.shapes[name] for name in network.outputs] == [(CLASSES, 1, 1)]


def test_every_layer_is_needed(network: Network) -> None:
    assert all(network.consumers[layer.name] or layer.name in network.outputs for layer in network.layers)


def test_it_costs_something(network: Network) -> None:
    total = cost(network)
    assert min(total.macs, total.parameters, total.weight_bytes, total.peak_activation_bytes) > 0


@pytest.mark.parametrize("name", CATALOG)
def test_it_grows_with_width_resolution_and_classes(name: str) -> None:
    def macs(**changes: float) -> int:
        arguments = {"width_multiplier": 0.5, "resolution": 96, "classes": 10} | changes
        return cost(CATALOG[name](**arguments)).macs  # type: ignore[arg-type]

    assert macs() < min(macs(width_multiplier=0.75), macs(resolution=128), macs(classes=11))


def test_it_survives_json(network: Network) -> None:
    assert decode_network(json.loads(json.dumps(encode_network(network)))) == network


def test_it_runs_the_same_after_being_saved_and_loaded(model: Model, tmp_path: Path) -> None:
    save(model, tmp_path / "model.safetensors")
    loaded = load(tmp_path / "model.safetensors")
    pixels = random_pixels(np.random.default_rng(1), model.network)
    (before,) = reference.run_reference(model, pixels).values()
    (after,) = reference.run_reference(loaded, pixels).values()
    assert before.shape == (2, CLASSES)
    assert np.isfinite(before).all()
    assert np.ptp(before, axis=1).min() > 0
    assert np.array_equal(before, after)


def test_a_session_agrees_with_the_reference(model: Model) -> None:
    pixels = random_pixels(np.random.default_rng(1), model.network)
    (expected,) = reference.run_reference(model, pixels).values()
    found = Session(model).run(pixels)
    if model.quantization is None:
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())
    else:
        assert np.array_equal(found, expected)


@pytest.mark.parametrize("name", CATALOG)
def test_its_module_agrees_with_the_reference_and_every_parameter_gets_a_gradient(name: str) -> None:
    torch = pytest.importorskip("torch")
    from mobilenets.training.network import module_of, parameters_of

    # Wide enough that no layer of a squeeze-and-excite has all its ReLUs closed.
    network = CATALOG[name](width_multiplier=0.25, resolution=RESOLUTION, classes=CLASSES)
    model = random_model(np.random.default_rng(0), network)
    pixels = random_pixels(np.random.default_rng(1), network)
    (expected,) = reference.run_reference(model, pixels).values()
    module = module_of(model)
    images = torch.from_numpy(model.preprocessing.normalize(pixels)).permute(0, 3, 1, 2)
    logits = module(images)
    np.testing.assert_allclose(logits.detach().numpy(), expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())
    assert {name: tensor.tobytes() for name, tensor in parameters_of(module).items()} == {
        name: tensor.tobytes() for name, tensor in model.parameters.items()
    }
    torch.nn.functional.cross_entropy(logits, torch.tensor([0, CLASSES - 1])).backward()
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().max() > 0, name
