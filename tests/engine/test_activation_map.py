"""Class activation maps: their mean is the logit, and they lie over the part of the image that they are of."""

from __future__ import annotations

import numpy as np
import pytest
from tests.support.random_models import random_model

from mobilenets.architecture.catalog import CATALOG
from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.engine.activation_map import ActivationMaps
from mobilenets.engine.predictor import Predictor
from mobilenets.errors import EngineError
from mobilenets.model.features import feature_model
from mobilenets.model.model import Model
from mobilenets.tasks.classification import Classification

LABELS = ("cat", "dog", "owl")


@pytest.fixture(scope="module")
def model() -> Model:
    network = mobilenet_v1(width_multiplier=0.25, resolution=64, classes=3)
    return random_model(np.random.default_rng(0), network, task=Classification(LABELS))


def test_the_mean_of_a_map_is_the_logit_without_its_bias(model: Model) -> None:
    image = np.random.default_rng(1).integers(0, 256, (64, 96, 3), np.uint8)
    maps = ActivationMaps(model)
    features = feature_model(model)
    logits = model.parameters["classifier.weight"].reshape(3, -1) @ _features(features, image)
    for label, logit in zip(LABELS, logits, strict=True):
        values, box = maps.of(image, label)
        assert values.shape == (2, 2)
        assert values.mean() == pytest.approx(logit, rel=1e-3, abs=1e-3)
    left, top, right, bottom = box
    assert left > 0
    assert right < 1
    assert left + right == pytest.approx(1)
    assert top + bottom == pytest.approx(1)


def _features(model: Model, image: np.ndarray) -> np.ndarray:
    prediction = Predictor(model).predict(image)
    return np.asarray(prediction.values)  # type: ignore[attr-defined]


def test_networks_that_have_no_map_and_unknown_classes_are_refused(model: Model) -> None:
    network = CATALOG["mobilenet_v3_small"](classes=3)
    other = random_model(np.random.default_rng(0), network, task=Classification(LABELS))
    with pytest.raises(EngineError, match="has no class activation maps"):
        ActivationMaps(other)
    with pytest.raises(EngineError, match="the Model has no class 'zebra'"):
        ActivationMaps(model).of(np.zeros((64, 64, 3), np.uint8), "zebra")
