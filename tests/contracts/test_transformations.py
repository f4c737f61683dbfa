"""What turns Models and Networks into others keeps every layer type and activation, or refuses with the reason."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.support.random_models import random_int8_model, random_model, random_pixels
from tests.support.samples import Sample, samples

from mobilenets.architecture.encoding import decode_network, encode_network
from mobilenets.architecture.rescale import with_resolution, with_width
from mobilenets.compression.quantize import quantize_with_images
from mobilenets.errors import ArchitectureError
from mobilenets.model import reference
from mobilenets.model.file import load, save
from mobilenets.model.folding import fold
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import Pixels

AS_MANY_CHANNELS = ("DepthwiseConvolution", "MaxPool", "GlobalAveragePool", "Add", "Multiply")
"""Layer types with as many channels as what they read: behind them the stem cannot be thinned before an output."""
FIRST_CHANNELS_ONLY = {"Concatenate", "Convolution"}
"""Sample layers whose first channels are not those of the thinner network: the sample convolution has two groups."""


@pytest.mark.parametrize("sample", samples(), ids=str)
def test_networks_are_encoded(sample: Sample) -> None:
    assert decode_network(encode_network(sample.network)) == sample.network


@pytest.mark.parametrize("integer", [False, True])
@pytest.mark.parametrize("sample", samples(), ids=str)
def test_models_are_saved_and_loaded(sample: Sample, integer: bool, tmp_path: Path) -> None:
    model = (random_int8_model if integer else random_model)(sample.rng, sample.network)
    save(model, tmp_path / "model.safetensors")
    again = load(tmp_path / "model.safetensors")
    assert again.network == model.network
    assert again.quantization == model.quantization
    assert again.parameters.keys() == model.parameters.keys()


@pytest.mark.parametrize("sample", samples(), ids=str)
def test_folding_keeps_the_function(sample: Sample) -> None:
    rng = sample.rng
    model = random_model(rng, sample.network)
    assert_close(model, fold(model), random_pixels(rng, sample.network, 4), 1e-5)


@pytest.mark.parametrize("sample", samples(), ids=str)
def test_quantization_keeps_the_function(sample: Sample) -> None:
    rng = sample.rng
    model = random_model(rng, sample.network)
    pixels = random_pixels(rng, sample.network, 16)
    assert_close(model, quantize_with_images(model, pixels).model, pixels, 0.05)


@pytest.mark.parametrize("sample", samples(), ids=str)
def test_networks_take_another_resolution(sample: Sample) -> None:
    if sample.kind == "Linear":
        with pytest.raises(ArchitectureError, match="reads a map of"):
            with_resolution(sample.network, 40, 33)
        return
    network = with_resolution(sample.network, 40, 33)
    assert network.parameter_shapes() == sample.network.parameter_shapes()


@pytest.mark.parametrize("sample", samples(), ids=str)
def test_networks_are_thinned(sample: Sample) -> None:
    if sample.kind in FIRST_CHANNELS_ONLY:
        with pytest.raises(ArchitectureError, match="cannot be thinned"):
            with_width(sample.network, 0.5)
        return
    thin = with_width(sample.network, 0.5)
    for name in sample.network.outputs:
        assert thin.shapes[name].channels == sample.network.shapes[name].channels
    kept = sample.last and sample.kind in AS_MANY_CHANNELS
    assert thin.shapes["stem"].channels == (6 if kept else 3)
    assert [type(layer) for layer in thin.layers] == [type(layer) for layer in sample.network.layers]


def assert_close(model: Model, other: Model, pixels: Pixels, share: float) -> None:
    """Outputs of both are alike: the root mean square of differences is below a share of that of the values."""
    found = reference.run_reference(other, pixels)
    for name, expected in reference.run_reference(model, pixels).items():
        assert np.sqrt(np.square(found[name] - expected).mean()) <= share * np.sqrt(np.square(expected).mean())
