"""The score from which on a detector reports boxes, chosen on images whose objects are known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mobilenets.tasks.box_matching import SIZES, FoundBoxes, match_class
from mobilenets.tasks.boxes import GroundTruth

FEWEST_OBJECTS = 30
"""Objects without which nothing is chosen."""
AS_GOOD = 0.005
"""F1 by which a threshold may lie below the best one and be taken for as good: a few boxes more or less are chance."""


def chosen_threshold(found: Sequence[FoundBoxes], truths: Sequence[GroundTruth], classes: int) -> float | None:
    """The middle of the scores that are best to report boxes from, over all classes.

    The best is where F1, 2 · right / (reported + objects), is largest, at an intersection over union of 0.50.

    Args:
        found: What was found in each image, far below any threshold too.
        truths: What is in each.
        classes: Number of classes.

    Returns:
        From 0.01 to 0.99 in hundredths; None where there are fewer than 30 objects, or nothing is found.

    >>> truths = [GroundTruth.of([(0, 0, 10, 10)], [0], (20, 20))] * 30
    >>> boxes = np.array([(0, 0, 10, 10), (12, 12, 20, 20)])
    >>> chosen_threshold([FoundBoxes(boxes, np.array([0.9, 0.21]), np.zeros(2, np.int64))] * 30, truths, 1)
    0.56
    """
    matches = [match_class(found, truths, label, SIZES["all"]) for label in range(classes)]
    objects = sum(int(one.objects.sum()) for one in matches)
    right = np.concatenate([one.right[0][one.counted[0]] for one in matches])
    scores = np.concatenate([one.scores[one.counted[0]] for one in matches])
    if objects < FEWEST_OBJECTS or not right.any():
        return None
    thresholds = np.arange(1, 100) / 100
    reported = scores >= thresholds[:, None]
    f1 = 2 * (reported & right).sum(axis=1) / (reported.sum(axis=1) + objects)
    good = thresholds[f1 >= f1.max() - AS_GOOD]
    return round(float(np.median(good)), 2)
