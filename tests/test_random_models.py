"""Random Models are valid, varied and repeatable, or tests that use them would prove little."""

from __future__ import annotations

import numpy as np
import pytest
from tests.support.random_models import random_int8_model, random_model, random_network, random_pixels

from mobilenets.architecture.layers import LAYER_TYPES
from mobilenets.model import reference


def test_two_hundred_random_networks_hold_every_kind_of_layer() -> None:
    networks = [random_network(np.random.default_rng(seed)) for seed in range(200)]
    assert {type(layer).__name__ for network in networks for layer in network.layers} | {"Multiply"} == set(LAYER_TYPES)
    assert any(len(network.outputs) > 1 for network in networks)


def test_the_same_seed_gives_the_same_network() -> None:
    assert random_network(np.random.default_rng(7)) == random_network(np.random.default_rng(7))


def test_most_activations_of_random_int8_models_fill_their_bytes() -> None:
    spans = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        model = random_int8_model(rng, random_network(rng), asymmetric_weights=seed % 4 == 3)
        values = reference.activations(model, random_pixels(rng, model.network, 4)).values()
        spans += [int(np.ptp(value)) for value in values if value.dtype == np.uint8 and value.size >= 100]
    assert np.mean(np.array(spans) > 100) > 0.9  # a layer of one channel with ReLU can be all zeros


@pytest.mark.parametrize("seed", range(20))
def test_random_float_models_give_logits_of_the_order_of_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    network = random_network(rng)
    logits = reference.run_reference(random_model(rng, network), random_pixels(rng, network, 4))[network.outputs[0]]
    assert 1e-4 < np.abs(logits).max() < 1e3
