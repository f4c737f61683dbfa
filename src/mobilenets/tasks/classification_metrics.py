"""Accuracy of a classifier on labeled images: top-1 and top-5, the confusion matrix, and figures of every class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mobilenets.base.text import GAP, percent
from mobilenets.tasks.metrics import (
    FEW,
    Counts,
    ReliabilityBin,
    Share,
    calibration_error_by_chance,
    expected_calibration_error,
)
from mobilenets.tasks.task import Metric


@dataclass(frozen=True)
class ClassMetrics:
    """Metrics of one class; None where there was nothing to divide by.

    Attributes:
        label: Name of the class.
        images: Images of the class.
        precision: Share of the images that were given this class and are of it.
        recall: Share of the images of this class that were given it.
    """

    label: str
    images: int
    precision: float | None
    recall: float | None


@dataclass(frozen=True)
class ConfusedPair:
    """Images of one class that were given another.

    Attributes:
        truth: Their class.
        given: The class that they were given.
        share: How many of the images of their class.
    """

    truth: str
    given: str
    share: Share


@dataclass(frozen=True, eq=False)
class ClassificationMetrics:
    """Accuracy on labeled images.

    Attributes:
        labels: Names of the classes.
        confusion: int64 (classes, classes): images of the class of the row that were given the class of the column.
        top5_correct: Images whose class is among the five likeliest.
        skipped: Names of the images that could not be decoded.
        reliability: Confidence beside accuracy; empty in figures of releases that did not compute it.
        unknown: Images that are taken for unknown, among all and among the wrong answers; None without a threshold.
    """

    labels: tuple[str, ...]
    confusion: Counts
    top5_correct: int
    skipped: tuple[str, ...] = ()
    reliability: tuple[ReliabilityBin, ...] = ()
    unknown: tuple[int, int] | None = None

    def __repr__(self) -> str:
        share = f"top-1 {percent(self.top1)}".replace(GAP, " ") if self.images else "no images"
        return f"ClassificationMetrics({share}, {self.images} images, {len(self.labels)} classes)"

    @property
    def images(self) -> int:
        """Number of images."""
        return int(self.confusion.sum())

    @property
    def correct(self) -> Share:
        """Images whose class is the likeliest."""
        return Share(int(np.trace(self.confusion)), self.images)

    @property
    def wrong(self) -> int:
        """Number of images whose class is not the likeliest."""
        return self.images - self.correct.count

    @property
    def top1(self) -> float:
        """Share of images whose class is the likeliest."""
        return self.correct.value

    @property
    def top1_interval(self) -> tuple[float, float]:
        """95 % confidence interval of top-1."""
        return self.correct.interval

    @property
    def top5(self) -> float:
        """Share of images whose class is among the five likeliest."""
        return Share(self.top5_correct, self.images).value

    @property
    def expected_calibration_error(self) -> float | None:
        """Mean distance of confidence from accuracy, from 0 to 1; None where it was not computed."""
        return expected_calibration_error(self.reliability) if self.reliability else None

    @property
    def calibration_error_by_chance(self) -> float | None:
        """What the calibration error of true probabilities would be on so few images; None where it is unknown."""
        return calibration_error_by_chance(self.reliability) if self.reliability else None

    @property
    def mean_confidence(self) -> float | None:
        """Mean probability of the class that each image was given; None where it was not computed."""
        if not self.reliability:
            return None
        return sum(one.images * one.confidence for one in self.reliability) / self.images

    @property
    def called_unknown(self) -> Share | None:
        """Images of these, all of known classes, that are taken for unknown; None where the Model has no threshold."""
        return None if self.unknown is None else Share(self.unknown[0], self.images)

    @property
    def wrong_called_unknown(self) -> Share | None:
        """The same among the images whose likeliest class is the wrong one."""
        return None if self.unknown is None else Share(self.unknown[1], self.wrong)

    @property
    def primary(self) -> Metric:
        """Top-1."""
        return Metric("top1", self.top1, self.top1_interval)

    @property
    def in_words(self) -> str:
        """Top-1: of few images, the counts and what they can tell."""
        if self.images < FEW:
            return f"top-1: {self.correct.in_words}"
        low, high = (100 * end for end in self.top1_interval)
        return f"top-1 {100 * self.top1:.2f} % (95 % interval {low:.1f} to {high:.1f}), on {self.images} images"

    @property
    def classes(self) -> list[ClassMetrics]:
        """Metrics of every class that is among the images or the answers."""
        truth, answers, right = self.confusion.sum(axis=1), self.confusion.sum(axis=0), np.diagonal(self.confusion)
        return [
            ClassMetrics(
                label=self.labels[index],
                images=int(truth[index]),
                precision=int(right[index]) / int(answers[index]) if answers[index] else None,
                recall=int(right[index]) / int(truth[index]) if truth[index] else None,
            )
            for index in np.flatnonzero(truth + answers)
        ]

    def most_confused(self, most: int) -> list[ConfusedPair]:
        """The pairs of classes that are confused most often, of equals the first.

        Args:
            most: Largest number of pairs.
        """
        wrong = self.confusion.copy()
        np.fill_diagonal(wrong, 0)
        totals = self.confusion.sum(axis=1)
        places = [divmod(int(place), len(wrong)) for place in np.argsort(-wrong, axis=None, kind="stable")[:most]]
        return [
            ConfusedPair(self.labels[row], self.labels[column], Share(int(wrong[row, column]), int(totals[row])))
            for row, column in places
            if wrong[row, column]
        ]

    def to_json(self) -> dict[str, Any]:
        """JSON-ready values. The confusion matrix covers the classes that are listed, in their order."""
        kept = np.flatnonzero(self.confusion.sum(axis=0) + self.confusion.sum(axis=1))
        return {
            "images": self.images,
            "skipped": list(self.skipped),
            "top1": self.top1,
            "top1_interval": list(self.top1_interval),
            "top5": self.top5,
            "mean_confidence": self.mean_confidence,
            "expected_calibration_error": self.expected_calibration_error,
            "calibration_error_by_chance": self.calibration_error_by_chance,
            "reliability": [dict(vars(one)) for one in self.reliability],
            **({} if self.unknown is None else {"unknown": {"images": self.unknown[0], "wrong": self.unknown[1]}}),
            "classes": [dict(vars(one)) for one in self.classes],
            "confusion": self.confusion[np.ix_(kept, kept)].tolist(),
        }

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> ClassificationMetrics:
        """What :meth:`to_json` wrote.

        Raises:
            KeyError: If a value is missing.
            TypeError: If a value has the wrong type.
            ValueError: If the values contradict each other.
        """
        labels = tuple(str(row["label"]) for row in data["classes"])
        try:
            confusion = np.array(data["confusion"], np.int64)
        except OverflowError as error:
            raise ValueError(f"a confusion matrix whose counts are no integers of 64 bits: {error}") from None
        if confusion.shape != (len(labels), len(labels)) or confusion.min() < 0 or not confusion.sum():
            raise ValueError(f"a confusion matrix of shape {confusion.shape} for {len(labels)} classes")
        if not 0 <= data["top5"] <= 1:
            raise ValueError(f"a top-5 of {data['top5']!r:.40}; it must be from 0 to 1")
        top5_correct = round(data["top5"] * int(confusion.sum()))
        bins = tuple(_reliability_bin(row) for row in data.get("reliability", ()))
        unknown = (int(data["unknown"]["images"]), int(data["unknown"]["wrong"])) if "unknown" in data else None
        if unknown is not None and not 0 <= unknown[1] <= unknown[0] <= confusion.sum():
            raise ValueError(f"{unknown[0]} unknown images, {unknown[1]} of them wrong, of {confusion.sum()}")
        return ClassificationMetrics(labels, confusion, top5_correct, tuple(map(str, data["skipped"])), bins, unknown)


def _reliability_bin(data: Mapping[str, Any]) -> ReliabilityBin:
    one = ReliabilityBin(int(data["images"]), float(data["confidence"]), float(data["accuracy"]))
    if one.images < 1 or not 0 <= one.confidence <= 1 or not 0 <= one.accuracy <= 1:
        raise ValueError(f"reliability of {one.images} images, {one.confidence} sure and {one.accuracy} right")
    return one
