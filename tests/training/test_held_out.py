"""Classes that are left out of training, as a measure of how well unknown things are told."""

from __future__ import annotations

import numpy as np
import pytest
from tests.support.random_models import random_model

from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.data.arrays import array_dataset
from mobilenets.data.dataset import Dataset
from mobilenets.errors import DataError
from mobilenets.model.model import Model
from mobilenets.reports.pages.confidence import confidence_section
from mobilenets.reports.pages.markup import to_html
from mobilenets.tasks.classification import Classification
from mobilenets.training.held_out import held_out_classes


@pytest.fixture(scope="module")
def judge() -> Model:
    return random_model(np.random.default_rng(0), mobilenet_v1(width_multiplier=0.25, resolution=32, classes=3))


def shades(classes: int, images: int, *, same: bool) -> Dataset:
    """Images of classes that are shades of one color; or of one shade, so that nothing tells them apart."""
    rng, targets = np.random.default_rng(1), np.arange(images) % classes
    middle = np.full(images, 128) if same else 20 + 215 * targets // (classes - 1)
    pixels = rng.normal(middle[:, None, None, None], 12, (images, 32, 32, 3)).clip(0, 255).astype(np.uint8)
    splits = np.array(["train", "validation", "test"])[np.arange(images) // classes % 3]
    return array_dataset(pixels, targets, labels=[f"shade {n}" for n in range(classes)], splits=list(splits))


def test_each_class_is_left_out_once_and_areas_lie_about_chance_where_nothing_tells(judge: Model) -> None:
    found = held_out_classes(judge, shades(6, 360, same=True))
    assert sorted(label for group in found.groups for label in group) == [f"shade {n}" for n in range(6)]
    assert all(0.3 < area < 0.7 for area in found.areas)
    assert found.mean == pytest.approx(np.mean(found.areas))


def test_the_report_says_it(judge: Model) -> None:
    found = held_out_classes(judge, shades(6, 360, same=False))
    logits = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    evaluation = Classification(("a", "b", "c")).metrics([logits], np.arange(40) % 3)
    page = to_html(confidence_section(evaluation, 1.5, "mobilenets calibrate", found))
    assert f"is {found.mean:.2f} on average" in page
    assert f"{found.areas[0]:.2f} without {', '.join(found.groups[0])}" in page
    assert "area under the ROC" not in to_html(confidence_section(evaluation, 1.5, "mobilenets calibrate"))


@pytest.mark.parametrize(
    ("classes", "images", "message"), [(3, 90, "3 classes are too few"), (6, 36, "too few to tell")]
)
def test_too_little_to_tell_by_is_refused(judge: Model, classes: int, images: int, message: str) -> None:
    with pytest.raises(DataError, match=message):
        held_out_classes(judge, shades(classes, images, same=False))
