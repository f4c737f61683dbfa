"""LiteRT files become Models; the official uint8 networks lose nothing on the way."""

from __future__ import annotations

import numpy as np
import pytest
from tests.conftest import shared
from tests.support.fixed_point import fixed_point_layer, run_fixed_point, softmax_bytes

from mobilenets.architecture.layers import Activation
from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.formats.litert.read import from_tflite
from mobilenets.model.model import Model
from mobilenets.model.quantization import TensorQuantization
from mobilenets.model.reference import accumulate, requantize, sum_multiplier

OFFICIAL = [("0.25", 128), ("0.5", 160)]


def official(width: str, resolution: int) -> Model:
    return from_tflite(shared(f"weights/mobilenet_v1_{width}_{resolution}_quant.tflite"))


@pytest.mark.parametrize(("width", "resolution"), OFFICIAL)
def test_official_networks_give_every_published_byte(width: str, resolution: int) -> None:
    model = official(width, resolution)
    golden = np.load(shared("weights/golden.npz"))
    logits = run_fixed_point(model, golden[f"pixels_{resolution}"])
    outputs = softmax_bytes(logits, model.provenance["imported"]["logits_scale"])
    np.testing.assert_array_equal(outputs, golden[f"tflite_{width}_{resolution}_output"])


@pytest.mark.parametrize(("width", "resolution"), OFFICIAL)
def test_each_layer_is_within_one_step_of_the_published_kernels(width: str, resolution: int) -> None:
    model = official(width, resolution)
    assert model.quantization is not None
    scales = dict(model.quantization.activations)
    imported = model.provenance["imported"]
    scales["classifier"] = TensorQuantization(imported["logits_scale"], imported["logits_zero_point"])
    pixels = np.load(shared("weights/golden.npz"))[f"pixels_{resolution}"][:1]
    values, apart, total = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)), 0, 0
    for layer in model.network.layers:
        source, target = scales[layer.inputs[0]], scales[layer.name]
        published = fixed_point_layer(model, layer, values, source, target)
        sums = accumulate(model, layer, values, source)
        ours = requantize(sums, sum_multiplier(model, layer, source, target), target, layer.activation)
        steps = np.abs(ours.astype(int) - published)
        assert steps.max() <= 1
        apart, total, values = apart + int(steps.sum()), total + steps.size, published
    assert apart / total < 0.04


def test_official_file_says_everything_about_its_network() -> None:
    model = official("0.25", 128)
    same = mobilenet_v1(
        width_multiplier=0.25, resolution=128, classes=1001, activation=Activation.RELU6, batch_norm=None
    )
    assert model.network == same
    assert model.labels[:2] == ("background", "tench, Tinca tinca")
    assert model.preprocessing.mean == (128 / 255,) * 3
    assert model.parameters["stem.weight_zero_point"].tolist() == [157 - 128] * 8
