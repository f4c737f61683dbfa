"""What TensorFlow's converter writes is read: every head, every kind of numbers, every kind of ends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from tests.support.converter_graphs import REORDERED, SIDE, ConverterGraph, Ends, Head, Kind

from mobilenets.engine.session import Session
from mobilenets.errors import FormatError
from mobilenets.formats.importing import import_model, recognition
from mobilenets.formats.litert.flatbuffer import Operator, Subgraph, Tensor, serialize
from mobilenets.model.file import load, save
from mobilenets.model.model import Model

pytest.importorskip("flatbuffers")
pytest.importorskip("tflite")

HEADS: tuple[Head, ...] = ("top", "seq", "rescaled", "preprocessed", *REORDERED, "sigmoid", "two dense")
SCALED = ("rescaled", "preprocessed", *REORDERED)
NUMBERS: tuple[tuple[Kind, Ends], ...] = (
    ("float32", "float32"),
    ("float16", "float32"),
    ("dynamic", "float32"),
    ("int8", "float32"),
    ("int8", "int8"),
    ("int8", "uint8"),
    ("int16", "float32"),
)
TOLERANCES = {"float32": 1e-5, "float16": 1e-5, "dynamic": 0.05, "int8": 0.03, "int16": 0.01}
"""Largest difference of a probability. Dynamic range rounds activations, and int8 the probabilities too."""


def read_again(content: bytes, folder: Path) -> Model:
    """The Model of a file, written and loaded."""
    (folder / "model.tflite").write_bytes(content)
    save(import_model(folder / "model.tflite"), folder / "model.safetensors")
    return load(folder / "model.safetensors")


def run_interpreter(content: bytes, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Real outputs by LiteRT for real inputs, one image at a time."""
    interpreters = pytest.importorskip("ai_edge_litert.interpreter")
    interpreter = interpreters.Interpreter(model_content=content)
    interpreter.allocate_tensors()
    source, target = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    rows = []
    for value in values:
        if source["dtype"] != np.float32:
            scale, zero_point = source["quantization"]
            limits = np.iinfo(source["dtype"])
            value = np.rint(value / scale + zero_point).clip(limits.min, limits.max)
        interpreter.set_tensor(source["index"], value[None].astype(source["dtype"]))
        interpreter.invoke()
        row = interpreter.get_tensor(target["index"]).astype(np.float64)
        if target["dtype"] != np.float32:
            scale, zero_point = target["quantization"]
            row = (row - zero_point) * scale
        rows.append(row)
    return np.concatenate(rows)


def softmax(logits: npt.NDArray[Any]) -> npt.NDArray[Any]:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: npt.NDArray[Any] = powers / powers.sum(axis=1, keepdims=True)
    return shares


@pytest.mark.parametrize(("kind", "ends"), NUMBERS)
@pytest.mark.parametrize("head", HEADS)
def test_a_converted_network_answers_as_litert_does(head: Head, kind: Kind, ends: Ends, tmp_path: Path) -> None:
    if kind == "int16" and head in SCALED:
        pytest.skip("LiteRT's 16-bit sums take scales that are powers of two")
    content = ConverterGraph(head, kind, ends).content()
    model = read_again(content, tmp_path)
    assert model.precision == ("int8" if kind == "int8" else "float32")
    assert max(len(layer.name) for layer in model.network.layers) <= 90
    scaled_inside = head in SCALED
    pixels = np.random.default_rng(1).integers(0, 256, (4, SIDE, SIDE, 3), dtype=np.uint8)
    found = run_interpreter(content, pixels.astype(np.float64) if scaled_inside else pixels / 127.5 - 1)
    ours = softmax(Session(model).run(pixels).astype(np.float64))
    if head == "sigmoid":
        assert len(model.labels) == 2
        found = np.concatenate([1 - found, found], axis=1)
    if head == "rescaled":
        found = softmax(found)
    np.testing.assert_allclose(ours, found, rtol=0, atol=TOLERANCES[kind])
    if scaled_inside:
        np.testing.assert_allclose(model.preprocessing.mean, 0.5, atol=1e-6)
        np.testing.assert_allclose(model.preprocessing.std, 0.5, atol=1e-6)
        assert "[the graph]" in recognition(model)["input_scaling"]


def test_one_logit_of_two_named_classes_is_read(tmp_path: Path) -> None:
    (tmp_path / "model.tflite").write_bytes(ConverterGraph("number").content())
    model = import_model(tmp_path / "model.tflite", labels=("cat", "dog"))
    logits = Session(model).run(np.zeros((1, SIDE, SIDE, 3), np.uint8))
    assert model.labels == ("cat", "dog")
    assert logits[0, 0] == 0


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        ("map", r"a map of 16×16 with 4 channels, as networks for finding objects \(FOMO, SSD\)"),
        ("sigmoids", "ends in 4 sigmoids: classes that do not exclude each other"),
        ("number", "gives one number, without a sigmoid"),
    ],
)
def test_what_is_no_classifier_is_refused_with_the_reason(head: Head, reason: str, tmp_path: Path) -> None:
    (tmp_path / "model.tflite").write_bytes(ConverterGraph(head).content())
    with pytest.raises(FormatError, match=reason):
        import_model(tmp_path / "model.tflite")


def test_a_network_without_its_classifier_says_so(tmp_path: Path) -> None:
    model = read_again(ConverterGraph("none").content(), tmp_path)
    facts = recognition(model)
    assert facts["features"].startswith("16: ")
    assert "classes" not in facts


def test_a_saved_model_and_a_frozen_graph_are_named(tmp_path: Path) -> None:
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "saved_model.pb").write_bytes(b"\x08\x01")
    with pytest.raises(FormatError, match=r"is a SavedModel, .*TFLiteConverter\.from_saved_model"):
        import_model(tmp_path / "saved")
    (tmp_path / "frozen.pb").write_bytes(b"\x0a\x10graph")
    with pytest.raises(FormatError, match=r"is a frozen graph of TensorFlow 1\. .*from_frozen_graph"):
        import_model(tmp_path / "frozen.pb")


def one_channel_graph() -> bytes:
    """A grey image of bytes, cast, and a convolution that the converter writes as depthwise."""
    rng, graph = np.random.default_rng(0), Subgraph("main")
    graph.inputs.append(graph.add(Tensor("grey", "UINT8", (1, 8, 8, 1))))
    cast = graph.add(Tensor("cast", "FLOAT32", (1, 8, 8, 1)))
    graph.operators.append(Operator("CAST", (0,), cast, "CastOptions", {"InDataType": 3, "OutDataType": 0}))
    shade = graph.add(Tensor("shade", "FLOAT32", (), np.array(1 / 255, np.float32)))
    scaled = graph.add(Tensor("scaled", "FLOAT32", (1, 8, 8, 1)))
    graph.operators.append(Operator("MUL", (cast, shade), scaled, "MulOptions"))
    weight = graph.add(Tensor("w", "FLOAT32", (1, 3, 3, 8), rng.normal(size=(1, 3, 3, 8)).astype(np.float32)))
    bias = graph.add(Tensor("b", "FLOAT32", (8,), rng.normal(size=8).astype(np.float32)))
    stem = graph.add(Tensor("stem", "FLOAT32", (1, 4, 4, 8)))
    settings = {"StrideH": 2, "StrideW": 2, "Padding": 0, "DepthMultiplier": 8, "FusedActivationFunction": 1}
    graph.operators.append(
        Operator("DEPTHWISE_CONV_2D", (scaled, weight, bias), stem, "DepthwiseConv2DOptions", settings)
    )
    mean = graph.add(Tensor("mean", "FLOAT32", (1, 8)))
    axes = graph.add(Tensor("axes", "INT32", (2,), np.array([1, 2], np.int32)))
    graph.operators.append(Operator("MEAN", (stem, axes), mean, "ReducerOptions", {"KeepDims": False}))
    dense = graph.add(Tensor("d", "FLOAT32", (3, 8), rng.normal(size=(3, 8)).astype(np.float32)))
    graph.outputs.append(graph.add(Tensor("out", "FLOAT32", (1, 3))))
    graph.operators.append(Operator("FULLY_CONNECTED", (mean, dense, -1), graph.outputs[0], "FullyConnectedOptions"))
    return serialize(graph, {})


def test_a_grey_image_of_bytes_is_read_as_its_pixels(tmp_path: Path) -> None:
    interpreters = pytest.importorskip("ai_edge_litert.interpreter")
    content = one_channel_graph()
    model = read_again(content, tmp_path)
    assert (model.network.channels, model.network.layers[0].kind) == (1, "convolution")
    pixels = np.random.default_rng(1).integers(0, 256, (1, 8, 8, 1), dtype=np.uint8)
    interpreter = interpreters.Interpreter(model_content=content)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], pixels)
    interpreter.invoke()
    found = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    np.testing.assert_allclose(Session(model).run(pixels), found, rtol=1e-5, atol=1e-5)
