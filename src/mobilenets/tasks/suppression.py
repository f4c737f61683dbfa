"""Non-maximum suppression: of boxes that overlap, the one with the highest score is kept.

This is the definition, in plain NumPy. :mod:`mobilenets.tasks.candidates` does the same in native code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mobilenets.tasks.boxes import area, intersection

MOST_CANDIDATES = 400
"""Boxes of one class that are compared with each other, those with the highest scores."""


@dataclass(frozen=True)
class Suppression:
    """Which candidates are kept.

    Attributes:
        iou_threshold: A box is dropped if its intersection over union with a kept one is above that.
        score_threshold: A box is dropped if its score is below that.
        most: Largest number of boxes of an image.
        class_agnostic: Whether boxes of different classes suppress each other, too. Every candidate is then of its
            likeliest class only.
    """

    iou_threshold: float
    score_threshold: float
    most: int
    class_agnostic: bool = False


@dataclass(frozen=True, eq=False)
class Kept:
    """The candidates that are left, highest score first; of equals the first candidate, then the first class.

    Attributes:
        boxes: float32 (k, 4), as they came.
        scores: float32 (k,).
        labels: int64 (k,).
    """

    boxes: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]


def suppress(boxes: npt.NDArray[Any], scores: npt.NDArray[Any], rule: Suppression) -> Kept:
    """Drop the candidates that a better one overlaps.

    Args:
        boxes: float32 (A, 4): left, top, right, bottom.
        scores: float32 (A, classes).
        rule: Which are kept.

    >>> boxes = np.array([[0, 0, 4, 4], [0, 0, 4, 3], [5, 5, 6, 6]], np.float32)
    >>> scores = np.array([[0.5], [0.75], [0.25]], np.float32)
    >>> kept = suppress(boxes, scores, Suppression(0.5, 0.1, most=10))
    >>> kept.boxes.tolist(), kept.scores.tolist(), kept.labels.tolist()
    ([[0.0, 0.0, 4.0, 3.0], [5.0, 5.0, 6.0, 6.0]], [0.75, 0.25], [0, 0])
    """
    if rule.class_agnostic:
        labels = scores.argmax(axis=1)
        best = np.take_along_axis(scores, labels[:, None], axis=1)[:, 0]
        rows = _survivors(boxes, best, rule)
        return _highest(boxes, rows, labels[rows], best[rows], rule.most)
    found = [_survivors(boxes, scores[:, label], rule) for label in range(scores.shape[1])]
    rows = np.concatenate([*found, np.empty(0, np.int64)])
    labels = np.repeat(np.arange(len(found)), [len(one) for one in found])
    return _highest(boxes, rows, labels, scores[rows, labels], rule.most)


def _highest(boxes: Any, rows: Any, labels: Any, scores: Any, most: int) -> Kept:
    order = np.lexsort((labels, rows, -scores))[:most]
    return Kept(boxes[rows[order]].astype(np.float32), scores[order].astype(np.float32), labels[order].astype(np.int64))


def _survivors(boxes: npt.NDArray[Any], scores: npt.NDArray[Any], rule: Suppression) -> npt.NDArray[np.int64]:
    """Rows of the boxes of one class that are kept, highest score first."""
    rows = np.flatnonzero(scores >= np.float32(rule.score_threshold))
    rows = rows[np.argsort(-scores[rows], kind="stable")[:MOST_CANDIDATES]]
    kept: list[int] = []
    remaining = rows
    while len(remaining) and len(kept) < rule.most:
        best, remaining = remaining[0], remaining[1:]
        kept.append(int(best))
        shared = intersection(boxes[best][None], boxes[remaining])[0]
        union = area(boxes[best][None]) + area(boxes[remaining]) - shared
        remaining = remaining[~(shared > np.float32(rule.iou_threshold) * union)]
    return np.array(kept, np.int64)
