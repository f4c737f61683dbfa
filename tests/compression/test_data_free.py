"""Quantization without images: what batch norms promise, and what that keeps of a real network's answers."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.conftest import shared
from tests.support.random_models import random_int8_model, random_model, random_pixels

from mobilenets.architecture.layers import (
    INPUT,
    Activation,
    Add,
    BatchNorm,
    Concatenate,
    Convolution,
    GlobalAveragePool,
    Linear,
    MaxPool,
)
from mobilenets.architecture.network import Network
from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.compression.config import QuantizationConfig
from mobilenets.compression.data_free import clipped_normal_mean, expectations, quantize_without_images
from mobilenets.compression.evaluation import EvaluationSet
from mobilenets.compression.quality import measure_sqnr
from mobilenets.data.loading import prepare
from mobilenets.data.sources import images_of
from mobilenets.data.subset import Subset
from mobilenets.errors import CompressionError
from mobilenets.formats.keras.read import from_keras
from mobilenets.model import reference
from mobilenets.model.folding import fold, fold_input

NETWORK = mobilenet_v1(width_multiplier=0.25, resolution=32, classes=5)


@settings(deadline=None, max_examples=20)
@given(
    mean=st.floats(-5, 5),
    deviation=st.floats(0.1, 3),
    ends=st.sampled_from([(-math.inf, math.inf), (0.0, math.inf), (0.0, 6.0), (-1.0, 0.5)]),
)
def test_the_mean_of_a_clipped_normal_is_that_of_many_samples(
    mean: float, deviation: float, ends: tuple[float, float]
) -> None:
    samples = np.random.default_rng(0).normal(mean, deviation, 200_000).clip(*ends)
    found = clipped_normal_mean(np.array([mean]), np.array([deviation]), *ends)
    np.testing.assert_allclose(found, samples.mean(), atol=0.02)


def test_ranges_reach_six_deviations_from_the_mean() -> None:
    model, input_quantization = fold_input(random_model(np.random.default_rng(0), NETWORK))
    beta, gamma = (model.parameters[f"stem.batch_norm.{kind}"] for kind in ("bias", "weight"))
    stem = expectations(model, input_quantization)["stem"]
    np.testing.assert_allclose(stem.high, np.maximum(beta + 6 * np.abs(gamma), 0), rtol=1e-6)
    assert (stem.low == 0).all()
    made = quantize_without_images(model, QuantizationConfig(equalize=False, absorb=False)).model
    assert made.quantization is not None
    assert 255 * made.quantization.activations["stem"].scale == pytest.approx(stem.high.max(), rel=1e-6)


def test_sums_pools_and_concatenations_expect_what_their_inputs_make_them_expect() -> None:
    norm = BatchNorm()
    layers = (
        Convolution("left", (INPUT,), out_channels=3, activation=Activation.RELU, batch_norm=norm),
        Convolution("right", (INPUT,), out_channels=3, activation=Activation.NONE, batch_norm=norm),
        Add("sum", ("left", "right"), activation=Activation.RELU6),
        Concatenate("both", ("sum", "right")),
        MaxPool("half", ("both",), kernel=2, stride=2),
        GlobalAveragePool("pool", ("half",)),
        Linear("classifier", ("pool",), out_features=2),
    )
    network = Network("branches", 8, 8, layers, ("classifier",))
    model, input_quantization = fold_input(random_model(np.random.default_rng(1), network))
    found = expectations(model, input_quantization)
    np.testing.assert_allclose(found["sum"].high, (found["left"].high + found["right"].high).clip(0, 6))
    np.testing.assert_allclose(found["both"].mean, np.append(found["sum"].mean, found["right"].mean))
    assert found["pool"] is found["half"] is found["both"]
    made = quantize_without_images(model)
    assert made.model.precision == "int8"


def test_the_correction_makes_up_for_the_mean_that_rounding_shifts() -> None:
    """A layer that is read by a constant-mean input: one channel, one weight, worked by hand."""
    norm = BatchNorm(epsilon=1e-3)
    layers = (
        Convolution("stem", (INPUT,), kernel=1, out_channels=1, activation=Activation.RELU, batch_norm=norm),
        Convolution("next", ("stem",), kernel=1, out_channels=2, activation=Activation.NONE, batch_norm=norm),
        GlobalAveragePool("pool", ("next",)),
        Linear("classifier", ("pool",), out_features=2),
    )
    network = Network("chain", 4, 4, layers, ("classifier",))
    model = random_model(np.random.default_rng(2), network)
    parameters = {
        **model.parameters,
        "stem.batch_norm.bias": np.array([5.0], np.float32),  # far from the clip: the mean stays 5
        "stem.batch_norm.weight": np.array([0.01], np.float32),
    }
    model = model.with_parameters(parameters)
    config = QuantizationConfig(equalize=False, absorb=False, weight_bits=4)
    with_it, without = (
        quantize_without_images(model, replace(config, bias_correction=corrects)).model for corrects in (True, False)
    )
    assert with_it.quantization is not None
    folded = fold(fold_input(model)[0]).parameters["next.weight"].reshape(2)
    scale = with_it.parameters["next.weight_scale"].astype(np.float64)
    shift = (folded - with_it.parameters["next.weight"].reshape(2) * scale) * 5.0
    units = with_it.quantization.activations["stem"].scale * scale
    gained = (with_it.parameters["next.bias"] - without.parameters["next.bias"]) * units
    np.testing.assert_allclose(gained, shift, atol=units.max(), rtol=1e-3)


def test_bad_input_is_refused() -> None:
    rng = np.random.default_rng(0)
    model = random_model(rng, NETWORK)
    with pytest.raises(CompressionError, match="stem has no batch norm to tell its range from"):
        quantize_without_images(fold(model))
    with pytest.raises(CompressionError, match="int8 already"):
        quantize_without_images(random_int8_model(rng, NETWORK))
    dead = {
        **model.parameters,
        "block3.depthwise.batch_norm.weight": np.zeros(32, np.float32),
        "block3.depthwise.batch_norm.bias": np.full(32, -1, np.float32),
    }
    with pytest.raises(CompressionError, match=r"block3.depthwise gives nothing but zero .* \(all channels are dead\)"):
        quantize_without_images(model.with_parameters(dead))


def test_sqnr_is_the_power_of_float_results_over_that_of_their_error() -> None:
    rng = np.random.default_rng(0)
    model, pixels = random_model(rng, NETWORK), random_pixels(rng, NETWORK, 3)
    made = quantize_without_images(model)
    found = measure_sqnr(made.float_model, made.model, pixels)
    assert [layer.name for layer in found] == [layer.name for layer in NETWORK.layers]
    real, quantized = (reference.activations(each, pixels)["stem"] for each in (made.float_model, made.model))
    assert made.model.quantization is not None
    error = quantized * made.model.quantization.activations["stem"].scale - real
    expected = 10 * np.log10(np.square(real).sum() / np.square(error).sum())
    assert found[0].sqnr_db == pytest.approx(expected, abs=0.02)


def test_the_real_network_keeps_its_answers_without_an_image() -> None:
    """On all 100 images of the sample, for none of them was used."""
    model = from_keras(shared("weights/mobilenet_v1_0.25_224.h5"))
    found = images_of([shared("imagenet-sample")])
    pixels = prepare(Subset(tuple(found), np.zeros(len(found), np.int64)), model.preprocessing, 224, 224).pixels
    evaluation = EvaluationSet.of(model, pixels)
    report = evaluation.report(quantize_without_images(model).model)
    plain = evaluation.report(quantize_without_images(model, QuantizationConfig(bias_correction=False)).model)
    assert report.agreement.value >= 0.85
    assert report.refusal() is None
    assert report.logits_sqnr_db > plain.logits_sqnr_db + 5
