"""Post-training quantization: the contract's numbers, and what they keep of a real network's answers."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.conftest import shared
from tests.support.random_models import is_alive, random_int8_model, random_model, random_network, random_pixels

from mobilenets.architecture.layers import INPUT, Activation, GlobalAveragePool, Linear, PointwiseConvolution
from mobilenets.architecture.network import Network
from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.compression.config import QuantizationConfig
from mobilenets.compression.evaluation import EvaluationSet
from mobilenets.compression.filters import covariance
from mobilenets.compression.observation import observe
from mobilenets.compression.quantize import deviation_gain, mean_shift, quantize_with_images
from mobilenets.compression.ranges import RangeMethod, choose_ranges
from mobilenets.compression.rounding import WeightRounding
from mobilenets.compression.weights import bits_by_layer, integer_bias, settled_scales
from mobilenets.data.loading import prepare
from mobilenets.data.sources import images_of
from mobilenets.data.subset import Subset
from mobilenets.engine.session import Session
from mobilenets.errors import CompressionError, ModelError
from mobilenets.formats.keras.read import from_keras
from mobilenets.model import numpy_runtime, reference
from mobilenets.model.file import file_bytes, load, save
from mobilenets.model.folding import fold, fold_input
from mobilenets.model.model import Model, Tensor
from mobilenets.model.preprocessing import Pixels
from mobilenets.tasks.metrics import decibels

NETWORK = mobilenet_v1(width_multiplier=0.25, resolution=32, classes=6)
PLAIN = QuantizationConfig(
    ranges=RangeMethod.MIN_MAX,
    equalize=False,
    absorb=False,
    bias_correction=False,
    deviation_correction=False,
    rounding=WeightRounding.NEAREST,
)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**32 - 1), bits=st.sampled_from([8, 4]), careful=st.booleans(), newer=st.booleans())
def test_random_networks_become_whole_int8_models(seed: int, bits: int, careful: bool, newer: bool) -> None:
    """Folding is exact but at the border of the image, and products multiply what it loses there."""
    rng = np.random.default_rng(seed)
    network = random_network(rng, newer=newer)
    model = random_model(rng, network)
    pixels = random_pixels(rng, network, 4)
    config = replace(QuantizationConfig() if careful else PLAIN, weight_bits=bits)
    assume(is_alive(model, pixels))
    made = quantize_with_images(model, pixels, config)
    assert {layer.name for layer in made.layers} == {layer.name for layer in network.layers}
    assert made.model.quantization is not None
    for layer in network.layers:
        if layer.has_weight:
            top = 127 if made.model.quantization.bits(layer.name) == 8 else 7
            assert np.abs(made.model.parameters[f"{layer.name}.weight"]).max() <= top
    if bits == 8 and careful:
        after = reference.run_reference(made.model, pixels)
        for start, least in ((made.float_model, 18), *([] if newer else [(model, 12)])):
            for name, expected in reference.run_reference(start, pixels).items():
                signal, error_power = float(np.square(expected).sum()), float(np.square(after[name] - expected).sum())
                assert decibels(signal, error_power) > least, name


def test_of_4_bit_weights_the_smallest_layers_keep_8() -> None:
    bits = bits_by_layer(NETWORK, 4)
    sizes = {name.removesuffix(".weight"): math.prod(shape) for name, shape in NETWORK.parameter_shapes().items()}
    eight = {name for name, of_layer in bits.items() if of_layer == 8}
    assert {"stem", *(f"block{number}.depthwise" for number in range(1, 7))} <= eight
    assert sum(sizes[name] for name in eight) <= 0.02 * sum(sizes[name] for name in bits if name != "classifier")
    many = mobilenet_v1(width_multiplier=0.25, resolution=32, classes=1000)
    assert {name for name, of_layer in bits_by_layer(many, 4).items() if of_layer == 8} == eight
    assert max(sizes[name] for name in eight) <= min(sizes[name] for name in bits.keys() - eight)
    assert set(bits_by_layer(NETWORK, 8).values()) == {8}
    made = quantize_with_images(
        random_model(np.random.default_rng(0), NETWORK),
        random_pixels(np.random.default_rng(0), NETWORK, 4),
        QuantizationConfig(weight_bits=4),
    ).model
    assert made.quantization is not None
    assert {name: made.quantization.bits(name) for name in bits} == bits
    assert np.abs(made.parameters["stem.weight"]).max() > 7


def test_two_runs_give_the_same_bits() -> None:
    rng = np.random.default_rng(0)
    model, pixels = random_model(rng, NETWORK), random_pixels(rng, NETWORK, 5)
    first, second = (quantize_with_images(model, pixels).model for _ in range(2))
    for name, tensor in first.parameters.items():
        np.testing.assert_array_equal(tensor, second.parameters[name])
    assert first.quantization == second.quantization


def test_techniques_raise_the_sqnr_of_a_network_with_uneven_channels() -> None:
    rng = np.random.default_rng(0)
    model = random_model(rng, NETWORK)
    uneven = dict(model.parameters)
    for name in model.parameters:
        if name.endswith(("batch_norm.weight", "batch_norm.bias")):
            factor = np.exp(np.random.default_rng(7).normal(0, 1.5, uneven[name].shape))
            factor /= np.sqrt(np.square(factor).mean())
            uneven[name] = (uneven[name] * factor).astype(np.float32)
    model = model.with_parameters(uneven)
    pixels = random_pixels(rng, NETWORK, 16)
    sqnr = {
        config: quantize_with_images(model, pixels, config).layers[-1].sqnr_db
        for config in (PLAIN, QuantizationConfig())
    }
    assert sqnr[QuantizationConfig()] > sqnr[PLAIN] + 2
    assert quantize_with_images(model, pixels, replace(PLAIN, equalize=True)).layers[-1].sqnr_db > sqnr[PLAIN] + 1


def test_a_dead_channel_keeps_its_bias() -> None:
    """A channel of zero weights is a constant: its scale is chosen for its bias."""
    rng = np.random.default_rng(0)
    model = fold(random_model(rng, NETWORK))
    weight, bias = (model.parameters[f"block2.pointwise.{kind}"].copy() for kind in ("weight", "bias"))
    weight[5], bias[5] = 0, 0.7321
    model = model.with_parameters(
        {**model.parameters, "block2.pointwise.weight": weight, "block2.pointwise.bias": bias}
    )
    made = quantize_with_images(model, random_pixels(rng, NETWORK, 4), replace(PLAIN, rounding=WeightRounding.NEAREST))
    sqnr = {layer.name: layer for layer in made.layers}
    assert sqnr["block2.pointwise"].dead_channels == 1
    assert made.model.quantization is not None
    unit = made.model.quantization.activations["block2.depthwise"].scale
    unit *= float(made.model.parameters["block2.pointwise.weight_scale"][5])
    assert made.model.parameters["block2.pointwise.bias"][5] * unit == pytest.approx(0.7321, rel=1 / 30_000)


def test_biases_are_held_in_int32() -> None:
    huge = integer_bias(np.array([1e30, -1e30, 0.4]), 1e-3, np.array([1e-3, 1e-3, 1.0]))
    assert huge.tolist() == [2**31 - 1, -(2**31), 400]


@pytest.mark.parametrize("bits", [8, 4])
def test_from_its_file_the_engine_and_numpy_give_the_references_bits(bits: int, tmp_path: Any) -> None:
    rng = np.random.default_rng(0)
    pixels = random_pixels(rng, NETWORK, 4)
    made = quantize_with_images(random_model(rng, NETWORK), pixels, QuantizationConfig(weight_bits=bits)).model
    save(made, tmp_path / "held.safetensors")
    quantized = load(tmp_path / "held.safetensors")
    expected = reference.run_reference(made, pixels)["classifier"]
    np.testing.assert_array_equal(reference.run_reference(quantized, pixels)["classifier"], expected)
    np.testing.assert_array_equal(numpy_runtime.run_numpy(quantized, pixels)["classifier"], expected)
    for threads in (1, 2):
        np.testing.assert_array_equal(Session(quantized, threads).run(pixels), expected)


def test_a_rare_long_bias_gives_up_a_bit_of_its_channel_and_a_common_one_none() -> None:
    weight, scales = np.ones((200, 9)), np.full(200, 2.0**-7)
    for channels, factor, short in ((2, 1.5, True), (3, 1.5, False), (1, 2.5, False)):
        bias = np.zeros(200)
        bias[:channels] = 30_000 * 2.0**-7 * factor  # at an input scale of 1
        settled = settled_scales(scales, weight, bias, 1.0, 8)
        assert bool((np.abs(bias / settled) < 2**15).all()) is short
        np.testing.assert_array_equal(settled[channels:], scales[channels:])


def test_what_quantize_makes_is_held_in_half_the_bytes_of_scales_and_4_bit_biases() -> None:
    """Every scale is a bfloat16, and every bias of a 4-bit layer fits 16 bits: what the file's size rests on."""
    rng = np.random.default_rng(0)
    model, pixels = random_model(rng, NETWORK), random_pixels(rng, NETWORK, 4)
    for bits in (8, 4):
        made = quantize_with_images(model, pixels, QuantizationConfig(weight_bits=bits)).model
        assert made.quantization is not None
        for name, tensor in made.parameters.items():
            if name.endswith(".weight_scale"):
                assert not (tensor.view(np.uint32) & 0xFFFF).any(), name
            if name.endswith(".bias") and made.quantization.bits(name.removesuffix(".bias")) == 4:
                assert np.abs(tensor).max() < 2**15, name


def test_bad_input_is_refused() -> None:
    rng = np.random.default_rng(0)
    model, pixels = random_model(rng, NETWORK), random_pixels(rng, NETWORK, 4)
    with pytest.raises(CompressionError, match="int8 already"):
        quantize_with_images(random_int8_model(rng, NETWORK), pixels)
    with pytest.raises(CompressionError, match="there are none"):
        quantize_with_images(model, pixels[:0])
    with pytest.raises(CompressionError, match="of a single colour"):
        quantize_with_images(model, np.full_like(pixels, 3))
    with pytest.raises(ModelError, match=r"needs uint8 \(N, 32, 32, 3\)"):
        quantize_with_images(model, pixels[:, :16])
    with pytest.raises(CompressionError, match="8 or 4 bits, not 2"):
        QuantizationConfig(weight_bits=2)


# Corrections of means and standard deviations -------------------------------------------------------------------------


def seen(rng: np.random.Generator, groups: int, size: int) -> npt.NDArray[np.float32]:
    """Inputs that vary together, float32 (groups, samples, in)."""
    mixed = rng.normal(size=(groups, 4000, size)) @ rng.normal(size=(groups, size, size))
    return (mixed + rng.normal(size=(groups, 1, size))).astype(np.float32)


def test_the_gain_gives_the_deviation_back_and_the_shift_the_mean() -> None:
    """Each input loses something of its own, so that channels lose different shares."""
    rng = np.random.default_rng(0)
    real, rows = seen(rng, 3, 6), rng.normal(size=(3, 5, 6))
    quantized = (real * rng.uniform(0.85, 1.0, (3, 1, 6)) + 0.3).astype(np.float32)
    gain = deviation_gain(rows, covariance(real), covariance(quantized))
    corrected = rows * gain[:, :, None]
    shift = mean_shift(rows, corrected, real, quantized).reshape(3, 5, 1)
    before = rows @ real.transpose(0, 2, 1)
    after = corrected @ quantized.transpose(0, 2, 1) + shift
    lost = 1 - (rows @ quantized.transpose(0, 2, 1)).std(axis=2) / before.std(axis=2)
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


@pytest.mark.parametrize("rounding", list(WeightRounding))
def test_logits_keep_more_of_their_spread_over_several_coarse_layers(rounding: WeightRounding) -> None:
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
        expected = numpy_runtime.run_numpy(model, pixels)["out"].std(axis=0)
        for corrects in lost:
            config = QuantizationConfig(weight_bits=4, rounding=rounding, deviation_correction=corrects)
            found = numpy_runtime.run_numpy(quantize_with_images(model, pixels, config).model, pixels)["out"].std(
                axis=0
            )
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
    plain = QuantizationConfig(
        bias_correction=False, deviation_correction=False, rounding=WeightRounding.NEAREST, equalize=False
    )
    for config in (plain, replace(plain, rounding=WeightRounding.RECONSTRUCT)):
        made = quantize_with_images(model, pixels, config)
        real, quantized = made.float_model.parameters, made.model.parameters
        assert made.model.quantization is not None
        unit = made.model.quantization.activations[INPUT].scale * quantized["one.weight_scale"]
        np.testing.assert_allclose(quantized["one.bias"] * unit, real["one.bias"], atol=unit.max())


# The real pretrained 0.25-224 -----------------------------------------------------------------------------------------


class Real(NamedTuple):
    model: Model
    calibration: Pixels
    evaluation: EvaluationSet


@pytest.fixture(scope="module")
def real() -> Real:
    """The published network, 64 images to calibrate and the 36 between them to evaluate on."""
    model = from_keras(shared("weights/mobilenet_v1_0.25_224.h5"))
    found = images_of([shared("imagenet-sample")])
    pixels = prepare(Subset(tuple(found), np.zeros(len(found), np.int64)), model.preprocessing, 224, 224).pixels
    chosen = np.unique(np.linspace(0, len(pixels) - 1, 64).round().astype(int))
    return Real(model, pixels[chosen], EvaluationSet.of(model, np.delete(pixels, chosen, axis=0)))


def test_the_real_network_keeps_its_answers(real: Real) -> None:
    made = quantize_with_images(real.model, real.calibration)
    report = real.evaluation.report(made.model, made.layers)
    assert report.agreement.value >= 0.88
    assert report.sure_agreement.value >= 0.97
    assert file_bytes(made.model) / file_bytes(real.model) <= 0.27
    assert report.refusal() is None
    pixels = real.evaluation.pixels[:2]
    np.testing.assert_array_equal(
        reference.run_reference(made.model, pixels)["classifier"],
        numpy_runtime.run_numpy(made.model, pixels)["classifier"],
    )


def test_a_naive_per_tensor_scheme_fails_where_ours_holds(real: Real) -> None:
    """One scale for all channels of a layer, min-max ranges, nearest rounding: what people report as collapsed."""
    report = real.evaluation.report(naive(real.model, real.calibration))
    assert report.agreement.value < 0.3
    assert report.refusal() is not None


def naive(model: Model, calibration: Pixels) -> Model:
    """Per-tensor weights in the same contract: every channel has its layer's one scale."""
    folded, input_quantization = fold_input(fold(model))
    quantized = choose_ranges(
        folded.network, observe(folded, [calibration[:32]]), input_quantization, method=RangeMethod.MIN_MAX
    )
    parameters: dict[str, Tensor] = {}
    for layer in folded.network.layers:
        if not layer.has_weight:
            continue
        weight, bias = (folded.parameters[f"{layer.name}.{kind}"].astype(np.float64) for kind in ("weight", "bias"))
        scales: npt.NDArray[np.float64] = np.full(len(weight), np.float32(np.abs(weight).max() / 127), np.float64)
        parameters[f"{layer.name}.weight"] = np.rint(weight / scales[0]).clip(-127, 127).astype(np.int8)
        parameters[f"{layer.name}.weight_scale"] = scales.astype(np.float32)
        parameters[f"{layer.name}.bias"] = integer_bias(bias, quantized.activations[layer.inputs[0]].scale, scales)
    return replace(model, network=folded.network, parameters=parameters, quantization=quantized)
