"""LiteRT graphs that this package's writer does not write."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mobilenets.formats.litert.flatbuffer import Operator, Subgraph, Tensor, serialize


def hard_graph(*, int8: bool) -> bytes:
    """A file with a hard-swish, a hard-sigmoid spelled out as Keras does, and a product of a map and channels."""
    return serialize(_HardGraph(int8=int8).graph, {}, description="hard")


class _HardGraph:
    def __init__(self, *, int8: bool) -> None:
        self.int8 = int8
        self.graph = Subgraph("main")
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


def with_logits_as_output(content: bytes) -> bytes:
    """A file whose last operator is a softmax, with what that reads as its output.

    Args:
        content: The file's bytes.
    """
    import tflite

    changed = bytearray(content)
    graph = tflite.Model.GetRootAsModel(changed, 0).Subgraphs(0)
    logits = graph.Operators(graph.OperatorsLength() - 1).Inputs(0)
    table = graph._tab
    place = table.Vector(table.Offset(8))  # the field of outputs
    changed[place : place + 4] = int(logits).to_bytes(4, "little")
    return bytes(changed)
