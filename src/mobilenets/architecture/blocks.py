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
    BatchNorm,
    Concatenate,
    Convolution,
    DepthwiseConvolution,
    GlobalAveragePool,
    Layer,
    Linear,
    MaxPool,
    Padding,
    PointwiseConvolution,
    Shape,
)
from mobilenets.architecture.multipliers import ONE_FOR_ONE, PaddingPolicy, Rounding
from mobilenets.architecture.network import Network


@dataclass
class Body:
    """A network being written, layer by layer.

    Every method appends a layer that reads ``source`` (by default the layer before it) and returns its name. An
    ``activation`` that is not given is the body's own; a linear bottleneck's is ``Activation.NONE``. Channel counts
    are given at α = 1; α and the rounding are applied here.
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
                out_channels=self.rounding.apply(channels, self.width_multiplier),
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
        self, name: str, channels: int, *, activation: Activation | None = None, source: str | None = None
    ) -> str:
        """1×1 convolution, batch norm, activation."""
        return self.append(
            PointwiseConvolution(
                name,
                (source or self.last,),
                out_channels=self.rounding.apply(channels, self.width_multiplier),
                activation=self.activation if activation is None else activation,
                batch_norm=self.batch_norm,
                bias=self.batch_norm is None,
            )
        )

    def depthwise_separable(self, name: str, channels: int, *, stride: int = 1, kernel: int = 3) -> str:
        """The paper's layer: a depthwise convolution that filters, then a pointwise one that combines.

        Source: arXiv:1704.04861, section 3.1 and figure 3 (right).
        """
        self.depthwise(f"{name}.depthwise", kernel=kernel, stride=stride)
        return self.pointwise(f"{name}.pointwise", channels)

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
                out_features=self.rounding.apply(features, self.width_multiplier),
                activation=self.activation,
            )
        )

    def classifier(self, classes: int) -> str:
        """Global average pool, then one linear layer to the logits."""
        self.append(GlobalAveragePool("pool", (self.last,)))
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

    def _padding(self, source: str, kernel: int, stride: int) -> Padding:
        shape = self.shape(source)
        return Padding(
            *self.padding_policy.amounts(shape.height, kernel, stride),
            *self.padding_policy.amounts(shape.width, kernel, stride),
        )
