"""Weights quantized anew without zero points mean what they meant, to half a step of their new grid."""

from __future__ import annotations

import numpy as np
import pytest
from tests.support.random_models import random_int8_model, random_model, random_network, random_pixels

from mobilenets.model import reference
from mobilenets.model.integer_weights import dequantize, symmetric_weights


def test_real_weights_move_by_half_a_step_at_most_and_biases_by_half_a_unit() -> None:
    rng = np.random.default_rng(2)
    model = random_int8_model(rng, random_network(rng), asymmetric_weights=True)
    made = symmetric_weights(model)
    before, after = dequantize(model).parameters, dequantize(made).parameters
    assert not any(name.endswith("zero_point") for name in made.parameters)
    for layer in model.network.layers:
        if layer.has_weight:
            scale = made.parameters[f"{layer.name}.weight_scale"]
            weights = [each[f"{layer.name}.weight"].reshape(len(scale), -1) for each in (before, after)]
            assert (np.abs(weights[0] - weights[1]).max(axis=1) <= 0.5001 * scale).all()
            assert model.quantization is not None
            unit = model.quantization.activations[layer.inputs[0]].scale * scale
            biases = [each[f"{layer.name}.bias"] for each in (before, after)]
            assert (np.abs(biases[0] - biases[1]) <= 0.5001 * unit).all()


def test_weights_that_fit_without_their_zero_point_keep_every_answer() -> None:
    rng = np.random.default_rng(4)
    model = random_int8_model(rng, random_network(rng), asymmetric_weights=True, largest_weight=90)
    pixels = random_pixels(rng, model.network)
    found, expected = (reference.run_reference(each, pixels) for each in (symmetric_weights(model), model))
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values)


def test_other_models_are_given_back() -> None:
    rng = np.random.default_rng(5)
    network = random_network(rng)
    for model in (random_model(rng, network), random_int8_model(rng, network)):
        assert symmetric_weights(model) is model


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


def test_a_float_model_is_dequantized_already() -> None:
    rng = np.random.default_rng(1)
    model = random_model(rng, random_network(rng))
    assert dequantize(model) is model
