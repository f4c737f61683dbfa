"""Layers and networks as data.

A :class:`Network` is a list of layers in static single assignment form: every layer names the layers that it reads
(or ``"input"``), and its own name stands for what it makes. Branches and several outputs need nothing more. Shapes
follow from the layers and the input size and are never stored beside them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from enum import StrEnum
from functools import cached_property
from typing import ClassVar, NamedTuple

from mobilenets.architecture.multipliers import ONE_FOR_ONE, PaddingPolicy, Rounding
from mobilenets.base.records import record
from mobilenets.errors import ArchitectureError

INPUT = "input"
"""The name under which layers read the image."""


class Shape(NamedTuple):
    """Size of one activation of one image."""

    channels: int
    height: int
    width: int

    @property
    def size(self) -> int:
        """Number of values."""
        return self.channels * self.height * self.width

    def __str__(self) -> str:
        return f"{self.channels}×{self.height}×{self.width}"


class Padding(NamedTuple):
    """Zeros around a map, in pixels, written out side by side so that no policy has to be guessed later."""

    top: int = 0
    bottom: int = 0
    left: int = 0
    right: int = 0


class Activation(StrEnum):
    """Pointwise function after a layer (and after its batch norm)."""

    NONE = "none"
    RELU = "relu"
    RELU6 = "relu6"


@record(frozen=True)
class BatchNorm:
    """Batch normalisation after a convolution, before its activation.

    Attributes:
        epsilon: Added to the variance: 1e-3 in TensorFlow-born weights, 1e-5 in PyTorch-born ones.
    """

    epsilon: float = 1e-3

    def __post_init__(self) -> None:
        if not (math.isfinite(self.epsilon) and self.epsilon > 0):
            raise ArchitectureError(f"batch norm epsilon must be a positive number, not {self.epsilon!r}")


@record(frozen=True)
class Layer:
    """What every layer has: a name, and the names of what it reads."""

    name: str
    inputs: tuple[str, ...]

    kind: ClassVar[str] = "layer"
    has_weight: ClassVar[bool] = False

    def output_shape(self, shapes: tuple[Shape, ...]) -> Shape:
        """Shape of the output for inputs of the given shapes.

        Raises:
            ArchitectureError: If the inputs do not fit this layer.
        """
        raise NotImplementedError  # pragma: no cover - abstract

    def weight_shape(self, shapes: tuple[Shape, ...]) -> tuple[int, ...]:
        """Shape of the weight in PyTorch's layout, or ``()`` where there is none."""
        return ()

    def macs(self, shapes: tuple[Shape, ...]) -> int:
        """Multiply-accumulate operations for one image. Pools, sums and activations count none."""
        return 0

    def _only(self, shapes: tuple[Shape, ...]) -> Shape:
        if len(shapes) != 1:
            raise ArchitectureError(f"{self.name} ({self.kind}) reads one input; it names {len(shapes)}")
        return shapes[0]


def _check(condition: bool, message: str) -> None:
    if not condition:
        raise ArchitectureError(message)


@record(frozen=True)
class _Windowed(Layer):
    """A layer that slides a square window over a map."""

    kernel: int = 3
    stride: int = 1
    padding: Padding = Padding()

    def __post_init__(self) -> None:
        _check(self.kernel >= 1, f"{self.name}: kernel must be at least 1, not {self.kernel}")
        _check(self.stride >= 1, f"{self.name}: stride must be at least 1, not {self.stride}")
        _check(min(self.padding) >= 0, f"{self.name}: padding must not be negative, got {tuple(self.padding)}")
        _check(
            max(self.padding) < self.kernel or max(self.padding) == 0,
            f"{self.name}: padding {tuple(self.padding)} is not smaller than the kernel ({self.kernel}), "
            "so some outputs would see no pixel at all",
        )

    def _map(self, shape: Shape) -> tuple[int, int]:
        height = shape.height + self.padding.top + self.padding.bottom
        width = shape.width + self.padding.left + self.padding.right
        _check(
            min(height, width) >= self.kernel,
            f"{self.name}: a {self.kernel}×{self.kernel} window does not fit on a map of "
            f"{shape.height}×{shape.width} with padding {tuple(self.padding)}",
        )
        return (height - self.kernel) // self.stride + 1, (width - self.kernel) // self.stride + 1


@record(frozen=True)
class Convolution(_Windowed):
    """Standard convolution over all input channels (or over those of its group).

    Weight: (out_channels, in_channels / groups, kernel, kernel).
    """

    out_channels: int = 1
    groups: int = 1
    activation: Activation = Activation.NONE
    batch_norm: BatchNorm | None = None
    bias: bool = False

    kind: ClassVar[str] = "convolution"
    has_weight: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        _check(self.out_channels >= 1, f"{self.name}: out_channels must be at least 1, not {self.out_channels}")
        _check(
            self.groups >= 1 and self.out_channels % self.groups == 0,
            f"{self.name}: groups ({self.groups}) must divide out_channels ({self.out_channels})",
        )

    def output_shape(self, shapes: tuple[Shape, ...]) -> Shape:
        shape = self._only(shapes)
        _check(
            shape.channels % self.groups == 0,
            f"{self.name}: groups ({self.groups}) must divide the input's {shape.channels} channels",
        )
        return Shape(self.out_channels, *self._map(shape))

    def weight_shape(self, shapes: tuple[Shape, ...]) -> tuple[int, ...]:
        return (self.out_channels, self._only(shapes).channels // self.groups, self.kernel, self.kernel)

    def macs(self, shapes: tuple[Shape, ...]) -> int:
        return math.prod(self.weight_shape(shapes)) * math.prod(self._map(self._only(shapes)))


@record(frozen=True)
class DepthwiseConvolution(_Windowed):
    """One filter per input channel. Weight: (channels, 1, kernel, kernel)."""

    activation: Activation = Activation.NONE
    batch_norm: BatchNorm | None = None
    bias: bool = False

    kind: ClassVar[str] = "depthwise"
    has_weight: ClassVar[bool] = True

    def output_shape(self, shapes: tuple[Shape, ...]) -> Shape:
        shape = self._only(shapes)
        return Shape(shape.channels, *self._map(shape))

    def weight_shape(self, shapes: tuple[Shape, ...]) -> tuple[int, ...]:
        return (self._only(shapes).channels, 1, self.kernel, self.kernel)

    def macs(self, shapes: tuple[Shape, ...]) -> int:
        return self.kernel * self.kernel * self.output_shape(shapes).size


@record(frozen=True)
class PointwiseConvolution(Layer):
    """1×1 convolution that mixes channels. Weight: (out_channels, in_channels, 1, 1)."""

    out_channels: int = 1
    activation: Activation = Activation.NONE
    batch_norm: BatchNorm | None = None
    bias: bool = False

    kind: ClassVar[str] = "pointwise"
    has_weight: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _check(self.out_channels >= 1, f"{self.name}: out_channels must be at least 1, not {self.out_channels}")

    def output_shape(self, shapes: tuple[Shape, ...]) -> Shape:
        shape = self._only(shapes)
        return Shape(self.out_channels, shape.height, shape.width)

    def weight_shape(self, shapes: tuple[Shape, ...]) -> tuple[int, ...]:
        return (self.out_channels, self._only(shapes).channels, 1, 1)

    def macs(self, shapes: tuple[Shape, ...]) -> int:
        return self._only(shapes).channels * self.output_shape(shapes).size


@record(frozen=True)
class MaxPool(_Windowed):
    """Largest value under the window. Padding never wins."""

    kind: ClassVar[str] = "max pool"

    def output_shape(self, shapes: tuple[Shape, ...]) -> Shape:
        shape = self._only(shapes)
        return Shape(shape.channels, *self._map(shape))


@record(frozen=True)
class GlobalAveragePool(Layer):
    """Mean over the whole map: (C, H, W) to (C, 1, 1)."""

    kind: ClassVar[str] = "average pool"

    def output_shape(self, shapes: tuple[Shape, ...]) -> Shape:
        return Shape(self._only(shapes).channels, 1, 1)


@record(frozen=True)
class Linear(Layer):
    """Fully connected layer. A map is flattened in (channel, row, column) order. Weight: (out, in)."""

    out_features: int = 1
    activation: Activation = Activation.NONE
    bias: bool = True

    kind: ClassVar[str] = "linear"
    has_weight: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _check(self.out_features >= 1, f"{self.name}: out_features must be at least 1, not {self.out_features}")

    def output_shape(self, shapes: tuple[Shape, ...]) -> Shape:
        self._only(shapes)
        return Shape(self.out_features, 1, 1)

    def weight_shape(self, shapes: tuple[Shape, ...]) -> tuple[int, ...]:
        return (self.out_features, self._only(shapes).size)

    def macs(self, shapes: tuple[Shape, ...]) -> int:
        return self.out_features * self._only(shapes).size


@record(frozen=True)
class Add(Layer):
    """Element-wise sum of two or more activations of one shape."""

    activation: Activation = Activation.NONE

    kind: ClassVar[str] = "add"

    def output_shape(self, shapes: tuple[Shape, ...]) -> Shape:
        _check(len(shapes) >= 2, f"{self.name} (add) needs two inputs or more; it names {len(shapes)}")
        _check(
            len(set(shapes)) == 1,
            f"{self.name} adds activations of different shapes: {', '.join(map(str, shapes))}",
        )
        return shapes[0]


@record(frozen=True)
class Concatenate(Layer):
    """Activations of one height and width, one after the other along the channels."""

    kind: ClassVar[str] = "concatenate"

    def output_shape(self, shapes: tuple[Shape, ...]) -> Shape:
        _check(len(shapes) >= 2, f"{self.name} (concatenate) needs two inputs or more; it names {len(shapes)}")
        _check(
            len({shape[1:] for shape in shapes}) == 1,
            f"{self.name} joins maps of different sizes: {', '.join(map(str, shapes))}",
        )
        return Shape(sum(shape.channels for shape in shapes), shapes[0].height, shapes[0].width)


LAYER_TYPES: dict[str, type[Layer]] = {
    layer.__name__: layer
    for layer in (
        Convolution,
        DepthwiseConvolution,
        PointwiseConvolution,
        MaxPool,
        GlobalAveragePool,
        Linear,
        Add,
        Concatenate,
    )
}
"""Every kind of layer that a Network may hold, by class name. The file format and the tests read this list."""


@record(frozen=True)
class Network:
    """A network: input size, layers in order of execution, and which of them are its outputs.

    Attributes:
        name: What people call it, such as ``mobilenet_v1``: a name of the catalogue where it came from there.
        height: Input height in pixels.
        width: Input width in pixels.
        layers: The layers; each reads only layers before it, or ``"input"``.
        outputs: Names of the layers whose results leave the network.
        channels: Input channels.
        width_multiplier: α that the layers were computed with.
        rounding: How α was applied to channel counts.
        padding_policy: How the explicit paddings were computed.

    Raises:
        ArchitectureError: If names repeat, a layer reads what does not exist yet, or shapes do not meet.
    """

    name: str
    height: int
    width: int
    layers: tuple[Layer, ...]
    outputs: tuple[str, ...]
    channels: int = 3
    width_multiplier: float = 1.0
    rounding: Rounding = ONE_FOR_ONE
    padding_policy: PaddingPolicy = PaddingPolicy.SAME

    def __post_init__(self) -> None:
        _check(
            min(self.height, self.width, self.channels) >= 1,
            f"{self.name}: input must be at least 1×1×1, got {self.channels}×{self.height}×{self.width}",
        )
        _check(len(self.outputs) >= 1, f"{self.name}: a network needs an output")
        _check(len(set(self.outputs)) == len(self.outputs), f"{self.name}: an output is named twice")
        shapes = self.shapes  # computing them is the check
        for output in self.outputs:
            _check(
                output in shapes and output != INPUT,
                f"{self.name}: output {output!r} is not a layer of the network",
            )

    @cached_property
    def shapes(self) -> dict[str, Shape]:
        """Shape of the input and of every layer's output, by name."""
        shapes = {INPUT: Shape(self.channels, self.height, self.width)}
        for layer in self.layers:
            _check(layer.name not in shapes, f"{self.name}: two layers are named {layer.name!r}")
            for source in layer.inputs:
                _check(source in shapes, f"{layer.name} reads {source!r}, which no earlier layer makes")
            shapes[layer.name] = layer.output_shape(tuple(shapes[source] for source in layer.inputs))
        return shapes

    @cached_property
    def consumers(self) -> dict[str, tuple[str, ...]]:
        """For the input and every layer, the names of the layers that read it."""
        readers: dict[str, list[str]] = {name: [] for name in self.shapes}
        for layer in self.layers:
            for source in layer.inputs:
                readers[source].append(layer.name)
        return {name: tuple(names) for name, names in readers.items()}

    def __getitem__(self, name: str) -> Layer:
        """The layer of that name.

        Raises:
            ArchitectureError: If there is none.
        """
        try:
            return self._by_name[name]
        except KeyError:
            raise ArchitectureError(f"{self.name} has no layer {name!r}") from None

    @cached_property
    def _by_name(self) -> dict[str, Layer]:
        return {layer.name: layer for layer in self.layers}

    def input_shapes(self, layer: Layer) -> tuple[Shape, ...]:
        """Shapes of what a layer of this network reads."""
        return tuple(self.shapes[source] for source in layer.inputs)

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every float parameter and running statistic, in order of the layers.

        ``<layer>.weight``, ``<layer>.bias`` and ``<layer>.batch_norm.{weight,bias,running_mean,running_var}``,
        in PyTorch's layouts.
        """
        return dict(self._parameter_shapes())

    def _parameter_shapes(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        for layer in self.layers:
            if not layer.has_weight:
                continue
            shape = layer.weight_shape(self.input_shapes(layer))
            yield f"{layer.name}.weight", shape
            if getattr(layer, "bias", False):
                yield f"{layer.name}.bias", shape[:1]
            if getattr(layer, "batch_norm", None) is not None:
                for statistic in ("weight", "bias", "running_mean", "running_var"):
                    yield f"{layer.name}.batch_norm.{statistic}", (shape[0],)

    @property
    def classes(self) -> int:
        """Values of the first output: the number of classes of a classifier."""
        return self.shapes[self.outputs[0]].channels
