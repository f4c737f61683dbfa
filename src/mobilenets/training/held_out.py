"""Known against unknown, measured: classes are left out of training by turns, and their images are then unknown."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mobilenets.base.progress import SILENT, Progress
from mobilenets.data.dataset import Dataset
from mobilenets.data.subset import Subset
from mobilenets.errors import DataError
from mobilenets.model.model import Model
from mobilenets.tasks.unknown import area_under_curve, energy
from mobilenets.training.features import Features, features_of, fit_head
from mobilenets.training.task_training import ClassifierTraining

GROUPS = 3
"""Groups of classes, of which each is left out once."""
FEWEST_CLASSES = 4
"""With fewer classes too little is left to know."""
MOST_IMAGES = 3000
"""Training images, evenly spread, that are used at most."""
FEWEST_IMAGES = 10
"""Test images of either side that tell anything."""


@dataclass(frozen=True)
class HeldOut:
    """How well images of classes that were left out are told from those of known ones.

    Attributes:
        areas: Area under the ROC curve for each group of classes that was left out: 0.5 is chance, 1 tells all apart.
        groups: The classes of each group.
    """

    areas: tuple[float, ...]
    groups: tuple[tuple[str, ...], ...]

    @property
    def mean(self) -> float:
        """Mean of the areas."""
        return float(np.mean(self.areas))


def held_out_classes(model: Model, dataset: Dataset, *, progress: Progress = SILENT) -> HeldOut:
    """Leave classes out of a linear classifier on a Model's features, and tell their test images by the energy.

    Args:
        model: A classifier, float32, that was not trained on these classes.
        dataset: Its training images fit the linear classifiers, and its test images are told apart.
        progress: Receives progress updates.

    Raises:
        DataError: If there are too few classes or test images.
        TrainingError: If the Model has no vector of features.
    """
    count = len(dataset.labels)
    if count < FEWEST_CLASSES:
        raise DataError(f"{count} classes are too few to leave some out; {FEWEST_CLASSES} are the fewest")
    train = features_of(model, _some(dataset.train), progress=progress)
    test = features_of(model, dataset.test, progress=progress)
    order = np.random.default_rng(0).permutation(count)
    areas, groups = [], []
    for first in range(GROUPS):
        outside = np.sort(order[first::GROUPS])
        area = _area(train, test, outside, count)
        if area is not None:
            areas.append(area)
            groups.append(tuple(dataset.labels[number] for number in outside))
    if not areas:
        raise DataError(f"{len(dataset.test)} test images are too few to tell known classes from unknown ones by")
    return HeldOut(tuple(areas), tuple(groups))


def _some(subset: Subset) -> Subset:
    return subset.take(np.unique(np.linspace(0, len(subset) - 1, min(len(subset), MOST_IMAGES)).astype(np.int64)))


def _area(
    train: tuple[Features, np.ndarray], test: tuple[Features, np.ndarray], outside: np.ndarray, classes: int
) -> float | None:
    """The area under the curve with some classes left out; None where too few images are on a side."""
    known = np.setdiff1d(np.arange(classes), outside)
    numbers = np.full(classes, -1)
    numbers[known] = np.arange(len(known))
    (seen, truth), (values, tested) = train, test
    inside, strange = np.isin(truth, known), np.isin(tested, outside)
    if min(strange.sum(), (~strange).sum()) < FEWEST_IMAGES or len(np.unique(truth[inside])) < len(known):
        return None
    validating = np.flatnonzero(inside)[::5]  # chooses the penalty
    fitting = np.setdiff1d(np.flatnonzero(inside), validating)
    labels = tuple(str(number) for number in range(len(known)))
    head = fit_head(
        seen[fitting],
        numbers[truth[fitting]],
        (seen[validating], numbers[truth[validating]]),
        ClassifierTraining(labels, None),
        label_smoothing=0.1,
    )
    scores = energy(values @ head.weight.T + head.bias)
    return area_under_curve(scores[~strange], scores[strange])
