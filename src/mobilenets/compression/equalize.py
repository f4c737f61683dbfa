"""Cross-layer equalization: every channel uses the levels that all channels of a tensor share.

A positive factor on one channel of a layer and its inverse on the layers that read it change nothing in exact numbers,
since max(0, g·x) = g·max(0, x). In 8 bits they change much: a channel that only reaches 0.1 where its neighbours reach
6 gets four levels of 256, and all of them after a factor of 60.

ReLU6 breaks the identity, for the clip stays at 6 while the channel grows. So no channel is scaled by more than 6
divided by its largest observed value: its clip then acts above all observed values, and a channel that does reach 6
keeps its scale.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeVar, assert_never

import numpy as np
import numpy.typing as npt

from mobilenets.architecture.layers import (
    Activation,
    Add,
    Concatenate,
    Convolution,
    DepthwiseConvolution,
    GlobalAveragePool,
    Layer,
    Linear,
    MaxPool,
    Multiply,
    PointwiseConvolution,
)
from mobilenets.architecture.network import Network
from mobilenets.compression.observation import ChannelRange
from mobilenets.errors import CompressionError
from mobilenets.model.folding import along, refuse_int8, shift_sums
from mobilenets.model.model import Model, Tensor

Vector = npt.NDArray[np.float64]
SomeRange = TypeVar("SomeRange", bound=ChannelRange)

LARGEST_GAIN = 64.0
"""Largest factor: a channel that is hardly ever active must not dominate its tensor when it is."""
_MIXING_SHARE = 0.5
"""Exponent of a gain that readers undo in the columns of one shared row: between even activations and even weights."""
_RELU6_TOP = 6.0


@dataclass(frozen=True)
class Link:
    """A layer whose channels may be scaled, and the layers that undo it.

    Attributes:
        producer: The layer.
        between: Pools that pass its channels on.
        readers: Layers with weights that undo the factor.
    """

    producer: Layer
    between: tuple[Layer, ...]
    readers: tuple[Layer, ...]


def links(network: Network) -> list[Link]:
    """Every layer with weights and a positively homogeneous activation whose result only layers with weights read.

    They read it directly or through pools.
    """
    found = []
    for layer in network.layers:
        if not layer.has_weight or layer.name in network.outputs or not is_homogeneous(layer.activation):
            continue
        between: list[Layer] = []
        readers: list[Layer] = []
        if _collect(network, layer, between, readers) and readers:
            found.append(Link(layer, tuple(between), tuple(readers)))
    return found


def is_homogeneous(activation: Activation) -> bool:
    """Whether ``f(g·x) = g·f(x)`` for positive g, so that a channel may be scaled before its activation.

    ReLU6 counts, as long as a channel is not scaled beyond its clip.

    >>> [str(activation) for activation in Activation if is_homogeneous(activation)]
    ['none', 'relu', 'relu6']
    """
    match activation:
        case Activation.NONE | Activation.RELU | Activation.RELU6:
            return True
        case Activation.HARD_SIGMOID | Activation.HARD_SWISH:
            return False
        case _:
            assert_never(activation)


def _collect(network: Network, layer: Layer, between: list[Layer], readers: list[Layer]) -> bool:
    """Find the readers of a layer, and the pools before them; False if something else reads it."""
    for name in network.consumers[layer.name]:
        reader = network[name]
        match reader:
            case Convolution() | DepthwiseConvolution() | PointwiseConvolution() | Linear():
                readers.append(reader)
            case MaxPool() | GlobalAveragePool():
                between.append(reader)
                if name in network.outputs or not _collect(network, reader, between, readers):
                    return False
            case Add() | Concatenate() | Multiply():
                return False
            case _:
                raise CompressionError(f"{name} is of a kind that cannot be equalized: {type(reader).__name__}")
    return True


def equalize(model: Model, seen: Mapping[str, ChannelRange]) -> tuple[Model, dict[str, Vector]]:
    """Scale channels so that each uses its tensor's range.

    Args:
        model: float32, folded or not (a batch norm takes the factor in its γ and β).
        seen: Of this Model, from :func:`mobilenets.compression.observation.observe`, or what its batch norms say.

    Returns:
        The equalized Model, and the factor of each channel by name of the layer.

    Source: after Nagel et al. 2019, arXiv:1906.04721, section 4.1, with the ranges of activations in the place of
    those of weights: per-channel weight scales have settled the latter.
    """
    refuse_int8(model)
    parameters = dict(model.parameters)
    gains: dict[str, Vector] = {}
    for link in links(model.network):
        gain = _gain(link, seen[link.producer.name])
        gains[link.producer.name] = gain
        _scale_outputs(link.producer, gain, parameters)
        for reader in link.readers:
            _scale_inputs(reader, 1 / gain, parameters)
    return model.with_parameters(parameters), gains


def _gain(link: Link, seen: ChannelRange) -> Vector:
    extent = np.maximum(np.abs(seen.high), np.abs(seen.low))
    top = float(extent.max())
    gain = np.ones_like(extent)
    alive = extent > 0
    gain[alive] = np.minimum(top / extent[alive], LARGEST_GAIN)
    if not all(isinstance(reader, DepthwiseConvolution) for reader in link.readers):
        gain **= _MIXING_SHARE
    return gain


def absorb(model: Model, seen: Mapping[str, SomeRange]) -> tuple[Model, dict[str, SomeRange], int]:
    """Absorb high biases: move what a channel never falls below into the biases of the layers that read it.

    The channel's range shrinks to what varies. It applies to readers without padding, and to channels that never reach
    ReLU6's clip.

    Args:
        model: float32, folded or not; layers without batch norm have a bias.
        seen: Of this Model.

    Returns:
        The Model; what was seen with the channels' ends lowered (the histograms are left as they were); and the number
        of channels.

    Source: Nagel et al. 2019, arXiv:1906.04721, section 4.1.3, with the lowest value seen for β − 3γ.
    """
    parameters = dict(model.parameters)
    lowered_seen = dict(seen)
    lowered = 0
    for link in links(model.network):
        if any(isinstance(layer, MaxPool) for layer in link.between) or not all(
            isinstance(reader, PointwiseConvolution | Linear) for reader in link.readers
        ):
            continue
        observation = seen[link.producer.name]
        floor = np.maximum(observation.low, 0.0)
        if link.producer.activation is Activation.RELU6:
            floor[observation.high >= _RELU6_TOP] = 0.0
        if not floor.any():
            continue
        lowered += int(np.count_nonzero(floor))
        for layer in (link.producer, *link.between):
            before = seen[layer.name]
            lowered_seen[layer.name] = replace(before, low=before.low - floor, high=before.high - floor)
        _lower_outputs(link.producer, floor, parameters)
        for reader in link.readers:
            weight = parameters[f"{reader.name}.weight"].astype(np.float64)
            per_channel = weight.reshape(len(weight), len(floor), -1).sum(axis=2)
            shift_sums(reader, per_channel @ floor, parameters)
    return model.with_parameters(parameters), lowered_seen, lowered


def _lower_outputs(layer: Layer, amount: Vector, parameters: dict[str, Tensor]) -> None:
    name = f"{layer.name}.bias" if layer.batch_norm is None else layer.batch_norm_names[1]
    parameters[name] = (parameters[name] - amount).astype(np.float32)


def _scale_outputs(layer: Layer, gain: Vector, parameters: dict[str, Tensor]) -> None:
    if layer.batch_norm is not None:
        names = layer.batch_norm_names[:2]
    else:
        names = (f"{layer.name}.weight", f"{layer.name}.bias")[: 2 if layer.bias else 1]
    for name in names:
        tensor = parameters[name]
        parameters[name] = (tensor * along(gain, tensor, axis=0)).astype(np.float32)


def _scale_inputs(layer: Layer, factor: Vector, parameters: dict[str, Tensor]) -> None:
    weight = parameters[f"{layer.name}.weight"]
    match layer:
        case DepthwiseConvolution():
            scaled = weight * along(factor, weight, axis=0)
        case Linear():
            scaled = weight * np.repeat(factor, weight.shape[1] // len(factor))
        case PointwiseConvolution():
            scaled = weight * along(factor, weight, axis=1)
        case Convolution():
            group_of = np.repeat(np.arange(layer.groups), len(weight) // layer.groups)
            scaled = weight * factor.reshape(layer.groups, -1)[group_of][:, :, None, None]
        case _:
            raise CompressionError(f"{layer.name} ({layer.kind}) has no weights that could be scaled")
    parameters[f"{layer.name}.weight"] = scaled.astype(np.float32)
