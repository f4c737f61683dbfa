"""The nodes of a graph model as a Network.

A converter fuses biases and activation functions to convolutions or leaves them alone; both are read. So are padding,
batch norms, the normalization of the image, and the shapes that Keras computes for a reshape.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from mobilenets.architecture.layers import BATCH_NORM_TENSORS, INPUT, Activation, Padding
from mobilenets.architecture.multipliers import PaddingPolicy
from mobilenets.architecture.network import Network
from mobilenets.errors import FormatError
from mobilenets.formats.affine import Affine
from mobilenets.formats.classifier_output import LastFunction
from mobilenets.formats.graph import NO_PADDING, Graph, Step, Stride, Value
from mobilenets.formats.tfjs.nodes import TfGraph, TfNode
from mobilenets.formats.weights import NamedTensor
from mobilenets.model.model import Tensor

_PASSED = {"Identity", "StopGradient", "PreventGradient", "Snapshot", "CheckNumerics"}
"""Operators that change nothing."""
_SHAPES = {"Shape", "StridedSlice", "Pack", "Const", "Prod", "GatherV2", "ConcatV2", "Cast", "Identity"}
"""Operators with which Keras computes the shape that a Reshape takes."""
_ACTIVATIONS = {"Relu": Activation.RELU, "Relu6": Activation.RELU6}
_FUSED = {"BiasAdd": None, **_ACTIVATIONS, "Sigmoid": LastFunction.SIGMOID}
LARGEST_STRIDE = 64


@dataclass
class TfjsReader:
    """Walks the nodes of a graph model.

    Attributes:
        source: The nodes.
        constants: Weights by the name of their node, in TensorFlow's layouts.
        resolution: (height, width) where the graph leaves it open; None where nobody says it.
        normalization: What the graph computes of the image's values before the first layer, if anything.
        ending: What the file applies last and the network leaves out, if anything.
    """

    source: TfGraph
    constants: dict[str, Tensor]
    resolution: tuple[int, int] | None = None
    normalization: Affine | None = None
    ending: LastFunction | None = None
    _values: dict[str, Value] = field(default_factory=dict)
    """What a node's result stands for."""
    _shapes: set[str] = field(default_factory=set)
    """Nodes that compute shapes."""

    def read(self, name: str) -> Network:
        """Read every node.

        Args:
            name: What the network is called.

        Returns:
            The network, under the file's names; its tensors are in ``graph.tensors``.

        Raises:
            FormatError: If an operator, or a form of it, is none that a Network has; it is named.
        """
        inputs = [node for node in self.source.nodes.values() if node.operator == "Placeholder"]
        if len(inputs) != 1:
            raise FormatError(f"the graph has {len(inputs)} inputs; one image goes in")
        self._begin(inputs[0])
        self._readers: dict[str, list[TfNode]] = {}
        for node in self.source.nodes.values():
            for source in node.inputs:
                self._readers.setdefault(source, []).append(node)
        for node in self.source.nodes.values():
            if node is not inputs[0]:
                self._read(node)
        if len(self.source.outputs) != 1:
            listed = ", ".join(self.source.outputs[:4])
            raise FormatError(f"the graph has {len(self.source.outputs)} outputs ({listed}); a classifier has one")
        (output,) = self.source.outputs
        if output not in self._values:
            raise FormatError(f"the output {output!r} is a constant or a shape")
        return self.graph.network(name, [self.graph.plain(self._values[output], output)])

    def _begin(self, image: TfNode) -> None:
        shape = image.shape()
        _, height, width, channels = shape if shape is not None and len(shape) == 4 else (None,) * 4
        if channels is None:
            raise FormatError(f"{image.name} has shape {shape}; images are (1, height, width, channels)")
        wanted = self.resolution
        if height is None or width is None:
            if wanted is None:
                raise FormatError(f"the file leaves the size of its input {image.name!r} open; say it, as resolution=N")
            height, width = wanted
        elif wanted not in (None, (height, width)):
            raise FormatError(f"the file is of a network for {height}×{width} pixels; {wanted} was asked for")
        self.graph = Graph(height, width, channels)
        self.graph.check_image(image.name)
        self._values[image.name] = Value(INPUT)

    def _read(self, node: TfNode) -> None:
        name = node.name
        if self._is_shape(node):
            self._shapes.add(name)
            return
        match node.operator:
            case "Const":
                if name not in self.constants:
                    raise FormatError(f"{name} is a constant without a value in the weightsManifest")
                return
            case operator if operator in _PASSED and node.inputs and node.inputs[0] in self.constants:
                self.constants[name] = self.constants[node.inputs[0]]
                return
            case "Conv2D" | "_FusedConv2D":
                made = self._convolution(node, depthwise=False)
            case "DepthwiseConv2dNative" | "FusedDepthwiseConv2dNative":
                made = self._convolution(node, depthwise=True)
            case "MatMul" | "_FusedMatMul":
                made = self._linear(node)
            case "FusedBatchNorm" | "FusedBatchNormV2" | "FusedBatchNormV3":
                made = self._batch_norm(node)
            case "BiasAdd" | "Add" | "AddV2" | "Sub" | "Mul" | "RealDiv" | "Div":
                made = self._arithmetic(node)
            case "Relu" | "Relu6":
                made = self._rectified(node)
            case "Minimum" | "Maximum":
                made = self._bounded(node)
            case "Mean" | "AvgPool" | "MaxPool":
                made = self._pool(node)
            case "Pad" | "PadV2":
                made = self._pad(node)
            case "ConcatV2":
                made = self._concatenation(node)
            case "Softmax" | "Sigmoid":
                made = self._ended(node, LastFunction.SOFTMAX if node.operator == "Softmax" else LastFunction.SIGMOID)
            case "Reshape" | "Squeeze" | "ExpandDims":
                made = self._reshaped(node)
            case "Cast" if self._first(node) == Value(INPUT):
                self.normalization = self.normalization or Affine.identity(self.graph.channels, of_bytes=True)
                made = Value(INPUT)
            case operator if operator in _PASSED:
                made = self._first(node)
            case "ArgMax" | "TopKV2":
                raise FormatError(f"{name} gives the number of the likeliest class; a Model needs the logits before it")
            case operator:
                raise FormatError(f"{name} is a {operator}, which no layer of this package computes")
        self._values[name] = made

    def _is_shape(self, node: TfNode) -> bool:
        """Whether a node computes a shape and not an activation."""
        if node.operator == "Shape":
            return True
        if node.operator not in _SHAPES or not any(source in self._shapes for source in node.inputs):
            return False
        return all(source in self._shapes or source in self.constants for source in node.inputs)

    def _value(self, name: str, reader: TfNode) -> Value:
        if name not in self._values:
            raise FormatError(f"{reader.name} ({reader.operator}) reads {name!r:.80}, which is no activation")
        return self._values[name]

    def _first(self, node: TfNode) -> Value:
        if not node.inputs:
            raise FormatError(f"{node.name} ({node.operator}) reads nothing")
        return self._value(node.inputs[0], node)

    def _constant(self, node: TfNode, number: int) -> NamedTensor:
        name = node.inputs[number] if number < len(node.inputs) else ""
        if name not in self.constants:
            raise FormatError(f"{node.name} ({node.operator}) needs a constant where it reads {name!r:.80}")
        return NamedTensor(name, self.constants[name])

    def _integers(self, node: TfNode, number: int) -> list[int]:
        """A constant of a few integers."""
        found = self._constant(node, number)
        values = found.value.ravel()[:16].tolist()
        if found.value.size > 16 or not all(float(value).is_integer() for value in values):
            raise FormatError(f"{node.name} ({node.operator}) takes {found.source} of shape {found.value.shape}")
        return [int(value) for value in values]

    def _count(self, name: str) -> int:
        """How many nodes read a result, the graph's own output included."""
        return len(self._readers.get(name, ())) + self.source.outputs.count(name)

    def _convolution(self, node: TfNode, *, depthwise: bool) -> Value:
        source, weight = self._first(node), self._constant(node, 1)
        if weight.value.ndim != 4:
            raise FormatError(f"{weight.source} has shape {weight.value.shape}; a convolution's weights have 4 axes")
        channels = self.graph.shape(source.layer).channels
        height, width, read, made = weight.value.shape
        if depthwise:
            value, groups = weight.value.transpose(2, 3, 0, 1).reshape(read * made, 1, height, width), channels
            fits = read == channels
        else:
            value, groups = weight.value.transpose(3, 2, 0, 1), channels // read if read else 0
            fits = read > 0 and channels % read == 0
        if not fits or not made:
            raise FormatError(f"{weight.source} has shape {weight.value.shape}; {channels} channels are there")
        stride, padding = self._window(node, source, value.shape[2:])
        layer = self.graph.convolution(
            node.name, source, replace(weight, value=value), stride=stride, padding=padding, groups=groups
        )
        return self._with_fused(node, layer)

    def _window(self, node: TfNode, source: Value, kernel: tuple[int, ...]) -> tuple[Stride, Padding]:
        """Stride and padding of a square window."""
        strides, dilations = node.integers("strides"), node.integers("dilations") or [1] * 4
        if node.text("data_format", "NHWC") != "NHWC":
            raise FormatError(f"{node.name} ({node.operator}) reads {node.text('data_format', '')}; NHWC is read")
        plain = len(strides) == 4 and strides[0] == strides[3] == 1
        if (
            not plain
            or not 1 <= min(strides) <= max(strides) <= LARGEST_STRIDE
            or dilations != [1] * 4
            or len(set(kernel)) != 1
        ):
            raise FormatError(
                f"{node.name} ({node.operator}) has a window of {kernel}, strides {strides} and dilations {dilations}; "
                "windows of this package's layers are as high as wide and plain"
            )
        stride = strides[1], strides[2]
        match node.text("padding", ""):
            case "VALID":
                return stride, NO_PADDING
            case "SAME":
                if source.padding != NO_PADDING:
                    raise FormatError(f"{node.name} ({node.operator}) pads a map that is padded already")
                shape, amounts = self.graph.shape(source.layer), PaddingPolicy.SAME.amounts
                sides = [
                    amount
                    for side, step in zip(shape[1:], stride, strict=True)
                    for amount in amounts(side, kernel[0], step)
                ]
                return stride, Padding(*sides)
            case "EXPLICIT":
                return stride, self._around(node, node.integers("explicit_paddings"))
            case other:
                raise FormatError(
                    f"{node.name} ({node.operator}) pads by {other!r}; SAME, VALID and EXPLICIT are known"
                )

    def _around(self, node: TfNode, amounts: list[int]) -> Padding:
        """Zeros before and after each of four axes as those around a map."""
        if len(amounts) != 8 or any(amounts[:2]) or any(amounts[6:]) or not 0 <= min(amounts) <= max(amounts) < 64:
            raise FormatError(f"{node.name} ({node.operator}) pads by {amounts}; only height and width can be padded")
        return Padding(*amounts[2:6])

    def _with_fused(self, node: TfNode, layer: str) -> Value:
        """What is fused to a layer: a bias, an activation function."""
        value = Value(layer)
        for place, name in enumerate(node.texts("fused_ops")):
            if name not in _FUSED or (name == "BiasAdd" and place):
                raise FormatError(
                    f"{node.name} ({node.operator}) has {name!r:.40} fused to it; {', '.join(_FUSED)} are known"
                )
            fused = _FUSED[name]
            if fused is None:
                bias = self._constant(node, 2)
                self.graph.bias(layer, replace(bias, value=bias.value.ravel()))
            elif isinstance(fused, LastFunction):
                self._check_ended(node, fused)
            else:
                self.graph.activate(node.name, layer, fused)
        return value

    def _linear(self, node: TfNode) -> Value:
        source, weight = self._first(node), self._constant(node, 1)
        if weight.value.ndim != 2 or node.flag("transpose_a"):
            raise FormatError(f"{weight.source} has shape {weight.value.shape}; (in, out) was expected")
        value = weight.value if node.flag("transpose_b") else weight.value.T
        channels, height, width = self.graph.shape(source.layer)
        if value.shape[1] != channels * height * width:
            raise FormatError(f"{weight.source} reads {value.shape[1]} values; {channels * height * width} are there")
        # This package flattens a map channel by channel, TensorFlow pixel by pixel.
        flat = value.reshape(-1, height, width, channels).transpose(0, 3, 1, 2).reshape(value.shape)
        return self._with_fused(node, self.graph.linear(node.name, source, replace(weight, value=flat)))

    def _last_of(self, node: TfNode) -> str:
        """The layer that a node adds to; nothing else may read what it had made so far."""
        if self._count(node.inputs[0]) != 1:
            raise FormatError(f"{node.name} ({node.operator}) changes {node.inputs[0]!r}, which is read elsewhere too")
        return self.graph.plain(self._first(node), node.name)

    def _batch_norm(self, node: TfNode) -> Value:
        if node.flag("is_training"):
            raise FormatError(f"{node.name} ({node.operator}) is in training; convert the model for inference")
        if len(node.inputs) != 5:
            raise FormatError(f"{node.name} ({node.operator}) reads {len(node.inputs)} tensors; 5 were expected")
        layer = self._last_of(node)
        statistics = {name: self._constant(node, number) for number, name in enumerate(BATCH_NORM_TENSORS, start=1)}
        if layer not in self.graph.layers or not self.graph.layers[layer].has_weight:
            raise FormatError(f"{node.name} ({node.operator}) follows {layer}, which takes no batch norm")
        self.graph.batch_norm(layer, float(f"{node.number('epsilon', 1e-4):.7g}"), statistics)
        return Value(layer)

    def _arithmetic(self, node: TfNode) -> Value:
        """Sums and products: of two maps, of the image or a layer with a constant."""
        if len(node.inputs) != 2:
            raise FormatError(f"{node.name} ({node.operator}) reads {len(node.inputs)} tensors; 2 were expected")
        first, second = node.inputs
        constants = [source in self.constants for source in node.inputs]
        if not any(constants):
            if node.operator not in ("Add", "AddV2", "Mul"):
                raise FormatError(f"{node.name} is a {node.operator} of two tensors that no Model computes")
            sources = [self._value(first, node), self._value(second, node)]
            if node.operator == "Mul":
                return self.graph.multiply(node.name, *sources)
            return Value(self.graph.add(node.name, sources))
        if all(constants) or (constants[0] and node.operator in ("Sub", "RealDiv", "Div", "BiasAdd")):
            raise FormatError(f"{node.name} takes from or divides a constant, which no Model does")
        source = second if constants[0] else first
        values = self.constants[first if constants[0] else second].astype(np.float64).ravel()
        if node.operator in ("RealDiv", "Div"):
            values = 1 / np.where(values == 0, np.nan, values)
        if not values.size or not np.isfinite(values).all():
            raise FormatError(f"{node.name} ({node.operator}) takes a constant that is not a finite number")
        return self._with_constant(node, source, -values if node.operator == "Sub" else values)

    def _with_constant(self, node: TfNode, name: str, values: Tensor) -> Value:
        """The image or a layer's result, scaled or shifted by a constant."""
        source, product = self._value(name, node), node.operator in ("Mul", "RealDiv", "Div")
        if source == Value(INPUT):
            if values.size not in (1, self.graph.channels):
                raise FormatError(f"{node.name} scales the image by {values.size} numbers; one a channel fits")
            before = self.normalization or Affine.identity(self.graph.channels)
            vector = np.broadcast_to(values, (self.graph.channels,))
            self.normalization = before.times(vector) if product else before.plus(vector)
            return source
        if self.graph.is_for_channels(source, values, but=1 / 6 if product else 3):
            change = self.graph.scale_channels if product else self.graph.shift_channels
            change(node.name, source.layer, values, readers=self._count(name))
            return source
        if values.size != 1:
            raise FormatError(f"{node.name} ({node.operator}) takes a constant of {values.size} numbers")
        change_by = self.graph.scaled if product else self.graph.shifted
        return change_by(node.name, source, round(float(values[0]), 6), readers=self._count(name))

    def _rectified(self, node: TfNode) -> Value:
        source = self._first(node)
        if source.step is not Step.NONE:
            return self.graph.clipped(node.name, source, 0, 6 if node.operator == "Relu6" else None)
        layer = self._last_of(node)
        self.graph.activate(node.name, layer, _ACTIVATIONS[node.operator])
        return Value(layer)

    def _bounded(self, node: TfNode) -> Value:
        """A lower or an upper bound: a step of a hard-sigmoid."""
        bound = self._constant(node, 1).value
        if bound.size != 1:
            raise FormatError(f"{node.name} ({node.operator}) takes a bound of {bound.size} numbers")
        low, high = (float(bound.ravel()[0]), None) if node.operator == "Maximum" else (None, float(bound.ravel()[0]))
        return self.graph.clipped(node.name, self._first(node), low, high)

    def _pool(self, node: TfNode) -> Value:
        source = self._first(node)
        shape = self.graph.shape(source.layer)
        if node.operator == "Mean":
            axes = [axis % 4 for axis in self._integers(node, 1)]
            if sorted(axes) != [1, 2]:
                raise FormatError(f"{node.name} averages over axes {axes}; only whole maps are averaged")
            return Value(self.graph.average(node.name, source))
        window = node.integers("ksize")
        if len(window) != 4 or window[0] != 1 or window[3] != 1:
            raise FormatError(f"{node.name} ({node.operator}) has a window of {window}")
        if node.operator == "AvgPool":
            covers = tuple(window[1:3]) == shape[1:] and node.text("padding", "") == "VALID"
            if not covers:
                raise FormatError(f"{node.name} averages {window[1:3]} pixels of {shape}; only whole maps are averaged")
            return Value(self.graph.average(node.name, source))
        stride, padding = self._window(node, source, tuple(window[1:3]))
        layer = self.graph.max_pool(node.name, source, kernel=window[1], stride=stride, padding=padding)
        return Value(layer)

    def _pad(self, node: TfNode) -> Value:
        source = self._first(node)
        if node.operator == "PadV2" and self._constant(node, 2).value.any():
            raise FormatError(f"{node.name} pads by numbers that are not 0")
        if source.padding != NO_PADDING or source.step is not Step.NONE:
            raise FormatError(f"{node.name} pads {source.step.value}, which is padded already or part of an activation")
        return replace(source, padding=self._around(node, self._integers(node, 1)))

    def _concatenation(self, node: TfNode) -> Value:
        axes = self._integers(node, len(node.inputs) - 1) if node.inputs else []
        if axes not in ([3], [-1]):
            raise FormatError(f"{node.name} joins along axis {axes}; only channels can be joined")
        return Value(self.graph.concatenate(node.name, [self._value(name, node) for name in node.inputs[:-1]]))

    def _ended(self, node: TfNode, ending: LastFunction) -> Value:
        self._check_ended(node, ending)
        return self._first(node)

    def _check_ended(self, node: TfNode, ending: LastFunction) -> None:
        """Remember a softmax or a sigmoid at the end of the network; no Model has one before that."""
        if not self._is_end(node.name):
            raise FormatError(f"{node.name} is a {ending.value} in the middle of the network, which no Model has")
        self.ending = ending

    def _is_end(self, name: str) -> bool:
        """Whether nothing but changes of shape comes between a node and the output."""
        while name not in self.source.outputs:
            readers = [node for node in self._readers.get(name, ()) if node.operator != "Shape"]
            if len(readers) != 1 or readers[0].operator not in _PASSED | {"Reshape", "Squeeze"}:
                return False
            name = readers[0].name
        return True

    def _reshaped(self, node: TfNode) -> Value:
        """A change of shape, which no layer needs: what is read next says how many values it takes."""
        source = self._first(node)
        if source == Value(INPUT):
            raise FormatError(f"{node.name} ({node.operator}) reshapes the image")
        shape = self.graph.shape(source.layer)
        constant = node.inputs[1] if len(node.inputs) > 1 else ""
        if node.operator == "Reshape" and constant in self.constants and shape[1:] != (1, 1):
            sizes = self._integers(node, 1)
            last = sizes[-1] if sizes else 0
            whole = len(sizes) == 2 and last in (-1, shape.size)
            if not whole and tuple(sizes[1:]) != (shape.height, shape.width, shape.channels):
                raise FormatError(f"{node.name} reshapes {shape} into {sizes}")
        return source
