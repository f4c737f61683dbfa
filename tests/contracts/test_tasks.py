"""Every task does whatever a Model does: files, predictions, evaluation and export."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.support.random_models import random_model
from tests.support.stub_task import StrongestChannel

from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.data.dataset import Subset
from mobilenets.data.image import ArrayImage
from mobilenets.data.loading import prepare
from mobilenets.engine.evaluate import evaluate, evaluate_prepared
from mobilenets.engine.predictor import Predictor
from mobilenets.errors import DataError, EngineError
from mobilenets.formats.exporting import export
from mobilenets.model.file import load, save
from mobilenets.model.model import Model
from mobilenets.tasks.catalog import TASKS
from mobilenets.tasks.classification import Classification
from mobilenets.tasks.features import Features
from mobilenets.tasks.task import Task

EXAMPLES: dict[str, Task] = {
    "classification": Classification(("a", "b", "c", "d")),
    "features": Features("classifier", (4, 1, 1)),
    "strongest-channel": StrongestChannel(),
}
"""One of every task that there is, and one of a task that is added."""

ADDED = {"strongest-channel": StrongestChannel.from_json}


@pytest.fixture(params=EXAMPLES)
def model(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Model:
    monkeypatch.setattr("mobilenets.tasks.catalog.TASKS", TASKS | ADDED)
    network = mobilenet_v1(width_multiplier=0.25, resolution=32, classes=4)
    return random_model(np.random.default_rng(0), network, task=EXAMPLES[request.param])


@pytest.fixture(scope="module")
def images() -> tuple[ArrayImage, ...]:
    pixels = np.random.default_rng(1).integers(0, 256, (12, 40, 48, 3), dtype=np.uint8)
    return tuple(ArrayImage(f"image{number}", one) for number, one in enumerate(pixels))


def test_every_task_has_an_example() -> None:
    assert set(EXAMPLES) - set(ADDED) == set(TASKS)


def test_a_file_keeps_the_task(model: Model, tmp_path: Path) -> None:
    save(model, tmp_path / "model.safetensors")
    assert load(tmp_path / "model.safetensors").task == model.task


def test_predictions_are_those_that_the_task_decodes(model: Model, images: tuple[ArrayImage, ...]) -> None:
    found = list(Predictor(model).predict_many(images))
    assert [one.name for one in found if not isinstance(one, DataError)] == [image.name for image in images]
    assert all(json.dumps(one.to_json()) for one in found if not isinstance(one, DataError))


def test_evaluation_is_what_the_task_measures(model: Model, images: tuple[ArrayImage, ...]) -> None:
    if isinstance(model.task, Features):
        pytest.skip("features are neither right nor wrong")
    outputs = [ran for _, ran in Predictor(model).outputs_many(images) if not isinstance(ran, DataError)]
    targets = np.arange(12) % 4
    together = [np.concatenate(parts) for parts in zip(*outputs, strict=True)]
    expected = model.task.metrics(together, targets).to_json()
    subset = Subset(images, targets)
    found = evaluate(model, subset)
    assert found.to_json() == expected
    assert found.primary.name in expected
    prepared = prepare(subset, model.preprocessing, model.network.height, model.network.width)
    assert evaluate_prepared(model, prepared).to_json() == expected


def test_class_folders_evaluate_classifiers(model: Model, tmp_path: Path) -> None:
    for label in "ab":
        (tmp_path / label).mkdir()
        Image.new("RGB", (32, 32), "red").save(tmp_path / label / "image.png")
    if isinstance(model.task, Classification):
        assert evaluate(model, tmp_path).images == 2
        return
    with pytest.raises(EngineError, match=f"evaluate a classifier, and this Model's task is {model.task.kind}; pass"):
        evaluate(model, tmp_path)


def test_an_export_is_compared_as_the_task_compares(model: Model, tmp_path: Path) -> None:
    exported = export(model, tmp_path / "model.onnx")
    assert exported.agreement is None or exported.agreement.same.value == 1
