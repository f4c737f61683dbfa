"""Layers as data: a closed set of frozen types with common fields.

Whoever does something for every type of layer, or for every activation, writes a ``match`` over all of them that ends
in :func:`typing.assert_never` or raises: a type that a place does not know is an error there.
"""

from __future__ import annotations

import math
from enum import StrEnum
from typing import ClassVar, NamedTuple, assert_never

from mobilenets.base.arguments import check_integer
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
    """Elementwise function after a layer (and after its batch norm)."""

    NONE = "none"
    RELU = "relu"
    """max(0, x)."""
    RELU6 = "relu6"
    """min(max(0, x), 6)."""
    HARD_SIGMOID = "hard_sigmoid"
    """min(max(0, x + 3), 6) / 6."""
    HARD_SWISH = "hard_swish"
    """x · hard_sigmoid(x). Source: Howard et al. 2019, arXiv:1905.02244, section 5.2."""

    @property
    def bounds(self) -> tuple[float, float] | None:
        """(low, high) of an activation that is a clamp; None of one that is not.

        >>> Activation.RELU6.bounds, Activation.HARD_SWISH.bounds
        ((0.0, 6.0), None)
        """
        match self:
            case Activation.NONE:
                return -math.inf, math.inf
            case Activation.RELU:
                return 0.0, math.inf
            case Activation.RELU6:
                return 0.0, 6.0
            case Activation.HARD_SIGMOID | Activation.HARD_SWISH:
                return None
            case _:
                assert_never(self)

    @property
    def is_clamp(self) -> bool:
        """Whether the activation only limits values, so that the clamp of an int8 layer carries it."""
        return self.bounds is not None


BATCH_NORM_TENSORS = ("weight", "bias", "running_mean", "running_var")
"""Last part of the names of a batch norm's tensors, ``<layer>.batch_norm.<one of these>``."""


@record(frozen=True)
class BatchNorm:
    """Batch normalization after a convolution, before its activation.

    Attributes:
        epsilon: Added to the variance: 1e-3 in TensorFlow-born weights, 1e-5 in PyTorch-born ones.
    """

    epsilon: float = 1e-3

    def __post_init__(self) -> None:
        if not (math.isfinite(self.epsilon) and self.epsilon > 0):
            raise ArchitectureError(f"batch norm epsilon must be a positive number, not {self.epsilon!r}")


@record(frozen=True)
class Layer:
    """What every layer has: a name, the names of what it reads, an activation, a batch norm and a bias or none.

    Types without one of the last three answer ``Activation.NONE``, ``None`` and ``False``; the others have it as a
    field.
    """

    name: str
    inputs: tuple[str, ...]

    kind: ClassVar[str] = "layer"
    has_weight: ClassVar[bool] = False

    @property
    def activation(self) -> Activation:
        """Function after the layer."""
        return Activation.NONE

    @property
    def batch_norm(self) -> BatchNorm | None:
        """Batch norm between the layer and its activation."""
        return None

    @property
    def bias(self) -> bool:
        """Whether the layer has a bias."""
        return False

    @property
    def batch_norm_names(self) -> tuple[str, ...]:
        """Names of its batch norm's tensors: γ, β, running mean, running variance; none without a batch norm."""
        if self.batch_norm is None:
            return ()
        return tuple(f"{self.name}.batch_norm.{tensor}" for tensor in BATCH_NORM_TENSORS)

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


def check(condition: bool, message: str) -> None:
    """Raise ArchitectureError with a message unless a condition holds."""
    if not condition:
        raise ArchitectureError(message)


@record(frozen=True)
class Windowed(Layer):
    """A layer that slides a square window over a map.

    Attributes:
        kernel: Side of the window in pixels.
        stride: Pixels from window to window: down and across alike, or (down, across).
        padding: Zeros around the map.
    """

    kernel: int = 3
    stride: int | tuple[int, int] = 1
    padding: Padding = Padding()

    def __post_init__(self) -> None:
        check_integer(f"{self.name}: kernel", self.kernel, ArchitectureError, least=1)
        pair = isinstance(self.stride, tuple)
        steps = self.stride if isinstance(self.stride, tuple) else (self.stride,)
        check(len(steps) == 1 + pair, f"{self.name}: stride must be one integer, or two, not {self.stride!r:.40}")
        for step in steps:
            check_integer(f"{self.name}: stride", step, ArchitectureError, least=1)
        check(min(self.padding) >= 0, f"{self.name}: padding must not be negative, got {tuple(self.padding)}")
        check(
            max(self.padding) < self.kernel or max(self.padding) == 0,
            f"{self.name}: padding {tuple(self.padding)} is not smaller than the kernel ({self.kernel}), "
            "so some outputs would see no pixel at all",
        )

    @property
    def strides(self) -> tuple[int, int]:
        """The stride, (down, across).

        >>> MaxPool("pool", (INPUT,), kernel=2, stride=2).strides, MaxPool("pool", (INPUT,), stride=(2, 1)).strides
        ((2, 2), (2, 1))
        """
        down, across = self.stride if isinstance(self.stride, tuple) else (self.stride, self.stride)
        return down, across

    def _map(self, shape: Shape) -> tuple[int, int]:
        height = shape.height + self.padding.top + self.padding.bottom
        width = shape.width + self.padding.left + self.padding.right
        check(
            min(height, width) >= self.kernel,
            f"{self.name}: a {self.kernel}×{self.kernel} window does not fit on a map of "
            f"{shape.height}×{shape.width} with padding {tuple(self.padding)}",
        )
        down, across = self.strides
        return (height - self.kernel) // down + 1, (width - self.kernel) // across + 1


@record(frozen=True)
class Convolution(Windowed):
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
        check_integer(f"{self.name}: out_channels", self.out_channels, ArchitectureError, least=1)
        check(
            self.groups >= 1 and self.out_channels % self.groups == 0,
            f"{self.name}: groups ({self.groups}) must divide out_channels ({self.out_channels})",
        )

    def output_shape(self, shapes: tuple[Shape, ...]) -> Shape:
        shape = self._only(shapes)
        check(
            shape.channels % self.groups == 0,
            f"{self.name}: groups ({self.groups}) must divide the input's {shape.channels} channels",
        )
        return Shape(self.out_channels, *self._map(shape))

    def weight_shape(self, shapes: tuple[Shape, ...]) -> tuple[int, ...]:
        return (self.out_channels, self._only(shapes).channels // self.groups, self.kernel, self.kernel)

    def macs(self, shapes: tuple[Shape, ...]) -> int:
        return math.prod(self.weight_shape(shapes)) * math.prod(self._map(self._only(shapes)))


@record(frozen=True)
class DepthwiseConvolution(Windowed):
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
        check_integer(f"{self.name}: out_channels", self.out_channels, ArchitectureError, least=1)

    def output_shape(self, shapes: tuple[Shape, ...]) -> Shape:
        shape = self._only(shapes)
        return Shape(self.out_channels, shape.height, shape.width)

    def weight_shape(self, shapes: tuple[Shape, ...]) -> tuple[int, ...]:
        return (self.out_channels, self._only(shapes).channels, 1, 1)

    def macs(self, shapes: tuple[Shape, ...]) -> int:
        return self._only(shapes).channels * self.output_shape(shapes).size


@record(frozen=True)
class MaxPool(Windowed):
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
        check_integer(f"{self.name}: out_features", self.out_features, ArchitectureError, least=1)

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
        check(len(shapes) >= 2, f"{self.name} (add) needs two inputs or more; it names {len(shapes)}")
        check(
            len(set(shapes)) == 1,
            f"{self.name} adds activations of different shapes: {', '.join(map(str, shapes))}",
        )
        return shapes[0]


@record(frozen=True)
class Multiply(Layer):
    """Elementwise product of two activations of one shape, or of a map and one value per channel: (C, H, W)·(C, 1, 1).

    The second form scales channels, as squeeze-and-excite does.
    """

    activation: Activation = Activation.NONE

    kind: ClassVar[str] = "multiply"

    def output_shape(self, shapes: tuple[Shape, ...]) -> Shape:
        check(len(shapes) == 2, f"{self.name} (multiply) needs two inputs; it names {len(shapes)}")
        first, second = shapes
        check(
            second in (first, Shape(first.channels, 1, 1)),
            f"{self.name} multiplies {first} by {second}; it takes {first} or {Shape(first.channels, 1, 1)}",
        )
        return first


@record(frozen=True)
class Concatenate(Layer):
    """Activations of one height and width, one after the other along the channels."""

    kind: ClassVar[str] = "concatenate"

    def output_shape(self, shapes: tuple[Shape, ...]) -> Shape:
        check(len(shapes) >= 2, f"{self.name} (concatenate) needs two inputs or more; it names {len(shapes)}")
        check(
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
        Multiply,
        Concatenate,
    )
}
"""Every kind of layer that a Network may hold, by class name. The file format and the tests read this list."""
