"""A Model in PyTorch and back: the same answers, and weights that were trained elsewhere."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.support.random_models import random_model, random_network, random_pixels

from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.engine.session import Session
from mobilenets.errors import TrainingError
from mobilenets.model import reference
from mobilenets.training.torch_model import from_torch, to_torch


def test_the_module_answers_as_the_model_and_comes_back_the_same() -> None:
    for seed in range(10):
        rng = np.random.default_rng(seed)
        network = random_network(rng)
        model = random_model(rng, network)
        pixels = random_pixels(rng, network)
        module = to_torch(model)
        with torch.no_grad():
            found = module(torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255).numpy()
        expected = reference.run_reference(model, pixels)[network.outputs[0]]
        np.testing.assert_allclose(found, expected.reshape(found.shape), rtol=1e-3, atol=1e-3)
        again = from_torch(module, model)
        assert all(np.array_equal(again.parameters[name], values) for name, values in model.parameters.items())


def test_a_module_is_trained_by_a_loop_of_ones_own() -> None:
    network = mobilenet_v1(width_multiplier=0.25, resolution=32, classes=3)
    model = random_model(np.random.default_rng(0), network)
    module = to_torch(model).train()
    optimizer = torch.optim.SGD(module.parameters(), 0.01)
    images, targets = torch.rand(8, 3, 32, 32), torch.arange(8) % 3
    loss = torch.nn.functional.cross_entropy(module(images), targets)
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    trained = from_torch(module, model)
    assert not np.array_equal(trained.parameters["classifier.weight"], model.parameters["classifier.weight"])
    statistics = "stem.batch_norm.running_mean"
    assert not np.array_equal(trained.parameters[statistics], model.parameters[statistics])
    pixels = random_pixels(np.random.default_rng(1), network)
    with torch.no_grad():
        found = module.eval()(torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255).numpy()
    np.testing.assert_allclose(found, Session(trained).run(pixels), rtol=1e-3, atol=1e-3)


def test_modules_of_other_networks_are_refused() -> None:
    model = random_model(np.random.default_rng(0), mobilenet_v1(width_multiplier=0.25, resolution=32, classes=3))
    other = random_model(np.random.default_rng(0), mobilenet_v1(width_multiplier=0.25, resolution=32, classes=4))
    with pytest.raises(
        TrainingError, match=r"classifier.bias has shape \(4,\); the Model needs \(3,\)|classifier.weight"
    ):
        from_torch(to_torch(other), model)
    with pytest.raises(TrainingError, match="module must be what to_torch made, not a Linear"):
        from_torch(torch.nn.Linear(2, 2), model)
