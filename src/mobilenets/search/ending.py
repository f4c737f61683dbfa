"""The end of every search: the test of the finished Model, and the record of what was considered and chosen."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mobilenets.base.progress import SILENT, Progress
from mobilenets.data.dataset import Dataset
from mobilenets.data.loading import prepare
from mobilenets.engine.evaluate import evaluate_prepared
from mobilenets.engine.session import Session
from mobilenets.engine.timing import time_sessions
from mobilenets.model.model import Model
from mobilenets.model.provenance import Provenance
from mobilenets.search.budget import Budget
from mobilenets.search.candidates import Candidate, Device
from mobilenets.search.finishing import Finished
from mobilenets.search.record import LatencySource, MeasuredLatency, SearchRecord
from mobilenets.tasks.task import Metrics
from mobilenets.training.settings import Settings
from mobilenets.training.workers import ALONE, TrainingWorkers


@dataclass(frozen=True, eq=False)
class SearchRequest:
    """What a search is asked to do; its steps are functions of it.

    Attributes:
        dataset: Images of all three parts.
        settings: How to train.
        budget: Limits, and the accuracy to reach.
        precisions: ``float32``, ``int8`` or both.
        threads: Threads that share one image.
        device: What the Model is used on; None to measure this machine.
        folder: Where everything is written, if anywhere.
        resume: Whether to go on from the checkpoints in the folder.
        progress: Receives progress updates.
        begun: When it began, on the monotonic clock.
        workers: Where candidates are trained.
    """

    dataset: Dataset
    settings: Settings
    budget: Budget
    precisions: tuple[str, ...]
    threads: int
    device: Device | None
    folder: Path | None
    resume: bool
    progress: Progress
    begun: float
    workers: TrainingWorkers = ALONE

    def apart(self) -> SearchRequest:
        """The request as a worker needs it, which writes nothing and speaks to nobody."""
        settings = self.workers.settled(self.settings)
        return replace(self, settings=settings, folder=None, resume=False, progress=SILENT, workers=ALONE)


def tested(request: SearchRequest, finished: Finished) -> tuple[Metrics, MeasuredLatency | None]:
    """Evaluate the finished Model on the test images, once, and time it if it is to be used here."""
    model, network = finished.model, finished.model.network
    prepared = prepare(
        request.dataset.test, model.preprocessing, network.height, network.width, progress=request.progress
    )
    evaluation = evaluate_prepared(model, prepared)
    predicted_ms = finished.choice.latency_ms
    if request.device is not None or predicted_ms is None:
        return evaluation, None
    (spent,) = time_sessions([Session(model, request.threads)], progress=request.progress)
    latency = MeasuredLatency(statistics.median(spent), min(spent), predicted_ms, request.threads)
    return evaluation, latency


def search_record(
    request: SearchRequest,
    profile: Device | None,
    candidates: Sequence[Candidate],
    finished: Finished,
    latency: MeasuredLatency | None,
    *,
    largest: tuple[float, int],
) -> SearchRecord:
    """What was considered and chosen.

    Args:
        request: What was searched for.
        profile: The device that it was chosen for; None where latencies took no part.
        candidates: Everything that was tried.
        finished: The choice.
        latency: Of the finished Model.
        largest: α and resolution of the largest network that was considered.
    """
    device = request.device
    return SearchRecord(
        budget=request.budget,
        device=None
        if profile is None
        else LatencySource(
            profile.device,
            profile.engine,
            request.threads,
            measured_here=device is None,
            interpolation_error=None if device is None else device.interpolation_error,
        ),
        candidates=tuple(candidates),
        choice=finished.choice,
        reason=finished.reason,
        validation_images=len(request.dataset.validation),
        widest=largest[0],
        largest=largest[1],
        latency=latency,
    )


def with_provenance(model: Model, provenance: Provenance) -> Model:
    """A Model with the provenance of the run; what compression wrote into its own stays."""
    provenance = replace(provenance, quantization=Provenance.of(model).quantization)
    return replace(model, provenance=provenance.encode())
