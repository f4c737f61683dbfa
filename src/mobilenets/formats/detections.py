"""Files that give finished detections: which Models can be written so, and whether what was written finds the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from mobilenets.errors import FormatError
from mobilenets.model.model import Model
from mobilenets.tasks.boxes import intersection_over_union
from mobilenets.tasks.detection import Detection
from mobilenets.tasks.detection_heads import AnchorHead
from mobilenets.tasks.metrics import Share
from mobilenets.tasks.suppression import Kept
from mobilenets.tasks.task import Agreement, Geometry

DETECTIONS = "End in non-maximum suppression, so that boxes come out"
"""What the option of a format is called in its help."""
MOST = 100
"""Boxes of an image that a file gives at most."""
SAME_SCORE, SAME_IOU = 2e-3, 0.98
"""Scores and boxes that are as close as that are the same: runtimes round differently."""
LEAST_SAME = 0.97
"""Share of the boxes that a file must find too: of two that overlap as much as is allowed, another may be dropped."""
_SIDE = 1 << 14
"""Pixels of an image whose boxes are compared."""


def anchor_task(model: Model) -> tuple[Detection, AnchorHead]:
    """The task and the head of a Model whose file can give detections.

    Raises:
        FormatError: If it is no detector, or finds centres, which nothing suppresses.
    """
    task = model.task
    if not isinstance(task, Detection):
        raise FormatError(f"only a detector has detections to give; this Model's task is {task.kind}")
    if not isinstance(task.head, AnchorHead):
        raise FormatError(f"a detector with {task.head.kind} needs no suppression; export it without detections")
    return task, task.head


def compare_detections(model: Model, expected: Mapping[str, npt.NDArray[Any]], found: list[Kept]) -> Agreement:
    """Compare what a file finds with what the Model finds.

    Args:
        model: The detector.
        expected: Its outputs for N images, by name.
        found: N times what the file finds, boxes as shares of the input.

    Raises:
        FormatError: If too few boxes are the same.
    """
    task, _ = anchor_task(model)
    outputs = list(expected.values())
    whole = Geometry("", (_SIDE, _SIDE), (0.0, 0.0, float(_SIDE), float(_SIDE)))
    predictions = task.decode(outputs, [whole] * len(found), top=MOST)
    same, total, images, largest = 0, 0, [], 0.0
    for prediction, one in zip(predictions, found, strict=True):
        boxes = np.array([box.box for box in prediction.boxes], np.float64).reshape(-1, 4)
        labels = np.array([box.index for box in prediction.boxes], np.int64)
        scores = np.array([box.score for box in prediction.boxes], np.float64)
        overlap = intersection_over_union(boxes, one.boxes.clip(0, 1).astype(np.float64) * _SIDE)
        difference = np.abs(scores[:, None] - one.scores[None])
        alike = (labels[:, None] == one.labels) & (overlap >= SAME_IOU) & (difference <= SAME_SCORE)
        hits = alike.any(axis=1)
        largest = max(largest, float(np.where(alike, difference, 0).max(initial=0)))
        images.append(bool(hits.all()) and len(one.labels) == len(labels))
        same, total = same + int(hits.sum()), total + len(hits)
    if total and same < LEAST_SAME * total:
        raise FormatError(f"the written file finds {same} of the {total} boxes that the Model finds")
    share = Share.of(np.array(images, np.bool_))
    return Agreement(share, share, largest, 1.0, 0.0)
