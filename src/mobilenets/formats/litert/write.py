"""Model → LiteRT (``.tflite``): float32, float32 with float16 weights, and int8.

Maps are (N, height, width, channels) here. An int8 Model's numbers go over as they are, less 128, with one weight scale
per channel; one with weight zero points goes over as uint8 with one scale per layer, the only form in which LiteRT
knows them.

All of such a file is integers, its input and its outputs too, as microcontrollers and accelerators need it. Linear
layers are convolutions of the whole map: a convolution has one scale per channel in every runtime, while releases of
TensorFlow Lite Micro exist that take the first scale of a FULLY_CONNECTED for all of them. Where float32 outputs are
asked for, an output layer computes in float32 from weights that are stored as bytes. These are dequantized with one
scale, 1, and the sums multiplied by the scales of the channels, because TensorFlow Lite Micro also takes the first
scale of a DEQUANTIZE for all.
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
from mobilenets.formats.litert import metadata as litert_metadata
from mobilenets.formats.litert.detections import append_post_processing, with_boxes_down_first
from mobilenets.formats.litert.flatbuffer import Operator, Subgraph, Tensor, serialize
from mobilenets.formats.verification import Ending, ending_of
from mobilenets.model.folding import fold
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import Pixels, pixel_scale_and_offset
from mobilenets.model.quantization import Quantization, TensorQuantization, real_outputs

DESCRIPTION_NAME = "mobilenets"
"""Under this name the metadata holds :func:`~mobilenets.formats.description.describe`'s texts, as one JSON object."""

Array = npt.NDArray[Any]
Weighted = Convolution | DepthwiseConvolution | PointwiseConvolution | Linear


def to_litert(
    model: Model,
    path: str | Path,
    *,
    weights: Literal["float32", "float16"] = "float32",
    uint8_input: bool = False,
    float_output: bool = False,
    probabilities: bool = False,
    detections: bool = False,
) -> None:
    """Write a Model as a LiteRT file.

    The file reads what :func:`litert_input` gives, (N, height, width, channels) for any N: pixels less 128 as int8 for
    an int8 Model, else float32 ones normalized as its metadata says. Outputs are (N, C) where a map is 1×1, else
    (N, H, W, C): bytes with the scale and zero point of their tensor for an int8 Model, else float32.

    Args:
        model: float32 or int8; batch norms are folded, which LiteRT does not know.
        path: Where to.
        weights: How a float32 Model's weights are stored. An int8 Model's are stored as they are.
        uint8_input: Whether the file of an int8 Model reads the pixels themselves, at the cost of a conversion. That of
            a Model with weight zero points does so in either case.
        float_output: Whether the file of an int8 Model gives float32 outputs, which are the engine's but for the
            rounding of float32; its output layers then compute in float32.
        probabilities: Whether a classifier's file gives probabilities, ``softmax(logits / temperature)``, in float32.
        detections: Whether a detector's file ends in the operator of :mod:`mobilenets.formats.litert.detections`, which
            takes one image and float32 outputs.

    Raises:
        CompressionError: If a batch norm to fold holds what is not a finite number.
        FormatError: If the Model has weight zero points that differ between channels, or its outputs have no scales
            (see :func:`~mobilenets.engine.output_ranges.with_output_ranges`) and are to be bytes, or probabilities are
            asked of no classifier or of a file of integers.
        MissingDependencyError: If flatbuffers or tflite is not installed.
        OSError: If the file cannot be written.
    """
    model = fold(model) if any(layer.batch_norm for layer in model.network.layers) else model
    graph = litert_graph(
        model,
        weights=weights,
        uint8_input=uint8_input,
        float_output=float_output,
        probabilities=probabilities,
        detections=detections,
    )
    outputs = [graph.tensors[index].name for index in graph.outputs]
    metadata = {
        litert_metadata.NAME: litert_metadata.metadata(model, outputs),
        DESCRIPTION_NAME: json.dumps(describe(model), ensure_ascii=False).encode(),
    }
    content = serialize(graph, metadata, description=f"{model.network.name}, written by mobilenets")
    write_atomically(Path(path), content + litert_metadata.labels_archive(model))


def litert_input(model: Model, pixels: Pixels, *, uint8: bool = False) -> Array:
    """What to give the file that :func:`to_litert` writes for pixels, uint8 (N, height, width, channels).

    Args:
        model: What was written.
        pixels: The images.
        uint8: Whether the file reads uint8.
    """
    if model.quantization is not None:
        return pixels if uint8 else (pixels.astype(np.int16) - 128).astype(np.int8)
    mean, std = litert_metadata.mediapipe_normalization(model)
    return ((pixels - np.float32(mean)) / np.float32(std)).astype(np.float32)


def litert_graph(
    model: Model,
    *,
    weights: str = "float32",
    uint8_input: bool = False,
    float_output: bool = False,
    probabilities: bool = False,
    detections: bool = False,
) -> Subgraph:
    """The graph that :func:`to_litert` writes."""
    if detections:
        model = with_boxes_down_first(model)
    for layer in model.network.layers:
        if layer.batch_norm is not None:
            raise FormatError(f"{layer.name} has a batch norm, which LiteRT does not know")
    if model.quantization is None:
        writer = GraphWriter(model, half=weights == "float16")
    else:
        writer = GraphWriter(model, numbers=_Numbers(model, model.quantization, float_output=float_output))
    writer.read_input(uint8_input)
    for layer in model.network.layers:
        writer.write(layer)
    writer.finish(ending_of(model) if probabilities else None)
    if detections:
        append_post_processing(writer, model)
    return writer.graph


class _Numbers:
    """How the integers of an int8 Model are said in LiteRT: as INT8 less 128, or as UINT8."""

    def __init__(self, model: Model, quantization: Quantization, *, float_output: bool) -> None:
        asymmetric = any(name.endswith(".weight_zero_point") for name in model.parameters)
        self.kind = "UINT8" if asymmetric else "INT8"
        self.per_channel = not asymmetric
        self.offset = 0 if asymmetric else 128
        self.dtype = np.uint8 if asymmetric else np.int8
        self.float_output = float_output
        self.scales = dict(quantization.activations)
        if not float_output:
            for name in sorted(real_outputs(model.network) - set(quantization.outputs)):
                raise FormatError(
                    f"{name} has no range for its output as bytes: the Model was quantized before that was kept; "
                    "export it with images, or with float32 outputs (float_output)"
                )
            self.scales |= quantization.outputs
        self.before = quantization.pre_activations

    def tensor(self, name: str, shape: tuple[int, ...], held: TensorQuantization) -> Tensor:
        """A computed tensor in bytes."""
        zero_point = np.array([held.zero_point - self.offset], np.int64)
        return Tensor(name, self.kind, shape, scale=np.array([held.scale], np.float32), zero_point=zero_point)

    def weight(self, model: Model, layer: Weighted, values: Array, axis: int, *, unscaled: bool = False) -> Tensor:
        """A weight tensor, laid out already; with the scale 1 for all channels if ``unscaled``."""
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
        if unscaled:
            scale, zero_point, axis = np.ones(1, np.float32), zero_point[:1], 0
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
class GraphWriter:
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
        """Whether a layer of an int8 Model is computed in float32.

        Those are the layers that give real numbers, and an output whose activation function is no clamp.
        """
        if self.numbers is None:
            return False
        tabled = not layer.activation.is_clamp
        return layer.name not in self.numbers.scales or (tabled and layer.name not in self.numbers.before)

    def real(self, index: int, name: str) -> int:
        """A tensor of bytes as float32."""
        output = Tensor(name, "FLOAT32", self.graph.tensors[index].shape)
        return self.operator("DEQUANTIZE", [index], output, "DequantizeOptions")

    def quantized(self, index: int, output: Tensor) -> int:
        """A float32 tensor as bytes."""
        return self.operator("QUANTIZE", [index], output, "QuantizeOptions")

    # Into the network, and out of it

    def read_input(self, uint8_input: bool) -> None:
        """The image; bytes of pixels become INT8 where the graph computes in that.

        In a graph that gives real numbers they do so by way of real numbers: XNNPACK takes both of these operators,
        and not the one that would go from UINT8 to INT8, so that the whole graph is its own.
        """
        network = self.model.network
        shape = (1, network.height, network.width, network.channels)
        if self.numbers is None:
            index = self.graph.add(Tensor(INPUT, "FLOAT32", shape))
            self.graph.inputs.append(index)
            if litert_metadata.mediapipe_normalization(self.model) == (0.0, 1.0):
                index = self.normalized(index, shape)
        elif self.numbers.kind == "UINT8" or not uint8_input:
            index = self.graph.add(self.tensor(INPUT, shape, INPUT))
            self.graph.inputs.append(index)
        else:
            held = self.numbers.scales[INPUT]
            scale, zero_point = np.array([held.scale], np.float32), np.array([held.zero_point], np.int64)
            index = self.graph.add(Tensor(INPUT, "UINT8", shape, scale=scale, zero_point=zero_point))
            self.graph.inputs.append(index)
            if self.numbers.float_output:
                index = self.real(index, f"{INPUT}/real")
            index = self.quantized(index, self.tensor(f"{INPUT}/quantize", shape, INPUT))
        self.values[INPUT] = _Value(index)

    def normalized(self, index: int, shape: tuple[int, ...]) -> int:
        """Pixels times a factor plus an offset, one of each per channel."""
        scales, offsets = pixel_scale_and_offset(self.model.preprocessing, self.model.network.channels)
        scale = self.constant(f"{INPUT}.scale", "FLOAT32", scales)
        offset = self.constant(f"{INPUT}.offset", "FLOAT32", offsets)
        scaled = self.operator("MUL", [index, scale], Tensor(f"{INPUT}/scaled", "FLOAT32", shape), "MulOptions")
        made = Tensor(f"{INPUT}/normalized", "FLOAT32", shape)
        return self.operator("ADD", [scaled, offset], made, "AddOptions")

    def finish(self, ending: Ending | None) -> None:
        """Give each output its name and shape.

        Args:
            ending: How the first output becomes probabilities; None for logits.
        """
        for name in self.model.network.outputs:
            value, shape = self.values[name], self.model.network.shapes[name]
            index = value.tensor
            if shape[1:] == (1, 1) and not value.flat:
                index = self.reshape(index, (shape.channels,), self.tensor(f"{name}/flat", (1, shape.channels), name))
            if self.numbers is not None and self.numbers.float_output and name in self.numbers.scales:
                index = self.real(index, f"{name}/real")
            if ending is not None and name == self.model.network.outputs[0]:
                index = self.probabilities(index, name, ending)
            if self.graph.tensors[index].name != name:
                self.graph.tensors[value.tensor].name = f"{name}/map"
                self.graph.tensors[index].name = name
            self.graph.outputs.append(index)

    def probabilities(self, index: int, name: str, ending: Ending) -> int:
        """Probabilities of logits."""
        logits = self.graph.tensors[index]
        if logits.kind != "FLOAT32":
            raise FormatError("an int8 file of integers gives logits; for probabilities, ask for float_output too")
        if ending.sigmoid:
            return self.operator("LOGISTIC", [index], Tensor(f"{name}/probabilities", "FLOAT32", logits.shape))
        factor = self.constant(f"{name}/inverse_temperature", "FLOAT32", np.array([1 / ending.temperature], np.float32))
        scaled = Tensor(f"{name}/scaled", "FLOAT32", logits.shape)
        index = self.operator("MUL", [index, factor], scaled, "MulOptions")
        made = Tensor(f"{name}/probabilities", "FLOAT32", logits.shape)
        return self.operator("SOFTMAX", [index], made, "SoftmaxOptions", Beta=1.0)

    def reshape(self, index: int, sizes: tuple[int, ...], output: Tensor) -> int:
        """Another shape of the same values, for any batch."""
        shape = self.constant(f"{output.name}/shape", "INT32", np.array([-1, *sizes], np.int32))
        return self.operator("RESHAPE", [index, shape], output, "ReshapeOptions")

    def read(self, layer: Layer, number: int = 0) -> int:
        """One input of a layer, as a map unless the layer is linear; float32 where the layer is."""
        source = layer.inputs[number]
        value, index = self.values[source], self.values[source].tensor
        in_bytes = self.numbers is not None and not self.is_real(layer)
        if value.flat and (in_bytes or not isinstance(layer, Linear)):
            channels = self.model.network.shapes[source].channels
            output = self.tensor(f"{layer.name}/input{number}", (1, 1, 1, channels), source)
            index = self.reshape(index, (1, 1, channels), output)
        return self.real(index, f"{layer.name}/real_input{number}") if self.is_real(layer) else index

    # Layers

    def write(self, layer: Layer) -> None:
        """Append a layer."""
        shape = self.model.network.shapes[layer.name]
        flat = isinstance(layer, Linear) and (self.numbers is None or self.is_real(layer))
        made = self.tensor(layer.name, (1, shape.channels) if flat else _map(shape), layer.name)
        held = made
        if self.is_real(layer) and made.kind != "FLOAT32":
            held = Tensor(f"{layer.name}/unquantized", "FLOAT32", made.shape)
        output = held if layer.activation.is_clamp else self.before_activation(layer, held)
        index = self.computed(layer, output)
        if output is not held:
            index = self.activated(layer, index, held)
        if held is not made:
            index = self.quantized(index, made)
        self.values[layer.name] = _Value(index, flat)

    def computed(self, layer: Layer, output: Tensor) -> int:
        """Append what a layer computes before an activation function that is no clamp."""
        match layer:
            case Convolution() | DepthwiseConvolution() | PointwiseConvolution() | Linear():
                return self.real_weighted(layer, output) if self.is_real(layer) else self.weighted(layer, output)
            case MaxPool():
                return self.max_pool(layer, output)
            case GlobalAveragePool():
                axes = self.constant(f"{layer.name}/axes", "INT32", np.array([1, 2], np.int32))
                return self.operator("MEAN", [self.read(layer), axes], output, "ReducerOptions", KeepDims=True)
            case Add():
                return self.add(layer, output)
            case Concatenate():
                parts = [self.requantized(layer, number) for number in range(len(layer.inputs))]
                return self.operator("CONCATENATION", parts, output, "ConcatenationOptions", Axis=3)
            case Multiply():
                factors = [self.read(layer, 0), self.read(layer, 1)]
                return self.operator("MUL", factors, output, "MulOptions", **_fused(layer))
            case _:
                raise FormatError(f"{layer.name} is of a kind that LiteRT export does not know: {type(layer).__name__}")

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
            case Activation.HARD_SIGMOID if self.numbers is None:
                # As Keras writes it: other tools, ai-edge-quantizer among them, do not take clips by constants.
                three, sixth = (
                    self.constant(f"{name}/constant{number}", "FLOAT32", np.array([value], np.float32))
                    for number, value in enumerate((3, 1 / 6))
                )
                raised = Tensor(f"{name}/raised", "FLOAT32", made.shape)
                index = self.operator("ADD", [source, three], raised, "AddOptions", FusedActivationFunction=3)
                index = self.operator("MUL", [index, sixth], result, "MulOptions")
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

    def weighted(self, layer: Weighted, output: Tensor) -> int:
        """A layer with weights and its activation function."""
        return self.products(layer, self.weights(layer), output, **_fused(layer))

    def real_weighted(self, layer: Weighted, output: Tensor) -> int:
        """A layer of an int8 Model, in float32: products with the integers of its weights, scaled by channel."""
        if self.numbers is None:
            raise FormatError(f"{layer.name} of a float32 Model has no integers")
        values, axis = self.laid_out(layer)
        stored = self.graph.add(self.numbers.weight(self.model, layer, values, axis, unscaled=True))
        bias = self.numbers.bias(self.model, layer)
        self.graph.add(bias)  # nothing computes with its integers, but the Model can be read back from them
        inputs = [self.real(stored, f"{layer.name}.weight/real")]
        if not isinstance(layer, Linear):  # LiteRT's convolutions cannot be without one
            inputs.append(self.constant(f"{layer.name}/no_bias", "FLOAT32", np.zeros(output.shape[-1], np.float32)))
        products = Tensor(f"{layer.name}/products", "FLOAT32", output.shape)
        index = self.products(layer, inputs, products, FusedActivationFunction=0)
        scale = self.model.parameters[f"{layer.name}.weight_scale"]
        unit = np.broadcast_to(bias.scale.astype(np.float64), scale.shape)
        real = (self.model.parameters[f"{layer.name}.bias"] * unit).astype(np.float32)
        factors = [index, self.constant(f"{layer.name}.weight_scale", "FLOAT32", scale)]
        index = self.operator("MUL", factors, Tensor(f"{layer.name}/scaled", "FLOAT32", output.shape), "MulOptions")
        terms = [index, self.constant(f"{layer.name}.bias/real", "FLOAT32", real)]
        return self.operator("ADD", terms, output, "AddOptions", **_fused(layer))

    def products(self, layer: Weighted, weights: list[int], output: Tensor, **fused: int) -> int:
        """The operator of a layer with weights."""
        match layer:
            case Linear() if self.numbers is None or self.is_real(layer):
                inputs = [self.read(layer), *weights, -1][:3]
                return self.operator("FULLY_CONNECTED", inputs, output, "FullyConnectedOptions", **fused)
            case Linear() | PointwiseConvolution():
                source, strides, padding = self.read(layer), (1, 1), _VALID
            case Convolution() | DepthwiseConvolution():
                (source, padding), strides = self.padded(layer), layer.strides
            case _:
                assert_never(layer)
        settings = {"StrideH": strides[0], "StrideW": strides[1], "Padding": padding, **fused}
        if isinstance(layer, DepthwiseConvolution):
            settings["DepthMultiplier"] = 1
            return self.operator("DEPTHWISE_CONV_2D", [source, *weights], output, "DepthwiseConv2DOptions", **settings)
        return self.operator("CONV_2D", [source, *weights], output, "Conv2DOptions", **settings)

    def max_pool(self, layer: MaxPool, output: Tensor) -> int:
        """A max pool; what pads it is the lowest value, so that it never wins."""
        source, padding = self.padded(layer)
        window = {"FilterHeight": layer.kernel, "FilterWidth": layer.kernel}
        strides = {"StrideH": layer.strides[0], "StrideW": layer.strides[1]}
        return self.operator("MAX_POOL_2D", [source], output, "Pool2DOptions", **window, **strides, Padding=padding)

    def padded(self, layer: Convolution | DepthwiseConvolution | MaxPool) -> tuple[int, int]:
        """A layer's input, padded by an operator of its own unless the layer's policy SAME does the same."""
        source, shape = self.read(layer), self.model.network.input_shapes(layer)[0]
        down, across = layer.strides
        same = Padding(
            *PaddingPolicy.SAME.amounts(shape.height, layer.kernel, down),
            *PaddingPolicy.SAME.amounts(shape.width, layer.kernel, across),
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

    def laid_out(self, layer: Weighted) -> tuple[Array, int]:
        """A weight in LiteRT's layout, and the axis of its output channels.

        (out, height, width, in); of a depthwise convolution (1, height, width, channels); of a linear layer
        (out, height · width · in) where it is fully connected, else that of a convolution of the whole map.
        """
        values = self.model.parameters[f"{layer.name}.weight"]
        match layer:
            case DepthwiseConvolution():
                return values.transpose(1, 2, 3, 0), 3
            case Linear():
                source = self.model.network.input_shapes(layer)[0]
                held = values.reshape(len(values), *source).transpose(0, 2, 3, 1)
                return (held.reshape(values.shape) if self.numbers is None or self.is_real(layer) else held), 0
            case Convolution() | PointwiseConvolution():
                return values.transpose(0, 2, 3, 1), 0
            case _:
                assert_never(layer)

    def weights(self, layer: Weighted) -> list[int]:
        """Weight and bias of a layer that is computed in the numbers in which they are stored."""
        values, axis = self.laid_out(layer)
        if self.numbers is not None:
            weight = self.graph.add(self.numbers.weight(self.model, layer, values, axis))
            return [weight, self.graph.add(self.numbers.bias(self.model, layer))]
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
        return {"FLOAT16": 3, "INT8": 2}.get(sources[0].kind, 1)
    if "INT8" not in kinds:
        return 1
    return {"CONV_2D": 3, "DEPTHWISE_CONV_2D": 3, "RESHAPE": 1}.get(code, 2)
