"""The module of a Network computes what the reference operators define, and keeps the Model's names."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.random_models import random_int8_model, random_model, random_network, random_pixels
from torch.nn import functional

from mobilenets.architecture.catalog import CATALOG, architecture
from mobilenets.architecture.layers import INPUT, DepthwiseConvolution, Layer, Padding, PointwiseConvolution
from mobilenets.architecture.network import Network
from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.errors import TrainingError
from mobilenets.model import reference
from mobilenets.model.model import Model
from mobilenets.training.batches import normalized
from mobilenets.training.network import NetworkModule, convolve, load_parameters, module_of, parameters_of

BIG = ("alexnet", "vgg16")
"""Their first linear layers alone hold hundreds of megabytes."""


def assert_agrees(model: Model, rng: np.random.Generator) -> None:
    """The module's outputs are those of the float64 reference, to 1e-4 of the largest of each."""
    pixels = random_pixels(rng, model.network)
    expected = reference.run_reference(model, pixels)
    with torch.inference_mode():
        if model.network.channels == 3:
            images = normalized(pixels, model.preprocessing, torch.device("cpu"))
        else:
            images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
        outputs = module_of(model).outputs(images)
    assert list(outputs) == list(expected)
    for name, values in expected.items():
        assert outputs[name].shape == values.shape
        scale = np.abs(values).max() or 1.0
        assert np.abs(outputs[name].numpy() - values).max() <= 1e-4 * scale


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 2**32 - 1))
def test_random_networks_agree_with_the_reference(seed: int) -> None:
    rng = np.random.default_rng(seed)
    assert_agrees(random_model(rng, random_network(rng)), rng)


@pytest.mark.parametrize("name", [name for name in CATALOG if name not in BIG])
def test_every_architecture_agrees_with_the_reference(name: str) -> None:
    rng = np.random.default_rng(1)
    resolution = 32 if name.startswith("mobilenet") else 96
    network = architecture(name)(width_multiplier=0.25, resolution=resolution, classes=5)
    assert_agrees(random_model(rng, network), rng)


@pytest.mark.parametrize("resolution", [33, 45, (47, 64)])
def test_odd_maps_agree_with_the_reference(resolution: int | tuple[int, int]) -> None:
    rng = np.random.default_rng(2)
    network = mobilenet_v1(width_multiplier=0.25, resolution=resolution, classes=3)
    assert_agrees(random_model(rng, network), rng)


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 2**32 - 1))
def test_parameters_come_out_as_they_went_in(seed: int) -> None:
    rng = np.random.default_rng(seed)
    model = random_model(rng, random_network(rng))
    parameters = parameters_of(module_of(model))
    assert list(parameters) == list(model.network.parameter_shapes())
    for name, values in parameters.items():
        np.testing.assert_array_equal(values, model.parameters[name])


def test_a_copy_of_the_parameters_does_not_change_with_the_module() -> None:
    module = NetworkModule(mobilenet_v1(width_multiplier=0.25, resolution=32, classes=2))
    before = parameters_of(module)
    with torch.no_grad():
        module.tensors()["classifier.bias"].add_(1)
    assert before["classifier.bias"].tolist() == [0, 0]


def test_gradients_reach_every_parameter() -> None:
    rng = np.random.default_rng(3)
    network = mobilenet_v1(width_multiplier=0.25, resolution=33, classes=3)
    module = module_of(random_model(rng, network)).train()
    images = torch.from_numpy(rng.normal(size=(4, 3, 33, 33)).astype(np.float32))
    module(images).logsumexp(1).sum().backward()
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name


def test_an_int8_model_is_refused() -> None:
    rng = np.random.default_rng(4)
    network = random_network(rng, batch_norm=False)
    with pytest.raises(TrainingError, match="int8"):
        module_of(random_int8_model(rng, network))


def test_parameters_that_do_not_fit_are_refused_by_name() -> None:
    network: Network = mobilenet_v1(width_multiplier=0.25, resolution=32, classes=2)
    module = NetworkModule(network)
    parameters = parameters_of(module)
    stem = parameters.pop("stem.weight")
    with pytest.raises(TrainingError, match=r"stem\.weight is missing"):
        load_parameters(module, parameters)
    with pytest.raises(TrainingError, match=r"stem\.weight has shape \(1, 3, 3, 3\); the network needs \(8, 3, 3, 3\)"):
        load_parameters(module, parameters | {"stem.weight": stem[:1]})


@pytest.mark.parametrize(
    ("layer", "rows", "columns"),
    [
        (DepthwiseConvolution("depthwise", (INPUT,), kernel=3, stride=stride, padding=Padding(*padding)), rows, columns)
        for stride in (1, 2)
        for padding in ((1, 1, 1, 1), (0, 1, 0, 1))
        for rows, columns in ((1, 1), (2, 2), (2, 5))
        if min(rows, columns) + padding[0] + padding[1] >= 3
    ]
    + [(PointwiseConvolution("pointwise", (INPUT,), out_channels=8), *size) for size in ((1, 1), (2, 5), (7, 7))],
)
def test_quick_ways_for_little_maps_give_the_same_values_and_gradients(layer: Layer, rows: int, columns: int) -> None:
    generator = torch.Generator().manual_seed(0)
    pointwise = isinstance(layer, PointwiseConvolution)
    values = torch.randn((4, 6, rows, columns), generator=generator).to(memory_format=torch.channels_last)
    weight = torch.randn((8, 6, 1, 1) if pointwise else (6, 1, 3, 3), generator=generator)
    bias = torch.randn(len(weight), generator=generator)
    top, bottom, left, right = getattr(layer, "padding", (0, 0, 0, 0))
    results = []
    for quick in (True, False):
        inputs = [tensor.clone().requires_grad_(True) for tensor in (values, weight, bias)]
        if quick:
            result = convolve(layer, *inputs)
        else:
            padded = functional.pad(inputs[0], (left, right, top, bottom))
            stride, groups = getattr(layer, "stride", 1), 1 if pointwise else 6
            result = functional.conv2d(padded, inputs[1], inputs[2], stride, 0, 1, groups)
        (result**2).sum().backward()  # type: ignore[no-untyped-call]
        results.append([result, *(tensor.grad for tensor in inputs)])
    for ours, plain in zip(*results, strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-4, atol=1e-4)
