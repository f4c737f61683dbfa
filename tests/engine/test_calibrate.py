"""A temperature for a finished Model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.conftest import draw
from tests.support.random_models import random_model
from tests.support.stub_task import StrongestChannel

from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.data.dataset import load_collection
from mobilenets.engine.calibrate import calibrate
from mobilenets.engine.predictor import Classifier
from mobilenets.errors import DataError, EngineError
from mobilenets.formats.exporting import export
from mobilenets.formats.importing import import_model
from mobilenets.model.file import load, save
from mobilenets.model.model import Model
from mobilenets.tasks.classification import Classification


@pytest.fixture
def model() -> Model:
    network = mobilenet_v1(width_multiplier=0.25, resolution=32, classes=3)
    task = Classification(("blue", "green", "red"))
    return random_model(np.random.default_rng(0), network, task=task)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    for part in ("train", "val", "test"):
        (tmp_path / "images" / part).mkdir(parents=True)
        draw(tmp_path / "images" / part, 8, 40, 40)
    return tmp_path / "images"


def test_the_probabilities_change_and_the_answers_do_not(model: Model, images: Path) -> None:
    result = calibrate(model, images)
    assert (result.split, result.before.images) == ("validation", 24)
    assert isinstance(result.model.task, Classification)
    assert result.temperature == result.model.task.temperature != 1
    assert result.model.provenance["temperature_images"] == 24
    assert (result.after.confusion == result.before.confusion).all()
    assert result.after.expected_calibration_error != result.before.expected_calibration_error
    paths = sorted((images / "test" / "red").iterdir())
    cold, warm = Classifier(model).predict(paths[0]), Classifier(result.model).predict(paths[0])
    assert cold.label == warm.label
    assert cold.probability != warm.probability


def test_the_threshold_of_unknown_images_is_added_to_a_model_without(model: Model, images: Path) -> None:
    path = next((images / "test" / "red").iterdir())
    with pytest.raises(EngineError, match="mobilenets calibrate MODEL DATA adds one"):
        Classifier(model).predict(path, unknown=True)
    with pytest.raises(EngineError, match="mobilenets calibrate MODEL DATA adds one"):
        Classifier(model).predict_many([path], unknown=True)
    result = calibrate(model, images)
    assert result.unknown is not None
    assert result.to_json()["unknown"] == {"energy": result.unknown.energy, "images": 24}
    classifier = Classifier(result.model)
    answers = [classifier.predict(one, unknown=True) for one in sorted((images / "val").rglob("*.png"))]
    assert sum(one.label == "unknown" for one in answers) == 2  # 5 % of 24, rounded up
    (many,) = classifier.predict_many([path], unknown=True)
    assert many == classifier.predict(path, unknown=True)
    assert classifier.predict(path, threshold=1.0).label == "unknown"
    for wrong in (1.5, -0.1, float("nan"), "0.5"):
        with pytest.raises(EngineError, match="threshold must be a probability, from 0 to 1"):
            classifier.predict(path, threshold=wrong)  # type: ignore[arg-type]


def test_fitting_it_again_gives_the_same(model: Model, images: Path) -> None:
    once = calibrate(model, images)
    again = calibrate(once.model, images)
    assert again.temperature == once.temperature
    assert again.before.expected_calibration_error != once.before.expected_calibration_error


def test_test_images_and_what_is_too_little_are_refused(model: Model, images: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="validation or all"):
        calibrate(model, images, split="test")
    (tmp_path / "few").mkdir()
    draw(tmp_path / "few", 3, 40, 40)
    with pytest.raises(DataError, match="gives no validation images"):
        calibrate(model, tmp_path / "few")
    with pytest.raises(DataError, match="9 images cannot fit a temperature; 10 are the fewest"):
        calibrate(model, tmp_path / "few", split="all")
    with pytest.raises(EngineError, match="only a classifier"):
        calibrate(replace(model, task=StrongestChannel()), load_collection(images).parts["validation"])


def test_a_model_keeps_it_through_its_file_and_through_exports(model: Model, tmp_path: Path) -> None:
    warm = replace(model, task=replace(model.task, temperature=0.5))  # type: ignore[type-var]
    path = tmp_path / "model.safetensors"
    save(warm, path)
    assert load(path).task == warm.task
    for name in ("model.onnx", "model.tflite"):
        export(warm, tmp_path / name, verify=False)
        assert import_model(tmp_path / name).task == warm.task
        relabeled = import_model(tmp_path / name, labels=("a", "b", "c"))
        assert relabeled.task == Classification(("a", "b", "c"), 0.5)
