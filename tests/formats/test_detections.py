"""Files that end in non-maximum suppression find what the Model finds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.support.random_detectors import random_detector
from tests.support.random_models import random_int8_model, random_model

from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.errors import FormatError
from mobilenets.formats.detections import compare_detections
from mobilenets.formats.exporting import export
from mobilenets.model.model import Model
from mobilenets.tasks.detection import Detection
from mobilenets.tasks.suppression import Kept

RUNTIMES = {"onnx": "onnxruntime", "tflite": "ai_edge_litert", "xml": "openvino"}


@pytest.mark.parametrize("suffix", RUNTIMES)
@pytest.mark.parametrize("name", ["ssdlite_mobilenet_v2", "ssd_mobilenet_v1"])
def test_a_file_finds_the_same_boxes(suffix: str, name: str, tmp_path: Path) -> None:
    pytest.importorskip(RUNTIMES[suffix])
    pytest.importorskip("tflite" if suffix == "tflite" else "onnx")
    exported = export(random_detector(name), tmp_path / f"detector.{suffix}", detections=True)
    assert exported.agreement is not None
    assert exported.agreement.same.count == exported.agreement.same.total > 0


def test_an_int8_detector_in_onnx_finds_the_same(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    model = random_detector()
    integer = random_int8_model(np.random.default_rng(0), model.network, task=model.task)
    exported = export(integer, tmp_path / "detector.onnx", detections=True)
    assert exported.agreement is not None
    assert exported.agreement.same.count == exported.agreement.same.total


def test_the_operator_of_litert_takes_real_numbers(tmp_path: Path) -> None:
    pytest.importorskip("tflite")
    model = random_detector()
    integer = random_int8_model(np.random.default_rng(0), model.network, task=model.task)
    with pytest.raises(FormatError, match="reads real numbers: ask for float_output too"):
        export(integer, tmp_path / "detector.tflite", detections=True, images=np.zeros((1, 64, 64, 3), np.uint8))


@pytest.mark.parametrize("suffix", RUNTIMES)
def test_only_detectors_with_anchors_give_detections(suffix: str, tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip({"onnx": "onnx", "tflite": "tflite", "xml": "openvino"}[suffix])
    network = mobilenet_v1(width_multiplier=0.25, resolution=32, classes=2)
    classifier = random_model(np.random.default_rng(0), network)
    with pytest.raises(FormatError, match="only a detector has detections to give"):
        export(classifier, tmp_path / f"classifier.{suffix}", detections=True)
    with pytest.raises(FormatError, match="a detector with centres needs no suppression"):
        export(random_detector("centres_mobilenet_v2"), tmp_path / f"centres.{suffix}", detections=True)


def _outputs(model: Model) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        name: rng.normal(0, 2, (2, *model.network.shapes[name])).astype(np.float32) for name in model.network.outputs
    }


def test_a_file_that_finds_something_else_is_refused() -> None:
    model = random_detector()
    assert isinstance(model.task, Detection)
    outputs = _outputs(model)
    boxes, scores = model.task.head.decode(list(outputs.values()))
    nothing = Kept(boxes[0][:0], scores[0][:0, 0], np.zeros(0, np.int64))
    with pytest.raises(FormatError, match=r"the written file finds 0 of the .* boxes that the Model finds"):
        compare_detections(model, outputs, [nothing, nothing])
