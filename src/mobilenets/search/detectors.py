"""A budget for a detector: the largest resolution that meets it is trained, for small objects need pixels most."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from mobilenets.architecture.network import Network
from mobilenets.architecture.rescale import with_resolution
from mobilenets.base.atomic_write import write_atomically
from mobilenets.base.text import plural
from mobilenets.data.loading import prepare
from mobilenets.engine.evaluate import evaluate_prepared
from mobilenets.engine.session import Session
from mobilenets.engine.timing import time_sessions
from mobilenets.errors import PlanningError
from mobilenets.model.model import Model
from mobilenets.search.candidates import Candidate, candidate_on
from mobilenets.search.ending import SearchRequest, search_record, with_provenance
from mobilenets.search.finishing import Finished
from mobilenets.search.measuring import synthetic_model
from mobilenets.search.profile import DeviceProfile
from mobilenets.search.record import MeasuredLatency
from mobilenets.search.result import Phase, SearchResult, timed
from mobilenets.tasks.detection import Detection
from mobilenets.tasks.task import Metrics
from mobilenets.training.detection.fit import choose_detector_start, fit_detector, planned_detector
from mobilenets.training.fine_tuning import FineTuned
from mobilenets.training.quantize import quantize_fitted
from mobilenets.training.result import provenance_of
from mobilenets.training.run_folder import CHECKPOINT_FILE, write_run
from mobilenets.training.settings import set_up

SIDES = tuple(range(96, 417, 32))
"""Resolutions that are considered where nobody names one."""
ROUNDS = 3
SIZE_FILE = "size.json"
"""Within the output folder: the size that was chosen, so that a run that goes on has the same."""


@dataclass(frozen=True, eq=False)
class _Size:
    """A detector at one resolution and in one precision, before it is trained."""

    network: Network
    task: Detection
    start: Model | None
    precision: str
    candidate: Candidate


def search_detector(request: SearchRequest) -> SearchResult:
    """Train the detector of the largest resolution that a budget allows, in float32 where that is as large as in int8.

    Args:
        request: What is searched for; its data has boxes.

    Raises:
        PlanningError: If no resolution meets the budget (said before any training), or latencies of another device are
            asked for.
        DataError: If the images cannot be used.
        TrainingError: If training diverges, or a checkpoint cannot be read or written.
    """
    if isinstance(request.device, DeviceProfile):
        raise PlanningError("profiles of devices hold no detectors: name no device, and this machine is measured")
    recipe, _, _ = set_up(request.settings)
    start = choose_detector_start(request.settings, request.dataset, recipe, progress=request.progress)
    (size, looked_at), measuring = timed("latency", partial(_chosen, request, start.model))
    where = f"the largest of {plural(looked_at, 'size')} within {request.budget}"
    side = size.network.height
    request.progress.note(f"{side}×{side} in {size.precision}: {where}")
    checkpoint = None if request.folder is None else request.folder / CHECKPOINT_FILE
    settings = replace(request.settings, resolution=side)
    train = partial(
        fit_detector,
        size.start,
        request.dataset,
        settings,
        seconds=None if settings.time is None else max(1.0, settings.time - (time.monotonic() - request.begun)),
        checkpoint=checkpoint,
        resume=request.resume,
        progress=request.progress,
    )
    made, training = timed("fine-tune", train)
    finished = _finished(request, size, made, where, training)
    (evaluation, latency), testing = timed("test", partial(_tested, request, finished))
    record = search_record(
        request,
        request.device,
        [finished.choice],
        finished,
        latency,
        largest=(size.network.width_multiplier, side),
    )
    provenance = provenance_of(
        request.dataset,
        made.recipe,
        made.run,
        made.best_epoch,
        finished.validation_primary,
        evaluation,
        weights=start.name or None,
    )
    result = SearchResult(
        with_provenance(finished.model, provenance),
        request.dataset,
        evaluation,
        made.history,
        made.best_epoch,
        time.monotonic() - request.begun,
        with_provenance(made.model, provenance) if size.precision == "int8" else None,
        finished.quality,
        search=record,
        phases=(measuring, *finished.phases, testing),
        refusal=finished.refusal,
    )
    if request.folder is not None:
        write_run(result, request.folder)
        (request.folder / SIZE_FILE).unlink(missing_ok=True)
    return result


def _chosen(request: SearchRequest, start: Model | None) -> tuple[_Size, int]:
    """The size to train, and how many were looked at: the largest first, until one meets the budget."""
    named = request.settings.resolution
    sides: Sequence[int] = SIDES if named is None else (named,)
    kept = None if request.folder is None else request.folder / SIZE_FILE
    known = json.loads(kept.read_text()) if request.resume and kept is not None and kept.exists() else None
    looked_at, nearest = 0, ""
    for side in sorted(sides, reverse=True):
        for precision in ("float32", "int8"):
            if precision not in request.precisions:
                continue
            if known is not None and known != {"resolution": side, "precision": precision}:
                continue
            looked_at += 1
            size = _sized(request, start, side, precision)
            if known is not None or request.budget.meets(size.candidate):
                _remember(kept, side, precision)
                return size, looked_at
            nearest = f"{side}×{side} in {precision}"
    raise PlanningError(
        f"no detector is within {request.budget}: {nearest}, the smallest, is not. A narrower or lighter "
        "architecture may be, such as ssdlite_mobilenet_v3_small or centres_mobilenet_v2@0.35"
    )


def _remember(kept: Path | None, side: int, precision: str) -> None:
    if kept is not None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(kept, json.dumps({"resolution": side, "precision": precision}).encode())


def _sized(request: SearchRequest, start: Model | None, side: int, precision: str) -> _Size:
    """A detector with what it costs; its latency is measured where the budget limits that."""
    resized = None if start is None else replace(start, network=with_resolution(start.network, side, side))
    network, task = planned_detector(resized, request.dataset, replace(request.settings, resolution=side))
    candidate = candidate_on(network, precision, request.device, request.threads)
    limits = replace(request.budget, max_latency_ms=None)
    if request.budget.max_latency_ms is not None and limits.meets(candidate):
        session = Session(synthetic_model(network, precision, task), request.threads)
        (spent,) = time_sessions([session], rounds=ROUNDS)
        candidate = replace(candidate, latency_ms=min(spent))
    elif request.budget.max_latency_ms is not None:
        candidate = replace(candidate, latency_ms=float("inf"))  # too large anyway
    return _Size(network, task, resized, precision, candidate)


def _finished(request: SearchRequest, size: _Size, made: FineTuned, reason: str, training: Phase) -> Finished:
    """The trained detector, quantized where the budget is met in int8."""
    score = made.validation_primary
    if size.precision == "float32":
        choice = replace(size.candidate, accuracy=score or 0.0)
        missed = _missed(request, score)
        return Finished(choice, reason, made, made.model, score, None, (training,), missed)
    compress = partial(quantize_fitted, made.model, request.dataset, progress=request.progress)
    result, compressing = timed("compress", compress)
    report = result.report
    after = report.primary
    choice = replace(size.candidate, accuracy=after or 0.0)
    phases = (training, compressing)
    refusal = result.refusal or _missed(request, after)
    return Finished(choice, reason, made, result.model, after, report, phases, refusal)


def _missed(request: SearchRequest, score: float | None) -> str | None:
    wanted = request.budget.min_accuracy
    if wanted is None or (score is not None and score >= wanted):
        return None
    return f"mAP 50-95 on the validation images is {100 * (score or 0):.1f} %; {100 * wanted:.1f} % were asked for"


def _tested(request: SearchRequest, finished: Finished) -> tuple[Metrics, MeasuredLatency | None]:
    """Evaluate the finished detector on the test images, once, and time it."""
    model, network = finished.model, finished.model.network
    prepared = prepare(
        request.dataset.test, model.preprocessing, network.height, network.width, progress=request.progress
    )
    evaluation = evaluate_prepared(model, prepared)
    predicted = finished.choice.latency_ms
    if predicted is None:
        return evaluation, None
    (spent,) = time_sessions([Session(model, request.threads)], progress=request.progress)
    ordered = sorted(spent)
    return evaluation, MeasuredLatency(ordered[len(ordered) // 2], ordered[0], predicted, request.threads)
