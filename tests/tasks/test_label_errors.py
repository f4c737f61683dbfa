"""Label errors: flipped labels are found, and the answers to an image are those of a fit without it."""

from __future__ import annotations

import numpy as np
import pytest

from mobilenets.errors import DataError
from mobilenets.tasks.label_errors import FEWEST_IMAGES, find_label_errors, left_out_probabilities


def clusters(rng: np.random.Generator, images: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    targets = np.arange(images) % classes
    centers = rng.normal(0, 1, (classes, 32))
    return (centers[targets] + rng.normal(0, 0.7, (images, 32))).astype(np.float32), targets.astype(np.int64)


@pytest.mark.parametrize("classes", [2, 5])
def test_flipped_labels_are_found(classes: int) -> None:
    rng = np.random.default_rng(classes)
    features, targets = clusters(rng, 600, classes)
    flipped = rng.choice(600, 30, replace=False)
    given = targets.copy()
    given[flipped] = (given[flipped] + rng.integers(1, classes, 30)) % classes
    found = find_label_errors(features, given, classes)
    places = {one.position for one in found}
    assert len(places & set(flipped)) >= 0.9 * len(places)
    assert len(places & set(flipped)) >= 0.9 * len(flipped)
    assert [one.own_probability for one in found] == sorted(one.own_probability for one in found)
    right = [one for one in found if one.position in set(flipped)]
    assert all(one.likelier == targets[one.position] for one in right)
    assert all(one.label == given[one.position] for one in found)


def test_right_labels_of_clear_classes_are_left_alone() -> None:
    features, targets = clusters(np.random.default_rng(0), 300, 3)
    assert len(find_label_errors(features, targets, 3)) <= 3


def test_what_an_image_gets_does_not_depend_on_its_own_label() -> None:
    features, targets = clusters(np.random.default_rng(1), 60, 2)
    before = left_out_probabilities(features, targets, 2)[0]
    changed = targets.copy()
    changed[0] = 1 - changed[0]
    after = left_out_probabilities(features, changed, 2)[0]
    assert after == pytest.approx(before, abs=0.1)  # but for the penalty and the temperature, which all choose


def test_too_few_images_or_broken_features_are_refused() -> None:
    features, targets = clusters(np.random.default_rng(0), FEWEST_IMAGES - 1, 2)
    with pytest.raises(DataError, match="19 images tell nothing of their labels; 20 are the fewest"):
        find_label_errors(features, targets, 2)
    with pytest.raises(DataError, match="NaN or infinite"):
        find_label_errors(np.full((30, 4), np.nan, np.float32), np.arange(30) % 2, 2)
