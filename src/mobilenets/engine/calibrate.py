"""Calibration of a finished Model: images that trained nothing in, a Model out that knows how sure to be.

It gets a temperature, by which its probabilities are right as often as they say, and a threshold that tells images of
no known class.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from os import PathLike
from typing import Any

import numpy as np

from mobilenets.base.arguments import typed
from mobilenets.base.progress import SILENT, Progress
from mobilenets.base.text import plural
from mobilenets.data.subset import Subset
from mobilenets.engine.evaluate import LabeledImages, collect_outputs, labeled_images
from mobilenets.engine.predictor import Predictor
from mobilenets.errors import DataError, EngineError
from mobilenets.model.model import Model
from mobilenets.model.provenance import Provenance
from mobilenets.tasks.classification import Classification, calibrated
from mobilenets.tasks.classification_metrics import ClassificationMetrics
from mobilenets.tasks.logits import logits_of
from mobilenets.tasks.metrics import Counts
from mobilenets.tasks.task import Array, Outputs
from mobilenets.tasks.temperature import fit_temperature
from mobilenets.tasks.unknown import UnknownThreshold

CALIBRATION_SPLITS = ("validation", "all")
FEWEST_IMAGES = 10
"""Fewer images say nothing about how often the Model is right."""


@dataclass(frozen=True, eq=False)
class TemperatureFit:
    """A Model with a temperature and a threshold of unknown images.

    Attributes:
        model: The Model; but for these two it is as it was.
        split: Which images it was fitted on.
        before: Metrics of the Model as it was, on those images.
        after: Metrics with a temperature, each half of the images with the temperature that the other half gives, so
            that no image is judged by a temperature that it helped to fit.
        skipped: Names of the images that could not be decoded.
    """

    model: Model
    split: str
    before: ClassificationMetrics
    after: ClassificationMetrics
    skipped: tuple[str, ...] = ()

    @property
    def temperature(self) -> float:
        """The temperature."""
        if not isinstance(self.model.task, Classification):
            raise EngineError(f"only a classifier has a temperature; this Model's task is {self.model.task.kind}")
        return self.model.task.temperature

    @property
    def unknown(self) -> UnknownThreshold | None:
        """The threshold that tells unknown images."""
        return self.model.task.unknown if isinstance(self.model.task, Classification) else None

    def to_json(self) -> dict[str, Any]:
        """JSON-ready values."""
        return {
            "temperature": self.temperature,
            "unknown": None if self.unknown is None else self.unknown.encode(),
            "split": self.split,
            "images": self.before.images,
            "skipped": list(self.skipped),
            "before": _confidence(self.before),
            "after": _confidence(self.after),
        }


@typed(DataError)
def calibrate(
    model: Predictor | Model | str | PathLike[str],
    data: LabeledImages,
    *,
    split: str | None = None,
    progress: Progress = SILENT,
) -> TemperatureFit:
    """Fit the temperature of a classifier, and set the threshold by which it answers "unknown".

    With the temperature its probabilities are right as often as they say. Images whose logits are lower than those of
    95 % of these images are taken for unknown where that is asked for; no other answer changes. What the Model has
    already of both is replaced.

    Args:
        model: The Model, the path of its file, or what predicts with it.
        data: Labeled images, as for :func:`~mobilenets.engine.evaluate.evaluate`; they must not be those that trained
            the Model, and test images are to be kept for evaluation.
        split: ``validation``, of ``data`` or as the Model was fitted to it, or ``all``. By default validation; a Subset
            is used as it is.
        progress: Receives progress updates.

    Returns:
        The Model with its temperature, and its metrics before and after.

    Raises:
        DataError: If there are no such images, too few, or of a class that the Model does not know.
        ModelFileError: If the file cannot be read.
        EngineError: If the Model cannot be run, or is no classifier.

    Source: Guo et al. 2017, arXiv:1706.04599 (temperature scaling).

    >>> from mobilenets import mobilenet_v1
    >>> network = mobilenet_v1(width_multiplier=0.25, resolution=32, classes=10)
    >>> parameters = {name: np.zeros(shape, np.float32) for name, shape in network.parameter_shapes().items()}
    >>> parameters["classifier.bias"] = np.array([5] + 9 * [0], np.float32)
    >>> model = Model(network, parameters, Classification(tuple("0123456789")))
    >>> found = calibrate(model, "digits", split="all")  # 94 % sure that each is a 0, and one in ten is
    >>> round(found.before.mean_confidence, 2), round(found.temperature)
    (0.94, 20)
    """
    if split is not None and split not in CALIBRATION_SPLITS:
        raise DataError(f"a temperature is fitted on {' or '.join(CALIBRATION_SPLITS)} images, not on split {split!r}")
    predictor = model if isinstance(model, Predictor) else Predictor(model)
    model, task = predictor.model, predictor.model.task
    if not isinstance(task, Classification):
        raise EngineError(f"only a classifier has a temperature; this Model's task is {task.kind}")
    part, (outputs, targets, skipped) = calibration_outputs(
        predictor, data, split, purpose="fit a temperature", progress=progress
    )
    if Provenance.of(model).training.validation_joined is not None and part == "validation":
        progress.note("the Model was trained on its validation images too, so it will seem too sure on them")
    logits = logits_of(outputs)
    changed = calibrated(task, logits, targets)
    plain = replace(task, temperature=1.0)
    return TemperatureFit(
        replace(model, task=changed, provenance=_provenance(model, len(targets))),
        part,
        task.metrics(outputs, targets, skipped=skipped),
        plain.metrics([_cross_fitted(logits, targets)], targets, skipped=skipped),
        skipped,
    )


def calibration_outputs(
    predictor: Predictor, data: LabeledImages, split: str | None, *, purpose: str, progress: Progress
) -> tuple[str, tuple[Outputs, Any, tuple[str, ...]]]:
    """Outputs of a Model for images that its task is fitted on.

    Args:
        predictor: Runs the Model.
        data: Labeled images.
        split: One of :data:`CALIBRATION_SPLITS`; validation if None, but for a Subset, which is used as it is.
        purpose: What they are for, as a verb: ``fit a temperature``.
        progress: Receives progress updates.

    Returns:
        What the part of the data is called, and what :func:`~mobilenets.engine.evaluate.collect_outputs` gives.

    Raises:
        DataError: If there are no such images, or too few.
        EngineError: If the Model cannot be run.
    """
    part, subset = labeled_images(predictor.model, data, split if isinstance(data, Subset) else split or "validation")
    collected = collect_outputs(predictor, subset, progress=progress)
    images = len(collected[1])
    if images < FEWEST_IMAGES:
        raise DataError(f"{plural(images, 'image')} cannot {purpose}; {FEWEST_IMAGES} are the fewest")
    return part, collected


def _cross_fitted(logits: Array, targets: Counts) -> Array:
    """Logits over the temperature that the other half of the images gives."""
    first = np.zeros(len(targets), np.bool_)
    first[np.random.default_rng(0).permutation(len(targets))[: len(targets) // 2]] = True
    scaled = logits.astype(np.float64)
    for half in (first, ~first):
        scaled[half] /= fit_temperature(logits[~half], targets[~half])
    return scaled


def _provenance(model: Model, images: int) -> dict[str, Any]:
    provenance = Provenance.of(model)
    conversion = replace(provenance.conversion, temperature_images=images)
    return replace(provenance, conversion=conversion).encode()


def _confidence(metrics: ClassificationMetrics) -> dict[str, Any]:
    return {
        "top1": metrics.top1,
        "mean_confidence": metrics.mean_confidence,
        "expected_calibration_error": metrics.expected_calibration_error,
    }
