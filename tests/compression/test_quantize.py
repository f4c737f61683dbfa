"""Post-training quantisation: the contract's numbers, and what they keep of a real network's answers."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.conftest import shared
from tests.support.random_models import is_alive, random_int8_model, random_model, random_network, random_pixels

from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.compression.quality import Jury, answers
from mobilenets.compression.quantize import Options, Rounding, bits_by_layer, integer_bias, quantize, settled_scales
from mobilenets.compression.ranges import RangeMethod, choose_ranges, observe
from mobilenets.compression.sqnr import decibels
from mobilenets.data.loading import prepare
from mobilenets.data.sources import images_of
from mobilenets.data.subset import Subset
from mobilenets.engine.session import Session
from mobilenets.errors import CompressionError, ModelError
from mobilenets.formats.keras import from_keras
from mobilenets.model import reference
from mobilenets.model.file import load, save
from mobilenets.model.folding import fold, fold_input
from mobilenets.model.model import Model, Tensor
from mobilenets.model.preprocessing import Pixels
from mobilenets.model.quantization import Quantization

NETWORK = mobilenet_v1(width_multiplier=0.25, resolution=32, classes=6)
PLAIN = Options(
    ranges=RangeMethod.MIN_MAX,
    equalize=False,
    absorb=False,
    bias_correction=False,
    deviation_correction=False,
    rounding=Rounding.NEAREST,
)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**32 - 1), bits=st.sampled_from([8, 4]), careful=st.booleans())
def test_random_networks_become_whole_int8_models(seed: int, bits: int, careful: bool) -> None:
    rng = np.random.default_rng(seed)
    network = random_network(rng, newer=False)
    model = random_model(rng, network)
    pixels = random_pixels(rng, network, 4)
    options = replace(Options() if careful else PLAIN, weight_bits=bits)
    assume(is_alive(model, pixels))
    made = quantize(model, pixels, options)
    assert {layer.name for layer in made.layers} == {layer.name for layer in network.layers}
    assert made.model.quantization is not None
    for layer in network.layers:
        if layer.has_weight:
            top = 127 if made.model.quantization.bits(layer.name) == 8 else 7
            assert np.abs(made.model.parameters[f"{layer.name}.weight"]).max() <= top
    if bits == 8 and careful:
        before, after = reference.run(model, pixels), reference.run(made.model, pixels)
        for name, expected in before.items():
            signal, error_power = float(np.square(expected).sum()), float(np.square(after[name] - expected).sum())
            assert decibels(signal, error_power) > 12, name


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
    made = quantize(
        random_model(np.random.default_rng(0), NETWORK),
        random_pixels(np.random.default_rng(0), NETWORK, 4),
        Options(weight_bits=4),
    ).model
    assert made.quantization is not None
    assert {name: made.quantization.bits(name) for name in bits} == bits
    assert np.abs(made.parameters["stem.weight"]).max() > 7


def test_two_runs_give_the_same_bits() -> None:
    rng = np.random.default_rng(0)
    model, pixels = random_model(rng, NETWORK), random_pixels(rng, NETWORK, 5)
    first, second = (quantize(model, pixels).model for _ in range(2))
    for name, tensor in first.parameters.items():
        np.testing.assert_array_equal(tensor, second.parameters[name])
    assert first.quantization == second.quantization


def test_levers_lower_the_noise_of_a_network_with_uneven_channels() -> None:
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
    noise = {options: quantize(model, pixels, options).layers[-1].snr_db for options in (PLAIN, Options())}
    assert noise[Options()] > noise[PLAIN] + 2
    assert quantize(model, pixels, replace(PLAIN, equalize=True)).layers[-1].snr_db > noise[PLAIN] + 1


def test_a_dead_channel_keeps_its_bias() -> None:
    """A channel of zero weights is a constant: its scale is chosen for its bias."""
    rng = np.random.default_rng(0)
    model = fold(random_model(rng, NETWORK))
    weight, bias = (model.parameters[f"block2.pointwise.{kind}"].copy() for kind in ("weight", "bias"))
    weight[5], bias[5] = 0, 0.7321
    model = model.with_parameters(
        {**model.parameters, "block2.pointwise.weight": weight, "block2.pointwise.bias": bias}
    )
    made = quantize(model, random_pixels(rng, NETWORK, 4), replace(PLAIN, rounding=Rounding.NEAREST))
    noise = {layer.name: layer for layer in made.layers}
    assert noise["block2.pointwise"].dead_channels == 1
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
    made = quantize(random_model(rng, NETWORK), pixels, Options(weight_bits=bits)).model
    save(made, tmp_path / "held.safetensors")
    held = load(tmp_path / "held.safetensors")
    expected = reference.run(made, pixels)["classifier"]
    np.testing.assert_array_equal(reference.run(held, pixels)["classifier"], expected)
    np.testing.assert_array_equal(answers(held, pixels), expected)
    for threads in (1, 2):
        np.testing.assert_array_equal(Session(held, threads).run(pixels), expected)


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
        made = quantize(model, pixels, Options(weight_bits=bits)).model
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
        quantize(random_int8_model(rng, NETWORK), pixels)
    with pytest.raises(CompressionError, match="there are none"):
        quantize(model, pixels[:0])
    with pytest.raises(CompressionError, match="of a single colour"):
        quantize(model, np.full_like(pixels, 3))
    with pytest.raises(ModelError, match=r"needs uint8 \(N, 32, 32, 3\)"):
        quantize(model, pixels[:, :16])
    with pytest.raises(CompressionError, match="8 or 4 bits, not 2"):
        Options(weight_bits=2)


# The real pretrained 0.25-224 -----------------------------------------------------------------------------------------


class Real(NamedTuple):
    model: Model
    calibration: Pixels
    jury: Jury


@pytest.fixture(scope="module")
def real() -> Real:
    """The published network, 64 images to calibrate and the 36 between them to judge by."""
    model = from_keras(shared("weights/mobilenet_v1_0.25_224.h5"))
    found = images_of([shared("imagenet-sample")])
    pixels = prepare(Subset(tuple(found), np.zeros(len(found), np.int64)), model.preprocessing, 224, 224).pixels
    chosen = np.unique(np.linspace(0, len(pixels) - 1, 64).round().astype(int))
    return Real(model, pixels[chosen], Jury.of(model, np.delete(pixels, chosen, axis=0)))


def test_the_real_network_keeps_its_answers(real: Real) -> None:
    made = quantize(real.model, real.calibration)
    verdict = real.jury.judge(made.model, made.layers)
    assert verdict.agreement.value >= 0.88
    assert verdict.sure_agreement.value >= 0.97
    assert verdict.bytes_after / verdict.bytes_before <= 0.27
    assert verdict.refusal() is None
    pixels = real.jury.pixels[:2]
    np.testing.assert_array_equal(
        reference.run(made.model, pixels)["classifier"],
        answers(made.model, pixels),
    )


def test_a_naive_per_tensor_scheme_fails_where_ours_holds(real: Real) -> None:
    """One scale for all channels of a layer, min-max ranges, nearest rounding: what people report as collapsed."""
    verdict = real.jury.judge(naive(real.model, real.calibration))
    assert verdict.agreement.value < 0.3
    assert verdict.refusal() is not None


def naive(model: Model, calibration: Pixels) -> Model:
    """Per-tensor weights in the same contract: every channel has its layer's one scale."""
    folded, input_held = fold_input(fold(model))
    held = choose_ranges(folded.network, observe(folded, [calibration[:32]]), input_held, method=RangeMethod.MIN_MAX)
    parameters: dict[str, Tensor] = {}
    for layer in folded.network.layers:
        if not layer.has_weight:
            continue
        weight, bias = (folded.parameters[f"{layer.name}.{kind}"].astype(np.float64) for kind in ("weight", "bias"))
        scales: npt.NDArray[np.float64] = np.full(len(weight), np.float32(np.abs(weight).max() / 127), np.float64)
        parameters[f"{layer.name}.weight"] = np.rint(weight / scales[0]).clip(-127, 127).astype(np.int8)
        parameters[f"{layer.name}.weight_scale"] = scales.astype(np.float32)
        parameters[f"{layer.name}.bias"] = integer_bias(bias, held[layer.inputs[0]].scale, scales)
    return replace(model, network=folded.network, parameters=parameters, quantization=Quantization(held))
