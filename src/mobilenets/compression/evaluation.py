"""Evaluation of int8 Models against the float32 Model that they were made from, on the engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from mobilenets.base.progress import SILENT, Progress
from mobilenets.compression.answers import Answers, answers_to
from mobilenets.compression.quality import LayerSqnr, QualityReport
from mobilenets.data.splitting import spread
from mobilenets.engine.session import Session
from mobilenets.engine.timing import time_sessions
from mobilenets.errors import CompressionError
from mobilenets.model.file import file_bytes
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import Pixels
from mobilenets.tasks.classification import Classification, calibrated, class_count
from mobilenets.tasks.logits import best_class, top1
from mobilenets.tasks.multilabel import MultiLabel, fit_thresholds

Logits = npt.NDArray[np.float32]

TEMPERATURE_IMAGES = 2000
"""Of more images than that, evenly spread ones fit a temperature."""
_TOGETHER = 64
"""Images between two progress updates."""
_TURNS = 3
"""Turns of each Model when latencies are measured."""


@dataclass(frozen=True, eq=False)
class EvaluationSet:
    """Images that int8 Models are evaluated on, with the float Model's logits.

    Attributes:
        pixels: uint8 (N, height, width, 3).
        targets: int64 (N,), the right classes, or (N, labels) of several labels an image; None without labels.
        logits: Logits of the float Model, (N, classes).
        calibration_overlap: Whether images that calibrate are among them.
    """

    pixels: Pixels
    targets: npt.NDArray[np.int64] | None
    logits: Logits
    calibration_overlap: bool = False

    @staticmethod
    def of(
        model: Model,
        pixels: Pixels,
        targets: npt.NDArray[np.int64] | None = None,
        *,
        calibration_overlap: bool = False,
        progress: Progress = SILENT,
    ) -> EvaluationSet:
        """Run the float Model on images.

        Args:
            model: float32.
            pixels: uint8 (N, height, width, 3).
            targets: int64 (N,), the right classes; None without labels.
            calibration_overlap: Whether images that calibrate are among them.
            progress: Receives progress updates.

        Raises:
            CompressionError: If there are no images, or a target is not one of the Model's classes.
        """
        if not len(pixels):
            raise CompressionError("there are no images to evaluate the int8 Model on")
        classes = class_count(model.network)
        several = model.task.kind == "multilabel"
        most = 1 if several else classes - 1
        shape = (len(pixels), classes) if several else (len(pixels),)
        if targets is not None and (targets.shape != shape or targets.min() < 0 or targets.max() > most):
            raise CompressionError(
                f"{len(targets)} labels from {targets.min()} to {targets.max()} for {len(pixels)} images; "
                f"the Model has {classes} classes"
            )
        return EvaluationSet(pixels, targets, compute_logits(model, pixels, progress), calibration_overlap)

    def report(self, model: Model, layers: tuple[LayerSqnr, ...] = (), *, progress: Progress = SILENT) -> QualityReport:
        """Compare an int8 Model with the float one; file sizes and latencies are left to :func:`with_costs`."""
        return self.judge(model, layers, progress=progress)[0]

    def judge(
        self, model: Model, layers: tuple[LayerSqnr, ...] = (), *, progress: Progress = SILENT
    ) -> tuple[QualityReport, Answers]:
        """Compare an int8 Model with the float one, in figures and image by image."""
        logits = compute_logits(model, self.pixels, progress)
        answers = answers_to(logits, self.logits, self.targets, several=model.task.kind == "multilabel")
        return self._report(model, logits, layers), answers

    def _report(self, model: Model, logits: Logits, layers: tuple[LayerSqnr, ...]) -> QualityReport:
        agreement = model.task.compare([logits], [self.logits])
        if self.targets is not None and model.task.kind != "classification":
            return QualityReport(
                agreement=agreement.same,
                sure_agreement=agreement.same_where_confident,
                logits_sqnr_db=agreement.sqnr_db,
                primary_before=model.task.metrics([self.logits], self.targets).primary,
                primary_after=model.task.metrics([logits], self.targets).primary,
                layers=layers,
                calibration_overlap=self.calibration_overlap,
            )
        before, after = (
            (None, None) if self.targets is None else (top1(self.logits, self.targets), top1(logits, self.targets))
        )
        lost = gained = None
        if self.targets is not None:
            right_before, right_after = (best_class(one) == self.targets for one in (self.logits, logits))
            lost, gained = int((right_before & ~right_after).sum()), int((~right_before & right_after).sum())
        return QualityReport(
            agreement=agreement.same,
            sure_agreement=agreement.same_where_confident,
            logits_sqnr_db=agreement.sqnr_db,
            top1_before=before,
            top1_after=after,
            layers=layers,
            calibration_overlap=self.calibration_overlap,
            lost=lost,
            gained=gained,
        )


def with_temperature(model: Model, evaluation: EvaluationSet | None) -> Model:
    """An int8 Model calibrated by its own logits, where labeled images that calibrated nothing give them.

    A float Model without a temperature has int8 Models without, and likewise a threshold of unknown images.

    Args:
        model: int8, at the temperature of the float Model.
        evaluation: What it was evaluated on, if on anything.
    """
    task = model.task
    if evaluation is None or evaluation.targets is None or evaluation.calibration_overlap:
        return model
    if isinstance(task, MultiLabel) and task.thresholds:
        return replace(model, task=replace(task, thresholds=_thresholds(model, evaluation)))
    if not isinstance(task, Classification) or task.temperature == 1:
        return model
    some = spread(len(evaluation.pixels), TEMPERATURE_IMAGES)
    logits = compute_logits(model, evaluation.pixels[some])
    changed = calibrated(task, logits, evaluation.targets[some])
    return replace(model, task=replace(changed, unknown=None if task.unknown is None else changed.unknown))


def _thresholds(model: Model, evaluation: EvaluationSet) -> tuple[float, ...]:
    """Thresholds of an int8 Model's own probabilities."""
    if evaluation.targets is None:
        raise CompressionError("thresholds are chosen on images whose labels are known")
    return fit_thresholds(compute_logits(model, evaluation.pixels), evaluation.targets)


def compute_logits(model: Model, pixels: Pixels, progress: Progress = SILENT) -> Logits:
    """A Model's first output for images, float32 (N, classes)."""
    session = Session(model)
    parts = [np.empty((0, class_count(model.network)), np.float32)]
    with progress.task("running", len(pixels), "images") as task:
        for begin in range(0, len(pixels), _TOGETHER):
            some = session.run(pixels[begin : begin + _TOGETHER])
            parts.append(some.reshape(len(some), -1))
            task.advance(len(some))
    return np.concatenate(parts)


def with_costs(report: QualityReport, before: Model, after: Model) -> QualityReport:
    """The report with the file size and the latency of the float32 and the int8 Model."""
    before_ms, after_ms = _latencies_ms([before, after])
    return replace(
        report,
        bytes_before=file_bytes(before),
        bytes_after=file_bytes(after),
        latency_before_ms=before_ms,
        latency_after_ms=after_ms,
    )


def _latencies_ms(models: Sequence[Model]) -> list[float]:
    """Shortest time of one image on one thread for each Model, in ms, measured by turns."""
    sessions = [Session(model, threads=1) for model in models]
    return [min(times) for times in time_sessions(sessions, rounds=_TURNS)]
