"""Accuracy of a detector: mean average precision, by class and by size, and what it finds at its own threshold."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mobilenets.base.text import GAP, percent
from mobilenets.tasks.average_precision import average_precisions, interval_of, mean_of, precision_curve
from mobilenets.tasks.box_matching import IOU_THRESHOLDS, SIZES, FoundBoxes, Matches, match_class
from mobilenets.tasks.boxes import GroundTruth
from mobilenets.tasks.metrics import Share
from mobilenets.tasks.task import Metric

IOU_75 = int(np.flatnonzero(np.isclose(IOU_THRESHOLDS, 0.75))[0])


@dataclass(frozen=True)
class DetectedClass:
    """Accuracy on the objects of one class; None where there are none.

    Attributes:
        label: Name of the class.
        images: Images that show one at least.
        objects: How many there are.
        ap: Average precision, the mean over intersections over union from 0.50 to 0.95.
        ap50: The same at 0.50.
        found: Objects that a detection above the task's score threshold finds, at 0.50.
        invented: Detections above it that find none.
        curve: Precision at recalls from 0 to 1 in 101 steps, at 0.50; empty where there are no objects.
    """

    label: str
    images: int
    objects: int
    ap: float | None
    ap50: float | None
    found: int
    invented: int
    curve: tuple[float, ...] = ()

    @property
    def missed(self) -> int:
        """Objects that no detection above the task's score threshold finds."""
        return self.objects - self.found

    @property
    def recall(self) -> float | None:
        """Share of the objects that are found."""
        return self.found / self.objects if self.objects else None

    @property
    def precision(self) -> float | None:
        """Share of the detections that find an object."""
        detections = self.found + self.invented
        return self.found / detections if detections else None


@dataclass(frozen=True)
class SizeClass:
    """Accuracy on objects of a range of sizes; the figures are None where there are none.

    Attributes:
        name: ``small`` (up to 32×32 pixels of the image), ``medium`` or ``large`` (from 96×96 on).
        objects: How many there are.
        ap: Mean average precision from 0.50 to 0.95.
        ap50: The same at 0.50.
    """

    name: str
    objects: int
    ap: float | None
    ap50: float | None


@dataclass(frozen=True)
class DetectionMetrics:
    """Accuracy of a detector on images whose objects are known.

    Attributes:
        images: Number of images.
        classes: Accuracy by class, in the task's order.
        sizes: Accuracy by size of the objects.
        map50_95: Mean average precision over classes and intersections over union from 0.50 to 0.95.
        map50: The same at 0.50.
        map75: The same at 0.75.
        interval: 95 % confidence interval of ``map50_95``.
        score_threshold: What the task calls a detection.
        skipped: Names of the images that could not be decoded.
    """

    images: int
    classes: tuple[DetectedClass, ...]
    sizes: tuple[SizeClass, ...]
    map50_95: float
    map50: float
    map75: float
    interval: tuple[float, float]
    score_threshold: float
    skipped: tuple[str, ...] = ()

    def __repr__(self) -> str:
        share = f"mAP50-95 {percent(self.map50_95)}, mAP50 {percent(self.map50)}".replace(GAP, " ")
        return f"DetectionMetrics({share}, {self.images} images, {len(self.classes)} classes)"

    @staticmethod
    def of(
        found: Sequence[FoundBoxes],
        truths: Sequence[GroundTruth],
        labels: Sequence[str],
        *,
        score_threshold: float,
        skipped: Sequence[str] = (),
    ) -> DetectionMetrics:
        """Compare detections with the objects of the same images.

        Args:
            found: What was found in each image, highest score first, far below the threshold too.
            truths: What is in each.
            labels: Names of the classes.
            score_threshold: From which score on the task reports a detection.
            skipped: Names of images that could not be decoded.
        """
        by_size = {
            name: [match_class(found, truths, label, sizes) for label in range(len(labels))]
            for name, sizes in SIZES.items()
        }
        everything = by_size.pop("all")
        precisions = np.array([average_precisions(one) for one in everything])
        value = mean_of(precisions)
        return DetectionMetrics(
            images=len(truths),
            classes=tuple(
                _of_class(label, one, row, score_threshold)
                for label, one, row in zip(labels, everything, precisions, strict=True)
            ),
            sizes=tuple(_of_size(name, matches) for name, matches in by_size.items()),
            map50_95=value,
            map50=mean_of(precisions[:, 0]),
            map75=mean_of(precisions[:, IOU_75]),
            interval=interval_of(everything, value),
            score_threshold=score_threshold,
            skipped=tuple(skipped),
        )

    @property
    def objects(self) -> int:
        """Number of objects."""
        return sum(one.objects for one in self.classes)

    @property
    def found(self) -> Share:
        """Objects that a detection above the score threshold finds, at an intersection over union of 0.50."""
        return Share(sum(one.found for one in self.classes), self.objects)

    @property
    def invented(self) -> int:
        """Detections above the score threshold that find no object."""
        return sum(one.invented for one in self.classes)

    @property
    def primary(self) -> Metric:
        """Mean average precision from 0.50 to 0.95."""
        return Metric("map50_95", self.map50_95, self.interval)

    @property
    def in_words(self) -> str:
        """Mean average precision, with its interval."""
        low, high = (100 * end for end in self.interval)
        return (
            f"{self.primary.title} {100 * self.map50_95:.2f} % (95 % interval {low:.1f} to {high:.1f}), "
            f"{self.objects} objects in {self.images} images"
        )

    def to_json(self) -> dict[str, Any]:
        """JSON-ready values; figures of nothing are null."""
        return {
            "images": self.images,
            "skipped": list(self.skipped),
            "map50_95": _number(self.map50_95),
            "map50_95_interval": list(self.interval),
            "map50": _number(self.map50),
            "map75": _number(self.map75),
            "objects": self.objects,
            "score_threshold": self.score_threshold,
            "classes": [
                {**vars(one), "precision": one.precision, "recall": one.recall, "curve": list(one.curve)}
                for one in self.classes
            ],
            "sizes": [dict(vars(one)) for one in self.sizes],
        }

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> DetectionMetrics:
        """What :meth:`to_json` wrote.

        Raises:
            KeyError: If a value is missing.
            TypeError: If a value has the wrong type.
            ValueError: If the values contradict each other.
        """
        low, high = map(float, data["map50_95_interval"])
        return DetectionMetrics(
            images=int(data["images"]),
            classes=tuple(_read_class(row) for row in data["classes"]),
            sizes=tuple(
                SizeClass(str(row["name"]), int(row["objects"]), _share(row["ap"]), _share(row["ap50"]))
                for row in data["sizes"]
            ),
            map50_95=_or_nan(data["map50_95"]),
            map50=_or_nan(data["map50"]),
            map75=_or_nan(data["map75"]),
            interval=(low, high),
            score_threshold=float(data["score_threshold"]),
            skipped=tuple(map(str, data["skipped"])),
        )


def _of_class(label: str, matches: Matches, precisions: Any, threshold: float) -> DetectedClass:
    objects = int(matches.objects.sum())
    reported = matches.scores >= threshold
    return DetectedClass(
        label=label,
        images=int((matches.objects > 0).sum()),
        objects=objects,
        ap=_number(float(precisions.mean())),
        ap50=_number(float(precisions[0])),
        found=int((matches.right[0] & reported).sum()),
        invented=int((matches.counted[0] & ~matches.right[0] & reported).sum()),
        curve=tuple(precision_curve(matches)[0].tolist()) if objects else (),
    )


def _of_size(name: str, by_class: Sequence[Matches]) -> SizeClass:
    precisions = np.array([average_precisions(one) for one in by_class])
    objects = sum(int(one.objects.sum()) for one in by_class)
    return SizeClass(name, objects, _number(mean_of(precisions)), _number(mean_of(precisions[:, 0])))


def _read_class(row: Mapping[str, Any]) -> DetectedClass:
    counts = {name: int(row[name]) for name in ("images", "objects", "found", "invented")}
    if min(counts.values()) < 0 or counts["found"] > counts["objects"]:
        raise ValueError(f"{counts['found']} of {counts['objects']} objects found, {counts['invented']} invented")
    curve = tuple(float(value) for value in row["curve"])
    return DetectedClass(str(row["label"]), ap=_share(row["ap"]), ap50=_share(row["ap50"]), curve=curve, **counts)


def _share(value: Any) -> float | None:
    if value is not None and not 0 <= value <= 1:
        raise ValueError(f"an average precision of {value!r:.40}; it must be from 0 to 1")
    return None if value is None else float(value)


def _or_nan(value: Any) -> float:
    share = _share(value)
    return math.nan if share is None else share


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value
