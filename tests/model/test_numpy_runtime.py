"""The fast NumPy operators against the reference: integers equal to the byte, floats to the last digits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.random_models import random_int8_model, random_model, random_network, random_pixels

from mobilenets.architecture.layers import INPUT, GlobalAveragePool, Linear, PointwiseConvolution
from mobilenets.architecture.network import Network
from mobilenets.errors import ModelError
from mobilenets.model import numpy_runtime as batched
from mobilenets.model import reference
from mobilenets.model.model import Model
from mobilenets.model.quantization import Quantization, TensorQuantization
from mobilenets.tasks.classification import Classification, class_count, numbered_labels


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**32 - 1), asymmetric=st.booleans())
def test_int8_models_give_the_references_bytes(seed: int, asymmetric: bool) -> None:
    rng = np.random.default_rng(seed)
    network = random_network(rng)
    model = random_int8_model(rng, network, asymmetric_weights=asymmetric)
    pixels = random_pixels(rng, network, 3)
    expected = reference.activations(model, pixels)
    for name, value in batched.layers(model, pixels):
        np.testing.assert_array_equal(value.transpose(2, 3, 0, 1), expected[name], err_msg=name)
    outputs = reference.run_reference(model, pixels)
    for name, value in batched.run_numpy(model, pixels, batch=2).items():
        np.testing.assert_array_equal(value, outputs[name])


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**32 - 1))
def test_float_models_give_the_references_numbers(seed: int) -> None:
    rng = np.random.default_rng(seed)
    network = random_network(rng)
    model = random_model(rng, network)
    pixels = random_pixels(rng, network, 3)
    outputs = reference.run_reference(model, pixels)
    for name, value in batched.run_numpy(model, pixels, batch=2).items():
        np.testing.assert_allclose(value, outputs[name], rtol=1e-4, atol=1e-4 * np.abs(outputs[name]).max())


@pytest.mark.parametrize("inputs", [1, 255, 256, 517, 519, 1200])
def test_long_sums_are_exact_where_float32_would_round(inputs: int) -> None:
    """From 519 inputs of 255 · 127 on, a sum can pass 2²⁴."""
    layers = (
        PointwiseConvolution("wide", (INPUT,), out_channels=inputs, bias=True),
        GlobalAveragePool("pool", ("wide",)),
        Linear("classifier", ("pool",), out_features=3),
    )
    network = Network("wide", 3, 3, layers, ("classifier",))
    rng = np.random.default_rng(inputs)
    parameters: dict[str, npt.NDArray[Any]] = {
        "wide.weight": np.full((inputs, 3, 1, 1), 127, np.int8),
        "wide.weight_scale": np.full(inputs, 0.01, np.float32),
        "wide.bias": np.zeros(inputs, np.int32),
        "classifier.weight": np.stack([np.full(inputs, 127), np.full(inputs, -127), rng.integers(-127, 128, inputs)]),
        "classifier.weight_scale": np.array([0.1, 0.2, 0.3], np.float32),
        "classifier.bias": np.array([1, 3, 2**31 - 1], np.int32),
    }
    parameters["classifier.weight"] = parameters["classifier.weight"].astype(np.int8)
    held = {INPUT: TensorQuantization(1.0), "wide": TensorQuantization(3.8), "pool": TensorQuantization(3.7)}
    model = Model(network, parameters, Classification(numbered_labels(3)), quantization=Quantization(held))
    pixels = np.full((2, 3, 3, 3), 255, np.uint8)
    np.testing.assert_array_equal(
        batched.run_numpy(model, pixels)["classifier"], reference.run_reference(model, pixels)["classifier"]
    )


def test_no_images_give_no_answers() -> None:
    rng = np.random.default_rng(0)
    network = random_network(rng)
    model = random_model(rng, network)
    outputs = batched.run_numpy(model, random_pixels(rng, network, 0))
    assert outputs["classifier"].shape == (0, class_count(network))


def test_pixels_of_another_size_are_refused() -> None:
    rng = np.random.default_rng(0)
    network = random_network(rng)
    model = random_model(rng, network)
    wrong = random_pixels(rng, replace(network, height=network.height + 1))
    with pytest.raises(ModelError, match=r"needs uint8 \(N, "):
        batched.run_numpy(model, wrong)
    with pytest.raises(ModelError, match="pixels are float64"):
        batched.run_numpy(model, random_pixels(rng, network).astype(np.float64))
