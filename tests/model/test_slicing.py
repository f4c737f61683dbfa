"""Slices of a wide Model."""

from __future__ import annotations

import numpy as np
import pytest
from tests.random_models import random_int8_model, random_model, random_pixels, without_batch_norm

from mobilenets.architecture.layers import Network
from mobilenets.architecture.mobilenet_v1 import mobilenet_v1
from mobilenets.errors import ModelError
from mobilenets.model import reference
from mobilenets.model.slicing import sliced


def wide() -> Network:
    return mobilenet_v1(resolution=64, classes=5)


def test_a_slice_says_what_the_wide_network_says_with_its_other_channels_off() -> None:
    rng = np.random.default_rng(0)
    model = random_model(rng, wide())
    narrow = sliced(model, width_multiplier=0.3)
    assert narrow.network == mobilenet_v1(width_multiplier=0.3, resolution=64, classes=5)
    switched_off = {name: np.array(tensor) for name, tensor in model.parameters.items()}
    for name, tensor in switched_off.items():
        kept = narrow.parameters[name].shape[0]
        if name.endswith(("batch_norm.weight", "batch_norm.bias")):
            tensor[kept:] = 0  # γ = β = 0 makes a channel 0, whatever it was
    pixels = random_pixels(rng, model.network)
    expected = reference.run(model.with_parameters(switched_off), pixels)["classifier"]
    np.testing.assert_allclose(reference.run(narrow, pixels)["classifier"], expected, rtol=1e-9, atol=1e-12)


def test_resolution_changes_maps_and_no_weight() -> None:
    model = random_model(np.random.default_rng(0), wide())
    larger = sliced(model, resolution=97)
    assert larger.network == mobilenet_v1(resolution=97, classes=5)
    assert all(np.array_equal(larger.parameters[name], tensor) for name, tensor in model.parameters.items())


def test_an_int8_model_is_not_sliced() -> None:
    model = random_int8_model(np.random.default_rng(0), without_batch_norm(wide()))
    with pytest.raises(ModelError, match="slice the float32 one"):
        sliced(model, width_multiplier=0.5)
