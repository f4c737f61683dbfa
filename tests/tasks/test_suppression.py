"""Non-maximum suppression."""

from __future__ import annotations

import numpy as np
import pytest
from tests.support.detectors import random_boxes

from mobilenets.tasks.boxes import intersection_over_union
from mobilenets.tasks.detection_heads import AnchorHead, AnchorLevel, ScoreMeaning
from mobilenets.tasks.suppression import Kept, Suppression, detect, suppress, suppress_reference

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


def assert_equal(one: Kept, other: Kept) -> None:
    np.testing.assert_array_equal(one.boxes, other.boxes)
    np.testing.assert_array_equal(one.scores, other.scores)
    np.testing.assert_array_equal(one.labels, other.labels)


@pytest.mark.parametrize("agnostic", [False, True])
@pytest.mark.parametrize("classes", [1, 2, 15, 16, 17, 91])
@pytest.mark.parametrize("candidates", [0, 1, 7, 600])
def test_native_suppression_keeps_the_same_boxes(candidates: int, classes: int, agnostic: bool) -> None:
    rng = np.random.default_rng(candidates + classes)
    boxes = random_boxes(rng, candidates, 100.0) if candidates else np.empty((0, 4), np.float32)
    scores = np.round(rng.uniform(size=(candidates, classes)), 2).astype(np.float32)  # many are equal
    for iou, least, most in ((0.5, 0.3, 100), (0.0, 0.0, 10), (1.0, 0.9, 1000), (0.5, 1.0, 100)):
        rule = Suppression(iou, least, most, class_agnostic=agnostic)
        assert_equal(suppress(boxes, scores, rule), suppress_reference(boxes, scores, rule))


def test_a_candidate_that_is_nan_is_never_kept_for_its_score() -> None:
    scores = np.array([[np.nan], [0.75], [np.nan]], np.float32)
    assert suppress(BOXES, scores, Suppression(0.5, 0.0, most=10)).scores.tolist() == [0.75]


@pytest.mark.parametrize("agnostic", [False, True])
@pytest.mark.parametrize("meaning", list(ScoreMeaning))
@pytest.mark.parametrize(("classes", "deviation"), [(1, 4.0), (3, 4.0), (90, 4.0), (90, 0.5)])
def test_boxes_straight_from_the_maps_are_those_of_the_decoded_candidates(
    classes: int, deviation: float, meaning: ScoreMeaning, agnostic: bool
) -> None:
    rng = np.random.default_rng(classes)
    shapes = ((0.1, 0.1), (0.2, 0.1), (0.1, 0.3))
    head = AnchorHead((AnchorLevel(7, 5, shapes), AnchorLevel(3, 3, shapes[:2]), AnchorLevel(1, 1, shapes)), meaning)
    logits = classes + (meaning is ScoreMeaning.SOFTMAX)
    outputs = []
    for level in head.levels:
        for channels, spread in ((4, 1.0), (logits, deviation)):
            size = (2, channels * len(level.shapes), level.rows, level.columns)
            outputs.append(rng.normal(0, spread, size).astype(np.float32))
    outputs[-2:] = [outputs[-2].reshape(2, -1), outputs[-1].reshape(2, -1)]  # as the engine gives a map of one cell
    for least in (0.0, 0.01, 0.3, 0.9, 1.0):
        rule = Suppression(0.5, least, most=20_000, class_agnostic=agnostic)
        expected = [suppress_reference(*one, rule) for one in zip(*head.decode(outputs), strict=True)]
        for found, wanted in zip(detect(head, outputs, classes, rule), expected, strict=True):
            # Scores that differ in their last bits only may change places.
            mine, theirs = (np.lexsort((one.boxes[:, 0].round(4), one.labels)) for one in (found, wanted))
            np.testing.assert_array_equal(found.labels[mine], wanted.labels[theirs])
            np.testing.assert_allclose(found.scores[mine], wanted.scores[theirs], rtol=1e-5, atol=1e-7)
            np.testing.assert_allclose(found.boxes[mine], wanted.boxes[theirs], rtol=1e-5, atol=1e-6)
            assert (np.diff(found.scores) <= 0).all()


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
