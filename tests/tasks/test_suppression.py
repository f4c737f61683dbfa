"""Non-maximum suppression."""

from __future__ import annotations

import numpy as np
import pytest

from mobilenets.tasks.boxes import intersection_over_union
from mobilenets.tasks.suppression import Suppression, suppress

BOXES = np.array([[0, 0, 4, 4], [0, 0, 4, 3], [5, 5, 6, 6]], np.float32)


def test_classes_do_not_suppress_each_other_unless_asked_to() -> None:
    scores = np.array([[0.5, 0.1], [0.1, 0.75], [0.1, 0.25]], np.float32)
    by_class = suppress(BOXES, scores, Suppression(0.5, 0.2, most=10))
    assert (by_class.labels.tolist(), by_class.scores.tolist()) == ([1, 0, 1], [0.75, 0.5, 0.25])
    agnostic = suppress(BOXES, scores, Suppression(0.5, 0.2, most=10, class_agnostic=True))
    assert (agnostic.labels.tolist(), agnostic.scores.tolist()) == ([1, 1], [0.75, 0.25])


def test_thresholds_are_inclusive_for_scores_and_exclusive_for_overlap() -> None:
    scores = np.array([[0.5], [0.75], [0.25]], np.float32)
    assert suppress(BOXES, scores, Suppression(0.75, 0.25, most=10)).scores.tolist() == [0.75, 0.5, 0.25]
    assert suppress(BOXES, scores, Suppression(0.74, 0.25, most=10)).scores.tolist() == [0.75, 0.25]


def test_equal_scores_keep_the_order_of_the_candidates() -> None:
    scores = np.array([[0.5], [0.5], [0.5]], np.float32)
    assert suppress(BOXES, scores, Suppression(0.9, 0.1, most=10)).boxes.tolist() == BOXES.tolist()
    assert suppress(BOXES, scores, Suppression(0.5, 0.1, most=1)).boxes.tolist() == BOXES[:1].tolist()


@pytest.mark.parametrize("agnostic", [False, True])
def test_what_is_kept_does_not_overlap_and_what_is_dropped_overlaps_something_better(agnostic: bool) -> None:
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 1, (60, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(0.1, 0.5, (60, 2))], axis=1).astype(np.float32)
    scores = rng.uniform(0, 1, (60, 3)).astype(np.float32)
    kept = suppress(boxes, scores, Suppression(0.4, 0.0, most=200, class_agnostic=agnostic))
    overlap = intersection_over_union(kept.boxes, kept.boxes) - np.eye(len(kept.boxes))
    together = np.ones_like(overlap, bool) if agnostic else kept.labels[:, None] == kept.labels
    assert overlap[together].max() <= 0.4
    for label in range(3):
        best = scores.argmax(axis=1) == label if agnostic else np.ones(60, bool)
        group = np.ones(len(kept.labels), bool) if agnostic else kept.labels == label
        for box, score in zip(boxes[best], scores[best, label], strict=True):
            near = intersection_over_union(box[None], kept.boxes[group])[0]
            assert ((near > 0.4) & (kept.scores[group] >= score)).any() or (kept.boxes[group] == box).all(axis=1).any()
