"""int8 detectors: all outputs are compared, and the loss of mean average precision is what decides."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.support.drawn_objects import drawn_dataset
from tests.support.random_detectors import random_detector

from mobilenets.compression.pipeline import quantize_and_evaluate
from mobilenets.data.dataset import Dataset
from mobilenets.data.loading import prepare
from mobilenets.engine.session import Session
from mobilenets.errors import DataError
from mobilenets.model.model import Model
from mobilenets.tasks.boxes import GroundTruth, as_targets
from mobilenets.tasks.detection import Detection
from mobilenets.tasks.task import Geometry
from mobilenets.training.quantize import quantize


def as_found(model: Model, dataset: Dataset) -> Dataset:
    """The dataset with what the Model finds in its validation images as their ground truth."""
    assert isinstance(model.task, Detection)
    subset = dataset.validation
    pixels = prepare(subset, model.preprocessing, model.network.height, model.network.width).pixels
    geometry = [Geometry(image.name, (80, 64), (0, 0, 80, 64)) for image in subset.images]
    found = model.task.decode(list(Session(model).outputs(pixels).values()), geometry, top=5)
    truths = [
        GroundTruth.of([box.box for box in one.boxes], [box.index for box in one.boxes], (80, 64)) for one in found
    ]
    return replace(dataset, validation=replace(subset, targets=as_targets(truths)))


def test_a_detector_is_quantized_and_loses_little_precision() -> None:
    model = random_detector()
    result = quantize(model, data=as_found(model, drawn_dataset(24, 12, 2)))
    report = result.report
    assert report.primary_before is not None
    assert report.primary_after is not None
    assert report.primary_before.name == "map50_95"
    assert report.primary_before.value > 0.5
    assert report.drop == pytest.approx(100 * (report.primary_before.value - report.primary_after.value))
    assert report.logits_sqnr_db > 12
    assert result.model.task == model.task
    assert set(result.model.quantization.outputs if result.model.quantization else ()) == set(model.network.outputs)


def test_data_of_another_task_is_refused() -> None:
    classes = replace(drawn_dataset(8, 8, 2), task="classification")
    with pytest.raises(DataError, match="data of the task classification, and the Model's task is detection"):
        quantize_and_evaluate(random_detector(), data=classes)
