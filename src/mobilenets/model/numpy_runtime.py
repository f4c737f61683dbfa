"""The operators of :mod:`mobilenets.model.reference` for thousands of images: NumPy, arranged for speed.

Maps are stored as (height, width, N, C): a tap of a depthwise filter is then one long contiguous product, padding and
stride touch only the leading axes, and every pointwise convolution is one matrix product. Integer layers use
float32 matrix products wherever no sum can reach 2²⁴, and float64 elsewhere: every intermediate result is an
integer that the type holds exactly, so the answer is the reference's, byte for byte, in any order of summation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
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
)
from mobilenets.base.progress import SILENT, Progress
from mobilenets.errors import ModelError
from mobilenets.model.activations import activate
from mobilenets.model.folding import factor_and_shift
from mobilenets.model.fused import multiply_add
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import Pixels, check_pixels
from mobilenets.model.quantization import (
    TensorQuantization,
    activation_table,
    average_multiplier,
    product_multiplier,
    requantization_multiplier,
    rescaling_table,
    sum_multipliers,
)

Map = npt.NDArray[Any]
"""An activation of a batch: (height, width, N, C). The result of a linear layer or global pool is (1, 1, N, C)."""

BATCH = 16
"""Images that are computed at once, unless told otherwise: more no longer helps, and costs memory."""

_EXACT_FLOAT32 = 1 << 24


def run_numpy(model: Model, pixels: Pixels, *, batch: int = BATCH, progress: Progress = SILENT) -> dict[str, Map]:
    """Outputs of a Model for any number of images.

    Args:
        model: float32 (computed in float32) or int8 (equal to the reference byte for byte).
        pixels: uint8, (N, height, width, 3).
        batch: Images at once; memory grows with it.
        progress: Receives progress updates.

    Returns:
        By output name, as :func:`mobilenets.model.reference.run_reference`: (N, C) where the output is 1×1, else
        (N, C, H, W).

    Raises:
        ModelError: If the pixels do not fit the network's input.
    """
    check_pixels(model.network, pixels)
    parts: dict[str, list[Map]] = {name: [] for name in model.network.outputs}
    with progress.task("running", len(pixels), "images") as task:
        for begin in range(0, max(len(pixels), 1), batch):
            for name, value in layers(model, pixels[begin : begin + batch]):
                if name in parts:
                    parts[name].append(_leave(model, name, value))
            task.advance(len(pixels[begin : begin + batch]))
    return {name: np.concatenate(values) for name, values in parts.items()}


class LayerResult(NamedTuple):
    """What a layer makes of a batch.

    Attributes:
        name: The layer's name, or ``"input"``.
        value: float32 for a float Model; uint8 (float32 for real outputs) for an int8 one.
        pre_activation: What the activation function reads, where it is no clamp; None elsewhere. Likewise.
    """

    name: str
    value: Map
    pre_activation: Map | None = None


def layers(model: Model, pixels: Pixels) -> Iterator[tuple[str, Map]]:
    """``"input"`` and every layer's result for one batch, each as soon as it is there, freed once nobody reads it.

    Args:
        model: float32, with batch norms or without, or int8.
        pixels: uint8, (N, height, width, 3).

    Yields:
        Name and map: float32 for a float Model; uint8 (float32 for real outputs) for an int8 one.

    Raises:
        ModelError: If the pixels do not fit the network's input.
    """
    for result in layer_results(model, pixels):
        yield result.name, result.value


def layer_results(model: Model, pixels: Pixels) -> Iterator[LayerResult]:
    """What :func:`layers` yields, with what the activation functions read.

    Raises:
        ModelError: If the pixels do not fit the network's input.
    """
    network = model.network
    check_pixels(network, pixels)
    values = {INPUT: input_map(model, pixels)}
    yield LayerResult(INPUT, values[INPUT])
    last_reader = {source: layer.name for layer in network.layers for source in layer.inputs}
    for layer in network.layers:
        sources = [values[name] for name in layer.inputs]
        if model.quantization is None:
            result = _float_result(layer, sources, model.parameters)
        else:
            result = _integer_result(layer, sources, arithmetic(model, layer))
        values[layer.name] = result.value
        yield result
        for name in set(layer.inputs):
            if last_reader[name] == layer.name:
                del values[name]


def input_map(model: Model, pixels: Pixels) -> Map:
    """What the first layer reads: normalized float32 for a float Model, the bytes themselves for an int8 one."""
    values: Map = pixels
    if model.quantization is None:
        values = model.preprocessing.normalize(pixels)
    return np.ascontiguousarray(values.transpose(1, 2, 0, 3))


def _leave(model: Model, name: str, value: Map) -> Map:
    if model.quantization is not None and value.dtype == np.uint8:
        numbers = model.quantization.activations[name]
        value = (value.astype(np.float32) - np.float32(numbers.zero_point)) * np.float32(numbers.scale)
    maps = np.ascontiguousarray(value.transpose(2, 3, 0, 1))
    return maps[:, :, 0, 0] if maps.shape[2:] == (1, 1) else maps


# Float layers ---------------------------------------------------------------------------------------------------------


def float_layer(layer: Layer, sources: Sequence[Map], parameters: Mapping[str, Map]) -> Map:
    """One layer of a float Model, in float32.

    Args:
        layer: The layer.
        sources: What it reads.
        parameters: Tensors of the Model.
    """
    return _float_result(layer, sources, parameters).value


def _float_result(layer: Layer, sources: Sequence[Map], parameters: Mapping[str, Map]) -> LayerResult:
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
            return _max_pool(layer, sources[0], -np.inf)
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


# Sums that both kinds of numbers share --------------------------------------------------------------------------------


def float_weighted_sum(layer: Layer, values: Map, weight: Map) -> Map:
    """The sum of products of a layer with weights, zeros around the map: no bias, no batch norm, no activation.

    Args:
        layer: Convolution, DepthwiseConvolution, PointwiseConvolution or Linear.
        values: Input, float32 or float64.
        weight: In PyTorch's layout; taken to the type of the values.
    """
    weight = weight.astype(values.dtype, copy=False)
    match layer:
        case Linear():
            flat = np.ascontiguousarray(values.transpose(2, 3, 0, 1)).reshape(values.shape[2], weight.shape[1])
            product: Map = flat @ weight.T
            return product[None, None]
        case PointwiseConvolution():
            return _product(values, weight[:, :, 0, 0])
        case DepthwiseConvolution():
            return _depthwise_sum(layer, values, weight)
        case Convolution():
            share = values.shape[3] // layer.groups
            filters = weight.reshape(layer.groups, -1, *weight.shape[1:])
            parts = [
                _product(patches(layer, values[..., group * share : (group + 1) * share]), _rows(filters[group]))
                for group in range(layer.groups)
            ]
            return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=3)
    raise ModelError(f"{layer.name} ({layer.kind}) has no weights")


def patches(layer: Convolution | DepthwiseConvolution, values: Map) -> Map:
    """Under each output pixel, the window of pixels that it sees: (H', W', N, kernel · kernel · C), zeros around."""
    return np.concatenate(_taps(layer, _pad(layer, values, 0)), axis=3)


def _rows(filters: Map) -> Map:
    """Filters (out, C, K, K) as the rows that :func:`patches` meets: (out, K · K · C)."""
    rows: Map = filters.transpose(0, 2, 3, 1).reshape(len(filters), -1)
    return rows


def _product(values: Map, matrix: Map) -> Map:
    product: Map = values.reshape(-1, values.shape[3]) @ np.ascontiguousarray(matrix.T)
    return product.reshape(*values.shape[:3], len(matrix))


def _depthwise_sum(layer: DepthwiseConvolution, values: Map, weight: Map) -> Map:
    padded = _pad(layer, values, 0)
    height = (padded.shape[0] - layer.kernel) // layer.stride + 1
    width = (padded.shape[1] - layer.kernel) // layer.stride + 1
    count, channels = values.shape[2:]
    # Rows of (width, N · C): the filter is repeated for every image, so that NumPy's inner loop is long.
    padded = padded.reshape(*padded.shape[:2], count * channels)
    filters = np.tile(weight.reshape(channels, -1).T, (1, count)).reshape(layer.kernel, layer.kernel, count * channels)
    result = np.empty((height, width, count * channels), values.dtype)
    term = np.empty_like(result[0])
    last = (width - 1) * layer.stride + 1
    for row, total in enumerate(result):
        for down, line in enumerate(padded[row * layer.stride : row * layer.stride + layer.kernel]):
            for across in range(layer.kernel):
                tap = line[across : across + last : layer.stride]
                if down == across == 0:
                    np.multiply(tap, filters[0, 0], out=total)
                else:
                    np.multiply(tap, filters[down, across], out=term)
                    total += term
    return result.reshape(height, width, count, channels)


def _pad(layer: Convolution | DepthwiseConvolution | MaxPool, values: Map, padding_value: float) -> Map:
    top, bottom, left, right = layer.padding
    if max(layer.padding) == 0:
        return np.ascontiguousarray(values)
    return np.pad(values, ((top, bottom), (left, right), (0, 0), (0, 0)), constant_values=padding_value)


def _taps(layer: Convolution | DepthwiseConvolution | MaxPool, padded: Map) -> list[Map]:
    height = (padded.shape[0] - layer.kernel) // layer.stride * layer.stride + 1
    width = (padded.shape[1] - layer.kernel) // layer.stride * layer.stride + 1
    return [
        padded[row : row + height : layer.stride, column : column + width : layer.stride]
        for row in range(layer.kernel)
        for column in range(layer.kernel)
    ]


def _max_pool(layer: MaxPool, values: Map, lowest: float) -> Map:
    taps = _taps(layer, _pad(layer, values, lowest))
    result = taps[0].copy()
    for tap in taps[1:]:
        np.maximum(result, tap, out=result)
    return result


# Integer layers -------------------------------------------------------------------------------------------------------


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
    return _integer_result(layer, sources, numbers).value


def _integer_result(layer: Layer, sources: Sequence[Map], numbers: Arithmetic) -> LayerResult:
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
            return _max_pool(layer, sources[0], 0)
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
