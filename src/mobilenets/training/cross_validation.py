"""Cross-validation: a figure for a recipe on data of which a test part would be too small to tell much."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mobilenets.base.arguments import typed
from mobilenets.base.progress import SILENT, Progress
from mobilenets.data.dataset import Dataset, load_dataset
from mobilenets.data.folds import folds_of
from mobilenets.data.reading import Reading
from mobilenets.errors import TrainingError
from mobilenets.tasks.classification_metrics import ClassificationMetrics
from mobilenets.tasks.metrics import (
    Counts,
    ReliabilityBin,
    Share,
    calibration_error_by_chance,
    expected_calibration_error,
    pooled_reliability,
)
from mobilenets.tasks.task import Metrics
from mobilenets.training.fit import fit
from mobilenets.training.settings import Settings
from mobilenets.training.workers import workers_of


@dataclass(frozen=True, eq=False)
class CrossValidation:
    """Metrics of every image, each by a Model that was not trained on it.

    Attributes:
        folds: Metrics of the test images of each fold, by a Model that was trained on the others.
    """

    folds: tuple[Metrics, ...]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.summary})"

    @property
    def images(self) -> int:
        """Images of all folds."""
        return sum(fold.images for fold in self.folds)

    @property
    def value(self) -> float:
        """Mean of the folds' primary figure, each weighted by its images."""
        return sum(fold.images * fold.primary.value for fold in self.folds) / self.images

    @property
    def summary(self) -> str:
        """The figure in a sentence."""
        title = self.folds[0].primary.title
        return (
            f"cross-validation: {title} {100 * self.value:.1f} % on average; {self.images:,} images, each by a Model "
            f"that was not trained on it; {self._range()}"
        )

    def _range(self) -> str:
        shares = sorted(fold.primary.value for fold in self.folds)
        return f"{len(shares)} folds, {100 * shares[0]:.1f} to {100 * shares[-1]:.1f} %"

    def to_json(self) -> dict[str, Any]:
        """JSON-ready values."""
        return {
            self.folds[0].primary.name: self.value,
            "images": self.images,
            "folds": [fold.to_json() for fold in self.folds],
        }


@dataclass(frozen=True, eq=False, repr=False)
class ClassifierCrossValidation(CrossValidation):
    """The same of classifiers, whose images can be counted, and whose probabilities can be judged, all together."""

    folds: tuple[ClassificationMetrics, ...]

    @property
    def correct(self) -> Share:
        """Images of all folds that were classified rightly."""
        return Share(sum(fold.correct.count for fold in self.folds), self.images)

    @property
    def confusion(self) -> Counts:
        """int64 (classes, classes), of all folds: images of the class of the row that were given that of the column."""
        total: Counts = np.sum([fold.confusion for fold in self.folds], axis=0)
        return total

    @property
    def reliability(self) -> tuple[ReliabilityBin, ...]:
        """Confidence beside accuracy, of the images of all folds."""
        return pooled_reliability(fold.reliability for fold in self.folds)

    @property
    def expected_calibration_error(self) -> float:
        """By how much a probability differs from how often it is right, on the images of all folds."""
        return expected_calibration_error(self.reliability)

    @property
    def calibration_error_by_chance(self) -> float:
        """What that error would be of probabilities that are exactly true."""
        return calibration_error_by_chance(self.reliability)

    @property
    def summary(self) -> str:
        """The figure in a sentence, and another on the probabilities."""
        return (
            f"cross-validation: {self.correct.in_words}, each by a Model that was not trained on it; {self._range()}; "
            f"expected calibration error {100 * self.expected_calibration_error:.1f} % "
            f"({100 * self.calibration_error_by_chance:.1f} by chance)"
        )

    def to_json(self) -> dict[str, Any]:
        """JSON-ready values."""
        return {
            **super().to_json(),
            "top1": self.correct.value,
            "top1_interval": list(self.correct.interval),
            "expected_calibration_error": self.expected_calibration_error,
            "calibration_error_by_chance": self.calibration_error_by_chance,
        }


@typed(TrainingError)
def cross_validate(
    source: str | Path | Dataset,
    folds: int = 5,
    settings: Settings = Settings(),
    *,
    reading: Reading = Reading(),
    ray: bool | str = False,
    progress: Progress = SILENT,
) -> CrossValidation:
    """Train as often as there are folds, each time on the others, and test every image once.

    The figure is of the recipe on data of this kind, not of one Model. It takes as many times as long as
    :func:`mobilenets.fit`, and keeps no Model.

    Args:
        source: As for :func:`mobilenets.fit`; the images of all its parts are pooled.
        folds: Number of folds, at least 2.
        settings: What to train and how.
        reading: What the source does not say itself.
        ray: Whether folds are trained beside each other on a Ray cluster; or the cluster's address.
        progress: Receives progress updates.

    Returns:
        The metrics of every fold, and of all together: of classifiers a :class:`ClassifierCrossValidation`.

    Raises:
        DataError: If the images cannot be used, or a class has too few for so many folds.
        TrainingError: If the settings contradict each other.
        EngineError: If the Ray cluster cannot be reached, or has no node with as many cores as a training has threads.
        MissingDependencyError: If Ray is asked for and is not installed.
    """
    if isinstance(source, Dataset):
        dataset = source
    else:
        dataset = load_dataset(source, seed=settings.seed, reading=reading, progress=progress)
    if dataset.task == "detection":
        raise TrainingError(
            f"cross-validation is of images with labels; those of {dataset.source} have boxes, and a detector takes "
            "too long to train several times: fit evaluates one on the test images"
        )
    parts = list(folds_of(dataset, folds, progress=progress))
    workers = workers_of(ray, settings.threads, settings.device, progress)
    work = partial(_tested, workers.settled(settings), SILENT if workers.apart else progress)
    done: dict[int, Metrics] = {}
    for number, evaluation in workers.results(work, parts, "folds"):
        progress.note(f"fold {number + 1} of {folds}: {evaluation.in_words}")
        done[number] = evaluation
    found = [done[number] for number in range(len(parts))]
    classified = [one for one in found if isinstance(one, ClassificationMetrics)]
    return ClassifierCrossValidation(tuple(classified)) if classified else CrossValidation(tuple(found))


def _tested(settings: Settings, progress: Progress, part: Dataset) -> Metrics:
    """Metrics of the test images of a fold."""
    return fit(part, settings=settings, progress=progress).evaluation
