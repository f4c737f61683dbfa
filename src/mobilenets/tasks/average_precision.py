"""Average precision of the detections of one class, as COCO defines it, and its standard error."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from mobilenets.tasks.box_matching import Matches

RECALLS = np.linspace(0, 1, 101)
"""Recall at which precision is read."""
MOST_GROUPS = 40
"""Groups of images that are left out in turn to learn how much a figure depends on them."""
Z95 = 1.959964


def precision_curve(matches: Matches, kept: npt.NDArray[np.bool_] | None = None) -> npt.NDArray[np.float64]:
    """Best precision at every recall of :data:`RECALLS` or more, at every threshold of intersection over union.

    Args:
        matches: Of one class.
        kept: bool (images,): images that are looked at; None for all.

    Returns:
        (thresholds, recalls); NaN where there is no object of the class. 0 at a recall that is never reached.
    """
    thresholds = len(matches.right)
    objects = int(matches.objects.sum() if kept is None else matches.objects[kept].sum())
    if not objects:
        return np.full((thresholds, len(RECALLS)), np.nan)
    order = np.argsort(-matches.scores, kind="stable")
    if kept is not None:
        order = order[kept[matches.images[order]]]
    hits = np.cumsum(matches.right[:, order], axis=1, dtype=np.float64)
    false = np.cumsum((matches.counted & ~matches.right)[:, order], axis=1, dtype=np.float64)
    precision = hits / (hits + false + np.spacing(1))
    best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    curve = np.zeros((thresholds, len(RECALLS)))
    for number in range(thresholds):
        places = np.searchsorted(hits[number] / objects, RECALLS, side="left")
        reached = places < len(order)
        curve[number, reached] = best[number, places[reached]]
    return curve


def average_precisions(matches: Matches, kept: npt.NDArray[np.bool_] | None = None) -> npt.NDArray[np.float64]:
    """Average precision at every threshold of intersection over union.

    Args:
        matches: Of one class.
        kept: bool (images,): images that are looked at; None for all.

    Returns:
        (thresholds,); NaN where there is no object of the class.
    """
    means: npt.NDArray[np.float64] = precision_curve(matches, kept).mean(axis=1)
    return means


def mean_of(values: npt.NDArray[np.float64]) -> float:
    """Mean of what is not NaN; NaN where nothing is left."""
    some = values[~np.isnan(values)]
    return float(some.mean()) if len(some) else math.nan


def mean_over_classes(by_class: list[Matches], kept: npt.NDArray[np.bool_] | None = None) -> float:
    """Mean over classes and thresholds; classes without an object are left out."""
    return mean_of(np.array([average_precisions(one, kept) for one in by_class]))


def interval_of(by_class: list[Matches], value: float) -> tuple[float, float]:
    """95 % confidence interval of the mean average precision, by the jackknife over groups of images.

    Args:
        by_class: Matches of every class, of the same images.
        value: The figure of all images.

    Source: B. Efron and C. Stein 1981, the delete-a-group jackknife's estimate of the variance.
    """
    images = len(by_class[0].objects) if by_class else 0
    groups = min(images, MOST_GROUPS)
    if groups < 2 or math.isnan(value):
        return 0.0, 1.0
    group = np.arange(images) % groups
    without = np.array([mean_over_classes(by_class, group != number) for number in range(groups)])
    without = without[~np.isnan(without)]
    if len(without) < 2:
        return 0.0, 1.0
    deviation = math.sqrt((groups - 1) * float(np.mean((without - without.mean()) ** 2)))
    return max(0.0, value - Z95 * deviation), min(1.0, value + Z95 * deviation)
