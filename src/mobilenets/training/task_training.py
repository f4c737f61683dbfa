"""What training needs to know of a task: its loss, how its outputs are scored, and what the finished task is.

A dataset says by its kind which task its targets are of; :func:`task_training` gives what that is trained by.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from mobilenets.base.text import percent
from mobilenets.data.dataset import Dataset
from mobilenets.data.subset import Targets
from mobilenets.errors import TrainingError
from mobilenets.tasks.classification import Classification
from mobilenets.tasks.task import Metric, Task
from mobilenets.tasks.unknown import unknown_threshold
from mobilenets.training.recipe import Recipe
from mobilenets.training.selection import Totals, classifier_score

Logits = npt.NDArray[np.float32]
Loss = Callable[[Tensor, Tensor], Tensor]
"""(outputs float32 (n, channels), targets float32 (n, channels), as a Batch holds them) → the mean loss."""

UNEVEN = 1.5
"""How many times as many training images as the smallest class the largest has, from where on classes are weighted."""


class TaskTraining(Protocol):
    """How networks whose one output is a vector are trained for a task."""

    @property
    def task(self) -> Task:
        """The task, before anything is fitted to the network's outputs."""

    @property
    def channels(self) -> int:
        """Channels of the network's output."""

    @property
    def metric(self) -> str:
        """Name of the primary figure, such as ``top1``."""

    @property
    def keeps_validation_apart(self) -> bool:
        """Whether the finished task is fitted on validation images, which must then never be trained on."""

    def suited(self, recipe: Recipe) -> Recipe:
        """The recipe with augmentations that preserve the targets."""

    def loss(self, label_smoothing: float) -> Loss:
        """What a step minimizes.

        Args:
            label_smoothing: Of the recipe.
        """

    def head_loss(self, targets: Targets, label_smoothing: float) -> Callable[[Tensor], Tensor]:
        """The mean loss of a linear layer's outputs for all of some images.

        Args:
            targets: Of the images.
            label_smoothing: Of the recipe.
        """

    def score(self, outputs: Logits, targets: Targets) -> Totals:
        """The primary figure and the loss on images that the network was not trained on."""

    def calibrated_loss(self, outputs: Logits, targets: Targets) -> float:
        """The loss, less what a temperature mends."""

    def finished(self, temperature: float | None, outputs: Logits, targets: Targets) -> Task:
        """The task of a trained network.

        Args:
            temperature: That the score of the epoch that was kept came with.
            outputs: Of the trained network for the validation images.
            targets: Of the validation images.
        """


class ClassifierTraining:
    """How classifiers are trained: cross-entropy, in which images of small classes count more.

    Args:
        labels: Names of the classes.
        targets: int64 (N,), classes of the training images, by which small ones count more; None to count all alike.
    """

    metric = "top1"
    keeps_validation_apart = False

    def __init__(self, labels: tuple[str, ...], targets: Targets | None) -> None:
        self.task = Classification(labels)
        self.channels = len(labels)
        self._weights = None if targets is None else class_weights(targets, len(labels))

    def suited(self, recipe: Recipe) -> Recipe:
        """The recipe as it is."""
        return recipe

    def loss(self, label_smoothing: float) -> Loss:
        """Cross-entropy."""

        def loss(outputs: Tensor, targets: Tensor) -> Tensor:
            weights = None if self._weights is None else self._weights.to(outputs.device)
            return functional.cross_entropy(outputs, targets, weights, label_smoothing=label_smoothing)

        return loss

    def head_loss(self, targets: Targets, label_smoothing: float) -> Callable[[Tensor], Tensor]:
        """Cross-entropy with the classes' numbers."""
        wanted = torch.from_numpy(targets)
        return lambda outputs: functional.cross_entropy(outputs, wanted, self._weights, label_smoothing=label_smoothing)

    def score(self, outputs: Logits, targets: Targets) -> Totals:
        """Top-1 and cross-entropy."""
        return classifier_score(outputs, targets)

    def calibrated_loss(self, outputs: Logits, targets: Targets) -> float:
        """Cross-entropy at the temperature that the logits need."""
        temperature = np.float32(self.score(outputs, targets).temperature or 1)
        return float(functional.cross_entropy(torch.from_numpy(outputs / temperature), torch.from_numpy(targets)))

    def finished(self, temperature: float | None, outputs: Logits, targets: Targets) -> Task:
        """Classification at that temperature, with a threshold of unknown images."""
        return Classification(self.task.labels, temperature or 1.0, unknown_threshold(outputs))


def task_training(dataset: Dataset) -> TaskTraining:
    """What networks are trained by on a dataset.

    Raises:
        TrainingError: If nothing trains for its targets.
    """
    match dataset.task:
        case "classification":
            return ClassifierTraining(dataset.labels, dataset.train.targets)
        case "multilabel":
            from mobilenets.training.multilabel import MultiLabelTraining

            return MultiLabelTraining(dataset.labels, dataset.train.targets)
        case other:
            raise TrainingError(f"there is no training for the task {other}")


def on_validation_images(metric: str, value: float) -> str:
    """A primary figure on the validation images, in words.

    Args:
        metric: Its name, as :attr:`TaskTraining.metric`.
        value: From 0 to 1.

    >>> on_validation_images("top1", 0.75).replace("\N{NO-BREAK SPACE}", " ")
    '75.0 % of the validation images'
    >>> on_validation_images("mean_average_precision", 0.75).replace("\N{NO-BREAK SPACE}", " ")
    'mean average precision 75.0 % on the validation images'
    """
    if metric == "top1":
        return f"{percent(value)} of the validation images"
    return f"{Metric(metric, value, (value, value)).title} {percent(value)} on the validation images"


def class_weights(targets: Targets, classes: int) -> Tensor | None:
    """What an image of each class counts in the loss: less in large classes, so that small ones are not drowned.

    The weight falls with the square root of the number of images, half way between counting all images alike and all
    classes alike; an image counts 1 on average.

    Args:
        targets: int64 (N,), classes of the training images.
        classes: Number of classes.

    Returns:
        float32 (classes,); None where the largest class is less than one and a half times the smallest.

    >>> class_weights(np.array([0] * 90 + [1] * 10), 2)
    tensor([0.8333, 2.5000])
    """
    counts = np.bincount(targets, minlength=classes).clip(min=1).astype(np.float64)
    if counts.max() < UNEVEN * counts.min():
        return None
    weights = counts**-0.5
    return torch.tensor(weights * counts.sum() / (weights * counts).sum(), dtype=torch.float32)
