"""ONNX files say what the Model says: the checker accepts them and ONNX Runtime answers alike."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from tests.support.random_models import random_int8_model, random_model, random_network, random_pixels

from mobilenets.architecture.catalog import CATALOG
from mobilenets.architecture.layers import (
    INPUT,
    Activation,
    Add,
    Concatenate,
    GlobalAveragePool,
    Layer,
    Linear,
    MaxPool,
    Multiply,
    PointwiseConvolution,
)
from mobilenets.architecture.network import Network
from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.errors import FormatError
from mobilenets.formats.onnx.run import saturates, session, session_options
from mobilenets.formats.onnx.write import onnx_graph, to_onnx
from mobilenets.model import reference
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import Preprocessing
from mobilenets.model.quantization import Quantization, TensorQuantization
from mobilenets.tasks.classification import Classification

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


def run(graph: Any, values: npt.NDArray[Any]) -> dict[str, npt.NDArray[Any]]:
    """What ONNX Runtime answers, by output, once the checker has accepted the graph."""
    onnx.checker.check_model(graph, full_check=True)
    running = session(graph.SerializeToString())
    names = [output.name for output in running.get_outputs()]
    return dict(zip(names, running.run(None, {"input": values}), strict=True))


def assert_alike(found: dict[str, npt.NDArray[Any]], expected: dict[str, npt.NDArray[Any]]) -> None:
    """Same names, same shapes, and 1e-5 of the largest value."""
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert found[name].shape == values.shape
        np.testing.assert_allclose(found[name], values, rtol=0, atol=1e-5 * max(1, np.abs(values).max()))


def assert_same(found: dict[str, npt.NDArray[Any]], expected: dict[str, npt.NDArray[Any]]) -> None:
    """Same names, same shapes, same bits."""
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)


@pytest.mark.parametrize("seed", range(15))
def test_onnxruntime_agrees_on_random_float_networks(seed: int) -> None:
    rng = np.random.default_rng(seed)
    model = random_model(rng, random_network(rng))
    pixels = random_pixels(rng, model.network, 3)
    assert_alike(run(onnx_graph(model), pixels), reference.run_reference(model, pixels))


@pytest.mark.parametrize("asymmetric", [False, True])
@pytest.mark.parametrize("seed", range(15))
def test_onnxruntime_answers_bit_for_bit_on_random_int8_networks(seed: int, asymmetric: bool) -> None:
    rng = np.random.default_rng(seed)
    model = random_int8_model(rng, random_network(rng), asymmetric_weights=asymmetric)
    pixels = random_pixels(rng, model.network, 3)
    assert_same(run(onnx_graph(model), pixels), reference.run_reference(model, pixels))


@pytest.mark.parametrize("activation", [Activation.RELU, Activation.RELU6])
@pytest.mark.parametrize("layer", ["convolution", "sum", "product"])
def test_a_relu_whose_zero_point_is_not_0_is_clipped_off_the_bytes(layer: str, activation: Activation) -> None:
    rng = np.random.default_rng(5)
    shared: dict[str, Any] = {"bias": True, "out_channels": 5}
    layers: list[Layer] = [PointwiseConvolution(name, (INPUT,), **shared) for name in ("a", "b")]
    tested: dict[str, Layer] = {
        "convolution": PointwiseConvolution("tested", ("a",), activation=activation, **shared),
        "sum": Add("tested", ("a", "b"), activation=activation),
        "product": Multiply("tested", ("a", "b"), activation=activation),
    }
    layers += [tested[layer], Linear("classifier", ("tested",), out_features=4, bias=True)]
    model = random_int8_model(rng, Network("clipped", 7, 9, tuple(layers), ("classifier",)))
    assert model.quantization is not None
    moved = {**model.quantization.activations, "tested": TensorQuantization(0.03, 37)}
    model = replace(model, quantization=Quantization(moved))
    pixels = random_pixels(rng, model.network, 3)
    values = reference.activations(model, pixels)["tested"]
    assert values.min() == 37
    assert_same(run(onnx_graph(model), pixels), reference.run_reference(model, pixels))


@pytest.mark.parametrize("activation", [Activation.HARD_SIGMOID, Activation.HARD_SWISH])
def test_onnxruntime_makes_the_bytes_of_the_table(activation: Activation) -> None:
    swish = PointwiseConvolution("a", (INPUT,), out_channels=1, bias=True, activation=activation)
    layers = (swish, GlobalAveragePool("average", ("a",)), MaxPool("pool", ("a",), kernel=1))
    network = Network("table", 16, 16, layers, ("average", "pool"), channels=1)
    before, after = TensorQuantization(0.05, 131), TensorQuantization(0.021, 7)
    scales = {INPUT: TensorQuantization(0.05, 128), "a": after, "pool": after}
    parameters: dict[str, npt.NDArray[Any]] = {
        "a.weight": np.ones((1, 1, 1, 1), np.int8),
        "a.weight_scale": np.ones(1, np.float32),
    }
    parameters["a.bias"] = np.zeros(1, np.int32)
    quantization = Quantization(scales, pre_activations={"a": before})
    model = Model(network, parameters, Classification(("a",)), Preprocessing(), quantization)
    pixels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    np.testing.assert_array_equal(
        run(onnx_graph(model), pixels)["pool"], reference.run_reference(model, pixels)["pool"]
    )


@pytest.mark.parametrize("same", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_onnxruntime_multiplies_bit_for_bit(seed: int, same: bool) -> None:
    rng = np.random.default_rng(seed)
    shared: dict[str, Any] = {"bias": True, "out_channels": 5}
    layers: list[Layer] = [PointwiseConvolution("a", (INPUT,), **shared)]
    layers.append(PointwiseConvolution("b", ("a",), activation=Activation.HARD_SIGMOID, **shared))
    gate = "b"
    if not same:
        layers.append(GlobalAveragePool("gate", ("b",)))
        gate = "gate"
    layers += [Multiply("product", ("a", gate)), Linear("classifier", ("product",), out_features=4, bias=True)]
    network = Network("gated", 7, 9, tuple(layers), ("classifier",))
    model = random_int8_model(rng, network)
    pixels = random_pixels(rng, network, 3)
    found = run(onnx_graph(model), pixels)
    np.testing.assert_array_equal(found["classifier"], reference.run_reference(model, pixels)["classifier"])


@pytest.mark.parametrize("name", CATALOG)
@pytest.mark.parametrize("int8", [False, True])
def test_every_architecture_names_the_same_classes(name: str, int8: bool) -> None:
    rng = np.random.default_rng(3)
    network = CATALOG[name](width_multiplier=0.25, resolution=96, classes=10)
    model = random_int8_model(rng, network) if int8 else random_model(rng, network)
    pixels = random_pixels(rng, network, 4)
    found, expected = run(onnx_graph(model), pixels), reference.run_reference(model, pixels)
    if int8:
        assert_same(found, expected)
    for output, logits in expected.items():
        assert (found[output].argmax(axis=1) == logits.argmax(axis=1)).all()


def test_the_graph_can_read_normalized_floats_instead_of_pixels() -> None:
    rng = np.random.default_rng(0)
    model = random_model(rng, random_network(rng))
    pixels = random_pixels(rng, model.network)
    normal = model.preprocessing.normalize(pixels).transpose(0, 3, 1, 2)
    assert_alike(run(onnx_graph(model, pixel_input=False), normal), reference.run_reference(model, pixels))


def test_an_int8_model_reads_pixels_only() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(FormatError, match="bytes of pixels"):
        onnx_graph(random_int8_model(rng, random_network(rng)), pixel_input=False)


def test_labels_and_preprocessing_travel_in_the_metadata(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    model = random_model(rng, mobilenet_v1(width_multiplier=0.25, resolution=32, classes=2))
    model = replace(model, task=Classification(("Kätzchen", "Hund")))
    to_onnx(model, tmp_path / "model.onnx")
    running = session(str(tmp_path / "model.onnx"))
    metadata = running.get_modelmeta().custom_metadata_map
    assert json.loads(metadata["labels"]) == ["Kätzchen", "Hund"]
    assert json.loads(metadata["preprocessing"])["mean"] == [0.485, 0.456, 0.406]
    assert running.get_inputs()[0].shape == ["batch", 32, 32, 3]


def fused_operators(model: Model, folder: Path) -> set[str]:
    """Operators that are left when ONNX Runtime has optimized the graph."""
    options = session_options()
    options.optimized_model_filepath = str(folder / "optimized.onnx")
    options.log_severity_level = 4  # it warns that the optimized file fits this machine only
    session(onnx_graph(model).SerializeToString(), options=options)
    return {node.op_type for node in onnx.load(folder / "optimized.onnx").graph.node}


def test_onnxruntime_runs_int8_mobilenet_in_integers_from_end_to_end(tmp_path: Path) -> None:
    network = mobilenet_v1(width_multiplier=0.25, resolution=64, classes=10, activation=Activation.RELU)
    operators = fused_operators(random_int8_model(np.random.default_rng(0), network), tmp_path)
    assert operators == {"Transpose", "QLinearConv", "QLinearGlobalAveragePool", "Flatten", "QGemm"}


@pytest.mark.parametrize("activation", [Activation.NONE, Activation.RELU])
def test_onnxruntime_joins_maps_in_integers(activation: Activation, tmp_path: Path) -> None:
    shared: dict[str, Any] = {"bias": True, "out_channels": 8}
    layers: list[Layer] = [PointwiseConvolution(name, (INPUT,), **shared) for name in ("a", "b")]
    layers += [Add("sum", ("a", "b"), activation=activation), Multiply("product", ("sum", "b"), activation=activation)]
    layers += [Concatenate("all", ("product", "a")), GlobalAveragePool("pool", ("all",))]
    layers.append(Linear("classifier", ("pool",), out_features=3, bias=True))
    network = Network("joins", 8, 8, tuple(layers), ("classifier",))
    operators = fused_operators(random_int8_model(np.random.default_rng(0), network), tmp_path)
    assert {"QLinearAdd", "QLinearMul", "QLinearConcat"} <= operators
    assert not operators & {"Add", "Mul", "Concat", "DequantizeLinear", "QuantizeLinear"}


def test_only_processors_without_vnni_need_exact_kernels_to_be_asked_for() -> None:
    known = ("avx512vnni", "avx512", "avxvnni", "avx2", "neon", "portable")
    assert saturates({name: name in ("avx2", "portable") for name in known})
    assert saturates({name: name in ("avx512", "avx2", "portable") for name in known})
    assert not saturates({name: name in ("avx512vnni", "avx512", "avx2", "portable") for name in known})
    assert not saturates({name: name in ("avxvnni", "avx2", "portable") for name in known})
    assert not saturates({name: name in ("neon", "portable") for name in known})
