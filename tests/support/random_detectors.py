"""Detectors with random weights, whose anchors are the published ones."""

from __future__ import annotations

import numpy as np
from tests.support.random_models import random_model

from mobilenets.architecture.catalog import DETECTORS
from mobilenets.architecture.network import Network
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import Preprocessing, ResizeMode
from mobilenets.tasks.anchors import published_levels, tensorflow_shapes
from mobilenets.tasks.detection import Detection
from mobilenets.tasks.detection_heads import AnchorHead, CentreHead, ScoreMeaning

LABELS = ("blue", "red")


def detection_task(network: Network, scores: ScoreMeaning = ScoreMeaning.SIGMOID) -> Detection:
    """What the outputs of a detector of the catalog mean, over two classes."""
    shapes = [network.shapes[name] for name in network.outputs]
    if len(shapes) == 1:
        return Detection(LABELS, CentreHead(shapes[0].height, shapes[0].width, ((0.3, 0.3), (0.2, 0.4))))
    maps = [(shape.height, shape.width) for shape in shapes[::2]]
    return Detection(LABELS, AnchorHead(published_levels(tensorflow_shapes(len(maps)), maps), scores))


def random_detector(name: str = "ssdlite_mobilenet_v2", *, resolution: int = 64, seed: int = 0) -> Model:
    """A small float32 detector; about one anchor in ten finds something."""
    network = DETECTORS[name](width_multiplier=0.1, resolution=resolution, classes=len(LABELS))
    background = network.outputs[0] == "level1.boxes" and network.shapes["level1.logits"].channels == 3 * 3
    task = detection_task(network, ScoreMeaning.SOFTMAX if background else ScoreMeaning.SIGMOID)
    model = random_model(np.random.default_rng(seed), network, task=task)
    parameters = dict(model.parameters)
    for output in network.outputs:
        scale = np.float32(0.1)
        parameters[f"{output}.weight"] = parameters[f"{output}.weight"] * scale
    preprocessing = Preprocessing(fit=ResizeMode.SQUASH, crop_fraction=1.0)
    return Model(network, parameters, task, preprocessing)
