"""Small detectors, and detections and objects drawn at random."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mobilenets.architecture.layers import INPUT, Activation, Convolution, Layer, Padding, PointwiseConvolution
from mobilenets.architecture.network import Network
from mobilenets.tasks.box_matching import FoundBoxes
from mobilenets.tasks.boxes import GroundTruth
from mobilenets.tasks.detection import Detection
from mobilenets.tasks.detection_heads import AnchorHead, AnchorLevel, ScoreMeaning

LABELS = ("cell", "platelet")
SHAPES = ((0.25, 0.25), (0.5, 0.25))


def detector(side: int = 32, scores: ScoreMeaning = ScoreMeaning.SIGMOID) -> tuple[Network, Detection]:
    """A network of one level of anchors on a grid of an eighth of its side, and its task."""
    grid = side // 8
    task = Detection(LABELS, AnchorHead((AnchorLevel(grid, grid, SHAPES),), scores))
    logits = len(LABELS) + (scores is ScoreMeaning.SOFTMAX)
    around = Padding(0, 1, 0, 1)
    relu = Activation.RELU6
    layers: list[Layer] = [
        Convolution("stem", (INPUT,), 3, 2, around, out_channels=8, activation=relu, bias=True),
        Convolution("second", ("stem",), 3, 2, around, out_channels=8, activation=relu, bias=True),
        Convolution("third", ("second",), 3, 2, around, out_channels=8, activation=relu, bias=True),
        PointwiseConvolution("boxes", ("third",), out_channels=4 * len(SHAPES), bias=True),
        PointwiseConvolution("logits", ("third",), out_channels=logits * len(SHAPES), bias=True),
    ]
    return Network("detector", side, side, tuple(layers), ("boxes", "logits")), task


def random_boxes(rng: np.random.Generator, count: int, side: float) -> npt.NDArray[np.float32]:
    """Boxes of at least a pixel, many of which overlap."""
    corners = rng.uniform(0, side * 0.8, (count, 2))
    sides = rng.uniform(1, side * rng.choice([0.1, 0.5]), (count, 2))
    return np.concatenate([corners, corners + sides], axis=1).astype(np.float32)


def random_case(
    rng: np.random.Generator, images: int, classes: int, side: int = 300
) -> tuple[list[FoundBoxes], list[GroundTruth]]:
    """Objects, some of which are ignored, and detections: objects that were moved, of equal scores too, and others."""
    found, truths = [], []
    for _ in range(images):
        objects = random_boxes(rng, int(rng.integers(0, 8)), side)
        labels = rng.integers(0, classes, len(objects))
        truths.append(GroundTruth.of(objects, labels, (side, side), rng.uniform(size=len(objects)) < 0.15))
        near = np.repeat(objects, 2, axis=0) + rng.normal(0, 3, (2 * len(objects), 4)).astype(np.float32)
        others = random_boxes(rng, int(rng.integers(0, 6)), side)
        boxes = np.concatenate([near, others])
        boxes = np.concatenate([np.minimum(boxes[:, :2], boxes[:, 2:] - 1), boxes[:, 2:]], axis=1)
        guessed = np.concatenate([np.repeat(labels, 2), rng.integers(0, classes, len(others))])
        scores = np.round(rng.uniform(size=len(boxes)), 1)
        order = np.argsort(-scores, kind="stable")
        found.append(FoundBoxes(boxes[order], scores[order], guessed[order]))
    return found, truths
