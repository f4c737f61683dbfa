"""Shares of images with their confidence intervals, the confusion matrix, and SQNR."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from mobilenets.base.records import record

Counts = npt.NDArray[np.int64]

FEW = 100
"""Of fewer images than that a share in percent would say more than they can tell."""
NO_ERROR_DB = 200.0
"""What :func:`decibels` gives where there is no error at all."""


@record(frozen=True)
class Share:
    """Some of some images.

    Attributes:
        count: How many.
        total: Of how many.
    """

    count: int
    total: int

    @staticmethod
    def of(hits: npt.NDArray[np.bool_]) -> Share:
        """The share of true values.

        >>> Share.of(np.array([True, False, True]))
        Share(count=2, total=3)
        """
        return Share(int(np.count_nonzero(hits)), int(hits.size))

    @property
    def value(self) -> float:
        """From 0 to 1; NaN of no images."""
        return self.count / self.total if self.total else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """95 % confidence interval, which always contains the share. Source: E. B. Wilson 1927, the score interval.

        >>> tuple(round(end, 3) for end in Share(95, 100).interval)
        (0.888, 0.978)
        >>> Share(100, 100).interval[1], Share(0, 0).interval
        (1.0, (0.0, 1.0))
        """
        if not self.total:
            return 0.0, 1.0
        count, share, z = self.total, self.value, 1.959964
        centre = (share + z * z / (2 * count)) / (1 + z * z / count)
        half = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count)) / (1 + z * z / count)
        # At shares of 0 and 1 one end is the share itself, which rounding would leave outside.
        return max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half))

    def to_json(self) -> dict[str, Any]:
        """JSON-ready values."""
        return {"count": self.count, "of": self.total, "interval": list(self.interval)}

    @staticmethod
    def from_json(value: Mapping[str, Any] | Sequence[int]) -> Share:
        """What :meth:`to_json` gave, or just the two counts.

        >>> Share.from_json(Share(1, 2).to_json()) == Share.from_json([1, 2]) == Share(1, 2)
        True
        """
        count, total = (value["count"], value["of"]) if isinstance(value, Mapping) else value
        return Share(int(count), int(total))

    @property
    def in_words(self) -> str:
        """What it tells: of few, the counts and the interval; of many, the share and its interval.

        >>> Share(9, 12).in_words
        '9 of 12 right; of many it may be anything from 47 to 91 %'
        >>> Share(870, 1000).in_words
        '87.00 % of 1,000 right (95 % interval 84.8 to 88.9)'
        """
        low, high = self.interval
        if self.total < FEW:
            ends = f"from {100 * low:.0f} to {100 * high:.0f} %"
            return f"{self.count} of {self.total} right; of many it may be anything {ends}"
        return f"{100 * self.value:.2f} % of {self.total:,} right (95 % interval {100 * low:.1f} to {100 * high:.1f})"

    def __str__(self) -> str:
        if not self.total:
            return "no images"
        low, high = self.interval
        return f"{100 * self.value:.1f} % of {self.total} (95 % interval {100 * low:.1f} to {100 * high:.1f})"


RELIABILITY_BINS = 15
"""Bins of equal width that confidences are sorted into."""


@record(frozen=True)
class ReliabilityBin:
    """Images whose answers are about equally confident.

    Attributes:
        images: How many.
        confidence: Mean probability of the class that each was given.
        accuracy: Share of them that were given the right class.
    """

    images: int
    confidence: float
    accuracy: float


def reliability(confidence: npt.NDArray[np.float64], right: npt.NDArray[np.bool_]) -> tuple[ReliabilityBin, ...]:
    """Confidence beside accuracy, in :data:`RELIABILITY_BINS` bins of equal width; empty bins are left out.

    Source: Guo et al. 2017, arXiv:1706.04599, section 2.

    Args:
        confidence: Probability of the class that each image was given, (N,).
        right: Whether that class is the right one, (N,).

    >>> reliability(np.array([0.9, 0.9, 0.3]), np.array([True, False, False]))[-1]
    ReliabilityBin(images=2, confidence=0.9, accuracy=0.5)
    """
    places = np.clip(np.ceil(confidence * RELIABILITY_BINS).astype(int) - 1, 0, RELIABILITY_BINS - 1)
    return tuple(
        # Summed exactly, so that the order of the images does not show.
        ReliabilityBin(
            int(inside.sum()), math.fsum(confidence[inside].tolist()) / int(inside.sum()), float(right[inside].mean())
        )
        for inside in (places == place for place in np.unique(places))
    )


def pooled_reliability(parts: Iterable[Sequence[ReliabilityBin]]) -> tuple[ReliabilityBin, ...]:
    """The bins of several sets of images as those of all of them together.

    Args:
        parts: Bins that :func:`reliability` made.

    >>> one = ReliabilityBin(3, 0.9, 1.0)
    >>> pooled_reliability([[one], [ReliabilityBin(1, 0.92, 0.0)], [ReliabilityBin(1, 0.5, 1.0)]])[-1]
    ReliabilityBin(images=4, confidence=0.905, accuracy=0.75)
    """
    places: dict[int, list[ReliabilityBin]] = defaultdict(list)
    for one in chain.from_iterable(parts):
        places[math.ceil(one.confidence * RELIABILITY_BINS)].append(one)
    found = []
    for _, bins in sorted(places.items()):
        images = sum(one.images for one in bins)
        confidence = math.fsum(one.images * one.confidence for one in bins) / images
        found.append(ReliabilityBin(images, confidence, sum(one.images * one.accuracy for one in bins) / images))
    return tuple(found)


def expected_calibration_error(bins: Sequence[ReliabilityBin]) -> float:
    """Mean distance of confidence from accuracy, each bin weighted by its images; NaN of no images.

    >>> round(expected_calibration_error([ReliabilityBin(9, 0.9, 1.0), ReliabilityBin(1, 0.5, 0.0)]), 3)
    0.14
    """
    total = sum(one.images for one in bins)
    return sum(one.images * abs(one.confidence - one.accuracy) for one in bins) / total if total else math.nan


def calibration_error_by_chance(bins: Sequence[ReliabilityBin]) -> float:
    """The expected calibration error that so few images show of probabilities that are exactly true.

    In a bin of n images whose confidence is c, the share that is right lies off c by the mean absolute deviation of a
    binomial share, about √(2/π · c(1 − c) / n). NaN of no images.

    >>> few, many = [ReliabilityBin(50, 0.8, 0.8)], [ReliabilityBin(5000, 0.8, 0.8)]
    >>> round(calibration_error_by_chance(few), 3), round(calibration_error_by_chance(many), 4)
    (0.045, 0.0045)
    """
    total = sum(one.images for one in bins)
    spread = sum(math.sqrt(one.images * one.confidence * (1 - one.confidence)) for one in bins)
    return math.sqrt(2 / math.pi) * spread / total if total else math.nan


def paired_interval(more: int, less: int, total: int) -> tuple[float, float]:
    """95 % confidence interval of the difference of two shares of the same images.

    Source: Agresti and Min 2005, Wald's interval with half an image added to each of the four counts.

    Args:
        more: Images that count in the first share only.
        less: Images that count in the second share only.
        total: Of how many.

    >>> [round(end, 2) for end in paired_interval(2, 0, 12)], [round(end, 3) for end in paired_interval(40, 13, 900)]
    ([-0.09, 0.37], [0.014, 0.046])
    """
    difference = (more - less) / (total + 2)
    spread = (more + less + 1) / (total + 2) - difference * difference
    half = 1.959964 * math.sqrt(spread / (total + 2))
    return max(-1.0, difference - half), min(1.0, difference + half)


def confusion_matrix(targets: Counts, answers: Counts, classes: int) -> Counts:
    """Images of the class of the row that were given the class of the column.

    Args:
        targets: (N,), the right class of each image.
        answers: (N,), the class that each image was given.
        classes: Number of classes.

    Returns:
        int64 (classes, classes).

    >>> confusion_matrix(np.array([0, 0, 1]), np.array([0, 1, 1]), 2).tolist()
    [[1, 1], [0, 1]]
    """
    matrix = np.zeros((classes, classes), np.int64)
    np.add.at(matrix, (targets, answers), 1)
    return matrix


def decibels(signal: float, error: float) -> float:
    """Signal over error power in dB; :data:`NO_ERROR_DB` at most, which stands for no error at all.

    >>> decibels(100.0, 1.0), decibels(1.0, 0.0)
    (20.0, 200.0)
    """
    if error <= 0 or signal <= 0:
        return NO_ERROR_DB if error <= 0 else -NO_ERROR_DB
    return round(min(10 * float(np.log10(signal / error)), NO_ERROR_DB), 2)
