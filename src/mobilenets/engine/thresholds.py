"""Thresholds of a finished Model that gives an image several labels, chosen on images that trained nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from os import PathLike
from typing import Any

from mobilenets.base.arguments import typed
from mobilenets.base.progress import SILENT, Progress
from mobilenets.engine.calibrate import CALIBRATION_SPLITS, calibration_outputs
from mobilenets.engine.evaluate import LabeledImages
from mobilenets.engine.predictor import Predictor
from mobilenets.errors import DataError, EngineError
from mobilenets.model.model import Model
from mobilenets.tasks.logits import logits_of
from mobilenets.tasks.multilabel import MultiLabel, fit_thresholds
from mobilenets.tasks.multilabel_metrics import MultiLabelMetrics


@dataclass(frozen=True, eq=False)
class ThresholdFit:
    """A Model with a threshold for each of its labels.

    Attributes:
        model: The Model; but for the thresholds it is as it was.
        split: Which images they were chosen on.
        before: Metrics of the Model as it was, on those images.
        after: Metrics with the thresholds, on the same images, which they suit best.
    """

    model: Model
    split: str
    before: MultiLabelMetrics
    after: MultiLabelMetrics

    def to_json(self) -> dict[str, Any]:
        """JSON-ready values."""
        return {
            "thresholds": {row.label: row.threshold for row in self.after.labels},
            "split": self.split,
            "images": self.before.images,
            "skipped": list(self.before.skipped),
            "before": {"f1": self.before.f1},
            "after": {"f1": self.after.f1},
        }


@typed(DataError)
def calibrate_thresholds(
    model: Predictor | Model | str | PathLike[str],
    data: LabeledImages,
    *,
    split: str | None = None,
    progress: Progress = SILENT,
) -> ThresholdFit:
    """Choose a threshold for each label of a Model: from there on images are given it with the largest F1.

    Args:
        model: The Model, the path of its file, or what predicts with it.
        data: Images with their labels, as for :func:`~mobilenets.engine.evaluate.evaluate`; they must not be those that
            trained the Model.
        split: ``validation``, of ``data`` or as the Model was fitted to it, or ``all``. By default validation; a Subset
            is used as it is.
        progress: Receives progress updates.

    Returns:
        The Model with its thresholds, and its metrics before and after.

    Raises:
        DataError: If there are no such images, too few, or of a label that the Model does not know.
        ModelFileError: If the file cannot be read.
        EngineError: If the Model cannot be run, or does not give several labels.
    """
    if split is not None and split not in CALIBRATION_SPLITS:
        raise DataError(f"thresholds are chosen on {' or '.join(CALIBRATION_SPLITS)} images, not on split {split!r}")
    predictor = model if isinstance(model, Predictor) else Predictor(model)
    model, task = predictor.model, predictor.model.task
    if not isinstance(task, MultiLabel):
        raise EngineError(f"only a Model of several labels an image has thresholds; this Model's task is {task.kind}")
    part, (outputs, targets, skipped) = calibration_outputs(
        predictor, data, split, purpose="choose thresholds", progress=progress
    )
    before = task.metrics(outputs, targets, skipped=skipped)
    changed = replace(task, thresholds=fit_thresholds(logits_of(outputs), targets))
    after = changed.metrics(outputs, targets, skipped=skipped)
    return ThresholdFit(replace(model, task=changed), part, before, after)
