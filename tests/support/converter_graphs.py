"""LiteRT graphs of a small MobileNet as TensorFlow's converter writes them: heads, kinds of numbers, ends."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from mobilenets.formats.litert.flatbuffer import Operator, Subgraph, Tensor, serialize

Head = Literal[
    "top",
    "seq",
    "rescaled",
    "preprocessed",
    "reversed",
    "taken apart",
    "gathered",
    "sigmoid",
    "two dense",
    "none",
    "map",
    "sigmoids",
    "number",
]
REORDERED: tuple[Head, ...] = ("reversed", "taken apart", "gathered")
"""Heads before whose network the channels of the image are reversed, and then scaled."""
Kind = Literal["float32", "float16", "dynamic", "int8", "int16"]
Ends = Literal["float32", "int8", "uint8"]

Array = npt.NDArray[Any]
SIDE = 32
LONG = "model/mobilenet/very_long_name_of_a_block/" * 4
"""Converters join the names of all nodes that they have fused."""
_OF_SHAPES = {"RESHAPE": 1, "SHAPE": 1, "STRIDED_SLICE": 1, "PACK": 1}
_VERSIONS: dict[str, dict[str, int]] = {
    "float32": {},
    "float16": {"DEQUANTIZE": 3},
    "dynamic": {"CONV_2D": 5, "DEPTHWISE_CONV_2D": 6, "FULLY_CONNECTED": 9},
    "int8": {"": 2, **_OF_SHAPES, "CONV_2D": 3, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 4},
    "int16": {
        "": 2,
        **_OF_SHAPES,
        "CONV_2D": 4,
        "DEPTHWISE_CONV_2D": 5,
        "FULLY_CONNECTED": 4,
        "DEQUANTIZE": 3,
        "MUL": 5,
        "ADD": 3,
        "SUB": 3,
        "SOFTMAX": 3,
        "LOGISTIC": 3,
    },
}
"""Versions of operators; under no name, of all others."""
_IMAGE, _ONE, _TWO = (-1.0, 1.0), (0.0, 6.0), (-8.0, 8.0)


@dataclass
class ConverterGraph:
    """A graph with the head, the numbers and the ends that are asked for.

    Attributes:
        head: What comes behind the last block, and before the first.
        kind: Numbers of weights and activations.
        ends: Numbers of the input and the output of an int8 graph.
    """

    head: Head
    kind: Kind = "float32"
    ends: Ends = "float32"
    graph: Subgraph = field(default_factory=lambda: Subgraph("main"))
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(5))

    def content(self) -> bytes:
        """The file's bytes."""
        value = self.stem(self.image())
        if self.head == "map":
            value = self.weighted("CONV_2D", "boxes", value, (4, 1, 1, 16), _TWO, activation=0)
            value = self.operator("SOFTMAX", [value], "softmax", (1, 8, 8, 4), (0.0, 1.0), "SoftmaxOptions", Beta=1.0)
        elif self.head != "none":
            value = self.classifier(value)
        self.output(value)
        return serialize(self.graph, {}, description="MLIR Converted.")

    # Numbers

    def computed(self, name: str, shape: tuple[int, ...], span: tuple[float, float]) -> Tensor:
        """A tensor that the graph computes, for numbers of a range."""
        if self.kind in ("float32", "float16", "dynamic"):
            return Tensor(name, "FLOAT32", shape)
        low, high = span
        if self.kind == "int16":
            scale = max(-low, high) / 32767
            return Tensor(name, "INT16", shape, None, np.array([scale], np.float32), np.zeros(1, np.int64))
        scale = (high - low) / 255
        zero_point = int(np.rint(-128 - low / scale))
        return Tensor(name, "INT8", shape, None, np.array([scale], np.float32), np.array([zero_point], np.int64))

    def real(self, name: str, shape: tuple[int, ...]) -> Tensor:
        return Tensor(name, "FLOAT32", shape)

    def constant(self, name: str, value: Array) -> int:
        """Numbers that are added to an activation or multiplied by it."""
        if self.kind in ("float32", "float16", "dynamic"):
            return self.graph.add(Tensor(name, "FLOAT32", value.shape, value.astype(np.float32)))
        high = float(value.max()) if value.max() > 0 else float(-value.min())
        if self.kind == "int16":
            stored, kind, scale, zero_point = np.rint(value / high * 32767).astype(np.int16), "INT16", high / 32767, 0
        else:
            zero_point = -128 if value.max() > 0 else 127
            stored = (np.rint(value / high * 255) + zero_point).astype(np.int8)
            kind, scale = "INT8", high / 255
        numbers = np.array([scale], np.float32), np.array([zero_point], np.int64)
        return self.graph.add(Tensor(name, kind, value.shape, stored, *numbers))

    def integers(self, name: str, *values: Any) -> int:
        array = np.array(values, np.int32)
        return self.graph.add(Tensor(name, "INT32", array.shape, array))

    def weight(self, name: str, value: Array, axis: int) -> int:
        value = value.astype(np.float32)
        if self.kind == "float32":
            return self.graph.add(Tensor(name, "FLOAT32", value.shape, value))
        if self.kind == "float16":
            stored = self.graph.add(Tensor(f"{name}/half", "FLOAT16", value.shape, value.astype(np.float16)))
            return self.operator("DEQUANTIZE", [stored], self.real(name, value.shape), options="DequantizeOptions")
        others = tuple(number for number in range(value.ndim) if number != axis)
        scale = np.abs(value).max(axis=others) / 127
        shape = [1] * value.ndim
        shape[axis] = -1
        stored8 = np.rint(value / scale.reshape(shape)).astype(np.int8)
        zeros = np.zeros(len(scale), np.int64)
        return self.graph.add(Tensor(name, "INT8", value.shape, stored8, scale.astype(np.float32), zeros, axis))

    def bias(self, name: str, value: Array, source: int, weight: int) -> int:
        if self.kind in ("float32", "float16", "dynamic"):
            return self.graph.add(Tensor(name, "FLOAT32", value.shape, value.astype(np.float32)))
        scale = self.graph.tensors[source].scale[0] * self.graph.tensors[weight].scale.astype(np.float64)
        kind, dtype = ("INT64", np.int64) if self.kind == "int16" else ("INT32", np.int32)
        stored = np.rint(value / scale).astype(dtype)
        return self.graph.add(
            Tensor(name, kind, value.shape, stored, scale.astype(np.float32), np.zeros(len(value), np.int64))
        )

    # Operators

    def operator(
        self,
        code: str,
        inputs: list[int],
        output: Tensor | str,
        shape: tuple[int, ...] = (),
        span: tuple[float, float] = _ONE,
        options: str = "",
        **settings: Any,
    ) -> int:
        made = output if isinstance(output, Tensor) else self.computed(output, shape, span)
        index = self.graph.add(made)
        version = _VERSIONS[self.kind].get(code, _VERSIONS[self.kind].get("", 1))
        self.graph.operators.append(Operator(code, tuple(inputs), index, options, settings, version))
        return index

    def weighted(
        self,
        code: str,
        name: str,
        source: int,
        shape: tuple[int, ...],
        span: tuple[float, float],
        *,
        activation: int = 3,
    ) -> int:
        """A layer with weights; of stride 1 and without padding if it is a convolution of one pixel."""
        axis = 3 if code == "DEPTHWISE_CONV_2D" else 0
        fan_in = int(np.prod(shape)) / shape[axis]
        weight = self.weight(f"{LONG}{name}/kernel", self.rng.normal(0, 1.4 / np.sqrt(fan_in), shape), axis)
        bias = self.bias(f"{LONG}{name}/bias", self.rng.normal(0, 0.5, shape[axis]), source, weight)
        before = self.graph.tensors[source].shape
        name = f"{LONG}{name}/Relu6;{LONG}{name}_bn/FusedBatchNormV3;{LONG}{name}/Conv2D"
        if code == "FULLY_CONNECTED":
            return self.operator(
                code,
                [source, weight, bias],
                name,
                (1, shape[0]),
                span,
                "FullyConnectedOptions",
                FusedActivationFunction=activation,
            )
        kernel, same = shape[1], {1: 1, 3: 1}[shape[1]]
        stride = 2 if kernel == 3 and shape[0] == 8 else 1
        padding = 0 if code == "DEPTHWISE_CONV_2D" else same
        side = before[1] if padding == 0 else (before[1] - kernel) // stride + 1
        settings = {"StrideH": stride, "StrideW": stride, "Padding": padding, "FusedActivationFunction": activation}
        options = "Conv2DOptions"
        if code == "DEPTHWISE_CONV_2D":
            options, settings = "DepthwiseConv2DOptions", {**settings, "DepthMultiplier": 1}
        made = (1, side, side, shape[axis])
        return self.operator(code, [source, weight, bias], name, made, span, options, **settings)

    def image(self) -> int:
        """The image as the first layer reads it."""
        scales = self.head in ("rescaled", "preprocessed", *REORDERED)
        span = (0.0, 255.0) if scales else _IMAGE
        shape = (1, SIDE, SIDE, 3)
        inner = self.computed("input", shape, span)
        if inner.kind != "FLOAT32" and self.ends != "int8":
            outer = self.real("serving_default", shape)
            if self.ends == "uint8":
                outer = Tensor("serving_default", "UINT8", shape, None, inner.scale, inner.zero_point + 128)
            index = self.graph.add(outer)
            self.graph.inputs.append(index)
            value = self.operator("QUANTIZE", [index], inner, options="QuantizeOptions")
        else:
            value = self.graph.add(inner)
            self.graph.inputs.append(value)
        if self.head in REORDERED:
            value = self.reversed(value, inner)
        if self.head in ("rescaled", *REORDERED):
            factor = self.constant("factor", np.array([1 / 127.5]))
            value = self.operator("MUL", [value, factor], "scaled", shape, (0.0, 2.0), "MulOptions")
            value = self.operator(
                "ADD", [value, self.constant("minus", np.array([-1.0]))], "moved", shape, _IMAGE, "AddOptions"
            )
        elif self.head == "preprocessed":
            one = self.constant("one", np.array([127.5]))
            if self.kind in ("float32", "float16", "dynamic"):
                value = self.operator("DIV", [value, one], "scaled", shape, (0.0, 2.0), "DivOptions")
            else:
                factor = self.constant("factor", np.array([1 / 127.5]))
                value = self.operator("MUL", [value, factor], "scaled", shape, (0.0, 2.0), "MulOptions")
            value = self.operator(
                "SUB", [value, self.constant("plus", np.array([1.0]))], "moved", shape, _IMAGE, "SubOptions"
            )
        return value

    def reversed(self, value: int, image: Tensor) -> int:
        """The image with its channels from the last to the first, as ``x[..., ::-1]`` and others are converted."""

        def made(name: str, shape: tuple[int, ...]) -> Tensor:
            return Tensor(name, image.kind, shape, None, image.scale, image.zero_point)

        if self.head == "gathered":
            which, whole = self.integers("which", 2, 1, 0), made("gathered", image.shape)
            return self.operator("GATHER", [value, which], whole, options="GatherOptions", Axis=3)
        steps, zeros = self.integers("steps", 1, 1, 1, 1), self.integers("zeros", 0, 0, 0, 0)
        if self.head == "reversed":
            bounds = [zeros, zeros, self.integers("back", 1, 1, 1, -1)]
            masks: dict[str, Any] = {"BeginMask": 15, "EndMask": 15}
            whole = made("reversed", image.shape)
            return self.operator("STRIDED_SLICE", [value, *bounds], whole, options="StridedSliceOptions", **masks)
        ends = [self.integers(f"at{channel}", 0, 0, 0, channel) for channel in range(4)]
        masks = {"BeginMask": 7, "EndMask": 7, "ShrinkAxisMask": 8}
        parts = [
            self.operator(
                "STRIDED_SLICE",
                [value, ends[channel], ends[channel + 1], steps],
                made(f"channel{channel}", image.shape[:3]),
                options="StridedSliceOptions",
                **masks,
            )
            for channel in (2, 1, 0)
        ]
        whole = made("packed image", image.shape)
        return self.operator("PACK", parts, whole, options="PackOptions", ValuesCount=3, Axis=3)

    def stem(self, value: int) -> int:
        """Padding, a convolution, and a depthwise separable block with a linear bottleneck and a sum."""
        amounts = self.integers("amounts", [0, 0], [0, 1], [0, 1], [0, 0])
        padded = (1, SIDE + 1, SIDE + 1, 3)
        source = self.graph.tensors[value]
        made = Tensor("pad", source.kind, padded, None, source.scale, source.zero_point)
        value = self.operator("PAD", [value, amounts], made, options="PadOptions")
        value = self.weighted("CONV_2D", "stem", value, (8, 3, 3, 3), _ONE)
        value = self.weighted("DEPTHWISE_CONV_2D", "depthwise", value, (1, 3, 3, 8), _ONE)
        linear = self.weighted("CONV_2D", "project", value, (8, 1, 1, 8), _TWO, activation=0)
        shape = self.graph.tensors[value].shape
        value = self.operator("ADD", [value, linear], "add", shape, _TWO, "AddOptions")
        return self.weighted("CONV_2D", "last", value, (16, 1, 1, 8), _ONE)

    def classifier(self, value: int) -> int:
        """The head behind the last map."""
        axes, top = self.integers("axes", 1, 2), self.head == "top"
        shape = (1, 1, 1, 16) if top else (1, 16)
        value = self.operator("MEAN", [value, axes], "mean", shape, _ONE, "ReducerOptions", KeepDims=top)
        if top:
            value = self.weighted("CONV_2D", "preds", value, (4, 1, 1, 16), _TWO, activation=0)
            value = self.flattened(value)
        elif self.head == "two dense":
            value = self.weighted("FULLY_CONNECTED", "dense", value, (12, 16), _ONE, activation=1)
            value = self.weighted("FULLY_CONNECTED", "dense_1", value, (4, 12), _TWO, activation=0)
        else:
            units = 1 if self.head in ("sigmoid", "number") else 4
            value = self.weighted("FULLY_CONNECTED", "dense", value, (units, 16), _TWO, activation=0)
        units = self.graph.tensors[value].shape[1]
        span = (0.0, 32767 / 32768 if self.kind == "int16" else 255 / 256)
        if self.head in ("sigmoid", "sigmoids"):
            return self.operator("LOGISTIC", [value], "sigmoid", (1, units), span)
        if self.head in ("rescaled", "number"):
            return value
        return self.operator("SOFTMAX", [value], "softmax", (1, units), span, "SoftmaxOptions", Beta=1.0)

    def flattened(self, value: int) -> int:
        """Keras's reshape, which computes the batch."""
        source = self.graph.tensors[value]
        shape = self.operator("SHAPE", [value], Tensor("shape", "INT32", (4,)), options="ShapeOptions", OutType=2)
        ends = [self.integers("begin", 0), self.integers("end", 1), self.integers("step", 1)]
        batch = self.operator(
            "STRIDED_SLICE",
            [shape, *ends],
            Tensor("batch", "INT32", ()),
            options="StridedSliceOptions",
            ShrinkAxisMask=1,
        )
        classes = self.graph.add(Tensor("classes", "INT32", (), np.array(4, np.int32)))
        packed = self.operator(
            "PACK", [batch, classes], Tensor("packed", "INT32", (2,)), options="PackOptions", ValuesCount=2
        )
        made = Tensor("reshape", source.kind, (1, 4), None, source.scale, source.zero_point)
        return self.operator("RESHAPE", [value, packed], made, options="ReshapeOptions")

    def output(self, value: int) -> None:
        """The output, in the numbers that are asked for."""
        inner = self.graph.tensors[value]
        if inner.kind != "FLOAT32" and self.ends != "int8":
            if self.ends == "uint8":
                outer = Tensor("out", "UINT8", inner.shape, None, inner.scale, inner.zero_point + 128)
                value = self.operator("QUANTIZE", [value], outer, options="QuantizeOptions")
            else:
                value = self.operator("DEQUANTIZE", [value], self.real("out", inner.shape), options="DequantizeOptions")
        self.graph.outputs.append(value)
