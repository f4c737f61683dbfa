"""A layer's filters as rows of a matrix, and what they meet at each output pixel."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mobilenets.architecture.layers import Convolution, DepthwiseConvolution, Layer, Linear, PointwiseConvolution
from mobilenets.errors import CompressionError
from mobilenets.model.numpy_runtime import Map, patches
from mobilenets.model.quantization import TensorQuantization

Rows = npt.NDArray[np.float64]

_SAMPLES = 16_384
"""Output pixels, per layer, whose inputs the covariance is taken of."""


def windows(layer: Layer, maps: list[Map], source: TensorQuantization | None) -> npt.NDArray[np.float32]:
    """Inputs of the layer's filters at a sample of output pixels, float32 (groups, samples, in).

    Bytes become the real numbers that they stand for. The same pixels are sampled whatever the maps hold.
    """
    parts = []
    for values in maps:
        real: Map = values.astype(np.float32)
        if source is not None:
            real = (real - np.float32(source.zero_point)) * np.float32(source.scale)
        match layer:
            case Convolution() | DepthwiseConvolution():
                window, channels = layer.kernel * layer.kernel, real.shape[3]
                seen = _sample(patches(layer, real), len(maps)).reshape(-1, window, channels)
                groups = channels if isinstance(layer, DepthwiseConvolution) else layer.groups
                # (samples, K·K, groups, share) → (groups, samples, K·K · share)
                split = seen.reshape(len(seen), window, groups, channels // groups).transpose(2, 0, 1, 3)
                parts.append(split.reshape(groups, len(seen), -1))
            case Linear():
                flat = real.transpose(2, 3, 0, 1).reshape(real.shape[2], -1)
                parts.append(flat[None])
            case _:
                parts.append(_sample(real, len(maps))[None])
    return np.concatenate(parts, axis=1)


def _sample(values: Map, parts: int) -> Map:
    flat = values.reshape(-1, values.shape[-1])
    # An odd stride, so that the sample walks over all columns and images.
    stride = max(1, len(flat) * parts // _SAMPLES) | 1
    return flat[::stride]


def covariance(seen: npt.NDArray[np.float32]) -> Rows:
    """Of what :func:`windows` gives: float64 (groups, in, in)."""
    centred = seen - seen.mean(axis=1, keepdims=True, dtype=np.float64).astype(np.float32)
    products: Rows = (centred.transpose(0, 2, 1) @ centred).astype(np.float64)
    products /= seen.shape[1]
    return products


def to_rows(layer: Layer, weight: Rows) -> Rows:
    """Weights as (groups, out, in), with ``in`` in the order of :func:`windows`."""
    match layer:
        case DepthwiseConvolution():
            return weight.reshape(len(weight), 1, -1)
        case Convolution():
            last = weight.transpose(0, 2, 3, 1)
            rows: Rows = last.reshape(layer.groups, len(weight) // layer.groups, -1)
            return rows
        case PointwiseConvolution() | Linear():
            return weight.reshape(1, len(weight), -1)
    raise CompressionError(f"{layer.name} ({layer.kind}) has weights of a kind that cannot be quantised")


def from_rows(layer: Layer, rows: Rows, shape: tuple[int, ...]) -> Rows:
    """Undo :func:`to_rows`."""
    if isinstance(layer, Convolution):
        out, share, height, width = shape
        rows = np.ascontiguousarray(rows.reshape(out, height, width, share).transpose(0, 3, 1, 2))
    return rows.reshape(shape)
