"""Which detections are right: each is matched with at most one object of its class, in order of score.

The rules are COCO's (T.-Y. Lin et al. 2014, arXiv:1405.0312, and its reference code): at every threshold of
intersection over union a detection takes the object that it overlaps most of those that are free; objects that are
ignored, and those outside of a range of sizes, are taken only where no other is free, and then neither count as found
nor make the detection wrong. A test holds the figures to those of pycocotools.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mobilenets.tasks.boxes import GroundTruth, area, intersection

IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
"""Intersection over union from which on a detection may be right."""
MOST_DETECTIONS = 100
"""Detections of one image that count, those with the highest scores."""

Ranges = dict[str, tuple[float, float]]
SIZES: Ranges = {"all": (0.0, 1e10), "small": (0.0, 32.0**2), "medium": (32.0**2, 96.0**2), "large": (96.0**2, 1e10)}
"""Ranges of area, in pixels of the image."""


@dataclass(frozen=True, eq=False)
class FoundBoxes:
    """What a detector finds in one image, highest score first.

    Attributes:
        boxes: float (k, 4): left, top, right and bottom, in pixels of the image.
        scores: float (k,).
        labels: int64 (k,).
    """

    boxes: npt.NDArray[Any]
    scores: npt.NDArray[Any]
    labels: npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Matches:
    """Detections of one class in all images, in order of image and score, compared with the objects.

    Attributes:
        images: int64 (d,): the image of each detection.
        scores: float (d,).
        right: bool (thresholds, d): whether it is matched with an object that counts.
        counted: bool (thresholds, d): whether it counts at all.
        objects: int64 (images,): objects of each image that count.
    """

    images: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float64]
    right: npt.NDArray[np.bool_]
    counted: npt.NDArray[np.bool_]
    objects: npt.NDArray[np.int64]


def match_boxes(
    boxes: npt.NDArray[Any], truths: npt.NDArray[Any], ignored: npt.NDArray[np.bool_], sizes: tuple[float, float]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Match the detections of one class in one image.

    Args:
        boxes: (d, 4), highest score first.
        truths: (g, 4).
        ignored: bool (g,). A detection is inside of an ignored object as far as it overlaps it, and an ignored object
            takes any number of detections.
        sizes: Least and largest area of the objects that count.

    Returns:
        The object that each detection is matched with, or −1, int64 (thresholds, d); and which detections count.
    """
    thresholds, count = len(IOU_THRESHOLDS), len(boxes)
    matched = np.full((thresholds, count), -1, np.int64)
    outside = _outside(area(truths), sizes)
    optional = ignored | outside
    overlap = overlaps(boxes, truths, ignored)
    free = np.ones((thresholds, len(truths)), np.bool_)
    limits = np.minimum(IOU_THRESHOLDS, 1 - 1e-10)[:, None]
    for number in np.flatnonzero((overlap >= limits[0]).any(axis=1)) if len(truths) else ():
        row = overlap[number]
        possible = (row >= limits) & (free | ignored)
        for group in (~optional, optional):  # those that count come first
            candidates = possible & group & (matched[:, number] < 0)[:, None]
            some = candidates.any(axis=1)
            # Of objects that are overlapped equally the last, as in the reference code.
            best = len(row) - 1 - np.where(candidates, row, -1.0)[:, ::-1].argmax(axis=1)
            matched[some, number] = best[some]
            free[some, best[some]] = False
    beside = np.where(matched >= 0, optional[matched] if len(truths) else False, _outside(area(boxes), sizes))
    return matched, ~beside


def overlaps(
    boxes: npt.NDArray[Any], truths: npt.NDArray[Any], ignored: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float64]:
    """Intersection over union of detections and objects; with an ignored object, over the detection alone.

    Returns:
        (d, g).
    """
    shared = intersection(boxes.astype(np.float64), truths.astype(np.float64))
    own = area(boxes.astype(np.float64))[:, None]
    union = np.where(ignored, own, own + area(truths.astype(np.float64)) - shared)
    return np.asarray(np.divide(shared, union, out=np.zeros_like(shared), where=union > 0))


def match_class(
    found: Sequence[FoundBoxes], truths: Sequence[GroundTruth], label: int, sizes: tuple[float, float]
) -> Matches:
    """Match the detections of one class in all images.

    Args:
        found: What was found in each image.
        truths: What is in each.
        label: The class.
        sizes: Least and largest area of the objects that count.
    """
    images, scores, right, counted = [], [], [], []
    objects = np.zeros(len(truths), np.int64)
    for number, (one, truth) in enumerate(zip(found, truths, strict=True)):
        mine, theirs = one.labels == label, truth.labels == label
        if not mine.any() and not theirs.any():
            continue
        boxes, ignored = truth.boxes[theirs], truth.ignored[theirs]
        objects[number] = int((~(ignored | _outside(area(boxes.astype(np.float64)), sizes))).sum())
        matched, counts = match_boxes(one.boxes[mine][:MOST_DETECTIONS], boxes, ignored, sizes)
        images.append(np.full(matched.shape[1], number))
        scores.append(one.scores[mine][:MOST_DETECTIONS].astype(np.float64))
        right.append((matched >= 0) & counts)
        counted.append(counts)
    none = np.empty((len(IOU_THRESHOLDS), 0), np.bool_)
    return Matches(
        np.concatenate([*images, np.empty(0, np.int64)]),
        np.concatenate([*scores, np.empty(0)]),
        np.concatenate([*right, none], axis=1),
        np.concatenate([*counted, none], axis=1),
        objects,
    )


def _outside(areas: npt.NDArray[Any], sizes: tuple[float, float]) -> npt.NDArray[np.bool_]:
    outside: npt.NDArray[np.bool_] = (areas < sizes[0]) | (areas > sizes[1])
    return outside
