"""What Python prints of an object is one short line, whatever its size."""

from __future__ import annotations

import numpy as np
import pytest
from tests.support.random_models import random_int8_model, random_model

from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.data.dataset import Collection, Dataset
from mobilenets.data.image import ArrayImage, BytesImage
from mobilenets.data.subset import Subset
from mobilenets.engine.predictor import Classifier
from mobilenets.engine.session import Session
from mobilenets.tasks.classification import Classification, ClassPrediction
from mobilenets.tasks.classification_metrics import ClassificationMetrics

RNG = np.random.default_rng(0)
NETWORK = mobilenet_v1(width_multiplier=0.25, resolution=128, classes=1000)
SMALL = mobilenet_v1(width_multiplier=0.25, resolution=32, classes=3)
MODEL = random_model(RNG, NETWORK)
IMAGES = tuple(ArrayImage(str(number), np.zeros((9, 9, 3), np.uint8)) for number in range(500))
SUBSET = Subset(IMAGES, np.zeros(500, np.int64))


@pytest.mark.parametrize(
    ("thing", "printed"),
    [
        (NETWORK, "Network(mobilenet_v1, width 0.25, 128×128, 29 layers)"),
        (MODEL, "mobilenet_v1, width 0.25, 128×128, float32"),
        (random_int8_model(RNG, SMALL), "int8"),
        (Session(MODEL, 1), "Session(mobilenet_v1, width 0.25, 128×128, float32"),
        (Classifier(MODEL, 1), "Classifier(mobilenet_v1, width 0.25, 128×128, float32"),
        (Classification(tuple(map(str, range(1000)))), "Classification(1000 labels: '0', '1', '2' …)"),
        (Classification(("a", "b")), "Classification(2 labels: 'a', 'b')"),
        (
            ClassPrediction("a.jpg", (("cat", 0.973), ("dog", 0.02))),
            "ClassPrediction('a.jpg': cat 97.3 %",
        ),
        (ClassificationMetrics(("a", "b"), np.array([[8, 2], [1, 9]]), 20), "top-1 85.0 %, 20 images"),
        (IMAGES[0], "ArrayImage('0', uint8 (9, 9, 3))"),
        (BytesImage("x", bytes(100_000)), "BytesImage('x', 100000 bytes)"),
        (SUBSET, "Subset(500 images)"),
        (Collection(("a",), {"all": SUBSET}, "photos"), "Collection('photos', 1 classes, images: all 500)"),
        (Dataset(("a",), SUBSET, SUBSET, SUBSET, "", "photos"), "500 train, 500 validation and 500 test images"),
    ],
)
def test_one_short_line(thing: object, printed: str) -> None:
    assert printed in repr(thing)
    assert len(repr(thing)) < 160
    assert "\n" not in repr(thing)
