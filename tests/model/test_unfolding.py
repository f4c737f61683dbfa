"""Batch norms put back into folded networks: the same function, on any images."""

from __future__ import annotations

import numpy as np
import pytest
from tests.support.random_models import random_int8_model, random_model, random_pixels

from mobilenets.architecture.catalog import Specification
from mobilenets.engine.session import Session
from mobilenets.errors import ModelError
from mobilenets.model.folding import fold
from mobilenets.model.unfolding import with_batch_norms


@pytest.mark.parametrize("name", ["mobilenet_v1", "mobilenet_v2", "mobilenet_v3_small"])
def test_an_unfolded_network_computes_the_same_and_has_batch_norms(name: str) -> None:
    rng = np.random.default_rng(0)
    whole = random_model(rng, Specification(name, 0.375, 48).network(classes=5))
    folded = fold(whole)
    unfolded = with_batch_norms(folded, random_pixels(rng, folded.network, 8))
    with_norms = [layer.name for layer in whole.network.layers if layer.batch_norm is not None]
    put_back = [layer.name for layer in unfolded.network.layers if layer.batch_norm is not None]
    assert put_back
    assert set(put_back) <= set(with_norms)
    if name == "mobilenet_v1":
        assert put_back == with_norms
    pixels = random_pixels(rng, folded.network, 3)  # others than those that were measured
    expected = Session(folded).run(pixels)
    np.testing.assert_allclose(Session(unfolded).run(pixels), expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())


def test_statistics_are_those_of_the_layers_sums() -> None:
    """So that training, which normalizes by each batch, begins with the same function."""
    rng = np.random.default_rng(0)
    folded = fold(random_model(rng, Specification("mobilenet_v1", 0.25, 32).network(classes=5)))
    pixels = random_pixels(rng, folded.network, 16)
    parameters = with_batch_norms(folded, pixels).parameters
    scale = np.sqrt(parameters["stem.batch_norm.running_var"] + 1e-3)
    np.testing.assert_allclose(parameters["stem.batch_norm.weight"], scale, rtol=1e-5)
    offset = parameters["stem.batch_norm.bias"] - parameters["stem.batch_norm.running_mean"]
    np.testing.assert_allclose(offset, folded.parameters["stem.bias"], atol=1e-4)


def test_a_network_with_batch_norms_is_left_as_it_is_and_int8_is_refused() -> None:
    rng = np.random.default_rng(0)
    network = Specification("mobilenet_v1", 0.25, 32).network(classes=5)
    model = random_model(rng, network)
    assert with_batch_norms(model, random_pixels(rng, network, 2)) is model
    with pytest.raises(ModelError, match="dequantize it first"):
        with_batch_norms(random_int8_model(rng, network), random_pixels(rng, network, 2))
