"""``predict``, ``evaluate`` and ``show`` with a detector and with data that has boxes."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from tests.cli.conftest import RunCommand
from tests.support.box_folders import BOXES, FORMS, write_image
from tests.support.detectors import detector
from tests.support.random_models import random_model

from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.engine.detector import Detector
from mobilenets.engine.drawing import draw_prediction
from mobilenets.engine.evaluate import evaluate
from mobilenets.engine.predictor import Classifier
from mobilenets.errors import EngineError
from mobilenets.model.file import save
from mobilenets.model.model import Model
from mobilenets.tasks.classification import Classification
from mobilenets.tasks.detection import Detection

NETWORK, TASK = detector()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    labeled = Detection(("dog", "cat"), TASK.head)  # in another order than the data's
    save(random_model(np.random.default_rng(0), NETWORK, task=labeled), tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


@pytest.fixture
def classifier(tmp_path: Path) -> Path:
    network = mobilenet_v1(width_multiplier=0.25, resolution=32, classes=2)
    made = random_model(np.random.default_rng(0), network)
    path = tmp_path / "classifier.safetensors"
    save(Model(network, made.parameters, Classification(("cat", "dog")), made.preprocessing), path)
    return path


@pytest.fixture
def images(tmp_path: Path) -> Path:
    for number in range(3):
        write_image(tmp_path / "images" / f"{number}.jpg", (120, 90), orientation=6 if number else None)
    return tmp_path / "images"


def pixels_of(path: Path) -> npt.NDArray[np.int64]:
    with Image.open(path) as image:
        return np.asarray(image, np.int64)


def test_boxes_are_printed_a_line_an_image(model: Path, images: Path, mobilenets: RunCommand) -> None:
    outcome = mobilenets("predict", model, images)
    assert outcome.code == 0
    lines = outcome.out.splitlines()
    assert len(lines) == 3
    assert all(" % (" in line or "nothing found" in line for line in lines)
    nothing = mobilenets("predict", model, images, "--threshold", 1)
    assert nothing.out.count("nothing found") == 3


def test_json_has_the_boxes_in_the_form_of_coco(model: Path, images: Path, mobilenets: RunCommand) -> None:
    found = mobilenets("predict", model, images, "--json", "--threshold", 0.0, "--top", 4).json
    assert [(one["width"], one["height"]) for one in found] == [(120, 90), (90, 120), (90, 120)]  # upright
    for one in found:
        assert 1 <= len(one["detections"]) <= 4
        for box in one["detections"]:
            left, top, width, height = box["bbox"]
            assert min(left, top, width, height) >= 0
            assert left + width <= one["width"] + 0.01
            assert top + height <= one["height"] + 0.01
            assert box["category_id"] == {"dog": 1, "cat": 2}[box["label"]]


def test_csv_has_a_row_for_each_box(model: Path, images: Path, mobilenets: RunCommand) -> None:
    (images / "broken.jpg").write_bytes(b"")
    listed = mobilenets("predict", model, images, "--json", "--threshold", 0.5).json
    outcome = mobilenets("predict", model, images, "--csv", "--threshold", 0.5)
    assert outcome.code == 3
    rows = list(csv.DictReader(io.StringIO(outcome.out)))
    assert list(rows[0]) == ["image", "label", "score", "left", "top", "width", "height", "error"]
    for one in listed:
        mine = [row for row in rows if row["image"] == one["image"]]
        if "error" in one:
            assert [row["error"] for row in mine] == [one["error"]]
        else:
            assert len(mine) == max(1, len(one["detections"]))
            assert [row["label"] for row in mine if row["label"]] == [box["label"] for box in one["detections"]]


def test_a_file_of_predictions_holds_every_box(
    model: Path, images: Path, tmp_path: Path, mobilenets: RunCommand
) -> None:
    listed = mobilenets("predict", model, images, "--json", "--threshold", 0.5).json
    path = tmp_path / "boxes.jsonl"
    assert mobilenets("predict", model, images, "-o", path, "--threshold", 0.5, "--quiet").code == 0
    written = [json.loads(line) for line in path.read_text().splitlines()]
    assert [one["detections"] for one in written] == [one["detections"] for one in listed]
    assert max(len(one["detections"]) for one in written) > 3


def test_boxes_are_drawn_on_upright_images(model: Path, images: Path, tmp_path: Path, mobilenets: RunCommand) -> None:
    drawn = tmp_path / "drawn"
    outcome = mobilenets("predict", model, images, images / "0.jpg", "--draw", drawn, "--threshold", 0.0)
    assert outcome.code == 0
    assert sorted(path.name for path in drawn.iterdir()) == ["0-2.jpg", "0.jpg", "1.jpg", "2.jpg"]
    assert pixels_of(drawn / "1.jpg").shape[1::-1] == (90, 120)
    assert np.abs(pixels_of(drawn / "0.jpg") - pixels_of(images / "0.jpg")).max() > 100
    inside = mobilenets("predict", model, images, "--draw", images / "drawn")
    assert inside.code == 1
    assert "lies within" in inside.err


def test_a_classifier_draws_no_boxes(classifier: Path, images: Path, tmp_path: Path, mobilenets: RunCommand) -> None:
    outcome = mobilenets("predict", classifier, images, "--draw", tmp_path / "drawn")
    assert outcome.code == 2
    assert "--draw draws boxes, which a detector finds; this Model's task is classification" in outcome.err
    assert not (tmp_path / "drawn").exists()
    prediction = Classifier(classifier).predict(images / "0.jpg")
    with pytest.raises(EngineError, match="a detector's prediction has boxes to draw; this is a ClassPrediction"):
        draw_prediction(images / "0.jpg", prediction)
    with pytest.raises(EngineError, match="the Model is no detector: its task is classification"):
        Detector(classifier)


def test_options_of_classifiers_are_refused(model: Path, images: Path, tmp_path: Path, mobilenets: RunCommand) -> None:
    assert "--unknown is for classifiers" in mobilenets("predict", model, images, "--unknown").err
    assert "--sort-into sorts by label" in mobilenets("predict", model, images, "--sort-into", tmp_path / "x").err


def test_evaluation_prints_map_by_class_and_by_size(model: Path, tmp_path: Path, mobilenets: RunCommand) -> None:
    source = FORMS["yolo"](tmp_path / "data")
    outcome = mobilenets("evaluate", model, source)
    assert outcome.code == 0
    assert outcome.out.startswith("mAP 50-95 ")
    assert "1 object in 1 image (test)" in outcome.out
    assert all(word in outcome.out for word in ("AP 50-95", "precision %", "small", "medium", "large"))
    assert max(map(len, outcome.out.splitlines())) <= 80
    everything = mobilenets("evaluate", model, source, "--split", "all", "--json").json
    assert everything["objects"] == sum(len(boxes) for _, boxes in BOXES.values())
    assert {one["label"]: one["objects"] for one in everything["classes"]} == {"cat": 2, "dog": 2}
    assert evaluate(model, source, split="all").to_json() == {
        name: value for name, value in everything.items() if name not in ("model", "data", "split", "note")
    }


def test_classes_that_the_detector_does_not_know_are_refused(
    model: Path, tmp_path: Path, mobilenets: RunCommand
) -> None:
    source = FORMS["yolo"](tmp_path / "data")
    text = (source / "data.yaml").read_text().replace("dog", "zebra")
    (source / "data.yaml").write_text(text)
    outcome = mobilenets("evaluate", model, source)
    assert outcome.code == 1
    assert "the data has the class 'zebra'" in outcome.err
    assert "leave its boxes out with --exclude" in outcome.err


def test_boxes_evaluate_no_classifier_and_classes_no_detector(
    model: Path, classifier: Path, tmp_path: Path, mobilenets: RunCommand
) -> None:
    source = FORMS["voc"](tmp_path / "data")
    outcome = mobilenets("evaluate", classifier, source)
    assert outcome.code == 1
    assert "holds boxes, which evaluate a detector, and this Model's task is classification" in outcome.err
    for label in ("cat", "dog"):
        write_image(tmp_path / "classes" / label / "1.jpg")
    assert (
        "evaluate a classifier, and this Model's task is detection"
        in mobilenets("evaluate", model, tmp_path / "classes").err
    )


def test_show_prints_what_the_data_is_and_draws_a_sheet(tmp_path: Path, mobilenets: RunCommand) -> None:
    source = FORMS["coco"](tmp_path / "data")
    outcome = mobilenets("show", source, "--draw", tmp_path / "sheet.png")
    assert outcome.code == 0
    assert "COCO JSON, 2 classes" in " ".join(outcome.out.split())
    assert "boxes (train/validation/test): cat 1/0/1, dog 1/1/0" in outcome.out
    assert pixels_of(tmp_path / "sheet.png").shape[1::-1] == (4 * 320, 320)
    facts = mobilenets("show", source, "--json").json
    assert (facts["task"], facts["parts"]["train"]["boxes"]) == ("detection", {"cat": 1, "dog": 1})
    assert facts["parts"]["train"]["images_without_boxes"] == 1


def test_show_draws_images_of_classes_too(tmp_path: Path, mobilenets: RunCommand) -> None:
    for label in ("cat", "dog"):
        for number in range(3):
            write_image(tmp_path / "data" / label / f"{number}.jpg")
    assert mobilenets("show", tmp_path / "data", "--draw", tmp_path / "sheet.jpg").code == 0
    assert pixels_of(tmp_path / "sheet.jpg").shape[1::-1] == (6 * 320, 320)
    refused = mobilenets("show", "mobilenet_v1", "--draw", tmp_path / "sheet.jpg")
    assert refused.code == 2
    assert "--draw goes with a folder or table of images" in refused.err
