"""A budget for a detector: the most promising one that meets it is trained.

Small objects need pixels, and a good backbone needs width: on each backbone that is to be had the largest resolution
within the budget is found first (:mod:`mobilenets.search.detector_sizes`). Where the best of these promise about the
same, each is trained shortly, and the validation images choose.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from mobilenets.base.atomic_write import write_atomically
from mobilenets.base.text import duration, percent, plural
from mobilenets.data.loading import prepare
from mobilenets.data.splitting import spread
from mobilenets.engine.evaluate import evaluate_prepared
from mobilenets.engine.session import Session
from mobilenets.engine.timing import time_sessions
from mobilenets.errors import PlanningError, TrainingError
from mobilenets.model.model import Model
from mobilenets.search.contenders import Pretrained
from mobilenets.search.detector_sizes import SIDES, DetectorSize, backbones, largest_sizes, sized
from mobilenets.search.ending import SearchRequest, search_record, with_provenance
from mobilenets.search.finishing import Finished
from mobilenets.search.from_weights import STATISTICS_IMAGES
from mobilenets.search.measuring import synthetic_model
from mobilenets.search.pretrained import AUTO, pretrained_weights, trainable
from mobilenets.search.profile import DeviceProfile
from mobilenets.search.record import MeasuredLatency
from mobilenets.search.result import Phase, SearchResult, timed
from mobilenets.search.timetable import Pace, Timetable
from mobilenets.tasks.task import Metrics
from mobilenets.training.detection.fit import (
    detector_architecture,
    detector_run,
    fit_detector,
)
from mobilenets.training.detection.timing import detector_seconds_per_image
from mobilenets.training.fine_tuning import FineTuned
from mobilenets.training.leading import together
from mobilenets.training.quantize import FEWEST_CALIBRATION_IMAGES, TRIED_IMAGES, quantize_fitted
from mobilenets.training.recalibration import recalibrated_with_torch
from mobilenets.training.result import provenance_of
from mobilenets.training.run_folder import CHECKPOINT_FILE, write_run
from mobilenets.training.settings import Settings

SIZE_FILE = "size.json"
"""Within the output folder: the detector that was chosen, so that a run that goes on has the same."""
MARGIN, FINALISTS = 3.0, 3
"""Points of mAP below the most promising detector within which another is trained shortly, and how many are at most."""
SHORT_SHARE = 0.15
"""Epochs of a short training, as a share of those of a whole one."""


@dataclass(frozen=True, eq=False)
class _Choice:
    """The detector to train, and how it was chosen.

    Attributes:
        size: The detector.
        start: What it begins from; None for nothing.
        considered: What was tried, with what it got.
        reason: Why, in a sentence.
    """

    size: DetectorSize
    start: Model | None
    considered: tuple[DetectorSize, ...]
    reason: str


def search_detector(request: SearchRequest) -> SearchResult:
    """Train the most promising detector within a budget, in float32 where that is as large as in int8.

    Args:
        request: What is searched for; its data has boxes.

    Raises:
        PlanningError: If no detector meets the budget (said before any training), or latencies of another device are
            asked for.
        DataError: If the images cannot be used.
        TrainingError: If training diverges, or a checkpoint cannot be read or written.
    """
    if isinstance(request.device, DeviceProfile):
        raise PlanningError("profiles of devices hold no detectors: name no device, and this machine is measured")
    choice, choosing = timed("choice", partial(_chosen, request))
    size, side = choice.size, choice.size.network.height
    request.progress.note(f"{size} in {size.candidate.precision}: {choice.reason}")
    train = partial(
        together,
        fit_detector,
        choice.start,
        request.dataset,
        _settings(request, size),
        seconds=Timetable(request.settings.time).full(
            _passed(request), int8=size.candidate.precision == "int8", ending=_ending(request, size)
        ),
        checkpoint=None if request.folder is None else request.folder / CHECKPOINT_FILE,
        resume=request.resume,
        progress=request.progress,
    )
    made, training = timed("fine-tune", train)
    finished = _finished(request, size, made, choice.reason, training)
    (evaluation, latency), testing = timed("test", partial(_tested, request, finished))
    record = search_record(
        request,
        request.device,
        [finished.choice, *(one.candidate for one in choice.considered if one is not size)],
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
        weights=size.backbone.name or None,
    )
    result = SearchResult(
        with_provenance(finished.model, provenance),
        request.dataset,
        evaluation,
        made.history,
        made.best_epoch,
        _passed(request),
        with_provenance(made.model, provenance) if size.candidate.precision == "int8" else None,
        finished.quality,
        search=record,
        phases=(choosing, *finished.phases, testing),
        refusal=finished.refusal,
    )
    if request.folder is not None:
        write_run(result, request.folder)
        (request.folder / SIZE_FILE).unlink(missing_ok=True)
    return result


def _passed(request: SearchRequest) -> float:
    return time.monotonic() - request.begun


def _ending(request: SearchRequest, size: DetectorSize) -> float:
    """About how many seconds int8 takes, of few images, where the time is limited: as a run of the network tells."""
    network = size.network
    if request.settings.time is None or size.candidate.precision == "float32":
        return 0.0
    session = Session(synthetic_model(network, "float32", size.task), 1)
    image = np.zeros((1, network.height, network.width, network.channels), np.uint8)
    session.run(image)
    begun = time.monotonic()
    session.run(image)
    running = time.monotonic() - begun
    return Pace(0.0, running).quantizing(1.0) * (TRIED_IMAGES + FEWEST_CALIBRATION_IMAGES)


def _settings(request: SearchRequest, size: DetectorSize) -> Settings:
    """The settings of the training of a detector."""
    width = None if size.backbone.name else size.backbone.width
    return replace(request.settings, resolution=size.network.height, width=width)


# The choice -----------------------------------------------------------------------------------------------------------


def _chosen(request: SearchRequest) -> _Choice:
    """The detector to train, remembered for a run that goes on."""
    weights = _weights(request)
    found = backbones(request, weights)
    kept = None if request.folder is None else request.folder / SIZE_FILE
    if request.resume and kept is not None and kept.exists():
        known = json.loads(kept.read_text())
        for one in found:
            if (one.name, one.width) == (known["weights"], known["width"]) and known["resolution"] in one.contenders:
                size = sized(request, one, known["resolution"], known["precision"])
                if size is not None:
                    return _Choice(size, _start(request, size, weights), (size,), known["reason"])
        raise TrainingError(f"{known['weights']}, which this run began from, is not to be had any more")
    sizes = largest_sizes(request, found, MARGIN)[:FINALISTS]
    _say_how_long(request, sizes)
    chosen = _tried(request, sizes, weights) if len(sizes) > 1 else _only(request, sizes[0], len(found), weights)
    if kept is not None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        size = chosen.size
        remembered = {
            "weights": size.backbone.name,
            "width": size.backbone.width,
            "resolution": size.network.height,
            "precision": size.candidate.precision,
            "reason": chosen.reason,
        }
        write_atomically(kept, json.dumps(remembered).encode())
    return chosen


def _weights(request: SearchRequest) -> tuple[Pretrained, ...]:
    """The classifiers that detectors may begin from."""
    settings = request.settings
    _, named = detector_architecture(settings)
    family = None if settings.architecture is None else named.name
    wanted = None if settings.weights == "none" else settings.weights
    weights = pretrained_weights(
        wanted,
        replace(request.budget, max_latency_ms=None),
        family=family,
        sides=SIDES,
        classes=len(request.dataset.labels),
        precisions=request.precisions,
        progress=request.progress,
    )
    for one in weights:
        if family is not None and one.model.network.name != family:
            raise TrainingError(f"the weights are of {one.model.network.name}; a detector on {family} was asked")
    if wanted == AUTO and not weights:
        request.progress.note("trains from scratch: no published weights are to be had")
    return weights


def _start(request: SearchRequest, size: DetectorSize, weights: Sequence[Pretrained]) -> Model | None:
    """What the training of a detector begins from, with statistics of its own where it is cut."""
    side, backbone = size.network.height, size.backbone
    contender = backbone.contenders[side]
    if contender is None:
        return None
    ready = trainable(contender.weights, request.dataset)
    model = replace(contender, weights=ready).model()
    if not contender.cut:
        return model
    few = request.dataset.train.take(spread(len(request.dataset.train), STATISTICS_IMAGES))
    return recalibrated_with_torch(model, prepare(few, model.preprocessing, side, side).pixels)


def _only(request: SearchRequest, size: DetectorSize, looked_at: int, weights: Sequence[Pretrained]) -> _Choice:
    among = f", the most promising of {plural(looked_at, 'backbone')}" if looked_at > 1 else ""
    reason = f"the largest within {request.budget}{among}"
    return _Choice(size, _start(request, size, weights), (size,), reason)


def _tried(request: SearchRequest, sizes: Sequence[DetectorSize], weights: Sequence[Pretrained]) -> _Choice:
    """Train each shortly; the validation images choose."""
    tried: list[tuple[float, DetectorSize, Model | None]] = []
    for number, size in enumerate(sizes):
        request.progress.note(f"training {size} shortly, {number + 1} of {len(sizes)}")
        start = _start(request, size, weights)
        settings = _settings(request, size)
        epochs = max(1, round(SHORT_SHARE * detector_run(start, request.dataset, settings).epochs))
        made = together(
            fit_detector,
            start,
            request.dataset,
            replace(settings, epochs=epochs, validation_apart=True),
            seconds=Timetable(request.settings.time).short(len(sizes)),
            progress=request.progress,
        )
        score = made.validation_primary or 0.0
        candidate = replace(size.candidate, accuracy=score)
        tried.append((score, replace(size, candidate=candidate), start))
    score, size, start = max(tried, key=lambda one: one[0])
    reason = f"the best of {plural(len(sizes), 'detector')} within {request.budget} after a short training each"
    request.progress.note(f"mAP 50-95 then: {', '.join(f'{one} {percent(got)}' for got, one, _ in tried)}")
    return _Choice(size, start, tuple(one for _, one, _ in tried), reason)


def _say_how_long(request: SearchRequest, sizes: Sequence[DetectorSize]) -> None:
    """About how long it all takes, by a few steps that are timed here."""
    if request.settings.time is not None:
        return
    whole = []
    for size in sizes:
        run = detector_run(size.backbone.start(size.network.height), request.dataset, _settings(request, size))
        images = len(request.dataset.train) + (0 if run.joined is None else len(request.dataset.validation))
        whole.append(run.epochs * images * detector_seconds_per_image(size.network, size.task, run))
    short = SHORT_SHARE * sum(whole) if len(sizes) > 1 else 0.0
    first = f"choosing among {plural(len(sizes), 'detector')} takes about {duration(short)}, and " if short else ""
    took = duration(sum(whole) / len(whole))
    request.progress.note(f"{first}training about {took}, unless a limit of time ends it before")


def _finished(request: SearchRequest, size: DetectorSize, made: FineTuned, reason: str, training: Phase) -> Finished:
    """The trained detector, quantized where the budget is met in int8."""
    score = made.validation_primary
    if size.candidate.precision == "float32":
        choice = replace(size.candidate, accuracy=score or 0.0)
        missed = _missed(request, score)
        return Finished(choice, reason, made, made.model, score, None, (training,), missed)
    seconds = Timetable(request.settings.time).compression(_passed(request))
    compress = partial(quantize_fitted, made.model, request.dataset, seconds=seconds, progress=request.progress)
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
    if predicted is None or request.device is not None:
        return evaluation, None
    (spent,) = time_sessions([Session(model, request.threads)], progress=request.progress)
    ordered = sorted(spent)
    return evaluation, MeasuredLatency(ordered[len(ordered) // 2], ordered[0], predicted, request.threads)
