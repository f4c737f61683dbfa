"""From a Model to the native runner: batch norm and normalisation folded, scales turned into multipliers.

This is the half of planning that knows what a Network is. The native half (native/plan.h) knows kernels, tiles,
threads and memory.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from mobilenets.architecture.layers import (
    INPUT,
    Activation,
    Add,
    Concatenate,
    Convolution,
    DepthwiseConvolution,
    GlobalAveragePool,
    Layer,
    Linear,
    MaxPool,
    Padding,
    PointwiseConvolution,
)
from mobilenets.base.records import record
from mobilenets.errors import EngineError
from mobilenets.model.model import Model
from mobilenets.model.quantization import Quantization, TensorQuantization
from mobilenets.native import _native

Array = npt.NDArray[Any]

# The order of LayerKind in native/plan.h.
_KINDS: dict[type[Layer], int] = {
    Convolution: 0,
    DepthwiseConvolution: 1,
    PointwiseConvolution: 2,
    Linear: 3,
    MaxPool: 4,
    GlobalAveragePool: 5,
    Add: 6,
    Concatenate: 7,
}
_LIMITS = {
    Activation.NONE: (-math.inf, math.inf),
    Activation.RELU: (0.0, math.inf),
    Activation.RELU6: (0.0, 6.0),
}
_LARGEST_PRODUCT = 2.0**30
"""Optimised kernels turn products below this into integers; others go to the portable ones, which clamp first."""


@record(frozen=True)
class _Numbers:
    """Parameters of one layer, as native/plan.h wants them."""

    weight: Array | None = None
    bias: Array | None = None
    multiplier: Array | None = None
    weight_zero_point: Array | None = None
    bounded: bool = True


def lower(
    model: Model,
    *,
    instruction_set: str,
    threads: int,
    processors: int,
    guarded: bool = False,
    tile_bytes: int = 0,
    whole_map_bytes: int = 0,
) -> _native.Runner:
    """Plan a Model for one instruction set and number of threads.

    Args:
        model: float32 or int8.
        instruction_set: One that this processor has.
        threads: Most threads of one run.
        processors: Most threads of all Sessions of this process together.
        guarded: Keep all activations apart, so that tests can watch what lies between.
        tile_bytes: Size of the tiles that fused layers hand each other; 0 leaves it to the plan.
        whole_map_bytes: Size of a map above which it is never made whole where that can be avoided; 0 likewise.

    Raises:
        EngineError: If the engine cannot take the Model.
    """
    network = model.network
    mean, std = model.preprocessing.mean, model.preprocessing.std
    if network.channels != 3:  # a network of other channels takes bytes as they are, scaled to 0 to 1
        mean, std = (0.0,) * network.channels, (1.0,) * network.channels  # type: ignore[assignment]
    try:
        writer = _native.PlanWriter(
            instruction_set,
            model.quantization is not None,
            threads,
            (network.channels, network.height, network.width),
            (255 * np.asarray(mean, np.float64)).astype(np.float32),
            (1 / (255 * np.asarray(std, np.float64))).astype(np.float32),
            guarded,
            tile_bytes,
            whole_map_bytes,
        )
        maps = {INPUT: 0}
        for layer in network.layers:
            maps[layer.name] = _add(writer, model, layer, [maps[name] for name in layer.inputs])
        outputs = [(maps[name], *_output_scale(model.quantization, name)) for name in network.outputs]
        return writer.finish(outputs, processors)
    except (ValueError, MemoryError) as error:
        raise EngineError(f"{network.name} cannot be planned: {error or 'not enough memory'}") from None


def _output_scale(quantization: Quantization | None, name: str) -> tuple[float, int]:
    held = quantization.activations.get(name) if quantization else None
    return (held.scale, held.zero_point) if held else (1.0, 0)


def _add(writer: _native.PlanWriter, model: Model, layer: Layer, inputs: list[int]) -> int:
    quantization = model.quantization
    activation = layer.activation
    low_real, high_real = _LIMITS[activation]
    padding = getattr(layer, "padding", Padding())
    target = quantization.activations.get(layer.name) if quantization else None
    source = quantization.activations[layer.inputs[0]] if quantization else None
    low, high = target.clamp(activation) if target else (0, 255)
    numbers = _float_numbers(model, layer) if quantization is None else _integer_numbers(model, quantization, layer)
    return writer.add(
        _KINDS[type(layer)],
        layer.name,
        inputs,
        (getattr(layer, "kernel", 1), getattr(layer, "stride", 1), *padding, getattr(layer, "groups", 1)),
        _out_channels(layer),
        quantization is not None and target is None,
        numbers.bounded,
        (source.zero_point if source else 0, target.zero_point if target else 0, low, high),
        low_real,
        high_real,
        numbers.weight,
        numbers.bias,
        numbers.multiplier,
        numbers.weight_zero_point,
    )


def _out_channels(layer: Layer) -> int:
    return layer.out_features if isinstance(layer, Linear) else getattr(layer, "out_channels", 0)


def _in_row_order(model: Model, layer: Layer, weight: Array) -> Array:
    """Linear weights over a map, from (channel, row, column) to the engine's (row, column, channel)."""
    if isinstance(layer, Linear):
        shape = model.network.shapes[layer.inputs[0]]
        if shape.height * shape.width > 1 and shape.channels > 1:
            weight = weight.reshape(-1, *shape).transpose(0, 2, 3, 1).reshape(len(weight), -1)
    return np.ascontiguousarray(weight)


# float32 --------------------------------------------------------------------------------------------------------------


def _float_numbers(model: Model, layer: Layer) -> _Numbers:
    if isinstance(layer, GlobalAveragePool):
        shape = model.network.shapes[layer.inputs[0]]
        return _Numbers(multiplier=np.array([1 / (shape.height * shape.width)], np.float32))
    if not layer.has_weight:
        return _Numbers()
    weight = model.parameters[f"{layer.name}.weight"]
    bias = np.zeros(len(weight), np.float64)
    if layer.bias:
        bias += model.parameters[f"{layer.name}.bias"]
    norm = layer.batch_norm
    if norm is not None:
        gamma, beta, mean, variance = (
            model.parameters[f"{layer.name}.batch_norm.{statistic}"].astype(np.float64)
            for statistic in ("weight", "bias", "running_mean", "running_var")
        )
        factor = gamma / np.sqrt(variance + norm.epsilon)
        bias = (bias - mean) * factor + beta
        weight = weight * factor.astype(np.float32).reshape(-1, *[1] * (weight.ndim - 1))
    return _Numbers(_in_row_order(model, layer, weight), bias.astype(np.float32))


# int8 -----------------------------------------------------------------------------------------------------------------


def _integer_numbers(model: Model, quantization: Quantization, layer: Layer) -> _Numbers:
    sources = [quantization.activations[name] for name in layer.inputs]
    target = quantization.activations.get(layer.name)
    if isinstance(layer, MaxPool):
        return _Numbers()
    if isinstance(layer, Add | Concatenate):
        if target is None:
            raise EngineError(f"{layer.name} has no scale")
        ratios = [np.float64(source.scale) / np.float64(target.scale) for source in sources]
        return _Numbers(
            bias=np.array([source.zero_point for source in sources], np.int32),
            multiplier=np.array(ratios, np.float32),
            bounded=bool(sum(ratios) * 255 < _LARGEST_PRODUCT),
        )
    if isinstance(layer, GlobalAveragePool):
        return _average_numbers(model, layer, sources[0], target)
    return _weighted_numbers(model, layer, sources[0], target)


def _average_numbers(
    model: Model, layer: Layer, source: TensorQuantization, target: TensorQuantization | None
) -> _Numbers:
    shape = model.network.shapes[layer.inputs[0]]
    pixels = shape.height * shape.width
    scale = np.array([source.scale / pixels])
    multiplier = (scale / target.scale if target else scale).astype(np.float32)
    return _Numbers(
        bias=np.array([-source.zero_point * pixels], np.int64).astype(np.int32),
        multiplier=multiplier,
        bounded=bool(255 * pixels < 2**31 and 255 * pixels * multiplier[0] < _LARGEST_PRODUCT),
    )


def _weighted_numbers(
    model: Model, layer: Layer, source: TensorQuantization, target: TensorQuantization | None
) -> _Numbers:
    weight = model.parameters[f"{layer.name}.weight"]
    bias = model.parameters[f"{layer.name}.bias"]
    zero_point = model.parameters.get(f"{layer.name}.weight_zero_point")
    if zero_point is not None and not zero_point.any():
        zero_point = None
    taps = weight.size // len(weight)
    if source.zero_point:
        sums = weight.reshape(len(weight), -1).sum(axis=1, dtype=np.int64)
        if zero_point is not None:
            sums -= taps * zero_point.astype(np.int64)
        folded = bias.astype(np.int64) - source.zero_point * sums
    else:
        folded = bias.astype(np.int64)
    scale = source.scale * model.parameters[f"{layer.name}.weight_scale"].astype(np.float64)
    multiplier = (scale if target is None else scale / target.scale).astype(np.float32)
    largest = float(np.abs(folded).max()) + 255.0 * (128 if zero_point is None else 255) * taps
    return _Numbers(
        _in_row_order(model, layer, weight),
        folded.astype(np.int32),
        multiplier,
        zero_point,
        bounded=largest < 2**31 and (target is None or largest * float(multiplier.max()) < _LARGEST_PRODUCT),
    )
