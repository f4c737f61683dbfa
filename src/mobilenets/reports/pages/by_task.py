"""Pages about what a Model gets right and wrong: each task has its own."""

from __future__ import annotations

import shlex
from functools import partial
from typing import TYPE_CHECKING

from mobilenets.base.deadline import Deadline
from mobilenets.base.progress import Progress
from mobilenets.data.dataset import Dataset
from mobilenets.engine.evaluate import evaluate
from mobilenets.engine.predictor import Predictor
from mobilenets.errors import DataError, MobileNetsError
from mobilenets.formats.available import available_weights
from mobilenets.formats.loading import load_model
from mobilenets.model.integer_weights import dequantize
from mobilenets.reports.finished_run import Run
from mobilenets.reports.pages import advice, confidence, detections, labels, mistakes, multilabel, predictions, usage
from mobilenets.reports.pages.markup import Element
from mobilenets.tasks.classification import Classification
from mobilenets.tasks.classification_metrics import ClassificationMetrics
from mobilenets.tasks.detection_metrics import DetectionMetrics
from mobilenets.tasks.metrics import Share
from mobilenets.tasks.multilabel_metrics import MultiLabelMetrics
from mobilenets.tasks.task import Metrics

if TYPE_CHECKING:
    from mobilenets.training.held_out import HeldOut

MISTAKES = "the mistakes"
"""What a report calls its look at the test images one by one."""


def check_has_pages(evaluation: Metrics, kind: str) -> None:
    """Raise if no pages are made of a task.

    Args:
        evaluation: Figures of a Model on its test images.
        kind: Of its task.

    Raises:
        DataError: If there are none.
    """
    match evaluation:
        case ClassificationMetrics() | MultiLabelMetrics() | DetectionMetrics():
            pass
        case _:
            raise DataError(f"a report has no pages for the task {kind} (reports/pages/by_task.py)")


def sections_of_task(run: Run, deadline: Deadline, progress: Progress) -> list[Element]:
    """What to do next, the figures in detail, and the mistakes.

    Args:
        run: The run.
        deadline: What looks at images is left out where it would not be over by then.
        progress: Receives progress updates.

    Raises:
        DataError: If no pages are made of the run's task, or more than a tenth of the test images are broken by now.
        EngineError: If the engine cannot run the Model.
    """
    match run.evaluation:
        case ClassificationMetrics() as evaluation:
            return [
                advice.advice_section(run, advice.weak_classes(evaluation), perfect=not evaluation.wrong),
                predictions.predictions_section(evaluation),
                *_confidence(run, evaluation, deadline, progress),
                _mistakes(run, deadline, progress),
                *_labels(run, deadline, progress),
            ]
        case MultiLabelMetrics() as evaluation:
            return [
                advice.advice_section(
                    run, multilabel.weak_labels(evaluation), perfect=evaluation.exact.count == evaluation.images
                ),
                multilabel.label_figures_section(evaluation),
                _wrong_labels(run, deadline, progress),
            ]
        case DetectionMetrics() as evaluation:
            weak = detections.weak_detections(evaluation)
            perfect = evaluation.found.count == evaluation.objects and not evaluation.invented
            return [
                advice.advice_section(run, weak, perfect=perfect),
                detections.detections_section(evaluation, threshold_chosen=_threshold_chosen(run)),
                _missed(run, deadline, progress),
            ]
        case _:
            raise DataError(f"a report has no pages for the task {run.model.task.kind} (reports/pages/by_task.py)")


def _threshold_chosen(run: Run) -> bool:
    """Whether the score from which on a detector reports boxes was chosen on the validation images."""
    return any(epoch.get("validation_threshold") is not None for epoch in run.metrics.get("epochs", ()))


def tested_in_both(run: Run, deadline: Deadline, progress: Progress) -> dict[str, Share]:
    """Right answers of a classifier on the test images in each precision; none where the images are not at hand.

    Args:
        run: The run.
        deadline: Nothing is given where the images cannot be looked at by then.
        progress: Receives progress updates.
    """
    other = run.float32 if run.model.quantization is not None else run.int8
    if run.dataset is None or other is None:
        return {}
    test = run.dataset.test
    name = f"the test of the {other.precision} Model"
    measured = deadline.attempt(name, lambda heard: evaluate(Predictor(other), test, progress=heard), progress)
    if measured is None:
        return {}
    both = {run.model.precision: run.evaluation, other.precision: measured}
    return {precision: one.correct for precision, one in both.items() if isinstance(one, ClassificationMetrics)}


def _confidence(run: Run, evaluation: ClassificationMetrics, deadline: Deadline, progress: Progress) -> list[Element]:
    """How sure the Model is; nothing of a run of a release that did not measure it."""
    if not evaluation.reliability or not isinstance(run.model.task, Classification):
        return []
    command = f"mobilenets calibrate {shlex.quote(usage.model_path(run))} {shlex.quote(run.source)}"
    dataset, held_out = run.dataset, None
    if dataset is not None:
        held_out = deadline.attempt("unknown classes", lambda heard: _held_out(dataset, heard), progress)
    return [confidence.confidence_section(evaluation, run.model.task.temperature, command, held_out)]


def _held_out(dataset: Dataset, progress: Progress) -> HeldOut | None:
    """How well classes that are left out are told, by published weights in the cache; None where there are none."""
    try:
        from mobilenets.training.held_out import FEWEST_CLASSES, held_out_classes

        if len(dataset.labels) < FEWEST_CLASSES:
            return None
        judge = next((load_model(one.short_name) for one in available_weights() if one.cached), None)
        if judge is None or judge.network.height < labels.SMALLEST_SIDE:
            return None
        return held_out_classes(dequantize(judge), dataset, progress=progress)
    except (MobileNetsError, ModuleNotFoundError) as error:
        progress.note(f"known and unknown classes are not compared: {error}")
        return None


def _wrong_labels(run: Run, deadline: Deadline, progress: Progress) -> Element:
    dataset = run.dataset
    if dataset is None:
        return mistakes.section_without_images()
    look = partial(multilabel.wrong_labels, run.model, dataset)
    found = deadline.attempt(MISTAKES, lambda heard: look(progress=heard), progress)
    if found is None:
        return mistakes.section_out_of_time()
    return multilabel.wrong_labels_section(found, len(dataset.test), run.source)


def _missed(run: Run, deadline: Deadline, progress: Progress) -> Element:
    dataset = run.dataset
    if dataset is None:
        return mistakes.section_without_images()
    look = partial(detections.judge_images, run.model, dataset)
    found = deadline.attempt(MISTAKES, lambda heard: look(progress=heard), progress)
    return mistakes.section_out_of_time() if found is None else detections.missed_section(found, run.source)


def _mistakes(run: Run, deadline: Deadline, progress: Progress) -> Element:
    dataset = run.dataset
    if dataset is None:
        return mistakes.section_without_images()
    look = partial(mistakes.predict_all, run.model, dataset)
    found = deadline.attempt(MISTAKES, lambda heard: look(progress=heard), progress)
    if found is None:
        return mistakes.section_out_of_time()
    return mistakes.mistakes_section(found, run.source, run.float32 or run.model)


def _labels(run: Run, deadline: Deadline, progress: Progress) -> list[Element]:
    """Probable label errors; nothing where the images are not at hand, are too few or too many, or time is short."""
    dataset = run.dataset
    if dataset is None:
        return []
    look = partial(labels.judged_labels, run.float32 or run.model, dataset)
    found = deadline.attempt("probable label errors", lambda heard: look(progress=heard), progress)
    return [] if found is None else [labels.labels_section(found, len(dataset.train), run.source)]
