"""Cross-validation: a figure for a recipe on data of which a test part would be too small to tell much."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from mobilenets.base.arguments import typed
from mobilenets.base.progress import SILENT, Progress
from mobilenets.data.dataset import Dataset, load_dataset
from mobilenets.data.folds import folds_of
from mobilenets.data.reading import Reading
from mobilenets.errors import TrainingError
from mobilenets.tasks.classification_metrics import ClassificationMetrics
from mobilenets.tasks.metrics import Counts, Share
from mobilenets.training.distributed import refuse_processes
from mobilenets.training.fit import fit
from mobilenets.training.settings import Settings


@dataclass(frozen=True, eq=False)
class CrossValidation:
    """What came of it.

    Attributes:
        folds: Metrics of the test images of each fold, by a Model that was trained on the others.
    """

    folds: tuple[ClassificationMetrics, ...]

    def __repr__(self) -> str:
        return f"CrossValidation({len(self.folds)} folds: {self.correct})"

    @property
    def correct(self) -> Share:
        """Images of all folds that were classified rightly."""
        return Share(sum(fold.correct.count for fold in self.folds), sum(fold.images for fold in self.folds))

    @property
    def confusion(self) -> Counts:
        """int64 (classes, classes), of all folds: images of the class of the row that were given that of the column."""
        total: Counts = np.sum([fold.confusion for fold in self.folds], axis=0)
        return total

    @property
    def summary(self) -> str:
        """The figure in a sentence."""
        shares = sorted(fold.top1 for fold in self.folds)
        return (
            f"cross-validation: {self.correct.in_words}, each by a Model that was not trained on it; "
            f"{len(shares)} folds, {100 * shares[0]:.1f} to {100 * shares[-1]:.1f} %"
        )

    def to_json(self) -> dict[str, Any]:
        """JSON-ready values."""
        return {
            "top1": self.correct.value,
            "top1_interval": list(self.correct.interval),
            "images": self.correct.total,
            "folds": [fold.to_json() for fold in self.folds],
        }


@typed(TrainingError)
def cross_validate(
    source: str | Path | Dataset,
    folds: int = 5,
    settings: Settings = Settings(),
    *,
    reading: Reading = Reading(),
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
        progress: Receives progress updates.

    Returns:
        The metrics of every fold, and of all together.

    Raises:
        DataError: If the images cannot be used, or a class has too few for so many folds.
        TrainingError: If the settings contradict each other.
    """
    refuse_processes("cross-validation")
    if isinstance(source, Dataset):
        dataset = source
    else:
        dataset = load_dataset(source, seed=settings.seed, reading=reading, progress=progress)
    if dataset.task != "classification":
        raise TrainingError(f"cross-validation is of classifiers; {dataset.source} is of {dataset.task}")
    found = []
    parts = folds_of(dataset, folds, progress=progress)
    for number, part in enumerate(parts, 1):
        result = fit(part, settings=settings, progress=progress)
        evaluation = cast("ClassificationMetrics", result.evaluation)
        progress.note(f"fold {number} of {folds}: {evaluation.correct.in_words}")
        found.append(evaluation)
    return CrossValidation(tuple(found))
