"""The numbers of a quantized ONNX graph: pairs of QuantizeLinear and DequantizeLinear taken out of it and kept.

What is left is the graph of a float network whose weights are integers. The pairs say the scale and zero point of its
tensors, as ``onnxruntime.quantization.quantize_static`` and this package write them. int8 activations are held as
uint8, 128 higher.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from mobilenets.architecture.layers import (
    INPUT,
    Activation,
    Add,
    Convolution,
    DepthwiseConvolution,
    Layer,
    Linear,
    MaxPool,
    Multiply,
    PointwiseConvolution,
)
from mobilenets.architecture.network import Network
from mobilenets.errors import FormatError, ModelError
from mobilenets.formats.onnx.file import Node, OnnxGraph
from mobilenets.formats.weights import NamedTensor
from mobilenets.model.model import Tensor
from mobilenets.model.quantization import Quantization, TensorQuantization, needed_pre_activations, real_outputs

QUANTIZE, DEQUANTIZE = "QuantizeLinear", "DequantizeLinear"
_OTHER_FORMS = ("QLinear", "QGemm", "ConvInteger", "MatMulInteger", "DynamicQuantize")


@dataclass(frozen=True)
class ConstantNumbers:
    """Scale and zero point of an integer constant.

    Attributes:
        scale: float32, one or one per channel.
        zero_point: int32, likewise.
        axis: The channels' axis, where there are several.
    """

    scale: Tensor
    zero_point: Tensor
    axis: int


@dataclass
class Numbers:
    """What a graph says about the integers of its tensors.

    Attributes:
        tensors: Scale and zero point of activations, by the tensor's name in the graph that is left.
        constants: Those of constants, by the name of the initializer.
        float_input: Whether the graph quantizes its input itself.
    """

    tensors: dict[str, TensorQuantization] = field(default_factory=dict)
    constants: dict[str, ConstantNumbers] = field(default_factory=dict)
    float_input: bool = False

    def check_axis(self, node: Node, weight: NamedTensor, axis: int) -> None:
        """Raise if the scales of a weight are not those of its output channels."""
        numbers = self.constants.get(weight.source)
        if numbers is not None and numbers.scale.size > 1 and numbers.axis % weight.value.ndim != axis:
            raise FormatError(f"{node.name}: {weight.source} has a scale per input channel; one per output is read")


def is_quantized(graph: OnnxGraph) -> bool:
    """Whether a graph computes in integers.

    Raises:
        FormatError: If it holds operators on integers instead of pairs of QuantizeLinear and DequantizeLinear.
    """
    for node in graph.nodes:
        if node.operator.startswith(_OTHER_FORMS):
            raise FormatError(
                f"{node.name} is a {node.operator}: the file is quantized in the operator-oriented format or "
                "dynamically; write it with quantize_static(…, quant_format=QuantFormat.QDQ), which is read"
            )
    return any(node.operator in (QUANTIZE, DEQUANTIZE) for node in graph.nodes)


def without_pairs(graph: OnnxGraph) -> tuple[OnnxGraph, Numbers]:
    """A quantized graph as the float graph that it computes, and the numbers of its integers.

    Raises:
        FormatError: If a scale or zero point is no constant, or two for one tensor differ.
    """
    taken = _Pairs(graph)
    nodes = tuple(kept for node in graph.nodes if (kept := taken.take(node)) is not None)
    outputs = tuple(taken.names.get(name, name) for name in graph.outputs)
    return replace(graph, nodes=nodes, constants=taken.constants, outputs=outputs), taken.numbers


@dataclass
class _Pairs:
    graph: OnnxGraph
    numbers: Numbers = field(default_factory=Numbers)
    names: dict[str, str] = field(default_factory=dict)
    """What stands for the results of nodes that are taken out."""

    def __post_init__(self) -> None:
        self.constants = dict(self.graph.constants)

    def take(self, node: Node) -> Node | None:
        """The node without integers; None where it only converts."""
        if not node.outputs:
            return node
        node = replace(node, inputs=tuple(self.names.get(name, name) for name in node.inputs))
        match node.operator:
            case "Constant" if isinstance(value := node.attributes.get("value"), NamedTensor):
                self.constants[node.outputs[0]] = replace(value, source=node.outputs[0])
                return None
            case "QuantizeLinear" | "DequantizeLinear":
                self._convert(node)
                return None
            case "Clip" if node.inputs[0] in self.numbers.tensors and node.input(1) in self.constants:
                return self._clip_of_bytes(node)
            case _ if len(node.inputs) == 1 and node.inputs[0] in self.numbers.constants:
                self._reshape_constant(node)
                return None
            case _:
                return node

    def _convert(self, node: Node) -> None:
        source, out = node.input(0), node.outputs[0]
        if source not in self.constants:
            self._keep(node, self._activation(node), source)
            self.numbers.float_input |= node.operator == QUANTIZE and source in self.graph.inputs
            self.names[out] = source
            return
        constant, numbers = self.constants[source], self._constant_numbers(node)
        if node.operator == QUANTIZE:
            steps = np.rint(constant.value / _along(numbers.scale, constant.value, numbers.axis))
            steps = steps + _along(numbers.zero_point, constant.value, numbers.axis)
            kind = self._zero_point(node).dtype
            bounds = np.iinfo(kind)
            constant = replace(constant, value=np.clip(steps, bounds.min, bounds.max).astype(kind))
        elif constant.value.dtype.kind not in "iu":
            raise FormatError(f"{node.name} takes {constant.source} of {constant.value.dtype}; it holds no integers")
        self.numbers.constants[constant.source] = self.numbers.constants[out] = numbers
        self.constants[out] = constant

    def _keep(self, node: Node, numbers: TensorQuantization, tensor: str) -> None:
        known = self.numbers.tensors.setdefault(tensor, numbers)
        if known != numbers:
            raise FormatError(f"{node.name} converts {tensor!r} by {numbers}; it was converted by {known} before")

    def _activation(self, node: Node) -> TensorQuantization:
        scale, zero_point = self._constant(node, 1), self._zero_point(node)
        if scale.size != 1 or zero_point.size != 1:
            raise FormatError(f"{node.name} has {scale.size} scales for an activation; one is read")
        if zero_point.dtype not in (np.uint8, np.int8):
            raise FormatError(f"{node.name} converts to {zero_point.dtype}; activations of 8 bits are read")
        shift = 128 if zero_point.dtype == np.int8 else 0
        try:
            return TensorQuantization(float(scale.ravel()[0]), int(zero_point.ravel()[0]) + shift)
        except ModelError as error:
            raise FormatError(f"{node.name}: {error}") from None

    def _constant_numbers(self, node: Node) -> ConstantNumbers:
        scale, zero_point = self._constant(node, 1).ravel(), self._zero_point(node).ravel()
        if zero_point.size not in (1, scale.size) or not scale.size:
            raise FormatError(f"{node.name} has {zero_point.size} zero points for {scale.size} scales")
        if not (np.isfinite(scale).all() and scale.min() > 0):
            raise FormatError(f"{node.name} has a scale that is not a positive number")
        axis = node.attributes.get("axis", 1)
        if not isinstance(axis, int):
            raise FormatError(f"{node.name} has the axis {axis!r:.40}")
        zero_point = np.broadcast_to(zero_point.astype(np.int32), scale.shape)
        return ConstantNumbers(scale.astype(np.float32), zero_point, axis)

    def _constant(self, node: Node, number: int) -> Tensor:
        name = node.input(number)
        if name not in self.constants:
            raise FormatError(f"{node.name} ({node.operator}) needs a constant where it reads {name!r}")
        return self.constants[name].value

    def _zero_point(self, node: Node) -> Tensor:
        if node.input(2):
            return self._constant(node, 2)
        source = self.constants.get(node.input(0))
        integers = node.operator == DEQUANTIZE and source is not None
        return np.zeros(1, source.value.dtype if integers and source is not None else np.uint8)

    def _clip_of_bytes(self, node: Node) -> Node:
        """A clip of bytes as the clip of the real numbers that they stand for."""
        numbers = self.numbers.tensors[node.inputs[0]]
        self.numbers.tensors[node.outputs[0]] = numbers
        bounds = [self._constant(node, number) for number in (1, 2)]
        shift = 128 if bounds[0].dtype == np.int8 else 0
        low, high = (int(bound.ravel()[0]) + shift for bound in bounds)
        for activation, top in ((Activation.RELU, None), (Activation.RELU6, 6.0)):
            if (low, high) == numbers.clamp(activation):
                limits = {"min": 0.0} | ({} if top is None else {"max": top})
                return Node("Clip", node.name, node.inputs[:1], node.outputs, limits)
        raise FormatError(f"{node.name} clips bytes of {numbers} to {low} … {high}; ReLU and ReLU6 are known")

    def _reshape_constant(self, node: Node) -> None:
        """A weight that is flattened or otherwise given another shape."""
        constant = self.constants[node.inputs[0]]
        if node.operator not in ("Flatten", "Identity", "Squeeze", "Reshape"):
            raise FormatError(f"{node.name} is a {node.operator} of a weight, which is not read")
        self.constants[node.outputs[0]] = constant


def _along(values: Tensor, tensor: Tensor, axis: int) -> Tensor:
    """Values as they stand along an axis of a tensor."""
    shape = [1] * tensor.ndim
    shape[axis % tensor.ndim] = -1
    return values if values.size == 1 else values.reshape(shape)


# Numbers of an int8 Model ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Made:
    """A tensor of the graph, as it was read.

    Attributes:
        tensor: Its name.
        layer: The layer that makes it.
        activation: The layer's activation function at that time.
        partial: Whether it is part of an activation function.
    """

    tensor: str
    layer: str
    activation: Activation
    partial: bool


def rectified(network: Network, numbers: Mapping[str, TensorQuantization]) -> Network:
    """The network with the ReLUs that quantizers leave out, since bytes from the zero point 0 on carry them."""
    real = real_outputs(network)

    def with_clamp(layer: Layer) -> Layer:
        held = numbers.get(layer.name)
        if held is None or held.zero_point or layer.name in real or layer.activation is not Activation.NONE:
            return layer
        activation = Activation.RELU6 if held.clamp(Activation.RELU6)[1] == 255 else Activation.RELU
        match layer:
            case Convolution() | DepthwiseConvolution() | PointwiseConvolution() | Linear() | Add() | Multiply():
                return replace(layer, activation=activation)
            case _:
                return layer

    return replace(network, layers=tuple(with_clamp(layer) for layer in network.layers))


def layer_numbers(
    network: Network, made: list[Made], numbers: Numbers
) -> tuple[dict[str, TensorQuantization], dict[str, TensorQuantization]]:
    """Scale and zero point of what every layer makes, and of what its activation function reads.

    Raises:
        FormatError: If a layer's result has none or several.
    """
    after: dict[str, TensorQuantization] = {}
    before: dict[str, TensorQuantization] = {}
    for one in made:
        held = numbers.tensors.get(one.tensor)
        if held is None:
            continue
        if one.partial:
            raise FormatError(f"{one.tensor!r}, which is part of an activation function, is quantized by itself")
        final = INPUT if one.layer == INPUT else network[one.layer].activation
        place = before if final != one.activation and one.layer != INPUT else after
        if place.setdefault(one.layer, held) != held:
            raise FormatError(f"{one.layer} is quantized twice: by {place[one.layer]} and by {held} ({one.tensor!r})")
    for layer in network.layers:
        first = before.get(layer.name)
        if layer.activation.is_clamp and first is not None:
            if after.get(layer.name, first) != first:
                raise FormatError(
                    f"{layer.name} is quantized before its {layer.activation} by {first} and behind it by "
                    f"{after[layer.name]}; quantize with ActivationSymmetric off, or fuse them first"
                )
            after.setdefault(layer.name, first)
            del before[layer.name]
        if isinstance(layer, MaxPool) and layer.inputs[0] in after:
            after.setdefault(layer.name, after[layer.inputs[0]])
    return after, before


def model_parameters(
    network: Network, tensors: Mapping[str, NamedTensor], numbers: Numbers, after: Mapping[str, TensorQuantization]
) -> dict[str, Tensor]:
    """Weights, their scales and biases as an int8 Model holds them.

    Raises:
        FormatError: If a layer has no integers, or ones that no int8 Model can hold; the tensor is named.
    """
    parameters: dict[str, Tensor] = {}
    for layer in network.layers:
        if not layer.has_weight:
            continue
        weight = tensors[f"{layer.name}.weight"]
        held = numbers.constants.get(weight.source)
        if held is None or weight.value.dtype not in (np.int8, np.uint8):
            raise FormatError(
                f"{weight.source} holds {weight.value.dtype} without a scale; every layer with weights of a quantized "
                "network is quantized. Import the float32 file, and quantize that"
            )
        channels = len(weight.value)
        if held.scale.size not in (1, channels):
            raise FormatError(f"{weight.source} has {held.scale.size} scales; weights have 1 or {channels}")
        if layer.inputs[0] not in after:
            raise FormatError(f"{layer.name} reads {layer.inputs[0]}, which is not quantized")
        scale = np.ascontiguousarray(np.broadcast_to(held.scale, (channels,)))
        zero_point = np.broadcast_to(held.zero_point, (channels,))
        shift = 128 if weight.value.dtype == np.uint8 else 0
        integers = (weight.value ^ np.uint8(128)).view(np.int8) if shift else weight.value
        parameters[f"{layer.name}.weight"] = np.ascontiguousarray(integers)
        parameters[f"{layer.name}.weight_scale"] = scale
        if (zero_point != shift).any():
            parameters[f"{layer.name}.weight_zero_point"] = (zero_point - shift).astype(np.int8)
        bias = tensors.get(f"{layer.name}.bias")
        unit = np.float64(after[layer.inputs[0]].scale) * scale
        parameters[f"{layer.name}.bias"] = _bias(bias, numbers, unit)
    return parameters


def _bias(bias: NamedTensor | None, numbers: Numbers, unit: npt.NDArray[Any]) -> Tensor:
    """A bias in units of input scale · weight scale."""
    if bias is None:
        return np.zeros(len(unit), np.int32)
    held = numbers.constants.get(bias.source)
    if held is None and bias.value.dtype.kind == "f":
        units = np.rint(bias.value / unit)
        if not (np.abs(units) < 2**31).all():
            raise FormatError(f"{bias.source} holds {np.abs(bias.value).max():g}, which no int32 of its scale can")
        integers: Tensor = units.astype(np.int32)
        return integers
    if held is None or bias.value.dtype != np.int32 or held.zero_point.any():
        raise FormatError(f"{bias.source} holds {bias.value.dtype}; a quantized bias holds int32 with a scale")
    if not np.allclose(held.scale, unit, rtol=1e-3, atol=0):
        raise FormatError(f"{bias.source} has a scale that is not its layer's input scale times its weights' scale")
    return np.ascontiguousarray(bias.value)


def quantization(
    network: Network, after: Mapping[str, TensorQuantization], before: Mapping[str, TensorQuantization]
) -> Quantization:
    """The scales and zero points that the Model needs, of those that the file says.

    Raises:
        FormatError: If one is missing; the layer is named.
    """
    real = real_outputs(network)
    needed = [INPUT, *(layer.name for layer in network.layers if layer.name not in real)]
    for name in needed:
        if name not in after:
            raise FormatError(f"the result of {name} is not quantized; all activations of a quantized network are")
    for name in needed_pre_activations(network):
        if name not in before:
            raise FormatError(f"what the activation function of {name} reads is not quantized")
    tables = {name: before[name] for name in needed_pre_activations(network)}
    outputs = {name: after[name] for name in real if name in after}
    return Quantization({name: after[name] for name in needed}, pre_activations=tables, outputs=outputs)
