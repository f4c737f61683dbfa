"""Non-maximum suppression: of boxes that overlap, the one with the highest score is kept.

:func:`suppress_reference` is the definition, in plain NumPy; :func:`suppress` is the same in native code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mobilenets.native import _native
from mobilenets.tasks.boxes import area, intersection
from mobilenets.tasks.detection_heads import LARGEST_LOGARITHM, AnchorHead, ScoreMeaning
from mobilenets.tasks.task import Outputs

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
    """Drop the candidates that a better one overlaps: what :func:`suppress_reference` gives, in less time.

    Args:
        boxes: float32 (A, 4): left, top, right, bottom.
        scores: float32 (A, classes).
        rule: Which are kept.
    """
    out = _Room(rule.most)
    count = _native.suppress(
        np.ascontiguousarray(boxes, np.float32),
        np.ascontiguousarray(scores, np.float32),
        native_rule(rule),
        *out.arrays,
    )
    return out.first(count)


def suppress_reference(boxes: npt.NDArray[Any], scores: npt.NDArray[Any], rule: Suppression) -> Kept:
    """Drop the candidates that a better one overlaps.

    Args:
        boxes: float32 (A, 4): left, top, right, bottom.
        scores: float32 (A, classes).
        rule: Which are kept.

    >>> boxes = np.array([[0, 0, 4, 4], [0, 0, 4, 3], [5, 5, 6, 6]], np.float32)
    >>> scores = np.array([[0.5], [0.75], [0.25]], np.float32)
    >>> kept = suppress_reference(boxes, scores, Suppression(0.5, 0.1, most=10))
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


class _Room:
    """Arrays for what native code keeps."""

    def __init__(self, most: int) -> None:
        self.arrays = np.empty((most, 4), np.float32), np.empty(most, np.float32), np.empty(most, np.int64)

    def first(self, count: int) -> Kept:
        boxes, scores, labels = self.arrays
        return Kept(boxes[:count], scores[:count], labels[:count])


def native_rule(rule: Suppression) -> _native.SuppressionRule:
    """A rule as native code takes it."""
    return _native.SuppressionRule(
        rule.iou_threshold, rule.score_threshold, rule.most, MOST_CANDIDATES, rule.class_agnostic
    )


def detect(head: AnchorHead, outputs: Outputs, classes: int, rule: Suppression) -> list[Kept]:
    """Decode and suppress the candidates of anchors, without decoding those whose score is too low.

    Args:
        head: What the outputs mean.
        outputs: The network's outputs for N images.
        classes: Number of classes.
        rule: Which candidates are kept.

    Returns:
        N times what ``suppress(*head.decode(outputs), rule)`` gives; scores may differ in their last bits.
    """
    codes, logits = ([_maps(output) for output in outputs[first::2]] for first in (0, 1))
    anchor_rule = _native.AnchorRule(head.coder, LARGEST_LOGARITHM, head.scores is ScoreMeaning.SOFTMAX, classes)
    shapes = [len(level.shapes) for level in head.levels]
    anchors, given, found = np.ascontiguousarray(head.anchors), native_rule(rule), []
    for number in range(len(outputs[0])):
        out = _Room(rule.most)
        mine, theirs = [one[number] for one in codes], [one[number] for one in logits]
        count = _native.detect(mine, theirs, shapes, anchors, anchor_rule, given, *out.arrays)
        found.append(out.first(count))
    return found


def _maps(output: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """The maps of each image in one row."""
    return np.ascontiguousarray(output, np.float32).reshape(len(output), -1)
