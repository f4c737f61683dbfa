"""Model → LiteRT (``.tflite``): float32, float32 with float16 weights, and int8.

Maps are (N, height, width, channels) here. An int8 Model's numbers go over as they are, less 128, with one weight scale
per channel; one with weight zero points goes over as uint8 with one scale per layer, the only form in which LiteRT
knows them. Its output layers give real numbers, which LiteRT's integer kernels cannot: bytes would make ties of classes
that lie close. So the input of such a layer is turned into float32, and its weights too, when the file is loaded; they
are stored as the bytes they are. Every output is then the Model's but for the rounding of float32.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, assert_never

import numpy as np
import numpy.typing as npt

from mobilenets.architecture.layers import (
    INPUT,
    Activation,
    Add,
    Concatenate,
    Convolution,
    DepthwiseConvolution,
    GlobalAveragePool,
    Layer,
    Linear,
    MaxPool,
    Multiply,
    Padding,
    PointwiseConvolution,
    Shape,
)
from mobilenets.architecture.multipliers import PaddingPolicy
from mobilenets.base.atomic_write import write_atomically
from mobilenets.errors import FormatError
from mobilenets.formats.description import describe
from mobilenets.formats.format import SYMMETRIC, Options, option
from mobilenets.formats.litert import metadata as litert_metadata
from mobilenets.formats.litert.flatbuffer import Operator, Subgraph, Tensor, serialize
from mobilenets.model.folding import fold
from mobilenets.model.integer_weights import symmetric_weights
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import Pixels, pixel_scale_and_offset
from mobilenets.model.quantization import Quantization, TensorQuantization

DESCRIPTION_NAME = "mobilenets"
"""Under this name the metadata holds :func:`~mobilenets.formats.description.describe`'s texts, as one JSON object."""

Array = npt.NDArray[Any]
Weighted = Convolution | DepthwiseConvolution | PointwiseConvolution | Linear


def to_litert(
    model: Model,
    path: str | Path,
    *,
    weights: Literal["float32", "float16"] = "float32",
    int8_input: bool = False,
) -> None:
    """Write a Model as a LiteRT file.

    The file reads what :func:`litert_input` gives: uint8 pixels for an int8 Model, else float32 ones normalized as its
    metadata says, (N, height, width, 3) for any N. Outputs are float32, (N, C) where a map is 1×1, else (N, H, W, C).

    Args:
        model: float32 or int8; batch norms are folded, which LiteRT does not know.
        path: Where to.
        weights: How a float32 Model's weights are stored. An int8 Model's are stored as they are.
        int8_input: Whether the file of an int8 Model reads pixels less 128 as int8, as LiteRT's own converter has it,
            instead of the pixels. A Model with weight zero points reads pixels in either case.

    Raises:
        CompressionError: If a batch norm to fold holds what is not a finite number.
        FormatError: If the Model has weight zero points that differ between channels.
        MissingDependencyError: If flatbuffers or tflite is not installed.
        OSError: If the file cannot be written.
    """
    model = fold(model) if any(layer.batch_norm for layer in model.network.layers) else model
    graph = litert_graph(model, weights=weights, int8_input=int8_input)
    outputs = [graph.tensors[index].name for index in graph.outputs]
    metadata = {
        litert_metadata.NAME: litert_metadata.metadata(model, outputs),
        DESCRIPTION_NAME: json.dumps(describe(model), ensure_ascii=False).encode(),
    }
    content = serialize(graph, metadata, description=f"{model.network.name}, written by mobilenets")
    write_atomically(Path(path), content + litert_metadata.labels_archive(model))


def litert_input(model: Model, pixels: Pixels, *, int8: bool = False) -> Array:
    """What to give the file that :func:`to_litert` writes for pixels, uint8 (N, height, width, 3).

    Args:
        model: What was written.
        pixels: The images.
        int8: Whether the file reads int8.
    """
    if model.quantization is not None:
        return (pixels.astype(np.int16) - 128).astype(np.int8) if int8 else pixels
    mean, std = litert_metadata.mediapipe_normalization(model)
    return ((pixels - np.float32(mean)) / np.float32(std)).astype(np.float32)


def litert_graph(model: Model, *, weights: str = "float32", int8_input: bool = False) -> Subgraph:
    """The graph that :func:`to_litert` writes."""
    for layer in model.network.layers:
        if layer.batch_norm is not None:
            raise FormatError(f"{layer.name} has a batch norm, which LiteRT does not know")
    if model.quantization is None:
        writer = _Writer(model, half=weights == "float16")
    else:
        writer = _Writer(model, numbers=_Numbers(model, model.quantization))
    writer.read_input(int8_input)
    for layer in model.network.layers:
        writer.write(layer)
    writer.finish()
    return writer.graph


class _Numbers:
    """How the integers of an int8 Model are said in LiteRT: as INT8 less 128, or as UINT8."""

    def __init__(self, model: Model, quantization: Quantization) -> None:
        asymmetric = any(name.endswith(".weight_zero_point") for name in model.parameters)
        self.kind = "UINT8" if asymmetric else "INT8"
        self.per_channel = not asymmetric
        self.offset = 0 if asymmetric else 128
        self.dtype = np.uint8 if asymmetric else np.int8
        self.scales = quantization.activations
        self.before = quantization.pre_activations

    def tensor(self, name: str, shape: tuple[int, ...], held: TensorQuantization) -> Tensor:
        """A computed tensor in bytes."""
        zero_point = np.array([held.zero_point - self.offset], np.int64)
        return Tensor(name, self.kind, shape, scale=np.array([held.scale], np.float32), zero_point=zero_point)

    def weight(self, model: Model, layer: Weighted, values: Array, axis: int) -> Tensor:
        """A weight tensor, laid out already."""
        name = f"{layer.name}.weight"
        scale = model.parameters[f"{name}_scale"]
        zero_point = model.parameters.get(f"{name}_zero_point", np.zeros(len(scale), np.int8)).astype(np.int64)
        if not self.per_channel:
            if np.ptp(scale) or np.ptp(zero_point):
                raise FormatError(
                    f"{layer.name} has weight zero points and scales that differ between channels; "
                    "LiteRT takes zero points only with one scale per layer"
                )
            scale, zero_point, axis = scale[:1], zero_point[:1] + 128, 0
            values = (values.astype(np.int16) + 128).astype(np.uint8)
        return Tensor(name, self.kind, values.shape, values, scale, zero_point, axis)

    def bias(self, model: Model, layer: Weighted) -> Tensor:
        """A bias tensor: int32 at input scale · weight scale."""
        name, unit = f"{layer.name}.bias", np.float64(self.scales[layer.inputs[0]].scale)
        scale = (unit * model.parameters[f"{layer.name}.weight_scale"].astype(np.float64)).astype(np.float32)
        values = model.parameters[name]
        scale = scale if self.per_channel else scale[:1]
        return Tensor(name, "INT32", values.shape, values, scale, np.zeros(len(scale), np.int64))


@dataclass
class _Value:
    """What stands for one activation: a tensor of the graph, and whether it is (N, C) rather than (N, H, W, C)."""

    tensor: int
    flat: bool = False


@dataclass
class _Writer:
    """Appends the operators of one layer after the other."""

    model: Model
    half: bool = False
    numbers: _Numbers | None = None
    graph: Subgraph = field(default_factory=lambda: Subgraph("main"))
    values: dict[str, _Value] = field(default_factory=dict)

    def operator(self, code: str, inputs: list[int], output: Tensor, options: str = "", **settings: Any) -> int:
        """Append an operator and the tensor that it makes."""
        index = self.graph.add(output)
        version = _version(code, [self.graph.tensors[number] for number in inputs if number >= 0], output)
        self.graph.operators.append(Operator(code, tuple(inputs), index, options, settings, version))
        return index

    def constant(self, name: str, kind: str, values: Array) -> int:
        """A constant without quantization."""
        return self.graph.add(Tensor(name, kind, values.shape, values))

    def tensor(self, name: str, shape: tuple[int, ...], source: str | None) -> Tensor:
        """A computed tensor: in bytes with the scale of the activation ``source``, or float32 where that is real."""
        if self.numbers is None or source is None or source not in self.numbers.scales:
            return Tensor(name, "FLOAT32", shape)
        return self.numbers.tensor(name, shape, self.numbers.scales[source])

    def is_real(self, layer: Layer) -> bool:
        """Whether a layer of an int8 Model gives real numbers, and so is computed in float32."""
        return self.numbers is not None and layer.name not in self.numbers.scales

    def real(self, index: int, name: str) -> int:
        """A tensor of bytes as float32."""
        output = Tensor(name, "FLOAT32", self.graph.tensors[index].shape)
        return self.operator("DEQUANTIZE", [index], output, "DequantizeOptions")

    def quantized(self, index: int, output: Tensor) -> int:
        """A float32 tensor as bytes."""
        return self.operator("QUANTIZE", [index], output, "QuantizeOptions")

    # Into the network, and out of it

    def read_input(self, int8_input: bool) -> None:
        """The image; bytes of pixels become INT8 where the graph computes in that.

        By way of real numbers, as XNNPACK takes both of these operators, and not the one that would go from UINT8 to
        INT8: the whole graph is then its own.
        """
        network = self.model.network
        shape = (1, network.height, network.width, network.channels)
        if self.numbers is None:
            index = self.graph.add(Tensor(INPUT, "FLOAT32", shape))
            self.graph.inputs.append(index)
            if litert_metadata.mediapipe_normalization(self.model) == (0.0, 1.0):
                index = self.normalized(index, shape)
        elif int8_input and self.numbers.kind == "INT8":
            index = self.graph.add(self.tensor(INPUT, shape, INPUT))
            self.graph.inputs.append(index)
        else:
            held = self.numbers.scales[INPUT]
            scale, zero_point = np.array([held.scale], np.float32), np.array([held.zero_point], np.int64)
            index = self.graph.add(Tensor(INPUT, "UINT8", shape, scale=scale, zero_point=zero_point))
            self.graph.inputs.append(index)
            if self.numbers.kind == "INT8":
                index = self.quantized(
                    self.real(index, f"{INPUT}/real"), self.tensor(f"{INPUT}/quantize", shape, INPUT)
                )
        self.values[INPUT] = _Value(index)

    def normalized(self, index: int, shape: tuple[int, ...]) -> int:
        """Pixels times a factor plus an offset, one of each per channel."""
        scales, offsets = pixel_scale_and_offset(self.model.preprocessing, self.model.network.channels)
        scale = self.constant(f"{INPUT}.scale", "FLOAT32", scales)
        offset = self.constant(f"{INPUT}.offset", "FLOAT32", offsets)
        scaled = self.operator("MUL", [index, scale], Tensor(f"{INPUT}/scaled", "FLOAT32", shape), "MulOptions")
        made = Tensor(f"{INPUT}/normalized", "FLOAT32", shape)
        return self.operator("ADD", [scaled, offset], made, "AddOptions")

    def finish(self) -> None:
        """Give each output its name and shape, as float32."""
        for name in self.model.network.outputs:
            value, shape = self.values[name], self.model.network.shapes[name]
            index = value.tensor
            if shape[1:] == (1, 1) and not value.flat:
                index = self.reshape(index, (shape.channels,), self.tensor(f"{name}/flat", (1, shape.channels), name))
            if self.numbers is not None and name in self.numbers.scales:
                index = self.real(index, f"{name}/real")
            if self.graph.tensors[index].name != name:
                self.graph.tensors[value.tensor].name = f"{name}/map"
                self.graph.tensors[index].name = name
            self.graph.outputs.append(index)

    def reshape(self, index: int, sizes: tuple[int, ...], output: Tensor) -> int:
        """Another shape of the same values, for any batch."""
        shape = self.constant(f"{output.name}/shape", "INT32", np.array([-1, *sizes], np.int32))
        return self.operator("RESHAPE", [index, shape], output, "ReshapeOptions")

    def read(self, layer: Layer, number: int = 0) -> int:
        """One input of a layer, as a map unless the layer is linear; float32 where the layer is."""
        source = layer.inputs[number]
        value, index = self.values[source], self.values[source].tensor
        if value.flat and not isinstance(layer, Linear):
            channels = self.model.network.shapes[source].channels
            output = self.tensor(f"{layer.name}/input{number}", (1, 1, 1, channels), source)
            index = self.reshape(index, (1, 1, channels), output)
        return self.real(index, f"{layer.name}/real_input{number}") if self.is_real(layer) else index

    # Layers

    def write(self, layer: Layer) -> None:
        """Append a layer."""
        shape = self.model.network.shapes[layer.name]
        flat = isinstance(layer, Linear)
        made = self.tensor(layer.name, (1, shape.channels) if flat else _map(shape), layer.name)
        output = made if layer.activation.is_clamp else self.before_activation(layer, made)
        match layer:
            case Convolution() | DepthwiseConvolution() | PointwiseConvolution():
                index = self.convolution(layer, output)
            case Linear():
                inputs = [self.read(layer), *self.weights(layer)]
                inputs += [-1] * (3 - len(inputs))
                index = self.operator("FULLY_CONNECTED", inputs, output, "FullyConnectedOptions", **_fused(layer))
            case MaxPool():
                index = self.max_pool(layer, output)
            case GlobalAveragePool():
                axes = self.constant(f"{layer.name}/axes", "INT32", np.array([1, 2], np.int32))
                index = self.operator("MEAN", [self.read(layer), axes], output, "ReducerOptions", KeepDims=True)
            case Add():
                index = self.add(layer, output)
            case Concatenate():
                parts = [self.requantized(layer, number) for number in range(len(layer.inputs))]
                index = self.operator("CONCATENATION", parts, output, "ConcatenationOptions", Axis=3)
            case Multiply():
                factors = [self.read(layer, 0), self.read(layer, 1)]
                index = self.operator("MUL", factors, output, "MulOptions", **_fused(layer))
            case _:
                raise FormatError(f"{layer.name} is of a kind that LiteRT export does not know: {type(layer).__name__}")
        self.values[layer.name] = _Value(index if output is made else self.activated(layer, index, made), flat)

    def before_activation(self, layer: Layer, made: Tensor) -> Tensor:
        """What a layer makes where no option of its operator is its activation."""
        name = f"{layer.name}/pre_activation"
        if made.kind == "FLOAT32" or self.numbers is None:
            return Tensor(name, "FLOAT32", made.shape)
        return self.numbers.tensor(name, made.shape, self.numbers.before[layer.name])

    def activated(self, layer: Layer, index: int, made: Tensor) -> int:
        """Apply a hard-sigmoid or hard-swish, in float32: LiteRT's own in bytes round otherwise than the Model's table.

        Args:
            layer: Whose activation it is.
            index: What the layer made.
            made: What comes out.
        """
        name, in_bytes = f"{layer.name}/{layer.activation}", made.kind != "FLOAT32"
        source = self.real(index, f"{layer.name}/pre_activation/real") if in_bytes else index
        result = Tensor(f"{name}/real", "FLOAT32", made.shape) if in_bytes else made
        match layer.activation:
            case Activation.HARD_SWISH:
                index = self.operator("HARD_SWISH", [source], result, "HardSwishOptions")
            case Activation.HARD_SIGMOID:
                between = [Tensor(f"{name}/{step}", "FLOAT32", made.shape) for step in ("scaled", "moved", "above")]
                sixth, half, zero, one = (
                    self.constant(f"{name}/constant{number}", "FLOAT32", np.array([value], np.float32))
                    for number, value in enumerate((1 / 6, 0.5, 0, 1))
                )
                index = self.operator("MUL", [source, sixth], between[0], "MulOptions")
                index = self.operator("ADD", [index, half], between[1], "AddOptions")
                index = self.operator("MAXIMUM", [index, zero], between[2], "MaximumMinimumOptions")
                index = self.operator("MINIMUM", [index, one], result, "MaximumMinimumOptions")
            case Activation.NONE | Activation.RELU | Activation.RELU6:
                raise FormatError(f"{layer.name}: {layer.activation} is an option of LiteRT's operators")
            case _:
                assert_never(layer.activation)
        return self.quantized(index, made) if in_bytes else index

    def convolution(self, layer: Convolution | DepthwiseConvolution | PointwiseConvolution, output: Tensor) -> int:
        """A convolution and its activation."""
        if isinstance(layer, PointwiseConvolution):
            source, stride, padding = self.read(layer), 1, _VALID
        else:
            source, padding = self.padded(layer)
            stride = layer.stride
        settings = {"StrideH": stride, "StrideW": stride, "Padding": padding, **_fused(layer)}
        inputs = [source, *self.weights(layer)]
        if isinstance(layer, DepthwiseConvolution):
            return self.operator(
                "DEPTHWISE_CONV_2D", inputs, output, "DepthwiseConv2DOptions", **settings, DepthMultiplier=1
            )
        return self.operator("CONV_2D", inputs, output, "Conv2DOptions", **settings)

    def max_pool(self, layer: MaxPool, output: Tensor) -> int:
        """A max pool; what pads it is the lowest value, so that it never wins."""
        source, padding = self.padded(layer)
        window = {"FilterHeight": layer.kernel, "FilterWidth": layer.kernel}
        strides = {"StrideH": layer.stride, "StrideW": layer.stride}
        return self.operator("MAX_POOL_2D", [source], output, "Pool2DOptions", **window, **strides, Padding=padding)

    def padded(self, layer: Convolution | DepthwiseConvolution | MaxPool) -> tuple[int, int]:
        """A layer's input, padded by an operator of its own unless the layer's policy SAME does the same."""
        source, shape = self.read(layer), self.model.network.input_shapes(layer)[0]
        same = Padding(
            *PaddingPolicy.SAME.amounts(shape.height, layer.kernel, layer.stride),
            *PaddingPolicy.SAME.amounts(shape.width, layer.kernel, layer.stride),
        )
        padding = layer.padding
        if padding == same:
            return source, _SAME
        if not any(padding):
            return source, _VALID
        height, width = shape.height + padding.top + padding.bottom, shape.width + padding.left + padding.right
        held = None if self.is_real(layer) else layer.inputs[0]
        output = self.tensor(f"{layer.name}/pad", (1, height, width, shape.channels), held)
        sides = np.array([[0, 0], padding[:2], padding[2:], [0, 0]], np.int32)
        amounts = self.constant(f"{output.name}/amounts", "INT32", sides)
        if not isinstance(layer, MaxPool):
            return self.operator("PAD", [source, amounts], output, "PadOptions"), _VALID
        lowest = self.tensor(f"{output.name}/lowest", (1,), layer.inputs[0])
        bottom = np.finfo(np.float32).min if self.numbers is None else np.iinfo(self.numbers.dtype).min
        lowest.values = np.array([bottom], np.float32 if self.numbers is None else self.numbers.dtype)
        return self.operator("PADV2", [source, amounts, self.graph.add(lowest)], output, "PadV2Options"), _VALID

    def add(self, layer: Add, output: Tensor) -> int:
        """A sum. LiteRT adds two at a time; of more, integers become real before they are added."""
        terms = [self.read(layer, number) for number in range(len(layer.inputs))]
        through_reals = self.numbers is not None and len(terms) > 2
        if through_reals:
            terms = [self.real(term, f"{layer.name}/term{number}") for number, term in enumerate(terms)]
        total = terms[0]
        for number, term in enumerate(terms[1:], start=1):
            last = number == len(terms) - 1
            fused = _fused(layer) if last else {}
            between = Tensor(f"{layer.name}/sum{number}", "FLOAT32", output.shape)
            made = output if last and not through_reals else between
            total = self.operator("ADD", [total, term], made, "AddOptions", **fused)
        return self.quantized(total, output) if through_reals else total

    def requantized(self, layer: Layer, number: int) -> int:
        """A part of a concatenation, at the scale of the whole."""
        part, source = self.read(layer, number), layer.inputs[number]
        if self.numbers is None or self.numbers.scales[source] == self.numbers.scales[layer.name]:
            return part
        output = self.tensor(f"{layer.name}/part{number}", self.graph.tensors[part].shape, layer.name)
        return self.quantized(part, output)

    def weights(self, layer: Weighted) -> list[int]:
        """Weight and bias in LiteRT's layouts: (out, height, width, in), depthwise (1, height, width, channels)."""
        values, axis = self.model.parameters[f"{layer.name}.weight"], 0
        if isinstance(layer, DepthwiseConvolution):
            values, axis = values.transpose(1, 2, 3, 0), 3
        elif isinstance(layer, Linear):
            source = self.model.network.input_shapes(layer)[0]
            values = values.reshape(len(values), *source).transpose(0, 2, 3, 1).reshape(values.shape)
        else:
            values = values.transpose(0, 2, 3, 1)
        if self.numbers is not None:
            weight = self.graph.add(self.numbers.weight(self.model, layer, values, axis))
            bias = self.numbers.bias(self.model, layer)
            kept = self.graph.add(bias)
            if not self.is_real(layer):
                return [weight, kept]
            # Nothing computes with the integers of the bias then, but the Model can be read back from them.
            real = (self.model.parameters[f"{layer.name}.bias"] * bias.scale.astype(np.float64)).astype(np.float32)
            name = f"{layer.name}.bias/real"
            return [self.real(weight, f"{layer.name}.weight/real"), self.constant(name, "FLOAT32", real)]
        found = [self.real_constant(f"{layer.name}.weight", values)]
        if layer.bias:
            found.append(self.real_constant(f"{layer.name}.bias", self.model.parameters[f"{layer.name}.bias"]))
        elif not isinstance(layer, Linear):  # LiteRT's convolutions cannot be without one
            channels = self.model.network.shapes[layer.name].channels
            found.append(self.real_constant(f"{layer.name}.bias", np.zeros(channels, np.float32)))
        return found

    def real_constant(self, name: str, values: Array) -> int:
        """A float32 constant, stored as float16 if so asked."""
        if not self.half:
            return self.constant(name, "FLOAT32", values)
        with np.errstate(over="ignore"):
            stored = values.astype(np.float16)
        if not np.isfinite(stored).all():
            raise FormatError(f"{name} holds {np.abs(values).max():g}, which float16 cannot; its largest is 65504")
        index = self.constant(f"{name}/float16", "FLOAT16", stored)
        return self.real(index, name)


_SAME, _VALID = 0, 1


def _fused(layer: Layer) -> dict[str, int]:
    """The activation function as the option that most operators have for it; none where it comes after them."""
    match layer.activation:
        case Activation.NONE | Activation.HARD_SIGMOID | Activation.HARD_SWISH:
            number = 0
        case Activation.RELU:
            number = 1
        case Activation.RELU6:
            number = 3
        case _:
            assert_never(layer.activation)
    return {"FusedActivationFunction": number}


def _map(shape: Shape) -> tuple[int, int, int, int]:
    return 1, shape.height, shape.width, shape.channels


def _version(code: str, sources: list[Tensor], output: Tensor) -> int:
    """The first version of an operator that takes these numbers, as LiteRT's own converter would say."""
    kinds = {tensor.kind for tensor in (*sources, output)}
    if code == "DEQUANTIZE":
        per_channel = sources[0].scale.size > 1
        return {"FLOAT16": 3, "INT8": 5 if per_channel else 2}.get(sources[0].kind, 1)
    if "INT8" not in kinds:
        return 1
    # 12 is the version of fully connected layers with one scale per channel.
    return {"CONV_2D": 3, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 12, "RESHAPE": 1}.get(code, 2)


@dataclass(frozen=True)
class LiteRTOptions(Options):
    """Options of :func:`write_litert`."""

    half: bool = option(False, "Store float weights as float16", float32_only=True)
    int8_input: bool = option(False, "Let an int8 file read pixels less 128 as int8, which saves a conversion")
    symmetric_weights: bool = option(False, SYMMETRIC)


def write_litert(model: Model, path: Path, options: LiteRTOptions) -> None:
    """:func:`to_litert`, as the registry of formats calls it."""
    if options.symmetric_weights:
        model = symmetric_weights(model)
    to_litert(model, path, weights="float16" if options.half else "float32", int8_input=options.int8_input)
