"""Images of no known class: the energy, its threshold, and what it does to predictions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mobilenets.errors import DataError, EngineError, ModelError
from mobilenets.tasks.classification import Classification, calibrated, with_labels
from mobilenets.tasks.task import Geometry
from mobilenets.tasks.unknown import UnknownThreshold, area_under_curve, energy, fit_unknown

LOGITS = np.array([[9.0, 1.0, 0.0], [1.0, 1.2, 0.9], [0.1, 4.0, 0.0]], np.float32)
IMAGES = [Geometry(name, (4, 4), (0, 0, 4, 4)) for name in "abc"]


def test_energy_is_the_logarithm_of_the_sum_of_exponentials() -> None:
    logits = np.random.default_rng(0).normal(0, 30, (50, 7))
    assert energy(logits) == pytest.approx(np.log(np.exp(logits).sum(axis=1)))
    assert energy(np.array([[1e4, 0.0]])).tolist() == [1e4]


def test_the_threshold_lets_95_percent_of_known_images_pass() -> None:
    logits = np.random.default_rng(1).normal(0, 3, (1000, 5))
    task = Classification(tuple("abcde"), unknown=fit_unknown(logits))
    assert task.is_unknown(logits).sum() == 50
    with pytest.raises(DataError, match="9 images set no threshold of unknown images; 10 are the fewest"):
        fit_unknown(logits[:9])


def test_an_image_of_low_energy_is_unknown_only_where_that_is_asked() -> None:
    task = Classification(("metal", "glass", "paper"), unknown=UnknownThreshold(4.0, 20))
    assert [one.label for one in task.decode([LOGITS], IMAGES)] == ["metal", "glass", "glass"]
    found = task.decode([LOGITS], IMAGES, unknown=True, top=1)
    assert [one.label for one in found] == ["metal", "unknown", "glass"]
    assert found[1].summary == f"unknown (glass {100 * found[1].probability:.1f} %)"
    assert found[1].to_json()["unknown"] is True
    assert "unknown" not in task.decode([LOGITS], IMAGES)[1].to_json()


def test_a_threshold_of_probability_needs_no_calibration() -> None:
    task = Classification(("metal", "glass", "paper"))
    found = task.decode([LOGITS], IMAGES, threshold=0.97)
    assert [one.label for one in found] == ["metal", "unknown", "unknown"]
    with pytest.raises(EngineError, match="mobilenets calibrate MODEL DATA adds one"):
        task.decode([LOGITS], IMAGES, unknown=True)


def test_the_task_keeps_its_threshold_and_older_tasks_have_none() -> None:
    task = calibrated(Classification(("a", "b", "c")), np.tile(LOGITS, (5, 1)), np.tile([0, 1, 1], 5))
    assert task.unknown is not None
    assert Classification.from_json(task.encode()) == task
    assert with_labels(task, ("x", "y", "z")).unknown == task.unknown
    assert Classification.from_json({"kind": "classification", "labels": ["a"]}).unknown is None
    assert calibrated(Classification(("a", "b", "c")), LOGITS, np.array([0, 1, 1])).unknown is None  # too few


@pytest.mark.parametrize(
    "data",
    [
        None,
        3,
        {},
        {"energy": 1.0},
        {"energy": "1", "images": 10},
        {"energy": float("nan"), "images": 10},
        {"energy": True, "images": 10},
        {"energy": 1.0, "images": 0},
        {"energy": 1e9, "images": 1},
    ],
)
def test_a_threshold_that_makes_no_sense_is_refused(data: Any) -> None:
    with pytest.raises(ModelError, match="threshold of unknown images"):
        Classification.from_json({"kind": "classification", "labels": ["a"], "unknown": data})


def test_the_area_under_the_curve_is_that_of_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    known, unknown = rng.integers(2, 12, 70) / 1.0, rng.integers(0, 10, 40) / 1.0
    truth = np.concatenate([np.ones(70), np.zeros(40)])
    expected = metrics.roc_auc_score(truth, np.concatenate([known, unknown]))
    assert area_under_curve(known, unknown) == pytest.approx(expected)


def test_metrics_count_the_known_images_that_are_called_unknown() -> None:
    task = Classification(("metal", "glass", "paper"), unknown=UnknownThreshold(4.0, 20))
    found = task.metrics([LOGITS], np.array([0, 2, 0]))
    assert found.called_unknown is not None
    assert found.wrong_called_unknown is not None
    assert (found.called_unknown.count, found.called_unknown.total) == (1, 3)
    assert (found.wrong_called_unknown.count, found.wrong_called_unknown.total) == (1, 2)
    again = type(found).from_json(found.to_json())
    assert again.unknown == (1, 1)
    assert "unknown" not in Classification(("metal", "glass", "paper")).metrics([LOGITS], np.array([0, 2, 0])).to_json()
