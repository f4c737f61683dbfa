"""Folds: every image tests once, and never a Model that it, or its copy, trained."""

from __future__ import annotations

import numpy as np
import pytest

from mobilenets.data.dataset import Dataset
from mobilenets.data.folds import folds_of
from mobilenets.data.image import ArrayImage
from mobilenets.data.subset import Subset
from mobilenets.errors import DataError


def dataset(counts: list[int], *, copies: int = 0) -> Dataset:
    rng = np.random.default_rng(0)
    parts: list[list[tuple[ArrayImage, int]]] = [[], [], []]
    for target, count in enumerate(counts):
        first = None
        for number in range(count):
            pixels = rng.integers(0, 256, (4, 4, 3), np.uint8)
            first = pixels if first is None else first
            image = ArrayImage(f"{target}/{number}", first if number < copies else pixels)
            parts[number % 3].append((image, target))
    train, validation, test = (
        Subset(tuple(i for i, _ in part), np.array([t for _, t in part], np.int64)) for part in parts
    )
    return Dataset(tuple("abc"[: len(counts)]), train, validation, test, fingerprint="", source="memory")


def test_every_image_tests_once_and_every_class_is_spread() -> None:
    folds = folds_of(dataset([23, 11]), 5)
    tested = [image.name for fold in folds for image in fold.test.images]
    assert len(tested) == len(set(tested)) == 34
    for fold in folds:
        names = [{image.name for image in fold.part(part).images} for part in ("train", "validation", "test")]
        assert sum(map(len, names)) == len(set.union(*names)) == 34
        counts = np.bincount(fold.test.targets, minlength=2)
        assert 4 <= counts[0] <= 5
        assert 2 <= counts[1] <= 3
        assert len(fold.validation) >= 2
    assert len({fold.fingerprint for fold in folds}) == 5


def test_copies_of_an_image_stay_together() -> None:
    for fold in folds_of(dataset([20, 20], copies=6), 4):
        sides = {part: {i.name for i in fold.part(part).images} for part in ("train", "validation", "test")}
        for target in "01":
            same = {f"{target}/{number}" for number in range(6)}
            assert any(same <= names for names in sides.values())


def test_a_class_with_too_few_images_is_named_with_what_it_needs() -> None:
    with pytest.raises(DataError, match=r"class 'b' has 4 different images; 5 folds need at least 5 of every class"):
        folds_of(dataset([30, 4]), 5)
    with pytest.raises(DataError, match=r"class 'a' has 3 different images; 4 folds"):
        folds_of(dataset([8, 9], copies=6), 4)
    with pytest.raises(DataError, match="folds must be from 2 to 100, not 1"):
        folds_of(dataset([8, 9]), 1)
