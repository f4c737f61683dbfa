"""Channels in the order of their importance, so that the first of them make the best narrower network.

Published networks are trained at one width, and their channels stand in no order. Sorted, the network computes the same
function, and :func:`~mobilenets.model.subnet.cut_subnet` keeps the channels that matter most.

Source of the criterion: the sum of the magnitudes of the weights that read a channel, as in Cai et al. 2020,
arXiv:1908.09791, times the scale that its batch norm gives it, as in Liu et al. 2017, arXiv:1708.06519.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mobilenets.architecture.layers import (
    INPUT,
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
from mobilenets.errors import ModelError
from mobilenets.model.model import Model

Order = npt.NDArray[np.int64]


def with_sorted_channels(model: Model) -> Model:
    """The same function with the channels of every layer in the order of their importance, the most important first.

    Channels that are added or multiplied are in one order. Those of the input and of the outputs stay as they are.

    Args:
        model: A float32 Model.

    Raises:
        ModelError: If the Model is int8, or its network has concatenations or groups, whose channels have no order of
            their own.
    """
    if model.quantization is not None:
        raise ModelError("channels are sorted by float32 weights; the Model is int8")
    network = model.network
    groups = channel_groups(network)
    orders = {members: _order(model, members) for members in set(groups.values())}

    def order_of(name: str) -> Order:
        return orders[groups[name]]

    parameters: dict[str, Any] = dict(model.parameters)
    for layer in network.layers:
        if not layer.has_weight:
            continue
        own = order_of(layer.name)
        names = [name for name in parameters if name.startswith(f"{layer.name}.")]
        for name in names:
            parameters[name] = np.ascontiguousarray(parameters[name][own])
        if not isinstance(layer, DepthwiseConvolution):
            weight = parameters[f"{layer.name}.weight"]
            read = _flattened(order_of(layer.inputs[0]), weight.shape[1])
            parameters[f"{layer.name}.weight"] = np.ascontiguousarray(weight[:, read])
    return model.with_parameters(parameters)


def channel_groups(network: Network) -> dict[str, frozenset[str]]:
    """For each map of a network, the maps whose channels are its own: those that are filtered, pooled, summed of it.

    Raises:
        ModelError: If the network has concatenations or groups.
    """
    group: dict[str, set[str]] = {INPUT: {INPUT}}
    for layer in network.layers:
        group[layer.name] = {layer.name}
        match layer:
            case DepthwiseConvolution() | MaxPool() | GlobalAveragePool() | Add() | Multiply():
                together = set().union(group[layer.name], *(group[source] for source in layer.inputs))
                for name in together:
                    group[name] = together
            case Convolution() if layer.groups > 1:
                raise ModelError(f"{layer.name} has {layer.groups} groups, whose channels have no order of their own")
            case Concatenate():
                raise ModelError(f"{layer.name} joins maps, whose channels have no order of their own")
            case Convolution() | PointwiseConvolution() | Linear():
                pass
            case _:
                raise ModelError(f"it is not known how channels of {layer.name} ({layer.kind}) are sorted")
    return {name: frozenset(members) for name, members in group.items()}


def channel_importance(model: Model, members: frozenset[str]) -> npt.NDArray[np.float64]:
    """Importance of the channels that some maps have in common: a positive number for each.

    Args:
        model: A float32 Model.
        members: Names of the maps, one of the values of :func:`channel_groups`.
    """
    network = model.network
    channels = network.shapes[next(iter(members))].channels
    found = np.zeros(channels)
    for name in members:
        for reader in network.consumers[name]:
            layer = network[reader]
            if layer.has_weight and not isinstance(layer, DepthwiseConvolution):
                weight = np.abs(model.parameters[f"{reader}.weight"]).astype(np.float64)
                read = weight.reshape(weight.shape[0], channels, -1).sum(axis=(0, 2))
                found += read * _scale(model, name)
    return found


def _order(model: Model, members: frozenset[str]) -> Order:
    channels = model.network.shapes[next(iter(members))].channels
    if members & {INPUT, *model.network.outputs}:
        return np.arange(channels)
    return np.argsort(-channel_importance(model, members), kind="stable")


def _scale(model: Model, name: str) -> npt.NDArray[np.float64]:
    """About how large the values of each channel of a map are."""
    layer = None if name == INPUT else model.network[name]
    match layer:
        case Layer() if layer.batch_norm is not None:
            factor, offset, *_ = (model.parameters[one] for one in layer.batch_norm_names)
            return np.asarray(np.abs(factor) + np.abs(offset), np.float64)
        case Add():
            return sum((_scale(model, source) for source in layer.inputs), start=np.zeros(1))
        case MaxPool() | GlobalAveragePool() | Multiply():
            return _scale(model, layer.inputs[0])
        case _:
            return np.ones(model.network.shapes[name].channels)


def _flattened(order: Order, inputs: int) -> Order:
    """The order of the values of a map that a layer reads, (channel, row, column), by that of its channels."""
    values = inputs // len(order)
    return (order[:, None] * values + np.arange(values)).reshape(-1)
