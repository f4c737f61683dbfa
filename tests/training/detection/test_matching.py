"""Which anchors and cells answer for which objects."""

from __future__ import annotations

import numpy as np

from mobilenets.tasks.boxes import intersection_over_union
from mobilenets.tasks.detection_heads import AnchorHead, AnchorLevel, CentreHead
from mobilenets.training.detection.matching import BACKGROUND, IGNORED, AnchorMatcher, CentreMatcher, Objects

HEAD = AnchorHead((AnchorLevel(10, 10, ((0.15, 0.15), (0.3, 0.15))), AnchorLevel(5, 5, ((0.5, 0.5),))))


def objects(boxes: list[tuple[float, float, float, float]], ignored: set[int] = frozenset()) -> Objects:  # type: ignore[assignment]
    count = len(boxes)
    return Objects(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.arange(count, dtype=np.int64),
        np.array([number in ignored for number in range(count)], np.bool_),
    )


def test_an_image_without_objects_is_all_background() -> None:
    targets = AnchorMatcher(HEAD)(objects([]))
    assert targets.shape == (225, 5)
    assert (targets[:, 4] == BACKGROUND).all()


def test_every_object_has_an_anchor_that_overlaps_it_well() -> None:
    boxes = [(0.1, 0.1, 0.26, 0.25), (0.4, 0.3, 0.95, 0.8), (0.02, 0.9, 0.03, 0.91), (0.6, 0.02, 0.9, 0.2)]
    targets = AnchorMatcher(HEAD)(objects(boxes))
    half = HEAD.anchors[:, 2:] / 2
    overlap = intersection_over_union(
        np.concatenate([HEAD.anchors[:, :2] - half, HEAD.anchors[:, :2] + half], axis=1), np.array(boxes)
    )
    for number, box in enumerate(boxes):
        own = targets[:, 4] == number
        assert own.any()
        assert np.allclose(targets[own, :4], box)
        assert overlap[own, number].max() == overlap[:, number].max()


def test_an_anchor_between_two_objects_answers_for_the_one_that_it_overlaps_more() -> None:
    head = AnchorHead((AnchorLevel(1, 1, ((0.5, 0.5),)),))
    targets = AnchorMatcher(head)(objects([(0.0, 0.0, 0.6, 1.0), (0.25, 0.3, 0.75, 0.8)]))
    assert targets[0, 4] == 1


def test_nothing_is_asked_of_anchors_inside_an_ignored_box() -> None:
    targets = AnchorMatcher(HEAD)(objects([(0.0, 0.0, 0.5, 1.0), (0.1, 0.1, 0.25, 0.25)], ignored={0}))
    half = HEAD.anchors[:, 2:] / 2
    within = (HEAD.anchors[:, :2] - half >= 0) & (HEAD.anchors[:, :2] + half <= (0.5, 1))
    inside = within.all(axis=1) & (targets[:, 4] != 1)
    assert inside.sum() > 20
    right = HEAD.anchors[:, 0] - HEAD.anchors[:, 2] / 2 >= 0.5
    assert (targets[inside, 4] == IGNORED).all()
    assert (targets[right, 4] == BACKGROUND).all()
    assert (targets[:, 4] == 1).any()
    assert not (targets[:, 4] == 0).any()


def test_the_cell_of_a_centre_answers_for_the_smallest_object_there() -> None:
    matcher = CentreMatcher(CentreHead(2, 4, ((0.1, 0.1),)))
    targets = matcher(objects([(0.0, 0.0, 1.0, 0.9), (0.55, 0.1, 0.65, 0.2), (0.9, 0.9, 1.1, 1.1)], ignored={2}))
    found = targets[:, 4].reshape(2, 4)
    assert found.tolist() == [[-1, -1, 1, -1], [-1, -1, -1, IGNORED]]
