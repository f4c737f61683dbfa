"""Figures of a Model that gives each image several labels: average precision, precision and recall of every label."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mobilenets.base.text import plural
from mobilenets.errors import DataError
from mobilenets.tasks.metrics import Counts, Share
from mobilenets.tasks.task import Array, Metric

GROUPS = 20
"""Groups of images that are left out by turns to find how sure a mean of average precisions is."""


@dataclass(frozen=True)
class LabelMetrics:
    """Figures of one label.

    Attributes:
        label: Name of the label.
        images: Images that have it.
        given: Images that were given it.
        right: Images that have it and were given it.
        average_precision: Mean precision over the images that have it, when all are ranked by probability; None where
            no image has it.
        threshold: The probability from which on an image is given it.
    """

    label: str
    images: int
    given: int
    right: int
    average_precision: float | None
    threshold: float

    @property
    def precision(self) -> float | None:
        """Share of the images that were given the label and have it; None where none was given it."""
        return self.right / self.given if self.given else None

    @property
    def recall(self) -> float | None:
        """Share of the images that have the label and were given it; None where none has it."""
        return self.right / self.images if self.images else None


@dataclass(frozen=True, eq=False)
class MultiLabelMetrics:
    """How right a Model is on images that have several labels, or none.

    Attributes:
        images: Number of images.
        labels: Figures of every label.
        interval: 95 % confidence interval of the mean average precision.
        exact: Images that were given exactly the labels that they have.
        skipped: Names of the images that could not be decoded.
    """

    images: int
    labels: tuple[LabelMetrics, ...]
    interval: tuple[float, float]
    exact: Share
    skipped: tuple[str, ...] = ()

    @staticmethod
    def of(
        scores: Array,
        targets: Counts,
        labels: Sequence[str],
        thresholds: Sequence[float],
        skipped: Sequence[str] = (),
    ) -> MultiLabelMetrics:
        """Compare probabilities with the right labels.

        Args:
            scores: (N, labels), the probability of each label.
            targets: int64 (N, labels), 1 where an image has a label and 0 where it has not.
            labels: Names of the labels.
            thresholds: From which probability on an image is given each label.
            skipped: Names of images that could not be decoded.

        Raises:
            DataError: If there are no images, or the targets are of another shape.
        """
        if np.shape(targets) != scores.shape:
            raise DataError(
                f"the targets of {plural(len(scores), 'image')} with {len(labels)} labels must be of shape "
                f"{scores.shape}, 0 or 1 for each label, not {np.shape(targets)}"
            )
        if not len(scores):
            raise DataError("there are no images to evaluate on")
        given, truth = scores >= np.array(thresholds), targets > 0
        precisions = precisions_of_labels(scores, truth)
        return MultiLabelMetrics(
            images=len(scores),
            labels=tuple(
                LabelMetrics(
                    label,
                    int(truth[:, number].sum()),
                    int(given[:, number].sum()),
                    int((truth & given)[:, number].sum()),
                    None if math.isnan(precisions[number]) else float(precisions[number]),
                    float(thresholds[number]),
                )
                for number, label in enumerate(labels)
            ),
            interval=_interval(scores, truth, _mean(precisions)),
            exact=Share.of((given == truth).all(axis=1)),
            skipped=tuple(skipped),
        )

    def __repr__(self) -> str:
        return f"MultiLabelMetrics({self.in_words}, {len(self.labels)} labels)"

    @property
    def mean_average_precision(self) -> float:
        """Mean of the average precisions of the labels that some image has; NaN where none has any."""
        return _mean(np.array([math.nan if (one := row.average_precision) is None else one for row in self.labels]))

    @property
    def primary(self) -> Metric:
        """Mean average precision."""
        return Metric("mean_average_precision", self.mean_average_precision, self.interval)

    @property
    def f1(self) -> float:
        """Harmonic mean of the precision and the recall of all labels together, at their thresholds."""
        right = sum(row.right for row in self.labels)
        named = sum(row.given + row.images for row in self.labels)
        return 2 * right / named if named else math.nan

    @property
    def in_words(self) -> str:
        """Mean average precision with its interval, and how many images it is of."""
        low, high = (100 * end for end in self.interval)
        return (
            f"mean average precision {100 * self.mean_average_precision:.2f} % "
            f"(95 % interval {low:.1f} to {high:.1f}), on {plural(self.images, 'image')}"
        )

    def to_json(self) -> dict[str, Any]:
        """JSON-ready values; what there is nothing to compute from is null."""
        return {
            "images": self.images,
            "skipped": list(self.skipped),
            "mean_average_precision": _or_none(self.mean_average_precision),
            "mean_average_precision_interval": list(self.interval),
            "f1": _or_none(self.f1),
            "exact": self.exact.to_json(),
            "labels": [{**vars(row), "precision": row.precision, "recall": row.recall} for row in self.labels],
        }

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> MultiLabelMetrics:
        """What :meth:`to_json` wrote.

        Raises:
            KeyError: If a value is missing.
            TypeError: If a value has the wrong type.
            ValueError: If the values contradict each other.
        """
        images, (low, high) = int(data["images"]), map(float, data["mean_average_precision_interval"])
        labels = tuple(_read_label(row, images) for row in data["labels"])
        exact = Share.from_json(data["exact"])
        if images < 1 or not labels or exact.total != images or not 0 <= exact.count <= images or not low <= high:
            raise ValueError(
                f"{exact.count} exact answers for {exact.total} of {images} images, interval {low} to {high}"
            )
        return MultiLabelMetrics(images, labels, (low, high), exact, tuple(map(str, data["skipped"])))


def precisions_of_labels(scores: Array, truth: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Average precision of every label: the mean, over the images that have it, of the precision down to each.

    Images of equal scores are taken together. It is what scikit-learn calls ``average_precision_score``.

    Args:
        scores: (N, labels); more where a label is likelier.
        truth: (N, labels), whether an image has a label.

    Returns:
        float64 (labels,); NaN where no image has the label.

    >>> precisions_of_labels(np.array([[0.9], [0.8], [0.7]]), np.array([[True], [False], [True]])).round(3).tolist()
    [0.833]
    """
    found = np.full(scores.shape[1], math.nan)
    for label in range(scores.shape[1]):
        order = np.argsort(-scores[:, label], kind="stable")
        ranked, hits = scores[order, label], np.cumsum(truth[order, label])
        if not len(hits) or not hits[-1]:
            continue
        last = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)  # of each group of equal scores
        gained = np.diff(hits[last], prepend=0)
        found[label] = float((gained * hits[last] / (last + 1)).sum() / hits[-1])
    return found


def mean_precision_of_labels(scores: Array, truth: npt.NDArray[np.bool_]) -> float:
    """Mean of the average precisions of the labels that some image has; 0 where none has any.

    Args:
        scores: (N, labels); more where a label is likelier.
        truth: (N, labels), whether an image has a label.
    """
    mean = _mean(precisions_of_labels(scores, truth))
    return 0.0 if math.isnan(mean) else mean


def best_threshold(scores: npt.NDArray[np.float64], truth: npt.NDArray[np.bool_]) -> float | None:
    """The probability from which on a label is given best: with the largest F1, and of equals nearest to one half.

    Args:
        scores: float64 (N,), probabilities of the label.
        truth: (N,), whether an image has it.

    Returns:
        A value half way between two probabilities; None where all images have the label or none has.

    >>> best_threshold(np.array([0.9, 0.4, 0.3, 0.1]), np.array([True, True, False, False]))
    0.35
    """
    positives = int(truth.sum())
    if not 0 < positives < len(truth):
        return None
    order = np.argsort(-scores, kind="stable")
    ranked, hits = scores[order], np.cumsum(truth[order])
    last = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)
    values = 2 * hits[last] / (last + 1 + positives)
    following = np.append(ranked[1:], 0.0)[last]
    middle = (ranked[last] + following) / 2
    best = values >= values.max() - 1e-12
    return float(middle[best][np.abs(middle[best] - 0.5).argmin()])


def _interval(scores: Array, truth: npt.NDArray[np.bool_], value: float) -> tuple[float, float]:
    """95 % interval of a mean average precision: a jackknife over groups of images, Quenouille 1956.

    It is at least as wide as that of a share of as many images.
    """
    count = min(GROUPS, len(scores))
    if count < 2 or math.isnan(value):
        return 0.0, 1.0
    group = np.random.default_rng(0).permutation(len(scores)) % count
    left = np.array([_mean(precisions_of_labels(scores[group != one], truth[group != one])) for one in range(count)])
    left = left[~np.isnan(left)]
    if len(left) < 2:
        return 0.0, 1.0
    error = math.sqrt((len(left) - 1) / len(left) * float(np.square(left - left.mean()).sum()))
    # A few images that are all ranked rightly do not tell that all others would be.
    low, high = Share(round(value * len(scores)), len(scores)).interval
    return max(0.0, min(low, value - 1.959964 * error)), min(1.0, max(high, value + 1.959964 * error))


def _mean(precisions: npt.NDArray[np.float64]) -> float:
    known = precisions[~np.isnan(precisions)]
    return float(known.mean()) if len(known) else math.nan


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else value


def _read_label(row: Mapping[str, Any], images: int) -> LabelMetrics:
    precision = row["average_precision"]
    one = LabelMetrics(
        str(row["label"]),
        int(row["images"]),
        int(row["given"]),
        int(row["right"]),
        None if precision is None else float(precision),
        float(row["threshold"]),
    )
    if not 0 <= one.right <= min(one.images, one.given) or max(one.images, one.given) > images:
        raise ValueError(f"{one.right} of {one.images} images right for {one.label}, {one.given} given, of {images}")
    if one.average_precision is not None and not 0 <= one.average_precision <= 1:
        raise ValueError(f"an average precision of {one.average_precision} for {one.label}")
    return one
