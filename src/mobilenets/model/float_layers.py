"""Layers of a float Model over the maps of a batch, in float32."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from mobilenets.architecture.layers import (
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
from mobilenets.errors import ModelError
from mobilenets.model.activations import activate
from mobilenets.model.folding import factor_and_shift
from mobilenets.model.map_sums import LayerResult, Map, float_weighted_sum, max_pool


def float_layer(layer: Layer, sources: Sequence[Map], parameters: Mapping[str, Map]) -> Map:
    """One layer of a float Model, in float32.

    Args:
        layer: The layer.
        sources: What it reads.
        parameters: Tensors of the Model.
    """
    return float_result(layer, sources, parameters).value


def float_result(layer: Layer, sources: Sequence[Map], parameters: Mapping[str, Map]) -> LayerResult:
    """What :func:`float_layer` computes, with what an activation function that is no clamp reads."""
    values = _float_sum(layer, sources, parameters)
    if layer.activation.is_clamp:
        return LayerResult(layer.name, activate(values, layer.activation, overwrite=True))
    return LayerResult(layer.name, activate(values, layer.activation), values)


def _float_sum(layer: Layer, sources: Sequence[Map], parameters: Mapping[str, Map]) -> Map:
    """What the layer's activation function reads: an array that nobody else holds."""
    result: Map
    match layer:
        case Convolution() | DepthwiseConvolution() | PointwiseConvolution() | Linear():
            result = float_weighted_sum(layer, sources[0], parameters[f"{layer.name}.weight"])
            if layer.bias:
                result += parameters[f"{layer.name}.bias"]
            batch_norm(layer, result, parameters)
            return result
        case MaxPool():
            return max_pool(layer, sources[0], -np.inf)
        case GlobalAveragePool():
            result = sources[0].mean(axis=(0, 1), keepdims=True, dtype=np.float32)
            return result
        case Add():
            result = sum(sources[2:], start=sources[0] + sources[1])
            return result
        case Multiply():
            result = sources[0] * sources[1]
            return result
        case Concatenate():
            return np.concatenate(sources, axis=3)
        case _:
            raise ModelError(f"{layer.name} is of a kind that cannot be run: {type(layer).__name__}")


def batch_norm(layer: Layer, values: Map, parameters: Mapping[str, Map]) -> None:
    """Apply a layer's batch norm, if it has one, with its running statistics; the values given are overwritten."""
    if layer.batch_norm is None:
        return
    factor, shift = factor_and_shift(layer, parameters)
    values *= factor.astype(np.float32)
    values += shift.astype(np.float32)
