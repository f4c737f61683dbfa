"""Several labels an image: what is predicted, and what its figures are."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score

from mobilenets.errors import DataError, ModelError
from mobilenets.tasks.multilabel import MultiLabel, fit_thresholds, sigmoid
from mobilenets.tasks.multilabel_metrics import MultiLabelMetrics, best_threshold, precisions_of_labels
from mobilenets.tasks.task import Geometry

LABELS = ("red", "round", "wet")
IMAGES = [Geometry(name, (8, 8), (0, 0, 8, 8)) for name in ("one", "two")]


def logits(probabilities: object) -> np.ndarray:
    values = np.array(probabilities, np.float64)
    return np.log(values / (1 - values)).astype(np.float32)


@pytest.mark.parametrize(("images", "levels"), [(1, 2), (7, 2), (50, 5), (200, 1000)])
def test_average_precision_is_that_of_scikit_learn(images: int, levels: int) -> None:
    rng = np.random.default_rng(images)
    scores, truth = rng.integers(0, levels, (images, 6)) / levels, rng.random((images, 6)) < 0.4
    found = precisions_of_labels(scores, truth)
    for label in range(6):
        if truth[:, label].any():
            assert found[label] == pytest.approx(average_precision_score(truth[:, label], scores[:, label]))
        else:
            assert math.isnan(found[label])


def test_a_threshold_has_the_largest_f1_of_all() -> None:
    rng = np.random.default_rng(3)
    for _ in range(20):
        scores, truth = rng.random(40).round(1), rng.random(40) < 0.3
        found = best_threshold(scores, truth)
        if not truth.any():
            assert found is None
            continue
        assert found is not None
        best = max(f1_score(truth, scores >= limit) for limit in np.linspace(0, 1, 101))
        assert f1_score(truth, scores >= found) == pytest.approx(best)


def test_where_all_images_have_a_label_or_none_has_its_threshold_is_one_half() -> None:
    targets = np.array([[1, 0, 1], [1, 0, 0]])
    assert fit_thresholds(logits([[0.3, 0.3, 0.8], [0.2, 0.1, 0.4]]), targets) == (0.5, 0.5, 0.6)


def test_an_image_is_given_every_label_that_reaches_its_threshold() -> None:
    task = MultiLabel(LABELS, (0.5, 0.2, 0.9))
    first, second = task.decode([logits([[0.6, 0.7, 0.8], [0.4, 0.1, 0.5]])], IMAGES, top=1)
    assert (first.names, second.names) == (("round", "red"), ())
    assert first.summary == "round 70.0 %  red 60.0 %"
    assert second.summary == "none (likeliest wet 50.0 %)"
    assert [one["label"] for one in first.to_json()["labels"]] == ["round", "red"]
    assert list(first.to_json()["probabilities"]) == list(LABELS)
    assert list(first.to_row()) == list(second.to_row()) == ["image", "labels", *LABELS]
    assert first.to_row()["labels"] == "round;red"


def test_metrics_by_hand() -> None:
    task = MultiLabel(LABELS)
    outputs = [logits([[0.9, 0.6, 0.1], [0.2, 0.7, 0.3], [0.8, 0.4, 0.2]])]
    targets = np.array([[1, 1, 0], [1, 0, 0], [0, 1, 0]])
    found = task.metrics(outputs, targets, skipped=["broken"])
    red, round_, wet = found.labels
    assert (red.images, red.given, red.right, red.precision, red.recall) == (2, 2, 1, 0.5, 0.5)
    assert red.average_precision == pytest.approx((1 + 2 / 3) / 2)
    assert round_.average_precision == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert (wet.average_precision, wet.precision, wet.recall) == (None, None, None)
    assert found.mean_average_precision == pytest.approx((5 / 6 + 7 / 12) / 2)
    assert found.primary.interval[0] <= found.primary.value <= found.primary.interval[1]
    assert (found.exact.count, found.images, found.skipped) == (1, 3, ("broken",))
    assert found.f1 == pytest.approx(2 * 2 / (4 + 4))
    again = task.read_metrics(json.loads(json.dumps(found.to_json())))
    assert again.to_json() == found.to_json()


def test_the_interval_of_many_images_is_narrower_and_holds_the_truth() -> None:
    rng = np.random.default_rng(5)
    truth = rng.random((20_000, 2)) < 0.3
    scores = sigmoid(rng.normal(size=truth.shape) + 1.5 * truth)
    everything = MultiLabelMetrics.of(scores, truth.astype(np.int64), "ab", (0.5, 0.5)).mean_average_precision
    inside, widths = 0, []
    for begin in range(0, 20_000, 400):
        part = MultiLabelMetrics.of(scores[begin:][:400], truth[begin:][:400].astype(np.int64), "ab", (0.5, 0.5))
        inside += part.interval[0] <= everything <= part.interval[1]
        widths.append(part.interval[1] - part.interval[0])
    assert inside >= 43  # of 50; 47.5 are expected
    few = MultiLabelMetrics.of(scores[:40], truth[:40].astype(np.int64), "ab", (0.5, 0.5)).interval
    assert few[1] - few[0] > np.mean(widths)


@pytest.mark.parametrize("damage", ["exact", "right", "precision", "labels"])
def test_contradictory_figures_are_refused(damage: str) -> None:
    data = MultiLabel(LABELS).metrics([logits([[0.9, 0.6, 0.1]])], np.array([[1, 0, 0]])).to_json()
    match damage:
        case "exact":
            data["exact"] = {"count": 2, "of": 1}
        case "right":
            data["labels"][0]["right"] = 3
        case "precision":
            data["labels"][0]["average_precision"] = 1.5
        case _:
            data["labels"] = []
    with pytest.raises(ValueError, match=r"right|exact|average precision"):
        MultiLabel(LABELS).read_metrics(data)


def test_targets_of_classes_are_refused() -> None:
    with pytest.raises(DataError, match=r"must be of shape \(2, 3\), 0 or 1 for each label, not \(2,\)"):
        MultiLabel(LABELS).metrics([logits([[0.9, 0.6, 0.1]] * 2)], np.array([1, 0]))


@pytest.mark.parametrize("thresholds", [(0.5,), (0.5, 0.5, 1.5), (0.5, 0.5, math.nan), [0.5, 0.5, 0.5]])
def test_thresholds_that_are_none_are_refused(thresholds: object) -> None:
    with pytest.raises(ModelError, match="threshold"):
        MultiLabel(LABELS, thresholds)  # type: ignore[arg-type]
