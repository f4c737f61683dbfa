"""What came of a training run: the Model, its figures, and how it came to be."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from mobilenets import __version__
from mobilenets.compression.quality import QualityReport
from mobilenets.data.dataset import Dataset
from mobilenets.data.description import dataset_to_json
from mobilenets.model.model import Model
from mobilenets.model.provenance import Data, Provenance, Training, TrainingMetrics
from mobilenets.tasks.task import Metrics
from mobilenets.training.recipe import Recipe
from mobilenets.training.run import TrainingRun
from mobilenets.training.selection import Epoch


@dataclass(frozen=True, eq=False)
class Fit:
    """A trained Model with its figures.

    Attributes:
        model: The Model of the epoch that was kept.
        dataset: What it was trained, validated and tested on.
        evaluation: Its figures on the test images, which nothing was chosen by: of a classifier
            :class:`~mobilenets.tasks.classification_metrics.ClassificationMetrics`.
        history: Figures of every epoch.
        best_epoch: The epoch that was kept, from 0; −1 where none was better than the Model that it started from.
        seconds: How long it all took, without earlier parts of a resumed run.
        float_model: The float32 Model that ``model`` was compressed from, where it is int8.
        quality: What that compression lost, on the validation images.
    """

    model: Model
    dataset: Dataset
    evaluation: Metrics
    history: list[Epoch]
    best_epoch: int
    seconds: float
    float_model: Model | None = None
    quality: QualityReport | None = None

    def __repr__(self) -> str:
        return f"Fit({self.model!r}, {self.evaluation!r}, epoch {self.best_epoch + 1} of {len(self.history)})"

    def to_json(self) -> dict[str, Any]:
        """JSON-ready figures of the run: of the test images, of every epoch, and how long it took.

        Epochs are numbered from 1; ``best_epoch`` is 0 where the start was kept. Where the Model is int8,
        ``compression`` says what that lost.
        """
        metrics = Provenance.of(self.model).metrics
        found: dict[str, Any] = {
            "test": self.evaluation.to_json(),
            "best_epoch": self.best_epoch + 1,
            f"validation_{self.evaluation.primary.name}": metrics and metrics.validation_primary,
            "epochs": epochs_to_json(self.history, self.evaluation.primary.name),
            "seconds": round(self.seconds, 1),
            "images": {name: len(self.dataset.part(name)) for name in ("train", "validation", "test")},
            "labels": list(self.dataset.labels),
            "skipped": list(self.dataset.skipped),
            "data": dataset_to_json(self.dataset),
            "provenance": dict(self.model.provenance),
        }
        if self.quality is not None:
            found["compression"] = self.quality.to_json()
        return found


@dataclass(frozen=True, eq=False)
class Fitted:
    """A :class:`Fit` without its dataset, which whoever asked for it has.

    Attributes:
        model: As of a Fit, and so are the others.
    """

    model: Model
    evaluation: Metrics
    history: list[Epoch]
    best_epoch: int
    seconds: float

    @classmethod
    def by(cls, result: Fit) -> Fitted:
        """What a run of :func:`~mobilenets.training.fit.fit` gave."""
        return cls(result.model, result.evaluation, result.history, result.best_epoch, result.seconds)

    def of(self, dataset: Dataset) -> Fit:
        """The whole, with the dataset."""
        return Fit(self.model, dataset, self.evaluation, self.history, self.best_epoch, self.seconds)


def epochs_to_json(history: Sequence[Epoch], metric: str = "top1") -> list[dict[str, Any]]:
    """JSON-ready figures of epochs, numbered from 1.

    Args:
        history: The epochs.
        metric: Name of the primary figure.
    """
    names = {"primary": metric, "validation_primary": f"validation_{metric}"}
    return [
        {names.get(name, name): value for name, value in {**asdict(epoch), "number": epoch.number + 1}.items()}
        for epoch in history
    ]


def provenance_of(
    dataset: Dataset,
    recipe: Recipe,
    run: TrainingRun,
    best_epoch: int,
    validation_primary: float | None,
    evaluation: Metrics,
    *,
    weights: str | None = None,
) -> Provenance:
    """How the Model came to be. Nothing that a clock says: the same run gives the same file."""
    return Provenance(
        data=Data(dataset.source, dataset.fingerprint, dataset.seed, dataset.reading.encode() or None),
        training=Training(
            made_by="fit",
            recipe=asdict(recipe),
            weights=weights,
            seed=run.seed,
            epochs=run.epochs,
            best_epoch=best_epoch + 1,
            validation_joined=None if run.joined is None else run.joined + 1,
            held_out_epochs=run.held_out_epochs or None,
            device=run.device.type,
            precision=run.precision,
            threads=torch.get_num_threads(),
        ),
        metrics=TrainingMetrics.named(evaluation.primary.name, validation_primary, evaluation.primary.value),
        versions={
            "mobilenets": __version__,
            "torch": str(torch.__version__),
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
    )
