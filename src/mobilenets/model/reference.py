"""What every layer computes, in plain NumPy: the definition that all faster code must equal.

Float Models run in float64 (or float32 where speed matters more than the last digits). int8 Models run in exact
integers, as follows; the native engine, quantization-aware training and the C export equal it bit for bit.

- Weighted layers: ``acc = Σ (q − zero_point_in) · (w − weight_zero_point) + bias`` in int32, wrapping as int32 does;
  padding is ``zero_point_in``. Then ``q = clamp(rint(float32(acc) · multiplier[c]) + zero_point_out, low, high)`` with
  ``multiplier[c] = (scale_in · weight_scale[c]) / scale_out``, both steps rounded to float32, rint to the nearest even,
  and the activation function as the clamp. The clamp is meant mathematically: a product too large for an integer
  clamps high.
- Layers that give real numbers (:func:`~mobilenets.model.quantization.real_outputs`):
  ``float32(acc) · (scale_in · weight_scale[c])``, then the activation function.
- Global average pool: the same with ``acc = Σ (q − zero_point_in)`` and ``scale_in / (scale_out · H · W)``.
- Max pool: bytes. Concatenate: each input's :func:`~mobilenets.model.quantization.rescaling_table`; bytes where the
  scales and zero points are the same.
- Add of two: ``clamp(rint(fma(q₀, m₀, fma(q₁, m₁, constant))))`` with the numbers of
  :func:`~mobilenets.model.quantization.sum_multipliers`; ``fma(a, b, c)`` is ``a · b + c`` rounded to float32 once. Add
  of more: ``clamp(rint((Σᵢ float32(qᵢ − zᵢ) · scaleᵢ) / scale_out) + zero_point_out)``, with every product, every sum
  from left to right, and the quotient rounded to float32.
- Multiply: ``clamp(rint(float32((qₐ − zₐ) · (q_b − z_b)) · m + zero_point_out))`` with the product exact in int32 and
  ``m = (scaleₐ · scale_b) / scale_out`` in float32; an input of (C, 1, 1) meets every pixel.
- An activation function that is no clamp: the rules above without an activation, to the layer's own pre-activation
  scale and zero point; the byte that they make reads the layer's
  :func:`~mobilenets.model.quantization.activation_table`.
- An output that is stored as bytes leaves as ``float32(q − zero_point) · scale``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, assert_never

import numpy as np
import numpy.typing as npt

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
    PointwiseConvolution,
)
from mobilenets.errors import ModelError
from mobilenets.model.activations import activate
from mobilenets.model.fused import multiply_add
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import Pixels, check_pixels, normalization
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

Array = npt.NDArray[Any]


def run_reference(model: Model, pixels: Pixels, *, dtype: npt.DTypeLike = np.float64) -> dict[str, Array]:
    """Outputs of a Model for a batch of images.

    Args:
        model: float32 or int8.
        pixels: uint8, (N, height, width, 3).
        dtype: What a float Model is computed in. An int8 Model's outputs are float32.

    Returns:
        By output name: (N, C) where the output is 1×1, else (N, C, H, W).

    Raises:
        ModelError: If the pixels do not fit the network's input.
    """
    values = activations(model, pixels, dtype=dtype)
    outputs = {}
    for name in model.network.outputs:
        value = values[name]
        if value.dtype == np.uint8 and model.quantization is not None:
            numbers = model.quantization.activations[name]
            value = (value.astype(np.int32) - numbers.zero_point).astype(np.float32) * np.float32(numbers.scale)
        outputs[name] = value[:, :, 0, 0] if value.shape[2:] == (1, 1) else value
    return outputs


def activations(model: Model, pixels: Pixels, *, dtype: npt.DTypeLike = np.float64) -> dict[str, Array]:
    """What every layer makes of a batch of images, and ``"input"``.

    Returns:
        By layer name, (N, C, H, W): ``dtype`` for a float Model; uint8 (float32 for real outputs) for an int8 one.

    Raises:
        ModelError: If the pixels do not fit the network's input.
    """
    network = model.network
    check_pixels(network, pixels)
    if model.quantization is not None:
        return _integer_activations(model, model.quantization, pixels)
    values: dict[str, Array] = {INPUT: _normalize(model, pixels, np.dtype(dtype))}
    for layer in network.layers:
        values[layer.name] = _float_layer(layer, [values[name] for name in layer.inputs], model.parameters)
    return values


def _normalize(model: Model, pixels: Pixels, dtype: np.dtype[Any]) -> Array:
    mean, std = normalization(model.preprocessing, model.network.channels)
    normal = (pixels.astype(dtype) / 255 - mean.astype(dtype)) / std.astype(dtype)
    return np.ascontiguousarray(normal.transpose(0, 3, 1, 2), dtype=dtype)


# Float layers ---------------------------------------------------------------------------------------------------------


def _float_layer(layer: Layer, inputs: list[Array], parameters: Mapping[str, Array]) -> Array:
    dtype = inputs[0].dtype
    match layer:
        case Convolution() | DepthwiseConvolution() | PointwiseConvolution() | Linear():
            result = weighted_sum(layer, inputs[0], parameters[f"{layer.name}.weight"].astype(dtype), 0)
            if layer.bias:
                result = result + _channels(parameters[f"{layer.name}.bias"], dtype)
            if layer.batch_norm is not None:
                result = _batch_norm(layer, layer.batch_norm, result, parameters)
        case MaxPool():
            result = _max_pool(layer, inputs[0], -np.inf)
        case GlobalAveragePool():
            result = inputs[0].mean(axis=(2, 3), keepdims=True, dtype=dtype)
        case Add():
            result = sum(inputs[1:], start=inputs[0])
        case Multiply():
            result = inputs[0] * inputs[1]
        case Concatenate():
            return np.concatenate(inputs, axis=1)
        case _:
            raise ModelError(f"{layer.name} is of a kind that the reference does not know: {type(layer).__name__}")
    return activate(result, layer.activation)


def _batch_norm(layer: Layer, batch_norm: BatchNorm, values: Array, parameters: Mapping[str, Array]) -> Array:
    gamma, beta, mean, variance = (_channels(parameters[name], values.dtype) for name in layer.batch_norm_names)
    normal: Array = (values - mean) / np.sqrt(variance + values.dtype.type(batch_norm.epsilon)) * gamma + beta
    return normal


def _channels(vector: Array, dtype: npt.DTypeLike) -> Array:
    return vector.astype(dtype).reshape(1, -1, 1, 1)


# Sums that both kinds of numbers share --------------------------------------------------------------------------------


def weighted_sum(layer: Layer, values: Array, weight: Array, padding_value: float) -> Array:
    """The sum of products of a layer with weights: no bias, no batch norm, no activation.

    Args:
        layer: Convolution, DepthwiseConvolution, PointwiseConvolution or Linear.
        values: Input, (N, C, H, W).
        weight: In PyTorch's layout, of the type of the values.
        padding_value: What stands around the map.

    Returns:
        (N, out, H', W'), of the type of the values.
    """
    match layer:
        case Linear():
            flat: Array = values.reshape(len(values), weight.shape[1]) @ weight.T
            return flat[:, :, None, None]
        case PointwiseConvolution():
            count, _, height, width = values.shape
            product: Array = weight[:, :, 0, 0] @ values.reshape(count, values.shape[1], height * width)
            return product.reshape(count, len(weight), height, width)
        case DepthwiseConvolution():
            return _depthwise_sum(layer, values, weight, padding_value)
        case Convolution():
            return _convolution_sum(layer, values, weight, padding_value)
    raise ModelError(f"{layer.name} ({layer.kind}) has no weights")


def pad(layer: Convolution | DepthwiseConvolution | MaxPool, values: Array, padding_value: float) -> Array:
    """The map (N, C, H, W) with a layer's padding around it."""
    top, bottom, left, right = layer.padding
    return np.pad(values, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=padding_value)


def _taps(layer: Convolution | DepthwiseConvolution | MaxPool, values: Array, padding_value: float) -> list[Array]:
    """For each place in the window, row by row, the pixels that it meets: views of (N, C, H', W')."""
    padded = pad(layer, values, padding_value)
    step_down, step_across = layer.strides
    height = (padded.shape[2] - layer.kernel) // step_down + 1
    width = (padded.shape[3] - layer.kernel) // step_across + 1
    return [
        padded[
            :,
            :,
            row : row + (height - 1) * step_down + 1 : step_down,
            column : column + (width - 1) * step_across + 1 : step_across,
        ]
        for row in range(layer.kernel)
        for column in range(layer.kernel)
    ]


def _depthwise_sum(layer: DepthwiseConvolution, values: Array, weight: Array, padding_value: float) -> Array:
    taps = _taps(layer, values, padding_value)
    filters = weight.reshape(len(weight), -1).T[:, None, :, None, None]
    total: Array = taps[0] * filters[0]
    for tap, factor in zip(taps[1:], filters[1:], strict=True):
        total += tap * factor
    return total


def _convolution_sum(layer: Convolution, values: Array, weight: Array, padding_value: float) -> Array:
    columns = np.stack(_taps(layer, values, padding_value), axis=2)  # (N, C, k·k, H', W')
    count, channels, window, height, width = columns.shape
    share = channels // layer.groups
    columns = columns.reshape(count, layer.groups, share * window, height * width)
    filters = weight.reshape(layer.groups, len(weight) // layer.groups, share * window)
    product: Array = filters @ columns
    return product.reshape(count, len(weight), height, width)


def _max_pool(layer: MaxPool, values: Array, lowest: float) -> Array:
    result: Array = np.max(np.stack(_taps(layer, values, lowest)), axis=0)
    return result


# Integer layers -------------------------------------------------------------------------------------------------------


def _integer_activations(model: Model, quantization: Quantization, pixels: Pixels) -> dict[str, Array]:
    values: dict[str, Array] = {INPUT: np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))}
    for layer in model.network.layers:
        inputs = [values[name] for name in layer.inputs]
        target = quantization.activations.get(layer.name)
        pre_activation = quantization.pre_activations.get(layer.name)
        if target is None or pre_activation is None:
            result = _integer_layer(model, quantization, layer, inputs, target, layer.activation)
        else:
            sums = _integer_layer(model, quantization, layer, inputs, pre_activation, Activation.NONE)
            result = activation_table(layer.activation, pre_activation, target)[sums]
        values[layer.name] = result
    return values


def _integer_layer(
    model: Model,
    quantization: Quantization,
    layer: Layer,
    inputs: list[Array],
    target: TensorQuantization | None,
    activation: Activation,
) -> Array:
    sources = [quantization.activations[name] for name in layer.inputs]
    match layer:
        case MaxPool():
            return _max_pool(layer, inputs[0], 0)
        case Add() | Concatenate() | Multiply():
            if target is None:
                raise ModelError(f"{layer.name} has no scale")
            return _combine(layer, inputs, sources, target, activation)
        case GlobalAveragePool() | Convolution() | DepthwiseConvolution() | PointwiseConvolution() | Linear():
            sums = accumulate(model, layer, inputs[0], sources[0])
            return requantize(sums, sum_multiplier(model, layer, sources[0], target), target, activation)
        case _:
            raise ModelError(f"{layer.name} is of a kind that the reference does not know: {type(layer).__name__}")


def accumulate(model: Model, layer: Layer, values: Array, source: TensorQuantization) -> Array:
    """The int32 sums of a layer.

    Args:
        model: An int8 Model.
        layer: One of its layers with weights, or a global average pool.
        values: Its input, uint8 (N, C, H, W).
        source: Scale and zero point of the input.

    Returns:
        int32 (N, out, H', W').
    """
    # float64 holds every sum that int32 can hold, and more, exactly; and it is what matrix products are fast in.
    centred = values.astype(np.float64) - source.zero_point
    if isinstance(layer, GlobalAveragePool):
        sums = centred.sum(axis=(2, 3), keepdims=True)
    else:
        weight = model.parameters[f"{layer.name}.weight"].astype(np.float64)
        zero_point = model.parameters.get(f"{layer.name}.weight_zero_point")
        if zero_point is not None:
            weight = weight - zero_point.astype(np.float64).reshape(-1, *[1] * (weight.ndim - 1))
        sums = weighted_sum(layer, centred, weight, 0) + _channels(model.parameters[f"{layer.name}.bias"], np.float64)
    wrapped: Array = sums.astype(np.int64).astype(np.int32)
    return wrapped


def sum_multiplier(model: Model, layer: Layer, source: TensorQuantization, target: TensorQuantization | None) -> Array:
    """What the int32 sums of a layer are multiplied by: float32, (out,), or (1,) for a global average pool.

    Args:
        model: An int8 Model.
        layer: One of its layers with weights, or a global average pool.
        source: Scale and zero point of the input.
        target: Scale and zero point of the result; None where that is real.
    """
    scale = None if target is None else target.scale
    if isinstance(layer, GlobalAveragePool):
        shape = model.network.input_shapes(layer)[0]
        return average_multiplier(source.scale, shape.height * shape.width, scale)
    return requantization_multiplier(source.scale, model.parameters[f"{layer.name}.weight_scale"], scale)


def requantize(sums: Array, multiplier: Array, target: TensorQuantization | None, activation: Activation) -> Array:
    """From int32 sums to bytes, or to float32 where there is no target.

    Args:
        sums: int32 (N, C, H, W).
        multiplier: Of each channel's sums, float32 (C,) or (1,): see :func:`sum_multiplier`.
        target: Scale and zero point of the result.
        activation: A clamp, or any activation function where there is no target.
    """
    scaled = sums.astype(np.float32) * _channels(multiplier, np.float32)
    if target is None:
        return activate(scaled, activation).astype(np.float32)
    low, high = target.clamp(activation)
    return _to_bytes(np.rint(scaled) + np.float32(target.zero_point), low, high)


def _combine(
    layer: Add | Concatenate | Multiply,
    inputs: list[Array],
    sources: list[TensorQuantization],
    target: TensorQuantization,
    activation: Activation,
) -> Array:
    low, high = target.clamp(activation)
    match layer:
        case Concatenate():
            parts = [rescaling_table(source, target)[part] for part, source in zip(inputs, sources, strict=True)]
            return np.concatenate(parts, axis=1)
        case Add() if len(inputs) == 2:
            first, second, constant = sum_multipliers(sources, target)
            inner = multiply_add(inputs[1], second, constant)
            return _to_bytes(np.rint(multiply_add(inputs[0], first, inner)), low, high)
        case Add():
            terms = [
                (values.astype(np.float32) - np.float32(source.zero_point)) * np.float32(source.scale)
                for values, source in zip(inputs, sources, strict=True)
            ]
            total = sum(terms[1:], start=terms[0]) / np.float32(target.scale)
            return _to_bytes(np.rint(total) + np.float32(target.zero_point), low, high)
        case Multiply():
            one, other = (
                values.astype(np.int32) - source.zero_point for values, source in zip(inputs, sources, strict=True)
            )
            multiplier = product_multiplier(sources[0].scale, sources[1].scale, target.scale)
            scaled = (one * other).astype(np.float32) * multiplier
            return _to_bytes(np.rint(scaled + np.float32(target.zero_point)), low, high)
        case _:
            assert_never(layer)


def _to_bytes(rounded: Array, low: int, high: int) -> Array:
    clamped: Array = np.clip(rounded, low, high).astype(np.uint8)
    return clamped
