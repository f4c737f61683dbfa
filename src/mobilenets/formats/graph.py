"""From the graph of a foreign file to a Network: what the readers of graphs have in common.

A reader walks its nodes and calls one method per operator. Padding nodes, batch norms and activation functions that
stand alone in the graph are taken into the layer that they belong to.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

import numpy as np
import numpy.typing as npt

from mobilenets.architecture.layers import (
    INPUT,
    Activation,
    Add,
    BatchNorm,
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
from mobilenets.architecture.network import Network
from mobilenets.errors import ArchitectureError, FormatError
from mobilenets.formats.channel_order import Order, exchanged, joined, of_image, selected
from mobilenets.formats.names import legal_name
from mobilenets.formats.weights import NamedTensor
from mobilenets.model.preprocessing import GREY_CHANNELS, RGB_CHANNELS

MOST_LAYERS = 2048
NO_PADDING = Padding()


Stride = int | tuple[int, int]
"""Of a window, in pixels: down and across alike, or (down, across)."""


def one_if_equal(stride: Stride) -> Stride:
    """A stride as layers have it: one number where both are the same."""
    return stride[0] if isinstance(stride, tuple) and stride[0] == stride[1] else stride


class Step(Enum):
    """How far a graph has come in computing a hard-sigmoid or a hard-swish of a layer's result x by plain operators."""

    NONE = "x"
    SHIFTED = "x + 3"
    CLIPPED = "ReLU6(x + 3)"
    SLOPED = "x / 6"
    RAISED = "x / 6 + 1 / 2"
    FLOORED = "max(x / 6 + 1 / 2, 0)"
    HARD_SIGMOID = "hard-sigmoid(x)"
    PRODUCT = "x · ReLU6(x + 3)"


@dataclass(frozen=True)
class Value:
    """What a tensor of the graph stands for.

    Attributes:
        layer: The layer that makes it, or ``"input"``.
        padding: Zeros around it that a node has added and that the next window takes over.
        step: What has been computed of the layer's result since.
        readers: How many nodes read the layer's result itself, where a step has been taken.
        order: Of the image: the channels that it has, in the graph's order; empty for the image as it is.
    """

    layer: str
    padding: Padding = NO_PADDING
    step: Step = Step.NONE
    readers: int = 1
    order: Order = ()

    @property
    def is_image(self) -> bool:
        """Whether it is the image, whatever the order of its channels, and nothing has been computed of it."""
        return self == Value(INPUT, order=self.order)


@dataclass
class Graph:
    """A network being read.

    Attributes:
        height: Input height in pixels.
        width: Input width in pixels.
        channels: Input channels.
        layers: Layers so far, by name, in order.
        tensors: Weights, biases and batch norms by this package's names.
        channel_scales: Factors of the channels of layers whose weights are integers, by layer.
    """

    height: int
    width: int
    channels: int
    layers: dict[str, Layer] = field(default_factory=dict)
    tensors: dict[str, NamedTensor] = field(default_factory=dict)
    channel_scales: dict[str, npt.NDArray[np.float64]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if min(self.height, self.width, self.channels) < 1:
            raise FormatError(f"the graph's input is {self.height}×{self.width}×{self.channels}; sizes must be fixed")
        self._shapes = {INPUT: Shape(self.channels, self.height, self.width)}

    def shape(self, name: str) -> Shape:
        """Output shape of a layer, or of the input."""
        return self._shapes[name]

    def convolution(
        self, node: str, source: Value, weight: NamedTensor, *, stride: Stride, padding: Padding, groups: int = 1
    ) -> str:
        """A convolution of any kind.

        Args:
            node: Its name in the file.
            source: What it reads.
            weight: (out, in / groups, kernel, kernel).
            stride: In pixels: one number, or (down, across).
            padding: Its own; that of a padding node before it is added.
            groups: Groups of channels.
        """
        if weight.value.ndim != 4 or weight.value.shape[2] != weight.value.shape[3]:
            raise FormatError(f"{weight.source} has shape {weight.value.shape}; windows must be square")
        weight = exchanged(weight, source.order, self.channels, groups, node)
        out, kernel = weight.value.shape[0], weight.value.shape[2]
        self.finished(replace(source, order=()), node)
        channels = self.shape(source.layer).channels
        padding = Padding(*(own + before for own, before in zip(padding, source.padding, strict=True)))
        name = self._name(node, "convolution")
        stride = one_if_equal(stride)
        window: dict[str, Any] = {"kernel": kernel, "stride": stride, "padding": padding}
        layer: Layer
        with _checked(node):
            if groups == channels == out and groups > 1:
                layer = DepthwiseConvolution(name, (source.layer,), **window)
            elif (kernel, stride, padding, groups) == (1, 1, NO_PADDING, 1):
                layer = PointwiseConvolution(name, (source.layer,), out_channels=out)
            else:
                layer = Convolution(name, (source.layer,), **window, out_channels=out, groups=groups)
        self._append(layer)
        self.tensors[f"{name}.weight"] = weight
        return name

    def linear(self, node: str, source: Value, weight: NamedTensor) -> str:
        """A fully connected layer with weight (out, in)."""
        if weight.value.ndim != 2:
            raise FormatError(f"{weight.source} has shape {weight.value.shape}; (out, in) was expected")
        name = self._name(node, "linear")
        with _checked(node):
            layer = Linear(name, (self.plain(source, node),), out_features=weight.value.shape[0], bias=False)
        self._append(layer)
        self.tensors[f"{name}.weight"] = weight
        return name

    def max_pool(self, node: str, source: Value, *, kernel: int, stride: Stride, padding: Padding) -> str:
        """A max pool."""
        name = self._name(node, "max_pool")
        with _checked(node):
            inputs, steps = (self.plain(source, node),), one_if_equal(stride)
            layer = MaxPool(name, inputs, kernel=kernel, stride=steps, padding=padding)
        self._append(layer)
        return name

    def average(self, node: str, source: Value) -> str:
        """A global average pool; on a 1×1 map there is nothing to do."""
        name = self._name(node, "pool")
        self._append(GlobalAveragePool(name, (self.plain(source, node),)))
        return name

    def add(self, node: str, sources: list[Value]) -> str:
        """A sum."""
        name = self._name(node, "add")
        self._append(Add(name, tuple(self.plain(source, node) for source in sources)))
        return name

    def multiply(self, node: str, first: Value, second: Value) -> Value:
        """A product of two maps, of a map and one number per channel, or the last steps of a hard-swish."""
        if first.layer == second.layer and first.step is not second.step:
            other = second if first.step is Step.NONE else first
            if Step.NONE not in (first.step, second.step) or other.readers != 2:
                raise FormatError(f"{node} multiplies {first.step.value} by {second.step.value}; that is no hard-swish")
            if other.step is Step.HARD_SIGMOID:
                self.activate(node, other.layer, Activation.HARD_SWISH)
                return Value(other.layer)
            if other.step is Step.CLIPPED:
                return Value(other.layer, step=Step.PRODUCT)
        sources = [self.plain(first, node), self.plain(second, node)]
        if self.shape(sources[0]).size < self.shape(sources[1]).size:
            sources.reverse()
        name = self._name(node, "multiply")
        self._append(Multiply(name, tuple(sources)))
        return Value(name)

    def shifted(self, node: str, source: Value, amount: float, *, readers: int) -> Value:
        """A value plus a constant: the first step of a hard-sigmoid.

        Args:
            node: Its name in the file.
            source: What it reads.
            amount: The constant.
            readers: How many nodes read the source.
        """
        if source.step is Step.SLOPED and amount == 0.5:
            return replace(source, step=Step.RAISED)
        if source.step is not Step.NONE or source.padding != NO_PADDING or amount != 3:
            raise FormatError(f"{node} adds {amount:g} to {source.step.value}; only a hard-sigmoid adds a constant, 3")
        return replace(source, step=Step.SHIFTED, readers=readers)

    def clipped(self, node: str, source: Value, low: float | None, high: float | None) -> Value:
        """A value within bounds: a step of a hard-sigmoid.

        Args:
            node: Its name in the file.
            source: What it reads.
            low: Lower bound, if any.
            high: Upper bound, if any.
        """
        match source.step, low, high:
            case Step.SHIFTED, 0, 6:
                return replace(source, step=Step.CLIPPED)
            case Step.RAISED, 0, None:
                return replace(source, step=Step.FLOORED)
            case (Step.RAISED, 0, 1) | (Step.FLOORED, None, 1):
                return self.hard_sigmoid(node, source, readers=source.readers)
        raise FormatError(f"{node} clips {source.step.value} to {low} … {high}, which is no step of a hard-sigmoid")

    def scaled(self, node: str, source: Value, factor: float, *, readers: int) -> Value:
        """A value times a constant: a step of a hard-sigmoid or a hard-swish.

        Args:
            node: Its name in the file.
            source: What it reads.
            factor: The constant.
            readers: How many nodes read the source.
        """
        if not math.isclose(factor, 1 / 6, rel_tol=1e-4):
            raise FormatError(f"{node} multiplies by {factor:g}; only a hard-sigmoid multiplies by a constant, 1 / 6")
        if source.step is Step.PRODUCT:
            self.activate(node, source.layer, Activation.HARD_SWISH)
            return Value(source.layer)
        if source.step is Step.NONE and source.padding == NO_PADDING and source.layer != INPUT:
            return replace(source, step=Step.SLOPED, readers=readers)
        if source.step is not Step.CLIPPED:
            raise FormatError(
                f"{node} multiplies {source.step.value} by a constant, which is no step of a hard-sigmoid"
            )
        return self.hard_sigmoid(node, source, readers=source.readers)

    def hard_sigmoid(self, node: str, source: Value, *, readers: int) -> Value:
        """A hard-sigmoid: a layer's own, or the step before a hard-swish where its input is read once more."""
        if readers > 1:
            return Value(source.layer, step=Step.HARD_SIGMOID, readers=readers)
        self.activate(node, source.layer, Activation.HARD_SIGMOID)
        return Value(source.layer)

    def concatenate(self, node: str, sources: list[Value]) -> str:
        """A concatenation along the channels."""
        name = self._name(node, "concatenate")
        self._append(Concatenate(name, tuple(self.plain(source, node) for source in sources)))
        return name

    def bias(self, layer: str, bias: NamedTensor) -> None:
        """Give a layer its bias."""
        self._change(layer, bias=True)
        self.tensors[f"{layer}.bias"] = bias

    def scale_channels(self, node: str, layer: str, factors: npt.NDArray[np.float64], *, readers: int) -> None:
        """Multiply the result of a layer with weights by a constant for each channel, or for all.

        Args:
            node: Its name in the file.
            layer: The layer.
            factors: (channels,) or (1,).
            readers: How many nodes read the layer's own result.

        Raises:
            FormatError: If another node reads the result, or an activation function stands between.
        """
        self._check_linear(node, layer, readers)
        weight = self.tensors[f"{layer}.weight"]
        factors = np.broadcast_to(factors, (weight.value.shape[0],))
        if weight.value.dtype.kind == "f":
            axes = (-1, *[1] * (weight.value.ndim - 1))
            value = (weight.value * factors.reshape(axes)).astype(np.float32)
            self.tensors[f"{layer}.weight"] = replace(weight, value=value)
        else:
            self.channel_scales[layer] = self.channel_scales.get(layer, np.ones(1)) * factors
        bias = self.tensors.get(f"{layer}.bias")
        if bias is not None and bias.value.any():
            if bias.value.dtype.kind != "f":
                raise FormatError(f"{node} multiplies sums of integers that have a bias already")
            self.tensors[f"{layer}.bias"] = replace(bias, value=(bias.value * factors).astype(np.float32))

    def shift_channels(self, node: str, layer: str, offsets: npt.NDArray[np.float64], *, readers: int) -> None:
        """Add a constant to each channel of the result of a layer with weights, or one to all.

        Args:
            node: Its name in the file.
            layer: The layer.
            offsets: (channels,) or (1,).
            readers: How many nodes read the layer's own result.

        Raises:
            FormatError: As :meth:`scale_channels`.
        """
        self._check_linear(node, layer, readers)
        channels = self.shape(layer).channels
        bias = self.tensors.get(f"{layer}.bias", NamedTensor(node, np.zeros(channels, np.float32)))
        if bias.value.dtype.kind != "f":
            raise FormatError(f"{node} adds real numbers to integers")
        self.bias(layer, replace(bias, value=(bias.value + offsets).astype(np.float32)))

    def is_for_channels(self, source: Value, values: npt.NDArray[Any], *, but: float) -> bool:
        """Whether a constant scales or shifts the channels of a layer with weights, and is no step of a hard-sigmoid.

        Args:
            source: What is scaled or shifted.
            values: The constant.
            but: The one number that a step of a hard-sigmoid takes.
        """
        layer = self.layers.get(source.layer)
        if source.step is not Step.NONE or layer is None or not layer.has_weight:
            return False
        if values.size == 1:
            return not math.isclose(float(values.ravel()[0]), but, rel_tol=1e-2)
        return values.size == self.shape(source.layer).channels

    def _check_linear(self, node: str, layer: str, readers: int) -> None:
        if readers != 1 or self.layers[layer].activation is not Activation.NONE or self.layers[layer].batch_norm:
            raise FormatError(f"{node} changes the channels of {layer}, whose result is used elsewhere or activated")

    def widen(self, layer: str, features: int) -> None:
        """Give a fully connected layer that nothing reads another number of outputs; its tensors are the caller's."""
        self._change(layer, out_features=features)
        self._shapes[layer] = Shape(features, 1, 1)

    def batch_norm(self, layer: str, epsilon: float, statistics: Mapping[str, NamedTensor]) -> None:
        """Give a layer its batch norm, whose tensors are ``weight``, ``bias``, ``running_mean``, ``running_var``."""
        with _checked(layer):
            batch_norm = BatchNorm(epsilon)
        self._change(layer, batch_norm=batch_norm)
        for name, found in statistics.items():
            self.tensors[f"{layer}.batch_norm.{name}"] = found

    def activate(self, node: str, layer: str, activation: Activation) -> None:
        """Give a layer its activation function.

        Raises:
            FormatError: If it has one already or takes none.
        """
        if activation is Activation.NONE:
            return
        before = self.layers[layer].activation if layer in self.layers else None
        if before is Activation.RELU and activation in (Activation.RELU, Activation.RELU6):
            before = Activation.NONE  # which they contain
        if before is not Activation.NONE:
            raise FormatError(f"{node}: no layer can take this activation function")
        self._change(layer, activation=activation)

    def plain(self, source: Value, node: str) -> str:
        """The layer behind a value that nothing pads."""
        if source.padding != NO_PADDING:
            raise FormatError(f"{node} reads a padded map; only convolutions take padding over")
        return self.finished(source, node)

    def finished(self, source: Value, node: str) -> str:
        """The layer behind a value whose activation function is complete."""
        if source.step is not Step.NONE:
            raise FormatError(f"{node} reads {source.step.value}, which is part of an activation function only")
        if source.order:
            raise FormatError(f"{node} reads the image's channels in another order, which only a convolution does")
        return source.layer

    def check_image(self, tensor: str) -> None:
        """Raise if the input is no image, as that of the second part of a network is not.

        Args:
            tensor: The input's name in the file.

        Raises:
            FormatError: If it has neither 3 channels nor 1.
        """
        if self.channels not in (GREY_CHANNELS, RGB_CHANNELS):
            raise FormatError(
                f"the input {tensor!r} is a map of {self.height}×{self.width} with {self.channels} channels and no "
                f"image of {RGB_CHANNELS} channels or {GREY_CHANNELS}, as the second part of a network that was cut in "
                "two begins. Join the parts into one file, or export the whole network"
            )

    def reordered(self, node: str, source: Value, which: Any) -> Value:
        """Some channels of the image, in another order.

        Args:
            node: Its name in the file.
            source: The image.
            which: A slice, a number, or numbers.

        Raises:
            FormatError: If it is not the image, or has no such channels.
        """
        if not source.is_image:
            raise FormatError(f"{node} reorders channels within the network, or cuts them, which no Model does")
        return Value(INPUT, order=selected(source.order, self.channels, which, node))

    def joined_image(self, sources: Sequence[Value]) -> Value | None:
        """The image, put together of its channels; None where these are other maps, or the same channel twice."""
        if not all(source.is_image for source in sources):
            return None
        order = joined([source.order for source in sources], self.channels)
        return None if order is None else Value(INPUT, order=order)

    def of_image(self, node: str, source: Value, values: Any) -> Any:
        """Numbers for the channels of a reordered image as numbers for those of the image. See :func:`of_image`."""
        return of_image(values, source.order, self.channels, node)

    def network(self, name: str, outputs: list[str]) -> Network:
        """The finished network, under the file's names."""
        try:
            return Network(
                name=legal_name(name, otherwise="imported"),
                height=self.height,
                width=self.width,
                channels=self.channels,
                layers=tuple(self.layers.values()),
                outputs=tuple(outputs),
            )
        except ArchitectureError as error:
            raise FormatError(str(error)) from None

    def _name(self, node: str, kind: str) -> str:
        return legal_name(node, self.layers, otherwise=f"{kind}{len(self.layers)}")

    def _append(self, layer: Layer) -> None:
        if len(self.layers) >= MOST_LAYERS:
            raise FormatError(f"the graph has more than {MOST_LAYERS} layers")
        try:
            self._shapes[layer.name] = layer.output_shape(tuple(self._shapes[source] for source in layer.inputs))
        except ArchitectureError as error:
            raise FormatError(str(error)) from None
        self.layers[layer.name] = layer

    def _change(self, layer: str, **fields: Any) -> None:
        try:
            self.layers[layer] = replace(self.layers[layer], **fields)
        except (ArchitectureError, TypeError) as error:
            raise FormatError(f"{layer}: {error}") from None


@contextmanager
def _checked(node: str) -> Iterator[None]:
    """A layer that cannot be is the fault of the file's node that asks for it."""
    try:
        yield
    except ArchitectureError as error:
        raise FormatError(f"{node}: {error}") from None


def no_classes(network: Network) -> FormatError:
    """The refusal of a network that ends in a map."""
    name = network.outputs[0]
    channels, height, width = network.shapes[name]
    return FormatError(
        f"{name} gives a map of {height}×{width} with {channels} channels, as networks for finding objects (FOMO, SSD) "
        "and segmentation do, for which this package has no task, and the first part of a network that was cut in two: "
        "join the parts into one file"
    )


def renamed_network(network: Network, names: Mapping[str, str]) -> Network:
    """The same network with other layer names."""
    layers = tuple(
        replace(layer, name=names[layer.name], inputs=tuple(names.get(source, source) for source in layer.inputs))
        for layer in network.layers
    )
    return replace(network, layers=layers, outputs=tuple(names[output] for output in network.outputs))


def renamed_tensors(tensors: Mapping[str, NamedTensor], names: Mapping[str, str]) -> dict[str, NamedTensor]:
    """The same tensors under other layer names."""
    longest_first = sorted(names, key=len, reverse=True)
    renamed: dict[str, NamedTensor] = {}
    for tensor, found in tensors.items():
        layer = next(name for name in longest_first if tensor.startswith(f"{name}."))
        renamed[names[layer] + tensor.removeprefix(layer)] = found
    return renamed
