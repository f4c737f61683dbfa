"""From images to labels: order kept, broken images reported, every kind of image taken."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.support.encoded_images import photo
from tests.support.random_models import random_model

from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.data.image import ArrayImage, BytesImage
from mobilenets.data.sources import images_of
from mobilenets.engine.predictor import Classifier, Predictor
from mobilenets.errors import AssumptionWarning, DataError, EngineError, InputTypeError, ModelFileError
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


def test_pixels_of_every_usual_type_get_the_same_answer(model: Model) -> None:
    pixels = photo()
    classifier = Classifier(model)
    expected = classifier.predict(pixels)
    opaque = np.dstack([pixels, np.full(pixels.shape[:2], 255, np.uint8)])
    for given in (pixels / 255, (pixels / 255).astype(np.float32), pixels.astype(np.uint16) * 257, opaque):
        assert classifier.predict(given) == expected
    assert classifier.predict(pixels[..., ::-1].copy(), channel_order="bgr") == expected
    (one,) = classifier.predict_many([pixels[..., ::-1]], channel_order="bgr")
    assert not isinstance(one, DataError)
    assert one.labels == expected.labels
    with pytest.raises(DataError, match="no channel order is called 'bgrx'; known are rgb, bgr"):
        classifier.predict_many([pixels], channel_order="bgrx")


def test_what_a_file_does_not_say_is_said_once(model: Model) -> None:
    twelve_bits = photo().astype(np.uint16) * 16
    for classifier in (Classifier(model), Predictor(model)):
        with pytest.warns(AssumptionWarning, match="^image: 16-bit samples are read as 12-bit, 0 to 4095"):
            first = classifier.predict(twelve_bits)
        assert classifier.predict(twelve_bits) == first
        assert len(list(classifier.predict_many([twelve_bits] * 9))) == 9


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


def test_many_images_may_be_anything_that_one_image_may_be(model: Model, folder: Path) -> None:
    path = folder / "03.png"
    image = Image.open(path)
    given: list[Any] = [
        path,
        str(path),
        path.read_bytes(),
        image,
        np.asarray(image),
        BytesImage("one", path.read_bytes()),
    ]
    classifier = Classifier(model, threads=2)
    answers = [*classifier.predict_many(given), *classifier.predict_many(iter(given[-1:]))]
    assert len(answers) == 7
    expected = classifier.predict(path)
    for answer, one in zip(answers, [*given, given[-1]], strict=True):
        assert not isinstance(answer, DataError)
        alone = classifier.predict(one)
        assert answer.label == alone.label == expected.label
        assert answer.probability == pytest.approx(expected.probability, rel=1e-4)
    whole = list(classifier.predict_many(np.stack([np.asarray(image)] * 3)))
    assert [one.name for one in whole if not isinstance(one, DataError)] == ["image 1", "image 2", "image 3"]


@pytest.mark.parametrize("given", [[[0, 0, 0]], None, 3, {"path": "a.png"}])
def test_what_is_no_image_is_refused_with_what_is_taken(model: Model, folder: Path, given: Any) -> None:
    kind = "None" if given is None else f"a value of type {type(given).__name__}"
    with pytest.raises(TypeError, match=f"image must be a path, .* or a NumPy array of pixels, not {kind}"):
        Classifier(model).predict(given)
    broken, good = Classifier(model).predict_many([given, folder / "00.png"])
    assert isinstance(broken, InputTypeError)
    assert str(broken).startswith("image 1 must be a path")
    assert not isinstance(good, DataError)


@pytest.mark.parametrize(
    "given",
    [
        "a.png",
        Path("a.png"),
        b"...",
        bytearray(b"..."),
        io.BytesIO(b"..."),
        Image.new("RGB", (4, 4)),
        3,
        None,
        np.zeros((4, 4, 3), np.uint8),
        np.zeros((4, 4), np.uint8),
    ],
)
def test_one_image_is_not_many(model: Model, given: Any) -> None:
    with pytest.raises(TypeError, match="predict_many takes several images, such as "):
        Classifier(model).predict_many(given)


def test_no_images_have_no_predictions(model: Model) -> None:
    assert list(Classifier(model).predict_many([])) == []
    assert list(Classifier(model).predict_many(np.zeros((0, 4, 4, 3), np.uint8))) == []


@pytest.mark.parametrize("dtype", [str, object])
def test_a_column_of_paths_is_a_list_of_images(dtype: type, model: Model, folder: Path) -> None:
    paths: Any = np.array([str(folder / "00.png"), str(folder / "01.png")], dtype)
    answers = list(Classifier(model).predict_many(paths))
    assert [answer.name for answer in answers if not isinstance(answer, DataError)] == list(paths)


def test_a_mixed_list_is_answered_one_by_one(model: Model, folder: Path) -> None:
    path = folder / "00.png"
    given: list[Any] = [path, None, path.read_bytes(), "gone.png", io.BytesIO(path.read_bytes()), np.zeros((0, 0, 3))]
    answers = list(Classifier(model).predict_many(given))
    assert [isinstance(answer, DataError) for answer in answers] == [False, True, False, True, False, True]
    assert len({answer.labels for answer in answers if not isinstance(answer, DataError)}) == 1


@pytest.mark.parametrize(("height", "width"), [(0, 5), (5, 0), (0, 0)])
def test_an_image_without_pixels_is_refused(model: Model, height: int, width: int) -> None:
    pixels = np.zeros((height, width, 3), np.uint8)
    for given in (pixels, Image.new("RGB", (width, height)), ArrayImage("empty", pixels)):
        with pytest.raises(DataError, match=f"must have at least one pixel, not {height}×{width}"):
            Classifier(model).predict(given)


@pytest.mark.parametrize(("top", "message"), [(0, "at least 1, not 0"), (-1, "not -1"), (1.5, "an integer, not 1.5")])
def test_a_number_of_results_that_makes_no_sense_is_refused(model: Model, top: Any, message: str) -> None:
    classifier, pixels = Classifier(model), np.zeros((40, 40, 3), np.uint8)
    with pytest.raises(EngineError, match=f"top must be .*{message}"):
        classifier.predict(pixels, top=top)
    with pytest.raises(EngineError, match=f"top must be .*{message}"):
        classifier.predict_many([pixels], top=top)
