"""Which anchors, or cells, answer for which objects of an image.

Source: adaptive training sample selection, Zhang et al. 2020, arXiv:1912.02424. Of the anchors nearest to an object's
centre those answer for it whose overlap is unusually large among them, so that small objects, and those of unusual
shapes, have some too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mobilenets.tasks.boxes import intersection, intersection_over_union
from mobilenets.tasks.detection_heads import AnchorHead, CentreHead

Floats = npt.NDArray[np.float32]

BACKGROUND, IGNORED = -1, -2
"""Classes of anchors that answer for no object, and of those that nothing is asked of."""
NEAREST_CELLS = 9
MOSTLY_IGNORED = 0.5
"""Share of an anchor's area in an ignored box from where on nothing is asked of it."""
TARGET_NUMBERS = 5


@dataclass(frozen=True, eq=False)
class Objects:
    """The objects of one image as a network sees it.

    Attributes:
        boxes: float32 (n, 4): left, top, right and bottom, in sides of the input.
        labels: int64 (n,).
        ignored: bool (n,): those that are neither asked for nor taken for background.
    """

    boxes: Floats
    labels: npt.NDArray[np.int64]
    ignored: npt.NDArray[np.bool_]


class AnchorMatcher:
    """Matches the anchors of a head with objects.

    Args:
        head: Its anchors.
    """

    def __init__(self, head: AnchorHead) -> None:
        self._anchors = head.anchors.astype(np.float64)
        half = self._anchors[:, 2:] / 2
        self._boxes = np.concatenate([self._anchors[:, :2] - half, self._anchors[:, :2] + half], axis=1)
        self._areas = self._anchors[:, 2] * self._anchors[:, 3]
        self._levels: list[tuple[int, int, int]] = []
        begin = 0
        for level in head.levels:
            count = level.rows * level.columns * len(level.shapes)
            self._levels.append((begin, begin + count, NEAREST_CELLS * len(level.shapes)))
            begin += count

    def __call__(self, objects: Objects) -> Floats:
        """What every anchor is asked for.

        Args:
            objects: Of one image.

        Returns:
            float32 (A, 5): left, top, right and bottom of the object, and its class or :data:`BACKGROUND` or
            :data:`IGNORED`.
        """
        targets = np.zeros((len(self._anchors), TARGET_NUMBERS), np.float32)
        targets[:, 4] = BACKGROUND
        self._ignore(targets, objects.boxes[objects.ignored].astype(np.float64))
        wanted = ~objects.ignored
        if wanted.any():
            self._answer(targets, objects.boxes[wanted].astype(np.float64), objects.labels[wanted])
        return targets

    def _ignore(self, targets: Floats, boxes: npt.NDArray[np.float64]) -> None:
        if len(boxes):
            inside = intersection(self._boxes, boxes).max(axis=1)
            targets[inside > MOSTLY_IGNORED * self._areas, 4] = IGNORED

    def _answer(self, targets: Floats, boxes: npt.NDArray[np.float64], labels: npt.NDArray[np.int64]) -> None:
        overlap = intersection_over_union(boxes, self._boxes)
        near = self._near(boxes)
        numbers = np.arange(len(boxes))
        among = np.take_along_axis(overlap, near, axis=1)
        threshold = among.mean(axis=1) + among.std(axis=1)
        x, y = self._anchors[near, 0], self._anchors[near, 1]
        left, top, right, bottom = boxes.T[:, :, None]
        chosen = (among >= threshold[:, None]) & (x > left) & (x < right) & (y > top) & (y < bottom)
        # An object in whose box no centre of an anchor lies has the anchor that overlaps it most.
        chosen[numbers, among.argmax(axis=1)] |= ~chosen.any(axis=1)
        claims = np.full(overlap.shape, -1.0)
        np.put_along_axis(claims, near, np.where(chosen, among, -1.0), axis=1)
        best = claims.argmax(axis=0)
        taken = claims[best, np.arange(len(best))] >= 0
        targets[taken, :4], targets[taken, 4] = boxes[best[taken]], labels[best[taken]]

    def _near(self, boxes: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
        """The anchors nearest to the centre of each box, so many of each level, (n, k)."""
        centres = (boxes[:, :2] + boxes[:, 2:]) / 2
        distance = np.square(self._anchors[None, :, :2] - centres[:, None]).sum(axis=2)
        near = []
        for begin, end, most in self._levels:
            part = distance[:, begin:end]
            most = min(most, end - begin)
            near.append(begin + np.argpartition(part, most - 1, axis=1)[:, :most])
        return np.concatenate(near, axis=1)


class CentreMatcher:
    """Matches the cells of a head with objects: the cell in which an object's centre lies answers for it.

    Args:
        head: Its cells.
    """

    def __init__(self, head: CentreHead) -> None:
        self._rows, self._columns = head.rows, head.columns

    def __call__(self, objects: Objects) -> Floats:
        """What every cell is asked for.

        Args:
            objects: Of one image.

        Returns:
            float32 (cells, 5), as :meth:`AnchorMatcher.__call__` gives them. Of several objects in one cell the
            smallest counts.
        """
        targets = np.zeros((self._rows * self._columns, TARGET_NUMBERS), np.float32)
        targets[:, 4] = BACKGROUND
        area = (objects.boxes[:, 2] - objects.boxes[:, 0]) * (objects.boxes[:, 3] - objects.boxes[:, 1])
        for number in np.argsort(-area, kind="stable"):
            left, top, right, bottom = objects.boxes[number]
            column = min(max(int((left + right) / 2 * self._columns), 0), self._columns - 1)
            row = min(max(int((top + bottom) / 2 * self._rows), 0), self._rows - 1)
            targets[row * self._columns + column, :4] = objects.boxes[number]
            targets[row * self._columns + column, 4] = IGNORED if objects.ignored[number] else objects.labels[number]
        return targets
