"""ONNX → Model: the graphs that this project writes, and MobileNets as torch exports and onnxruntime quantizes them.

A graph of this project comes back exactly, int8 included, by its description. Any other is read node by node: float32
(N, 3, height, width) goes in, and padding, batch norm and activation may stand alone or be folded already. Such a graph
does not say how images were normalized; see :func:`from_onnx`. One with pairs of QuantizeLinear and DequantizeLinear
becomes an int8 Model with its integers, whose outputs are real: see :mod:`mobilenets.formats.onnx.quantized`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mobilenets.architecture.layers import (
    BATCH_NORM_TENSORS,
    INPUT,
    Activation,
    GlobalAveragePool,
    Layer,
    Linear,
    Padding,
)
from mobilenets.architecture.network import Network
from mobilenets.errors import FormatError, ModelError
from mobilenets.formats.affine import Affine
from mobilenets.formats.assumed import with_known
from mobilenets.formats.description import FIELDS, Description
from mobilenets.formats.graph import Graph, Step, Stride, Value, no_classes, renamed_tensors
from mobilenets.formats.normalizing_layer import UNSCALED, pixel_preprocessing, with_normalized_input
from mobilenets.formats.one_logit import of_two_classes
from mobilenets.formats.one_output import two_logits
from mobilenets.formats.onnx.channels import CHANNEL_AXES, onnx_channels, split_channels
from mobilenets.formats.onnx.file import Node, OnnxGraph, read_onnx
from mobilenets.formats.onnx.image import ImageScaling
from mobilenets.formats.onnx.quantized import (
    Made,
    Numbers,
    is_quantized,
    layer_numbers,
    model_parameters,
    quantization,
    rectified,
    without_pairs,
)
from mobilenets.formats.pytorch import IMAGENET
from mobilenets.formats.recognition import recognized
from mobilenets.formats.saved_labels import fitting_labels, saved_labels
from mobilenets.formats.source import Source, source_of
from mobilenets.formats.weights import NamedTensor, float32
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import GREY_CHANNELS, RGB_CHANNELS, Preprocessing
from mobilenets.model.provenance import Imported, Provenance
from mobilenets.tasks.classification import Classification, class_count, with_labels

Factors = npt.NDArray[np.float64]
_PASSED = {"Identity", "Dropout", "Flatten", "Reshape", "Squeeze", "Unsqueeze", "Cast"}
"""Operators that change no value; where they change a shape, the layers' own shapes are checked instead."""
SLOPE_TOLERANCE = 1e-4
"""How far the slope of a hard-sigmoid may lie from 1 / 6, as files round it."""
LARGEST_SLOPE = 100.0
_SHAPES = {"Shape", "Gather", "Slice", "Constant", "Concat", "Unsqueeze", "Squeeze", "Cast"}
"""Operators with which exporters compute the shape that a Reshape takes."""


def is_onnx(source: Source) -> bool:
    """Whether a source begins as ONNX files do, or is called like one; networks of Core ML begin so too."""
    suffix = source.path.suffix.lower()
    return (source.data[:1] == b"\x08" and suffix != ".mlmodel") or suffix == ".onnx"


def from_onnx(
    source: str | Path | Source,
    *,
    resolution: int | tuple[int, int] | None = None,
    labels: tuple[str, ...] | None = None,
    preprocessing: Preprocessing | None = None,
) -> Model:
    """Read an ONNX file into a Model.

    Args:
        source: The file.
        resolution: Input side in pixels, or (height, width), where the file leaves it open.
        labels: Class names; by default those of the description, else numbers.
        preprocessing: How images become input. By default what the description says; where there is none, mean and
            standard deviation 0.5 for a network with ReLU6 (TensorFlow's and timm's), ImageNet's for one with ReLU.

    Raises:
        FormatError: If the file is damaged or holds an operator or a form of one that no Model has; it is named.
    """
    source = source_of(source)
    graph = _with_resolution(read_onnx(source.data, source.path), resolution)
    description = Description(graph.metadata) if set(FIELDS) <= graph.metadata.keys() else None
    if description is None:
        model = _undescribed(graph, source.path.name, preprocessing)
        preprocessing = None
    elif description.quantization is None and is_quantized(graph):
        # A float32 file of this project that something else has quantized: what images and classes mean still holds.
        model = _undescribed(graph, source.path.name, preprocessing or description.preprocessing, known=True)
        model, preprocessing = _meaning(model, description), None
    else:
        model = _described(graph, description)
    try:
        if labels is None and description is None and not model.network.gives_features:
            labels = fitting_labels(saved_labels(graph.metadata), max(class_count(model.network), 2))
        if labels is not None and class_count(model.network) == 1:
            model = of_two_classes(model, labels)
        elif labels is not None:
            model = replace(model, task=with_labels(model.task, labels))
        return model if preprocessing is None else replace(model, preprocessing=preprocessing)
    except ModelError as error:
        raise FormatError(str(error)) from None


def _with_resolution(graph: OnnxGraph, resolution: int | tuple[int, int] | None) -> OnnxGraph:
    """The graph with a size of its image, where the file leaves it open.

    Raises:
        FormatError: If the file leaves it open and nobody says it, or the file is of another size.
    """
    if len(graph.inputs) != 1:
        return graph
    ((name, shape),) = graph.inputs.items()
    if len(shape) != 4:
        return graph
    first = 1 if shape[3] == RGB_CHANNELS and shape[1] != RGB_CHANNELS else 2
    height, width = shape[first], shape[first + 1]
    if resolution is None:
        if height is None or width is None:
            raise FormatError(
                f"the file leaves the size of its input {name!r} open ({_written(shape)}); say it, as resolution=N"
            )
        return graph
    wanted = (resolution, resolution) if isinstance(resolution, int) else resolution
    if height not in (None, wanted[0]) or width not in (None, wanted[1]):
        raise FormatError(f"the file is of a network for {height}×{width} pixels; {resolution} was asked for")
    return replace(graph, inputs={name: (*shape[:first], *wanted, *shape[first + 2 :])})


def _written(shape: Sequence[int | None]) -> str:
    return "×".join("?" if size is None else str(size) for size in shape)


def _undescribed(
    graph: OnnxGraph, file_name: str, preprocessing: Preprocessing | None, *, known: bool = False
) -> Model:
    """The Model of a graph whose nodes nobody described.

    Args:
        graph: The graph.
        file_name: The file's name.
        preprocessing: How images become input; None for what is usual.
        known: Whether the file says so.
    """
    if is_quantized(graph):
        graph, numbers = without_pairs(graph)
        return _Reader(graph, numbers).quantized_model(file_name, preprocessing, known=known)
    reader = _Reader(graph)
    model = reader.model(file_name)
    if (scaling := reader.image.scaling(reader.read_by_layers)) is not None:
        scaled = replace(model, preprocessing=scaling.of_pixels.preprocessing())
        return with_known(scaled, {"input_scaling": "the graph"})
    return replace(model, preprocessing=preprocessing or _usual_preprocessing(model.network, graph.producer))


def _usual_preprocessing(network: Network, producer: str) -> Preprocessing:
    """What publishers of such networks do: torchvision and timm as for ImageNet, but for timm's V1."""
    activations = {layer.activation for layer in network.layers}
    of_torch = producer == "pytorch" and not network.name.startswith("mobilenet_v1")
    return Preprocessing() if Activation.RELU6 in activations and not of_torch else IMAGENET


def _meaning(model: Model, description: Description) -> Model:
    """A Model with the task of a description, and its way to crop and resize."""
    described = description.preprocessing
    kept = replace(described, mean=model.preprocessing.mean, std=model.preprocessing.std)
    try:
        return replace(model, task=description.task, preprocessing=kept)
    except ModelError as error:
        raise FormatError(str(error)) from None


def _described(graph: OnnxGraph, description: Description) -> Model:
    model = description.model(graph.constants)
    weighted = sum(layer.has_weight for layer in model.network.layers)
    operators = sum(node.operator in ("Conv", "Gemm", "MatMul") for node in graph.nodes)
    if weighted != operators:
        raise FormatError(f"the ONNX graph has {operators} layers with weights; its description says {weighted}")
    if model.quantization is not None:
        for name, numbers in model.quantization.activations.items():
            scale = graph.constants.get(f"{name}.scale")
            if scale is not None and scale.value.size == 1 and float(scale.value.ravel()[0]) != numbers.scale:
                raise FormatError(f"{scale.source} is {scale.value}; the description says {numbers.scale}")
    return model


@dataclass
class _Reader:
    file: OnnxGraph
    numbers: Numbers = field(default_factory=Numbers)
    """Scales and zero points of a quantized graph."""
    values: dict[str, Value] = field(default_factory=dict)
    """What a tensor stands for, by its name."""
    shapes: set[str] = field(default_factory=set)
    """Tensors that hold shapes."""
    norms: dict[str, tuple[Factors, Factors]] = field(default_factory=dict)
    """Factors and offsets of the features that a pool gives, which the fully connected layers after it take."""
    made: list[Made] = field(default_factory=list)
    """Activations in the order in which they were read."""

    def model(self, file_name: str) -> Model:
        """Read everything."""
        network, tensors = self.read()
        parameters = {tensor: float32(found) for tensor, found in tensors.items()}
        try:
            provenance = Provenance(imported=Imported("onnx", file_name)).encode()
            return Model(network, parameters, Classification.numbered(network), provenance=provenance)
        except ModelError as error:
            raise FormatError(str(error)) from None

    def quantized_model(self, file_name: str, preprocessing: Preprocessing | None, *, known: bool = False) -> Model:
        """Read everything, with the integers of weights and the scales of activations."""
        network, tensors = self.read()
        if self.image.scaling(self.read_by_layers) is not None:
            raise FormatError("the quantized file scales its image itself, which is read of float files only")
        after, before = layer_numbers(network, self.made, self.numbers)
        network = rectified(network, after)
        parameters = model_parameters(network, tensors, self.numbers, after)
        biased = tuple(_with_bias(layer) for layer in network.layers)
        network, held = replace(network, layers=biased), quantization(network, after, before)
        logits, imported = after.get(network.outputs[0]), Imported("onnx", file_name)
        if logits is not None and network.outputs[0] not in held.activations:
            imported = replace(imported, logits_scale=logits.scale, logits_zero_point=logits.zero_point)
        if self.numbers.float_input:
            scaling = preprocessing or _usual_preprocessing(network, self.file.producer)
            network, parameters, held = with_normalized_input(network, parameters, held, scaling)
            scaled = UNSCALED
            imported = replace(imported, known={"input_scaling": "the Model that was quantized"} if known else None)
        else:
            scaled = pixel_preprocessing(held.activations[INPUT])
            imported = replace(imported, known={"input_scaling": "its quantized input"})
        try:
            task, provenance = Classification.numbered(network), Provenance(imported=imported).encode()
            return Model(network, parameters, task, scaled, held, provenance)
        except ModelError as error:
            raise FormatError(str(error)) from None

    def read(self) -> tuple[Network, dict[str, NamedTensor]]:
        """The network and its tensors, under the catalog's names where it is one of them."""
        if len(self.file.inputs) != 1 or not self.file.outputs:
            raise FormatError(f"the ONNX graph has inputs {', '.join(self.file.inputs)}; one image goes in")
        ((name, shape),) = self.file.inputs.items()
        if len(shape) != 4 or None in shape[1:]:
            raise FormatError(f"the input {name!r} has shape {shape}; (N, 3, height, width) was expected")
        if self._is_channels_last(name):
            shape = (shape[0], shape[3], *shape[1:3])
        channels, height, width = (size or 0 for size in shape[1:])
        self.graph = Graph(height=height, width=width, channels=channels)
        self.graph.check_image(name)
        self.values[name] = Value(INPUT)
        self.image, self.read_by_layers = ImageScaling(channels), dict[str, str]()
        self.image.made[name] = Affine.identity(channels)
        self.made.append(Made(name, INPUT, Activation.NONE, partial=False))
        self.constants = dict(self.file.constants)
        self.readers: dict[str, int] = {}
        for node in self.file.nodes:
            for source in node.inputs:
                self.readers[source] = self.readers.get(source, 0) + 1
        self.ends = _ends(self.file)
        for node in self.file.nodes:
            self._read(node)
        outputs = list(dict.fromkeys(self._value(output, "the output").layer for output in self.file.outputs))
        if not self.norms.keys().isdisjoint(outputs):
            raise FormatError("the network ends in a batch norm of features, which only a fully connected layer takes")
        if len(outputs) > 1:
            raise FormatError(
                f"the ONNX graph has {len(outputs)} outputs ({', '.join(self.file.outputs[:4])}); a classifier has "
                "one. Export the part that gives the logits"
            )
        network, names = recognized(self.graph.network(self.file.name, outputs))
        if network.shapes[network.outputs[0]][1:] != (1, 1):
            raise no_classes(network)
        tensors = renamed_tensors(self.graph.tensors, names)
        needed = network.parameter_shapes()
        for tensor, found in tensors.items():
            if found.value.shape != needed.get(tensor):
                raise FormatError(f"{found.source} has shape {found.value.shape}; it needs {needed.get(tensor)}")
        self.made = [replace(one, layer=names.get(one.layer, one.layer)) for one in self.made]
        return network, tensors

    def _is_channels_last(self, name: str) -> bool:
        """Whether the input is (N, height, width, 3): a node turns it to the layout that networks read."""
        return any(node.operator == "Transpose" and name in node.inputs for node in self.file.nodes)

    def _value(self, tensor: str, node: str) -> Value:
        if tensor not in self.values:
            raise FormatError(f"{node} reads {tensor!r}, which nothing before it makes")
        return self.values[tensor]

    def _constant(self, node: Node, number: int) -> NamedTensor:
        tensor = node.input(number)
        if tensor not in self.constants:
            raise FormatError(f"{node.name} ({node.operator}) needs a constant where it reads {tensor!r}")
        return self.constants[tensor]

    def _read(self, node: Node) -> None:
        if not node.outputs:
            raise FormatError(f"{node.name} ({node.operator}) makes nothing")
        out = node.outputs[0]
        normed = [name for name in node.inputs if name in self.values and self.values[name].layer in self.norms]
        if normed and node.operator not in (*_PASSED, "Gemm", "MatMul"):
            raise FormatError(
                f"{node.name} ({node.operator}) reads a batch norm of features; only a fully connected layer takes one"
            )
        if self._is_shape(node):
            self.shapes.update(node.outputs)
            return
        match node.operator:
            case _ if self.image.scales(node, self.constants):
                image = self._value(next(one for one in node.inputs if one in self.values), node.name)
                self.image.read(node, self.constants, image.order)
                self.values[out] = image
                return
            case "Constant":
                value = node.attributes.get("value")
                if not isinstance(value, NamedTensor):
                    raise FormatError(f"{node.name} is a constant that is no tensor")
                self.constants[out] = replace(value, source=node.name)
                return
            case operator if operator in _PASSED and node.input(0) in self.constants:
                self.constants[out] = self.constants[node.input(0)]
                return
            case "Conv":
                made = Value(self._convolution(node))
            case "BatchNormalization":
                made = Value(self._batch_norm(node))
            case "Relu" | "Clip" | "HardSwish":
                made = self._activation(node)
            case "HardSigmoid":
                made = self._hard_sigmoid(node)
            case "Mul" | "Div":
                made = self._multiply(node)
            case "Pad":
                made = self._pad(node)
            case "Gemm" | "MatMul":
                made = Value(self._linear(node))
            case "Add" | "Sum" | "Concat":
                made = self._join(node)
            case "MaxPool":
                made = Value(self._max_pool(node))
            case "GlobalAveragePool" | "AveragePool" | "ReduceMean":
                made = Value(self._average(node))
            case "Softmax" | "LogSoftmax":
                made = self._softmax(node)
            case "Sigmoid" if out in self.ends:
                made = self._sigmoid(node)
            case "ArgMax" | "TopK":
                raise FormatError(
                    f"{node.name} gives answers, and not the scores that a Model gives; export the network without it"
                )
            case "Transpose" if self._source(node).is_image and node.attributes.get("perm") == [0, 3, 1, 2]:
                made = self._source(node)
            case operator if operator in _PASSED:
                made = self._value(node.input(0), node.name)
            case "Split":
                self._split(node)
                return
            case "Tile" | "Expand" if self.graph.channels == GREY_CHANNELS and self._source(node) == Value(INPUT):
                # The shape says how often; a convolution that reads it checks that it is three times.
                made = Value(self.graph.concatenate(_layer_name(node), [self._source(node)] * RGB_CHANNELS))
            case "Slice" | "Gather":
                made = self.graph.reordered(node.name, self._source(node), onnx_channels(node, self.constants))
            case _:
                raise FormatError(f"{node.name} is a {node.operator}, which this package does not read")
        self.values[out] = made
        if made.layer == INPUT:
            self.image.pass_on(node)
        else:
            self.read_by_layers |= dict.fromkeys(node.inputs, made.layer)
        activation = Activation.NONE if made.layer == INPUT else self.graph.layers[made.layer].activation
        self.made.append(Made(out, made.layer, activation, partial=made.step is not Step.NONE))

    def _is_shape(self, node: Node) -> bool:
        """Whether a node computes a shape and not an activation."""
        if node.operator == "Shape":
            return True
        inside = [tensor for tensor in node.inputs if tensor in self.shapes]
        return node.operator in _SHAPES and bool(inside) and all(tensor not in self.values for tensor in node.inputs)

    def _source(self, node: Node) -> Value:
        return self._value(node.input(0), node.name)

    def _last_of(self, node: Node) -> str:
        """The layer that a node adds to; nothing else may read what it had made so far."""
        if self.readers.get(node.input(0)) != 1 or node.input(0) in self.file.outputs:
            raise FormatError(f"{node.name} ({node.operator}) changes {node.input(0)!r}, which is read elsewhere too")
        return self.graph.plain(self._source(node), node.name)

    def _convolution(self, node: Node) -> str:
        weight = self._constant(node, 1)
        self.numbers.check_axis(node, weight, 0)
        name, stride, padding = _layer_name(node), *self._window(node, weight.value.shape[2:])
        groups = node.attributes.get("group", 1)
        if not isinstance(groups, int) or groups < 1:
            raise FormatError(f"{node.name} has {groups!r} groups")
        layer = self.graph.convolution(name, self._source(node), weight, stride=stride, padding=padding, groups=groups)
        if node.input(2):
            self.graph.bias(layer, self._constant(node, 2))
        return layer

    def _window(self, node: Node, kernel: tuple[int, ...]) -> tuple[Stride, Padding]:
        """Stride and padding of a square window."""
        attributes = node.attributes
        strides, dilations = attributes.get("strides", [1, 1]), attributes.get("dilations", [1, 1])
        pads = attributes.get("pads", [0, 0, 0, 0])
        if attributes.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
            raise FormatError(f"{node.name} pads by {attributes['auto_pad']}; explicit padding is read")
        if len(kernel) != 2 or kernel[0] != kernel[1] or len(strides) != 2:
            raise FormatError(
                f"{node.name} has a window of {kernel} and strides {strides}; windows of this package's layers are as "
                "high as wide"
            )
        if any(step != 1 for step in dilations) or attributes.get("ceil_mode") or len(pads) != 4:
            raise FormatError(f"{node.name} has dilations {dilations} or rounds up, which no Model does")
        top, left, bottom, right = pads
        if min(pads) < 0 or max(pads) > 64 or not 0 < min(strides) <= max(strides) <= 64:
            raise FormatError(f"{node.name} has strides {strides} and padding {pads}")
        return (strides[0], strides[1]), Padding(top, bottom, left, right)

    def _batch_norm(self, node: Node) -> str:
        layer = self._last_of(node)
        statistics = {name: self._constant(node, number) for number, name in enumerate(BATCH_NORM_TENSORS, start=1)}
        epsilon = float(f"{node.attributes.get('epsilon', 1e-5):.7g}")
        variance = statistics[BATCH_NORM_TENSORS[-1]]
        if variance.value.size and variance.value.min() < 0:
            raise FormatError(f"{variance.source} holds a negative variance")
        match self.graph.layers.get(layer):
            case GlobalAveragePool() | Linear() as found:
                self._norm_of_features(node, found, epsilon, statistics)
            case _:
                self.graph.batch_norm(layer, epsilon, statistics)
        return layer

    def _norm_of_features(
        self, node: Node, layer: GlobalAveragePool | Linear, epsilon: float, statistics: Mapping[str, NamedTensor]
    ) -> None:
        """A batch norm in a head: a fully connected layer takes it, the one before it or the one after the pool."""
        gamma, beta, mean, variance = (statistics[name].value.astype(np.float64) for name in BATCH_NORM_TENSORS)
        factors = gamma / np.sqrt(variance + epsilon)
        offsets = beta - mean * factors
        if factors.shape != (self.graph.shape(layer.name).channels,):
            raise FormatError(f"{node.name} has {factors.size} channels; {layer.name} has others")
        if isinstance(layer, Linear):
            self.graph.scale_channels(node.name, layer.name, factors, readers=1)
            self.graph.shift_channels(node.name, layer.name, offsets, readers=1)
        elif layer.name in self.norms:
            raise FormatError(f"{node.name} is a second batch norm of {layer.name}, which no Model has")
        else:
            self.norms[layer.name] = (factors, offsets)

    def _readers(self, tensor: str) -> int:
        """How many nodes read a tensor, the graph's own output included."""
        return self.readers.get(tensor, 0) + self.file.outputs.count(tensor)

    def _hard_sigmoid(self, node: Node) -> Value:
        alpha, beta = node.attributes.get("alpha", 0.2), node.attributes.get("beta", 0.5)
        readers = self._readers(node.input(0))
        layer = self.graph.plain(self._source(node), node.name)
        if beta != 0.5 or not 0 < alpha < LARGEST_SLOPE:
            raise FormatError(
                f"{node.name} is a hard-sigmoid of slope {alpha:g} and offset {beta:g}; slopes above 0 and offset 0.5 "
                "are read"
            )
        if abs(alpha - 1 / 6) > SLOPE_TOLERANCE:
            # Ours has slope 1 / 6: of another one, as Paddle and Keras 2 have, the layer before takes the rest.
            self.graph.scale_channels(node.name, layer, np.array([6 * alpha]), readers=readers)
        return self.graph.hard_sigmoid(node.name, self._source(node), readers=readers)

    def _multiply(self, node: Node) -> Value:
        """A product, of layers or of a step of a hard-sigmoid with a constant."""
        constants = [tensor for tensor in node.inputs if tensor in self.constants]
        sources = [self._value(tensor, node.name) for tensor in node.inputs if tensor not in self.constants]
        if node.operator == "Mul" and len(sources) == 2 and not constants:
            return self.graph.multiply(_layer_name(node), *sources)
        if len(sources) != 1 or len(constants) != 1 or (node.operator == "Div" and node.input(1) != constants[0]):
            raise FormatError(f"{node.name} is a {node.operator} of {len(node.inputs)} tensors that no Model computes")
        factor = _number(node, self.constants[constants[0]])
        factor = 1 / (factor or 1) if node.operator == "Div" else factor
        tensor = next(tensor for tensor in node.inputs if tensor not in self.constants)
        if sources[0].step is Step.NONE and self._ends_with(node.outputs[0]):  # a temperature
            layer = self.graph.plain(sources[0], node.name)
            self.graph.scale_channels(node.name, layer, np.array([factor]), readers=self._readers(tensor))
            return sources[0]
        return self.graph.scaled(node.name, sources[0], factor, readers=self._readers(tensor))

    def _ends_with(self, tensor: str) -> bool:
        """Whether a tensor is an output, or one after a softmax."""
        readers = [node for node in self.file.nodes if tensor in node.inputs]
        ends = all(one.operator in ("Softmax", "LogSoftmax", *_PASSED) for one in readers)
        return tensor in self.file.outputs or (ends and all(self._ends_with(one.outputs[0]) for one in readers))

    def _activation(self, node: Node) -> Value:
        if node.operator == "Clip" and self._source(node).step is not Step.NONE:
            return self.graph.clipped(node.name, self._source(node), *self._clip_bounds(node, ([0.0, 6.0], [0.0, 1.0])))
        layer = self._last_of(node)
        activation = Activation.HARD_SWISH if node.operator == "HardSwish" else Activation.RELU
        if node.operator == "Clip":
            bounds = self._clip_bounds(node, ([0.0, 6.0], [0.0, None]))
            activation = Activation.RELU6 if bounds[1] else Activation.RELU
        self.graph.activate(node.name, layer, activation)
        return Value(layer)

    def _clip_bounds(self, node: Node, known: tuple[list[float | None], ...]) -> list[float | None]:
        bounds: list[float | None] = [node.attributes.get(name) for name in ("min", "max")]
        for number in (1, 2):
            if node.input(number):
                bounds[number - 1] = float(self._constant(node, number).value.ravel()[:1].sum())
        if bounds not in known:
            raise FormatError(f"{node.name} clips to {bounds}; ReLU and ReLU6 are known")
        return bounds

    def _pad(self, node: Node) -> Value:
        source = self._source(node)
        pads = node.attributes.get("pads")
        if pads is None:
            pads = [int(number) for number in self._constant(node, 1).value.ravel()[:8]]
        constant = self._constant(node, 2).value.any() if node.input(2) else node.attributes.get("value", 0)
        if (
            len(pads) != 8
            or any(pads[axis] for axis in (0, 1, 4, 5))
            or constant
            or not 0 <= min(pads) <= max(pads) < 64
        ):
            raise FormatError(f"{node.name} pads by {pads}; zeros around height and width are read")
        return replace(source, padding=Padding(pads[2], pads[6], pads[3], pads[7]))

    def _linear(self, node: Node) -> str:
        source, weight = self._source(node), self._constant(node, 1)
        attributes = node.attributes
        if attributes.get("transA") or attributes.get("alpha", 1.0) != 1 or attributes.get("beta", 1.0) != 1:
            raise FormatError(f"{node.name} scales or transposes what it reads, which no Model does")
        self.numbers.check_axis(node, weight, 0 if attributes.get("transB") else 1)
        if not attributes.get("transB"):
            weight = replace(weight, value=weight.value.T)
        norm, original = self.norms.get(source.layer), weight
        if norm is not None:
            weight = replace(weight, value=(weight.value * norm[0]).astype(np.float32))
        layer = self.graph.linear(_layer_name(node), source, weight)
        if node.input(2):
            bias = self._constant(node, 2)
            self.graph.bias(layer, replace(bias, value=bias.value.ravel()))
        if norm is not None:
            self.graph.shift_channels(node.name, layer, original.value.astype(np.float64) @ norm[1], readers=1)
        return layer

    def _join(self, node: Node) -> Value:
        constant = next((tensor for tensor in node.inputs if tensor in self.constants), None)
        if constant is not None and node.operator == "Add" and len(node.inputs) == 2:
            return self._added_constant(node, self.constants[constant])
        sources = [self._value(tensor, node.name) for tensor in node.inputs]
        if node.operator != "Concat":
            return Value(self.graph.add(_layer_name(node), sources))
        if node.attributes.get("axis") not in ((1, -3) if not all(one.is_image for one in sources) else CHANNEL_AXES):
            raise FormatError(
                f"{node.name} joins along axis {node.attributes.get('axis')}; only channels can be joined"
            )
        return self.graph.joined_image(sources) or Value(self.graph.concatenate(_layer_name(node), sources))

    def _split(self, node: Node) -> None:
        """The channels of the image, one by one."""
        source = self._source(node)
        for tensor, which in zip(node.outputs, split_channels(node, self.constants), strict=True):
            self.values[tensor] = self.graph.reordered(node.name, source, which)
        self.image.pass_on(node)

    def _added_constant(self, node: Node, bias: NamedTensor) -> Value:
        """The sum after a MatMul, or the first step of a hard-sigmoid."""
        tensor = next((tensor for tensor in node.inputs if tensor not in self.constants), None)
        if tensor is None:
            raise FormatError(f"{node.name} adds two constants, which no network of this project does")
        source = self._value(tensor, node.name)
        if bias.value.size == 1 and bias.value.ndim == 0:
            return self.graph.shifted(node.name, source, _number(node, bias), readers=self._readers(tensor))
        layer = self.graph.plain(source, node.name)
        if layer == INPUT or f"{layer}.bias" in self.graph.tensors or self.readers.get(tensor) != 1:
            raise FormatError(f"{node.name} adds a constant, which only a bias is")
        self.graph.bias(layer, replace(bias, value=bias.value.ravel()))
        return Value(layer)

    def _max_pool(self, node: Node) -> str:
        kernel = tuple(node.attributes.get("kernel_shape", ()))
        stride, padding = self._window(node, kernel)
        return self.graph.max_pool(
            _layer_name(node), self._source(node), kernel=kernel[0], stride=stride, padding=padding
        )

    def _average(self, node: Node) -> str:
        source = self._source(node)
        shape, attributes = self.graph.shape(source.layer), node.attributes
        if node.operator == "AveragePool":
            whole = attributes.get("kernel_shape") == [*shape[1:]] and not any(attributes.get("pads", ()))
        elif node.operator == "ReduceMean":
            axes = attributes.get("axes")
            if axes is None and node.input(1):
                axes = self._constant(node, 1).value.ravel()[:4].tolist()
            whole = axes is not None and sorted(axis % 4 for axis in axes) == [2, 3]
        else:
            whole = True
        if not whole:
            raise FormatError(f"{node.name} averages part of a map of {shape}; only whole maps are averaged")
        return self.graph.average(_layer_name(node), source)

    def _softmax(self, node: Node) -> Value:
        if node.outputs[0] not in self.ends:
            raise FormatError(
                f"{node.name} is a softmax in the middle of the network; where it is the last layer, export the "
                "network without what comes behind it"
            )
        return self._source(node)

    def _sigmoid(self, node: Node) -> Value:
        """One probability becomes two logits; several are no classes that exclude each other."""
        source = self._source(node)
        layer = self.graph.plain(source, node.name)
        if self.graph.shape(layer).size > 1:
            raise FormatError(
                f"the network ends in {self.graph.shape(layer).size} sigmoids ({node.name}): classes that do not "
                "exclude each other, which no classifier has"
            )
        return Value(two_logits(self.graph, layer))


def _ends(graph: OnnxGraph) -> set[str]:
    """Tensors that leave the graph as they are, or with another shape."""
    ends = set(graph.outputs)
    for node in reversed(graph.nodes):
        if node.operator in _PASSED and not ends.isdisjoint(node.outputs):
            ends.add(node.input(0))
    return ends


def _with_bias(layer: Layer) -> Layer:
    return replace(layer, bias=True) if layer.has_weight else layer  # type: ignore[call-arg]


def _layer_name(node: Node) -> str:
    """The layer's name in the file: the node's, less the operator's at its end."""
    return node.name.removesuffix(f"/{node.operator}")


def _number(node: Node, constant: NamedTensor) -> float:
    """A constant of one number."""
    if constant.value.size != 1 or constant.value.dtype.kind != "f":
        raise FormatError(f"{node.name} ({node.operator}) takes {constant.source} of shape {constant.value.shape}")
    return float(constant.value.ravel()[0])
