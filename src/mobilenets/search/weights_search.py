"""A search that begins from published weights, from the request to the result.

Its steps are those of :mod:`mobilenets.search.from_weights`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial

from mobilenets.architecture.catalog import Specification
from mobilenets.architecture.cost import cost
from mobilenets.base.text import duration, plural
from mobilenets.compression.pipeline import CALIBRATION_IMAGES
from mobilenets.compression.result import CompressionResult
from mobilenets.data.dataset import Dataset
from mobilenets.errors import CompressionError, PlanningError, TrainingError
from mobilenets.model.file import save
from mobilenets.model.model import Model
from mobilenets.search.candidates import Candidate, Device
from mobilenets.search.contenders import Contender, Pretrained, Started, sensible_sides
from mobilenets.search.ending import SearchRequest, search_record, tested, with_provenance
from mobilenets.search.finishing import Finished, allowed_drop, finish
from mobilenets.search.from_weights import (
    FINALISTS,
    PROBED_IMAGES,
    TRIED_IMAGES,
    PreparedImages,
    Priced,
    files_of,
    fine_tuned,
    first_usable,
    judged_by_head,
    measured_here,
    pace_of,
    priced,
    usable_model,
    with_heads,
    with_tuning,
)
from mobilenets.search.halving import expected, network_of
from mobilenets.search.pretrained import pretrained_weights, trainable
from mobilenets.search.profile import DeviceProfile
from mobilenets.search.record import SearchRecord
from mobilenets.search.result import Phase, SearchResult, timed
from mobilenets.search.timetable import Pace, Timetable
from mobilenets.tasks.task import Metrics
from mobilenets.training.features import MOST_IMAGES, feature_network
from mobilenets.training.fine_tuning import FineTuned, fine_tune
from mobilenets.training.fine_tuning_plan import epochs_to_fine_tune
from mobilenets.training.leading import together
from mobilenets.training.quantize import quantize_fitted
from mobilenets.training.recipe import for_fine_tuning, suited_to
from mobilenets.training.result import provenance_of
from mobilenets.training.run_folder import CHECKPOINT_FILE, MODEL_FILE, PROFILE_FILE, write_run
from mobilenets.training.settings import Settings, image_side, set_up
from mobilenets.training.step_timing import seconds_per_image
from mobilenets.training.supernet import TrainedModel
from mobilenets.training.task_training import on_validation_images, task_training

JUDGED = "by what heads on frozen features and short fine-tunings got"
"""What the choice follows from."""
PROBING_SECONDS = 6.0
"""About what a head on the features of a frozen network takes."""
EXPECTED_CALIBRATION = 40
"""Images that int8 is hoped to be calibrated with where the time is limited."""
FIXED_SECONDS = 1.0
"""What a short fine-tuning takes besides its images."""
SHORT_SHARE = 0.15
"""Epochs of a short fine-tuning, as a share of those of a whole one."""


def search_from_weights(request: SearchRequest) -> SearchResult | None:
    """Find, fine-tune and test the published network that a budget is best spent on.

    Args:
        request: What is searched for; its settings name the weights.

    Returns:
        What came of it; None where no published weights are to be had.

    Raises:
        PlanningError: If nothing meets the budget (said before any training).
        DataError: If the images cannot be used.
        ModelFileError: If the weights that the settings name do not exist.
        FormatError: If they cannot be read.
        TrainingError: If training diverges, or a checkpoint cannot be read or written.
    """
    settings, dataset, progress = request.settings, request.dataset, request.progress
    sides = sensible_sides(image_side(dataset.train), settings.resolution)
    weights = pretrained_weights(
        settings.weights,
        request.budget,
        family=family_of(settings),
        sides=sides,
        classes=len(dataset.labels),
        precisions=request.precisions,
        device=request.device,
        progress=progress,
    )
    if not weights and dataset.task != "classification":
        raise PlanningError(
            "a supernet from scratch is of classifiers, and no published weights are to be had for this budget: fetch "
            "some (mobilenets models fetch NAME), or name a size in place of the budget, such as the architecture "
            "mobilenet_v1@0.25-96"
        )
    if not weights:
        progress.note("no published weights are available for this budget: a supernet is trained from scratch")
        return None
    progress.note(f"begins from {', '.join(one.name for one in weights)}; weights='none' trains from scratch")
    weights = tuple(trainable(one, dataset) for one in weights)
    timetable = Timetable(settings.time)
    found, measuring = timed("latency", partial(_priced, request, weights, sides, timetable))
    found = _going_on(request, found)
    progress.note(_plan(request, found))
    pace = _pace(request, found.contenders)
    images = _images(request, found.contenders, timetable, pace)
    _write_first(request, found.contenders, images)
    heads_over = partial(_is_over, request, timetable.heads_end(time.monotonic() - request.begun))
    beside = partial(request.workers.results, partial(_judged, request.apart())) if request.workers.apart else None
    first = None if settings.time is None else _largest(found.contenders)  # of which a Model is there already
    judge = partial(
        with_heads, found.contenders, images, first=first, over=heads_over, beside=beside, progress=progress
    )
    judged, judging = timed("heads", judge)
    if not judged:
        raise PlanningError("none of the networks within the budget has a vector of features to put a classifier on")
    finalists = _finalists(request, judged, timetable, pace)
    shortly = partial(_fine_tune, _trained_by(request), stage="short", seconds=timetable.short(finalists))
    tune_shortly = partial(
        with_tuning,
        judged,
        request.budget,
        images,
        len(dataset.validation),
        shortly,
        finalists=finalists,
        workers=request.workers,
        progress=progress,
    )
    contenders, tuning = timed("short", tune_shortly)
    candidates = [candidate for one in contenders for candidate in one.candidates]
    finished = _finished(request, timetable, pace, images, contenders)
    (evaluation, latency), testing = timed("test", partial(tested, request, finished))
    largest = (
        max(one.network.width_multiplier for one in found.contenders),
        max(one.network.height for one in found.contenders),
    )
    record = search_record(request, found.profile, candidates, finished, latency, largest=largest)
    phases = (measuring, judging, tuning, *finished.phases, testing)
    result = _result(request, finished, evaluation, record, phases)
    if request.folder is not None:
        write_run(result, request.folder)
        for file in request.folder.glob(f"*.{CHECKPOINT_FILE}"):
            file.unlink()
    return result


def family_of(settings: Settings) -> str | None:
    """The architecture whose published networks are searched; None for all.

    Args:
        settings: They name it, or do not.

    Raises:
        ArchitectureError: If it is unknown.
        TrainingError: If it is not a name.
    """
    if settings.architecture is None:
        return None
    if not isinstance(settings.architecture, str):
        raise TrainingError(
            f"a budget is met by published networks or subnets of a named architecture; {settings.architecture!r} was "
            "given"
        )
    named = Specification.parse(settings.architecture)
    named.network()  # an unknown name is refused
    return named.name


def _is_over(request: SearchRequest, seconds: float) -> bool:
    return time.monotonic() - request.begun > seconds


def _priced(
    request: SearchRequest, weights: Sequence[Pretrained], sides: Sequence[int], timetable: Timetable
) -> Priced:
    """What every network costs; the latencies are kept in the output folder."""
    kept = None if request.folder is None else request.folder / PROFILE_FILE
    earlier = DeviceProfile.load(kept) if request.resume and kept is not None and kept.exists() else None

    def measure(contenders: Sequence[Contender]) -> Device | None:
        if request.device is not None or not request.budget.needs_latency:
            return request.device
        known = earlier is not None and all(
            earlier.covers(one.network, precision, request.threads)
            for one in contenders
            for precision in request.precisions
        )
        if known:
            return earlier
        return measured_here(contenders, request.precisions, request.threads, timetable, request.progress)

    found = priced(
        weights,
        sides,
        request.budget,
        classes=len(request.dataset.labels),
        widest=request.settings.width,
        precisions=request.precisions,
        threads=request.threads,
        measure=measure,
        progress=request.progress,
    )
    if request.folder is not None:
        request.folder.mkdir(parents=True, exist_ok=True)
        if isinstance(found.profile, DeviceProfile):
            found.profile.save(request.folder / PROFILE_FILE)
    return found


def _going_on(request: SearchRequest, found: Priced) -> Priced:
    """What is told apart; where a run goes on in a limited time, only the network that it was training in full."""
    if not request.resume or request.settings.time is None:
        return found
    chosen = [
        one for one in found.contenders if (file := files_of(request.folder, one, "full")) is not None and file.exists()
    ]
    if not chosen:
        return found
    request.progress.note(f"{chosen[0].candidates[0].label} was chosen before: the time is for its training")
    return replace(found, contenders=(chosen[0],))


def _plan(request: SearchRequest, found: Priced) -> str:
    """What will be done, and how long it may take."""
    settings, dataset = request.settings, request.dataset
    networks = f"{plural(len(found.contenders), 'network')} of {found.considered} within the budget to be told apart"
    if settings.time is not None:
        return f"{networks}; it ends after {duration(settings.time)} with the best Model so far"
    largest = max(found.contenders, key=lambda one: cost(one.network).macs)
    recipe, device, _ = set_up(settings)
    recipe = suited_to(for_fine_tuning(recipe, len(dataset.train)), dataset.labels, settings.flip)
    epochs = epochs_to_fine_tune(largest.network, len(dataset.train), settings, recipe, device)
    rounds = 1 + (FINALISTS * SHORT_SHARE if len(found.contenders) > 1 else 0)
    per_image = seconds_per_image(largest.network, dataset.train, recipe, device=device)
    seconds = per_image * len(dataset.train) * epochs * rounds + PROBING_SECONDS * len(found.contenders)
    return f"{networks}, and one of them to be fine-tuned: about {duration(seconds)} at most"


def _largest(contenders: Sequence[Contender]) -> Contender | None:
    """The largest whole network, or the largest that is cut; None where none has a vector of features."""
    possible = [one for one in contenders if feature_network(one.network) is not None]
    return max(possible, key=lambda one: (not one.cut, cost(one.network).macs, one.name), default=None)


def _pace(request: SearchRequest, contenders: Sequence[Contender]) -> Pace | None:
    """How fast this machine is, where the time is limited and a network can tell it."""
    one = None if request.settings.time is None else _largest(contenders)
    return None if one is None else pace_of(one, request.dataset)


def _images(
    request: SearchRequest, contenders: Sequence[Contender], timetable: Timetable, pace: Pace | None
) -> PreparedImages:
    """The images that networks are compared on: fewer where the time is short."""
    dataset, progress = request.dataset, request.progress
    one = _largest(contenders)
    if pace is None or one is None:
        return PreparedImages(dataset, progress)
    macs = cost(one.network).macs
    most = timetable.probed(pace.probing(macs), PROBED_IMAGES)
    if most < min(PROBED_IMAGES, len(dataset.train)):
        progress.note(f"networks are compared on {most:,} of {len(dataset.train):,} training images: the time is short")
    calibrating = timetable.calibrated(pace.quantizing(macs), CALIBRATION_IMAGES)
    return PreparedImages(dataset, progress, most=most, calibrating=calibrating)


def _finalists(request: SearchRequest, contenders: Sequence[Contender], timetable: Timetable, pace: Pace | None) -> int:
    """How many networks are fine-tuned shortly, where there is time for at least two."""
    if pace is None:
        return FINALISTS
    largest = max(cost(one.network).macs for one in contenders)
    known = min(len(request.dataset.train), MOST_IMAGES) + len(request.dataset.validation)
    preparing = known * pace.probing(largest) + (known + TRIED_IMAGES) * pace.decoding + FIXED_SECONDS
    if "int8" in request.precisions:
        preparing += timetable.calibrated(pace.quantizing(largest), CALIBRATION_IMAGES) * pace.quantizing(largest)
    count = timetable.finalists(preparing, FINALISTS)
    if count < min(FINALISTS, len(contenders)):
        tuned = f"{count} networks are" if count > 1 else "no network is"
        request.progress.note(f"{tuned} fine-tuned shortly before the choice: the time is short")
    return max(1, count)


def _write_first(request: SearchRequest, contenders: Sequence[Contender], images: PreparedImages) -> None:
    """Write a first usable Model, before anything is told apart or trained: of the largest whole network."""
    one = _largest(contenders) if len(request.dataset.validation) else None
    if one is None or request.folder is None:
        return
    training = task_training(request.dataset)
    try:
        model, got = first_usable(one, images, training, request.budget)
    except CompressionError:
        return  # the next ones may be quantized better
    (request.folder / f"search.{CHECKPOINT_FILE}").touch()  # so that nobody takes it for a finished run
    save(model, request.folder / MODEL_FILE)
    request.progress.note(
        f"first usable Model after {duration(time.monotonic() - request.begun)}: {one.candidates[0].label}, "
        f"{on_validation_images(training.metric, got)}; {request.folder / MODEL_FILE} is written, and better ones "
        "follow"
    )


def _judged(request: SearchRequest, contender: Contender) -> tuple[Started, ...]:
    """What a worker of a cluster does."""
    set_up(request.settings)
    return judged_by_head(contender, PreparedImages(request.dataset))


def _trained_by(request: SearchRequest) -> SearchRequest:
    """The request as it is where candidates are trained."""
    return request.apart() if request.workers.apart else request


def _fine_tune(
    request: SearchRequest,
    contender: Contender,
    model: Model,
    *,
    stage: str,
    seconds: float | None,
) -> FineTuned:
    """Fine-tune a contender, shortly or in full."""
    settings, dataset = request.settings, request.dataset
    recipe, _, _ = set_up(settings)
    apart = settings.validation_apart or stage == "short"  # which is compared by them
    chosen = replace(settings, resolution=None, width=None, time=None, validation_apart=apart)
    epochs = epochs_to_fine_tune(model.network, len(dataset.train), chosen, for_fine_tuning(recipe, len(dataset.train)))
    chosen = replace(chosen, epochs=max(1, round(SHORT_SHARE * epochs)) if stage == "short" else epochs)
    return together(
        fine_tune,
        model,
        dataset,
        chosen,
        seconds=seconds,
        checkpoint=files_of(request.folder, contender, stage),
        resume=request.resume,
        progress=request.progress,
    )


def _finished(
    request: SearchRequest,
    timetable: Timetable,
    pace: Pace | None,
    images: PreparedImages,
    contenders: Sequence[Contender],
) -> Finished:
    """Choose, fine-tune and, in int8, quantize."""
    dataset, progress = request.dataset, request.progress
    by_network = {network_of(one.candidates[0]): one for one in contenders}
    candidates = [candidate for one in contenders for candidate in one.candidates]
    tuned: dict[tuple[str, float, int], FineTuned] = {}

    def tune(choice: Candidate) -> TrainedModel:
        assert isinstance(choice, Started)  # as all of the candidates are
        key = network_of(choice)
        if key not in tuned:
            int8 = choice.precision == "int8"
            ending = 0.0 if pace is None else _ending(dataset, pace, choice)
            seconds = timetable.full(time.monotonic() - request.begun, int8=int8, ending=ending)
            one = replace(by_network[key], candidates=(choice,))
            fully = partial(_fine_tune, _trained_by(request), stage="full", seconds=seconds)
            begun = [(one, usable_model(one, images))]
            (_, tuned[key]), *_ = request.workers.results(partial(fine_tuned, fully), begun)
        return tuned[key]

    def compress(model: Model) -> CompressionResult:
        result = quantize_fitted(
            model,
            dataset,
            max_drop=allowed_drop(len(dataset.validation)),
            seconds=timetable.compression(time.monotonic() - request.begun),
            progress=progress,
        )
        if all(one.run.joined is None for one in tuned.values()):
            return result
        # The validation images were trained on: the float Model's temperature is of before, and holds for int8 too.
        return replace(result, model=replace(result.model, task=model.task))

    likely = expected(candidates, len(dataset.validation), images.count)
    goal = request.budget.min_accuracy
    reachable = goal is None or any(one.accuracy >= goal and request.budget.meets(one) for one in likely)
    budget = request.budget if reachable else replace(request.budget, min_accuracy=None)
    finished = finish(
        likely,
        budget,
        tune,
        compress,
        judged=JUDGED,
        metric=task_training(dataset).metric,
        progress=progress,
    )
    measured = next(one for one in candidates if replace(one, accuracy=finished.choice.accuracy) == finished.choice)
    reached = _validated(finished)
    measured = measured if reached is None else replace(measured, accuracy=reached)
    refusal = finished.refusal
    if refusal is None and goal is not None and reached is not None and reached < goal:
        refusal = (
            f"{100 * reached:.1f} % on the validation images is the best that was found; {100 * goal:.1f} % was asked"
        )
    return replace(finished, choice=measured, validation_primary=reached, refusal=refusal)


def _ending(dataset: Dataset, pace: Pace, choice: Candidate) -> float:
    """About how many seconds the rest takes after the fine-tuning of the choice: int8, the test and the report."""
    looked_at = 2 * len(dataset.test) * pace.looking(choice.macs)
    if choice.precision == "float32":
        return looked_at
    validated = len(dataset.validation) * pace.looking(choice.macs)
    return looked_at + validated + EXPECTED_CALIBRATION * pace.quantizing(choice.macs)


def _validated(finished: Finished) -> float | None:
    """The primary figure on validation images that the Model was not trained on.

    Where fine-tuning ended with training on them, it is what was measured before that, less what int8 lost.
    """
    before, quality = finished.fine_tuned.validation_primary, finished.quality
    if finished.fine_tuned.run.joined is None or quality is None or quality.drop is None or before is None:
        return finished.validation_primary
    return min(max(before - quality.drop / 100, 0.0), 1.0)


def _weights(finished: Finished) -> str | None:
    return finished.choice.weights if isinstance(finished.choice, Started) else None


def _result(
    request: SearchRequest,
    finished: Finished,
    evaluation: Metrics,
    record: SearchRecord,
    phases: tuple[Phase, ...],
) -> SearchResult:
    """The Models with the provenance of the run, and its figures."""
    dataset, tuned = request.dataset, finished.fine_tuned
    assert isinstance(tuned, FineTuned)  # as fine_tune gives them
    provenance = provenance_of(
        dataset,
        tuned.recipe,
        tuned.run,
        tuned.best_epoch,
        finished.validation_primary,
        evaluation,
        weights=_weights(finished),
    )
    training = replace(provenance.training, budget=asdict(request.budget))
    provenance = replace(provenance, training=training)
    return SearchResult(
        with_provenance(finished.model, provenance),
        dataset,
        evaluation,
        tuned.history,
        tuned.best_epoch,
        time.monotonic() - request.begun,
        None if finished.quality is None else with_provenance(tuned.model, provenance),
        finished.quality,
        search=record,
        phases=phases,
        refusal=finished.refusal,
    )
