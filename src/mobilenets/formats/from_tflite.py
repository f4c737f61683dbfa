"""LiteRT (TensorFlow Lite) → Model, without either: float32, float16 weights, int8 per channel, uint8 as published.

The official uint8 networks quantise weights asymmetrically, one scale and zero point per tensor. They are kept exact:
an int8 Model holds their bytes less 128 as weights, and their zero points as ``weight_zero_point``, because
requantising them symmetrically would round every weight anew and the result could not be held against the published
kernels (:mod:`mobilenets.formats.fixed_point`).

A softmax at the end is dropped, and so is the quantisation of the logits before it: a Model gives real logits. The
scale and zero point that the file has for them are kept in the provenance. A file that this project wrote comes back
exactly, by its description.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum
from pathlib import Path

import numpy as np

from mobilenets.architecture.layers import (
    INPUT,
    Activation,
    DepthwiseConvolution,
    Linear,
    Network,
    Padding,
    PointwiseConvolution,
)
from mobilenets.architecture.multipliers import PaddingPolicy
from mobilenets.errors import FormatError, ModelError
from mobilenets.formats.binary import Bytes, read_file
from mobilenets.formats.described import Description
from mobilenets.formats.flatbuffer import Table
from mobilenets.formats.graph import NO_PADDING, Graph, Value, recognised, renamed_tensors
from mobilenets.formats.mobilenet_v1_weights import Found, float32
from mobilenets.formats.tflite_file import Operator, TfliteFile, TfliteTensor
from mobilenets.formats.tflite_numbers import logits_quantization, quantized_parameters, signed_weight, weight_scale
from mobilenets.formats.zip_members import ZipMembers
from mobilenets.model.model import Model, Tensor, numbered_labels
from mobilenets.model.preprocessing import Preprocessing
from mobilenets.model.quantization import TensorQuantization

METADATA = "TFLITE_METADATA"
"""Name of the metadata that apps read: what the picture means, and which class is which."""
DESCRIPTION = "mobilenets"
"""Name of the metadata that this project writes."""


class Code(IntEnum):
    """The operators that are read, by their numbers in the schema."""

    ADD = 0
    AVERAGE_POOL_2D = 1
    CONCATENATION = 2
    CONV_2D = 3
    DEPTHWISE_CONV_2D = 4
    DEQUANTIZE = 6
    FULLY_CONNECTED = 9
    MAX_POOL_2D = 17
    MUL = 18
    RELU = 19
    RELU6 = 21
    RESHAPE = 22
    SOFTMAX = 25
    PAD = 34
    MEAN = 40
    SUB = 41
    SQUEEZE = 43
    QUANTIZE = 114


_NORMALIZATION = 1
"""The process unit of model metadata that normalises."""
_WEIGHTED = (Code.CONV_2D, Code.DEPTHWISE_CONV_2D, Code.FULLY_CONNECTED)
_ACTIVATIONS = {0: Activation.NONE, 1: Activation.RELU, 3: Activation.RELU6}


def from_tflite(path: str | Path, *, labels: tuple[str, ...] | None = None) -> Model:
    """Read a ``.tflite`` file into a float32 or an int8 Model.

    Args:
        path: The file.
        labels: Class names; by default those that are packed into the file, else numbers.

    Raises:
        FormatError: If the file is damaged, or holds an operator, a type or a quantisation that no Model has; the
            offset, the operator or the tensor is named.
    """
    path = Path(path)
    data = read_file(path)
    file = TfliteFile(data)
    if DESCRIPTION not in file.metadata:
        return _Reader(file).model(labels or packed_labels(data), path.name)
    model = _described(file)
    try:
        return model if labels is None else replace(model, labels=labels)
    except ModelError as error:
        raise FormatError(str(error)) from None


def packed_labels(data: bytes) -> tuple[str, ...] | None:
    """Lines of the one text file that model metadata packs behind a network, or None."""
    if data.rfind(b"PK\x05\x06") < 0:
        return None
    archive = ZipMembers(data, "the metadata of the LiteRT file")
    texts = [name for name in archive.names if name.lower().endswith(".txt")]
    if len(texts) != 1:
        return None
    try:
        return tuple(bytes(archive.member(texts[0])).decode().removesuffix("\n").split("\n"))
    except UnicodeDecodeError:
        raise FormatError(f"{texts[0]} in the LiteRT file is not UTF-8") from None


def _described(file: TfliteFile) -> Model:
    """The Model that this project wrote, from the constants under its tensors' names."""
    try:
        texts = json.loads(file.metadata[DESCRIPTION])
    except (ValueError, RecursionError) as error:
        raise FormatError(f"the description of the network is not readable: {error}") from None
    if not isinstance(texts, dict):
        raise FormatError("the description of the network is no object")
    description = Description(texts)
    constants = {tensor.name: tensor for tensor in file.tensors if tensor.constant}
    constants |= {name.removesuffix("/float16"): tensor for name, tensor in constants.items()}
    tensors: dict[str, Found] = {}
    layers = [layer for layer in description.network.layers if layer.has_weight]
    for layer in layers:
        weight, bias = constants.get(f"{layer.name}.weight"), constants.get(f"{layer.name}.bias")
        if weight is not None:
            tensors |= _weights(description.network, layer.name, weight)
        if bias is not None:
            tensors[f"{layer.name}.bias"] = Found(bias.name, bias.value())
    operators = sum(operator.code in _WEIGHTED for operator in file.operators)
    if operators != len(layers):
        raise FormatError(f"the LiteRT graph has {operators} layers with weights; its description says {len(layers)}")
    return description.model(tensors)


def _weights(network: Network, name: str, weight: TfliteTensor) -> dict[str, Found]:
    """Weight, and where it is quantised its scale and zero point, as a Model has them."""
    layer, value = network[name], weight.value()
    if isinstance(layer, Linear):
        (shape,) = network.input_shapes(layer)
        value = _channels_first(weight, value, shape.channels, shape.height, shape.width)
    elif value.ndim == 4:
        value = np.transpose(value, (3, 0, 1, 2) if isinstance(layer, DepthwiseConvolution) else (0, 3, 1, 2))
    found = {f"{name}.weight": Found(weight.name, value)}
    if weight.quantized:
        value, shift = signed_weight(value)
        scale, zero_point = weight_scale(found[f"{name}.weight"], weight, value.shape[0])
        found[f"{name}.weight"] = Found(weight.name, value)
        found[f"{name}.weight_scale"] = Found(weight.name, scale)
        found[f"{name}.weight_zero_point"] = Found(weight.name, (zero_point - shift).astype(np.int8))
    return found


def _channels_first(weight: TfliteTensor, value: Tensor, channels: int, height: int, width: int) -> Tensor:
    """A linear layer's weight: this package flattens a map channel by channel, LiteRT pixel by pixel."""
    if value.ndim != 2 or value.shape[1] != channels * height * width:
        raise FormatError(f"{weight.name} has shape {value.shape}; (out, {channels * height * width}) was expected")
    return value.reshape(-1, height, width, channels).transpose(0, 3, 1, 2).reshape(value.shape)


@dataclass
class _Reader:
    file: TfliteFile
    values: dict[int, Value] = field(default_factory=dict)
    """What a tensor stands for, by its index."""
    made: dict[str, int] = field(default_factory=dict)
    """The last tensor that belongs to a layer, by the layer's name."""
    normalization: dict[str, Tensor] = field(default_factory=dict)
    """``scale`` and ``offset`` of the picture, where the graph applies them."""

    def model(self, labels: tuple[str, ...] | None, file_name: str) -> Model:
        """Read everything."""
        if len(self.file.inputs) != 1 or not self.file.outputs:
            raise FormatError(f"the graph has {len(self.file.inputs)} inputs; one picture goes in")
        (index,) = self.file.inputs
        picture = self.file.tensor(index)
        if len(picture.shape) != 4:
            raise FormatError(f"{picture.name} has shape {picture.shape}; pictures are (1, height, width, channels)")
        self.graph = Graph(*picture.shape[1:])
        self.values[index] = Value(INPUT)
        self.made[INPUT] = index
        self.readers: dict[int, int] = {}
        for operator in self.file.operators:
            for source in operator.inputs:
                self.readers[source] = self.readers.get(source, 0) + 1
        for operator in self.file.operators:
            self._read(operator)
        names = [self.value(output, "the output").layer for output in self.file.outputs]
        return self._assemble(self.graph.network(self.file.name, names), labels, file_name)

    def value(self, index: int, node: str) -> Value:
        """What a computed tensor stands for."""
        if index not in self.values:
            raise FormatError(f"{node} reads {self.file.tensor(index).name}, which nothing before it makes")
        return self.values[index]

    def _read(self, operator: Operator) -> None:
        node = self.file.tensor(operator.output).name
        first = operator.inputs[0]
        if operator.code == Code.DEQUANTIZE and self.file.tensor(first).constant:
            # Weights that are stored as float16 are used under the name of what they are turned into.
            self.file.tensors[operator.output] = replace(self.file.tensor(first), name=node)
            return
        match operator.code:
            case Code.CONV_2D | Code.DEPTHWISE_CONV_2D:
                layer = self._convolution(node, operator)
            case Code.FULLY_CONNECTED:
                layer = self._linear(node, operator)
            case Code.AVERAGE_POOL_2D | Code.MAX_POOL_2D:
                layer = self._pool(node, operator)
            case Code.MEAN:
                layer = self._mean(node, operator)
            case Code.ADD | Code.CONCATENATION:
                layer = self._join(node, operator)
            case _:
                self.values[operator.output] = self._passed(node, operator, self.value(first, node))
                return
        self.values[operator.output] = Value(layer)
        self.made[layer] = operator.output

    def _passed(self, node: str, operator: Operator, source: Value) -> Value:
        """Operators that become no layer of their own."""
        output = operator.output
        match operator.code:
            case Code.RELU | Code.RELU6:
                if self.readers.get(operator.inputs[0]) != 1:
                    raise FormatError(f"{node}: what it reads is read elsewhere too")
                activation = Activation.RELU if operator.code == Code.RELU else Activation.RELU6
                self.graph.activate(node, source.layer, activation)
                self.made[source.layer] = output
            case Code.PAD:
                return Value(source.layer, self._pad(node, operator))
            case Code.SOFTMAX:
                if output not in self.file.outputs:
                    raise FormatError(f"{node} is a softmax in the middle of the network")
            case Code.RESHAPE | Code.SQUEEZE:
                self._check_reshape(node, source, self.file.tensor(output).shape)
            case Code.QUANTIZE | Code.DEQUANTIZE:
                if source.layer == INPUT:
                    self.made[INPUT] = output
                elif output not in self.file.outputs:
                    raise FormatError(f"{node} changes a quantisation in the middle of the network")
            case Code.MUL | Code.SUB if source.layer == INPUT:
                self._normalize(node, operator)
            case code:
                raise FormatError(f"{node} is operator {code} of the schema, which this package does not read")
        return source

    def _normalize(self, node: str, operator: Operator) -> None:
        constant = self.file.tensor(operator.inputs[1])
        value = np.broadcast_to(float32(Found(constant.name, constant.value())).ravel(), (3,)).astype(np.float64)
        if operator.code == Code.MUL and not self.normalization:
            self.normalization["scale"] = value
        elif operator.code == Code.SUB and "scale" in self.normalization:
            self.normalization["offset"] = -value
        else:
            raise FormatError(f"{node}: the picture is normalised by one product and one sum, in that order")

    def _join(self, node: str, operator: Operator) -> str:
        options = operator.options
        if operator.code == Code.ADD and len(operator.inputs) == 2 and self.file.tensor(operator.inputs[1]).constant:
            return self._constant_sum(node, operator)
        sources = [self.value(index, node) for index in operator.inputs]
        if operator.code == Code.ADD:
            layer = self.graph.add(node, sources)
        else:
            axis = options.i32(0) if options else 0
            if axis not in (3, -1):
                raise FormatError(f"{node} joins along axis {axis}; only channels can be joined")
            layer = self.graph.concatenate(node, sources)
        self._fused(node, layer, options, 0 if operator.code == Code.ADD else 1)
        return layer

    def _constant_sum(self, node: str, operator: Operator) -> str:
        source = self.value(operator.inputs[0], node)
        if source.layer != INPUT or "scale" not in self.normalization or "offset" in self.normalization:
            raise FormatError(f"{node} adds constants, which only the normalisation of the picture does")
        constant = self.file.tensor(operator.inputs[1])
        value = float32(Found(constant.name, constant.value())).ravel()
        self.normalization["offset"] = np.broadcast_to(value, (3,)).astype(np.float64)
        return INPUT

    def _fused(self, node: str, layer: str, options: Table | None, slot: int) -> None:
        number = options.i8(slot) if options else 0
        if number not in _ACTIVATIONS:
            raise FormatError(f"{node} has activation function {number}; none, ReLU and ReLU6 are known")
        self.graph.activate(node, layer, _ACTIVATIONS[number])

    def _convolution(self, node: str, operator: Operator) -> str:
        options = operator.options
        if options is None or len(operator.inputs) < 2:
            raise FormatError(f"{node} lacks its options or its weights")
        depthwise = operator.code == Code.DEPTHWISE_CONV_2D
        source = self.value(operator.inputs[0], node)
        weight = self.file.tensor(operator.inputs[1])
        value = weight.value()
        if value.ndim != 4:
            raise FormatError(f"{weight.name} has shape {value.shape}; a convolution's weights have 4 axes")
        dilation = options.i32(5 if depthwise else 4, 1), options.i32(6 if depthwise else 5, 1)
        stride_w, stride = options.i32(1), options.i32(2)
        if dilation != (1, 1) or stride_w != stride:
            raise FormatError(f"{node} has strides {(stride, stride_w)} and dilation {dilation}; windows are plain")
        channels = self.graph.shape(source.layer).channels
        value = np.transpose(value, (3, 0, 1, 2) if depthwise else (0, 3, 1, 2))
        if depthwise and value.shape[0] != channels:
            raise FormatError(f"{weight.name} has {value.shape[0]} filters for {channels} channels; it needs as many")
        if value.shape[1] < 1 or channels % value.shape[1]:
            raise FormatError(f"{weight.name} reads {value.shape[1]} channels; {channels} are there")
        layer = self.graph.convolution(
            node,
            source,
            Found(weight.name, value),
            stride=stride,
            padding=self._same(node, options, source, value.shape[2], stride),
            groups=channels // value.shape[1],
        )
        self._bias(layer, operator)
        self._fused(node, layer, options, 4 if depthwise else 3)
        return layer

    def _same(self, node: str, options: Table, source: Value, kernel: int, stride: int) -> Padding:
        """Padding that the file gives by a policy, as numbers."""
        if options.i8(0) == 1:
            return NO_PADDING
        if source.padding != NO_PADDING:
            raise FormatError(f"{node} pads a map that is padded already")
        if stride < 1 or kernel < 1:
            raise FormatError(f"{node} has a window of {kernel} and stride {stride}")
        shape = self.graph.shape(source.layer)
        same = PaddingPolicy.SAME
        return Padding(*same.amounts(shape.height, kernel, stride), *same.amounts(shape.width, kernel, stride))

    def _bias(self, layer: str, operator: Operator) -> None:
        if len(operator.inputs) > 2 and operator.inputs[2] >= 0:
            bias = self.file.tensor(operator.inputs[2])
            self.graph.bias(layer, Found(bias.name, bias.value().ravel()))

    def _linear(self, node: str, operator: Operator) -> str:
        options = operator.options
        if len(operator.inputs) < 2 or (options and options.i8(1)):
            raise FormatError(f"{node} lacks its weights or has them shuffled")
        source, weight = self.value(operator.inputs[0], node), self.file.tensor(operator.inputs[1])
        shape = self.graph.shape(source.layer)
        value = _channels_first(weight, weight.value(), shape.channels, shape.height, shape.width)
        layer = self.graph.linear(node, source, Found(weight.name, value))
        self._bias(layer, operator)
        self._fused(node, layer, options, 0)
        return layer

    def _pool(self, node: str, operator: Operator) -> str:
        options = operator.options
        if options is None:
            raise FormatError(f"{node} lacks its options")
        source = self.value(operator.inputs[0], node)
        shape = self.graph.shape(source.layer)
        stride, width, height = options.i32(2), options.i32(3), options.i32(4)
        if operator.code == Code.MAX_POOL_2D:
            if width != height or stride != options.i32(1):
                raise FormatError(f"{node} has a window of {height}×{width}; windows must be square")
            padding = self._same(node, options, source, height, stride)
            layer = self.graph.max_pool(node, source, kernel=height, stride=stride, padding=padding)
        elif (height, width) == shape[1:]:
            layer = self.graph.average(node, source)
        else:
            raise FormatError(f"{node} averages {height}×{width} pixels of {shape}; only whole maps are averaged")
        self._fused(node, layer, options, 5)
        return layer

    def _mean(self, node: str, operator: Operator) -> str:
        axes = self.file.tensor(operator.inputs[1]).value().ravel().tolist() if len(operator.inputs) > 1 else []
        if sorted(axes) not in ([1, 2], [-3, -2]):
            raise FormatError(f"{node} averages over axes {axes}; only whole maps are averaged")
        return self.graph.average(node, self.value(operator.inputs[0], node))

    def _pad(self, node: str, operator: Operator) -> Padding:
        amounts = self.file.tensor(operator.inputs[1]).value() if len(operator.inputs) > 1 else np.zeros(0)
        if amounts.shape != (4, 2) or amounts.dtype.kind != "i" or amounts[[0, 3]].any():
            raise FormatError(f"{node} pads by {amounts.tolist()}; only height and width can be padded")
        (top, bottom), (left, right) = amounts[1:3].tolist()
        if min(top, bottom, left, right) < 0:
            raise FormatError(f"{node} pads by {amounts.tolist()}")
        return Padding(top, bottom, left, right)

    def _check_reshape(self, node: str, source: Value, shape: tuple[int, ...]) -> None:
        have = self.graph.shape(source.layer)
        size = 1
        for extent in shape[1:]:
            size *= extent
        if size != have.size and (size, shape[:1]) != (1, (have.size,)):
            raise FormatError(f"{node} reshapes {have} into {shape}")

    # The Model -----------------------------------------------------------------------------------------------------

    def _assemble(self, network: Network, labels: tuple[str, ...] | None, file_name: str) -> Model:
        network, tensors = _with_linear_classifier(network, self.graph.tensors)
        network, names = recognised(network)
        tensors = renamed_tensors(tensors, names)
        made = {names.get(layer, layer): self.file.tensor(index) for layer, index in self.made.items()}
        provenance = {"imported": {"from": "tflite", "file": file_name}}
        weights = [found.value.dtype.kind for name, found in tensors.items() if name.endswith(".weight")]
        if labels is not None and len(labels) != network.classes:
            raise FormatError(f"{len(labels)} labels for {network.classes} classes")
        labels = labels or numbered_labels(network.classes)
        try:
            if weights and all(kind == "f" for kind in weights):
                parameters = _checked(network, {name: Found(f.source, float32(f)) for name, f in tensors.items()})
                return Model(network, parameters, labels, self._float_preprocessing(), provenance=provenance)
            constants = {tensor.name: tensor for tensor in self.file.tensors if tensor.constant}
            network, parameters, quantization = quantized_parameters(network, tensors, made, constants)
            provenance["imported"].update(logits_quantization(network, made))
            preprocessing = pixel_preprocessing(quantization.activations[INPUT])
            return Model(network, parameters, labels, preprocessing, quantization, provenance)
        except ModelError as error:
            raise FormatError(str(error)) from None

    def _float_preprocessing(self) -> Preprocessing:
        if not self.normalization:
            return _metadata_preprocessing(self.file.metadata.get(METADATA, b"")) or Preprocessing()
        scale = self.normalization["scale"]
        offset = self.normalization.get("offset", np.zeros(3))
        if scale.min() <= 0:
            raise FormatError(f"the picture is multiplied by {scale.tolist()}; positive numbers were expected")
        std = [float(np.round(value, 7)) for value in 1 / (255 * scale)]
        mean = [float(np.round(value, 7)) for value in -offset / (255 * scale)]
        return Preprocessing(mean=(mean[0], mean[1], mean[2]), std=(std[0], std[1], std[2]))


def _metadata_preprocessing(metadata: bytes) -> Preprocessing | None:
    """The normalisation that model metadata names for the picture: (pixel − mean) / std, on the scale of bytes.

    Source: metadata_schema.fbs of TensorFlow Lite Support.
    """
    if not metadata:
        return None
    graphs = Table.root(Bytes(metadata, "the metadata of the LiteRT file")).tables(3)
    inputs = graphs[0].tables(2) if graphs else []
    for unit in inputs[0].tables(4) if inputs else []:
        options = unit.table(1)
        if unit.i8(0) == _NORMALIZATION and options is not None:
            mean, std = (options.numbers(slot, "<f4").astype(np.float64) for slot in (0, 1))
            if mean.size not in (1, 3) or std.size != mean.size:
                raise FormatError(f"the metadata normalises by {mean.size} means and {std.size} standard deviations")
            red, green, blue = (float(np.round(value / 255, 7)) for value in np.broadcast_to(mean, 3))
            red_std, green_std, blue_std = (float(np.round(value / 255, 7)) for value in np.broadcast_to(std, 3))
            return Preprocessing(mean=(red, green, blue), std=(red_std, green_std, blue_std))
    return None


def pixel_preprocessing(quantization: TensorQuantization) -> Preprocessing:
    """The normalisation under which an input's bytes are the pixels themselves."""
    mean, std = quantization.zero_point / 255, 1 / (255 * quantization.scale)
    return Preprocessing(mean=(mean, mean, mean), std=(std, std, std))


def _with_linear_classifier(network: Network, tensors: dict[str, Found]) -> tuple[Network, dict[str, Found]]:
    """The network with a pointwise convolution of a 1×1 map, where it is the only output, as the linear layer it is."""
    last = network.layers[-1] if network.layers else None
    if not isinstance(last, PointwiseConvolution) or network.outputs != (last.name,):
        return network, tensors
    if network.input_shapes(last)[0][1:] != (1, 1) or last.activation is not Activation.NONE:
        return network, tensors
    linear = Linear(last.name, last.inputs, out_features=last.out_channels, bias=last.bias)
    weight = tensors[f"{last.name}.weight"]
    flat = replace(weight, value=weight.value.reshape(weight.value.shape[:2]))
    return replace(network, layers=(*network.layers[:-1], linear)), {**tensors, f"{last.name}.weight": flat}


def _checked(network: Network, tensors: Mapping[str, Found]) -> dict[str, Tensor]:
    needed = network.parameter_shapes()
    for name, shape in needed.items():
        if name in tensors and tensors[name].value.shape != shape:
            found = tensors[name]
            raise FormatError(f"{found.source} has shape {found.value.shape} in PyTorch's layout; it needs {shape}")
    return {name: found.value for name, found in tensors.items()}
