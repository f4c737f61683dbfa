"""Evaluation of a Model on labeled images, and how labels of data and Model are matched."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.random_models import random_model

from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.data.dataset import Collection, load_collection, load_dataset
from mobilenets.data.image import ArrayImage, BytesImage
from mobilenets.data.loading import Prepared
from mobilenets.data.subset import Subset
from mobilenets.engine.evaluate import evaluate, evaluate_prepared, match_labels
from mobilenets.engine.predictor import Classifier
from mobilenets.engine.session import Session
from mobilenets.errors import DataError
from mobilenets.formats.published import imagenet_labels
from mobilenets.model.file import save
from mobilenets.model.model import Model
from mobilenets.tasks.classification import Classification


@pytest.fixture(scope="module")
def model() -> Model:
    return random_model(np.random.default_rng(0), mobilenet_v1(width_multiplier=0.25, resolution=32, classes=3))


def test_all_ways_to_evaluate_agree(model: Model, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 256, (9, 32, 32, 3), dtype=np.uint8)
    targets = rng.integers(0, 3, 9)
    exactly = replace(model, preprocessing=replace(model.preprocessing, crop_fraction=1.0))
    save(exactly, tmp_path / "model.safetensors")
    images = tuple(ArrayImage(str(number), one) for number, one in enumerate(pixels))
    subset = Subset(images, targets)
    expected = exactly.task.metrics([Session(exactly).run(pixels)], targets).to_json()
    assert evaluate(exactly, subset).to_json() == expected
    assert evaluate(Classifier(exactly), subset).to_json() == expected
    assert evaluate(tmp_path / "model.safetensors", subset).to_json() == expected
    prepared = Prepared(pixels, targets, tuple(image.name for image in images), ())
    assert evaluate_prepared(exactly, prepared, threads=1).to_json() == expected


def test_a_broken_image_is_skipped_and_named(model: Model) -> None:
    pixels = np.zeros((32, 32, 3), np.uint8)
    good = [ArrayImage(str(number), pixels) for number in range(10)]
    subset = Subset((*good, BytesImage("broken", b"")), np.zeros(11, np.int64))
    metrics = evaluate(model, subset)
    assert (metrics.images, metrics.skipped) == (10, ("broken",))
    with pytest.raises(DataError, match="broken"):
        evaluate(model, Subset((good[0], BytesImage("broken", b"")), np.zeros(2, np.int64)))


def test_nothing_to_evaluate_on_is_an_error(model: Model) -> None:
    with pytest.raises(DataError, match="no images"):
        evaluate(model, Subset((), np.zeros(0, np.int64)))
    several: list[Any] = [[], None, 5]
    for given in several:
        with pytest.raises(
            DataError, match=f"data must be labeled images: a folder, .*not a value of type {type(given).__name__}"
        ):
            evaluate(model, given)


def test_a_folder_is_evaluated_on_its_test_images_unless_another_split_is_named(colours: Path) -> None:
    network = mobilenet_v1(width_multiplier=0.25, resolution=32, classes=3)
    model = random_model(np.random.default_rng(0), network, task=Classification(("red", "green", "blue")))
    collection, dataset = load_collection(colours), load_dataset(colours)
    assert evaluate(model, colours).images == evaluate(model, collection).images == 60
    assert evaluate(model, dataset).images == len(dataset.test)
    assert evaluate(model, dataset, split="all").to_json() == evaluate(model, str(colours)).to_json()
    labels = np.array([model.labels.index(label) for label in dataset.labels])
    expected = evaluate(model, replace(dataset.validation, targets=labels[dataset.validation.targets]))
    assert evaluate(model, dataset, split="validation").to_json() == expected.to_json()


@pytest.mark.parametrize(
    ("data", "split", "message"),
    [
        ("nowhere", None, "nowhere does not exist; expected a folder"),
        ("digits", "eval", "no split is called 'eval'; known are train, validation, test, all"),
        ("digits", "train", "digits gives no train images, and the model was not fitted to it; use split all"),
        (Subset((), np.zeros(0, np.int64)), "test", "a Subset is evaluated as a whole; it has no split test"),
    ],
)
def test_images_that_are_not_there_are_refused(model: Model, data: Any, split: str | None, message: str) -> None:
    with pytest.raises(DataError, match=message):
        evaluate(model, data, split=split)


def collection(labels: tuple[str, ...], indices: tuple[int, ...] | None = None) -> Collection:
    return Collection(labels, {"all": Subset((), np.zeros(0, np.int64))}, "test", indices)


def test_labels_are_matched_by_name_then_by_number() -> None:
    assert match_labels(collection(("b", "a")), ("a", "b", "c")).tolist() == [1, 0]
    thousand = tuple(f"n{index}" for index in range(1000))
    assert match_labels(collection(("zebra", "tench"), (340, 0)), thousand).tolist() == [340, 0]
    assert match_labels(collection(("zebra", "tench"), (340, 0)), ("background", *thousand)).tolist() == [341, 1]


def test_a_class_that_the_model_lacks_is_named() -> None:
    told = r"class 'dog'; the model knows 2 classes: a, b; leave it out with Reading\(exclude=\('dog',\)\)"
    with pytest.raises(DataError, match=told):
        match_labels(collection(("a", "dog")), ("a", "b"))
    with pytest.raises(DataError, match=r"class 'Great-Dane'; .*; if it is 'great_dane', rename it"):
        match_labels(collection(("Great-Dane",)), ("great_dane", "cat"))
    with pytest.raises(DataError, match="class 'dog'"):
        match_labels(collection(("a", "dog"), (0, 5)), ("a", "b"))


def test_imagenets_own_folders_are_matched_with_imagenets_labels() -> None:
    labels = imagenet_labels(1000)
    assert labels is not None
    folders = collection(("n02504458", "n01440764", "n15075141"))
    indices = match_labels(folders, labels)
    assert [labels[index] for index in indices] == [
        "African elephant, Loxodonta africana",
        "tench, Tinca tinca",
        "toilet tissue, toilet paper, bathroom tissue",
    ]
    assert match_labels(folders, ("background", *labels)).tolist() == (indices + 1).tolist()
    with pytest.raises(DataError, match="1 class not among the 1,000 of ImageNet's challenge, such as n00000001"):
        match_labels(collection(("n01440764", "n00000001")), labels)
