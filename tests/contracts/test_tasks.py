"""Every task does whatever a Model does: files, predictions, evaluation and export."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from tests.conftest import ROOT
from tests.support.random_models import random_model
from tests.support.runs import make_run
from tests.support.stub_task import ChannelMetrics, StrongestChannel

from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.data.dataset import load_dataset
from mobilenets.data.image import ArrayImage
from mobilenets.data.loading import prepare
from mobilenets.data.subset import Subset
from mobilenets.engine.evaluate import evaluate, evaluate_prepared
from mobilenets.engine.predictor import Predictor
from mobilenets.errors import DataError, EngineError, MobileNetsError, ModelError, TrainingError
from mobilenets.formats.exporting import export
from mobilenets.model.file import load, save
from mobilenets.model.model import Model
from mobilenets.reports.finished_run import read_figures
from mobilenets.reports.pages.by_task import check_has_pages
from mobilenets.tasks.boxes import GroundTruth, as_targets, with_geometry
from mobilenets.tasks.catalog import TASKS
from mobilenets.tasks.classification import Classification
from mobilenets.tasks.detection import Detection
from mobilenets.tasks.detection_heads import CentreHead
from mobilenets.tasks.detection_metrics import DetectionMetrics
from mobilenets.tasks.features import Features
from mobilenets.tasks.metrics import Share
from mobilenets.tasks.multilabel import MultiLabel
from mobilenets.tasks.task import Task
from mobilenets.training.fit import fit
from mobilenets.training.head import check_trainable
from mobilenets.training.settings import Settings

EXAMPLES: dict[str, Task] = {
    "classification": Classification(("a", "b", "c", "d")),
    "detection": Detection(("a", "b", "c"), CentreHead(1, 1, ((0.5, 0.5),) * 3), score_threshold=0.1),
    "features": Features("classifier", (4, 1, 1)),
    "multilabel": MultiLabel(("a", "b", "c", "d"), (0.5, 0.1, 0.4, 0.3)),
    "strongest-channel": StrongestChannel(),
}
"""One of every task that there is, and one of a task that is added."""

ADDED = {"strongest-channel": StrongestChannel.from_json}


@pytest.fixture(params=EXAMPLES)
def model(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Model:
    for kind, read in ADDED.items():
        monkeypatch.setitem(TASKS, kind, read)
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
    ran = [one for _, one in Predictor(model).run_many(images) if not isinstance(one, DataError)]
    targets: npt.NDArray[Any] = np.arange(12) % 4
    if isinstance(model.task, MultiLabel):
        targets = (np.arange(48).reshape(12, 4) % 3 == 0).astype(np.int64)
    if isinstance(model.task, Detection):
        targets = as_targets([GroundTruth.of([(5, 5, 30, 30)], [number % 3], (48, 40)) for number in range(12)])
    together = [np.concatenate(parts) for parts in zip(*(outputs for outputs, _ in ran), strict=True)]
    expected = model.task.metrics(together, with_geometry(targets, [geometry for _, geometry in ran])).to_json()
    subset = Subset(images, targets)
    found = evaluate(model, subset)
    assert found.to_json() == expected
    assert found.primary.name in expected
    assert model.task.read_metrics(json.loads(json.dumps(expected))).to_json() == expected
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


def test_a_model_has_labels_where_its_task_names_what_it_gives(model: Model) -> None:
    if model.task.labels is None:
        with pytest.raises(ModelError, match=f"only a classifier has labels; this Model's task is {model.task.kind}"):
            assert model.labels
    else:
        assert model.labels == model.task.labels


def test_classifiers_begin_from_weights_of_any_task_but_detection(model: Model) -> None:
    if model.task.kind == "detection":
        with pytest.raises(TrainingError, match="the weights are of a detector"):
            check_trainable(model)
    else:
        check_trainable(model)


def test_data_of_a_task_without_training_is_refused(colours: Path) -> None:
    strange = replace(load_dataset(colours), task="regression")
    with pytest.raises(TrainingError, match="there is no training for the task regression"):
        fit(strange, settings=Settings(weights=None, epochs=1))


def test_a_report_has_pages_of_the_task_or_says_that_it_has_none(model: Model, tmp_path: Path) -> None:
    run = make_run(tmp_path, ("a", "b", "c", "d"))
    save(model, run / "model.safetensors")
    metrics = json.loads((run / "metrics.json").read_text())
    if isinstance(model.task, Classification):
        check_has_pages(read_figures(run).evaluation, model.task.kind)
        return
    if isinstance(model.task, StrongestChannel):
        metrics["test"] = ChannelMetrics(Share(1, 2), ()).to_json()
    if isinstance(model.task, Detection):
        metrics["test"] = DetectionMetrics.of([], [], "abc", score_threshold=0.5).to_json()
    (run / "metrics.json").write_text(json.dumps(metrics))
    with pytest.raises(MobileNetsError, match=r"a report has no pages for the task|features are neither|is missing"):
        check_has_pages(read_figures(run).evaluation, model.task.kind)


KNOW_CLASSIFICATION = {
    "cli/export.py": "says whether a temperature was exported",
    "cli/predict.py": "options for unknown images, and folders by label",
    "compression/evaluation.py": "fits a temperature anew",
    "engine/activation_map.py": "shows what speaks for a class",
    "engine/bulk/rows.py": "columns of likeliest labels",
    "engine/calibrate.py": "fits a temperature",
    "engine/predictor.py": "Classifier, and unknown images",
    "formats/c/write.py": "the example program classifies",
    "formats/coreml.py": "Core ML has a kind of model for classifiers",
    "formats/importing.py": "names of ImageNet's classes",
    "formats/one_logit.py": "one number as the second of two classes",
    "model/features.py": "which layer is the classifier",
    "model/file.py": "the first versions of the file held classifiers only",
    "reports/pages/by_task.py": "how confident a classifier is",
}
"""Modules outside tasks/ that ask whether a task is classification, and why. The list only ever gets shorter."""


def test_nothing_else_knows_classification() -> None:
    asks = re.compile(r"isinstance\([\w.]*task, Classification\)")
    package = ROOT / "src" / "mobilenets"
    paths = (path for path in package.rglob("*.py") if asks.search(path.read_text(encoding="utf-8")))
    found = {path.relative_to(package).as_posix() for path in paths}
    assert {path for path in found if not path.startswith("tasks/")} == set(KNOW_CLASSIFICATION)
