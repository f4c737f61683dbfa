"""The score from which on boxes are reported lies where most is right."""

from __future__ import annotations

import numpy as np

from mobilenets.tasks.box_matching import FoundBoxes
from mobilenets.tasks.boxes import GroundTruth
from mobilenets.tasks.detection_threshold import chosen_threshold

BOX, BESIDE = (0, 0, 10, 10), (20, 20, 30, 30)


def image(*labels: int) -> GroundTruth:
    return GroundTruth.of([BOX] * len(labels), list(labels), (40, 40))


def found(*boxes: tuple[tuple[int, int, int, int], float, int]) -> FoundBoxes:
    ordered = sorted(boxes, key=lambda one: -one[1])
    corners = np.array([box for box, _, _ in ordered], np.float64).reshape(-1, 4)
    return FoundBoxes(corners, np.array([one[1] for one in ordered]), np.array([one[2] for one in ordered], np.int64))


def test_it_lies_between_what_is_right_and_what_is_not() -> None:
    answers = [found((BOX, 0.42 + number / 1000, number % 2), (BESIDE, 0.3, 0)) for number in range(40)]
    truths = [image(number % 2) for number in range(40)]
    assert chosen_threshold(answers, truths, 2) == 0.36


def test_a_detector_that_is_unsure_of_everything_still_reports() -> None:
    answers = [found((BOX, 0.08, 0), (BESIDE, 0.02, 0))] * 40
    threshold = chosen_threshold(answers, [image(0)] * 40, 1)
    assert threshold is not None
    assert 0.02 < threshold <= 0.08


def test_nothing_is_chosen_by_a_few_objects_or_where_nothing_is_found() -> None:
    right, nothing = found((BOX, 0.9, 0)), found()
    assert chosen_threshold([right] * 29, [image(0)] * 29, 1) is None
    assert chosen_threshold([nothing] * 40, [image(0)] * 40, 1) is None
    assert chosen_threshold([found((BESIDE, 0.9, 0))] * 40, [image(0)] * 40, 1) is None


def test_objects_that_do_not_count_change_nothing() -> None:
    ignored = GroundTruth.of([BOX, BESIDE], [0, 0], (40, 40), ignored=[False, True])
    answers = [found((BOX, 0.6, 0), (BESIDE, 0.9, 0))] * 40
    plain = [found((BOX, 0.6, 0))] * 40
    assert chosen_threshold(answers, [ignored] * 40, 1) == chosen_threshold(plain, [image(0)] * 40, 1)
