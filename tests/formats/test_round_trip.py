"""What this project writes, it reads back exactly: network, weights, labels, preprocessing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.random_models import (
    IMAGENET,
    random_int8_model,
    random_model,
    random_network,
    without_batch_norm,
)

from mobilenets.architecture.catalog import CATALOG
from mobilenets.architecture.layers import INPUT, MaxPool
from mobilenets.architecture.network import Network
from mobilenets.formats.description import Description, describe
from mobilenets.formats.litert.read import from_tflite
from mobilenets.formats.litert.write import to_litert
from mobilenets.formats.onnx.read import from_onnx
from mobilenets.formats.onnx.write import to_onnx
from mobilenets.model.model import Model, parameter_types
from mobilenets.model.preprocessing import Preprocessing
from mobilenets.model.quantization import Quantization, TensorQuantization, needed_pre_activations, real_outputs
from mobilenets.tasks.classification import Classification

pytest.importorskip("onnx")
pytest.importorskip("flatbuffers")

FEW = settings(deadline=None, max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture])


def assert_same(first: Model, second: Model) -> None:
    assert first.network == second.network
    assert first.labels == second.labels
    assert first.preprocessing == second.preprocessing
    assert first.quantization == second.quantization
    assert dict(first.provenance) == dict(second.provenance)
    for name, value in first.parameters.items():
        if name.endswith(".weight_zero_point") and not value.any():
            continue
        other = second.parameters[name]
        assert value.dtype == other.dtype
        np.testing.assert_array_equal(value, other)


def any_model(name: str, width: float, resolution: tuple[int, int], classes: int, *, int8: bool, folded: bool) -> Model:
    """Random numbers in a network of the catalog."""
    rng = np.random.default_rng(classes)
    network = CATALOG[name](width_multiplier=width, resolution=resolution, classes=classes)
    if int8 or folded:
        network = without_batch_norm(network)
    # Random int8 numbers need no calibration here: only their bytes matter.
    model = quick_int8_model(rng, network) if int8 else quick_float_model(rng, network)
    return replace(
        model, task=Classification(tuple(f"class {index}" for index in range(classes))), provenance={"seed": classes}
    )


def quick_float_model(rng: np.random.Generator, network: Network) -> Model:
    parameters = {
        name: rng.uniform(0.1, 2, shape).astype(np.float32) for name, shape in network.parameter_shapes().items()
    }
    return Model(network, parameters, Classification.numbered(network), IMAGENET)


def quick_int8_model(rng: np.random.Generator, network: Network) -> Model:
    real = real_outputs(network)
    scales = {INPUT: TensorQuantization(float(rng.uniform(0.01, 0.02)), 117)}
    for layer in network.layers:
        if isinstance(layer, MaxPool):
            scales[layer.name] = scales[layer.inputs[0]]
        elif layer.name not in real:
            scales[layer.name] = TensorQuantization(float(rng.uniform(0.01, 0.1)), int(rng.integers(0, 99)))
    before = {name: TensorQuantization(float(rng.uniform(0.01, 0.1)), 128) for name in needed_pre_activations(network)}
    outputs = {name: TensorQuantization(float(rng.uniform(0.01, 0.1)), int(rng.integers(0, 99))) for name in real}
    quantization = Quantization(scales, pre_activations=before, outputs=outputs)
    kinds = {"weight": np.int8, "bias": np.int32}
    parameters = {}
    for name, (dtype, shape) in parameter_types(network, quantization).items():
        if name.endswith("_zero_point"):
            continue
        integers = rng.integers(-127, 128, shape).astype(kinds.get(name.rpartition(".")[2], np.int8))
        parameters[name] = integers if dtype != np.float32 else rng.uniform(0.001, 0.01, shape).astype(np.float32)
    return Model(network, parameters, Classification.numbered(network), IMAGENET, quantization)


@st.composite
def models(draw: st.DrawFn, name: str, *, folded: bool) -> Model:
    mobilenet = name.startswith("mobilenet")
    return any_model(
        name,
        round(draw(st.floats(0.05, 1.1 if mobilenet else 0.3)), 3),
        (draw(st.integers(70, 130)), draw(st.integers(70, 130))),
        draw(st.integers(1, 1001 if mobilenet else 40)),
        int8=draw(st.booleans()),
        folded=folded,
    )


@pytest.mark.parametrize("name", CATALOG)
@FEW
@given(data=st.data())
def test_models_of_the_catalog_come_back_from_onnx(tmp_path: Path, name: str, data: st.DataObject) -> None:
    model = data.draw(models(name, folded=False))
    to_onnx(model, tmp_path / "model.onnx")
    assert_same(model, from_onnx(tmp_path / "model.onnx"))


@pytest.mark.parametrize("name", CATALOG)
@FEW
@given(data=st.data())
def test_models_of_the_catalog_come_back_from_litert(tmp_path: Path, name: str, data: st.DataObject) -> None:
    model = data.draw(models(name, folded=True))
    to_litert(model, tmp_path / "model.tflite")
    assert_same(model, from_tflite(tmp_path / "model.tflite"))


@pytest.mark.parametrize("seed", range(12))
def test_random_networks_come_back_from_both(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    network = random_network(rng, batch_norm=False)
    model = random_int8_model(rng, network) if seed % 2 else random_model(rng, network)
    to_onnx(model, tmp_path / "model.onnx")
    assert_same(model, from_onnx(tmp_path / "model.onnx"))
    to_litert(model, tmp_path / "model.tflite")
    assert_same(model, from_tflite(tmp_path / "model.tflite"))


def test_a_description_of_before_there_were_tasks_is_read() -> None:
    model = random_model(np.random.default_rng(0), random_network(np.random.default_rng(0)))
    texts = describe(model)
    del texts["task"]
    assert Description(texts).task == model.task


def test_float16_weights_come_back_as_float16_values(tmp_path: Path) -> None:
    model = any_model("mobilenet_v1", 0.1, (96, 96), 3, int8=False, folded=True)
    to_litert(model, tmp_path / "model.tflite", weights="float16")
    read = from_tflite(tmp_path / "model.tflite")
    for name, value in model.parameters.items():
        np.testing.assert_array_equal(read.parameters[name], value.astype(np.float16).astype(np.float32))


def without_description(path: Path) -> Path:
    """The same file, its description under another name."""
    stripped = path.with_name("stripped.tflite")
    stripped.write_bytes(path.read_bytes().replace(b"\x0a\0\0\0mobilenets", b"\x0a\0\0\0mobilenetz"))
    return stripped


@pytest.mark.parametrize(("int8", "float_output"), [(False, False), (True, False), (True, True)])
def test_a_graph_without_its_description_is_read_all_the_same(tmp_path: Path, int8: bool, float_output: bool) -> None:
    model = any_model("mobilenet_v1", 0.25, (128, 96), 5, int8=int8, folded=True)
    to_litert(model, tmp_path / "model.tflite", float_output=float_output)
    read = from_tflite(without_description(tmp_path / "model.tflite"))
    assert read.network == model.network
    assert read.labels == model.labels
    if not int8:
        np.testing.assert_allclose(read.preprocessing.mean, model.preprocessing.mean, atol=1e-6)
        np.testing.assert_allclose(read.preprocessing.std, model.preprocessing.std, atol=1e-6)
    for name, value in model.parameters.items():
        np.testing.assert_array_equal(read.parameters[name], value)
    if int8:
        assert model.quantization is not None
        assert read.quantization is not None
        assert dict(read.quantization.activations) == dict(model.quantization.activations)
        assert read.quantization.outputs == ({} if float_output else model.quantization.outputs)


def test_the_metadata_that_apps_read_tells_the_normalization(tmp_path: Path) -> None:
    model = any_model("mobilenet_v1", 0.1, (96, 96), 3, int8=False, folded=True)
    one_for_all = Preprocessing(mean=(0.25, 0.25, 0.25), std=(0.75, 0.75, 0.75))
    to_litert(replace(model, preprocessing=one_for_all), tmp_path / "model.tflite")
    read = from_tflite(without_description(tmp_path / "model.tflite"))
    assert read.preprocessing == one_for_all
