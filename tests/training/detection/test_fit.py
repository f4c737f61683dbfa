"""From images with boxes to a detector: it learns, goes on where it was, and is the same again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.support.drawn_objects import LABELS, drawn_dataset
from tests.support.interruption import Interruption
from tests.support.random_models import random_model

from mobilenets.architecture.networks.mobilenet_v2 import mobilenet_v2
from mobilenets.engine.session import Session
from mobilenets.errors import DataError, TrainingError
from mobilenets.model.file import load
from mobilenets.model.preprocessing import ResizeMode
from mobilenets.tasks.boxes import GroundTruth, as_targets
from mobilenets.tasks.detection import Detection
from mobilenets.tasks.detection_heads import AnchorHead, CentreHead
from mobilenets.tasks.detection_metrics import DetectionMetrics
from mobilenets.training.detection.fit import fit_detector
from mobilenets.training.fit import fit
from mobilenets.training.recipe import Recipe
from mobilenets.training.settings import Settings

SMALL = Settings("ssdlite_mobilenet_v1@0.25-64", weights=None, batch_size=8, epochs=2, threads=1)


@pytest.mark.parametrize(
    ("architecture", "head"),
    [("ssdlite_mobilenet_v2@0.35-64", AnchorHead), ("centres_mobilenet_v1@0.5-64", CentreHead)],
)
def test_a_detector_learns_to_find_rectangles(architecture: str, head: type) -> None:
    recipe = Recipe("quick", learning_rate=1e-2, batch=4, label_smoothing=0.0)
    settings = Settings(architecture, weights=None, recipe=recipe, epochs=10, threads=1, validation_apart=True)
    result = fit(drawn_dataset(validation=20), settings=settings)
    assert isinstance(result.model.task, Detection)
    assert isinstance(result.model.task.head, head)
    assert result.model.task.labels == LABELS
    assert result.evaluation.primary.name == "map50_95"
    assert result.evaluation.primary.value > 0.03
    threshold = result.history[result.best_epoch].validation_threshold
    assert isinstance(result.evaluation, DetectionMetrics)
    assert result.model.task.score_threshold == result.evaluation.score_threshold == (threshold or 0.3)
    assert result.history[-1].loss < 0.85 * result.history[0].loss


def test_a_run_that_was_interrupted_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    data = drawn_dataset(train=24)
    whole = fit(data, settings=SMALL)
    with pytest.raises(KeyboardInterrupt):
        fit(data, tmp_path, SMALL, progress=Interruption(2))
    resumed = fit(data, tmp_path, SMALL, resume=True)
    for name, values in whole.model.parameters.items():
        assert np.array_equal(values, resumed.model.parameters[name]), name
    saved = load(tmp_path / "model.safetensors")
    assert saved.task == whole.model.task
    pixels = np.zeros((1, 64, 64, 3), np.uint8)
    found, expected = (Session(model).outputs(pixels) for model in (saved, whole.model))
    assert all(np.array_equal(found[name], expected[name]) for name in expected)


def test_the_layers_of_a_classifier_become_the_backbone() -> None:
    start = random_model(np.random.default_rng(0), mobilenet_v2(width_multiplier=0.1, resolution=64, classes=5))
    made = fit_detector(start, drawn_dataset(train=16), replace(SMALL, architecture=None, epochs=1))
    assert made.model.network.name == "ssdlite_mobilenet_v2"
    # The first layers are not trained, the last ones are.
    same = {
        name: np.array_equal(values, made.model.parameters[name])
        for name, values in start.parameters.items()
        if name in made.model.parameters
    }
    assert same["stem.weight"]
    assert same["block2.depthwise.batch_norm.running_mean"]
    assert not same["block12.expand.weight"]
    assert made.model.preprocessing.mean == start.preprocessing.mean


def test_images_of_many_shapes_are_letterboxed_and_alike_ones_stretched() -> None:
    alike = drawn_dataset(train=16)
    wide = drawn_dataset(train=16, width=160)
    mixed = replace(alike, train=alike.train + wide.train)
    fits = [fit_detector(None, data, SMALL).model.preprocessing.fit for data in (alike, mixed)]
    assert fits == [ResizeMode.SQUASH, ResizeMode.LETTERBOX]


def test_data_without_a_box_cannot_be_trained_on() -> None:
    data = drawn_dataset(train=8)
    empty = as_targets([GroundTruth.of([], [], truth.size) for truth in data.train.targets])
    with pytest.raises(DataError, match="none of the 8 training images of drawn has a box"):
        fit(replace(data, train=replace(data.train, targets=empty)), settings=SMALL)


@pytest.mark.parametrize("architecture", ["ssdlite_mobilenet_v1@0.25-64", "centres_mobilenet_v1@0.25-64"])
def test_a_detector_is_trained_further_for_its_own_classes_and_for_others(architecture: str) -> None:
    data = drawn_dataset(train=16, validation=4, test=4)
    first = fit(data, settings=replace(SMALL, architecture=architecture)).model
    further = replace(SMALL, architecture=None, weights=first, epochs=1, recipe=Recipe("still", learning_rate=1e-9))
    same = fit(data, settings=further).model
    assert same.network == first.network
    assert same.task == first.task
    name = f"{first.network.outputs[-1]}.weight"
    np.testing.assert_allclose(same.parameters[name], first.parameters[name], atol=1e-5)
    renamed = replace(data, labels=("green", "red"))
    other = fit(renamed, settings=replace(further, resolution=96)).model
    assert other.network.height == 96
    assert other.task.labels == ("green", "red")
    assert not np.allclose(other.parameters[name], first.parameters[name], atol=1e-3)
    body = "block3.pointwise.weight"
    np.testing.assert_allclose(other.parameters[body], first.parameters[body], atol=1e-5)
    with pytest.raises(TrainingError, match=r"the weights are of .*; ssdlite_mobilenet_v2 was asked"):
        fit(data, settings=replace(further, architecture="ssdlite_mobilenet_v2"))


def test_weights_of_another_architecture_are_refused() -> None:
    start = random_model(np.random.default_rng(0), mobilenet_v2(width_multiplier=0.25, resolution=64, classes=5))
    with pytest.raises(
        TrainingError, match="the weights are of a mobilenet_v2, and the architecture mobilenet_v1 was asked"
    ):
        fit(drawn_dataset(train=8), settings=replace(SMALL, weights=start))


def test_a_detector_that_gets_no_better_ends_early() -> None:
    data = drawn_dataset(train=8, validation=50, test=4)
    still = replace(SMALL, epochs=24, recipe=Recipe("still", learning_rate=1e-9, batch=8))
    result = fit(data, settings=still)
    assert len(result.history) < 20
    rates = [epoch.learning_rate for epoch in result.history[-3:]]
    assert rates[0] > rates[1] > rates[2] > 0


def test_a_detector_whose_time_is_over_ends_with_a_model(tmp_path: Path) -> None:
    result = fit(drawn_dataset(train=16, validation=4, test=4), tmp_path, replace(SMALL, epochs=500, time=2.0))
    assert 1 <= len(result.history) < 500
    assert load(tmp_path / "model.safetensors").task == result.model.task
