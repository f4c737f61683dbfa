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
from typing import assert_never

import numpy as np

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
from mobilenets.compression.config import QuantizationConfig
from mobilenets.compression.equalize import absorb, equalize
from mobilenets.compression.filters import row_means
from mobilenets.compression.observation import ChannelRange, Vector, effective_range
from mobilenets.compression.quantize import Quantized, assemble, without_weights
from mobilenets.compression.ranges import LayerRanges, quantized_ranges
from mobilenets.compression.weights import bits_by_layer, integer_parameters, round_weights
from mobilenets.errors import CompressionError
from mobilenets.model.activations import activate
from mobilenets.model.folding import check_finite, fold, fold_input, refuse_int8, with_biases
from mobilenets.model.model import Model, Tensor
from mobilenets.model.quantization import Quantization, TensorQuantization, real_outputs

_DEVIATIONS = 6.0
"""Standard deviations around the mean that are expected to hold all values: arXiv:1906.04721, section 4.1.1."""


@dataclass
class Expectation(ChannelRange):
    """What is expected of one activation.

    Attributes:
        mean: Mean of each channel.
        pre_activation: Range of each channel before the activation, where that is not a clamp; None elsewhere.
    """

    mean: Vector
    pre_activation: ChannelRange | None = None


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
    quantization = _ranges(folded, input_quantization, expected)
    parameters: dict[str, Tensor] = {}
    bits = bits_by_layer(folded.network, config.weight_bits)
    for layer in folded.network.layers:
        if layer.has_weight:
            numbers = without_weights(quantization, layer)
            rounded = round_weights(folded, layer, numbers.sources[0], bits[layer.name])
            if config.bias_correction and layer.inputs[0] != INPUT:
                mean = row_means(layer, expected[layer.inputs[0]].mean, rounded.rows.shape)
                numbers = rounded.arithmetic(numbers, ((rounded.rows - rounded.real) @ mean).reshape(-1))
            else:
                numbers = rounded.arithmetic(numbers)
            parameters |= integer_parameters(layer, numbers)
    result = assemble(model, folded.network, parameters, quantization, config)
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


def expected_mean(mean: Vector, deviation: Vector, activation: Activation) -> Vector:
    """The mean of an activation function of normally distributed values.

    Args:
        mean: Before the activation.
        deviation: Standard deviations before the activation; 0 is allowed.
        activation: The function.

    >>> mean, deviation = np.array([0.0, 2.0]), np.array([1.0, 0.0])
    >>> expected_mean(mean, deviation, Activation.HARD_SIGMOID).round(4).tolist()
    [0.5, 0.8333]
    >>> expected_mean(mean, deviation, Activation.HARD_SWISH).round(4).tolist()
    [0.1662, 1.6667]
    """
    match activation:
        case Activation.NONE | Activation.RELU | Activation.RELU6:
            return clipped_normal_mean(mean, deviation, *_bounds(activation))
        case Activation.HARD_SIGMOID:
            return clipped_normal_mean(mean / 6 + 0.5, deviation / 6, 0.0, 1.0)
        case Activation.HARD_SWISH:
            return _hard_swish_mean(mean, deviation)
        case _:
            assert_never(activation)


def _hard_swish_mean(mean: Vector, deviation: Vector) -> Vector:
    """x · (x + 3) / 6 between −3 and 3, and x above, integrated over the normal distribution."""
    spread = np.maximum(deviation, 1e-30)
    below, density_low = _normal((-3 - mean) / spread)
    under_high, density_high = _normal((3 - mean) / spread)
    share = under_high - below
    first = mean * share + spread * (density_low - density_high)
    second = (mean**2 + spread**2) * share + spread * ((mean - 3) * density_low - (mean + 3) * density_high)
    above: Vector = mean * (1 - under_high) + spread * density_high
    result: Vector = (second + 3 * first) / 6 + above
    return result


def _bounds(activation: Activation) -> tuple[float, float]:
    bounds = activation.bounds
    return (-math.inf, math.inf) if bounds is None else bounds


def _activated(layer: Layer, low: Vector, high: Vector, mean: Vector) -> Expectation:
    """What is expected after a layer's activation, of the range before it and the mean after it.

    Args:
        layer: The layer.
        low: Lowest value of each channel before the activation.
        high: Highest value of each channel before the activation.
        mean: Mean of each channel after the activation.
    """
    activation = layer.activation
    first, last = activate(low, activation), activate(high, activation)
    match activation:
        case Activation.NONE | Activation.RELU | Activation.RELU6:
            return Expectation(first, last, mean)
        case Activation.HARD_SIGMOID | Activation.HARD_SWISH:
            bottom, top = effective_range(activation)
            before = ChannelRange(low.clip(bottom, top), high.clip(bottom, top))
            lowest, highest = np.minimum(first, last), np.maximum(first, last)
            if activation is Activation.HARD_SWISH:  # it falls to its minimum of −3 / 8 at −1.5, and rises from there
                lowest = np.where((low < -1.5) & (high > -1.5), -0.375, lowest)
            return Expectation(lowest, highest, mean, before)
        case _:
            assert_never(activation)


def _expectation(model: Model, layer: Layer, sources: list[Expectation]) -> Expectation:
    match layer:
        case MaxPool() | GlobalAveragePool():
            return sources[0]
        case Concatenate():
            return Expectation(
                np.concatenate([source.low for source in sources]),
                np.concatenate([source.high for source in sources]),
                np.concatenate([source.mean for source in sources]),
            )
        case Add():
            low, high, mean = (
                np.sum(ends, axis=0)
                for ends in zip(*((source.low, source.high, source.mean) for source in sources), strict=True)
            )
            return _activated(layer, low, high, activate(mean, layer.activation))
        case Multiply():
            first, second = sources
            products = [one * other for one in (first.low, first.high) for other in (second.low, second.high)]
            mean = activate(first.mean * second.mean, layer.activation)  # as if they were independent
            return _activated(layer, np.min(products, axis=0), np.max(products, axis=0), mean)
        case Convolution() | DepthwiseConvolution() | PointwiseConvolution() | Linear():
            return _weighted_expectation(model, layer)
        case _:
            raise CompressionError(f"{layer.name} is of a kind that has no expectation: {type(layer).__name__}")


def _weighted_expectation(model: Model, layer: Layer) -> Expectation:
    if layer.batch_norm is not None:
        gamma, beta = (model.parameters[name].astype(np.float64) for name in layer.batch_norm_names[:2])
        spread = _DEVIATIONS * np.abs(gamma)
        mean = expected_mean(beta, np.abs(gamma), layer.activation)
        return _activated(layer, beta - spread, beta + spread, mean)
    if layer.name in real_outputs(model.network):
        nothing = np.zeros(len(model.parameters[f"{layer.name}.weight"]))
        return Expectation(nothing, nothing, nothing)  # not quantized, and read by nobody
    raise CompressionError(f"{layer.name} has no batch norm to tell its range from; calibrate with images instead")


def _ranges(folded: Model, input_quantization: TensorQuantization, expected: Mapping[str, Expectation]) -> Quantization:
    def expected_ranges(layer: Layer) -> LayerRanges:
        one = expected[layer.name]
        output = _ends(one)
        if output == (0.0, 0.0) and layer.name not in real_outputs(folded.network):
            raise CompressionError(
                f"{layer.name} gives nothing but zero by what its batch norm says (all channels are dead); "
                "there is no range to quantize"
            )
        return LayerRanges(output, None if one.pre_activation is None else _ends(one.pre_activation))

    return quantized_ranges(folded.network, input_quantization, expected_ranges)


def _ends(channels: ChannelRange) -> tuple[float, float]:
    return float(channels.low.min()), float(channels.high.max())
