"""Boxes: left, top, right and bottom, and the right answers for one image of a detector."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from mobilenets.base.text import plural
from mobilenets.errors import DataError
from mobilenets.tasks.task import Geometry

Boxes = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class GroundTruth:
    """The objects of one image.

    Attributes:
        boxes: float32 (n, 4): left, top, right and bottom, in pixels of the image at full size, upright.
        labels: int64 (n,): the class of each.
        ignored: bool (n,): crowds and difficult objects, which count neither as found nor as missed.
        size: Width and height of the image at full size, upright.
        geometry: What an input of a network was made of; None before the image was prepared for one.

    Raises:
        DataError: If the arrays do not belong together.

    >>> GroundTruth.of([(10, 20, 30, 60)], [1], (640, 480))
    GroundTruth(1 box in 640×480)
    """

    boxes: Boxes
    labels: npt.NDArray[np.int64]
    ignored: npt.NDArray[np.bool_]
    size: tuple[int, int]
    geometry: Geometry | None = None

    def __post_init__(self) -> None:
        count = len(self.labels)
        if self.boxes.shape != (count, 4) or self.labels.shape != (count,) or self.ignored.shape != (count,):
            raise DataError(
                f"boxes {self.boxes.shape}, labels {self.labels.shape} and ignored {self.ignored.shape} do not belong "
                "together; expected (n, 4), (n,) and (n,)"
            )

    def __repr__(self) -> str:
        return f"GroundTruth({plural(len(self.boxes), 'box', 'boxes')} in {self.size[0]}×{self.size[1]})"

    @staticmethod
    def of(boxes: Any, labels: Any, size: tuple[int, int], ignored: Any = None) -> GroundTruth:
        """Ground truth of whatever NumPy makes arrays of.

        Args:
            boxes: n times left, top, right and bottom, in pixels.
            labels: n classes.
            size: The image's width and height.
            ignored: n truth values; None for none.
        """
        given = np.asarray(boxes, np.float32).reshape(-1, 4)
        kept = np.zeros(len(given), np.bool_) if ignored is None else np.asarray(ignored, np.bool_).reshape(-1)
        return GroundTruth(given, np.asarray(labels, np.int64).reshape(-1), kept, size)


def as_targets(truths: Sequence[GroundTruth]) -> npt.NDArray[Any]:
    """Ground truth of several images as an array of objects, which is indexed and joined as classes are."""
    targets = np.empty(len(truths), object)
    targets[:] = truths
    return targets


def with_geometry(targets: npt.NDArray[Any], geometry: Sequence[Geometry]) -> npt.NDArray[Any]:
    """Targets of images that were prepared for a network; ground truth then knows what its input was made of.

    Args:
        targets: (N,); those of other tasks are given back as they are.
        geometry: The N images.
    """
    if targets.dtype != object:
        return targets
    return as_targets([replace(truth, geometry=one) for truth, one in zip(targets, geometry, strict=True)])


def area(boxes: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Width by height of each box, (n,)."""
    found: npt.NDArray[Any] = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return found


def intersection(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Area that each box of one array shares with each box of another.

    Args:
        one: (n, 4).
        other: (m, 4).

    Returns:
        (n, m).
    """
    first, second = one[:, None], other[None]
    width = np.minimum(first[..., 2], second[..., 2]) - np.maximum(first[..., 0], second[..., 0])
    height = np.minimum(first[..., 3], second[..., 3]) - np.maximum(first[..., 1], second[..., 1])
    shared: npt.NDArray[Any] = np.maximum(width, 0) * np.maximum(height, 0)
    return shared


def intersection_over_union(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Intersection over union of each box of one array with each box of another; 0 of boxes without an area.

    Args:
        one: (n, 4).
        other: (m, 4).

    Returns:
        (n, m), from 0 to 1.

    >>> intersection_over_union(np.array([[0.0, 0, 2, 2]]), np.array([[1.0, 0, 3, 2], [5, 5, 6, 6]])).round(3).tolist()
    [[0.333, 0.0]]
    """
    shared = intersection(one, other)
    union = area(one)[:, None] + area(other)[None] - shared
    return np.asarray(np.divide(shared, union, out=np.zeros_like(shared), where=union > 0))


def clip(boxes: npt.NDArray[Any], size: tuple[float, float]) -> npt.NDArray[Any]:
    """Boxes without what lies outside of an image.

    Args:
        boxes: (n, 4).
        size: The image's width and height.
    """
    width, height = size
    return np.asarray(np.clip(boxes, 0, (width, height, width, height)))
