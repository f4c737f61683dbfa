"""The int8 pipeline: from a float32 Model and images to the best int8 Model, with a report of what it lost.

Quantization-aware training needs PyTorch and stands above this package, so the pipeline takes the function that trains
as an argument. :func:`mobilenets.training.quantize.quantize`, which is :func:`mobilenets.quantize`, passes the one of
this package, and imports PyTorch only if something is trained.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, assert_never

from mobilenets.base.arguments import check_integer, check_number, word_of
from mobilenets.base.progress import SILENT, Progress
from mobilenets.compression.answers import Answers, prefers
from mobilenets.compression.config import QuantizationConfig
from mobilenets.compression.data_free import quantize_without_images
from mobilenets.compression.detector_evaluation import DetectorEvaluation
from mobilenets.compression.evaluation import EvaluationSet, with_costs, with_temperature
from mobilenets.compression.images import QuantizationImages, choose_images
from mobilenets.compression.quality import DEFAULT_MAX_DROP, QualityReport, measure_sqnr
from mobilenets.compression.quantize import LAYERWISE_IMAGES, Quantized, quantize_with_images
from mobilenets.compression.result import CompressionResult, Method
from mobilenets.compression.rounding import WeightRounding
from mobilenets.compression.techniques import (
    DATA_FREE_SWITCHES,
    Contribution,
    Technique,
    contributions,
    fallbacks,
    next_steps,
)
from mobilenets.data.dataset import Dataset
from mobilenets.data.loading import Prepared, prepare
from mobilenets.data.reading import Reading
from mobilenets.data.splitting import spread
from mobilenets.data.subset import Subset, Targets
from mobilenets.errors import CompressionError
from mobilenets.model.folding import check_finite, refuse_int8
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import Pixels
from mobilenets.model.provenance import Provenance, QuantizationProvenance

CALIBRATION_IMAGES = 64
"""Images that calibrate, unless told otherwise."""
QUICK = QuantizationConfig(rounding=WeightRounding.NEAREST)
"""How many Models are compared in int8; the one that is taken is quantized with more care."""


@dataclass(frozen=True, eq=False)
class TrainingImages:
    """Images of quantization-aware training.

    Attributes:
        pixels: Training images, uint8 (N, height, width, channels).
        targets: int64 (N,), their classes; None if all are unknown. Of detectors they do not count.
        calibration: Images that the first ranges come from, as ``pixels``.
        evaluation: What epochs are compared on; None holds out some of the training images.
    """

    pixels: Pixels
    targets: Targets | None
    calibration: Pixels
    evaluation: EvaluationSet | DetectorEvaluation | None = None


class Trainer(Protocol):
    """Quantization-aware training."""

    def __call__(
        self, model: Model, images: TrainingImages, config: QuantizationConfig, *, progress: Progress
    ) -> Quantized:
        """Quantize a float32 Model and train it in integer arithmetic.

        Args:
            model: float32.
            images: What it is trained and compared on.
            config: What is done on the way.
            progress: Receives progress updates.
        """


def quantize_and_evaluate(
    model: Model,
    *,
    calibration: str | Path | None = None,
    data: str | Path | Dataset | None = None,
    reading: Reading | None = None,
    method: Method | str = Method.CALIBRATED,
    config: QuantizationConfig = QuantizationConfig(),
    techniques: str | Sequence[str] = (),
    calibration_images: int = CALIBRATION_IMAGES,
    max_drop: float = DEFAULT_MAX_DROP,
    explain: bool = False,
    train: Trainer | None = None,
    progress: Progress = SILENT,
) -> CompressionResult:
    """Quantize a float32 Model to int8 and evaluate what it lost.

    Args:
        model: float32.
        calibration: Folder of images like those that the Model will see, without labels. By default the training
            images of ``data``.
        data: Labeled images: a folder of class folders, a CSV, or a Dataset. The validation images evaluate, and the
            training images train. Without them, calibration images evaluate that do not calibrate.
        reading: How ``data`` is read; None for how it was read when the Model was fitted to it, or as usual.
        method: How the Model is made first; its text will do.
        config: What is done on the way.
        techniques: What to try, one after another, until the Model is good enough; their texts will do.
        calibration_images: How many images calibrate.
        max_drop: Percentage points of top-1 that may be lost, from 0 to 100; infinity accepts any Model. Without
            labels, the Models must agree on 97 % of the images on which the float Model is sure.
        explain: Whether to find what each technique contributes, by making the Model without it.
        train: Quantization-aware training; needed where ``method`` or ``techniques`` ask for it.
        progress: Receives progress updates.

    Returns:
        The best int8 Model that was made, good enough or not: see :meth:`CompressionResult.check`.

    Raises:
        CompressionError: If the Model is int8 already or broken, or the arguments are unknown words, out of range or
            contradict each other.
        DataError: If images cannot be read, or the labels are not the Model's.
        EngineError: If the engine cannot run the Model.
    """
    method = word_of(Method, method, "method", CompressionError)
    techniques = _techniques(techniques)
    check_integer("calibration_images", calibration_images, CompressionError, least=1)
    if max_drop != math.inf:
        check_number("max_drop", max_drop, CompressionError, least=0, most=100)
    refuse_int8(model)
    check_finite(model)  # before the float Model runs, which would only warn
    trains = method is Method.TRAINED or Technique.TRAINING in techniques
    _check_images(method, calibration, data, techniques)
    if trains and train is None:
        raise CompressionError("quantization-aware training needs the argument train")
    count = 0 if method is Method.DATA_FREE else calibration_images
    images = choose_images(model, calibration, data, count, trains=trains, reading=reading)
    maker = _Maker(
        model,
        images,
        _prepared(model, images.calibration, progress).pixels,
        _evaluation_set(model, images, progress),
        train,
        progress,
    )
    attempt = maker.first_good_enough(maker.attempt(method, config), techniques, max_drop)
    made = _with_provenance(attempt, len(images.calibration) and len(maker.pixels))
    if not isinstance(maker.evaluation, DetectorEvaluation):
        made = with_temperature(made, maker.evaluation)
    steps = _next_steps(attempt, config, techniques, evaluated=maker.evaluation is not None)
    found, untrained = maker.explained(attempt) if explain else ([], None)
    report = with_costs(attempt.report, model, made)
    return CompressionResult(
        made, report, attempt.config, attempt.method, images, max_drop, steps, tuple(found), untrained
    )


def quantize_quickly(model: Model, pixels: Pixels, *, progress: Progress = SILENT) -> Model:
    """The int8 Model by which many Models are compared: calibrated with few images, rounded to the nearest.

    Args:
        model: float32.
        pixels: Training images, uint8 (N, height, width, 3); at most :data:`CALIBRATION_IMAGES` of them, evenly
            spread, calibrate.
        progress: Receives progress updates.

    Raises:
        CompressionError: If the Model is int8 already or broken, or the images cannot calibrate it.
    """
    chosen = pixels[spread(len(pixels), CALIBRATION_IMAGES)]
    return quantize_with_images(model, chosen, QUICK, progress=progress).model


@dataclass(frozen=True, eq=False)
class _Attempt:
    """An int8 Model, how it was made, and what it lost."""

    made: Quantized
    config: QuantizationConfig
    method: Method
    report: QualityReport
    answers: Answers | None = None

    def is_better_than(self, other: _Attempt) -> bool:
        """Whether it is the better Model, as far as the images tell; see :mod:`mobilenets.compression.answers`."""
        if self.answers is None or other.answers is None:
            return False
        return prefers(self.answers.minus(other.answers), doubt=0.0)


@dataclass(frozen=True, eq=False)
class _Maker:
    """Makes int8 Models of one float Model, and evaluates them."""

    model: Model
    images: QuantizationImages
    pixels: Pixels
    evaluation: EvaluationSet | DetectorEvaluation | None
    train: Trainer | None
    progress: Progress

    def attempt(self, method: Method, config: QuantizationConfig) -> _Attempt:
        """Make and evaluate one int8 Model."""
        made = self._made(method, config)
        if self.evaluation is None:
            return _Attempt(made, config, method, QualityReport())
        return _Attempt(made, config, method, *self.evaluation.judge(made.model, made.layers))

    def first_good_enough(self, best: _Attempt, techniques: Sequence[Technique], max_drop: float) -> _Attempt:
        """The first attempt that is good enough, or else the best one of all."""
        for technique, changed in fallbacks(best.config, techniques):
            shortfall = best.report.shortfall(max_drop)
            if shortfall is None:
                break
            self.progress.note(f"{shortfall}; trying {technique}")
            method = Method.TRAINED if technique is Technique.TRAINING else best.method
            tried = self.attempt(method, changed)
            if tried.is_better_than(best):
                best = tried
        return best

    def explained(self, attempt: _Attempt) -> tuple[list[Contribution], QualityReport | None]:
        """What each technique contributes, and the report that it is compared with."""
        if self.evaluation is None:
            return [], None
        if attempt.method is Method.DATA_FREE:
            found = contributions(
                self.evaluation,
                lambda config: quantize_without_images(self.model, config),
                attempt.config,
                DATA_FREE_SWITCHES,
            )
            return found, attempt.report
        found = contributions(self.evaluation, lambda config: self._made(Method.CALIBRATED, config), attempt.config)
        if attempt.method is Method.TRAINED:
            return found, self.attempt(Method.CALIBRATED, attempt.config).report
        return found, attempt.report

    def _made(self, method: Method, config: QuantizationConfig) -> Quantized:
        match method:
            case Method.CALIBRATED:
                return quantize_with_images(self.model, self.pixels, config, progress=self.progress)
            case Method.TRAINED:
                return self._trained(config)
            case Method.DATA_FREE:
                made = quantize_without_images(self.model, config)
                if self.evaluation is None:
                    return made
                some = self.evaluation.pixels[:LAYERWISE_IMAGES]
                return replace(made, layers=measure_sqnr(made.float_model, made.model, some))
            case _:
                assert_never(method)

    def _trained(self, config: QuantizationConfig) -> Quantized:
        if self.train is None:
            raise CompressionError("quantization-aware training needs the argument train")
        training = _prepared(self.model, self.images.training, self.progress)
        evaluation = None if self.images.calibration_overlap else self.evaluation
        images = TrainingImages(training.pixels, training.targets, self.pixels, evaluation)
        return self.train(self.model, images, config, progress=self.progress)


def _techniques(asked: str | Iterable[str]) -> tuple[Technique, ...]:
    """The techniques that a caller asks for; a text is one of them."""
    if not isinstance(asked, Iterable):
        raise CompressionError(f"techniques are some of {', '.join(Technique)}, not {asked!r}")
    words = [asked] if isinstance(asked, str) else asked
    return tuple(word_of(Technique, word, "technique", CompressionError) for word in words)


def _check_images(
    method: Method, calibration: str | Path | None, data: str | Path | Dataset | None, techniques: Sequence[Technique]
) -> None:
    """Raise if a method lacks the images that it needs, or is given images that it does not use."""
    match method:
        case Method.DATA_FREE:
            if calibration is not None:
                raise CompressionError("data-free quantization takes no calibration images")
            if techniques:
                raise CompressionError(f"data-free quantization cannot use {techniques[0]}, which needs images")
        case Method.CALIBRATED | Method.TRAINED:
            if calibration is None and data is None:
                raise CompressionError("calibration needs images: give calibration or data, or use Method.DATA_FREE")
        case _:
            assert_never(method)


def _prepared(model: Model, subset: Subset, progress: Progress) -> Prepared:
    """Images as a Model takes them: uint8 (N, height, width, 3), and their classes."""
    if not len(subset):
        progress = SILENT  # there is nothing to tell
    return prepare(subset, model.preprocessing, model.network.height, model.network.width, progress=progress)


def _evaluation_set(
    model: Model, images: QuantizationImages, progress: Progress
) -> EvaluationSet | DetectorEvaluation | None:
    if not len(images.evaluation):
        return None
    decoded = _prepared(model, images.evaluation, progress)
    targets = decoded.targets if images.labeled else None
    evaluation = DetectorEvaluation if model.task.kind == "detection" else EvaluationSet
    return evaluation.of(
        model, decoded.pixels, targets, calibration_overlap=images.calibration_overlap, progress=progress
    )


def _next_steps(
    attempt: _Attempt, config: QuantizationConfig, techniques: Sequence[Technique], *, evaluated: bool
) -> tuple[str, ...]:
    if attempt.method is Method.DATA_FREE:
        return ("calibration images",) if evaluated else ("labeled images to evaluate on",)
    last, trained = config, attempt.method is Method.TRAINED
    for technique, changed in fallbacks(config, techniques):  # all were tried, whichever Model of them is the best
        last, trained = changed, trained or technique is Technique.TRAINING
    return tuple(next_steps(last, trained=trained))


def _with_provenance(attempt: _Attempt, calibration_images: int) -> Model:
    model, config = attempt.made.model, attempt.config
    made = QuantizationProvenance(
        made_by=str(attempt.method),
        trained=attempt.method is Method.TRAINED,
        weight_bits=config.weight_bits,
        equalize=config.equalize,
        absorb=config.absorb,
        bias_correction=config.bias_correction,
        epoch=attempt.made.epoch,
        quality=attempt.report.provenance() if attempt.report.evaluated else None,
    )
    if attempt.method is not Method.DATA_FREE:
        made = replace(
            made,
            deviation_correction=config.deviation_correction,
            ranges=str(config.ranges),
            rounding=str(config.rounding),
            calibration_images=calibration_images,
        )
    return replace(model, provenance=replace(Provenance.of(model), quantization=made).encode())
