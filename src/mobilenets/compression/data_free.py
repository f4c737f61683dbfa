"""Data-free quantization: batch norms say what to expect of every layer's results.

A batch norm's γ and β are the standard deviation and the mean of its results, by channel. That is enough for ranges,
for equalization and absorption, and for the mean that rounded weights shift, which goes into the bias. It cannot say
how inputs vary together, so weights are rounded to the nearest.

Source: Nagel et al. 2019, arXiv:1906.04721, sections 4.1 and 4.2.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mobilenets.architecture.layers import (
    INPUT,
    Activation,
    Add,
    Concatenate,
    GlobalAveragePool,
    Layer,
    MaxPool,
)
from mobilenets.compression.config import QuantizationConfig
from mobilenets.compression.equalize import absorb, equalize
from mobilenets.compression.filters import row_means
from mobilenets.compression.quantize import Quantized, assemble
from mobilenets.compression.ranges import ChannelRange, Vector, quantized_ranges
from mobilenets.compression.weights import bits_by_layer, integer_parameters, round_weights
from mobilenets.errors import CompressionError
from mobilenets.model.folding import check_finite, fold, fold_input, refuse_int8, with_biases
from mobilenets.model.model import Model, Tensor
from mobilenets.model.numpy_runtime import Arithmetic
from mobilenets.model.quantization import TensorQuantization, real_outputs

_DEVIATIONS = 6.0
"""Standard deviations around the mean that are expected to hold all values: arXiv:1906.04721, section 4.1.1."""
_RELU6_TOP = 6.0


@dataclass
class Expectation(ChannelRange):
    """What is expected of one activation.

    Attributes:
        mean: Mean of each channel.
    """

    mean: Vector


def quantize_without_images(model: Model, config: QuantizationConfig = QuantizationConfig()) -> Quantized:
    """Quantize a float32 Model by its batch norms' parameters.

    Args:
        model: float32; every layer with weights whose result is quantized has a batch norm.
        config: What is done on the way; how ranges are chosen and weights are rounded makes no difference.

    Returns:
        The int8 Model, without SQNR: there is nothing to measure it on.

    Raises:
        CompressionError: If the Model is int8 already or broken, or naming a layer without a batch norm.
    """
    refuse_int8(model)
    check_finite(model)
    ready, input_quantization = fold_input(with_biases(model))
    expected, absorbed = expectations(ready, input_quantization), 0
    if config.absorb:
        ready, expected, absorbed = absorb(ready, expected)
    if config.equalize:
        ready, _ = equalize(ready, expected)
    expected = expectations(ready, input_quantization)
    folded = fold(ready)
    activations = _ranges(folded, input_quantization, expected)
    parameters: dict[str, Tensor] = {}
    bits = bits_by_layer(folded.network, config.weight_bits)
    for layer in folded.network.layers:
        if layer.has_weight:
            sources = tuple(activations[name] for name in layer.inputs)
            rounded = round_weights(folded, layer, sources[0], bits[layer.name])
            numbers = Arithmetic(sources, activations.get(layer.name))
            if config.bias_correction and layer.inputs[0] != INPUT:
                mean = row_means(layer, expected[layer.inputs[0]].mean, rounded.rows.shape)
                numbers = rounded.arithmetic(numbers, ((rounded.rows - rounded.real) @ mean).reshape(-1))
            else:
                numbers = rounded.arithmetic(numbers)
            parameters |= integer_parameters(layer, numbers)
    result = assemble(model, folded.network, parameters, activations, config)
    return Quantized(result, folded, absorbed_channels=absorbed)


def expectations(model: Model, input_quantization: TensorQuantization) -> dict[str, Expectation]:
    """What to expect of the image and of every layer's results.

    Args:
        model: float32, not folded.
        input_quantization: Scale and zero point of the pixels.

    Raises:
        CompressionError: Naming a layer whose results no batch norm describes, though they are quantized.
    """
    channels = np.ones(model.network.channels)
    low, high = (input_quantization.scale * (end - input_quantization.zero_point) for end in (0, 255))
    expected = {INPUT: Expectation(low * channels, high * channels, (low + high) / 2 * channels)}
    for layer in model.network.layers:
        expected[layer.name] = _expectation(model, layer, [expected[name] for name in layer.inputs])
    return expected


def clipped_normal_mean(mean: Vector, deviation: Vector, low: float, high: float) -> Vector:
    """The mean of normally distributed values that are clipped to a range.

    Args:
        mean: Before clipping.
        deviation: Standard deviations before clipping; 0 is allowed.
        low: Lower end of the range, or −∞.
        high: Upper end of the range, or ∞.

    Source: arXiv:1906.04721, appendix C.

    >>> clipped_normal_mean(np.array([0.0, -1.0, 9.0]), np.array([1.0, 0.0, 0.0]), 0.0, 6.0).round(4).tolist()
    [0.3989, 0.0, 6.0]
    """
    spread = np.maximum(deviation, 1e-30)
    below, density_low = _normal((low - mean) / spread)
    under_high, density_high = _normal((high - mean) / spread)
    inside = mean * (under_high - below) + spread * (density_low - density_high)
    # The ends count only where they are finite: 0 · ∞ is NaN.
    return inside + (low * below if np.isfinite(low) else 0.0) + (high * (1 - under_high) if np.isfinite(high) else 0.0)


def _normal(points: Vector) -> tuple[Vector, Vector]:
    """The standard normal distribution's share below some points, and its density there."""
    below = np.array([0.5 * math.erfc(-point / math.sqrt(2)) for point in points.ravel()]).reshape(points.shape)
    density: Vector = np.exp(-0.5 * np.square(np.clip(points, -40, 40))) / math.sqrt(2 * math.pi)
    return below, density


def _expectation(model: Model, layer: Layer, sources: list[Expectation]) -> Expectation:
    activation = layer.activation
    bottom = -math.inf if activation is Activation.NONE else 0.0
    top = _RELU6_TOP if activation is Activation.RELU6 else math.inf
    match layer:
        case MaxPool() | GlobalAveragePool():
            return sources[0]
        case Concatenate():
            ends = ([getattr(source, end) for source in sources] for end in ("low", "high", "mean"))
            return Expectation(*(np.concatenate(parts) for parts in ends))
        case Add():
            low, high, mean = (
                np.sum([getattr(source, end) for source in sources], axis=0) for end in ("low", "high", "mean")
            )
            return Expectation(low.clip(bottom, top), high.clip(bottom, top), mean.clip(bottom, top))
        case _ if layer.batch_norm is not None:
            beta, gamma = (
                model.parameters[f"{layer.name}.batch_norm.{kind}"].astype(np.float64) for kind in ("bias", "weight")
            )
            spread = _DEVIATIONS * np.abs(gamma)
            mean = clipped_normal_mean(beta, np.abs(gamma), bottom, top)
            return Expectation((beta - spread).clip(bottom, top), (beta + spread).clip(bottom, top), mean)
        case _ if layer.name in real_outputs(model.network):
            nothing = np.zeros(len(model.parameters[f"{layer.name}.weight"]))
            return Expectation(nothing, nothing, nothing)  # not quantized, and read by nobody
    raise CompressionError(f"{layer.name} has no batch norm to tell its range from; calibrate with images instead")


def _ranges(
    folded: Model, input_quantization: TensorQuantization, expected: Mapping[str, Expectation]
) -> dict[str, TensorQuantization]:
    def expected_range(layer: Layer) -> tuple[float, float]:
        low, high = float(expected[layer.name].low.min()), float(expected[layer.name].high.max())
        if low == high == 0 and layer.name not in real_outputs(folded.network):
            raise CompressionError(
                f"{layer.name} gives nothing but zero by what its batch norm says (all channels are dead); "
                "there is no range to quantize"
            )
        return low, high

    return quantized_ranges(folded.network, input_quantization, expected_range)
