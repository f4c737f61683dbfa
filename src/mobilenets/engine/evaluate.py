"""How right a Model is on labelled images."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mobilenets.base.progress import SILENT, Progress
from mobilenets.data.dataset import Collection
from mobilenets.data.subset import Subset, check_skipped
from mobilenets.engine.predictor import Classifier
from mobilenets.errors import DataError

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ClassFigures:
    """Figures of one class; None where nothing was there to divide by."""

    label: str
    images: int
    precision: float | None
    recall: float | None


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Accuracy on labelled images.

    Attributes:
        labels: The Model's labels.
        confusion: int64 (classes, classes): images of the class of the row that were given the class of the column.
        top5_correct: Images whose class is among the five likeliest.
        skipped: Names of the images that could not be decoded.
    """

    labels: tuple[str, ...]
    confusion: Counts
    top5_correct: int
    skipped: tuple[str, ...] = ()

    @property
    def images(self) -> int:
        """Images that were looked at."""
        return int(self.confusion.sum())

    @property
    def top1(self) -> float:
        """Share of images whose class is the likeliest."""
        return int(np.trace(self.confusion)) / self.images

    @property
    def top5(self) -> float:
        """Share of images whose class is among the five likeliest."""
        return self.top5_correct / self.images

    @property
    def top1_interval(self) -> tuple[float, float]:
        """95 % confidence interval of top-1. Source: E. B. Wilson 1927, the score interval."""
        count, share, z = self.images, self.top1, 1.959964
        centre = (share + z * z / (2 * count)) / (1 + z * z / count)
        half = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count)) / (1 + z * z / count)
        # At shares of 0 and 1 one end is the share itself, which rounding would leave outside.
        return max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half))

    @property
    def classes(self) -> list[ClassFigures]:
        """Figures of every class that is in the images or in the answers."""
        truth, answers, right = self.confusion.sum(axis=1), self.confusion.sum(axis=0), np.diagonal(self.confusion)
        return [
            ClassFigures(
                label=self.labels[index],
                images=int(truth[index]),
                precision=int(right[index]) / int(answers[index]) if answers[index] else None,
                recall=int(right[index]) / int(truth[index]) if truth[index] else None,
            )
            for index in np.flatnonzero(truth + answers)
        ]

    def to_json(self) -> dict[str, Any]:
        """JSON-ready figures. The confusion matrix covers the classes that are listed, in their order."""
        kept = np.flatnonzero(self.confusion.sum(axis=0) + self.confusion.sum(axis=1))
        return {
            "images": self.images,
            "skipped": list(self.skipped),
            "top1": self.top1,
            "top1_interval": list(self.top1_interval),
            "top5": self.top5,
            "classes": [vars(figures) for figures in self.classes],
            "confusion": self.confusion[np.ix_(kept, kept)].tolist(),
        }

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Evaluation:
        """Read what :meth:`to_json` gave.

        Raises:
            KeyError: If a figure is missing.
            ValueError: If the figures contradict each other.
        """
        labels = tuple(str(row["label"]) for row in data["classes"])
        confusion = np.array(data["confusion"], np.int64)
        if confusion.shape != (len(labels), len(labels)) or confusion.min() < 0 or not confusion.sum():
            raise ValueError(f"a confusion matrix of shape {confusion.shape} for {len(labels)} classes")
        right = round(float(data["top5"]) * int(confusion.sum()))
        return Evaluation(labels, confusion, right, tuple(map(str, data["skipped"])))


def score(logits: npt.NDArray[Any], targets: Counts, labels: Sequence[str]) -> Evaluation:
    """Figures for logits that are there already.

    Args:
        logits: (N, classes).
        targets: (N,), the right class of each row.
        labels: The Model's labels.

    Raises:
        DataError: If there are no images.
    """
    if len(targets) == 0:
        raise DataError("there are no images to evaluate on")
    confusion = np.zeros((len(labels), len(labels)), np.int64)
    np.add.at(confusion, (targets, logits.argmax(axis=1)), 1)
    five = np.argsort(-logits, axis=1, kind="stable")[:, :5]
    return Evaluation(tuple(labels), confusion, int((five == targets[:, None]).any(axis=1).sum()))


def evaluate(classifier: Classifier, subset: Subset, *, progress: Progress = SILENT) -> Evaluation:
    """Run a Model on labelled images.

    Args:
        classifier: The Model.
        subset: Images whose targets are indices into the Model's labels (see :func:`match_labels`).
        progress: Hears about every image.

    Raises:
        DataError: If there are no images, or more than a tenth of them are broken.
    """
    rows, targets, skipped = [], [], []
    with progress.task("evaluating", len(subset), "images") as task:
        for (image, logits), target in zip(classifier.logits_many(subset.images), subset.targets, strict=True):
            task.advance()
            if isinstance(logits, DataError):
                skipped.append(image.name)
                progress.note(f"skipped: {logits}")
            else:
                rows.append(logits)
                targets.append(target)
    check_skipped(skipped, len(subset))
    if not rows:
        raise DataError("there are no images to evaluate on")
    scored = score(np.stack(rows), np.array(targets, np.int64), classifier.model.labels)
    return Evaluation(scored.labels, scored.confusion, scored.top5_correct, tuple(skipped))


def match_labels(collection: Collection, labels: Sequence[str]) -> Counts:
    """For each class of some data, its index among a Model's labels.

    Classes are matched by name; failing that, by the number that the data gives them, shifted by one where the Model
    has 1,001 classes of which the first is the background.

    Raises:
        DataError: If a class of the data is not one of the Model's.
    """
    if set(collection.labels) <= set(labels):
        return np.array([labels.index(label) for label in collection.labels], np.int64)
    if collection.class_indices is not None:
        shift = 1 if len(labels) == 1001 and max(collection.class_indices) < 1000 else 0
        if max(collection.class_indices) + shift < len(labels):
            return np.array(collection.class_indices, np.int64) + shift
    strange = next(label for label in collection.labels if label not in labels)
    known = ", ".join(labels[:5]) + (" …" if len(labels) > 5 else "")
    raise DataError(f"the data has the class {strange!r}; the model knows {len(labels)} classes: {known}")
