"""An int8 Model's integers as the real numbers that they stand for."""

from __future__ import annotations

import numpy as np
import pytest
from tests.support.random_models import random_int8_model, random_model, random_network, random_pixels

from mobilenets.model import reference
from mobilenets.model.dequantize import dequantize


@pytest.mark.parametrize("asymmetric", [False, True])
def test_one_layer_answers_as_its_integers_do(asymmetric: bool) -> None:
    rng = np.random.default_rng(5)
    network = random_network(rng, batch_norm=False, branches=False)
    model = random_int8_model(rng, network, asymmetric_weights=asymmetric)
    real = dequantize(model)
    layer = network.layers[0]
    assert model.quantization is not None
    source = model.quantization.activations["input"]
    pixels = random_pixels(rng, network, 1).transpose(0, 3, 1, 2)
    sums = reference.accumulate(model, layer, pixels, source)
    scale = reference.sum_multiplier(model, layer, source, None)
    values = source.scale * (pixels.astype(np.float64) - source.zero_point)
    weight, bias = real.parameters[f"{layer.name}.weight"], real.parameters[f"{layer.name}.bias"]
    expected = reference.weighted_sum(layer, values, weight.astype(np.float64), 0) + bias.reshape(1, -1, 1, 1)
    np.testing.assert_allclose(sums * scale.reshape(1, -1, 1, 1), expected, rtol=1e-5, atol=1e-5)


def test_a_float_model_is_given_back() -> None:
    rng = np.random.default_rng(1)
    model = random_model(rng, random_network(rng))
    assert dequantize(model) is model
