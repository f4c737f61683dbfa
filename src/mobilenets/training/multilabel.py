"""How Models that give an image several labels are trained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from mobilenets.data.subset import Targets
from mobilenets.tasks.multilabel import MultiLabel, fit_thresholds, sigmoid
from mobilenets.tasks.multilabel_metrics import mean_precision_of_labels
from mobilenets.tasks.task import Task
from mobilenets.training.recipe import Recipe
from mobilenets.training.selection import Totals
from mobilenets.training.task_training import Logits, Loss

SMALLEST_AREA = 0.7
"""Smallest crop of an image that may show several things."""
LARGEST_WEIGHT = 10.0
"""Most that an image which has a label may count, in the loss of that label, for one that has not; and its inverse."""


class MultiLabelTraining:
    """Binary cross-entropy of every label, in which images that have a rare label count more.

    Args:
        labels: Names of the labels.
        targets: int64 (N, labels), 0 or 1, of the training images.
    """

    metric = "mean_average_precision"
    keeps_validation_apart = True
    """The validation images choose the thresholds."""

    def __init__(self, labels: tuple[str, ...], targets: Targets) -> None:
        self.task = MultiLabel(labels)
        self.channels = len(labels)
        self._weights = positive_weights(targets)

    def suited(self, recipe: Recipe) -> Recipe:
        """The recipe with larger crops, and without boxes of other images: both hide what a label is of."""
        area = max(recipe.augmentation.smallest_area, SMALLEST_AREA)
        return replace(recipe, augmentation=replace(recipe.augmentation, smallest_area=area), cutmix=0.0)

    def loss(self, label_smoothing: float) -> Loss:
        """Binary cross-entropy, summed over the labels.

        Args:
            label_smoothing: Of the recipe; not used, for thresholds and not probabilities decide.
        """

        def loss(outputs: Tensor, targets: Tensor) -> Tensor:
            return _mean_loss(outputs, targets, self._weights.to(outputs.device))

        return loss

    def head_loss(self, targets: Targets, label_smoothing: float) -> Callable[[Tensor], Tensor]:
        """The same for all images at once."""
        wanted = torch.from_numpy(targets).float()
        return lambda outputs: _mean_loss(outputs, wanted, self._weights)

    def score(self, outputs: Logits, targets: Targets) -> Totals:
        """Mean average precision, and binary cross-entropy in which every image counts the same."""
        mean = mean_precision_of_labels(sigmoid(outputs), targets > 0)
        return Totals(mean, self.calibrated_loss(outputs, targets), len(targets))

    def calibrated_loss(self, outputs: Logits, targets: Targets) -> float:
        """Binary cross-entropy; no temperature is fitted."""
        wanted = torch.from_numpy(targets).float()
        return float(_mean_loss(torch.from_numpy(outputs), wanted, torch.ones(self.channels)))

    def finished(self, temperature: float | None, outputs: Logits, targets: Targets) -> Task:
        """The task with a threshold for each label."""
        return MultiLabel(self.task.labels, fit_thresholds(outputs, targets))


def _mean_loss(outputs: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    losses = functional.binary_cross_entropy_with_logits(outputs, targets, pos_weight=weights, reduction="none")
    return losses.sum(dim=1).mean()


def positive_weights(targets: Targets) -> Tensor:
    """What an image that has a label counts in its loss, for one that has not: more where few have it.

    The weight is the square root of the number of images without the label for each with it, half way between counting
    all images alike and both sides alike.

    Args:
        targets: int64 (N, labels), 0 or 1.

    Returns:
        float32 (labels,), from 0.1 to 10.

    >>> positive_weights(np.array([[1, 0]] + 3 * [[0, 1]] + 5 * [[0, 0]]).repeat(2, axis=0))
    tensor([2.8284, 1.4142])
    """
    present = targets.sum(axis=0).clip(min=1).astype(np.float64)
    absent = (len(targets) - targets.sum(axis=0)).clip(min=1)
    weights = np.sqrt(absent / present).clip(1 / LARGEST_WEIGHT, LARGEST_WEIGHT)
    return torch.tensor(weights, dtype=torch.float32)
