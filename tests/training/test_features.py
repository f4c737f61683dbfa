"""The classifier on frozen features: what the engine computes, and a fit that finds what tells classes apart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.support.random_models import random_model

from mobilenets.architecture.catalog import Specification
from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.engine.session import Session
from mobilenets.errors import TrainingError
from mobilenets.model.model import Model
from mobilenets.tasks.classification import Classification
from mobilenets.training.features import feature_network, fit_head, frozen_features, with_head
from mobilenets.training.task_training import ClassifierTraining, class_weights


@pytest.fixture
def model() -> Model:
    return random_model(np.random.default_rng(0), mobilenet_v1(width_multiplier=0.25, resolution=32, classes=5))


def test_the_output_layer_on_the_features_gives_the_logits(model: Model) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    features = frozen_features(model, pixels)
    weight, bias = model.parameters["classifier.weight"], model.parameters["classifier.bias"]
    assert features.shape == (3, 256)
    np.testing.assert_allclose(
        features @ weight.reshape(5, -1).T + bias, Session(model).run(pixels), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize(
    "name", ["mobilenet_v2@0.35-96", "mobilenet_v3_small@0.5-96", "mobilenet_v4_conv_small@0.5-96"]
)
def test_every_family_has_features(name: str) -> None:
    network = Specification.parse(name).network(classes=3)
    found = feature_network(network)
    assert found is not None
    shape = found.shapes[found.outputs[0]]
    assert (shape.height, shape.width) == (1, 1)


def test_a_network_that_averages_its_logits_has_none() -> None:
    network = Specification.parse("squeezenet@0.25-64").network(classes=3)
    assert feature_network(network) is None
    with pytest.raises(TrainingError, match="squeezenet has no vector of features"):
        frozen_features(random_model(np.random.default_rng(0), network), np.zeros((1, 64, 64, 3), np.uint8))


def test_the_fit_finds_the_features_that_tell_classes_apart(model: Model) -> None:
    rng = np.random.default_rng(0)
    targets = np.arange(300) % 3
    features = rng.normal(5, 1, (300, 256)).astype(np.float32)
    features[np.arange(300), targets] += 4
    head = fit_head(
        features[:200], targets[:200], (features[200:], targets[200:]), ClassifierTraining(("a", "b", "c"), None)
    )
    assert head.score.primary > 0.95
    assert head.score.images == 100
    assert {int(row.argmax()) for row in head.weight} == {0, 1, 2}
    made = with_head(model, head, Classification(("a", "b", "c")))
    assert made.labels == ("a", "b", "c")
    np.testing.assert_array_equal(made.parameters["classifier.bias"], head.bias)


def test_the_same_features_give_the_same_classifier() -> None:
    rng = np.random.default_rng(0)
    features, targets = rng.normal(0, 1, (60, 20)).astype(np.float32), np.arange(60) % 2
    one, other = (
        fit_head(features, targets, (features, targets), ClassifierTraining(("a", "b"), None), label_smoothing=0.1)
        for _ in range(2)
    )
    np.testing.assert_array_equal(one.weight, other.weight)


def test_classes_of_other_sizes_are_weighted_half_way_to_equality() -> None:
    weights = class_weights(np.array([0] * 160 + [1] * 10), 2)
    assert weights is not None
    assert float(weights[1] / weights[0]) == pytest.approx(4)
    assert float((weights * torch.tensor([160.0, 10.0])).sum()) == pytest.approx(170)
    assert class_weights(np.array([0] * 14 + [1] * 10), 2) is None


def test_a_classifier_is_replaced_by_one_of_more_classes(model: Model) -> None:
    rng = np.random.default_rng(0)
    features, targets = rng.normal(0, 1, (70, 256)).astype(np.float32), np.arange(70) % 7
    head = fit_head(features, targets, (features, targets), ClassifierTraining(tuple("abcdefg"), None))
    made = with_head(replace(model, network=model.network), head, Classification(tuple("abcdefg")))
    assert made.parameters["classifier.weight"].shape[0] == 7
