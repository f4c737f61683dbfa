"""From a Model to the native runner: batch norm and normalization folded, scales turned into multipliers.

This is the half of planning that knows what a Network is. The native half (native/plan/plan.h) knows kernels, tiles,
threads and memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, assert_never

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
    Multiply,
    PointwiseConvolution,
    Windowed,
)
from mobilenets.errors import EngineError
from mobilenets.model.folding import factor_and_shift
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import normalization
from mobilenets.model.quantization import (
    Quantization,
    TensorQuantization,
    activation_table,
    average_multiplier,
    product_multiplier,
    requantization_multiplier,
    rescaling_table,
    sum_multipliers,
)
from mobilenets.native import _native

Array = npt.NDArray[Any]

_LARGEST_PRODUCT = 2.0**30
"""Optimized kernels turn products below this into integers; others go to the portable ones, which clamp first."""


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
    offset, scale = input_numbers(model)
    try:
        writer = _native.PlanWriter(
            instruction_set=instruction_set,
            channels=network.channels,
            height=network.height,
            width=network.width,
            offset=offset,
            scale=scale,
            options=_native.PlanOptions(
                value_type=_native.Type.FLOAT32 if model.quantization is None else _native.Type.UINT8,
                threads=threads,
                tile_bytes=tile_bytes,
                whole_map_bytes=whole_map_bytes,
                guarded=guarded,
            ),
        )
        for layer in lowered_layers(model):
            writer.add(layer)
        outputs = [
            _native.Output(map_number=output.map_number, scale=output.scale, zero_point=output.zero_point)
            for output in lowered_outputs(model)
        ]
        return writer.finish(outputs, processors)
    except (ValueError, MemoryError) as error:
        raise EngineError(f"{network.name} cannot be planned: {error or 'not enough memory'}") from None


def input_numbers(model: Model) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """What a float32 plan makes of bytes: (byte − offset) · scale.

    Returns:
        Offset and scale, float32 (channels,).
    """
    mean, std = normalization(model.preprocessing, model.network.channels)
    return (255 * mean).astype(np.float32), (1 / (255 * std)).astype(np.float32)


def lowered_layers(model: Model) -> Iterator[_native.Layer]:
    """The layers of a Model in order, as a plan takes them; the first makes map 1.

    Raises:
        EngineError: If the engine cannot take one.
    """
    maps = {INPUT: 0}
    for number, layer in enumerate(model.network.layers, 1):
        maps[layer.name] = number
        yield _lowered(model, layer, [maps[name] for name in layer.inputs])


class LoweredOutput(NamedTuple):
    """An output: the map that holds it, and what its bytes mean."""

    map_number: int
    scale: float = 1.0
    zero_point: int = 0


def lowered_outputs(model: Model) -> list[LoweredOutput]:
    """The outputs of a Model, as a plan takes them."""
    numbers = {layer.name: number for number, layer in enumerate(model.network.layers, 1)}
    outputs = []
    for name in model.network.outputs:
        tensor = model.quantization.activations.get(name) if model.quantization else None
        numbered = LoweredOutput(numbers[name])
        outputs.append(numbered if tensor is None else LoweredOutput(numbers[name], tensor.scale, tensor.zero_point))
    return outputs


_KINDS: dict[type[Layer], _native.LayerKind] = {
    Convolution: _native.LayerKind.CONVOLUTION,
    DepthwiseConvolution: _native.LayerKind.DEPTHWISE,
    PointwiseConvolution: _native.LayerKind.POINTWISE,
    Linear: _native.LayerKind.LINEAR,
    MaxPool: _native.LayerKind.MAX_POOL,
    GlobalAveragePool: _native.LayerKind.AVERAGE_POOL,
    Add: _native.LayerKind.ADD,
    Multiply: _native.LayerKind.MULTIPLY,
    Concatenate: _native.LayerKind.CONCATENATE,
}


def _lowered(model: Model, layer: Layer, inputs: list[int]) -> _native.Layer:
    """One layer as the plan takes it; `inputs` are the numbers of the maps that it reads."""
    if type(layer) not in _KINDS:
        raise EngineError(f"{layer.name}: the engine has no layer of the kind {layer.kind}")
    lowered = _native.Layer(_KINDS[type(layer)], layer.name, inputs)
    match layer:
        case Convolution():
            _set_window(lowered, layer)
            lowered.groups = layer.groups
            lowered.out_channels = layer.out_channels
        case DepthwiseConvolution() | MaxPool():
            _set_window(lowered, layer)
        case PointwiseConvolution():
            lowered.out_channels = layer.out_channels
        case Linear():
            lowered.out_channels = layer.out_features
        case GlobalAveragePool() | Add() | Multiply() | Concatenate():
            pass  # all is said by what they read
        case _:
            raise EngineError(f"{layer.name}: the engine has no layer of the kind {layer.kind}")
    lowered.activation = _activation(layer.activation)
    if model.quantization is None:
        _set_float_numbers(lowered, model, layer)
    else:
        _set_integer_numbers(lowered, model, model.quantization, layer)
    return lowered


def _set_window(lowered: _native.Layer, layer: Windowed) -> None:
    lowered.kernel = layer.kernel
    down, lowered.stride = layer.strides
    if down != lowered.stride:
        lowered.stride_down = down
    lowered.pad_top, lowered.pad_bottom, lowered.pad_left, lowered.pad_right = layer.padding


def _activation(activation: Activation) -> _native.Activation:
    match activation:
        case Activation.NONE:
            return _native.Activation.NONE
        case Activation.RELU:
            return _native.Activation.RELU
        case Activation.RELU6:
            return _native.Activation.RELU6
        case Activation.HARD_SIGMOID:
            return _native.Activation.HARD_SIGMOID
        case Activation.HARD_SWISH:
            return _native.Activation.HARD_SWISH
        case _:
            assert_never(activation)


def _in_row_order(model: Model, layer: Layer, weight: Array) -> Array:
    """Linear weights over a map, from (channel, row, column) to the engine's (row, column, channel)."""
    if isinstance(layer, Linear):
        shape = model.network.shapes[layer.inputs[0]]
        if shape.height * shape.width > 1 and shape.channels > 1:
            weight = weight.reshape(-1, *shape).transpose(0, 2, 3, 1).reshape(len(weight), -1)
    return np.ascontiguousarray(weight)


# float32 --------------------------------------------------------------------------------------------------------------


def _set_float_numbers(lowered: _native.Layer, model: Model, layer: Layer) -> None:
    match layer:
        case GlobalAveragePool():
            shape = model.network.shapes[layer.inputs[0]]
            lowered.multiplier = np.array([1 / (shape.height * shape.width)], np.float32)
        case MaxPool() | Add() | Multiply() | Concatenate():
            pass
        case Convolution() | DepthwiseConvolution() | PointwiseConvolution() | Linear():
            _set_float_weights(lowered, model, layer)
        case _:
            raise EngineError(f"{layer.name}: the engine has no layer of the kind {layer.kind}")


def _set_float_weights(lowered: _native.Layer, model: Model, layer: Layer) -> None:
    weight = model.parameters[f"{layer.name}.weight"]
    bias = np.zeros(len(weight), np.float64)
    if layer.bias:
        bias += model.parameters[f"{layer.name}.bias"]
    if layer.batch_norm is not None:
        factor, bias = factor_and_shift(layer, model.parameters, bias)
        weight = weight * factor.astype(np.float32).reshape(-1, *[1] * (weight.ndim - 1))
    lowered.weight = _in_row_order(model, layer, weight)
    lowered.bias = bias.astype(np.float32)


# int8 -----------------------------------------------------------------------------------------------------------------


def _set_integer_numbers(lowered: _native.Layer, model: Model, quantization: Quantization, layer: Layer) -> None:
    sources = [quantization.activations[name] for name in layer.inputs]
    target = quantization.activations.get(layer.name)
    lowered.in_zero_point = sources[0].zero_point
    lowered.real_output = target is None
    pre_activation = quantization.pre_activations.get(layer.name)
    if target is not None and pre_activation is not None:
        # The kernel makes bytes of the pre-activation, by which the table is read.
        lowered.table = activation_table(layer.activation, pre_activation, target)
        target = pre_activation
        lowered.out_zero_point = target.zero_point
    elif target is not None:
        lowered.out_zero_point = target.zero_point
        lowered.low, lowered.high = target.clamp(layer.activation)
    match layer:
        case MaxPool():
            pass
        case Add():
            if target is None:
                raise EngineError(f"{layer.name} has no scale")
            _set_sum_numbers(lowered, sources, target)
        case Concatenate():
            if target is None:
                raise EngineError(f"{layer.name} has no scale")
            lowered.table = np.concatenate([rescaling_table(source, target) for source in sources])
        case Multiply():
            if target is None:
                raise EngineError(f"{layer.name} has no scale")
            _set_product_numbers(lowered, sources, target)
        case GlobalAveragePool():
            _set_average_numbers(lowered, model, layer, sources[0], target)
        case Convolution() | DepthwiseConvolution() | PointwiseConvolution() | Linear():
            _set_integer_weights(lowered, model, layer, sources[0], target)
        case _:
            raise EngineError(f"{layer.name}: the engine has no layer of the kind {layer.kind}")


def _set_sum_numbers(lowered: _native.Layer, sources: list[TensorQuantization], target: TensorQuantization) -> None:
    lowered.bias = np.array([source.zero_point for source in sources], np.int32)
    if len(sources) == 2:
        lowered.multiplier = np.array(sum_multipliers(sources, target), np.float32)
    else:
        lowered.multiplier = np.array([*(source.scale for source in sources), target.scale], np.float32)
    lowered.bounded = sum(source.scale for source in sources) / target.scale * 255 + 255 < _LARGEST_PRODUCT


def _set_product_numbers(lowered: _native.Layer, sources: list[TensorQuantization], target: TensorQuantization) -> None:
    first, second = sources
    multiplier = product_multiplier(first.scale, second.scale, target.scale)
    lowered.bias = np.array([first.zero_point, second.zero_point], np.int32)
    lowered.multiplier = np.array([multiplier], np.float32)
    lowered.bounded = bool(255 * 255 * multiplier + 255 < _LARGEST_PRODUCT)


def _set_average_numbers(
    lowered: _native.Layer,
    model: Model,
    layer: Layer,
    source: TensorQuantization,
    target: TensorQuantization | None,
) -> None:
    shape = model.network.shapes[layer.inputs[0]]
    pixels = shape.height * shape.width
    multiplier = average_multiplier(source.scale, pixels, target.scale if target else None)
    lowered.bias = np.array([-source.zero_point * pixels], np.int64).astype(np.int32)
    lowered.multiplier = multiplier
    lowered.bounded = bool(255 * pixels < 2**31 and 255 * pixels * multiplier[0] < _LARGEST_PRODUCT)


def _set_integer_weights(
    lowered: _native.Layer,
    model: Model,
    layer: Layer,
    source: TensorQuantization,
    target: TensorQuantization | None,
) -> None:
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
    weight_scale = model.parameters[f"{layer.name}.weight_scale"]
    multiplier = requantization_multiplier(source.scale, weight_scale, target.scale if target else None)
    largest = float(np.abs(folded).max()) + 255.0 * (128 if zero_point is None else 255) * taps
    lowered.weight = _in_row_order(model, layer, weight)
    lowered.bias = folded.astype(np.int32)
    lowered.multiplier = multiplier
    lowered.weight_zero_point = zero_point
    lowered.bounded = largest < 2**31 and (target is None or largest * float(multiplier.max()) < _LARGEST_PRODUCT)
