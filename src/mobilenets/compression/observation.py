"""Observation of activations on calibration images: histograms, and the range and mean of each channel.

It streams: whatever the number of images, one histogram per layer and a few numbers per channel are kept.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import assert_never

import numpy as np
import numpy.typing as npt

from mobilenets.architecture.layers import Activation
from mobilenets.architecture.network import Network
from mobilenets.base.progress import SILENT, Progress
from mobilenets.errors import CompressionError
from mobilenets.model.folding import refuse_int8
from mobilenets.model.map_sums import Map
from mobilenets.model.model import Model
from mobilenets.model.numpy_runtime import layer_results
from mobilenets.model.preprocessing import Pixels

BINS = 2048
"""Bins of a histogram."""

Vector = npt.NDArray[np.float64]


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
            for name, values, before in layer_results(model, pixels):
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


def _refuse_dead_layers(network: Network, seen: Mapping[str, Observation]) -> None:
    for layer in network.layers:
        if seen[layer.name].histogram.low == seen[layer.name].histogram.high == 0:
            raise CompressionError(
                f"{layer.name} gives nothing but zero for every calibration image (all channels are dead); "
                "there is no range to quantize"
            )
