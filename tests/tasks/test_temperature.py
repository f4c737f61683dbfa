"""Temperature scaling: probabilities that are right as often as they say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobilenets.errors import DataError, ModelError
from mobilenets.tasks.catalog import decode_task
from mobilenets.tasks.classification import Classification, with_labels
from mobilenets.tasks.classification_metrics import ClassificationMetrics
from mobilenets.tasks.logits import best_class, softmax
from mobilenets.tasks.metrics import (
    RELIABILITY_BINS,
    calibration_error_by_chance,
    expected_calibration_error,
    reliability,
)
from mobilenets.tasks.task import Geometry
from mobilenets.tasks.temperature import LARGEST_TEMPERATURE, SMALLEST_TEMPERATURE, fit_temperature

CLASSES = 5
TASK = Classification(tuple("abcde"))


def truthful(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and targets drawn from their softmax, so that a temperature of 1 is the right one."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (count, CLASSES))
    probabilities = softmax(logits)
    targets = (probabilities.cumsum(axis=1) < rng.random((count, 1))).sum(axis=1)
    return logits, targets.astype(np.int64)


@given(st.floats(0.3, 4), st.integers(0, 50))
def test_it_finds_what_the_logits_were_multiplied_by(factor: float, seed: int) -> None:
    logits, targets = truthful(4000, seed)
    assert fit_temperature(factor * logits, targets) == pytest.approx(factor, rel=0.12)


def test_it_mends_what_label_smoothing_does_and_changes_no_answer() -> None:
    logits, targets = truthful(6000)
    flat = 0.6 * logits  # as unsure as smoothed targets make a network
    fitted = replace(TASK, temperature=fit_temperature(flat[:3000], targets[:3000]))
    before, after = TASK.metrics([flat[3000:]], targets[3000:]), fitted.metrics([flat[3000:]], targets[3000:])
    assert before.expected_calibration_error is not None
    assert before.expected_calibration_error > 0.08
    assert after.expected_calibration_error is not None
    assert after.expected_calibration_error < 0.03
    assert (after.top1, after.top5) == (before.top1, before.top5)
    assert (after.confusion == before.confusion).all()
    images = [Geometry(str(number), (1, 1), (0, 0, 1, 1)) for number in range(10)]
    sure, unsure = (task.decode([flat[:10]], images) for task in (fitted, TASK))
    assert [one.label for one in sure] == [one.label for one in unsure]
    assert all(one.probability > other.probability for one, other in zip(sure, unsure, strict=True))


@pytest.mark.parametrize(("images", "least", "most"), [(12, 0.8, 0.95), (100, 0.97, 0.995)])
def test_a_few_images_that_are_all_right_do_not_make_it_certain(images: int, least: float, most: float) -> None:
    rng = np.random.default_rng(0)
    targets = rng.integers(0, CLASSES, images)
    logits = 3 * np.eye(CLASSES)[targets] + rng.normal(0, 0.1, (images, CLASSES))
    sure = softmax(logits / fit_temperature(logits, targets)).max(axis=1).mean()
    assert least < sure < most


def test_six_images_that_are_wrong_by_chance_do_not_make_it_unsure_of_everything() -> None:
    found = [fit_temperature(*truthful(6, seed)) for seed in range(100)]
    assert min(found) > 0.4
    assert max(found) < 2.5
    assert np.exp(np.mean(np.log(found))) == pytest.approx(1, abs=0.25)


def test_logits_of_any_scale_have_no_prior() -> None:
    logits, targets = truthful(60)
    plain = fit_temperature(logits, targets, spread=None)
    assert fit_temperature(0.1 * logits, targets, spread=None) == pytest.approx(0.1 * plain, rel=1e-4)
    assert fit_temperature(0.1 * logits, targets) > 0.11 * plain


def test_it_stays_within_its_limits_whatever_the_logits() -> None:
    targets = np.zeros(50, np.int64)
    for logits in (np.zeros((50, 3)), np.full((50, 3), 1e30), 1e6 * np.eye(3)[np.arange(50) % 3]):
        assert SMALLEST_TEMPERATURE <= fit_temperature(logits, targets) <= LARGEST_TEMPERATURE * 1.001
    assert fit_temperature(np.ones((50, 1)), targets) == 1.0
    with pytest.raises(DataError, match="no images"):
        fit_temperature(np.zeros((0, 3)), targets[:0])


def test_expected_calibration_error_equals_a_count_by_hand() -> None:
    confidence = np.array([0.95, 0.95, 0.95, 0.95, 0.5, 1.0, 0.0])
    right = np.array([True, True, True, False, False, True, False])
    bins = reliability(confidence, right)
    assert sum(one.images for one in bins) == 7
    assert len(bins) <= RELIABILITY_BINS
    # 0.95 four times and 1.0 share the last bin: 0.96 sure, 0.8 right; 0.5 is alone and wrong; 0 is right to be wrong.
    assert expected_calibration_error(bins) == pytest.approx((5 * 0.16 + 1 * 0.5 + 1 * 0.0) / 7)


@pytest.mark.parametrize("images", [100, 400, 2000])
def test_what_chance_makes_of_true_probabilities_is_foretold(images: int) -> None:
    rng = np.random.default_rng(images)
    confidence = rng.beta(5, 1.5, images)
    drawn = [reliability(confidence, rng.random(images) < confidence) for _ in range(200)]
    mean = np.mean([expected_calibration_error(bins) for bins in drawn])
    assert calibration_error_by_chance(drawn[0]) == pytest.approx(mean, rel=0.1)


def test_metrics_with_reliability_are_json_and_older_ones_are_read() -> None:
    logits, targets = truthful(200)
    metrics = TASK.metrics([logits], targets)
    data = metrics.to_json()
    again = ClassificationMetrics.from_json(data)
    assert again.reliability == metrics.reliability
    assert again.expected_calibration_error == data["expected_calibration_error"]
    assert data["mean_confidence"] == pytest.approx(softmax(logits).max(axis=1).mean())
    older = {name: data[name] for name in data if name not in ("reliability", "expected_calibration_error")}
    assert ClassificationMetrics.from_json(older).expected_calibration_error is None
    broken = {**data, "reliability": [{"images": 3, "confidence": 1.5, "accuracy": 0.5}]}
    with pytest.raises(ValueError, match="reliability"):
        ClassificationMetrics.from_json(broken)


def test_a_temperature_is_written_only_where_it_is_not_one() -> None:
    assert TASK.encode() == {"kind": "classification", "labels": list("abcde")}
    warm = replace(TASK, temperature=0.7)
    assert decode_task(warm.encode()) == warm
    assert decode_task(TASK.encode()) == TASK
    assert with_labels(warm, tuple("vwxyz")) == Classification(tuple("vwxyz"), 0.7)


@pytest.mark.parametrize("temperature", [0, -1, float("nan"), float("inf"), True, "1", 1e9, None])
def test_what_is_no_temperature_is_refused(temperature: object) -> None:
    with pytest.raises(ModelError, match="temperature"):
        decode_task({"kind": "classification", "labels": ["a"], "temperature": temperature})


def test_agreement_where_the_model_is_sure_is_of_its_own_probabilities() -> None:
    logits = np.array([[0.3, 0.0], [0.0, 0.2]])
    assert TASK.compare([np.pad(logits, ((0, 0), (0, 3)))], [np.pad(logits, ((0, 0), (0, 3)))]).same.total == 2
    two = Classification(("a", "b"), 0.01)
    assert best_class(logits).tolist() == [0, 1]
    assert two.compare([logits], [logits]).same_where_confident.total == 2
