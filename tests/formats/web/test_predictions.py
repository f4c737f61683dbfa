"""What a module says of images, in the words of every task, is what Python says of the same pixels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.support.detectors import detector
from tests.support.random_detectors import detection_task
from tests.support.random_models import random_int8_model
from tests.support.web import predict_in_node

from mobilenets.architecture.catalog import DETECTORS
from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.engine.detector import Detector
from mobilenets.engine.predictor import Classifier, Predictor
from mobilenets.engine.session import Session
from mobilenets.model.features import feature_model
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import Pixels, Preprocessing, ResizeMode
from mobilenets.tasks.classification import Classification
from mobilenets.tasks.detection_heads import ScoreMeaning
from mobilenets.tasks.multilabel import MultiLabel
from mobilenets.tasks.unknown import UnknownThreshold, energy

SIZES = ((64, 64), (100, 60), (45, 130), (9, 400))
LABELS = ("cat", "dog", "__proto__", "7")


def images(seed: int = 0) -> list[Pixels]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, (height, width, 3), np.uint8) for width, height in SIZES]


def published(name: str, scores: ScoreMeaning = ScoreMeaning.SIGMOID) -> Model:
    """An int8 detector whose outputs are of the order of one, so that some of its anchors find something."""
    network = DETECTORS[name](width_multiplier=0.1, resolution=64, classes=2)
    task = replace(detection_task(network, scores), score_threshold=0.6)
    return random_int8_model(np.random.default_rng(3), network, task=task)


def detectors() -> list[Model]:
    found: list[Model] = []
    for fit in ResizeMode:
        for scores in ScoreMeaning:
            for agnostic in (False, True):
                network, task = detector(64, scores)
                task = replace(task, score_threshold=0.4, iou_threshold=0.3, class_agnostic=agnostic)
                model = random_int8_model(np.random.default_rng(len(found)), network, task=task)
                found.append(replace(model, preprocessing=Preprocessing(fit=fit)))
    found += [published("ssdlite_mobilenet_v2"), published("centres_mobilenet_v2", ScoreMeaning.SOFTMAX)]
    return [*found, replace(found[-1], preprocessing=Preprocessing(fit=ResizeMode.LETTERBOX))]


def assert_detections(found: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    assert (found["width"], found["height"]) == (expected["width"], expected["height"])
    names = ("category_id", "label")
    assert [[one[name] for name in names] for one in found["detections"]] == [
        [one[name] for name in names] for one in expected["detections"]
    ]
    for one, other in zip(found["detections"], expected["detections"], strict=True):
        assert one["bbox"] == pytest.approx(other["bbox"], abs=0.006)
        assert one["score"] == pytest.approx(other["score"], abs=6e-6)


def test_detectors_find_the_same_boxes(tmp_path: Path) -> None:
    models = detectors()
    options: list[tuple[dict[str, Any], dict[str, Any]]] = [({}, {}), ({"top": 3, "threshold": 0.2},) * 2]
    cases = [(model, given, images()) for model in models for given, _ in options]
    expected = [
        [Detector(model, threads=1).predict(image, **asked).to_json() for image in images()]
        for model in models
        for _, asked in options
    ]
    for found, wanted in zip(predict_in_node(tmp_path, cases), expected, strict=True):
        for one, other in zip(found, wanted, strict=True):
            assert_detections(one, other)
    assert all(any(one["detections"] for one in wanted) for wanted in expected)
    assert {model.task.encode()["head"]["kind"] for model in models} == {"anchors", "centres"}
    assert any(len(one["detections"]) > 20 for wanted in expected for one in wanted)


def test_classifiers_answer_unknown_where_that_is_asked(tmp_path: Path) -> None:
    network = mobilenet_v1(width_multiplier=0.25, resolution=32, classes=len(LABELS))
    task = Classification(LABELS, temperature=1.5)
    model = random_int8_model(np.random.default_rng(0), network, task=task)
    network = model.network
    prepared = [model.preprocessing.apply(Image.fromarray(one), network.height, network.width) for one in images()]
    middle = float(np.median(energy(Session(model, threads=1).run(np.stack(prepared)))))
    known = replace(model, task=replace(task, unknown=UnknownThreshold(energy=middle, images=50)))
    asked: list[tuple[Model, dict[str, Any]]] = [
        (model, {}),
        (model, {"top": 2}),
        (model, {"threshold": 0.5}),
        (known, {}),
        (known, {"unknown": True}),
        (known, {"unknown": True, "threshold": 0.9}),
    ]
    expected = [
        [Classifier(one, threads=1).predict(image, **how).to_json() for image in images()] for one, how in asked
    ]
    cases = [(one, how, images()) for one, how in [*asked, (model, {"unknown": True})]]
    answers = predict_in_node(tmp_path, cases)
    for found, wanted in zip(answers, expected, strict=False):
        for one, other in zip(found, wanted, strict=True):
            assert one.get("unknown") == other.get("unknown")
            assert [label["label"] for label in one["labels"]] == [label["label"] for label in other["labels"]]
            probabilities = [label["probability"] for label in other["labels"]]
            assert [label["probability"] for label in one["labels"]] == pytest.approx(probabilities, rel=1e-5)
    assert {one["unknown"] for one in expected[4]} == {True, False}
    assert all("mobilenets calibrate" in one["error"] for one in answers[-1])


def test_several_labels_and_features(tmp_path: Path) -> None:
    network = mobilenet_v1(width_multiplier=0.25, resolution=32, classes=len(LABELS))
    tagger = random_int8_model(np.random.default_rng(0), network, task=MultiLabel(LABELS, (0.2, 0.6, 0.4, 0.9)))
    halves = replace(tagger, task=MultiLabel(LABELS))
    pooled = feature_model(tagger)
    found = predict_in_node(tmp_path, [(one, {}, images()) for one in (tagger, halves, pooled)])
    for model, answers in zip((tagger, halves), found, strict=False):
        for image, one in zip(images(), answers, strict=True):
            wanted = Predictor(model, threads=1).predict(image).to_json()
            assert [each["label"] for each in one["labels"]] == [each["label"] for each in wanted["labels"]]
            assert one["probabilities"] == pytest.approx(wanted["probabilities"], rel=1e-6)
    for image, one in zip(images(), found[2], strict=True):
        wanted = Predictor(pooled, threads=1).predict(image).to_json()
        assert one["features"] == np.ravel(wanted["features"]).tolist()


def test_images_that_are_asked_at_once_are_told_apart(tmp_path: Path) -> None:
    """The engine has one input; :func:`predict_in_node` asks of all images before it has an answer."""
    network = mobilenet_v1(width_multiplier=0.25, resolution=32, classes=2)
    model = random_int8_model(np.random.default_rng(1), network, task=Classification(("cat", "dog")))
    many = [image for seed in range(4) for image in images(seed)]
    (found,) = predict_in_node(tmp_path, [(model, {}, many)])
    expected = [Classifier(model, threads=1).predict(image).probability for image in many]
    assert [one["labels"][0]["probability"] for one in found] == pytest.approx(expected, rel=1e-5)
    assert len(set(expected)) > 1
