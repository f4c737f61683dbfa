"""Each channel keeps the mean and the deviation that it has in float."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
from tests.support.random_models import random_model, random_pixels

from mobilenets.architecture.layers import INPUT, Activation, GlobalAveragePool, Linear, PointwiseConvolution
from mobilenets.architecture.network import Network
from mobilenets.compression.correction import deviation_gain, mean_shift
from mobilenets.compression.filters import covariance
from mobilenets.compression.quantize import Options, Rounding, quantize
from mobilenets.model.numpy_runtime import run


def seen(rng: np.random.Generator, groups: int, size: int) -> npt.NDArray[np.float32]:
    """Inputs that vary together, float32 (groups, samples, in)."""
    mixed = rng.normal(size=(groups, 4000, size)) @ rng.normal(size=(groups, size, size))
    return (mixed + rng.normal(size=(groups, 1, size))).astype(np.float32)


def test_the_gain_gives_the_deviation_back_and_the_shift_the_mean() -> None:
    """Each input loses something of its own, so that channels lose different shares."""
    rng = np.random.default_rng(0)
    real, rows = seen(rng, 3, 6), rng.normal(size=(3, 5, 6))
    held = (real * rng.uniform(0.85, 1.0, (3, 1, 6)) + 0.3).astype(np.float32)
    gain = deviation_gain(rows, covariance(real), covariance(held))
    corrected = rows * gain[:, :, None]
    shift = mean_shift(rows, corrected, real, held).reshape(3, 5, 1)
    before = rows @ real.transpose(0, 2, 1)
    after = corrected @ held.transpose(0, 2, 1) + shift
    lost = 1 - (rows @ held.transpose(0, 2, 1)).std(axis=2) / before.std(axis=2)
    assert lost.min() > 0.02
    np.testing.assert_allclose(after.std(axis=2), before.std(axis=2), rtol=1e-4)
    np.testing.assert_allclose(after.mean(axis=2), before.mean(axis=2), atol=1e-4)


def test_a_channel_that_hardly_varies_has_no_deviation_to_keep_and_chance_is_bounded() -> None:
    rng = np.random.default_rng(0)
    real = seen(rng, 1, 2)
    real[:, :, 1] = 0.5  # read by the second channel alone
    rows = np.eye(2)[None]
    assert deviation_gain(rows, covariance(real), covariance(real)).tolist() == [[1.0, 1.0]]
    silent = np.zeros_like(real)
    assert deviation_gain(rows, covariance(real), covariance(silent)).tolist() == [[1.0, 1.0]]
    assert deviation_gain(rows, covariance(10 * real), covariance(real)).tolist() == [[1.25, 1.0]]
    assert deviation_gain(rows, covariance(real), covariance(10 * real)).tolist() == [[1 / 1.25, 1.0]]


@pytest.mark.parametrize("rounding", list(Rounding))
def test_logits_keep_more_of_their_spread_over_several_coarse_layers(rounding: Rounding) -> None:
    """4-bit weights in five layers: what each loses adds up unless it is made up for."""
    names = [INPUT, *(f"layer{number}" for number in range(5))]
    inner = [PointwiseConvolution(name, (source,), 24, Activation.RELU6) for source, name in pairwise(names)]
    ends = (GlobalAveragePool("pool", (names[-1],)), Linear("out", ("pool",), 6))
    network = Network("deep", 8, 8, (*inner, *ends), ("out",))
    lost = dict.fromkeys((True, False), 0.0)
    for seed in range(4):
        rng = np.random.default_rng(seed)
        model = random_model(rng, network)
        pixels = (random_pixels(rng, network, 64) * rng.uniform(0, 1, (64, 1, 1, 3))).astype(np.uint8)
        expected = run(model, pixels)["out"].std(axis=0)
        for corrects in lost:
            options = Options(weight_bits=4, rounding=rounding, deviation_correction=corrects)
            found = run(quantize(model, pixels, options).model, pixels)["out"].std(axis=0)
            lost[corrects] += float(np.abs(np.log(found / expected)).mean())
    assert lost[True] < 0.75 * lost[False]


def test_without_corrections_weights_are_not_scaled_and_biases_not_moved() -> None:
    rng = np.random.default_rng(0)
    network = Network(
        "small",
        8,
        8,
        (PointwiseConvolution("one", (INPUT,), 8, Activation.RELU), GlobalAveragePool("pool", ("one",))),
        ("pool",),
    )
    model, pixels = random_model(rng, network), random_pixels(rng, network, 8)
    plain = Options(bias_correction=False, deviation_correction=False, rounding=Rounding.NEAREST, equalize=False)
    for options in (plain, replace(plain, rounding=Rounding.RECONSTRUCT)):
        made = quantize(model, pixels, options)
        real, held = made.real.parameters, made.model.parameters
        assert made.model.quantization is not None
        unit = made.model.quantization.activations[INPUT].scale * held["one.weight_scale"]
        np.testing.assert_allclose(held["one.bias"] * unit, real["one.bias"], atol=unit.max())
