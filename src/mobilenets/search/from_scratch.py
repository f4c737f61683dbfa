"""A search that begins from nothing: one supernet for all sizes, its subnets compared, and one of them fine-tuned.

Every step is a function from values to values: measure a device (:mod:`mobilenets.search.profile`), but not where only
size, memory or Mult-Adds are limited; predict what every size costs (:mod:`mobilenets.search.candidates`); train one
supernet, no wider and no larger than the budget allows (:mod:`mobilenets.training.supernet`); evaluate its subnets on
the validation images (:mod:`mobilenets.search.supernet`); choose one (:mod:`mobilenets.search.frontier`), fine-tune it,
quantize it if it was chosen in int8, and test it once.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from mobilenets.architecture.catalog import Specification
from mobilenets.architecture.network import Network
from mobilenets.base.progress import Progress
from mobilenets.compression.result import CompressionResult
from mobilenets.data.dataset import Dataset
from mobilenets.errors import TrainingError
from mobilenets.model.file import save
from mobilenets.model.model import Model
from mobilenets.search.budget import Budget, affordable
from mobilenets.search.candidates import (
    Candidate,
    Device,
    find_candidate,
    networks_of_sizes,
    predicted_candidates,
    search_resolutions,
    search_widths,
    widths_of_subnets,
)
from mobilenets.search.contenders import sensible_sides
from mobilenets.search.ending import SearchRequest, search_record, tested, with_provenance
from mobilenets.search.finishing import Finished, allowed_drop, finish
from mobilenets.search.measuring import measure_profile
from mobilenets.search.microcontroller import Microcontroller
from mobilenets.search.plan import check_trusted
from mobilenets.search.profile import ARCHITECTURE, EIGHTHS, DeviceProfile
from mobilenets.search.record import SearchRecord
from mobilenets.search.result import Phase, SearchResult, timed
from mobilenets.search.supernet import EvaluatedSupernet, check_validation, evaluate_supernet, never
from mobilenets.search.timetable import Timetable
from mobilenets.tasks.task import Metrics
from mobilenets.training.image_cache import CachedImages, cache_images
from mobilenets.training.leading import together
from mobilenets.training.quantize import quantize_fitted
from mobilenets.training.recalibration import recalibrated_with_torch
from mobilenets.training.recipe import suited_to
from mobilenets.training.result import provenance_of
from mobilenets.training.run_folder import (
    CHECKPOINT_FILE,
    PROFILE_FILE,
    SUPERNET_FILE,
    fine_tuning_checkpoint,
    write_run,
)
from mobilenets.training.settings import Settings, default_resolution, set_up, specification
from mobilenets.training.supernet import (
    SupernetTraining,
    TrainedModel,
    fine_tune_subnet,
    supernet_epochs,
    train_supernet,
)

MEASURING_ROUNDS = 8
SMALL_WIDTHS = (0.125, 0.1875)
"""Widths below the usual, for microcontrollers that hold no other."""
MOST_SIDES = 4
"""Resolutions that a supernet is trained for at most."""


def search_from_scratch(asked: SearchRequest) -> SearchResult:
    """Train a supernet for a budget, and finish the subnet that the budget is best spent on.

    Args:
        asked: What is searched for.

    Raises:
        PlanningError: If nothing meets the budget (said before any training), or nothing reaches the accuracy.
        DataError: If a class has too few images to choose by.
        TrainingError: If the settings ask for what a supernet cannot do, or training diverges.
    """
    dataset, settings, progress = asked.dataset, asked.settings, asked.progress
    architecture = largest_architecture(settings)
    recipe, processor, precision = set_up(settings)
    check_validation(dataset)
    widths, sides = searched_sizes(asked, architecture)
    training = SupernetTraining(
        recipe=suited_to(recipe, dataset.labels, settings.flip),
        widths=widths,
        resolutions=sides,
        device=processor,
        precision=precision,
        epochs=settings.epochs,
        seed=settings.seed,
    )
    request = SupernetSearch(
        dataset,
        architecture,
        training,
        asked.budget,
        asked.precisions,
        asked.threads,
        asked.device,
        asked.folder,
        asked.resume,
        progress,
        settings.time,
        asked.begun,
    )
    costs, measuring = timed("latency", partial(predict_costs, request))
    network = supernet_network(request, costs)
    images = CachedTraining(dataset, network.height, settings.memory_share)
    trained, training_phase = timed("supernet", partial(_train, request, network, images))
    evaluated, evaluating = timed("frontier", partial(_evaluate, request, costs, trained.model))
    fine_tune = partial(_fine_tune, request, evaluated.supernet, images)

    def compress(model: Model) -> CompressionResult:
        return quantize_fitted(
            model,
            dataset,
            max_drop=allowed_drop(len(dataset.validation)),
            seconds=Timetable(request.time).compression(request.passed),
            progress=progress,
        )

    finished = finish(evaluated.candidates, asked.budget, fine_tune, compress, progress=progress)
    (evaluation, latency), testing = timed("test", partial(tested, asked, finished))
    phases = (measuring, training_phase, evaluating, *finished.phases, testing)
    record = search_record(
        asked,
        costs.profile,
        evaluated.candidates,
        finished,
        latency,
        largest=(network.width_multiplier, network.height),
    )
    result = _result(request, network, finished, evaluation, record, phases, time.monotonic() - asked.begun)
    if asked.folder is not None:
        write_run(result, asked.folder)
        for one in evaluated.candidates:
            fine_tuning_checkpoint(asked.folder, one.width_multiplier, one.resolution).unlink(missing_ok=True)
    return result


@dataclass(frozen=True, eq=False)
class SupernetSearch:
    """What a search is asked to do; its steps are functions of it.

    Attributes:
        dataset: Images of all three parts.
        architecture: Its width and resolution do not count.
        training: How the supernet is trained, and the sizes that are considered.
        budget: Limits, and the accuracy to reach.
        precisions: ``float32``, ``int8`` or both.
        threads: Threads that share one image.
        device: What the Model is used on; None to measure this machine.
        folder: Where everything is written, if anywhere.
        resume: Whether to go on from the checkpoints in the folder.
        progress: Receives progress updates.
        time: What all of it may take, in seconds; None for no limit.
        begun: When it began, by :func:`time.monotonic`.
    """

    dataset: Dataset
    architecture: Specification
    training: SupernetTraining
    budget: Budget
    precisions: tuple[str, ...]
    threads: int
    device: Device | None
    folder: Path | None
    resume: bool
    progress: Progress
    time: float | None
    begun: float

    @property
    def passed(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self.begun


# The steps ------------------------------------------------------------------------------------------------------------


def largest_architecture(settings: Settings) -> Specification:
    """The architecture that is searched, with the largest width that is considered.

    Raises:
        TrainingError: If the settings ask for what a search cannot do.
    """
    if isinstance(settings.architecture, Network):
        raise TrainingError(f"a budget is met by subnets of {ARCHITECTURE}; {settings.architecture!r} was given")
    named = Specification.parse(settings.architecture or ARCHITECTURE).width_multiplier
    chosen = named if settings.width is None else settings.width
    widest = max(EIGHTHS) if chosen is None else chosen
    largest = replace(specification(settings), width_multiplier=widest)
    if not _searched_widths(largest):
        raise TrainingError(
            f"a budget is met by subnets, and {largest.name} has none: its narrower networks are not the first "
            f"channels of the wide one; {ARCHITECTURE} has, and so have its successors"
        )
    if widest < min(EIGHTHS):
        raise TrainingError(f"the smallest width that is trained is {min(EIGHTHS):g}; {widest:g} is below it")
    return largest


def _searched_widths(architecture: Specification) -> tuple[float, ...]:
    """Every α that is considered up to the architecture's own."""
    return widths_of_subnets(architecture, search_widths(architecture.width_multiplier or max(EIGHTHS)))


def searched_sizes(asked: SearchRequest, architecture: Specification) -> tuple[tuple[float, ...], tuple[int, ...]]:
    """Widths and resolutions that a supernet is trained for.

    For a microcontroller, resolutions go down to the smallest there is, and widths below the usual where none of those
    meets the budget: the four largest resolutions that any network within the budget has.
    """
    widths = _searched_widths(architecture)
    largest = architecture.resolution or default_resolution(asked.dataset.train)
    if not isinstance(asked.device, Microcontroller):
        return widths, search_resolutions(largest)
    sides = sensible_sides(largest, largest)
    for narrow in (widths, (*widths_of_subnets(architecture, SMALL_WIDTHS), *widths)):
        networks = networks_of_sizes(architecture, narrow, sides, classes=len(asked.dataset.labels))
        candidates = predicted_candidates(networks, asked.device, precisions=asked.precisions, threads=1)
        usable = sorted({one.resolution for one in candidates if asked.budget.meets(one)}, reverse=True)
        if usable:
            return narrow, tuple(usable[:MOST_SIDES])
    return widths, sides[-MOST_SIDES:]


@dataclass(frozen=True)
class Costs:
    """What every size costs, before any of them has an accuracy.

    Attributes:
        profile: The device; None where latencies take no part in the choice.
        candidates: Every size in every precision; their accuracy is 0.
        usable: Those that meet the limits of the budget.
    """

    profile: Device | None
    candidates: tuple[Candidate, ...]
    usable: tuple[Candidate, ...]


def predict_costs(request: SupernetSearch) -> Costs:
    """Predict what every size costs, from the latencies of a device; they are kept in the output folder.

    Raises:
        PlanningError: If the profile does not cover the sizes, or none meets the budget.
    """
    profile = request.device or (_measured_profile(request) if request.budget.needs_latency else None)
    training, classes = request.training, len(request.dataset.labels)
    networks = networks_of_sizes(request.architecture, training.widths, training.resolutions, classes=classes)
    candidates = predicted_candidates(networks, profile, precisions=request.precisions, threads=request.threads)
    usable = affordable(candidates, request.budget)
    if request.folder is not None:
        request.folder.mkdir(parents=True, exist_ok=True)
        if isinstance(profile, DeviceProfile):
            profile.save(request.folder / PROFILE_FILE)
    return Costs(profile, candidates, tuple(usable))


def supernet_network(request: SupernetSearch, costs: Costs) -> Network:
    """The network of the supernet: no wider and no larger than the budget can use."""
    widest = max(one.width_multiplier for one in costs.usable)
    largest = max(one.resolution for one in costs.usable)
    narrowest = min(request.training.widths)
    widths = f"widths {narrowest:g} to {widest:g}" if narrowest < widest else f"width {widest:g}"
    sides = sorted(side for side in request.training.resolutions if side <= largest)
    request.progress.note(
        f"{len(costs.usable)} of {len(costs.candidates)} networks meet the budget; training a supernet for {widths} "
        f"and {', '.join(map(str, sides))} pixels"
    )
    chosen = replace(request.architecture, width_multiplier=widest, resolution=largest)
    return chosen.network(classes=len(request.dataset.labels))


def _train(request: SupernetSearch, network: Network, images: CachedTraining) -> TrainedModel:
    return together(
        _supernet,
        images,
        network,
        request.training,
        seconds=Timetable(request.time).supernet(request.passed),
        checkpoint=request.folder and request.folder / CHECKPOINT_FILE,
        resume=request.resume,
        progress=request.progress,
    )


def _supernet(images: CachedTraining, network: Network, how: SupernetTraining, **named: Any) -> TrainedModel:
    """What each of the processes does that train together."""
    return train_supernet(network, images.dataset, images.cached(named["progress"]), how, **named)


def _subnet(
    images: CachedTraining, supernet: Model, size: tuple[float, int], how: SupernetTraining, **named: Any
) -> TrainedModel:
    """What each of the processes does that train together."""
    return fine_tune_subnet(supernet, size, images.dataset, images.cached(named["progress"]), how, **named)


class CachedTraining:
    """The training images of a search, resized where they are first wanted; no pixels are sent to other processes.

    Args:
        dataset: The images of all parts.
        resolution: Side of the largest network's input, in pixels.
        memory_share: Of the settings.
    """

    def __init__(self, dataset: Dataset, resolution: int, memory_share: float) -> None:
        self.dataset, self._resolution, self._memory_share = dataset, resolution, memory_share
        self._cached: CachedImages | None = None

    def cached(self, progress: Progress) -> CachedImages:
        """The images.

        Args:
            progress: Receives progress updates while they are resized.
        """
        if self._cached is None:
            self._cached = cache_images(
                self.dataset.train, self._resolution, memory_share=self._memory_share, progress=progress
            )
        return self._cached

    def __reduce__(self) -> tuple[Any, ...]:
        return CachedTraining, (self.dataset, self._resolution, self._memory_share)


def _evaluate(request: SupernetSearch, costs: Costs, supernet: Model) -> EvaluatedSupernet:
    """Evaluate every subnet; the supernet is written with their batch-norm statistics."""
    sizes = [
        (width, side)
        for width in request.training.widths
        for side in request.training.resolutions
        if width <= supernet.network.width_multiplier and side <= supernet.network.height
    ]
    timetable, begun = Timetable(request.time), request.passed
    usable = {(one.width_multiplier, one.resolution): one.macs for one in costs.usable}
    if request.time is not None:  # the largest within the budget, which promise the most, come first
        sizes.sort(key=lambda size: -usable.get(size, 0))
    evaluated = evaluate_supernet(
        supernet,
        request.dataset,
        sizes,
        request.precisions,
        partial(find_candidate, costs.candidates),
        recalibrated_with_torch,
        request.budget,
        over=never if request.time is None else lambda: request.passed > timetable.subnets_end(begun),
        progress=request.progress,
    )
    if request.folder is not None:
        save(evaluated.supernet, request.folder / SUPERNET_FILE)
    return evaluated


def _fine_tune(request: SupernetSearch, supernet: Model, images: CachedTraining, choice: Candidate) -> TrainedModel:
    size = choice.width_multiplier, choice.resolution
    return together(
        _subnet,
        images,
        supernet,
        size,
        request.training,
        seconds=Timetable(request.time).full(request.passed, int8=choice.precision == "int8"),
        checkpoint=request.folder and fine_tuning_checkpoint(request.folder, *size),
        resume=request.resume,
        progress=request.progress,
    )


def _measured_profile(request: SupernetSearch) -> DeviceProfile:
    """Latencies of this machine; those of the run that goes on, so that it chooses what it would have chosen."""
    kept = None if request.folder is None else request.folder / PROFILE_FILE
    if request.resume and kept is not None and kept.exists():
        return DeviceProfile.load(kept)
    networks = len(request.training.widths) * len(request.training.resolutions) * len(request.precisions)
    profile = measure_profile(
        architecture=request.architecture.name,
        widths=request.training.widths,
        resolutions=request.training.resolutions,
        precisions=request.precisions,
        threads=(request.threads,),
        classes=len(request.dataset.labels),
        rounds=Timetable(request.time).rounds(networks, MEASURING_ROUNDS),
        checked=False,
        progress=request.progress,
    )
    check_trusted(profile.steadiness)
    if profile.steadiness is not None and profile.steadiness.warning is not None:
        request.progress.note(f"latencies were measured while {profile.steadiness.warning}")
    return profile


def _result(
    request: SupernetSearch,
    supernet: Network,
    finished: Finished,
    evaluation: Metrics,
    record: SearchRecord,
    phases: tuple[Phase, ...],
    seconds: float,
) -> SearchResult:
    """The Models with the provenance of the run, and its figures."""
    dataset, tuned, recipe = request.dataset, finished.fine_tuned, request.training.recipe
    provenance = provenance_of(dataset, recipe, tuned.run, tuned.best_epoch, finished.validation_primary, evaluation)
    epochs = supernet_epochs(request.training.usual_epochs(dataset, supernet))
    training = replace(provenance.training, supernet_epochs=epochs, budget=asdict(request.budget))
    provenance = replace(provenance, training=training)
    return SearchResult(
        with_provenance(finished.model, provenance),
        dataset,
        evaluation,
        tuned.history,
        tuned.best_epoch,
        seconds,
        None if finished.quality is None else with_provenance(tuned.model, provenance),
        finished.quality,
        search=record,
        phases=phases,
        refusal=finished.refusal,
    )
