"""Cross-validation, through training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mobilenets.data.augmentation import UNDISTORTED
from mobilenets.data.dataset import load_dataset
from mobilenets.errors import DataError
from mobilenets.training.cross_validation import ClassifierCrossValidation, cross_validate
from mobilenets.training.recipe import DEFAULT
from mobilenets.training.settings import Settings

RECIPE = replace(DEFAULT, batch=8, mixup=0.0, cutmix=0.0, augmentation=UNDISTORTED)
SMALL = Settings(width=0.25, resolution=32, epochs=1, threads=1, recipe=RECIPE)


def test_every_image_is_tested_once(colours: Path) -> None:
    dataset = load_dataset(colours)
    total = len(dataset.train) + len(dataset.validation) + len(dataset.test)
    found = cross_validate(colours, 2, SMALL)
    assert isinstance(found, ClassifierCrossValidation)
    assert len(found.folds) == 2
    assert found.correct.total == total == found.confusion.sum()
    assert found.correct.count == found.confusion.trace()
    assert found.to_json()["top1"] == found.correct.value
    assert found.summary.startswith(f"cross-validation: {found.correct.count} of {total} right; of many it may be")


def test_probabilities_are_judged_on_all_images_together(colours: Path) -> None:
    found = cross_validate(colours, 2, SMALL)
    assert isinstance(found, ClassifierCrossValidation)
    assert sum(one.images for one in found.reliability) == found.images
    sure = sum(fold.images * (fold.mean_confidence or 0) for fold in found.folds) / found.images
    assert sum(one.images * one.confidence for one in found.reliability) / found.images == pytest.approx(sure)
    assert 0 <= found.expected_calibration_error <= 1
    assert found.calibration_error_by_chance < max(fold.calibration_error_by_chance or 0 for fold in found.folds)
    assert "expected calibration error" in found.summary
    assert found.to_json()["expected_calibration_error"] == found.expected_calibration_error


def test_too_many_folds_are_refused_before_anything_is_trained(colours: Path) -> None:
    with pytest.raises(DataError, match="90 folds need at least 90 of every class"):
        cross_validate(colours, 90, SMALL)
