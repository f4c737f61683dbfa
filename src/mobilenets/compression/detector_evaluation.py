"""Evaluation of int8 detectors against the float32 Model that they were made from, on the engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mobilenets.base.progress import SILENT, Progress
from mobilenets.compression.answers import Answers
from mobilenets.compression.quality import LayerSqnr, QualityReport
from mobilenets.engine.session import Session
from mobilenets.errors import CompressionError
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import Pixels
from mobilenets.tasks.detection import Detection
from mobilenets.tasks.detection_divergence import divergences

Outputs = list[npt.NDArray[np.float32]]

TOGETHER = 16
"""Images between two progress updates."""


@dataclass(frozen=True, eq=False)
class DetectorEvaluation:
    """Images that int8 detectors are evaluated on, with the float Model's outputs.

    Attributes:
        pixels: uint8 (N, height, width, 3).
        targets: (N,), the :class:`~mobilenets.tasks.boxes.GroundTruth` of each image; None without boxes.
        outputs: Outputs of the float Model.
        calibration_overlap: Whether images that calibrate are among them.
    """

    pixels: Pixels
    targets: npt.NDArray[Any] | None
    outputs: Outputs
    calibration_overlap: bool = False

    @staticmethod
    def of(
        model: Model,
        pixels: Pixels,
        targets: npt.NDArray[Any] | None = None,
        *,
        calibration_overlap: bool = False,
        progress: Progress = SILENT,
    ) -> DetectorEvaluation:
        """Run the float Model on images; arguments as those of the class.

        Raises:
            CompressionError: If there are no images.
        """
        if not len(pixels):
            raise CompressionError("there are no images to evaluate the int8 Model on")
        return DetectorEvaluation(pixels, targets, compute_outputs(model, pixels, progress), calibration_overlap)

    def report(self, model: Model, layers: tuple[LayerSqnr, ...] = (), *, progress: Progress = SILENT) -> QualityReport:
        """Compare an int8 Model with the float one; file sizes and latencies are left out."""
        return self.judge(model, layers, progress=progress)[0]

    def judge(
        self, model: Model, layers: tuple[LayerSqnr, ...] = (), *, progress: Progress = SILENT
    ) -> tuple[QualityReport, Answers]:
        """Compare an int8 Model with the float one, in figures and image by image."""
        found = compute_outputs(model, self.pixels, progress)
        agreement = model.task.compare(found, self.outputs)
        known = self.targets is not None
        report = QualityReport(
            agreement=agreement.same,
            sure_agreement=agreement.same_where_confident,
            logits_sqnr_db=agreement.sqnr_db,
            primary_before=model.task.metrics(self.outputs, self.targets).primary if known else None,
            primary_after=model.task.metrics(found, self.targets).primary if known else None,
            layers=layers,
            calibration_overlap=self.calibration_overlap,
        )
        return report, self._answers(model, found)

    def _answers(self, model: Model, found: Sequence[npt.NDArray[np.float32]]) -> Answers:
        """Image by image whether both find the same, and how far what they see lies apart."""
        task, same = model.task, []
        if not isinstance(task, Detection):
            raise CompressionError(f"the Model is no detector: its task is {task.kind}")
        for number in range(len(self.pixels)):
            one, other = ([values[number : number + 1] for values in every] for every in (found, self.outputs))
            same.append(task.compare(one, other).same.value)
        apart = divergences(task.head, found, self.outputs)
        return Answers(np.array(same, np.float64), apart, apart)


def compute_outputs(model: Model, pixels: Pixels, progress: Progress = SILENT) -> Outputs:
    """All outputs of a Model for images, (N, …) each."""
    session, parts = Session(model), []
    with progress.task("running", len(pixels), "images") as task:
        for begin in range(0, len(pixels), TOGETHER):
            some = pixels[begin : begin + TOGETHER]
            parts.append(list(session.outputs(some).values()))
            task.advance(len(some))
    return [np.concatenate(one) for one in zip(*parts, strict=True)]
