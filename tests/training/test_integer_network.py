"""What quantization-aware training computes is what will run."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.support.integer_training import NETWORK, planes, separating_model
from tests.support.random_models import is_alive, random_int8_model, random_model, random_network, random_pixels
from torch.nn import functional

from mobilenets.architecture.layers import INPUT, Activation, GlobalAveragePool, PointwiseConvolution
from mobilenets.architecture.network import Network
from mobilenets.compression.config import QuantizationConfig
from mobilenets.compression.quantize import calibrate_ranges, quantize_layers
from mobilenets.model import reference
from mobilenets.model.model import Model
from mobilenets.model.quantization import Quantization, TensorQuantization
from mobilenets.training.integer_network import IntegerNetwork, unfold


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**32 - 1), bits=st.sampled_from([8, 4]), training=st.booleans())
def test_the_forward_pass_is_the_reference_bit_for_bit(seed: int, bits: int, training: bool) -> None:
    """Every layer, in training's float32 and in evaluation's float64, at the start and after weights have moved."""
    rng = np.random.default_rng(seed)
    network = random_network(rng)
    model, pixels = random_model(rng, network), random_pixels(rng, network, 4)
    assume(is_alive(model, pixels))
    config = QuantizationConfig(weight_bits=bits)
    calibrated = calibrate_ranges(model, pixels, config)
    held = quantize_layers(model, calibrated, pixels, config).model
    student = IntegerNetwork(unfold(held, calibrated.unfolded), held).train(training)
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


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**32 - 1), training=st.booleans())
def test_products_and_tables_are_the_references_bit_for_bit(seed: int, training: bool) -> None:
    rng = np.random.default_rng(seed)
    network = random_network(rng, batch_norm=False)
    int8, model = random_int8_model(rng, network), random_model(rng, network)
    pixels = random_pixels(rng, network, 4)
    student = IntegerNetwork(unfold(int8, model), int8).train(training)
    with torch.no_grad():
        for parameter in student.range_parameters:
            parameter.add_(rng.uniform(-0.1, 0.1))
        values = student.activations(planes(pixels))
    made = student.to_model(model)
    assert made.quantization is not None
    assert int8.quantization is not None
    assert set(made.quantization.pre_activations) == set(int8.quantization.pre_activations)
    for name, value in reference.activations(made, pixels).items():
        np.testing.assert_array_equal(values[name].numpy(), value.astype(np.float32), err_msg=name)


@pytest.mark.parametrize("activation", [Activation.HARD_SIGMOID, Activation.HARD_SWISH])
def test_a_table_has_the_gradient_of_its_function(activation: Activation) -> None:
    """A pointwise convolution of one weight, 1, and its activation, from every byte."""
    layers = (
        PointwiseConvolution("before", (INPUT,), activation=Activation.NONE, bias=True),
        PointwiseConvolution("table", ("before",), activation=activation, bias=True),
        GlobalAveragePool("after", ("table",)),
    )
    network = Network("table", 16, 16, layers, ("after",), channels=1)
    rng = np.random.default_rng(0)
    model = random_model(rng, network)
    ones = {name: np.ones_like(value) * name.endswith("weight") for name, value in model.parameters.items()}
    scale = {name: np.full(1, 1 / 64, np.float32) for name in ("before.weight_scale", "table.weight_scale")}
    whole = {name: (64 * value).astype(np.int8) for name, value in ones.items() if name.endswith("weight")}
    biases = {name: np.zeros(1, np.int32) for name in ones if name.endswith("bias")}
    numbers = TensorQuantization(0.041, 128)
    quantization = Quantization(
        {INPUT: numbers, "before": numbers, "table": TensorQuantization(0.03, 10)}, pre_activations={"table": numbers}
    )
    int8 = Model(
        network,
        {**whole, **biases, **scale},
        model.task,
        quantization=quantization,
    )
    student = IntegerNetwork(unfold(int8, model.with_parameters(ones)), int8).eval()
    pixels = torch.arange(256.0).reshape(1, 1, 16, 16).requires_grad_()
    made = student.activations(pixels)["table"]
    (gradient,) = torch.autograd.grad(made.sum(), [pixels])
    real = (0.041 * (pixels.detach() - 128)).double().requires_grad_()
    function = {Activation.HARD_SIGMOID: functional.hardsigmoid, Activation.HARD_SWISH: functional.hardswish}
    expected = function[activation](real)
    (slope,) = torch.autograd.grad(expected.sum(), [real])
    unclamped = (made.detach() > 0) & (made.detach() < 255)
    torch.testing.assert_close(gradient[unclamped], (slope * 0.041 / 0.03).float()[unclamped], rtol=1e-4, atol=1e-5)
    assert 0.3 < unclamped.float().mean() <= 1
    torch.testing.assert_close(made, (expected / 0.03 + 10).round().clamp(0, 255).float(), atol=1, rtol=0)


@pytest.mark.parametrize(("bits", "room"), [(8, 0.0), (8, 0.45), (4, 0.45)])
def test_training_starts_from_the_post_training_model(bits: int, room: float) -> None:
    rng = np.random.default_rng(0)
    model, pixels = random_model(rng, NETWORK), random_pixels(rng, NETWORK, 8)
    config = QuantizationConfig(weight_bits=bits)
    calibrated = calibrate_ranges(model, pixels, config)
    held = quantize_layers(model, calibrated, pixels, config).model
    start = IntegerNetwork(unfold(held, calibrated.unfolded, room), held).to_model(model)
    for name, tensor in held.parameters.items():
        if name.endswith(".weight"):
            np.testing.assert_array_equal(start.parameters[name], tensor)
    assert held.quantization is not None
    # The range of the outputs is measured when training has ended.
    assert start.quantization == replace(held.quantization, outputs={})


def test_weights_begin_as_near_to_the_real_ones_as_their_whole_numbers_allow() -> None:
    rng = np.random.default_rng(0)
    model, pixels = random_model(rng, NETWORK), random_pixels(rng, NETWORK, 8)
    config = QuantizationConfig(weight_bits=4, equalize=False, absorb=False)
    calibrated = calibrate_ranges(model, pixels, config)
    held = quantize_layers(model, calibrated, pixels, config).model
    real, whole = calibrated.unfolded.parameters, unfold(held, calibrated.unfolded).parameters
    for name, weight in unfold(held, calibrated.unfolded, 0.3).parameters.items():
        if name.endswith("pointwise.weight"):
            step = np.abs(whole[name]).max(axis=(1, 2, 3), keepdims=True) / np.abs(held.parameters[name]).max(
                axis=(1, 2, 3), keepdims=True
            )
            away = (weight - whole[name]) / step
            wanted = (real[name] - whole[name]) / step
            np.testing.assert_allclose(away, wanted.clip(-0.3, 0.3), atol=1e-4)
            assert (np.abs(wanted) < 0.3).any()
            assert (np.abs(wanted) > 0.3).any()


def test_running_statistics_follow_the_images_when_asked() -> None:
    rng = np.random.default_rng(0)
    model, pixels = separating_model(rng), random_pixels(rng, NETWORK, 32)[:, :16, :16]
    calibrated = calibrate_ranges(model, pixels, QuantizationConfig())
    held = quantize_layers(model, calibrated, pixels, QuantizationConfig()).model
    student = IntegerNetwork(unfold(held, calibrated.unfolded), held).train()
    stem = student.layer_module("stem")
    before = stem.running_mean.clone()
    with torch.no_grad():
        student(planes(pixels))
        assert torch.equal(stem.running_mean, before)
        for _ in range(400):
            student(planes(pixels), follow=True)
    real = (pixels - np.float32(calibrated.quantization.activations["input"].zero_point)) * np.float32(
        calibrated.quantization.activations["input"].scale
    )
    sums = torch.nn.functional.conv2d(torch.from_numpy(real.transpose(0, 3, 1, 2).copy()), stem.weight, stride=2)
    np.testing.assert_allclose(stem.running_mean.numpy(), sums.detach().mean(dim=(0, 2, 3)).numpy(), atol=0.01)
