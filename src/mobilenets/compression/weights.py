"""The weights of one layer on their way to integers: their bits, scales, rounding and biases."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from mobilenets.architecture.layers import Layer
from mobilenets.architecture.network import Network
from mobilenets.compression.filters import Rows, from_rows, to_rows
from mobilenets.compression.rounding import nearest, reconstruct, weight_scales
from mobilenets.model.integer_layers import Arithmetic
from mobilenets.model.model import Model, Tensor
from mobilenets.model.packing import round_up_to_bfloat16
from mobilenets.model.quantization import TensorQuantization

KEPT_AT_8_BITS = 0.02
"""Share of the weights before the outputs, those of the smallest layers, that keep 8 bits in a 4-bit Model."""
_LARGEST_BIAS = 1 << 22
"""Units that a bias uses at most, for channels of hardly any weight: fine enough, and float32 sums stay exact."""
_SHORT_BIAS = 30_000
"""Units below which a layer's biases take 16 bits in the file, with room for a correction."""
_WIDENED = 0.01
"""Share of a layer's channels whose grid may be made coarser, by two at most, for the biases of all to be short."""


@dataclass(frozen=True, eq=False)
class RoundedWeights:
    """The weights of one layer, before and after rounding.

    Attributes:
        layer: The layer.
        rows: Float weights, float64 (groups, out, in), see :func:`to_rows`.
        integers: The same rounded, in steps of their scales.
        scales: float64 (groups, out).
        bias: Float biases, (out,).
        shape: Shape of the weights in a Model.
    """

    layer: Layer
    rows: Rows
    integers: Rows
    scales: Rows
    bias: Rows
    shape: tuple[int, ...]

    @property
    def real(self) -> Rows:
        """What the integers stand for, (groups, out, in)."""
        return self.integers * self.scales[:, :, None]

    def arithmetic(self, numbers: Arithmetic, correction: Rows | float = 0.0) -> Arithmetic:
        """The layer's integer parameters, with a correction added to its biases, (out,)."""
        scales = self.scales.reshape(-1)
        return replace(
            numbers,
            weight=from_rows(self.layer, self.integers, self.shape).astype(np.int8),
            weight_scale=scales.astype(np.float32),
            bias=integer_bias(self.bias + correction, numbers.sources[0].scale, scales),
        )


def round_weights(
    model: Model,
    layer: Layer,
    source: TensorQuantization,
    bits: int,
    products: Rows | None = None,
    gain: Rows | float = 1.0,
) -> RoundedWeights:
    """Choose a layer's scales and round its weights.

    Args:
        model: float32, folded.
        layer: A layer with weights.
        source: Scale and zero point of its input.
        bits: Bits of its weights.
        products: Covariance of the inputs, (groups, in, in); None rounds to the nearest.
        gain: Factor on the weights of each channel before they are rounded, (groups, out).
    """
    weight = model.parameters[f"{layer.name}.weight"].astype(np.float64)
    bias = model.parameters[f"{layer.name}.bias"].astype(np.float64)
    rows = to_rows(layer, weight)
    target = rows * np.broadcast_to(gain, rows.shape[:2])[:, :, None]
    variance = None if products is None else np.diagonal(products, axis1=1, axis2=2)
    scales = weight_scales(target, bits, variance)
    channels = target.reshape(len(weight), -1)
    scales = settled_scales(scales.reshape(-1), channels, bias, source.scale, bits).reshape(scales.shape)
    integers = nearest(target, scales, bits) if products is None else reconstruct(target, scales, bits, products)
    return RoundedWeights(layer, rows, integers, scales, bias, weight.shape)


def settled_scales(scales: Rows, weight: Rows, bias: Rows, scale_in: float, bits: int) -> Rows:
    """The weight scales that the Model stores: wide enough for each bias, and bfloat16, half the bytes in a file.

    Rounding up to a bfloat16 makes a grid coarser by 0.4 % in the mean. Where a channel has no weights, its scale is as
    fine as its bias allows. Biases of 4-bit layers, whose units are large, are short; those of 8-bit layers are where
    that costs one channel in a hundred a bit at most.

    Args:
        scales: Where the weights alone would put them, (out,).
        weight: (out, …).
        bias: (out,).
        scale_in: Scale of the layer's input.
        bits: Bits of the weights.
    """
    short = np.abs(bias) / (scale_in * _SHORT_BIAS)
    coarser = short > scales
    cheap = coarser.mean() <= _WIDENED and bool((short <= 2 * scales).all())
    needed = short if bits == 4 or cheap else np.abs(bias) / (scale_in * _LARGEST_BIAS)
    dead = ~weight.reshape(len(weight), -1).any(axis=1)
    scales = np.where(dead & (needed > 0), 0.0, scales)
    return round_up_to_bfloat16(np.maximum(scales, needed))


def integer_bias(bias: Rows, scale_in: float, scales: Rows) -> npt.NDArray[np.int32]:
    """Biases as int32 at input scale · weight scale."""
    limits = np.iinfo(np.int32)
    return np.clip(np.rint(bias / (scale_in * scales)), limits.min, limits.max).astype(np.int32)


def integer_parameters(layer: Layer, numbers: Arithmetic) -> dict[str, Tensor]:
    """Tensors of an int8 Model for one layer with weights."""
    named = {"weight": numbers.weight, "weight_scale": numbers.weight_scale, "bias": numbers.bias}
    return {f"{layer.name}.{kind}": tensor for kind, tensor in named.items() if tensor is not None}


def bits_by_layer(network: Network, weight_bits: int) -> dict[str, int]:
    """Bits of the weights of every layer that has some.

    Where 4 are asked for, the smallest layers keep 8, as many as hold :data:`KEPT_AT_8_BITS` of all weights together,
    those of output layers aside, so that the number of classes has no influence: a layer's quantization error does not
    shrink with its size, and a MobileNet's first layers and most depthwise ones are hardly any bytes.

    >>> from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
    >>> bits = bits_by_layer(mobilenet_v1(), 4)
    >>> [name for name, of_layer in bits.items() if of_layer == 4][:3]
    ['block3.pointwise', 'block4.pointwise', 'block5.pointwise']
    """
    sizes = {
        layer.name: math.prod(layer.weight_shape(network.input_shapes(layer)))
        for layer in network.layers
        if layer.has_weight
    }
    bits = dict.fromkeys(sizes, weight_bits)
    inner = [name for name in sizes if name not in network.outputs]
    room = KEPT_AT_8_BITS * sum(sizes[name] for name in inner)
    for name in sorted(inner, key=lambda name: sizes[name]):
        room -= sizes[name]
        if room < 0:
            break
        bits[name] = 8
    return bits
