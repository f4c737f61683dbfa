"""ONNX graphs as Paddle's converter writes them: biases that are reshaped, an end behind an Identity, stride pairs."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.random_models import random_model, random_pixels

from mobilenets.architecture.layers import (
    INPUT,
    Activation,
    Convolution,
    DepthwiseConvolution,
    GlobalAveragePool,
    Layer,
    Linear,
    Multiply,
    Padding,
    PointwiseConvolution,
)
from mobilenets.architecture.network import Network
from mobilenets.engine.session import Session
from mobilenets.formats.importing import import_model
from mobilenets.formats.onnx.write import onnx_graph

onnx = pytest.importorskip("onnx")


def text_network(height: int, width: int) -> Network:
    """Layers as of PP-OCR's classifier: text lines are halved down and not across, channels are weighted."""
    around = Padding(1, 1, 1, 1)
    layers: tuple[Layer, ...] = (
        Convolution("stem", (INPUT,), 3, 2, around, out_channels=8, activation=Activation.HARD_SWISH, bias=True),
        DepthwiseConvolution("down", ("stem",), 3, (2, 1), around, activation=Activation.RELU, bias=True),
        GlobalAveragePool("squeeze", ("down",)),
        PointwiseConvolution("reduce", ("squeeze",), out_channels=4, activation=Activation.RELU, bias=True),
        PointwiseConvolution("gate", ("reduce",), out_channels=8, activation=Activation.HARD_SIGMOID, bias=True),
        Multiply("weighted", ("down", "gate")),
        PointwiseConvolution("project", ("weighted",), out_channels=12, bias=True),
        GlobalAveragePool("pool", ("project",)),
        Linear("classifier", ("pool",), out_features=2, bias=True),
    )
    return Network("text", height, width, layers, ("classifier",))


def paddle_graph(model: Any, slope: float) -> Any:
    """The graph of a Model with biases beside the convolutions, and hard-sigmoids of another slope."""
    graph = onnx_graph(model, pixel_input=False)
    del graph.metadata_props[:]
    nodes, g = [], graph.graph
    for node in g.node:
        if node.op_type == "Conv" and len(node.input) == 3:
            bias, made = node.input.pop(), node.output[0]
            node.output[0] = f"{made}/sum"
            shape = onnx.numpy_helper.from_array(np.array([1, -1, 1, 1], np.int64), f"{made}/shape")
            g.initializer.append(shape)
            reshaped = onnx.helper.make_node("Reshape", [bias, shape.name], [f"{made}/offset"])
            nodes += [node, reshaped, onnx.helper.make_node("Add", [node.output[0], f"{made}/offset"], [made])]
            continue
        if node.op_type == "HardSigmoid":
            for attribute in node.attribute:
                if attribute.name == "alpha":
                    attribute.f = slope
        nodes.append(node)
    (output,) = g.output
    nodes.append(onnx.helper.make_node("Softmax", [output.name], ["probabilities"], axis=1))
    nodes.append(onnx.helper.make_node("Identity", ["probabilities"], ["out"]))
    del g.node[:]
    g.node.extend(nodes)
    output.name = "out"
    return graph


def test_a_graph_of_stride_pairs_answers_as_onnx_runtime(tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    model = random_model(np.random.default_rng(0), text_network(48, 96))
    path = tmp_path / "text.onnx"
    path.write_bytes(paddle_graph(model, 0.2).SerializeToString())
    found = import_model(path, input_scaling=(model.preprocessing.mean, model.preprocessing.std))
    assert [layer.stride for layer in found.network.layers if isinstance(layer, DepthwiseConvolution)] == [(2, 1)]
    pixels = random_pixels(np.random.default_rng(1), model.network, 3)
    session = runtime.InferenceSession(str(path))
    planes = np.ascontiguousarray(model.preprocessing.normalize(pixels).transpose(0, 3, 1, 2))
    expected = np.concatenate([session.run(None, {session.get_inputs()[0].name: one[None]})[0] for one in planes])
    assert np.abs(probabilities(Session(found).run(pixels)) - expected).max() < 1e-5


def probabilities(logits: Any) -> Any:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def test_the_classifier_of_rapidocr_answers_as_onnx_runtime() -> None:
    runtime = pytest.importorskip("onnxruntime")
    package = find_spec("rapidocr_onnxruntime")
    if package is None or package.origin is None:
        pytest.skip("the package rapidocr-onnxruntime is not installed")
    path = Path(package.origin).parent / "models" / "ch_ppocr_mobile_v2.0_cls_infer.onnx"
    model = import_model(path, resolution=(48, 192), input_scaling="-1..1")
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (4, 6, 24, 3), np.uint8).repeat(8, 1).repeat(8, 2)
    session = runtime.InferenceSession(str(path))
    planes = np.ascontiguousarray(model.preprocessing.normalize(pixels).transpose(0, 3, 1, 2))
    expected = session.run(None, {session.get_inputs()[0].name: planes})[0]
    assert np.abs(probabilities(Session(model).run(pixels)) - expected).max() < 1e-4
