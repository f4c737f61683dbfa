"""Images in memory as a Dataset."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image

from mobilenets.data.arrays import array_dataset
from mobilenets.errors import DataError

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (40, 12, 16, 3), np.uint8)


def test_targets_may_be_labels_or_positions() -> None:
    by_label = array_dataset(PIXELS, ["cat", "dog"] * 20)
    by_position = array_dataset(PIXELS, np.arange(40) % 2, labels=["cat", "dog"])
    assert by_label.labels == by_position.labels == ("cat", "dog")
    assert by_label.fingerprint == by_position.fingerprint
    for part in ("train", "validation", "test"):
        subset = by_label.part(part)
        for image, target in zip(subset.images, subset.targets, strict=True):
            number = int(image.name.split()[1]) - 1
            assert target == number % 2
            assert np.array_equal(np.asarray(image.open()), PIXELS[number])
    assert array_dataset(PIXELS, [7, 9] * 20).labels == ("7", "9")


def test_parts_that_are_given_stay() -> None:
    splits = ["train"] * 30 + ["test"] * 10
    dataset = array_dataset(PIXELS, ["cat", "dog"] * 20, splits=splits)
    assert sorted(int(image.name.split()[1]) for image in dataset.test.images) == list(range(31, 41))
    assert dataset.made_parts == ("validation",)


def test_images_of_any_form_and_size_are_taken() -> None:
    mixed: list[Any] = [PIXELS[0], Image.fromarray(PIXELS[1]), np.zeros((9, 30), np.uint8), *PIXELS[3:12]]
    assert len(array_dataset(mixed, ["a", "b"] * 6).train) > 0
    bgr = array_dataset([one[..., ::-1] for one in PIXELS], ["a", "b"] * 20, channel_order="bgr")
    image = bgr.train.images[0]
    assert np.array_equal(np.asarray(image.open()), PIXELS[int(image.name.split()[1]) - 1])


@pytest.mark.parametrize(
    ("targets", "options", "message"),
    [
        (["a"] * 39, {}, "39 targets for 40 images; give one for each"),
        (["a", "b"] * 20, {"splits": ["train"]}, "1 split for 40 images"),
        (["a", "b"] * 20, {"splits": ["learn"] * 40}, "a split must be one of train, validation, test, not 'learn'"),
        (["a", "c"] * 20, {"labels": ["a", "b"]}, "the target 'c' is not among the labels"),
        ([0, 2] * 20, {"labels": ["a", "b"]}, "the target 2 is no position among 2 labels"),
        (["a"] * 40, {}, "one class only"),
    ],
)
def test_what_does_not_fit_together_is_refused(targets: list[Any], options: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        array_dataset(PIXELS, targets, **options)
