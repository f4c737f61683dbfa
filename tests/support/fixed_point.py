"""What LiteRT's reference kernels compute for an imported uint8 network, byte for byte.

A Model requantises in float32, as today's runtimes do; the kernels that the official networks were published with
multiply by a 32-bit fixed-point number and round twice. The two agree but where a sum falls almost between two bytes,
and then they are one step apart. This module follows the published kernels, so that an import can be held against their
outputs to the last byte; nothing else runs it.

Source: tensorflow/lite/kernels (internal/common.h, kernel_util.cc, reference/softmax.h); gemmlowp fixedpoint.h.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from mobilenets.architecture.layers import INPUT, GlobalAveragePool, Layer
from mobilenets.errors import FormatError
from mobilenets.model.model import Model, Tensor
from mobilenets.model.preprocessing import Pixels
from mobilenets.model.quantization import TensorQuantization
from mobilenets.model.reference import accumulate


def run_fixed_point(model: Model, pixels: Pixels) -> npt.NDArray[np.uint8]:
    """Logits of an imported network as the published kernels give them.

    Args:
        model: A chain of weighted layers and average pools that came from a uint8 ``.tflite`` file.
        pixels: uint8, (N, height, width, 3).

    Returns:
        uint8, (N, classes), at the scale and zero point in the Model's provenance.

    Raises:
        FormatError: If the Model did not come from such a file.
    """
    imported = model.provenance.get("imported", {})
    if model.quantization is None or "logits_scale" not in imported:
        raise FormatError("only a Model that was imported from a quantised .tflite file has published kernels")
    scales = dict(model.quantization.activations)
    (output,) = model.network.outputs
    scales[output] = TensorQuantization(imported["logits_scale"], imported["logits_zero_point"])
    values: Tensor = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))
    previous = INPUT
    for layer in model.network.layers:
        if layer.inputs != (previous,):
            raise FormatError(f"{layer.name} does not follow {previous}; the published networks are chains")
        values = fixed_point_layer(model, layer, values, scales[previous], scales[layer.name])
        previous = layer.name
    logits: npt.NDArray[np.uint8] = values[:, :, 0, 0]
    return logits


def fixed_point_layer(
    model: Model, layer: Layer, values: Tensor, source: TensorQuantization, target: TensorQuantization
) -> npt.NDArray[np.uint8]:
    """One layer's bytes from its input's bytes, (N, C, H, W) to (N, C', H', W')."""
    sums = accumulate(model, layer, values, source)
    low, high = target.clamp(layer.activation)
    if isinstance(layer, GlobalAveragePool):
        count = values.shape[2] * values.shape[3]
        total = sums.astype(np.int64) + source.zero_point * count
        return _bytes((total + count // 2) // count, low, high)
    weight_scale = model.parameters[f"{layer.name}.weight_scale"]
    # The kernels multiply the two scales in float32 before they go on in double precision.
    product = (np.float32(source.scale) * weight_scale).astype(np.float64) / np.float64(np.float32(target.scale))
    steps = np.empty(sums.shape, np.int64)
    for channel, multiplier in enumerate(product):
        steps[:, channel] = multiply(sums[:, channel].astype(np.int64), float(multiplier))
    return _bytes(steps + target.zero_point, low, high)


def _bytes(steps: Tensor, low: int, high: int) -> npt.NDArray[np.uint8]:
    clamped: npt.NDArray[np.uint8] = np.clip(steps, low, high).astype(np.uint8)
    return clamped


def multiply(sums: npt.NDArray[np.int64], multiplier: float) -> npt.NDArray[np.int64]:
    """A product with a real multiplier in 32-bit fixed point, rounded to 31 bits and then to whole numbers.

    >>> multiply(np.array([3, -3, 5]), 0.5)
    array([ 2, -1,  3])
    """
    mantissa, exponent = math.frexp(multiplier)
    fixed = round(mantissa * (1 << 31))
    if fixed == 1 << 31:
        fixed, exponent = fixed // 2, exponent + 1
    product = (sums << max(exponent, 0)) * fixed
    nudged = product + np.where(product >= 0, 1 << 30, 1 - (1 << 30))
    high = np.where(nudged >= 0, nudged >> 31, -(-nudged >> 31))
    right = max(-exponent, 0)
    mask = (1 << right) - 1
    rounded: npt.NDArray[np.int64] = (high >> right) + ((high & mask) > (mask >> 1) + (high < 0))
    return rounded


def softmax_bytes(logits: npt.NDArray[np.uint8], scale: float) -> npt.NDArray[np.uint8]:
    """The softmax that ends the official networks: uint8 logits in, probabilities in steps of 1/256 out."""
    table = np.exp(-np.float32(scale) * np.arange(256, dtype=np.float32)).astype(np.float32)
    powers = table[logits.max(axis=1, keepdims=True).astype(int) - logits.astype(int)]
    shares = powers / powers.sum(axis=1, keepdims=True, dtype=np.float32)
    return _bytes(np.rint(shares * 256), 0, 255)
