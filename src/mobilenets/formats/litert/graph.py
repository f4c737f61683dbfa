"""The operators of a LiteRT file as a Network.

Padding, activation functions and the normalization of the image may stand alone; they are taken into the layer or the
preprocessing that they belong to.

Source: schema.fbs of the LiteRT repository, for the numbers of operators and the slots of their options.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np

from mobilenets.architecture.layers import INPUT, Activation, Padding
from mobilenets.architecture.multipliers import PaddingPolicy
from mobilenets.architecture.network import Network
from mobilenets.errors import FormatError
from mobilenets.formats.affine import Affine
from mobilenets.formats.classifier_output import LastFunction
from mobilenets.formats.containers.flatbuffer import FlatbufferTable
from mobilenets.formats.graph import NO_PADDING, Graph, Step, Value
from mobilenets.formats.litert.channels import litert_channels
from mobilenets.formats.litert.codes import OTHER_NAMES, SHAPE_ARITHMETIC, Code
from mobilenets.formats.litert.file import TfliteFile, TfliteOperator, TfliteTensor
from mobilenets.formats.weights import NamedTensor
from mobilenets.model.model import Tensor
from mobilenets.model.preprocessing import GREY_CHANNELS, RGB_CHANNELS

_OF_SHAPES = (np.dtype(np.int32), np.dtype(np.int64))
"""Types of the numbers that shapes are computed with."""
_OPERATORS = {
    Code.RELU: Activation.RELU,
    Code.RELU6: Activation.RELU6,
    Code.HARD_SWISH: Activation.HARD_SWISH,
}
_ACTIVATIONS = {0: Activation.NONE, 1: Activation.RELU, 3: Activation.RELU6}


def channels_first(weight: TfliteTensor, value: Tensor, channels: int, height: int, width: int) -> Tensor:
    """A linear layer's weight: this package flattens a map channel by channel, LiteRT pixel by pixel."""
    if value.ndim != 2 or value.shape[1] != channels * height * width:
        raise FormatError(f"{weight.name} has shape {value.shape}; (out, {channels * height * width}) was expected")
    return value.reshape(-1, height, width, channels).transpose(0, 3, 1, 2).reshape(value.shape)


@dataclass
class GraphReader:
    """Walks the operators of a file."""

    file: TfliteFile
    values: dict[int, Value] = field(default_factory=dict)
    """What a tensor stands for, by its index."""
    made: dict[str, int] = field(default_factory=dict)
    """The last tensor that belongs to a layer, by the layer's name."""
    pre_activations: dict[str, int] = field(default_factory=dict)
    """The tensor that a hard-sigmoid or hard-swish reads, by the name of the layer that it belongs to."""
    dequantized: dict[int, int] = field(default_factory=dict)
    """For each tensor that an operator has made real, the tensor of bytes."""
    normalization: Affine | None = None
    """What the graph computes of the image's values before the first layer, if anything."""
    ending: LastFunction | None = None
    """What the file applies last and the network leaves out, if anything."""

    def read(self) -> Network:
        """Read every operator.

        Returns:
            The network, under the file's names; its tensors are in ``graph.tensors``.

        Raises:
            FormatError: If an operator, or a form of it, is none that a Network has; it is named.
        """
        if len(self.file.inputs) != 1 or not self.file.outputs:
            raise FormatError(f"the graph has {len(self.file.inputs)} inputs; one image goes in")
        (index,) = self.file.inputs
        image = self.file.tensor(index)
        if len(image.shape) != 4:
            raise FormatError(f"{image.name} has shape {image.shape}; images are (1, height, width, channels)")
        self.graph = Graph(*image.shape[1:])
        self.graph.check_image(image.name)
        self.values[index] = Value(INPUT)
        self.made[INPUT] = index
        self.readers: dict[int, int] = {}
        self.reading: dict[int, list[TfliteOperator]] = {}
        self.unpacked: set[int] = set()
        for operator in self.file.operators:
            for source in operator.inputs:
                if operator.code != Code.SHAPE:
                    self.readers[source] = self.readers.get(source, 0) + 1
                self.reading.setdefault(source, []).append(operator)
        for operator in self.file.operators:
            self._read(operator)
        names = [self.value(output, "the output").layer for output in self.file.outputs]
        return self.graph.network(self.file.name, names)

    def value(self, index: int, node: str) -> Value:
        """What a computed tensor stands for."""
        if index not in self.values:
            raise FormatError(f"{node} reads {self.file.tensor(index).name}, which nothing before it makes")
        return self.values[index]

    def _read(self, operator: TfliteOperator) -> None:
        node = self.file.tensor(operator.output).name
        first = operator.inputs[0]
        if operator.code in SHAPE_ARITHMETIC and self.file.tensor(operator.output).dtype in _OF_SHAPES:
            return
        if operator.code == Code.DEQUANTIZE and self.file.tensor(first).constant:
            # Weights that are stored as float16 are used under the name of what they are turned into.
            self.file.tensors[operator.output] = replace(self.file.tensor(first), name=node)
            self.unpacked.add(operator.output)
            return
        match operator.code:
            case Code.STRIDED_SLICE | Code.REVERSE_V2 | Code.GATHER:
                taken = litert_channels(node, operator, self.file)
                self.values[operator.output] = self.graph.reordered(node, self.value(first, node), taken)
                return
            case Code.TILE:
                layer = self._repeated(node, operator)
            case Code.PACK | Code.CONCATENATION if (image := self._joined_image(operator)) is not None:
                self.values[operator.output] = image
                return
            case Code.CONV_2D | Code.DEPTHWISE_CONV_2D:
                layer = self._convolution(node, operator)
            case Code.FULLY_CONNECTED:
                layer = self._linear(node, operator)
            case Code.AVERAGE_POOL_2D | Code.MAX_POOL_2D:
                layer = self._pool(node, operator)
            case Code.MEAN:
                layer = self._mean(node, operator)
            case Code.ADD | Code.SUB | Code.MUL | Code.DIV if self._is_input_scaling(node, operator):
                self.values[operator.output] = self._scaled_input(node, operator)
                return
            case Code.ADD | Code.SUB if self._with_constant(operator) is not None:
                self.values[operator.output] = self._constant_sum(node, operator)
                return
            case Code.ADD | Code.CONCATENATION:
                layer = self._join(node, operator)
            case Code.MUL | Code.DIV:
                self._multiply(node, operator)
                return
            case _:
                self.values[operator.output] = self._passed(node, operator, self.value(first, node))
                return
        self.values[operator.output] = Value(layer)
        self.made[layer] = operator.output

    def _passed(self, node: str, operator: TfliteOperator, source: Value) -> Value:
        """Operators that become no layer of their own."""
        output = operator.output
        match operator.code:
            case Code.RELU6 if source.step is not Step.NONE:
                return self.graph.clipped(node, source, 0, 6)
            case Code.MAXIMUM | Code.MINIMUM:
                return self._bounded(node, operator, source)
            case Code.RELU | Code.RELU6 | Code.HARD_SWISH:
                if self.readers.get(operator.inputs[0]) != 1:
                    raise FormatError(f"{node}: what it reads is read elsewhere too")
                self.graph.activate(node, source.layer, _OPERATORS[Code(operator.code)])
                if operator.code == Code.HARD_SWISH:
                    self.pre_activations[source.layer] = self.dequantized.get(operator.inputs[0], operator.inputs[0])
                self.made[source.layer] = output
            case Code.PAD:
                return replace(source, padding=self._pad(node, operator))
            case Code.SOFTMAX | Code.LOGISTIC:
                if not self._is_end(output):
                    what = "softmax" if operator.code == Code.SOFTMAX else "sigmoid"
                    raise FormatError(f"{node} is a {what} in the middle of the network, which no Model has")
                self.ending = LastFunction.SOFTMAX if operator.code == Code.SOFTMAX else LastFunction.SIGMOID
            case Code.CAST if source.is_image:
                self.normalization = self.normalization or Affine.identity(self.graph.channels, of_bytes=True)
                self.made[INPUT] = output
            case Code.ARG_MAX:
                raise FormatError(f"{node} gives the number of the likeliest class; a Model needs the logits before it")
            case Code.RELU_N1_TO_1:
                raise FormatError(f"{node} is a RELU_N1_TO_1; the activations of a Model are ReLU, ReLU6 and hard ones")
            case Code.RESHAPE | Code.SQUEEZE:
                self._check_reshape(node, source, self.file.tensor(output).shape)
            case Code.QUANTIZE | Code.DEQUANTIZE:
                if operator.code == Code.DEQUANTIZE:
                    self.dequantized[output] = operator.inputs[0]
                elif source.layer == INPUT:
                    self.made[INPUT] = output
                elif source.layer in self.pre_activations and operator.inputs[0] == self.made[source.layer]:
                    self.made[source.layer] = output  # an activation function that was computed in float32
                elif not self._is_end(output) and not self._joins_only(output):
                    raise FormatError(f"{node} changes a quantization in the middle of the network")
            case code:
                name = operator.custom or OTHER_NAMES.get(code, f"operator {code} of the schema")
                raise FormatError(f"{node} is {name}, which no layer of this package computes")
        return source

    def _multiply(self, node: str, operator: TfliteOperator) -> None:
        """A product, of layers or of a step of a hard-sigmoid with a constant."""
        found = self._with_constant(operator)
        if found is None:
            if operator.code != Code.MUL or len(operator.inputs) != 2:
                raise FormatError(f"{node} divides by a tensor, which no Model does")
            made = self.graph.multiply(node, *(self.value(index, node) for index in operator.inputs))
        else:
            first, constant, is_first = found
            if is_first and operator.code == Code.DIV:
                raise FormatError(f"{node} divides by a tensor, which no Model does")
            made = self._scaled(node, operator.code, first, constant)
        if made.step is Step.NONE:
            self._fused(node, made.layer, operator.options, 0)
            self.made[made.layer] = operator.output
        self.values[operator.output] = made

    def _scaled(self, node: str, code: int, first: int, constant: TfliteTensor) -> Value:
        """A value times a constant, or divided by it."""
        source = self.value(first, node)
        factors = self._per_channel(constant)
        if self.graph.is_for_channels(source, factors, but=1 / 6):
            factors = 1 / np.where(factors == 0, np.nan, factors) if code == Code.DIV else factors
            self.graph.scale_channels(node, source.layer, factors, readers=self._readers(first))
            return Value(source.layer)
        factor = self._number(node, constant)
        factor = 1 / (factor or 1) if code == Code.DIV else factor
        made = self.graph.scaled(node, source, factor, readers=self._readers(first))
        self.pre_activations.setdefault(source.layer, self.dequantized.get(first, first))
        return made

    def _per_channel(self, constant: TfliteTensor) -> Tensor:
        """A constant, as real numbers."""
        value = constant.value().ravel().astype(np.float64)
        if constant.dtype.kind in "iu" and constant.scales.size == constant.zero_points.size == 1:
            value = (value - constant.zero_points) * constant.scales
        return value

    def _number(self, node: str, constant: TfliteTensor) -> float:
        """A constant of one number, quantized or not."""
        value = self._per_channel(constant)
        if value.size != 1:
            raise FormatError(f"{node} takes {constant.name} of shape {constant.shape}; one number was expected")
        return float(value[0])

    def _is_end(self, index: int) -> bool:
        """Whether nothing but changes of type and shape comes between a tensor and the outputs."""
        ends = (Code.QUANTIZE, Code.DEQUANTIZE, Code.RESHAPE, Code.SQUEEZE)
        readers = self.reading.get(index, [])
        if not readers:
            return index in self.file.outputs
        return all(
            operator.code in SHAPE_ARITHMETIC or (operator.code in ends and self._is_end(operator.output))
            for operator in readers
        )

    def _joins_only(self, index: int) -> bool:
        """Whether a requantized tensor is read by concatenations of its scale only, which a Concatenate does itself."""
        readers, held = self.reading.get(index, []), self.file.tensor(index)
        joined = [self.file.tensor(operator.output) for operator in readers if operator.code == Code.CONCATENATION]
        return len(joined) == len(readers) > 0 and all(
            np.array_equal(made.scales, held.scales) and np.array_equal(made.zero_points, held.zero_points)
            for made in joined
        )

    def _with_constant(self, operator: TfliteOperator) -> tuple[int, TfliteTensor, bool] | None:
        """The computed operand of two, the constant one, and whether the constant comes first; None without one."""
        if len(operator.inputs) != 2:
            return None
        first, second = operator.inputs
        if self.file.tensor(second).constant:
            return first, self.file.tensor(second), False
        return (second, self.file.tensor(first), True) if self.file.tensor(first).constant else None

    def _is_input_scaling(self, node: str, operator: TfliteOperator) -> bool:
        """Whether an operator scales or shifts the image by a constant."""
        found = self._with_constant(operator)
        return found is not None and found[0] in self.values and self.value(found[0], node).is_image

    def _scaled_input(self, node: str, operator: TfliteOperator) -> Value:
        """Take a product or a sum with a constant into the scaling of the image."""
        found = self._with_constant(operator)
        if found is None or (found[2] and operator.code in (Code.SUB, Code.DIV)):
            raise FormatError(f"{node} subtracts or divides by the image, which no input scaling does")
        _, constant, _ = found
        try:
            source = self.value(found[0], node)
            value = np.broadcast_to(self._per_channel(constant), (self.graph.channels,))
            value = self.graph.of_image(node, source, value)
        except ValueError:
            raise FormatError(f"{constant.name} has shape {constant.shape}; one number a channel fits") from None
        before = self.normalization or Affine.identity(self.graph.channels)
        match operator.code:
            case Code.MUL:
                self.normalization = before.times(value)
            case Code.DIV:
                self.normalization = before.times(1 / np.where(value == 0, np.nan, value))
            case Code.ADD:
                self.normalization = before.plus(value)
            case _:
                self.normalization = before.plus(-value)
        self.made[INPUT] = operator.output
        return source

    def _join(self, node: str, operator: TfliteOperator) -> str:
        options = operator.options
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

    def _repeated(self, node: str, operator: TfliteOperator) -> str:
        """A grey image as one of three equal channels."""
        source, shape = self.value(operator.inputs[0], node), self.file.tensor(operator.output).shape
        if self.graph.channels != GREY_CHANNELS or shape[1:] != (self.graph.height, self.graph.width, RGB_CHANNELS):
            raise FormatError(f"{node} repeats a map; only a grey image becomes one of color")
        return self.graph.concatenate(node, [source] * RGB_CHANNELS)

    def _joined_image(self, operator: TfliteOperator) -> Value | None:
        """The image, put together of its channels."""
        sources = [self.values.get(index) for index in operator.inputs]
        known = [source for source in sources if source is not None]
        shape = self.file.tensor(operator.output).shape
        whole = len(known) == len(sources) and shape[1:3] == (self.graph.height, self.graph.width)
        return self.graph.joined_image(known) if whole else None

    def _shifted(self, node: str, operator: TfliteOperator, source: Value) -> Value:
        """The first step of a hard-sigmoid, and the second where ReLU6 is fused to it."""
        found = self._with_constant(operator)
        if found is None or operator.code != Code.ADD:
            raise FormatError(f"{node} takes a constant from {source.step.value}; only a hard-sigmoid adds one, 3")
        first, constant, _ = found
        amount = self._number(node, constant)
        made = self.graph.shifted(node, source, round(amount, 2), readers=self._readers(first))
        self.pre_activations.setdefault(source.layer, self.dequantized.get(first, first))
        fused = operator.options.i8(0) if operator.options else 0
        if _ACTIVATIONS.get(fused) is Activation.RELU6:
            return self.graph.clipped(node, made, 0, 6)
        if fused != 0:
            raise FormatError(f"{node} has activation function {fused}; a hard-sigmoid has ReLU6 there")
        return made

    def _bounded(self, node: str, operator: TfliteOperator, source: Value) -> Value:
        """A lower or an upper bound: the last steps of a hard-sigmoid."""
        bound = self._number(node, self.file.tensor(operator.inputs[1])) if len(operator.inputs) > 1 else math.nan
        low, high = (bound, None) if operator.code == Code.MAXIMUM else (None, bound)
        made = self.graph.clipped(node, source, low, high)
        if made.step is Step.NONE:
            self.made[made.layer] = operator.output
        return made

    def _readers(self, index: int) -> int:
        """How many operators read a tensor, the graph's own output included."""
        return self.readers.get(index, 0) + self.file.outputs.count(index)

    def _constant_sum(self, node: str, operator: TfliteOperator) -> Value:
        """A layer's result and a constant: its bias, or a step of a hard-sigmoid."""
        found = self._with_constant(operator)
        if found is None or (found[2] and operator.code == Code.SUB):
            raise FormatError(f"{node} subtracts from a constant, which no layer does")
        index, constant, _ = found
        source = self.value(index, node)
        if not self.graph.is_for_channels(source, self._per_channel(constant), but=3):
            return self._shifted(node, operator, source)
        layer, sign = source.layer, -1 if operator.code == Code.SUB else 1
        self.graph.shift_channels(node, layer, sign * self._per_channel(constant), readers=self._readers(index))
        self._fused(node, layer, operator.options, 0)
        self.made[layer] = operator.output
        return Value(layer)

    def _fused(self, node: str, layer: str, options: FlatbufferTable | None, slot: int) -> None:
        number = options.i8(slot) if options else 0
        if number not in _ACTIVATIONS:
            raise FormatError(f"{node} has activation function {number}; none, ReLU and ReLU6 are known")
        self.graph.activate(node, layer, _ACTIVATIONS[number])

    def _convolution(self, node: str, operator: TfliteOperator) -> str:
        options = operator.options
        if options is None or len(operator.inputs) < 2:
            raise FormatError(f"{node} lacks its options or its weights")
        depthwise = operator.code == Code.DEPTHWISE_CONV_2D
        source = self.value(operator.inputs[0], node)
        weight = self.file.tensor(operator.inputs[1])
        value = self._weight(operator)
        if value.ndim != 4:
            raise FormatError(f"{weight.name} has shape {value.shape}; a convolution's weights have 4 axes")
        dilation = options.i32(5 if depthwise else 4, 1), options.i32(6 if depthwise else 5, 1)
        stride = options.i32(2), options.i32(1)
        if dilation != (1, 1):
            raise FormatError(f"{node} has dilation {dilation}; windows of this package's layers are plain")
        channels = self.graph.shape(source.layer).channels
        value = np.transpose(value, (3, 0, 1, 2) if depthwise else (0, 3, 1, 2))
        if depthwise and (not value.shape[0] or value.shape[0] % channels):
            raise FormatError(
                f"{weight.name} has {value.shape[0]} filters for {channels} channels; a multiple is needed"
            )
        if value.shape[1] < 1 or channels % value.shape[1]:
            raise FormatError(f"{weight.name} reads {value.shape[1]} channels; {channels} are there")
        layer = self.graph.convolution(
            node,
            source,
            NamedTensor(weight.name, value),
            stride=stride,
            padding=self._same(node, options, source, value.shape[2], stride),
            groups=channels // value.shape[1],
        )
        self._bias(layer, operator)
        self._fused(node, layer, options, 4 if depthwise else 3)
        return layer

    def _weight(self, operator: TfliteOperator) -> Tensor:
        """The weight of a layer, as the file has it; real numbers where bytes are stored for a layer of other numbers.

        Those are float32, which TensorFlow's converter calls dynamic range, or int16.
        """
        index = operator.inputs[1]
        weight, source = self.file.tensor(index), self.file.tensor(operator.inputs[0])
        value = weight.value()
        if not weight.quantized or source.quantized or index in self.unpacked:
            return value
        axis = 3 if operator.code == Code.DEPTHWISE_CONV_2D else 0
        if value.ndim <= axis or weight.scales.size not in (1, value.shape[axis]):
            raise FormatError(f"{weight.name} has {weight.scales.size} scales, and shape {value.shape}")
        if weight.zero_points.size not in (1, weight.scales.size):
            raise FormatError(f"{weight.name} has {weight.zero_points.size} zero points, {weight.scales.size} scales")
        axes = [-1 if number == axis else 1 for number in range(value.ndim)]
        centred = value.astype(np.float32) - weight.zero_points.reshape(axes).astype(np.float32)
        real: Tensor = centred * weight.scales.reshape(axes).astype(np.float32)
        return real

    def _same(
        self, node: str, options: FlatbufferTable, source: Value, kernel: int, stride: tuple[int, int]
    ) -> Padding:
        """Padding that the file gives by a policy, as numbers."""
        if options.i8(0) == 1:
            return NO_PADDING
        if source.padding != NO_PADDING:
            raise FormatError(f"{node} pads a map that is padded already")
        if min(stride) < 1 or kernel < 1:
            raise FormatError(f"{node} has a window of {kernel} and stride {stride}")
        shape = self.graph.shape(source.layer)
        same = PaddingPolicy.SAME
        return Padding(*same.amounts(shape.height, kernel, stride[0]), *same.amounts(shape.width, kernel, stride[1]))

    def _bias(self, layer: str, operator: TfliteOperator) -> None:
        if len(operator.inputs) > 2 and operator.inputs[2] >= 0:
            bias = self.file.tensor(operator.inputs[2])
            value = bias.value().ravel()
            if value.dtype.kind == "i" and not self.file.tensor(operator.inputs[0]).quantized and bias.scales.size:
                if bias.scales.size not in (1, value.size):
                    raise FormatError(f"{bias.name} has {bias.scales.size} scales for {value.size} channels")
                value = (value * bias.scales.astype(np.float64)).astype(np.float32)
            self.graph.bias(layer, NamedTensor(bias.name, value))

    def _linear(self, node: str, operator: TfliteOperator) -> str:
        options = operator.options
        if len(operator.inputs) < 2 or (options and options.i8(1)):
            raise FormatError(f"{node} lacks its weights or has them shuffled")
        source, weight = self.value(operator.inputs[0], node), self.file.tensor(operator.inputs[1])
        shape = self.graph.shape(source.layer)
        value = channels_first(weight, self._weight(operator), shape.channels, shape.height, shape.width)
        layer = self.graph.linear(node, source, NamedTensor(weight.name, value))
        self._bias(layer, operator)
        self._fused(node, layer, options, 0)
        return layer

    def _pool(self, node: str, operator: TfliteOperator) -> str:
        options = operator.options
        if options is None:
            raise FormatError(f"{node} lacks its options")
        source = self.value(operator.inputs[0], node)
        shape = self.graph.shape(source.layer)
        stride, width, height = (options.i32(2), options.i32(1)), options.i32(3), options.i32(4)
        if operator.code == Code.MAX_POOL_2D:
            if width != height:
                raise FormatError(f"{node} has a window of {height}×{width}; windows must be square")
            padding = self._same(node, options, source, height, stride)
            layer = self.graph.max_pool(node, source, kernel=height, stride=stride, padding=padding)
        elif (height, width) == shape[1:]:
            layer = self.graph.average(node, source)
        else:
            raise FormatError(f"{node} averages {height}×{width} pixels of {shape}; only whole maps are averaged")
        self._fused(node, layer, options, 5)
        return layer

    def _mean(self, node: str, operator: TfliteOperator) -> str:
        axes = self.file.tensor(operator.inputs[1]).value().ravel().tolist() if len(operator.inputs) > 1 else []
        if sorted(axes) not in ([1, 2], [-3, -2]):
            raise FormatError(f"{node} averages over axes {axes}; only whole maps are averaged")
        return self.graph.average(node, self.value(operator.inputs[0], node))

    def _pad(self, node: str, operator: TfliteOperator) -> Padding:
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
