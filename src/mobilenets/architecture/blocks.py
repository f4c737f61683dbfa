"""Blocks: functions that append layers to a network being written.

A :class:`Body` holds what all the layers of one architecture share (activation, batch norm, padding policy, α and
its rounding), so that an architecture's own file can be a plain reading of its table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

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
from mobilenets.architecture.multipliers import ONE_FOR_ONE, PaddingPolicy, Rounding, check_resolution
from mobilenets.architecture.network import Network
from mobilenets.base.arguments import is_integer
from mobilenets.errors import ArchitectureError


@dataclass
class Body:
    """A network being written, layer by layer.

    Every method appends a layer that reads ``source`` (by default the layer before it) and returns its name. An
    ``activation`` that is not given is the body's own; a linear bottleneck's is ``Activation.NONE``. Channel counts
    are given at α = 1; α and the rounding are applied here. A layer that does not follow the body's α has its own
    ``multiplier``: 1 for a fixed width, the expansion factor for a layer whose width follows from what it reads.
    """

    height: int
    width: int
    channels: int = 3
    width_multiplier: float = 1.0
    rounding: Rounding = ONE_FOR_ONE
    padding_policy: PaddingPolicy = PaddingPolicy.SAME
    activation: Activation = Activation.RELU
    batch_norm: BatchNorm | None = field(default_factory=BatchNorm)
    layers: list[Layer] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._shapes = {INPUT: Shape(self.channels, self.height, self.width)}

    @classmethod
    def of_size(
        cls,
        resolution: int | tuple[int, int],
        width_multiplier: float,
        rounding: Rounding,
        padding_policy: PaddingPolicy,
        activation: Activation,
        batch_norm: BatchNorm | None,
    ) -> Body:
        """An empty body for RGB images of a resolution: the side in pixels, or (height, width).

        Raises:
            ArchitectureError: If the resolution is no integer of at least 32.
        """
        height, width = check_resolution(resolution)
        return cls(
            height,
            width,
            width_multiplier=width_multiplier,
            rounding=rounding,
            padding_policy=padding_policy,
            activation=activation,
            batch_norm=batch_norm,
        )

    @property
    def last(self) -> str:
        """Name of the layer appended last."""
        return self.layers[-1].name if self.layers else INPUT

    def shape(self, name: str) -> Shape:
        """Output shape of an appended layer, or of the input."""
        return self._shapes[name]

    def append(self, layer: Layer) -> str:
        """Append any layer."""
        self._shapes[layer.name] = layer.output_shape(tuple(self._shapes[source] for source in layer.inputs))
        self.layers.append(layer)
        return layer.name

    def convolution(
        self,
        name: str,
        channels: int,
        *,
        kernel: int = 3,
        stride: int = 1,
        groups: int = 1,
        padding: Padding | None = None,
        activation: Activation | None = None,
        multiplier: float | None = None,
        source: str | None = None,
    ) -> str:
        """Standard convolution, batch norm, activation; padded by the policy unless told otherwise."""
        source = source or self.last
        return self.append(
            Convolution(
                name,
                (source,),
                kernel=kernel,
                stride=stride,
                padding=self._padding(source, kernel, stride) if padding is None else padding,
                out_channels=self._rounded(channels, multiplier),
                groups=groups,
                activation=self.activation if activation is None else activation,
                batch_norm=self.batch_norm,
                bias=self.batch_norm is None,
            )
        )

    def depthwise(
        self,
        name: str,
        *,
        kernel: int = 3,
        stride: int = 1,
        activation: Activation | None = None,
        source: str | None = None,
    ) -> str:
        """Depthwise convolution, batch norm, activation."""
        source = source or self.last
        return self.append(
            DepthwiseConvolution(
                name,
                (source,),
                kernel=kernel,
                stride=stride,
                padding=self._padding(source, kernel, stride),
                activation=self.activation if activation is None else activation,
                batch_norm=self.batch_norm,
                bias=self.batch_norm is None,
            )
        )

    def pointwise(
        self,
        name: str,
        channels: int,
        *,
        activation: Activation | None = None,
        multiplier: float | None = None,
        normalized: bool = True,
        source: str | None = None,
    ) -> str:
        """1×1 convolution, batch norm (or a bias, where it is not normalized), activation."""
        batch_norm = self.batch_norm if normalized else None
        return self.append(
            PointwiseConvolution(
                name,
                (source or self.last,),
                out_channels=self._rounded(channels, multiplier),
                activation=self.activation if activation is None else activation,
                batch_norm=batch_norm,
                bias=batch_norm is None,
            )
        )

    def depthwise_separable(self, name: str, channels: int, *, stride: int = 1, kernel: int = 3) -> str:
        """The paper's layer: a depthwise convolution that filters, then a pointwise one that combines.

        Source: arXiv:1704.04861, section 3.1 and figure 3 (right).
        """
        self.depthwise(f"{name}.depthwise", kernel=kernel, stride=stride)
        return self.pointwise(f"{name}.pointwise", channels)

    def expand(self, name: str, expansion: float, *, activation: Activation | None = None) -> str:
        """1×1 convolution to ``expansion`` times the channels that it reads, rounded."""
        return self.pointwise(name, self.shape(self.last).channels, multiplier=expansion, activation=activation)

    def squeeze_and_excite(self, name: str, *, ratio: float = 0.25) -> str:
        """Scale every channel by a gate that is computed from the means of all channels.

        Global average pool, 1×1 convolution to ``ratio`` times the channels with ReLU, 1×1 convolution back with
        hard-sigmoid, product. Both convolutions have a bias and no batch norm. The narrow one's width is rounded as
        every width of the body is.

        Source: Howard et al. 2019, arXiv:1905.02244, section 5.3 and figure 4.
        """
        source = self.last
        channels = self.shape(source).channels
        self.append(GlobalAveragePool(f"{name}.pool", (source,)))
        self.pointwise(f"{name}.reduce", channels, multiplier=ratio, activation=Activation.RELU, normalized=False)
        gate = self.append(
            PointwiseConvolution(
                f"{name}.gate", (self.last,), out_channels=channels, activation=Activation.HARD_SIGMOID, bias=True
            )
        )
        return self.append(Multiply(f"{name}.scale", (source, gate)))

    def inverted_residual(
        self,
        name: str,
        channels: int,
        *,
        expansion: float,
        stride: int = 1,
        kernel: int = 3,
        activation: Activation | None = None,
        squeeze_and_excite: bool = False,
    ) -> str:
        """Expand, filter by a depthwise convolution, project without activation; the input is added where it fits.

        Args:
            name: Name of the block: its layers are ``<name>.expand``, ``.depthwise``, ``.project`` and ``.add``.
            channels: Output channels at α = 1.
            expansion: Channels of the depthwise convolution by channels of the input. With 1 nothing is expanded, and
                the block begins with its depthwise convolution.
            stride: Stride of the depthwise convolution.
            kernel: Side of its filters.
            activation: After the first two; the body's own if None.
            squeeze_and_excite: Whether to scale the filtered channels.

        Source: Sandler et al. 2018, arXiv:1801.04381, section 3 and Table 1.
        """
        source = self.last
        if expansion != 1:
            self.expand(f"{name}.expand", expansion, activation=activation)
        self.depthwise(f"{name}.depthwise", kernel=kernel, stride=stride, activation=activation)
        if squeeze_and_excite:
            self.squeeze_and_excite(f"{name}.se")
        return self._project(name, channels, source)

    def universal_inverted_bottleneck(
        self, name: str, channels: int, *, expansion: float, stride: int = 1, start: int = 0, middle: int = 3
    ) -> str:
        """An inverted residual with two depthwise convolutions, either of which may be left out.

        Args:
            name: Name of the block: its layers are ``<name>.start``, ``.expand``, ``.depthwise``, ``.project`` and
                ``.add``.
            channels: Output channels at α = 1.
            expansion: Channels between expansion and projection by channels of the input.
            stride: Stride of the middle depthwise convolution, or of the first where there is no middle one.
            start: Side of the filters before the expansion (which no activation follows); 0 for none.
            middle: Side of the filters between expansion and projection; 0 for none.

        Raises:
            ArchitectureError: If there is a stride and no depthwise convolution to make it.

        Source: Qin et al. 2024, arXiv:2404.10518, section 3.1 and figure 4.
        """
        if stride != 1 and not (start or middle):
            raise ArchitectureError(f"{name} has stride {stride} and no depthwise convolution")
        source = self.last
        if start:
            own = 1 if middle else stride
            self.depthwise(f"{name}.start", kernel=start, stride=own, activation=Activation.NONE)
        self.expand(f"{name}.expand", expansion)
        if middle:
            self.depthwise(f"{name}.depthwise", kernel=middle, stride=stride)
        return self._project(name, channels, source)

    def fused_inverted_bottleneck(
        self, name: str, channels: int, *, expansion: float, stride: int = 1, kernel: int = 3
    ) -> str:
        """An inverted residual whose expansion and depthwise convolution are one standard convolution.

        Args:
            name: Name of the block: its layers are ``<name>.expand``, ``.project`` and ``.add``.
            channels: Output channels at α = 1.
            expansion: Channels between the two convolutions by channels of the input.
            stride: Stride of the first.
            kernel: Side of its filters.

        Source: Gupta and Tan 2019, EfficientNet-EdgeTPU; arXiv:2404.10518, section 3.1 (FusedIB).
        """
        source = self.last
        read = self.shape(source).channels
        self.convolution(f"{name}.expand", read, multiplier=expansion, kernel=kernel, stride=stride)
        return self._project(name, channels, source)

    def _project(self, name: str, channels: int, source: str) -> str:
        """The linear bottleneck at the end of a block, and its shortcut where the shapes are equal."""
        projected = self.pointwise(f"{name}.project", channels, activation=Activation.NONE)
        if self.shape(projected) != self.shape(source):
            return projected
        return self.append(Add(f"{name}.add", (projected, source)))

    def max_pool(
        self, name: str, *, kernel: int, stride: int, padding: Padding | None = None, source: str | None = None
    ) -> str:
        """Max pool; padded by the policy unless told otherwise."""
        source = source or self.last
        chosen = self._padding(source, kernel, stride) if padding is None else padding
        return self.append(MaxPool(name, (source,), kernel=kernel, stride=stride, padding=chosen))

    def concatenate(self, name: str, sources: Sequence[str]) -> str:
        """The maps of several layers, one after the other along the channels."""
        return self.append(Concatenate(name, tuple(sources)))

    def hidden(self, name: str, features: int) -> str:
        """Fully connected layer with a bias and the activation; it counts as channels do, so α thins it."""
        return self.append(
            Linear(
                name,
                (self.last,),
                out_features=self._rounded(features, None),
                activation=self.activation,
            )
        )

    def classifier(self, classes: int) -> str:
        """Global average pool, then one linear layer to the logits.

        Raises:
            ArchitectureError: If the number of classes is no integer above 0.
        """
        self.pool()
        return self.linear_classifier(classes)

    def pool(self) -> str:
        """Global average pool over the last map."""
        return self.append(GlobalAveragePool("pool", (self.last,)))

    def linear_classifier(self, classes: int) -> str:
        """One linear layer from what is pooled to the logits.

        Raises:
            ArchitectureError: If the number of classes is no integer above 0.
        """
        if not (is_integer(classes) and classes >= 1):
            raise ArchitectureError(f"a classifier needs at least one class, not {classes!r}")
        return self.append(Linear("classifier", (self.last,), out_features=classes))

    def network(self, name: str) -> Network:
        """The finished network, whose output is the last layer."""
        return Network(
            name=name,
            height=self.height,
            width=self.width,
            channels=self.channels,
            layers=tuple(self.layers),
            outputs=(self.last,),
            width_multiplier=self.width_multiplier,
            rounding=self.rounding,
            padding_policy=self.padding_policy,
        )

    def _rounded(self, channels: int, multiplier: float | None) -> int:
        return self.rounding.apply(channels, self.width_multiplier if multiplier is None else multiplier)

    def _padding(self, source: str, kernel: int, stride: int) -> Padding:
        shape = self.shape(source)
        return Padding(
            *self.padding_policy.amounts(shape.height, kernel, stride),
            *self.padding_policy.amounts(shape.width, kernel, stride),
        )
