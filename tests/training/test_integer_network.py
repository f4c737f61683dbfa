"""What quantisation-aware training computes is what will run."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.support.random_models import is_alive, random_model, random_network, random_pixels

from mobilenets.architecture.layers import (
    INPUT,
    Activation,
    BatchNorm,
    Convolution,
    DepthwiseConvolution,
    GlobalAveragePool,
    Linear,
    PointwiseConvolution,
)
from mobilenets.architecture.network import Network
from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.compression.quantize import Options, prepare, walk
from mobilenets.compression.unfold import unfold
from mobilenets.model import reference
from mobilenets.model.model import Model
from mobilenets.training.integer_network import IntegerNetwork

NETWORK = mobilenet_v1(width_multiplier=0.25, resolution=32, classes=6, activation=Activation.RELU6)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def planes(pixels: npt.NDArray[np.uint8]) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))).float()


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**32 - 1), bits=st.sampled_from([8, 4]), training=st.booleans())
def test_the_forward_pass_is_the_reference_bit_for_bit(seed: int, bits: int, training: bool) -> None:
    """Every layer, in training's float32 and in evaluation's float64, at the start and after weights have moved."""
    rng = np.random.default_rng(seed)
    network = random_network(rng, newer=False)
    model, pixels = random_model(rng, network), random_pixels(rng, network, 4)
    assume(is_alive(model, pixels))
    options = Options(weight_bits=bits)
    ground = prepare(model, pixels, options)
    held = walk(model, ground, pixels, options).model
    student = IntegerNetwork(unfold(held, ground.unfolded), held).train(training)
    if seed % 2:
        with torch.no_grad():
            generator = torch.Generator().manual_seed(seed)
            for parameter in student.parameters():
                parameter.add_(0.02 * parameter.abs().mean() * torch.randn(parameter.shape, generator=generator))
            for parameter in student.range_parameters:
                parameter.add_(0.05)
    with torch.no_grad():
        values = student.activations(planes(pixels))
    expected = reference.activations(student.to_model(model), pixels)
    for name, value in expected.items():
        np.testing.assert_array_equal(values[name].numpy(), value.astype(np.float32), err_msg=name)


@pytest.mark.parametrize(("bits", "room"), [(8, 0.0), (8, 0.45), (4, 0.45)])
def test_training_starts_from_the_post_training_model(bits: int, room: float) -> None:
    rng = np.random.default_rng(0)
    model, pixels = random_model(rng, NETWORK), random_pixels(rng, NETWORK, 8)
    options = Options(weight_bits=bits)
    ground = prepare(model, pixels, options)
    held = walk(model, ground, pixels, options).model
    start = IntegerNetwork(unfold(held, ground.unfolded, room), held).to_model(model)
    for name, tensor in held.parameters.items():
        if name.endswith(".weight"):
            np.testing.assert_array_equal(start.parameters[name], tensor)
    assert start.quantization == held.quantization


def test_weights_begin_as_near_to_the_real_ones_as_their_whole_numbers_allow() -> None:
    rng = np.random.default_rng(0)
    model, pixels = random_model(rng, NETWORK), random_pixels(rng, NETWORK, 8)
    options = Options(weight_bits=4, equalize=False, absorb=False)
    ground = prepare(model, pixels, options)
    held = walk(model, ground, pixels, options).model
    real, whole = ground.unfolded.parameters, unfold(held, ground.unfolded).parameters
    for name, weight in unfold(held, ground.unfolded, 0.3).parameters.items():
        if name.endswith("pointwise.weight"):
            step = np.abs(whole[name]).max(axis=(1, 2, 3), keepdims=True) / np.abs(held.parameters[name]).max(
                axis=(1, 2, 3), keepdims=True
            )
            away = (weight - whole[name]) / step
            wanted = (real[name] - whole[name]) / step
            np.testing.assert_allclose(away, wanted.clip(-0.3, 0.3), atol=1e-4)
            assert (np.abs(wanted) < 0.3).any()
            assert (np.abs(wanted) > 0.3).any()


def separating_model(rng: np.random.Generator) -> Model:
    """A small Model whose answers differ from image to image."""
    norm = BatchNorm()
    layers = (
        Convolution("stem", (INPUT,), stride=2, out_channels=16, activation=Activation.RELU6, batch_norm=norm),
        DepthwiseConvolution("depthwise", ("stem",), activation=Activation.RELU6, batch_norm=norm),
        PointwiseConvolution("pointwise", ("depthwise",), out_channels=24, activation=Activation.RELU, batch_norm=norm),
        GlobalAveragePool("pool", ("pointwise",)),
        Linear("classifier", ("pool",), out_features=6),
    )
    model = random_model(rng, Network("small", 16, 16, layers, ("classifier",)))
    return model.with_parameters({**model.parameters, "classifier.weight": 15 * model.parameters["classifier.weight"]})


def test_running_statistics_follow_the_images_when_asked() -> None:
    rng = np.random.default_rng(0)
    model, pixels = separating_model(rng), random_pixels(rng, NETWORK, 32)[:, :16, :16]
    ground = prepare(model, pixels, Options())
    held = walk(model, ground, pixels, Options()).model
    student = IntegerNetwork(unfold(held, ground.unfolded), held).train()
    stem = student.layer("stem")
    before = stem.running_mean.clone()
    with torch.no_grad():
        student(planes(pixels))
        assert torch.equal(stem.running_mean, before)
        student.follows = True
        for _ in range(400):
            student(planes(pixels))
    real = (pixels - np.float32(ground.held["input"].zero_point)) * np.float32(ground.held["input"].scale)
    sums = torch.nn.functional.conv2d(torch.from_numpy(real.transpose(0, 3, 1, 2).copy()), stem.weight, stride=2)
    np.testing.assert_allclose(stem.running_mean.numpy(), sums.detach().mean(dim=(0, 2, 3)).numpy(), atol=0.01)
