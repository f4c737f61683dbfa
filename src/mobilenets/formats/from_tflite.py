"""LiteRT (TensorFlow Lite) → Model, without either: float32, float16 weights, int8 per channel, uint8 as published.

The official uint8 networks quantise weights asymmetrically, one scale and zero point per tensor. They are kept exact:
an int8 Model holds their bytes less 128 as weights, and their zero points as ``weight_zero_point``, because
requantising them symmetrically would round every weight anew and the result could not be held against the published
kernels (:mod:`mobilenets.formats.fixed_point`).

A softmax at the end is dropped, and so is the quantisation of the logits before it: a Model gives real logits. The
scale and zero point that the file has for them are kept in the provenance.

Source: schema.fbs of the LiteRT repository; slots are numbered in its order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from mobilenets.architecture.layers import INPUT, Activation, Linear, Network, Padding, PointwiseConvolution
from mobilenets.architecture.multipliers import PaddingPolicy
from mobilenets.errors import FormatError, ModelError
from mobilenets.formats.binary import Bytes, read_file
from mobilenets.formats.flatbuffer import Table
from mobilenets.formats.graph import NO_PADDING, Graph, Value, recognised, renamed_tensors
from mobilenets.formats.mobilenet_v1_weights import Found, float32
from mobilenets.formats.zip_members import ZipMembers
from mobilenets.model.model import Model, Tensor, numbered_labels
from mobilenets.model.preprocessing import Preprocessing
from mobilenets.model.quantization import Quantization, TensorQuantization, real_outputs

IDENTIFIER = b"TFL3"
MOST_OPERATORS = 4096

_ADD, _AVERAGE_POOL, _CONCATENATION, _CONV, _DEPTHWISE, _DEQUANTIZE = 0, 1, 2, 3, 4, 6
_FULLY_CONNECTED, _MAX_POOL, _MUL, _RELU, _RELU6, _RESHAPE, _SOFTMAX = 9, 17, 18, 19, 21, 22, 25
_PAD, _MEAN, _SUB, _SQUEEZE, _QUANTIZE = 34, 40, 41, 43, 114

_TYPES = {0: "<f4", 1: "<f2", 2: "<i4", 3: "u1", 4: "<i8", 9: "i1"}
_ACTIVATIONS = {0: Activation.NONE, 1: Activation.RELU, 3: Activation.RELU6}


@dataclass(frozen=True)
class _Tensor:
    """A tensor of the file.

    Attributes:
        name: Its name.
        shape: Its shape.
        dtype: Type of its numbers.
        data: Its bytes, empty where it is computed.
        scales: Of its quantisation, one or one per channel.
        zero_points: Likewise.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    data: memoryview
    scales: Tensor
    zero_points: Tensor

    @property
    def constant(self) -> bool:
        return len(self.data) > 0

    @property
    def quantized(self) -> bool:
        return self.dtype.kind in "iu" and self.dtype.itemsize == 1

    def value(self) -> Tensor:
        """Its numbers, as a view of the file."""
        size = self.dtype.itemsize
        for extent in self.shape:
            size *= extent
        if size != len(self.data):
            raise FormatError(f"{self.name} has {len(self.data)} bytes; its shape {self.shape} needs {size}")
        return np.frombuffer(self.data, self.dtype).reshape(self.shape)

    def activation(self) -> TensorQuantization:
        """Scale and zero point of an activation, held as uint8."""
        if not self.quantized or self.scales.size != 1 or self.zero_points.size != 1:
            raise FormatError(f"{self.name} needs one scale and one zero point as an 8-bit activation")
        shift = 128 if self.dtype.kind == "i" else 0
        try:
            return TensorQuantization(float(self.scales[0]), int(self.zero_points[0]) + shift)
        except ModelError as error:
            raise FormatError(f"{self.name}: {error}") from None


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
    return _Reader(data).model(labels or packed_labels(data), path.name)


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


@dataclass
class _Reader:
    data: bytes
    graph: Graph = field(init=False)
    values: dict[int, Value] = field(default_factory=dict)
    """What a tensor stands for, by its index."""
    made: dict[str, int] = field(default_factory=dict)
    """The last tensor that belongs to a layer, by the layer's name."""

    def __post_init__(self) -> None:
        file = Bytes(self.data, "the LiteRT file")
        file.expect(4, IDENTIFIER)
        root = Table.root(file)
        subgraphs = root.tables(2)
        if len(subgraphs) != 1:
            raise FormatError(f"the LiteRT file holds {len(subgraphs)} graphs; one was expected")
        (main,) = subgraphs
        self._codes = [max(code.i8(0), code.i32(3)) for code in root.tables(1)]
        self._buffers = root.tables(4)
        self._tensors = [self._tensor(table) for table in main.tables(0)]
        self._operators = main.tables(3)
        self._name = main.text(4)
        if len(self._operators) > MOST_OPERATORS:
            raise FormatError(f"the LiteRT file has {len(self._operators)} operators; {MOST_OPERATORS} is the limit")
        inputs, outputs = main.numbers(1, "<i4"), main.numbers(2, "<i4")
        if inputs.size != 1 or outputs.size < 1:
            raise FormatError(f"the graph has {inputs.size} inputs and {outputs.size} outputs; one picture goes in")
        self._input, self._outputs = int(inputs[0]), [int(index) for index in outputs]
        self._readers: dict[int, int] = {}

    def _tensor(self, table: Table) -> _Tensor:
        number, name = table.i8(1), table.text(3)
        if number not in _TYPES:
            raise FormatError(f"{name} is of type {number}, which is none of float32, float16, int8, uint8 and int32")
        buffer = table.i32(2)
        if not 0 <= buffer < len(self._buffers):
            raise FormatError(f"{name} names buffer {buffer} of {len(self._buffers)}")
        quantization = table.table(4)
        return _Tensor(
            name=name,
            shape=tuple(int(extent) for extent in table.numbers(0, "<i4")),
            dtype=np.dtype(_TYPES[number]),
            data=self._buffers[buffer].raw(0),
            scales=quantization.numbers(2, "<f4") if quantization else np.zeros(0, np.float32),
            zero_points=quantization.numbers(3, "<i8") if quantization else np.zeros(0, np.int64),
        )

    # The graph -----------------------------------------------------------------------------------------------------

    def model(self, labels: tuple[str, ...] | None, file_name: str) -> Model:
        """Read everything."""
        picture = self.tensor(self._input)
        if len(picture.shape) != 4:
            raise FormatError(f"{picture.name} has shape {picture.shape}; pictures are (1, height, width, channels)")
        self.graph = Graph(*picture.shape[1:])
        self.values[self._input] = Value(INPUT)
        self.made[INPUT] = self._input
        self._normalization: dict[str, Tensor] = {}
        operators = [self._operator(table) for table in self._operators]
        for _, inputs, _, _ in operators:
            for index in inputs:
                self._readers[index] = self._readers.get(index, 0) + 1
        for code, inputs, outputs, options in operators:
            self._read(code, inputs, outputs, options)
        names = [self.value(index, "the output").layer for index in self._outputs]
        return self._assemble(self.graph.network(self._name, names), labels, file_name)

    def _operator(self, table: Table) -> tuple[int, list[int], list[int], Table | None]:
        code = table.i32(0)
        if not 0 <= code < len(self._codes):
            raise FormatError(f"an operator names code {code} of {len(self._codes)}")
        inputs = [int(index) for index in table.numbers(1, "<i4")]
        outputs = [int(index) for index in table.numbers(2, "<i4")]
        if len(outputs) != 1 or not inputs:
            raise FormatError(f"an operator makes {len(outputs)} tensors of {len(inputs)}; one of some was expected")
        return self._codes[code], inputs, outputs, table.table(4)

    def tensor(self, index: int) -> _Tensor:
        """A tensor by its index."""
        if not 0 <= index < len(self._tensors):
            raise FormatError(f"the graph names tensor {index} of {len(self._tensors)}")
        return self._tensors[index]

    def value(self, index: int, node: str) -> Value:
        """What a computed tensor stands for."""
        if index not in self.values:
            raise FormatError(f"{node} reads {self.tensor(index).name}, which nothing before it makes")
        return self.values[index]

    def _read(self, code: int, inputs: list[int], outputs: list[int], options: Table | None) -> None:
        node, out = self.tensor(outputs[0]).name, outputs[0]
        constants = all(self.tensor(index).constant for index in inputs)
        if code == _DEQUANTIZE and constants:
            self._tensors[out] = replace(self.tensor(inputs[0]), name=node, scales=np.zeros(0, np.float32))
            return
        source = self.value(inputs[0], node) if code != _ADD or not constants else None
        match code:
            case 3 | 4:
                layer = self._convolution(node, code, inputs, options)
            case 9:
                layer = self._linear(node, inputs, options)
            case 1 | 17:
                layer = self._pool(node, code, inputs, options)
            case 40:
                layer = self._mean(node, inputs)
            case 0 | 2:
                layer = self._join(node, code, inputs, options)
            case _:
                self._passed(node, code, inputs, out, source)
                return
        self.values[out] = Value(layer)
        self.made[layer] = out

    def _passed(self, node: str, code: int, inputs: list[int], out: int, source: Value | None) -> None:
        """Operators that become no layer of their own."""
        if source is None:
            raise FormatError(f"{node} computes with nothing but constants")
        if code in (_RELU, _RELU6):
            if self._readers.get(inputs[0]) != 1:
                raise FormatError(f"{node}: what it reads is read elsewhere too")
            self.graph.activate(node, source.layer, Activation.RELU if code == _RELU else Activation.RELU6)
            self.made[source.layer] = out
        elif code == _PAD:
            source = Value(source.layer, self._pad(node, inputs))
        elif code == _SOFTMAX:
            if out not in self._outputs:
                raise FormatError(f"{node} is a softmax in the middle of the network")
        elif code in (_RESHAPE, _SQUEEZE):
            self._check_reshape(node, source, self.tensor(out).shape)
        elif code in (_QUANTIZE, _DEQUANTIZE):
            if source.layer == INPUT:
                self.made[INPUT] = out
            elif out not in self._outputs:
                raise FormatError(f"{node} changes a quantisation in the middle of the network")
        elif code in (_MUL, _SUB) and source.layer == INPUT:
            self._normalize(node, code, inputs)
        else:
            raise FormatError(f"{node} is operator {code}, which this package does not read")
        self.values[out] = source

    def _normalize(self, node: str, code: int, inputs: list[int]) -> None:
        constant = self.tensor(inputs[1])
        value = np.broadcast_to(float32(Found(constant.name, constant.value())).ravel(), (3,)).astype(np.float64)
        if code == _MUL and not self._normalization:
            self._normalization["scale"] = value
        elif code == _SUB and "scale" in self._normalization:
            self._normalization["offset"] = -value
        else:
            raise FormatError(f"{node}: the picture is normalised by one product and one sum, in that order")

    def _join(self, node: str, code: int, inputs: list[int], options: Table | None) -> str:
        if code == _ADD and len(inputs) == 2 and self.tensor(inputs[1]).constant:
            return self._constant_sum(node, inputs)
        sources = [self.value(index, node) for index in inputs]
        if code == _ADD:
            layer = self.graph.add(node, sources)
        else:
            axis = options.i32(0) if options else 0
            if axis not in (3, -1):
                raise FormatError(f"{node} joins along axis {axis}; only channels can be joined")
            layer = self.graph.concatenate(node, sources)
        self._fused(node, layer, options, 0 if code == _ADD else 1)
        return layer

    def _constant_sum(self, node: str, inputs: list[int]) -> str:
        source = self.value(inputs[0], node)
        if source.layer != INPUT or "scale" not in self._normalization or "offset" in self._normalization:
            raise FormatError(f"{node} adds constants, which only the normalisation of the picture does")
        constant = self.tensor(inputs[1])
        value = float32(Found(constant.name, constant.value())).ravel()
        self._normalization["offset"] = np.broadcast_to(value, (3,)).astype(np.float64)
        return INPUT

    def _fused(self, node: str, layer: str, options: Table | None, slot: int) -> None:
        number = options.i8(slot) if options else 0
        if number not in _ACTIVATIONS:
            raise FormatError(f"{node} has activation function {number}; none, ReLU and ReLU6 are known")
        self.graph.activate(node, layer, _ACTIVATIONS[number])

    def _convolution(self, node: str, code: int, inputs: list[int], options: Table | None) -> str:
        if options is None or len(inputs) < 2:
            raise FormatError(f"{node} lacks its options or its weights")
        depthwise = code == _DEPTHWISE
        source = self.value(inputs[0], node)
        weight = self.tensor(inputs[1])
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
        self._bias(layer, inputs)
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

    def _bias(self, layer: str, inputs: list[int]) -> None:
        if len(inputs) > 2 and inputs[2] >= 0:
            bias = self.tensor(inputs[2])
            self.graph.bias(layer, Found(bias.name, bias.value().ravel()))

    def _linear(self, node: str, inputs: list[int], options: Table | None) -> str:
        if len(inputs) < 2 or (options and options.i8(1)):
            raise FormatError(f"{node} lacks its weights or has them shuffled")
        source, weight = self.value(inputs[0], node), self.tensor(inputs[1])
        value, shape = weight.value(), self.graph.shape(source.layer)
        if value.ndim != 2 or value.shape[1] != shape.size:
            raise FormatError(f"{weight.name} has shape {value.shape}; (out, {shape.size}) was expected")
        # This package flattens a map channel by channel, LiteRT pixel by pixel.
        value = value.reshape(-1, shape.height, shape.width, shape.channels).transpose(0, 3, 1, 2).reshape(value.shape)
        layer = self.graph.linear(node, source, Found(weight.name, value))
        self._bias(layer, inputs)
        self._fused(node, layer, options, 0)
        return layer

    def _pool(self, node: str, code: int, inputs: list[int], options: Table | None) -> str:
        if options is None:
            raise FormatError(f"{node} lacks its options")
        source = self.value(inputs[0], node)
        shape = self.graph.shape(source.layer)
        stride, width, height = options.i32(2), options.i32(3), options.i32(4)
        if code == _MAX_POOL:
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

    def _mean(self, node: str, inputs: list[int]) -> str:
        axes = self.tensor(inputs[1]).value().ravel().tolist() if len(inputs) > 1 else []
        if sorted(axes) not in ([1, 2], [-3, -2]):
            raise FormatError(f"{node} averages over axes {axes}; only whole maps are averaged")
        return self.graph.average(node, self.value(inputs[0], node))

    def _pad(self, node: str, inputs: list[int]) -> Padding:
        amounts = self.tensor(inputs[1]).value() if len(inputs) > 1 else np.zeros(0)
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
        made = {names.get(layer, layer): self.tensor(index) for layer, index in self.made.items()}
        provenance = {"imported": {"from": "tflite", "file": file_name}}
        weights = [found.value.dtype.kind for name, found in tensors.items() if name.endswith(".weight")]
        if labels is not None and len(labels) != network.classes:
            raise FormatError(f"{len(labels)} labels for {network.classes} classes")
        labels = labels or numbered_labels(network.classes)
        try:
            if weights and all(kind == "f" for kind in weights):
                parameters = _checked(network, {name: Found(f.source, float32(f)) for name, f in tensors.items()})
                return Model(network, parameters, labels, self._float_preprocessing(), provenance=provenance)
            network, parameters, quantization = _quantized(network, tensors, made, self._weight_quantization())
            provenance["imported"].update(_logits(network, made))
            preprocessing = pixel_preprocessing(quantization.activations[INPUT])
            return Model(network, parameters, labels, preprocessing, quantization, provenance)
        except ModelError as error:
            raise FormatError(str(error)) from None

    def _weight_quantization(self) -> Mapping[str, _Tensor]:
        return {tensor.name: tensor for tensor in self._tensors if tensor.constant}

    def _float_preprocessing(self) -> Preprocessing:
        if not self._normalization:
            return Preprocessing()
        scale = self._normalization["scale"]
        offset = self._normalization.get("offset", np.zeros(3))
        if scale.min() <= 0:
            raise FormatError(f"the picture is multiplied by {scale.tolist()}; positive numbers were expected")
        std = [float(np.round(value, 7)) for value in 1 / (255 * scale)]
        mean = [float(np.round(value, 7)) for value in -offset / (255 * scale)]
        return Preprocessing(mean=(mean[0], mean[1], mean[2]), std=(std[0], std[1], std[2]))


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


def _quantized(
    network: Network, tensors: Mapping[str, Found], made: Mapping[str, _Tensor], constants: Mapping[str, _Tensor]
) -> tuple[Network, dict[str, Tensor], Quantization]:
    real = real_outputs(network)
    activations = {name: made[name].activation() for name in (INPUT, *network.shapes) if name not in real}
    parameters: dict[str, Tensor] = {}
    layers = []
    for layer in network.layers:
        layers.append(replace(layer, bias=True) if layer.has_weight else layer)  # type: ignore[call-arg]
        if not layer.has_weight:
            continue
        weight = tensors[f"{layer.name}.weight"]
        channels = weight.value.shape[0]
        scale, zero_point = _weight_scale(weight, constants[weight.source], channels)
        parameters[f"{layer.name}.weight_scale"] = scale
        shift = weight.value.dtype.type(128 if weight.value.dtype.kind == "u" else 0)
        parameters[f"{layer.name}.weight"] = np.ascontiguousarray((weight.value ^ shift).view(np.int8))
        if (zero_point != shift).any():
            parameters[f"{layer.name}.weight_zero_point"] = (zero_point - shift).astype(np.int8)
        bias = tensors.get(f"{layer.name}.bias")
        if bias is not None and bias.value.dtype != np.int32:
            raise FormatError(f"{bias.source} holds {bias.value.dtype}; the bias of an 8-bit layer holds int32")
        value = np.zeros(channels, np.int32) if bias is None else np.ascontiguousarray(bias.value)
        if bias is not None:
            _check_bias_scale(bias, constants[bias.source], activations[layer.inputs[0]].scale, scale)
        parameters[f"{layer.name}.bias"] = value
    return replace(network, layers=tuple(layers)), parameters, Quantization(activations)


def _weight_scale(weight: Found, tensor: _Tensor, channels: int) -> tuple[Tensor, Tensor]:
    """Scale and zero point of a layer's weights, one per output channel."""
    if not tensor.quantized or tensor.scales.size not in (1, channels):
        raise FormatError(f"{weight.source} has {tensor.scales.size} scales; 8-bit weights have 1 or {channels}")
    if tensor.zero_points.size not in (1, tensor.scales.size):
        raise FormatError(f"{weight.source} has {tensor.zero_points.size} zero points for {tensor.scales.size} scales")
    if not (np.isfinite(tensor.scales).all() and tensor.scales.min() > 0):
        raise FormatError(f"{weight.source} has a scale that is not a positive number")
    low = 0 if tensor.dtype.kind == "u" else -128
    if tensor.zero_points.min() < low or tensor.zero_points.max() > low + 255:
        raise FormatError(f"{weight.source} has a zero point outside {low} to {low + 255}")
    scale = np.ascontiguousarray(np.broadcast_to(tensor.scales.astype(np.float32), (channels,)))
    return scale, np.broadcast_to(tensor.zero_points, (channels,))


def _check_bias_scale(bias: Found, tensor: _Tensor, source: float, scales: Tensor) -> None:
    """The bias must count in input scale × weight scale, as the sums do."""
    if tensor.scales.size and not np.allclose(tensor.scales, np.float64(source) * scales, rtol=1e-3, atol=0):
        raise FormatError(f"{bias.source} has a scale that is not its layer's input scale times its weights' scale")


def _logits(network: Network, made: Mapping[str, _Tensor]) -> dict[str, Any]:
    """Scale and zero point of the first output in the file."""
    tensor = made.get(network.outputs[0])
    if tensor is None or not tensor.quantized or tensor.scales.size != 1 or tensor.zero_points.size != 1:
        return {}
    return {"logits_scale": float(tensor.scales[0]), "logits_zero_point": int(tensor.zero_points[0])}
