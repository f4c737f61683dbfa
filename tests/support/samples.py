"""Sample networks for the contract tests: one layer of every type, with every activation, inside a network or last.

A new layer type needs a row in :data:`SAMPLES`; a new activation joins by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields

import numpy as np

from mobilenets.architecture.layers import (
    INPUT,
    LAYER_TYPES,
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
)
from mobilenets.architecture.multipliers import Rounding
from mobilenets.architecture.network import Network

TESTED = "tested"
"""Name of the layer that a sample is about."""

Layers = tuple[Layer, ...]

_STEM = PointwiseConvolution("stem", (INPUT,), out_channels=6, batch_norm=BatchNorm())
_OTHER = PointwiseConvolution("other", ("stem",), out_channels=6, batch_norm=BatchNorm(1e-5))


def _convolution(activation: Activation) -> Layers:
    around = Padding(0, 1, 1, 0)
    return (
        Convolution(
            TESTED, ("stem",), 3, 2, around, out_channels=8, groups=2, activation=activation, batch_norm=BatchNorm()
        ),
    )


def _depthwise(activation: Activation) -> Layers:
    around = Padding(1, 1, 1, 0)
    return (DepthwiseConvolution(TESTED, ("stem",), 3, 1, around, activation=activation, batch_norm=BatchNorm()),)


def _pointwise(activation: Activation) -> Layers:
    norm = BatchNorm()
    return (PointwiseConvolution(TESTED, ("stem",), out_channels=9, activation=activation, batch_norm=norm, bias=True),)


def _linear(activation: Activation) -> Layers:
    return (Linear(TESTED, ("stem",), out_features=7, activation=activation),)


def _sum(activation: Activation) -> Layers:
    return _OTHER, Add(TESTED, ("stem", "other"), activation=activation)


def _product(activation: Activation) -> Layers:
    return _OTHER, Multiply(TESTED, ("stem", "other"), activation=activation)


def _channel_product(activation: Activation) -> Layers:
    return (
        _OTHER,
        GlobalAveragePool("squeeze", ("other",)),
        Multiply(TESTED, ("stem", "squeeze"), activation=activation),
    )


SAMPLES: Mapping[str, tuple[Callable[[Activation], Layers], ...]] = {
    "Convolution": (_convolution,),
    "DepthwiseConvolution": (_depthwise,),
    "PointwiseConvolution": (_pointwise,),
    "MaxPool": (lambda _: (MaxPool(TESTED, ("stem",), 3, 2, Padding(1, 0, 0, 1)),),),
    "GlobalAveragePool": (lambda _: (GlobalAveragePool(TESTED, ("stem",)),),),
    "Linear": (_linear,),
    "Add": (_sum,),
    "Multiply": (_product, _channel_product),
    "Concatenate": (lambda _: (_OTHER, Concatenate(TESTED, ("stem", "other"))),),
}
"""By layer type, functions that give the layers of a sample after its stem; the last one is the layer it is about."""


@dataclass(frozen=True)
class Sample:
    """A network about one layer.

    Attributes:
        kind: Name of the layer's type.
        form: Number of the sample among those of the type.
        activation: The layer's activation.
        last: Whether the layer is an output of the network, the second one if it makes a map; if not, a classifier
            reads it.
    """

    kind: str
    form: int
    activation: Activation
    last: bool

    def __str__(self) -> str:
        """The sample as it is named in a test's id."""
        number = f"{self.form + 1}" if self.form else ""
        return f"{self.kind}{number}-{self.activation}-{'last' if self.last else 'inside'}"

    @property
    def network(self) -> Network:
        """The network; its layers have batch norms where their types can."""
        layers: list[Layer] = [_STEM, *SAMPLES[self.kind][self.form](self.activation)]
        shape = Network("sample", 9, 8, tuple(layers), (TESTED,)).shapes[TESTED]
        is_map = shape.height * shape.width > 1
        if self.last and is_map:  # no classifier gives a map first
            layers.append(GlobalAveragePool("pool", ("stem",)))
            layers.append(Linear("classifier", ("pool",), out_features=5))
            outputs: tuple[str, ...] = ("classifier", TESTED)
        elif self.last:
            outputs = (TESTED,)
        else:
            if is_map:
                layers.append(GlobalAveragePool("pool", (TESTED,)))
            layers.append(Linear("classifier", (layers[-1].name,), out_features=5))
            outputs = ("classifier",)
        return Network("sample", 9, 8, tuple(layers), outputs, rounding=Rounding(divisor=1, minimum=1))

    @property
    def rng(self) -> np.random.Generator:
        """Source of randomness, the same for every executor."""
        return np.random.default_rng(list(str(self).encode()))


def samples() -> list[Sample]:
    """Every layer type with every activation that it can have, inside a network and as its output."""
    return [
        Sample(kind, form, activation, last)
        for kind, layer_type in LAYER_TYPES.items()
        for form in range(len(SAMPLES[kind]))
        for activation in (Activation if has_activation(layer_type) else (Activation.NONE,))
        for last in (False, True)
    ]


def has_activation(layer_type: type[Layer]) -> bool:
    """Whether layers of a type may have an activation."""
    return "activation" in {field.name for field in fields(layer_type)}
