"""What the data says of images, whatever its task: classes, or the objects of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from mobilenets.tasks.boxes import GroundTruth, as_targets


def strata(targets: npt.NDArray[Any], classes: int) -> npt.NDArray[np.int64]:
    """One number an image; images of one number are split among the parts in equal shares.

    Args:
        targets: (N,) classes, or :class:`~mobilenets.tasks.boxes.GroundTruth`.
        classes: Number of classes.

    Returns:
        int64 (N,): the class; of images with boxes the rarest of their classes, and ``classes`` where there is none.
    """
    if targets.dtype != object:
        return targets.astype(np.int64)
    counts = np.zeros(classes + 1, np.int64)
    for truth in targets:
        counts[np.unique(truth.labels)] += 1
    present = [np.unique(truth.labels) for truth in targets]
    rarest = [int(found[counts[found].argmin()]) if len(found) else classes for found in present]
    return np.array(rarest, np.int64)


def in_words(target: Any, labels: Sequence[str]) -> str:
    """What the data says of one image, as text that is the same on every machine.

    >>> in_words(1, ("cat", "dog")), in_words(GroundTruth.of([(1, 2, 3, 4.5)], [0], (9, 9)), ("cat", "dog"))
    ('dog', 'cat 1,2,3,4.5')
    """
    if not isinstance(target, GroundTruth):
        return labels[int(target)]
    rows = zip(target.labels.tolist(), target.boxes.tolist(), target.ignored.tolist(), strict=True)
    return "; ".join(
        sorted(
            f"{labels[label]} {','.join(f'{side:g}' for side in box)}{' ignored' * hidden}"
            for label, box, hidden in rows
        )
    )


def relabeled(targets: npt.NDArray[Any], numbers: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
    """Targets with other numbers of the classes.

    Args:
        targets: (N,) classes, or :class:`~mobilenets.tasks.boxes.GroundTruth`.
        numbers: (classes,): the new number of each class.
    """
    if targets.dtype != object:
        return np.asarray(numbers[targets])
    return as_targets([replace(truth, labels=numbers[truth.labels]) for truth in targets])


def briefly(target: Any, labels: Sequence[str]) -> str:
    """The same for people: a class, or how many boxes there are."""
    return f"{len(target.boxes)} boxes" if isinstance(target, GroundTruth) else labels[int(target)]


def images_by_class(targets: npt.NDArray[Any], classes: int) -> npt.NDArray[np.int64]:
    """Images that show each class, int64 (classes,)."""
    if targets.dtype != object:
        return np.bincount(targets, minlength=classes).astype(np.int64)
    counts = np.zeros(classes, np.int64)
    for truth in targets:
        counts[np.unique(truth.labels)] += 1
    return counts


def boxes_by_class(targets: npt.NDArray[Any], classes: int) -> npt.NDArray[np.int64]:
    """Boxes of each class, int64 (classes,)."""
    found = [truth.labels for truth in targets]
    return np.bincount(np.concatenate([np.empty(0, np.int64), *found]), minlength=classes).astype(np.int64)
