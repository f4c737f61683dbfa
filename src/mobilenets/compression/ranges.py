"""Ranges of activations: which real numbers the 256 levels of each one should span."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import NamedTuple, assert_never

import numpy as np

from mobilenets.architecture.layers import INPUT, Activation, Layer, MaxPool
from mobilenets.architecture.network import Network
from mobilenets.base.arguments import is_number
from mobilenets.compression.observation import Histogram, Observation
from mobilenets.errors import CompressionError, ModelError
from mobilenets.model.quantization import Quantization, TensorQuantization, needed_pre_activations, real_outputs

_CANDIDATES = np.linspace(0.3, 1.0, 71)
"""Shares of the observed range that are tried for the least squared error."""


class RangeMethod(StrEnum):
    """How a range is chosen from a histogram."""

    MIN_MAX = "min-max"
    """From the lowest to the highest value."""
    PERCENTILE = "percentile"
    """All but the rarest values at either end."""
    MSE = "mse"
    """The range with the least squared error of rounding and clamping together."""


def check_percentile(percentile: float) -> None:
    """Refuse a share of values that no percentile range can keep.

    Raises:
        CompressionError: If it is not a number in (50, 100].
    """
    if not (is_number(percentile) and 50 < percentile <= 100):
        raise CompressionError(f"a percentile range keeps more than 50 and at most 100 % of values, not {percentile!r}")


def choose_ranges(
    network: Network,
    seen: Mapping[str, Observation],
    input_quantization: TensorQuantization,
    *,
    method: RangeMethod = RangeMethod.MSE,
    percentile: float = 99.99,
) -> Quantization:
    """Scale and zero point of every activation, and of every pre-activation that a table reads.

    Args:
        network: The folded network.
        seen: From :func:`mobilenets.compression.observation.observe`.
        input_quantization: Scale and zero point of the pixels, from :func:`mobilenets.model.folding.fold_input`.
        method: How a histogram becomes a range.
        percentile: Share of values, in percent, that a percentile range keeps.

    Raises:
        CompressionError: If the percentile is not in (50, 100].
    """
    check_percentile(percentile)

    def range_of(histogram: Histogram) -> tuple[float, float]:
        match method:
            case RangeMethod.MIN_MAX:
                return histogram.low, histogram.high
            case RangeMethod.PERCENTILE:
                return histogram.percentile(percentile)
            case RangeMethod.MSE:
                return least_squares_range(histogram)
            case _:
                assert_never(method)

    def of_layer(layer: Layer) -> LayerRanges:
        observed = seen[layer.name]
        before = None if observed.pre_activation is None else range_of(observed.pre_activation)
        return LayerRanges(range_of(observed.histogram), before)

    return quantized_ranges(network, input_quantization, of_layer)


def least_squares_range(histogram: Histogram) -> tuple[float, float]:
    """The part of the observed range with the least squared error of rounding and clamping to 256 levels."""
    used = np.flatnonzero(histogram.counts)
    counts, centres = histogram.counts[used], histogram.centres[used]
    best = (np.inf, histogram.low, histogram.high)
    for share in _CANDIDATES:
        low, high = share * histogram.low, share * histogram.high
        step = max((high - low) / 255, 1e-30)
        rounded = np.clip(np.rint((centres - low) / step), 0, 255) * step + low
        error = float((counts * (rounded - centres) ** 2).sum())
        best = min(best, (error, low, high))
    return best[1], best[2]


class LayerRanges(NamedTuple):
    """Ranges that one layer's 256 levels should span.

    Attributes:
        output: Lowest and highest result.
        pre_activation: Lowest and highest value that the activation function reads, where it is not a clamp.
    """

    output: tuple[float, float]
    pre_activation: tuple[float, float] | None = None


def quantized_ranges(
    network: Network, input_quantization: TensorQuantization, ranges_of: Callable[[Layer], LayerRanges]
) -> Quantization:
    """Scale and zero point of every activation and pre-activation.

    Args:
        network: The folded network.
        input_quantization: Scale and zero point of the pixels.
        ranges_of: The ranges that a layer's levels should span.

    Raises:
        CompressionError: Naming a layer whose range has no valid scale.
    """
    activations, pre_activations = {INPUT: input_quantization}, {}
    tabled = needed_pre_activations(network)
    for layer in network.layers:
        if isinstance(layer, MaxPool):
            activations[layer.name] = activations[layer.inputs[0]]
            continue
        ranges = ranges_of(layer)
        low, high = ranges.output
        activations[layer.name] = _named(layer, _lowest(layer.activation, low), high)
        if layer.name in tabled:
            if ranges.pre_activation is None:
                raise CompressionError(f"{layer.name} has no range for what its activation {layer.activation} reads")
            pre_activations[layer.name] = _named(layer, *ranges.pre_activation)
    real = real_outputs(network)
    quantized = {name: value for name, value in activations.items() if name not in real}
    return Quantization(quantized, pre_activations=pre_activations)


def _lowest(activation: Activation, low: float) -> float:
    """The lowest value that is quantized of a layer's results: 0 where its activation gives nothing below."""
    match activation:
        case Activation.NONE | Activation.HARD_SWISH:
            return low
        case Activation.RELU | Activation.RELU6 | Activation.HARD_SIGMOID:
            return 0.0
        case _:
            assert_never(activation)


def _named(layer: Layer, low: float, high: float) -> TensorQuantization:
    try:
        return TensorQuantization.spanning(low, high)
    except ModelError as error:
        raise CompressionError(f"{layer.name} spans {low:g} to {high:g}, which cannot be quantized: {error}") from None
