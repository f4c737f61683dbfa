"""ONNX graphs that scale their image, or end in something else than logits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.random_models import random_model, random_pixels

from mobilenets.architecture.layers import Activation
from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.engine.session import Session
from mobilenets.errors import FormatError
from mobilenets.formats.assumed import scaling_name, sources
from mobilenets.formats.importing import import_model
from mobilenets.formats.onnx.write import onnx_graph
from mobilenets.model.model import Model

onnx = pytest.importorskip("onnx")
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def model_of(classes: int = 4) -> Model:
    network = mobilenet_v1(width_multiplier=0.25, resolution=32, classes=classes)
    return random_model(np.random.default_rng(0), network)


def graph_of(model: Model) -> Any:
    """The graph of a Model that reads normalized floats, without its description."""
    graph = onnx_graph(model, pixel_input=False)
    del graph.metadata_props[:]
    return graph


def written(path: Path, graph: Any) -> Path:
    path.write_bytes(graph.SerializeToString())
    return path


def with_scaling(graph: Any, steps: Sequence[tuple[str, Any]]) -> Any:
    """The graph with operators of a constant each before the first layer."""
    name = graph.graph.input[0].name
    nodes, last = [], name
    for number, (operator, value) in enumerate(steps):
        constant = np.array(value, np.float32).reshape((1, -1, 1, 1)) if np.ndim(value) else np.float32(value)
        graph.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(constant), f"constant{number}"))
        nodes.append(onnx.helper.make_node(operator, [last, f"constant{number}"], [f"scaled{number}"]))
        last = f"scaled{number}"
    for node in graph.graph.node:
        node.input[:] = [last if one == name else one for one in node.input]
    before = list(graph.graph.node)
    del graph.graph.node[:]
    graph.graph.node.extend([*nodes, *before])
    return graph


@pytest.mark.parametrize(
    ("steps", "name"),
    [
        ([("Div", 255.0), ("Sub", MEAN), ("Div", STD)], "imagenet"),
        ([("Sub", MEAN), ("Div", STD)], "imagenet"),
        ([("Sub", tuple(255 * one for one in MEAN)), ("Mul", tuple(1 / (255 * one) for one in STD))], "imagenet"),
        ([("Mul", 1 / 127.5), ("Add", -1.0)], "-1..1"),
        ([("Div", 255.0)], "0..1"),
    ],
)
def test_scaling_of_the_image_in_the_graph_is_its_preprocessing(
    tmp_path: Path, steps: list[tuple[str, Any]], name: str
) -> None:
    model = import_model(written(tmp_path / "model.onnx", with_scaling(graph_of(model_of()), steps)))
    assert scaling_name(model.preprocessing) == name
    assert sources(model)["input_scaling"] == "the graph"


@pytest.mark.parametrize("steps", [[("Div", 0.0)], [("Mul", (1.0, 2.0))], [("Mul", -1.0)], [("Add", float("nan"))]])
def test_scalings_that_no_preprocessing_has_are_refused(tmp_path: Path, steps: list[tuple[str, Any]]) -> None:
    with pytest.raises(FormatError, match="image"):
        import_model(written(tmp_path / "model.onnx", with_scaling(graph_of(model_of()), steps)))


def with_end(graph: Any, *operators: str, value: float = 1.0, also: bool = False) -> Any:
    """The graph with operators behind its logits."""
    last = graph.graph.output[0].name
    for operator in operators:
        inputs = [last]
        if operator in ("Div", "Mul"):
            graph.graph.initializer.append(onnx.numpy_helper.from_array(np.float32(value).reshape(()), "number"))
            inputs.append("number")
        graph.graph.node.append(onnx.helper.make_node(operator, inputs, [f"{operator}_out"]))
        last = f"{operator}_out"
    if also:
        graph.graph.output.add().name = last
    else:
        graph.graph.output[0].name = last
    return graph


@pytest.mark.parametrize(
    ("operators", "also", "factor"),
    [(("LogSoftmax",), False, 1), (("Div",), False, 0.5), (("Div", "Softmax"), False, 0.5), (("Softmax",), True, 1)],
)
def test_ends_that_leave_the_answers_are_left_out(
    tmp_path: Path, operators: tuple[str, ...], also: bool, factor: float
) -> None:
    model = model_of()
    found = import_model(written(tmp_path / "model.onnx", with_end(graph_of(model), *operators, value=2.0, also=also)))
    pixels = random_pixels(np.random.default_rng(1), model.network)
    expected = Session(import_model(written(tmp_path / "plain.onnx", graph_of(model)))).run(pixels)
    np.testing.assert_allclose(Session(found).run(pixels), expected * factor, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize(
    ("operators", "message"),
    [
        (("ArgMax",), "gives answers, and not the scores"),
        (("Softmax", "ArgMax"), "a softmax in the middle of the network; where it is the last layer, export"),
        (("Sigmoid",), "ends in 4 sigmoids"),
    ],
)
def test_other_ends_are_refused_with_the_way_out(tmp_path: Path, operators: tuple[str, ...], message: str) -> None:
    with pytest.raises(FormatError, match=message):
        import_model(written(tmp_path / "model.onnx", with_end(graph_of(model_of()), *operators)))


def test_one_sigmoid_is_two_classes(tmp_path: Path) -> None:
    model = model_of(classes=1)
    found = import_model(written(tmp_path / "model.onnx", with_end(graph_of(model), "Sigmoid")))
    named = import_model(written(tmp_path / "logit.onnx", graph_of(model)), labels=("no", "yes"))
    pixels = random_pixels(np.random.default_rng(1), model.network)
    logits = Session(found).run(pixels)
    assert logits.shape == (len(pixels), 2)
    np.testing.assert_array_equal(logits, Session(named).run(pixels))
    np.testing.assert_array_equal(logits[:, 0], -logits[:, 1])


@pytest.mark.parametrize(
    ("producer", "activation", "mean"),
    [("pytorch", Activation.RELU6, 0.5), ("tf2onnx", Activation.RELU6, 0.5), ("pytorch", Activation.RELU, 0.485)],
)
def test_what_is_assumed_follows_who_wrote_the_file(
    tmp_path: Path, producer: str, activation: Activation, mean: float
) -> None:
    """timm trained V1 with ReLU6 on -1..1."""
    network = mobilenet_v1(width_multiplier=0.25, resolution=32, classes=4, activation=activation)
    graph = graph_of(random_model(np.random.default_rng(0), network))
    graph.producer_name = producer
    assert import_model(written(tmp_path / "model.onnx", graph)).preprocessing.mean[0] == mean
