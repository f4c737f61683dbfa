"""Several labels an image, from arrays to an int8 Model and its report."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mobilenets.data.arrays import array_dataset
from mobilenets.data.dataset import Dataset
from mobilenets.data.subset import Subset
from mobilenets.engine.calibrate import calibrate
from mobilenets.engine.evaluate import evaluate
from mobilenets.engine.predictor import Predictor
from mobilenets.engine.thresholds import calibrate_thresholds
from mobilenets.errors import DataError, EngineError, PlanningError
from mobilenets.formats.exporting import export
from mobilenets.model.file import load
from mobilenets.reports.run_report import report_run
from mobilenets.search.budget import Budget
from mobilenets.search.search import search
from mobilenets.tasks.multilabel import LabelsPrediction, MultiLabel
from mobilenets.tasks.multilabel_metrics import MultiLabelMetrics
from mobilenets.training.cross_validation import cross_validate
from mobilenets.training.fit import fit
from mobilenets.training.multilabel import MultiLabelTraining, positive_weights
from mobilenets.training.quantize import quantize_fitted
from mobilenets.training.result import Fit
from mobilenets.training.settings import Settings

LABELS = ("blue below", "red above", "striped")
SETTINGS = Settings(weights=None, width=0.25, resolution=32, epochs=12, threads=2)


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    rng = np.random.default_rng(0)
    pixels = rng.integers(90, 130, (240, 32, 32, 3)).astype(np.uint8)
    present = rng.random((240, 3)) < (0.4, 0.3, 0.15)
    pixels[present[:, 0], 16:, :, 2] = 240
    pixels[present[:, 1], :16, :, 0] = 240
    pixels[present[:, 2], :, 12:20] = 255
    return array_dataset(pixels, present.astype(int), labels=LABELS)


@pytest.fixture(scope="module")
def fitted(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> tuple[Fit, Path]:
    folder = tmp_path_factory.mktemp("several") / "run"
    return fit(dataset, folder, SETTINGS), folder


def test_a_run_learns_and_keeps_by_mean_average_precision(fitted: tuple[Fit, Path]) -> None:
    result, folder = fitted
    assert isinstance(result.evaluation, MultiLabelMetrics)
    assert result.evaluation.mean_average_precision > 0.9
    assert isinstance(result.model.task, MultiLabel)
    assert len(result.model.task.thresholds) == 3
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["test"]["mean_average_precision"] == result.evaluation.mean_average_precision
    epochs = [epoch["validation_mean_average_precision"] for epoch in metrics["epochs"]]
    assert None not in epochs  # validation images choose thresholds, and are never trained on
    assert metrics["validation_mean_average_precision"] == epochs[metrics["best_epoch"] - 1]
    assert "top1" not in json.dumps(metrics["epochs"])


def test_its_file_predicts_and_evaluates_as_it_did(fitted: tuple[Fit, Path], dataset: Dataset) -> None:
    result, folder = fitted
    model = load(folder / "model.safetensors")
    assert evaluate(model, dataset).to_json() == result.evaluation.to_json()
    right = 0
    predicted = Predictor(model).predict_many(dataset.test.images)
    for one, target in zip(predicted, dataset.test.targets, strict=True):
        assert isinstance(one, LabelsPrediction)
        right += set(one.names) == {label for label, present in zip(dataset.labels, target, strict=True) if present}
    assert isinstance(result.evaluation, MultiLabelMetrics)
    assert right == result.evaluation.exact.count


def test_int8_keeps_the_labels(fitted: tuple[Fit, Path], dataset: Dataset) -> None:
    result, _ = fitted
    quantized = quantize_fitted(result.model, dataset)
    assert quantized.model.precision == "int8"
    report = quantized.report.to_json()
    assert report["metric"] == "mean_average_precision"
    assert report["drop"] == pytest.approx(100 * (report["before"] - report["after"]))
    assert abs(report["drop"]) < 3
    assert evaluate(quantized.model, dataset).primary.value > 0.9


def test_its_report_names_labels_and_mistakes(fitted: tuple[Fit, Path]) -> None:
    result, folder = fitted
    page = report_run(result, folder).read_text()
    assert "mean average precision" in page
    assert "Figures of every label" in page
    assert all(label in page for label in LABELS)
    assert "Most often confused" not in page
    assert "Images of each label, fewest first" in page
    assert f"{len(LABELS)} labels. Trained on" in page
    assert "Predictor" in page  # in place of Classifier, which gives one class


@pytest.mark.parametrize("suffix", [".onnx", ".tflite"])
def test_a_file_of_probabilities_gives_those_of_the_model(
    fitted: tuple[Fit, Path], suffix: str, tmp_path: Path
) -> None:
    pytest.importorskip({".onnx": "onnxruntime", ".tflite": "ai_edge_litert"}[suffix])
    exported = export(fitted[0].model, tmp_path / f"model{suffix}", probabilities=True)
    assert exported.agreement is not None
    assert exported.agreement.largest_value <= 1
    assert exported.agreement.largest_difference < 1e-5


@pytest.mark.parametrize("suffix", [".onnx", ".tflite", ".c"])
def test_exports_give_the_same_labels(fitted: tuple[Fit, Path], suffix: str, tmp_path: Path) -> None:
    pytest.importorskip({".onnx": "onnxruntime", ".tflite": "ai_edge_litert", ".c": "numpy"}[suffix])
    exported = export(fitted[0].model, tmp_path / f"model{suffix}")
    assert exported.agreement is None or exported.agreement.same.value == 1


def test_classes_do_not_evaluate_it_nor_labels_a_classifier(fitted: tuple[Fit, Path], colours: Path) -> None:
    with pytest.raises(EngineError, match="evaluate a classifier, and this Model's task is multilabel"):
        evaluate(fitted[0].model, colours)
    classes = Subset(fitted[0].dataset.test.images, np.zeros(len(fitted[0].dataset.test), np.int64))
    with pytest.raises(DataError, match="0 or 1 for each label"):
        evaluate(fitted[0].model, classes)


def test_a_label_that_the_data_does_not_name_is_of_no_image(fitted: tuple[Fit, Path], dataset: Dataset) -> None:
    fewer = replace(
        dataset,
        labels=LABELS[:2],
        test=Subset(dataset.test.images, dataset.test.targets[:, :2]),
        train=Subset(dataset.train.images, dataset.train.targets[:, :2]),
        validation=Subset(dataset.validation.images, dataset.validation.targets[:, :2]),
    )
    found = evaluate(fitted[0].model, fewer)
    assert isinstance(found, MultiLabelMetrics)
    assert [row.images for row in found.labels][2] == 0


def test_thresholds_are_chosen_anew_for_a_model_that_has_none(fitted: tuple[Fit, Path], dataset: Dataset) -> None:
    model = fitted[0].model
    assert isinstance(model.task, MultiLabel)
    shifted = dict(model.parameters) | {"classifier.bias": model.parameters["classifier.bias"] - 3}
    plain = replace(model, task=MultiLabel(model.task.labels), parameters=shifted)
    found = calibrate_thresholds(plain, dataset)
    assert found.after.f1 > found.before.f1
    assert isinstance(found.model.task, MultiLabel)
    assert max(found.model.task.thresholds) < 0.5
    assert found.to_json()["thresholds"] == dict(zip(LABELS, found.model.task.thresholds, strict=True))
    with pytest.raises(EngineError, match="only a classifier has a temperature"):
        calibrate(plain, dataset)


def test_a_budget_from_scratch_is_refused_before_anything_is_trained(dataset: Dataset, tmp_path: Path) -> None:
    rows = ["file,labels"]
    for number, (image, row) in enumerate(zip(dataset.train.images, dataset.train.targets, strict=True)):
        image.open().save(tmp_path / f"{number}.png")
        rows.append(f"{number}.png,{';'.join(label for label, one in zip(LABELS, row, strict=True) if one)}")
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    with pytest.raises(
        PlanningError, match=r"from scratch a budget chooses among classifiers, .* the task multilabel: begin"
    ):
        search(tmp_path / "labels.csv", None, Budget(max_macs=2_000_000), SETTINGS)


def test_cross_validation_tests_every_image_once(dataset: Dataset) -> None:
    found = cross_validate(dataset, 2, replace(SETTINGS, epochs=6))
    assert found.images == 240
    assert {type(fold) for fold in found.folds} == {MultiLabelMetrics}
    values = [fold.primary.value for fold in found.folds]
    assert min(values) <= found.value == found.to_json()["mean_average_precision"] <= max(values)
    assert found.summary.startswith(f"cross-validation: mean average precision {100 * found.value:.1f} % on average")


def test_rare_labels_count_more() -> None:
    targets = np.zeros((1000, 3), np.int64)
    targets[:500, 0], targets[:40, 1], targets[:1, 2] = 1, 1, 1
    weights = positive_weights(targets)
    assert weights[0] == 1
    assert weights[1] == pytest.approx(24**0.5)
    assert weights[2] == 10
    training = MultiLabelTraining(("a", "b", "c"), targets)
    outputs, wanted = torch.zeros(2, 3), torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    by_hand = np.log(2) * (2 + 1 + weights[1].item() + 2) / 2
    assert float(training.loss(0.1)(outputs, wanted)) == pytest.approx(by_hand)
