"""A layer's filters as rows of a matrix, and what they read at each output pixel."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mobilenets.architecture.layers import Convolution, DepthwiseConvolution, Layer, Linear, PointwiseConvolution
from mobilenets.errors import CompressionError
from mobilenets.model.map_sums import Map, patches
from mobilenets.model.quantization import TensorQuantization

Rows = npt.NDArray[np.float64]

_SAMPLES = 16_384
"""Output pixels, per layer, whose inputs the covariance is computed from."""


def to_rows(layer: Layer, weight: Rows) -> Rows:
    """Weights as (groups, out, in), with ``in`` in the order of :func:`windows`.

    Raises:
        CompressionError: If the layer has no weights.
    """
    match layer:
        case DepthwiseConvolution():
            return weight.reshape(len(weight), 1, -1)
        case Convolution():
            last = weight.transpose(0, 2, 3, 1)
            rows: Rows = last.reshape(layer.groups, len(weight) // layer.groups, -1)
            return rows
        case PointwiseConvolution() | Linear():
            return weight.reshape(1, len(weight), -1)
        case _:
            raise _no_weights(layer)


def from_rows(layer: Layer, rows: Rows, shape: tuple[int, ...]) -> Rows:
    """Undo :func:`to_rows`.

    Raises:
        CompressionError: If the layer has no weights.
    """
    match layer:
        case Convolution():
            out, share, height, width = shape
            rows = np.ascontiguousarray(rows.reshape(out, height, width, share).transpose(0, 3, 1, 2))
            return rows.reshape(shape)
        case DepthwiseConvolution() | PointwiseConvolution() | Linear():
            return rows.reshape(shape)
        case _:
            raise _no_weights(layer)


def windows(layer: Layer, maps: list[Map], source: TensorQuantization | None) -> npt.NDArray[np.float32]:
    """Inputs of the layer's filters at a sample of output pixels.

    Args:
        layer: A layer with weights.
        maps: Batches of its input, (height, width, N, C) each. The same pixels are sampled whatever the maps hold.
        source: Scale and zero point of the input; None where it is float32.

    Returns:
        float32 (groups, samples, in): real numbers.

    Raises:
        CompressionError: If the layer has no weights.
    """
    return np.concatenate([_windows(layer, _real(values, source), len(maps)) for values in maps], axis=1)


def _windows(layer: Layer, real: Map, parts: int) -> Map:
    match layer:
        case Convolution() | DepthwiseConvolution():
            window, channels = layer.kernel * layer.kernel, real.shape[3]
            seen = _sample(patches(layer, real), parts).reshape(-1, window, channels)
            groups = channels if isinstance(layer, DepthwiseConvolution) else layer.groups
            # (samples, K·K, groups, share) → (groups, samples, K·K · share)
            split = seen.reshape(len(seen), window, groups, channels // groups).transpose(2, 0, 1, 3)
            return split.reshape(groups, len(seen), -1)
        case Linear():
            return real.transpose(2, 3, 0, 1).reshape(1, real.shape[2], -1)
        case PointwiseConvolution():
            return _sample(real, parts)[None]
        case _:
            raise _no_weights(layer)


def _real(values: Map, source: TensorQuantization | None) -> Map:
    real: Map = values.astype(np.float32)
    return real if source is None else (real - np.float32(source.zero_point)) * np.float32(source.scale)


def _sample(values: Map, parts: int) -> Map:
    flat = values.reshape(-1, values.shape[-1])
    # An odd stride, so that the sample covers all columns and images.
    stride = max(1, len(flat) * parts // _SAMPLES) | 1
    return flat[::stride]


def covariance(seen: npt.NDArray[np.float32]) -> Rows:
    """Covariance of what :func:`windows` returns: float64 (groups, in, in)."""
    centred = seen - seen.mean(axis=1, keepdims=True, dtype=np.float64).astype(np.float32)
    products: Rows = (centred.transpose(0, 2, 1) @ centred).astype(np.float64)
    products /= seen.shape[1]
    return products


def row_means(layer: Layer, mean: Rows, shape: tuple[int, ...]) -> Rows:
    """The mean of each input of a layer's filters, from the mean of each channel.

    Args:
        layer: A layer with weights.
        mean: Mean of each input channel, (C,).
        shape: Of the layer's rows, (groups, out, in).

    Returns:
        float64 (groups, in, 1), in the order of the rows.

    Raises:
        CompressionError: If the layer has no weights.
    """
    groups, _, size = shape
    match layer:
        case DepthwiseConvolution():
            spread = np.repeat(mean[:, None], size, axis=1)
        case Linear():
            spread = np.repeat(mean, size // len(mean))[None]  # read channel by channel
        case Convolution() | PointwiseConvolution():
            spread = np.tile(mean.reshape(groups, -1), (1, size * groups // len(mean)))  # tap by tap
        case _:
            raise _no_weights(layer)
    return spread[:, :, None]


def _no_weights(layer: Layer) -> CompressionError:
    return CompressionError(f"{layer.name} ({layer.kind}) has no weights that can be quantized")
