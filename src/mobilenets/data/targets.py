"""What the data says of images, whatever its task: a class, several labels, or the objects of each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from mobilenets.tasks.boxes import GroundTruth, as_targets


def has_several(targets: npt.NDArray[Any]) -> bool:
    """Whether an image may be of several classes: it has several labels, or boxes."""
    return targets.ndim == 2 or targets.dtype == object


def label_matrix(sets: Sequence[Iterable[str]], labels: Sequence[str]) -> npt.NDArray[np.int64]:
    """Sets of labels as targets, int64 (N, labels): 1 where an image has a label, and 0 where it has not.

    >>> label_matrix([["wet", "red"], []], ("red", "round", "wet")).tolist()
    [[1, 0, 1], [0, 0, 0]]
    """
    numbers = {label: number for number, label in enumerate(labels)}
    matrix = np.zeros((len(sets), len(labels)), np.int64)
    for row, names in zip(matrix, sets, strict=True):
        row[[numbers[name] for name in names]] = 1
    return matrix


def strata(targets: npt.NDArray[Any], classes: int) -> npt.NDArray[np.int64]:
    """One number an image; images of one number are split among the parts in equal shares.

    Args:
        targets: (N,) classes, (N, classes) of 0 and 1, or (N,) of :class:`~mobilenets.tasks.boxes.GroundTruth`.
        classes: Number of classes.

    Returns:
        int64 (N,): the class; of images with several labels or boxes the rarest of their classes, and ``classes`` where
        there is none.
    """
    if targets.ndim == 2:
        rarity = np.where(targets > 0, targets.sum(axis=0), len(targets) + 1)
        return np.where(targets.any(axis=1), rarity.argmin(axis=1), classes).astype(np.int64)
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
    if isinstance(target, np.ndarray):
        return "; ".join(sorted(label for label, present in zip(labels, target, strict=True) if present))
    if not isinstance(target, GroundTruth):
        return labels[int(target)]
    rows = zip(target.labels.tolist(), target.boxes.tolist(), target.ignored.tolist(), strict=True)
    return "; ".join(
        sorted(
            f"{labels[label]} {','.join(f'{side:g}' for side in box)}{' ignored' * hidden}"
            for label, box, hidden in rows
        )
    )


def relabeled(targets: npt.NDArray[Any], numbers: npt.NDArray[np.int64], classes: int) -> npt.NDArray[Any]:
    """Targets with other numbers of the classes.

    Args:
        targets: (N,) classes, (N, labels) of 0 and 1, or :class:`~mobilenets.tasks.boxes.GroundTruth`.
        numbers: The new number of each class.
        classes: How many there are then; no image has a label that gets no number.
    """
    if targets.ndim == 2:
        found = np.zeros((len(targets), classes), np.int64)
        found[:, numbers] = targets
        return found
    if targets.dtype != object:
        return np.asarray(numbers[targets])
    return as_targets([replace(truth, labels=numbers[truth.labels]) for truth in targets])


def briefly(target: Any, labels: Sequence[str]) -> str:
    """The same for people: a class, or how many boxes there are."""
    return f"{len(target.boxes)} boxes" if isinstance(target, GroundTruth) else in_words(target, labels) or "no label"


def images_by_class(targets: npt.NDArray[Any], classes: int) -> npt.NDArray[np.int64]:
    """Images that show each class, int64 (classes,)."""
    if targets.ndim == 2:
        return np.asarray(targets.sum(axis=0), np.int64)
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
