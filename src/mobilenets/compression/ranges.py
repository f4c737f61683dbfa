"""Ranges of activations: which real numbers the 256 levels of each one should span.

Observation streams: whatever the number of images, it keeps one histogram per layer and a few numbers per channel.
Ranges are then chosen from the histograms.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, assert_never

import numpy as np
import numpy.typing as npt

from mobilenets.architecture.layers import INPUT, Activation, Layer, MaxPool
from mobilenets.architecture.network import Network
from mobilenets.base.progress import SILENT, Progress
from mobilenets.errors import CompressionError, ModelError
from mobilenets.model.folding import refuse_int8
from mobilenets.model.model import Model
from mobilenets.model.numpy_runtime import Map, results
from mobilenets.model.preprocessing import Pixels
from mobilenets.model.quantization import Quantization, TensorQuantization, needed_pre_activations, real_outputs

BINS = 2048
_CANDIDATES = np.linspace(0.3, 1.0, 71)
"""Shares of the observed range that are tried for the least squared error."""

Vector = npt.NDArray[np.float64]


class RangeMethod(StrEnum):
    """How a range is chosen from a histogram."""

    MIN_MAX = "min-max"
    """From the lowest to the highest value."""
    PERCENTILE = "percentile"
    """All but the rarest values at either end."""
    MSE = "mse"
    """The range with the least squared error of rounding and clamping together."""


class Histogram:
    """Counts of real numbers over a range that widens as needed, by merging neighbouring bins."""

    def __init__(self) -> None:
        self.counts: npt.NDArray[np.int64] = np.zeros(BINS, np.int64)
        self.low = self.high = 0.0
        self.width = 0.0  # of a bin; bin i covers (i − BINS / 2) · width to one width more

    def add(self, values: Map) -> None:
        """Count the values of a batch."""
        low, high = float(values.min()), float(values.max())
        self.low, self.high = min(self.low, low), max(self.high, high)
        extent = max(-low, high)
        if extent <= 0:
            self.counts[BINS // 2] += values.size
            return
        self._widen(extent)
        index = np.multiply(values, np.float32(1 / self.width)).astype(np.int16, copy=False)
        if self.low < 0:  # the cast went towards zero; bins go downwards
            index -= values < 0
        counted = np.bincount((index + np.int16(BINS // 2)).clip(0, BINS - 1).ravel(), minlength=BINS)
        self.counts += counted

    def _widen(self, extent: float) -> None:
        if self.width == 0:
            # The first batch fills the bins to between a half and all, so that the next ones rarely merge them.
            self.width = extent / (BINS // 2 - 1)
            return
        while extent > self.width * (BINS // 2 - 1):
            merged = np.zeros_like(self.counts)
            half = self.counts.reshape(-1, 2).sum(axis=1)
            merged[BINS // 4 : BINS // 4 + BINS // 2] = half
            self.counts, self.width = merged, self.width * 2

    @property
    def centres(self) -> Vector:
        """The middle of each bin."""
        return (np.arange(BINS, dtype=np.float64) - BINS / 2 + 0.5) * np.float64(self.width)

    def percentile(self, share: float) -> tuple[float, float]:
        """The range that leaves out ``(100 − share) %`` of the values at each end (the lower end only below zero)."""
        total = np.cumsum(self.counts)
        outside = total[-1] * (1 - share / 100)
        high = self.centres[min(int(np.searchsorted(total, total[-1] - outside)), BINS - 1)] + self.width / 2
        low = self.centres[min(int(np.searchsorted(total, outside, side="right")), BINS - 1)] - self.width / 2
        return min(max(low, self.low), 0.0), max(min(high, self.high), 0.0)


@dataclass
class ChannelRange:
    """Range of each channel of one activation.

    Attributes:
        low: Lowest value of each channel.
        high: Highest value of each channel.
    """

    low: Vector
    high: Vector


@dataclass
class Observation(ChannelRange):
    """What was observed of one activation.

    Attributes:
        histogram: Histogram of all its values.
        total: Sum of each channel's values.
        count: Number of values per channel.
        pre_activation: Histogram of what the activation function reads, where it is not a clamp; None elsewhere.
    """

    histogram: Histogram
    total: Vector
    count: int = 0
    pre_activation: Histogram | None = None

    @staticmethod
    def of(channels: int) -> Observation:
        """Nothing observed yet."""
        return Observation(np.full(channels, np.inf), np.full(channels, -np.inf), Histogram(), np.zeros(channels))

    @property
    def mean(self) -> Vector:
        """Mean of each channel."""
        return self.total / max(self.count, 1)

    def add(self, values: Map, pre_activation: Map | None = None) -> None:
        """Observe one more batch.

        Args:
            values: Results of the layer, channels last.
            pre_activation: What its activation function reads, clipped to where that makes a difference (see
                :func:`effective_range`), if it is not a clamp.
        """
        if pre_activation is not None:
            self.pre_activation = self.pre_activation or Histogram()
            self.pre_activation.add(pre_activation)
        flat = values.reshape(-1, values.shape[-1])
        self.histogram.add(values)
        np.minimum(self.low, flat.min(axis=0), out=self.low)
        np.maximum(self.high, flat.max(axis=0), out=self.high)
        self.total += flat.sum(axis=0, dtype=np.float64)
        self.count += len(flat)


def observe(
    model: Model, batches: Iterable[Pixels], *, total: int = 0, progress: Progress = SILENT
) -> dict[str, Observation]:
    """Run a float Model over calibration images and observe every activation.

    Args:
        model: float32, folded or not.
        batches: uint8 (N, height, width, channels) each; memory is bounded by the largest one.
        total: Number of images, for the progress.
        progress: Receives progress updates.

    Returns:
        By layer name, and ``"input"``.

    Raises:
        CompressionError: If there are no images, all of them are of a single colour each, the Model's values are
            not finite, or a whole layer gives nothing but zero.
    """
    refuse_int8(model)
    seen: dict[str, Observation] = {}
    images = 0
    varied = False
    with progress.task("calibrating", total, "images") as task:
        for pixels in batches:
            images += len(pixels)
            flat = pixels.reshape(len(pixels), -1, pixels.shape[-1])
            varied = varied or bool((flat.min(axis=1) < flat.max(axis=1)).any())
            for name, values, before in results(model, pixels):
                if not np.isfinite(values).all():
                    raise CompressionError(f"{name} gives NaN or infinite values for a calibration image")
                if before is not None:
                    before = np.clip(before, *effective_range(model.network[name].activation))
                seen.setdefault(name, Observation.of(values.shape[-1])).add(values, before)
            task.advance(len(pixels))
    if not images:
        raise CompressionError("calibration needs images; there are none")
    if not varied:
        raise CompressionError(
            f"all {images} calibration images are of a single colour; calibration needs images like those "
            "that the Model will see"
        )
    _refuse_dead_layers(model.network, seen)
    return seen


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
        seen: From :func:`observe`.
        input_quantization: Scale and zero point of the pixels, from :func:`mobilenets.model.folding.fold_input`.
        method: How a histogram becomes a range.
        percentile: Share of values, in percent, that a percentile range keeps.

    Raises:
        CompressionError: If the percentile is not in (50, 100].
    """
    if not 50 < percentile <= 100:
        raise CompressionError(f"a percentile range keeps more than 50 and at most 100 % of values, not {percentile}")

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


def affine(low: float, high: float) -> TensorQuantization:
    """Scale and zero point whose 256 levels span a range that is widened to include zero.

    >>> affine(0.0, 6.0).zero_point, affine(-1.0, 1.0).zero_point
    (0, 128)
    """
    low, high = min(low, 0.0), max(high, 0.0)
    scale = max((high - low) / 255, 1e-12)
    return TensorQuantization(scale, int(np.clip(np.rint(-low / scale), 0, 255)))


class LayerRanges(NamedTuple):
    """Ranges that one layer's 256 levels should span.

    Attributes:
        output: Lowest and highest result.
        pre_activation: Lowest and highest value that the activation function reads, where it is not a clamp.
    """

    output: tuple[float, float]
    pre_activation: tuple[float, float] | None = None


def effective_range(activation: Activation) -> tuple[float, float]:
    """Where an activation function depends on what it reads; it is constant below and above.

    >>> effective_range(Activation.HARD_SIGMOID), effective_range(Activation.HARD_SWISH)
    ((-3.0, 3.0), (-3.0, inf))
    """
    match activation:
        case Activation.NONE:
            return -math.inf, math.inf
        case Activation.RELU:
            return 0.0, math.inf
        case Activation.RELU6:
            return 0.0, 6.0
        case Activation.HARD_SIGMOID:
            return -3.0, 3.0
        case Activation.HARD_SWISH:
            return -3.0, math.inf
        case _:
            assert_never(activation)


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
        return affine(low, high)
    except ModelError as error:
        raise CompressionError(f"{layer.name} spans {low:g} to {high:g}, which cannot be quantized: {error}") from None


def _refuse_dead_layers(network: Network, seen: Mapping[str, Observation]) -> None:
    for layer in network.layers:
        if seen[layer.name].histogram.low == seen[layer.name].histogram.high == 0:
            raise CompressionError(
                f"{layer.name} gives nothing but zero for every calibration image (all channels are dead); "
                "there is no range to quantize"
            )
