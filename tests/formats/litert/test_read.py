"""LiteRT files become Models; the official uint8 networks lose nothing on the way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from tests.conftest import shared
from tests.support.fixed_point import fixed_point_layer, run_fixed_point, softmax_bytes

from mobilenets.architecture.layers import Activation
from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.formats.litert.flatbuffer import Graph, Operator, Tensor, serialize
from mobilenets.formats.litert.read import from_tflite
from mobilenets.model import reference
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


class HardGraph:
    """A LiteRT graph with a hard-swish, hard-sigmoids spelled out, and a product of a map and channels."""

    def __init__(self, *, int8: bool) -> None:
        self.int8 = int8
        self.graph = Graph("main")
        rng = np.random.default_rng(0)
        image = self.tensor("input", (1, 4, 4, 3), 2 / 255, 0)
        self.graph.inputs.append(image)
        map_ = self.convolution("swish", image, rng.normal(size=(8, 1, 1, 3)), (1, 4, 4, 8))
        map_ = self.operator("HARD_SWISH", [map_], "swish/out", (1, 4, 4, 8), 0.02, -100)
        pool = self.operator(
            "MEAN", [map_, self.axes()], "pool", (1, 1, 1, 8), 0.01, -90, "ReducerOptions", KeepDims=True
        )
        gate = self.convolution("gate", pool, rng.normal(size=(8, 1, 1, 8)), (1, 1, 1, 8))
        plus = self.operator(
            "ADD",
            [gate, self.constant("three", 3.0)],
            "plus",
            (1, 1, 1, 8),
            6 / 255,
            -128,
            "AddOptions",
            FusedActivationFunction=3,
        )
        gate = self.operator(
            "MUL", [plus, self.constant("sixth", 1 / 6)], "gate/out", (1, 1, 1, 8), 1 / 255, -128, "MulOptions"
        )
        scaled = self.operator("MUL", [gate, map_], "scaled", (1, 4, 4, 8), 0.03, -80, "MulOptions")
        self.graph.outputs.append(
            self.operator(
                "MEAN", [scaled, self.axes()], "average", (1, 1, 1, 8), 0.03, -80, "ReducerOptions", KeepDims=True
            )
        )

    def tensor(self, name: str, shape: tuple[int, ...], scale: float, zero_point: int) -> int:
        if not self.int8:
            return self.graph.add(Tensor(name, "FLOAT32", shape))
        numbers = np.array([scale], np.float32), np.array([zero_point], np.int64)
        return self.graph.add(Tensor(name, "INT8", shape, None, *numbers))

    def operator(
        self,
        code: str,
        inputs: list[int],
        name: str,
        shape: tuple[int, ...],
        scale: float,
        zero_point: int,
        options: str = "",
        **settings: object,
    ) -> int:
        made = self.tensor(name, shape, scale, zero_point)
        version = {"CONV_2D": 3, "HARD_SWISH": 1}.get(code, 2) if self.int8 else 1
        self.graph.operators.append(Operator(code, tuple(inputs), made, options, settings, version))
        return made

    def axes(self) -> int:
        axes = np.array([1, 2], np.int32)
        return self.graph.add(Tensor(f"axes{len(self.graph.tensors)}", "INT32", (2,), axes))

    def constant(self, name: str, value: float) -> int:
        if not self.int8:
            return self.graph.add(Tensor(name, "FLOAT32", (1,), np.array([value], np.float32)))
        scale, zero_point = np.array([value / 255], np.float32), np.array([-128], np.int64)
        return self.graph.add(Tensor(name, "INT8", (1,), np.array([127], np.int8), scale, zero_point))

    def convolution(self, name: str, source: int, weight: npt.NDArray[Any], shape: tuple[int, ...]) -> int:
        out = len(weight)
        if self.int8:
            scale, source_scale = np.full(out, 0.02, np.float32), self.graph.tensors[source].scale[0]
            values = np.clip(np.rint(weight / 0.02), -127, 127).astype(np.int8)
            kernel = Tensor(f"{name}/w", "INT8", weight.shape, values, scale, np.zeros(out, np.int64))
            bias = Tensor(
                f"{name}/b",
                "INT32",
                (out,),
                np.arange(out, dtype=np.int32),
                scale * source_scale,
                np.zeros(out, np.int64),
            )
        else:
            kernel = Tensor(f"{name}/w", "FLOAT32", weight.shape, weight.astype(np.float32))
            bias = Tensor(f"{name}/b", "FLOAT32", (out,), np.arange(out, dtype=np.float32))
        inputs = [source, self.graph.add(kernel), self.graph.add(bias)]
        settings = {"StrideH": 1, "StrideW": 1, "Padding": 1}
        return self.operator("CONV_2D", inputs, name, shape, 0.05, 10, "Conv2DOptions", **settings)


@pytest.mark.parametrize("int8", [False, True])
def test_hard_swish_hard_sigmoid_and_products_are_read(tmp_path: Path, int8: bool) -> None:
    pytest.importorskip("flatbuffers")
    pytest.importorskip("tflite")
    path = tmp_path / "model.tflite"
    path.write_bytes(serialize(HardGraph(int8=int8).graph, {}, description="hard"))
    model = from_tflite(path)
    kinds = [(layer.name, layer.kind, layer.activation) for layer in model.network.layers]
    assert kinds == [
        ("swish", "pointwise", Activation.HARD_SWISH),
        ("pool", "average pool", Activation.NONE),
        ("gate", "pointwise", Activation.HARD_SIGMOID),
        ("scaled", "multiply", Activation.NONE),
        ("average", "average pool", Activation.NONE),
    ]
    assert model.network["scaled"].inputs == ("swish", "gate")  # the map first, whatever the file's order
    if int8:
        assert model.quantization is not None
        before = model.quantization.pre_activations
        assert before == {"swish": TensorQuantization(0.05, 138), "gate": TensorQuantization(0.05, 138)}
        assert model.quantization.activations["swish"] == TensorQuantization(0.02, 28)
        assert model.quantization.activations["gate"] == TensorQuantization(1 / 255, 0)
    pixels = np.random.default_rng(2).integers(0, 256, (2, 4, 4, 3), dtype=np.uint8)
    (values,) = reference.run(model, pixels).values()
    assert np.isfinite(values).all()


@pytest.mark.parametrize("int8", [False, True])
def test_what_was_read_answers_as_litert_does(tmp_path: Path, int8: bool) -> None:
    interpreter = pytest.importorskip("ai_edge_litert.interpreter")
    path = tmp_path / "model.tflite"
    path.write_bytes(serialize(HardGraph(int8=int8).graph, {}, description="hard"))
    model = from_tflite(path)
    pixels = np.random.default_rng(2).integers(0, 256, (1, 4, 4, 3), dtype=np.uint8)
    running = interpreter.Interpreter(str(path))
    running.allocate_tensors()
    (source,), (target,) = running.get_input_details(), running.get_output_details()
    values = (pixels.astype(np.int16) - 128).astype(np.int8) if int8 else model.preprocessing.normalize(pixels)
    running.set_tensor(source["index"], values)
    running.invoke()
    found = running.get_tensor(target["index"])[:, 0, 0].astype(np.float64)
    if int8:
        found = 0.03 * (found + 80)
    (expected,) = reference.run(model, pixels).values()
    # LiteRT rounds a hard-sigmoid that is spelled out after each of its steps.
    np.testing.assert_allclose(found, expected, rtol=0, atol=0.05 if int8 else 1e-5)
