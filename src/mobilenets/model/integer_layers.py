"""Layers of an int8 Model over the maps of a batch, equal to :mod:`mobilenets.model.reference` byte for byte.

Sums are float32 matrix products wherever no sum can reach 2²⁴, and float64 elsewhere: every intermediate result is an
integer that the type holds exactly, in any order of summation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

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
from mobilenets.errors import ModelError
from mobilenets.model.activations import activate
from mobilenets.model.fused import multiply_add
from mobilenets.model.map_sums import LayerResult, Map, float_weighted_sum, max_pool
from mobilenets.model.model import Model
from mobilenets.model.quantization import (
    TensorQuantization,
    activation_table,
    average_multiplier,
    product_multiplier,
    requantization_multiplier,
    rescaling_table,
    sum_multipliers,
)

_EXACT_FLOAT32 = 1 << 24


@dataclass(frozen=True)
class Arithmetic:
    """The numbers of one integer layer.

    Attributes:
        sources: Scale and zero point of each input.
        target: Of the output; None where it is real.
        pre_activation: Of what the activation function reads, where it is no clamp and the output is not real.
        weight: int8 less its zero point, or None for layers without weights.
        weight_scale: float32, one per output channel, or None.
        bias: int32, or None.
    """

    sources: tuple[TensorQuantization, ...]
    target: TensorQuantization | None
    weight: Map | None = None
    weight_scale: Map | None = None
    bias: Map | None = None
    pre_activation: TensorQuantization | None = None


def arithmetic(model: Model, layer: Layer) -> Arithmetic:
    """The numbers of one layer of an int8 Model.

    Raises:
        ModelError: If the Model is a float one.
    """
    if model.quantization is None:
        raise ModelError(f"{layer.name}: a float32 Model has no integer arithmetic")
    scales = model.quantization.activations
    sources = tuple(scales[name] for name in layer.inputs)
    target = scales.get(layer.name)
    pre_activation = model.quantization.pre_activations.get(layer.name)
    if not layer.has_weight:
        return Arithmetic(sources, target, pre_activation=pre_activation)
    weight = model.parameters[f"{layer.name}.weight"]
    zero_point = model.parameters.get(f"{layer.name}.weight_zero_point")
    if zero_point is not None:
        weight = weight.astype(np.int16) - zero_point.astype(np.int16).reshape(-1, *[1] * (weight.ndim - 1))
    scale, bias = (model.parameters[f"{layer.name}.{kind}"] for kind in ("weight_scale", "bias"))
    return Arithmetic(sources, target, weight, scale, bias, pre_activation)


def integer_layer(layer: Layer, sources: Sequence[Map], numbers: Arithmetic) -> Map:
    """One layer of an int8 Model: uint8 maps in, uint8 (float32 where the output is real) out.

    Raises:
        ModelError: If the layer is of a kind that cannot be run.
    """
    return integer_result(layer, sources, numbers).value


def integer_result(layer: Layer, sources: Sequence[Map], numbers: Arithmetic) -> LayerResult:
    """What :func:`integer_layer` computes, with what an activation function that is no clamp reads."""
    before, target = numbers.pre_activation, numbers.target
    if before is None or target is None:
        return LayerResult(layer.name, _clamped(layer, sources, numbers, target, layer.activation))
    steps = _clamped(layer, sources, numbers, before, Activation.NONE)
    return LayerResult(layer.name, activation_table(layer.activation, before, target)[steps], steps)


def _clamped(
    layer: Layer,
    sources: Sequence[Map],
    numbers: Arithmetic,
    target: TensorQuantization | None,
    activation: Activation,
) -> Map:
    source = numbers.sources[0]
    target_scale = None if target is None else target.scale
    match layer:
        case MaxPool():
            return max_pool(layer, sources[0], 0)
        case Add() | Concatenate() | Multiply():
            if target is None:
                raise ModelError(f"{layer.name} has no scale")
            return _combine(layer, sources, numbers.sources, target, activation)
        case GlobalAveragePool():
            height, width = sources[0].shape[:2]
            sums = sources[0].sum(axis=(0, 1), keepdims=True, dtype=np.int64) - height * width * source.zero_point
            multiplier = average_multiplier(source.scale, height * width, target_scale)
        case Convolution() | DepthwiseConvolution() | PointwiseConvolution() | Linear():
            if numbers.weight is None or numbers.weight_scale is None or numbers.bias is None:
                raise ModelError(f"{layer.name} ({layer.kind}) lacks its weights")
            sums = _integer_sums(layer, sources[0], numbers.weight, numbers.bias, source.zero_point)
            multiplier = requantization_multiplier(source.scale, numbers.weight_scale, target_scale)
        case _:
            raise ModelError(f"{layer.name} is of a kind that cannot be run: {type(layer).__name__}")
    return _requantize(sums, multiplier, target, activation)


def _integer_sums(layer: Layer, values: Map, weight: Map, bias: Map, zero_point: int) -> Map:
    """Exact sums: float32 or float64 holding integers, or int32 where they may wrap as the reference's do."""
    magnitude = np.abs(weight.reshape(len(weight), -1)).sum(axis=1, dtype=np.int64) * max(zero_point, 255 - zero_point)
    largest = int((magnitude + np.abs(bias.astype(np.int64))).max())
    dtype = np.float32 if largest < _EXACT_FLOAT32 else np.float64
    centred: Map = values.astype(dtype)
    if zero_point:
        centred -= dtype(zero_point)
    sums = float_weighted_sum(layer, centred, weight)
    sums += bias.astype(dtype)
    return sums if largest < 1 << 31 else sums.astype(np.int64).astype(np.int32)


def _requantize(sums: Map, multiplier: Map, target: TensorQuantization | None, activation: Activation) -> Map:
    real = sums.astype(np.float32, copy=False) * multiplier
    if target is None:
        return activate(real, activation, overwrite=True)
    return _to_bytes(real, target, activation)


def _combine(
    layer: Add | Concatenate | Multiply,
    maps: Sequence[Map],
    sources: Sequence[TensorQuantization],
    target: TensorQuantization,
    activation: Activation,
) -> Map:
    match layer:
        case Add() if len(maps) == 2:
            index = maps[0].astype(np.uint16)
            index <<= 8
            index |= maps[1]
            return pair_table(sources, target, *target.clamp(activation))[index]
        case Add():
            terms = [_dequantized(values, source) for values, source in zip(maps, sources, strict=True)]
            for term in terms[1:]:
                terms[0] += term
            terms[0] /= np.float32(target.scale)
            return _to_bytes(terms[0], target, activation)
        case Concatenate():
            parts = [
                part if source == target else rescaling_table(source, target)[part]
                for part, source in zip(maps, sources, strict=True)
            ]
            return np.concatenate(parts, axis=3)
        case Multiply():
            product, other = (
                values.astype(np.float32) - np.float32(source.zero_point)
                for values, source in zip(maps, sources, strict=True)
            )
            product *= other  # below 2¹⁶, so exact
            product *= product_multiplier(sources[0].scale, sources[1].scale, target.scale)
            product += np.float32(target.zero_point)  # before rounding, as ONNX Runtime does
            return _clamped_to_bytes(np.rint(product, out=product), target, activation)
        case _:
            assert_never(layer)


def pair_table(
    sources: Sequence[TensorQuantization], target: TensorQuantization, low: int, high: int
) -> npt.NDArray[np.uint8]:
    """What Add makes of every pair of bytes: uint8 (65,536,), by ``256 · first + second``.

    Args:
        sources: Scale and zero point of both inputs.
        target: Scale and zero point of the sum.
        low: Lowest byte of the sum.
        high: Highest byte of the sum.
    """
    of_first, of_second, constant = sum_multipliers(sources, target)
    every = np.arange(256, dtype=np.float32)
    inner = multiply_add(every, of_second, constant)
    total = np.rint(multiply_add(every[:, None], of_first, inner))
    table: npt.NDArray[np.uint8] = np.clip(total, low, high).astype(np.uint8).reshape(-1)
    return table


def _dequantized(values: Map, source: TensorQuantization) -> Map:
    real: Map = values.astype(np.float32)
    real -= np.float32(source.zero_point)
    real *= np.float32(source.scale)
    return real


def _to_bytes(values: Map, target: TensorQuantization, activation: Activation) -> Map:
    """Round to the nearest even, move to the zero point, clamp. Writes over its argument."""
    np.rint(values, out=values)
    values += np.float32(target.zero_point)
    return _clamped_to_bytes(values, target, activation)


def _clamped_to_bytes(values: Map, target: TensorQuantization, activation: Activation) -> Map:
    np.clip(values, *map(np.float32, target.clamp(activation)), out=values)
    return values.astype(np.uint8)
