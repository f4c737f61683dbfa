"""ONNX graphs that nobody described: read node by node."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.networks import squeeze_excite_network
from tests.support.random_models import random_model, random_pixels

from mobilenets.architecture.layers import Activation, BatchNorm
from mobilenets.architecture.multipliers import PaddingPolicy
from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.engine.session import Session
from mobilenets.errors import FormatError
from mobilenets.formats.onnx.read import from_onnx
from mobilenets.formats.onnx.write import onnx_graph
from mobilenets.model import reference
from mobilenets.model.model import Model
from mobilenets.tasks.classification import numbered_labels

onnx = pytest.importorskip("onnx")


def small_model(activation: Activation = Activation.RELU, **settings: Any) -> Model:
    network = mobilenet_v1(
        width_multiplier=0.25,
        resolution=(64, 96),
        classes=6,
        activation=activation,
        padding_policy=PaddingPolicy.SYMMETRIC,
        **{"batch_norm": BatchNorm(1e-5), **settings},
    )
    return random_model(np.random.default_rng(0), network)


def undescribed(model: Model) -> Any:
    """The graph of a Model that reads normalized floats, without its description."""
    graph = onnx_graph(model, pixel_input=False)
    del graph.metadata_props[:]
    return graph


def write(path: Path, graph: Any) -> Path:
    path.write_bytes(graph.SerializeToString())
    return path


@pytest.mark.parametrize("batch_norm", [BatchNorm(1e-5), None])
@pytest.mark.parametrize("activation", [Activation.RELU, Activation.RELU6])
def test_a_graph_is_recognized(tmp_path: Path, batch_norm: BatchNorm | None, activation: Activation) -> None:
    model = small_model(activation, batch_norm=batch_norm)
    read = from_onnx(write(tmp_path / "model.onnx", undescribed(model)))
    assert read.network == model.network
    for name, value in model.parameters.items():
        np.testing.assert_array_equal(read.parameters[name], value)
    assert read.labels == numbered_labels(6)
    assert read.preprocessing.mean[0] == (0.5 if activation is Activation.RELU6 else 0.485)


@pytest.mark.parametrize("keep_batch_norm", [True, False])
def test_torch_exports_are_read(tmp_path: Path, keep_batch_norm: bool) -> None:
    torch = pytest.importorskip("torch")
    from mobilenets.training.network import NetworkModule, load_parameters

    model = small_model()
    module = NetworkModule(model.network).eval()
    load_parameters(module, model.parameters)
    path, example = tmp_path / "model.onnx", torch.zeros(1, 3, 64, 96)
    settings: dict[str, Any] = {"dynamo": False}
    if keep_batch_norm:
        settings |= {"training": torch.onnx.TrainingMode.PRESERVE, "do_constant_folding": False}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(module, (example,), str(path), **settings)
    read = from_onnx(path)
    pixels = random_pixels(np.random.default_rng(0), model.network)
    (expected,), (found,) = (
        reference.run_reference(model, pixels).values(),
        reference.run_reference(read, pixels).values(),
    )
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())
    assert [layer.kind for layer in read.network.layers] == [layer.kind for layer in model.network.layers]


def first(graph: Any, operator: str) -> Any:
    return next(node for node in graph.graph.node if node.op_type == operator)


def unknown_operator(graph: Any) -> None:
    first(graph, "Relu").op_type = "Mish"


def dilated(graph: Any) -> None:
    first(graph, "Conv").attribute.append(onnx.helper.make_attribute("dilations", [2, 2]))


def elsewhere(graph: Any) -> None:
    graph.graph.initializer[0].data_location = 1


def short(graph: Any) -> None:
    graph.graph.initializer[0].raw_data = graph.graph.initializer[0].raw_data[:-4]


def nowhere(graph: Any) -> None:
    first(graph, "Relu").input[0] = "nothing"


def padded_past_its_window(graph: Any) -> None:
    depthwise = next(node for node in graph.graph.node if node.name == "block1.depthwise/Conv")
    for attribute in depthwise.attribute:
        if attribute.name == "pads":
            attribute.ints[0] = 63


def without_variance(graph: Any) -> None:
    for attribute in first(graph, "BatchNormalization").attribute:
        if attribute.name == "epsilon":
            attribute.f = -1.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (padded_past_its_window, r"block1.depthwise: padding \(63, 1, 1, 1\) is not smaller than the kernel"),
        (without_variance, "batch norm epsilon must be a positive number"),
        (unknown_operator, "stem/Relu is a Mish, which this package does not read"),
        (dilated, r"stem/Conv has dilations \[2, 2\]"),
        (elsewhere, "'stem.weight' lies in ''; only files beside model.onnx are read"),
        (short, r"'stem.weight' has 215 numbers; its shape \(8, 3, 3, 3\) needs 216"),
        (nowhere, "changes 'nothing'|reads 'nothing'"),
    ],
)
def test_what_no_model_has_is_named(tmp_path: Path, change: Callable[[Any], None], message: str) -> None:
    graph = undescribed(small_model())
    change(graph)
    with pytest.raises(FormatError, match=message):
        from_onnx(write(tmp_path / "model.onnx", graph))


@pytest.mark.parametrize("location", ["model.onnx.data", "weights.bin"])
def test_weights_in_a_file_beside_it_are_read(tmp_path: Path, location: str) -> None:
    """torch's exporter writes them so."""
    model, path = small_model(), tmp_path / "model.onnx"
    onnx.save_model(undescribed(model), path, save_as_external_data=True, location=location, size_threshold=0)
    assert (tmp_path / location).is_file()
    read = from_onnx(path)
    for name, value in model.parameters.items():
        np.testing.assert_array_equal(read.parameters[name], value)
    (tmp_path / location).write_bytes((tmp_path / location).read_bytes()[:100])
    with pytest.raises(FormatError, match=rf"{location}, which model.onnx keeps its weights in, is damaged"):
        from_onnx(path)
    (tmp_path / location).unlink()
    with pytest.raises(FormatError, match=rf"keeps its weights in {location}, which is not beside it; copy both"):
        from_onnx(path)


@pytest.mark.parametrize("location", ["../secret", "/etc/passwd", "a/b", "..", "a\\b"])
def test_weights_are_read_of_no_other_folder(tmp_path: Path, location: str) -> None:
    graph = undescribed(small_model())
    tensor = graph.graph.initializer[0]
    tensor.data_location = 1
    tensor.external_data.add(key="location", value=location)
    with pytest.raises(FormatError, match=r"only files beside model.onnx are read"):
        from_onnx(write(tmp_path / "model.onnx", graph))


def spelled_out(graph: Any, form: str) -> Any:
    """The graph with its hard-sigmoids and hard-swishes written as several plain operators."""
    helper, nodes = onnx.helper, []
    constants = {"three": 3, "zero": 0, "six": 6, "sixth": 1 / 6}
    for name, value in constants.items():
        graph.graph.initializer.append(onnx.numpy_helper.from_array(np.array(value, np.float32), name))

    def node(operator: str, inputs: list[str], output: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(operator, inputs, [output], output, **attributes))
        return output

    def hard_sigmoid(source: str, output: str) -> None:
        if form == "operator":
            node("HardSigmoid", [source], output, alpha=1 / 6, beta=0.5)
            return
        clipped = node("Clip", [node("Add", [source, "three"], f"{output}/add"), "zero", "six"], f"{output}/clip")
        node(*(("Div", [clipped, "six"]) if form == "div" else ("Mul", ["sixth", clipped])), output)

    for each in graph.graph.node:
        source, output = each.input[0], each.output[0]
        if each.op_type == "HardSigmoid":
            hard_sigmoid(source, output)
        elif each.op_type == "HardSwish" and form == "product first":
            clipped = node("Clip", [node("Add", ["three", source], f"{output}/add"), "zero", "six"], f"{output}/clip")
            node("Div", [node("Mul", [source, clipped], f"{output}/product"), "six"], output)
        elif each.op_type == "HardSwish":
            hard_sigmoid(source, f"{output}/sigmoid")
            node("Mul", [source, f"{output}/sigmoid"], output)
        else:
            nodes.append(each)
    del graph.graph.node[:]
    graph.graph.node.extend(nodes)
    return graph


@pytest.mark.parametrize("form", ["plain", "operator", "mul", "div", "product first"])
@pytest.mark.parametrize("batch_norm", [False, True])
def test_hard_swish_hard_sigmoid_and_products_are_read(tmp_path: Path, batch_norm: bool, form: str) -> None:
    model = random_model(np.random.default_rng(1), squeeze_excite_network(batch_norm=batch_norm))
    graph = undescribed(model)
    read = from_onnx(write(tmp_path / "model.onnx", graph if form == "plain" else spelled_out(graph, form)))
    assert read.network.layers == model.network.layers
    for name, value in model.parameters.items():
        np.testing.assert_array_equal(read.parameters[name], value)


def test_half_a_hard_swish_is_refused_by_name(tmp_path: Path) -> None:
    model = random_model(np.random.default_rng(1), squeeze_excite_network())
    graph = spelled_out(undescribed(model), "product first")
    for each in graph.graph.node:
        if each.op_type == "Div":
            each.op_type = "Identity"
            del each.input[1:]
    with pytest.raises(FormatError, match=r"depthwise reads x · ReLU6\(x \+ 3\), which is part of"):
        from_onnx(write(tmp_path / "model.onnx", graph))


def test_a_hard_swish_whose_input_is_read_elsewhere_is_refused_by_name(tmp_path: Path) -> None:
    model = random_model(np.random.default_rng(1), squeeze_excite_network(batch_norm=False))
    graph = spelled_out(undescribed(model), "mul")
    for each in graph.graph.node:
        if each.op_type == "Conv" and each.name.startswith("project"):
            each.input[0] = "depthwise/Conv"
    with pytest.raises(FormatError, match="that is no hard-swish"):
        from_onnx(write(tmp_path / "model.onnx", graph))


@pytest.mark.parametrize(
    ("constant", "message"), [("three", r"adds 2 to x; only a hard-sigmoid"), ("sixth", "multiplies by 2")]
)
def test_other_constants_are_refused_by_name(tmp_path: Path, constant: str, message: str) -> None:
    model = random_model(np.random.default_rng(1), squeeze_excite_network())
    graph = spelled_out(undescribed(model), "mul")
    for tensor in graph.graph.initializer:
        if tensor.name == constant:
            tensor.CopyFrom(onnx.numpy_helper.from_array(np.array(2, np.float32), constant))
    with pytest.raises(FormatError, match=message):
        from_onnx(write(tmp_path / "model.onnx", graph))


def test_a_hard_sigmoid_of_another_slope_is_taken_into_the_layer_before(tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    model = random_model(np.random.default_rng(1), squeeze_excite_network(batch_norm=False))
    graph = undescribed(model)
    (gate,) = (each for each in graph.graph.node if each.op_type == "HardSigmoid")
    gate.attribute[0].f, gate.attribute[1].f = 0.2, 0.5  # alpha and beta, as Paddle and Keras 2 have them
    path = write(tmp_path / "model.onnx", graph)
    images = random_pixels(np.random.default_rng(2), model.network, 3)
    read = from_onnx(path, preprocessing=model.preprocessing)
    planes = model.preprocessing.normalize(images).transpose(0, 3, 1, 2)
    (expected,) = runtime.InferenceSession(path).run(None, {"input": np.ascontiguousarray(planes)})
    found = Session(read).run(images).reshape(expected.shape)
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())
    plain = Session(model).run(images).reshape(expected.shape)
    assert np.abs(plain - expected).max() > 1e-3 * np.abs(expected).max()
