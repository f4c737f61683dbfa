"""Average precision is COCO's, to the last digit."""

from __future__ import annotations

import contextlib
import io
import math
from typing import Any

import numpy as np
import pytest
from tests.support.detectors import random_case

from mobilenets.tasks.box_matching import FoundBoxes
from mobilenets.tasks.boxes import GroundTruth
from mobilenets.tasks.detection_metrics import DetectionMetrics


def by_pycocotools(found: list[FoundBoxes], truths: list[GroundTruth], classes: int) -> tuple[Any, Any]:
    """The twelve figures of COCO, and precision by threshold, recall, class, size and number of detections."""
    pycocotools = pytest.importorskip("pycocotools.coco", reason="pycocotools is not installed")
    evaluation = pytest.importorskip("pycocotools.cocoeval", reason="pycocotools is not installed")

    def sides(box: Any) -> list[float]:
        left, top, right, bottom = map(float, box)
        return [left, top, right - left, bottom - top]

    images = [{"id": number + 1} for number in range(len(truths))]
    annotations = [
        {
            "id": 1000 * (number + 1) + place + 1,
            "image_id": number + 1,
            "category_id": int(truth.labels[place]) + 1,
            "bbox": sides(truth.boxes[place]),
            "area": math.prod(sides(truth.boxes[place])[2:]),
            "iscrowd": int(truth.ignored[place]),
        }
        for number, truth in enumerate(truths)
        for place in range(len(truth.labels))
    ]
    results = [
        {"image_id": number + 1, "category_id": int(label) + 1, "bbox": sides(box), "score": float(score)}
        for number, one in enumerate(found)
        for box, score, label in zip(one.boxes, one.scores, one.labels, strict=True)
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        truth = pycocotools.COCO()
        categories = [{"id": label + 1, "name": str(label)} for label in range(classes)]
        truth.dataset = {"info": {}, "images": images, "annotations": annotations, "categories": categories}
        truth.createIndex()
        run = evaluation.COCOeval(truth, truth.loadRes(results), "bbox")
        run.evaluate()
        run.accumulate()
        run.summarize()
    return run.stats, run.eval["precision"]


@pytest.mark.parametrize("seed", range(6))
def test_figures_are_those_of_pycocotools(seed: int) -> None:
    found, truths = random_case(np.random.default_rng(seed), images=20, classes=3)
    figures, precision = by_pycocotools(found, truths, 3)
    metrics = DetectionMetrics.of(found, truths, ("a", "b", "c"), score_threshold=0.3)
    assert metrics.map50_95 == pytest.approx(figures[0], abs=1e-12)
    assert metrics.map50 == pytest.approx(figures[1], abs=1e-12)
    assert metrics.map75 == pytest.approx(figures[2], abs=1e-12)
    for one, expected in zip(metrics.sizes, figures[3:6], strict=True):
        assert (one.ap if one.ap is not None else -1) == pytest.approx(expected, abs=1e-12), one.name
    for number, one_class in enumerate(metrics.classes):
        assert one_class.ap == pytest.approx(precision[:, :, number, 0, 2].mean(), abs=1e-12)
        np.testing.assert_allclose(one_class.curve, precision[0, :, number, 0, 2], atol=1e-12)


def truth(*boxes: tuple[float, float, float, float], ignored: tuple[bool, ...] | None = None) -> GroundTruth:
    return GroundTruth.of(boxes, [0] * len(boxes), (100, 100), ignored)


def found(*scored: tuple[float, tuple[float, float, float, float]]) -> FoundBoxes:
    boxes = np.array([box for _, box in scored]).reshape(-1, 4)
    return FoundBoxes(boxes, np.array([score for score, _ in scored]), np.zeros(len(scored), np.int64))


LEFT, RIGHT = (0.0, 0.0, 40.0, 40.0), (50.0, 0.0, 90.0, 40.0)


def test_of_two_detections_of_one_object_the_second_is_invented() -> None:
    metrics = DetectionMetrics.of([found((0.9, LEFT), (0.8, LEFT))], [truth(LEFT, RIGHT)], "a", score_threshold=0.3)
    assert (metrics.classes[0].found, metrics.classes[0].missed, metrics.classes[0].invented) == (1, 1, 1)
    assert metrics.map50 == pytest.approx(51 / 101)  # precision 1 up to a recall of 0.5


def test_what_is_ignored_is_neither_missed_nor_invented() -> None:
    metrics = DetectionMetrics.of(
        [found((0.9, LEFT), (0.8, LEFT), (0.7, RIGHT))],
        [truth(LEFT, RIGHT, ignored=(True, False))],
        "a",
        score_threshold=0.3,
    )
    assert (metrics.objects, metrics.found.count, metrics.invented) == (1, 1, 0)
    assert metrics.map50 == pytest.approx(1)


def test_an_image_without_objects_counts_what_is_invented_there() -> None:
    metrics = DetectionMetrics.of([found((0.9, LEFT)), found()], [truth(), truth(LEFT)], "a", score_threshold=0.3)
    assert (metrics.images, metrics.invented, metrics.found.count) == (2, 1, 0)


def test_classes_without_objects_have_no_figures_and_do_not_count() -> None:
    metrics = DetectionMetrics.of([found((0.9, LEFT))], [truth(LEFT)], ("a", "b"), score_threshold=0.3)
    assert metrics.map50 == pytest.approx(1)
    assert (metrics.classes[1].ap, metrics.classes[1].recall) == (None, None)


def test_nothing_at_all_has_no_figure() -> None:
    metrics = DetectionMetrics.of([found()], [truth()], "a", score_threshold=0.3)
    assert math.isnan(metrics.map50_95)
    assert metrics.interval == (0.0, 1.0)
    assert DetectionMetrics.from_json(metrics.to_json()).to_json() == metrics.to_json()


def test_the_interval_contains_the_figure_and_narrows_with_more_images() -> None:
    widths = []
    for images in (20, 200):
        found, truths = random_case(np.random.default_rng(0), images, classes=2)
        metrics = DetectionMetrics.of(found, truths, "ab", score_threshold=0.3)
        low, high = metrics.interval
        assert low <= metrics.map50_95 <= high
        widths.append(high - low)
    assert widths[1] < 0.6 * widths[0]


def test_json_keeps_every_figure() -> None:
    found, truths = random_case(np.random.default_rng(3), 10, classes=2)
    metrics = DetectionMetrics.of(found, truths, "ab", score_threshold=0.4, skipped=("broken.jpg",))
    assert DetectionMetrics.from_json(metrics.to_json()) == metrics
