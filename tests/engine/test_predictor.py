"""From images to labels: order kept, broken images reported, every kind of image taken."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.support.random_models import random_model

from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.data.image import BytesImage
from mobilenets.data.sources import images_of
from mobilenets.engine.predictor import Classifier, Predictor
from mobilenets.errors import DataError, ModelFileError
from mobilenets.model.file import save
from mobilenets.model.model import Model


@pytest.fixture(scope="module")
def model() -> Model:
    return random_model(np.random.default_rng(0), mobilenet_v1(width_multiplier=0.25, resolution=32, classes=7))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(1)
    for number in range(21):
        pixels = rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number:02}.png")
    return tmp_path


def test_a_path_an_image_and_pixels_get_the_same_answer(model: Model, folder: Path) -> None:
    classifier = Classifier(model, threads=2)
    image = Image.open(folder / "03.png")
    answers = [classifier.predict(given).labels for given in (folder / "03.png", image, np.asarray(image))]
    assert answers[0] == answers[1] == answers[2]
    assert len(answers[0]) == 5
    assert sum(probability for _, probability in classifier.predict(image, top=7).labels) == pytest.approx(1)


def test_many_images_keep_their_order_and_a_broken_one_is_reported(model: Model, folder: Path) -> None:
    (folder / "05.png").write_bytes(b"broken")
    classifier = Classifier(model)
    images = images_of([folder])
    answers = list(classifier.predict_many(images))
    assert len(answers) == 21
    for image, answer in zip(images, answers, strict=True):
        if image.name.endswith("05.png"):
            assert isinstance(answer, DataError)
        else:
            assert not isinstance(answer, DataError)
            assert answer.name == image.name
            alone = classifier.predict(image.path)
            assert answer.label == alone.label
            assert answer.probability == pytest.approx(alone.probability, rel=1e-4)


def test_a_batch_of_broken_images_is_survived(model: Model) -> None:
    broken = [BytesImage(str(number), b"") for number in range(20)]
    assert all(isinstance(answer, DataError) for answer in Classifier(model).predict_many(broken))


def test_a_model_file_is_loaded(model: Model, folder: Path, tmp_path: Path) -> None:
    save(model, tmp_path / "model.safetensors")
    assert Classifier(tmp_path / "model.safetensors").predict(folder / "00.png").label in model.labels
    with pytest.raises(ModelFileError, match="does not exist"):
        Classifier(tmp_path / "none.safetensors")


def test_pixels_of_another_type_are_refused(model: Model) -> None:
    with pytest.raises(DataError, match=r"must be uint8 \(H, W, 3\), not float64"):
        Classifier(model).predict(np.zeros((4, 4, 3)))  # type: ignore[arg-type]


def test_a_prediction_is_json(model: Model, folder: Path) -> None:
    prediction = Classifier(model).predict(folder / "00.png", top=2)
    written = json.loads(json.dumps(prediction.to_json()))
    assert written["image"] == str(folder / "00.png")
    assert [row["label"] for row in written["labels"]] == [label for label, _ in prediction.labels]
    assert written["labels"][0]["probability"] == prediction.probability


def test_a_predictor_and_a_classifier_say_the_same(model: Model, folder: Path) -> None:
    images = images_of([folder])
    predictor, classifier = Predictor(model), Classifier(model)
    assert list(predictor.predict_many(images)) == list(classifier.predict_many(images))
