"""Each of two files that hold one network is refused as the part that it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.support.converter_graphs import ConverterGraph
from tests.support.random_models import random_model

from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.errors import FormatError
from mobilenets.formats.importing import import_model, recognition
from mobilenets.formats.litert.flatbuffer import Operator, Subgraph, Tensor, serialize
from mobilenets.formats.onnx.write import onnx_graph

CUT = "block6.pointwise/Relu"


def refusal(path: Path) -> str:
    with pytest.raises(FormatError) as caught:
        import_model(path)
    return str(caught.value)


def test_halves_of_an_onnx_graph(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    network = mobilenet_v1(width_multiplier=0.25, resolution=64, classes=5)
    graph = onnx_graph(random_model(np.random.default_rng(0), network), pixel_input=False)
    del graph.metadata_props[:]
    onnx.save(graph, tmp_path / "whole.onnx")
    onnx.utils.extract_model(tmp_path / "whole.onnx", tmp_path / "first.onnx", ["input"], [CUT])
    onnx.utils.extract_model(tmp_path / "whole.onnx", tmp_path / "second.onnx", [CUT], ["classifier"])
    first, second = refusal(tmp_path / "first.onnx"), refusal(tmp_path / "second.onnx")
    assert "block6.pointwise gives a map of 4×4 with 128 channels" in first
    assert "the first part of a network that was cut in two" in first
    assert f"the input {CUT!r} is a map of 4×4 with 128 channels and no image" in second
    assert "the second part of a network that was cut in two" in second


def pooled(path: Path, shape: tuple[int, ...]) -> Path:
    """A LiteRT file that halves a map."""
    graph = Subgraph("main")
    graph.inputs.append(graph.add(Tensor("features", "FLOAT32", shape)))
    halved = (1, shape[1] // 2, shape[2] // 2, shape[3])
    output = graph.add(Tensor("halved", "FLOAT32", halved))
    window = {"StrideH": 2, "StrideW": 2, "FilterHeight": 2, "FilterWidth": 2, "Padding": 1}
    graph.operators.append(Operator("MAX_POOL_2D", (0,), output, "Pool2DOptions", window, 1))
    graph.outputs.append(output)
    path.write_bytes(serialize(graph, {}, description="half"))
    return path


def test_halves_of_a_litert_graph(tmp_path: Path) -> None:
    first, second = pooled(tmp_path / "1.tflite", (1, 8, 8, 3)), pooled(tmp_path / "2.tflite", (1, 4, 4, 128))
    assert "the first part of a network that was cut in two" in refusal(first)
    assert "'features' is a map of 4×4 with 128 channels and no image" in refusal(second)


def test_a_first_half_that_ends_in_an_activation_is_read_with_a_warning(tmp_path: Path) -> None:
    (tmp_path / "features.tflite").write_bytes(ConverterGraph("none").content())
    said = recognition(import_model(tmp_path / "features.tflite"))["features"]
    assert "the network has no top" in said
    assert "may be the first part of a network that was cut in two" in said
