"""The end of a search: choose a candidate, fine-tune it, and quantize it if it is int8."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from mobilenets.base.progress import SILENT, Progress
from mobilenets.compression.quality import DEFAULT_MAX_DROP, QualityReport
from mobilenets.compression.result import CompressionResult
from mobilenets.errors import CompressionError, GateError, PlanningError
from mobilenets.model.model import Model
from mobilenets.search.budget import Budget
from mobilenets.search.candidates import Candidate
from mobilenets.search.frontier import choose, explain
from mobilenets.search.result import Phase, timed
from mobilenets.tasks.task import Metric
from mobilenets.training.supernet import TrainedModel


def allowed_drop(images: int) -> float:
    """Points of top-1 that int8 may lose: fewer than a hundred images cannot tell a point from one image."""
    return max(DEFAULT_MAX_DROP, 100 / images + 1e-9)


@dataclass(frozen=True, eq=False)
class Finished:
    """A choice that was fine-tuned and, where it is int8, quantized.

    Attributes:
        choice: The candidate.
        reason: Why it was chosen, in one sentence.
        fine_tuned: What fine-tuning made of it, in float32.
        model: The finished Model.
        validation_primary: Its primary figure on the validation images, from 0 to 1: of a classifier top-1.
        quality: What quantization lost, where the choice is int8.
        phases: The phases of all that, in order.
        refusal: Why the int8 Model is not good enough, where there was nothing else to choose; else None.
    """

    choice: Candidate
    reason: str
    fine_tuned: TrainedModel
    model: Model
    validation_primary: float | None
    quality: QualityReport | None
    phases: tuple[Phase, ...]
    refusal: str | None = None


def finish(
    candidates: Sequence[Candidate],
    budget: Budget,
    fine_tune: Callable[[Candidate], TrainedModel],
    compress: Callable[[Model], CompressionResult],
    *,
    judged: str = "on the validation images",
    metric: str = "top1",
    progress: Progress = SILENT,
) -> Finished:
    """Choose a candidate, fine-tune it, and quantize it if it is int8.

    Where quantization loses too much, another is chosen among those in float32. Where none of them meets the budget,
    the int8 Model is what there is, or the float32 one that could not be quantized.

    Args:
        candidates: To choose from.
        budget: Limits, and the accuracy to reach.
        fine_tune: Gives the fine-tuned subnet of a candidate, in float32.
        compress: Quantizes a float32 Model.
        judged: What the accuracies of the candidates are told by.
        metric: Name of the figure that their accuracy is.
        progress: Receives progress updates.

    Raises:
        PlanningError: If none meets the budget or reaches the accuracy.
    """
    choice = _choice(candidates, budget)
    title = Metric(metric, choice.accuracy, (choice.accuracy, choice.accuracy)).title
    progress.note(f"chose {choice}: {title} {100 * choice.accuracy:.1f} % {judged}")
    tuned, tuning = timed("fine-tune", partial(fine_tune, choice))
    reason = explain(candidates, budget, choice, judged)
    if choice.precision == "float32":
        return Finished(choice, reason, tuned, tuned.model, tuned.validation_primary, None, (tuning,))
    try:
        result, compressing = timed("compress", partial(compress, tuned.model))
        problem = result.refusal
    except CompressionError as error:
        result, problem = None, str(error)
    if problem is not None and (others := _in_float32(candidates, budget)):
        progress.note(f"the int8 Model is not good enough: {problem}; choosing again, in float32")
        again = finish(others, budget, fine_tune, compress, judged=judged, metric=metric, progress=progress)
        return replace(again, phases=(tuning, *again.phases))
    if result is None:
        refusal = f"there is no int8 Model: {problem}. The float32 Model is kept, though it does not meet the budget"
        return Finished(choice, reason, tuned, tuned.model, tuned.validation_primary, None, (tuning,), refusal)
    after = result.report.primary
    phases = (tuning, compressing)
    return Finished(choice, reason, tuned, result.model, after, result.report, phases, _refused(result))


def _in_float32(candidates: Sequence[Candidate], budget: Budget) -> list[Candidate]:
    """The candidates in float32, if one of them can be chosen."""
    others = [one for one in candidates if one.precision == "float32"]
    try:
        choose(others, budget)
    except PlanningError:
        return []
    return others


def _refused(result: CompressionResult) -> str | None:
    """What is wrong with an int8 Model that nothing can take the place of; None where nothing is."""
    try:
        result.check()
    except GateError as error:
        return f"{error}. It is kept because no network in float32 meets the budget"
    return None


def _choice(candidates: Sequence[Candidate], budget: Budget) -> Candidate:
    try:
        return choose(candidates, budget)
    except PlanningError as error:
        if budget.min_accuracy is None:
            raise
        raise PlanningError(
            f"{error} before it is fine-tuned; resume=True with a lower goal continues from here"
        ) from None
