"""Maps of a batch, and the sums of products over them that float and integer layers share.

Maps are stored as (height, width, N, C): a tap of a depthwise filter is then one long contiguous product, padding and
stride touch only the leading axes, and every pointwise convolution is one matrix product.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mobilenets.architecture.layers import (
    Convolution,
    DepthwiseConvolution,
    Layer,
    Linear,
    MaxPool,
    PointwiseConvolution,
)
from mobilenets.errors import ModelError

Map = npt.NDArray[Any]
"""An activation of a batch: (height, width, N, C). The result of a linear layer or global pool is (1, 1, N, C)."""


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
    step_down, step_across = layer.strides
    height = (padded.shape[0] - layer.kernel) // step_down + 1
    width = (padded.shape[1] - layer.kernel) // step_across + 1
    count, channels = values.shape[2:]
    # Rows of (width, N · C): the filter is repeated for every image, so that NumPy's inner loop is long.
    padded = padded.reshape(*padded.shape[:2], count * channels)
    filters = np.tile(weight.reshape(channels, -1).T, (1, count)).reshape(layer.kernel, layer.kernel, count * channels)
    result = np.empty((height, width, count * channels), values.dtype)
    term = np.empty_like(result[0])
    last = (width - 1) * step_across + 1
    for row, total in enumerate(result):
        for down, line in enumerate(padded[row * step_down : row * step_down + layer.kernel]):
            for across in range(layer.kernel):
                tap = line[across : across + last : step_across]
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
    step_down, step_across = layer.strides
    height = (padded.shape[0] - layer.kernel) // step_down * step_down + 1
    width = (padded.shape[1] - layer.kernel) // step_across * step_across + 1
    return [
        padded[row : row + height : step_down, column : column + width : step_across]
        for row in range(layer.kernel)
        for column in range(layer.kernel)
    ]


def max_pool(layer: MaxPool, values: Map, lowest: float) -> Map:
    """The largest value of each window, over a map that is padded with the lowest."""
    taps = _taps(layer, _pad(layer, values, lowest))
    result = taps[0].copy()
    for tap in taps[1:]:
        np.maximum(result, tap, out=result)
    return result
